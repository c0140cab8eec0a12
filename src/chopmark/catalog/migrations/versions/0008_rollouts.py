"""Rollouts, and what happened to them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0008"
down_revision = "0007"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UID = sa.LargeBinary(16)


def upgrade() -> None:
    """Add the tables."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    at = f"{schema}." if schema else ""
    op.create_table(
        p + "rollouts",
        sa.Column("key", KEY, primary_key=True),
        *(_column(name, UID) for name in ("uid", "endpoint_uid")),
        *(_column(name, WORD) for name in ("project", "name")),
        _column("is_open", sa.SmallInteger()),
        *(_column(name, sa.BigInteger()) for name in ("revision", "created_us")),
        sa.Column("holds_uid", UID, nullable=True),
        _column("body", sa.Text()),
        sa.UniqueConstraint("uid", name=p + "rollouts_uid"),
        sa.UniqueConstraint("holds_uid", name=p + "rollouts_holds"),
        schema=schema,
    )
    op.create_index(f"{p}rollouts_endpoint", p + "rollouts", ["project", "name", "created_us"], schema=schema)
    op.create_index(f"{p}rollouts_open", p + "rollouts", ["is_open", "created_us"], schema=schema)
    op.create_table(
        p + "rollout_events",
        sa.Column("rollout_key", KEY, sa.ForeignKey(f"{at}{p}rollouts.key", ondelete="CASCADE"), nullable=False),
        _column("seq", sa.BigInteger()),
        _column("body", sa.Text()),
        sa.PrimaryKeyConstraint("rollout_key", "seq"),
        schema=schema,
        sqlite_with_rowid=False,
    )


def _column(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)

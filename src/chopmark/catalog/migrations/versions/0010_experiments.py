"""Experiments on versions: what was laid down, who was shown what, and what became of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0010"
down_revision = "0009"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UID = sa.LargeBinary(16)


def upgrade() -> None:
    """Add the tables."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    op.create_table(
        p + "experiments",
        sa.Column("key", KEY, primary_key=True),
        _column("uid", UID),
        *(_column(name, WORD) for name in ("project", "name")),
        *(sa.Column(name, UID, nullable=True) for name in ("endpoint_uid", "holds_uid")),
        _column("state", WORD),
        *(_column(name, sa.Text()) for name in ("plan", "body")),
        _column("started_us", sa.BigInteger()),
        _column("started_by", WORD),
        sa.UniqueConstraint("uid", name=p + "experiments_uid"),
        sa.UniqueConstraint("project", "name", name=p + "experiments_name"),
        sa.UniqueConstraint("holds_uid", name=p + "experiments_holds"),
        schema=schema,
    )
    op.create_index(f"{p}experiments_endpoint", p + "experiments", ["endpoint_uid", "started_us"], schema=schema)
    op.create_table(
        p + "experiment_units",
        *(_column(name, UID) for name in ("experiment_uid", "unit")),
        _column("variant", sa.Integer()),
        _column("exposed_us", sa.BigInteger()),
        sa.PrimaryKeyConstraint("experiment_uid", "unit"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        p + "experiment_outcomes",
        _column("experiment_uid", UID),
        _column("metric", sa.Integer()),
        *(_column(name, UID) for name in ("unit", "id")),
        _column("at_us", sa.BigInteger()),
        *(_column(name, sa.Double()) for name in ("y", "x")),
        sa.PrimaryKeyConstraint("experiment_uid", "metric", "unit", "id"),
        schema=schema,
        sqlite_with_rowid=False,
    )


def _column(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)

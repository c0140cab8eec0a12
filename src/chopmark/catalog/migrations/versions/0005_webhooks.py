"""Webhooks, and events on their way to them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    op.create_table(
        p + "webhooks",
        sa.Column("key", KEY, primary_key=True),
        _column("uid", sa.LargeBinary(16)),
        *(_column(name, WORD) for name in ("project", "kind", "state")),
        _column("body", sa.Text()),
        _column("sealed", sa.Text()),
        _column("after_seq", sa.BigInteger()),
        _column("created_us", sa.BigInteger()),
        _column("created_by", WORD),
        _column("updated_us", sa.BigInteger()),
        _column("failures", sa.Integer()),
        _optional("held_us"),
        _column("fence", sa.BigInteger()),
        _column("worker", WORD),
        _optional("lease_us"),
        _column("served_us", sa.BigInteger()),
        sa.UniqueConstraint("uid", name=p + "webhooks_uid"),
        schema=schema,
    )
    place = f"{schema}.{p}webhooks" if schema else f"{p}webhooks"
    op.create_table(
        p + "deliveries",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("webhook_key", KEY, sa.ForeignKey(f"{place}.key", ondelete="CASCADE"), nullable=False),
        _column("seq", sa.BigInteger()),
        *(_column(name, WORD) for name in ("event", "target", "state")),
        _column("attempt", sa.Integer()),
        _optional("due_us"),
        _column("attempts", sa.Text()),
        _column("created_us", sa.BigInteger()),
        _optional("ended_us"),
        sa.UniqueConstraint("webhook_key", "seq", name=p + "deliveries_event"),
        schema=schema,
    )
    for name, columns in (("due", ["webhook_key", "state", "due_us", "seq"]), ("created", ["created_us"])):
        op.create_index(f"{p}deliveries_{name}", p + "deliveries", columns, schema=schema)


def _column(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _optional(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=True)

"""Schedules, the queue of jobs, and when idempotency keys were used."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables and an index."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    op.create_index(p + "idempotency_keys_at", p + "idempotency_keys", ["at_us"], schema=schema)
    op.create_table(
        p + "schedules",
        sa.Column("name", WORD, primary_key=True),
        *(_column(name, WORD) for name in ("kind", "cron", "zone")),
        _column("arguments", sa.Text()),
        _column("enabled", sa.SmallInteger()),
        _column("misfire", WORD),
        _optional("next_us"),
        _column("updated_us", sa.BigInteger()),
        _column("updated_by", WORD),
        schema=schema,
    )
    op.create_index(p + "schedules_next", p + "schedules", ["next_us"], schema=schema)
    op.create_table(
        p + "jobs",
        sa.Column("key", KEY, primary_key=True),
        _column("uid", sa.LargeBinary(16)),
        _column("kind", WORD),
        _column("arguments", sa.Text()),
        _column("schedule", WORD),
        _optional("fire_us"),
        _column("state", WORD),
        _column("attempt", sa.Integer()),
        _column("attempts_max", sa.Integer()),
        _column("run_after_us", sa.BigInteger()),
        _optional("due_us"),
        _column("worker", WORD),
        _column("fence", sa.BigInteger()),
        _column("result", sa.Text()),
        _column("error", sa.Text()),
        _column("created_us", sa.BigInteger()),
        _column("created_by", WORD),
        _optional("started_us"),
        _optional("ended_us"),
        sa.UniqueConstraint("uid", name=p + "jobs_uid"),
        sa.UniqueConstraint("schedule", "fire_us", name=p + "jobs_firing"),
        schema=schema,
    )
    for name, columns, only in (
        ("due", ["due_us", "key"], "due_us IS NOT NULL"),
        ("ended", ["ended_us"], "ended_us IS NOT NULL"),
        ("state", ["state", "uid"], ""),
        ("kind", ["kind", "uid"], ""),
    ):
        where = sa.text(only) if only else None
        op.create_index(
            f"{p}jobs_{name}", p + "jobs", columns, schema=schema, sqlite_where=where, postgresql_where=where
        )


def _column(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _optional(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=True)

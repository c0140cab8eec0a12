"""Outcomes by hour and day, labels that came late, what sampled requests looked like; monitors and alerts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

from chopmark.catalog.migrations import first_moves

revision = "0009"
down_revision = "0008"

WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UID = sa.LargeBinary(16)
BIG = sa.BigInteger()
BYTES = sa.LargeBinary()


def upgrade() -> None:
    """Add the tables, and the rows of one."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    at = f"{schema}." if schema else ""
    op.create_table(
        p + "outcome_tiers",
        _column("endpoint_uid", UID),
        _column("grain", WORD),
        _column("window_us", BIG),
        _column("version_uid", UID),
        _column("variant", WORD),
        _column("body", BYTES),
        sa.PrimaryKeyConstraint("endpoint_uid", "grain", "window_us", "version_uid", "variant"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(f"{p}outcome_tiers_window", p + "outcome_tiers", ["grain", "window_us"], schema=schema)
    op.create_table(
        p + "outcome_moves", sa.Column("grain", WORD, primary_key=True), _column("upto_us", BIG), schema=schema
    )
    op.execute(first_moves(f"{at}{p}outcome_moves"))
    _feedback(p, schema)
    _monitors(p, schema)
    op.create_table(
        p + "profile_counts",
        _column("endpoint_uid", UID),
        _column("window_us", BIG),
        _column("version_uid", UID),
        *(_column(name, WORD) for name in ("variant", "router")),
        _column("body", BYTES),
        sa.PrimaryKeyConstraint("endpoint_uid", "window_us", "version_uid", "variant", "router"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(f"{p}profile_counts_window", p + "profile_counts", ["window_us"], schema=schema)


def _feedback(p: str, schema: str | None) -> None:
    op.create_table(
        p + "feedback",
        _column("endpoint_uid", UID),
        _column("asked_us", BIG),
        _column("request", BYTES),
        _column("version_uid", UID),
        _column("variant", WORD),
        *(_column(name, BIG) for name in ("said_us", "tie")),
        *(_column(name, WORD) for name in ("label", "prediction")),
        sa.Column("is_right", sa.SmallInteger()),
        sa.Column("error", sa.Double()),
        _column("is_number", sa.SmallInteger()),
        sa.Column("value", sa.Double()),
        sa.PrimaryKeyConstraint("endpoint_uid", "asked_us", "request"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(f"{p}feedback_asked", p + "feedback", ["asked_us"], schema=schema)


def _monitors(p: str, schema: str | None) -> None:
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        p + "monitors",
        sa.Column("key", key, primary_key=True),
        _column("uid", UID),
        *(_column(name, WORD) for name in ("project", "name")),
        _column("enabled", sa.SmallInteger()),
        *(_column(name, sa.Text()) for name in ("body", "state")),
        *(_column(name, BIG) for name in ("revision", "due_us", "created_us")),
        _column("created_by", WORD),
        _column("updated_us", BIG),
        _column("updated_by", WORD),
        sa.UniqueConstraint("uid", name=p + "monitors_uid"),
        sa.UniqueConstraint("project", "name", name=p + "monitors_name"),
        schema=schema,
    )
    op.create_index(f"{p}monitors_due", p + "monitors", ["enabled", "due_us"], schema=schema)
    op.create_table(
        p + "alerts",
        sa.Column("key", key, primary_key=True),
        _column("uid", UID),
        _column("project", WORD),
        _column("monitor_uid", UID),
        _column("label", WORD),
        *(sa.Column(name, UID, nullable=True) for name in ("firing_uid", "endpoint_uid")),
        sa.Column("resolved_us", BIG, nullable=True),
        _column("body", sa.Text()),
        sa.UniqueConstraint("uid", name=p + "alerts_uid"),
        sa.UniqueConstraint("firing_uid", "label", name=p + "alerts_firing"),
        schema=schema,
    )
    op.create_index(f"{p}alerts_endpoint", p + "alerts", ["endpoint_uid"], schema=schema)
    op.create_index(f"{p}alerts_monitor", p + "alerts", ["monitor_uid", "uid"], schema=schema)
    op.create_index(f"{p}alerts_resolved", p + "alerts", ["resolved_us"], schema=schema)


def _column(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)

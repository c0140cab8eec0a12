"""Endpoints, the routing they make, the routers that deal by it, and what became of requests."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

from chopmark.catalog.migrations import first_routing

revision = "0007"
down_revision = "0006"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UID = sa.LargeBinary(16)


def upgrade() -> None:
    """Add the tables, and the only row of one."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    at = f"{schema}." if schema else ""
    _endpoints(p, schema, at)
    op.create_table(
        p + "routing",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        _column("epoch", WORD),
        _column("generation", sa.BigInteger()),
        _column("secret", WORD),
        schema=schema,
    )
    op.execute(first_routing(f"{at}{p}routing"))
    op.create_table(
        p + "routers",
        sa.Column("id", WORD, primary_key=True),
        _column("seen_us", sa.BigInteger()),
        _column("body", sa.Text()),
        schema=schema,
    )
    op.create_index(f"{p}routers_seen", p + "routers", ["seen_us"], schema=schema)
    op.create_table(
        p + "outcomes",
        _column("endpoint_uid", UID),
        _column("window_us", sa.BigInteger()),
        _column("version_uid", UID),
        *(_column(name, WORD) for name in ("variant", "router")),
        _column("body", sa.Text()),
        sa.PrimaryKeyConstraint("endpoint_uid", "window_us", "version_uid", "variant", "router"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(f"{p}outcomes_window", p + "outcomes", ["window_us"], schema=schema)


def _endpoints(p: str, schema: str | None, at: str) -> None:
    op.create_table(
        p + "endpoints",
        sa.Column("key", KEY, primary_key=True),
        _column("uid", UID),
        *(_column(name, WORD) for name in ("project", "name")),
        _column("body", sa.Text()),
        *(_column(name, sa.BigInteger()) for name in ("generation", "created_us")),
        _column("created_by", WORD),
        _column("updated_us", sa.BigInteger()),
        _column("updated_by", WORD),
        sa.UniqueConstraint("uid", name=p + "endpoints_uid"),
        sa.UniqueConstraint("project", "name", name=p + "endpoints_name"),
        schema=schema,
    )
    op.create_table(
        p + "endpoint_versions",
        sa.Column("endpoint_key", KEY, sa.ForeignKey(f"{at}{p}endpoints.key", ondelete="CASCADE"), nullable=False),
        _column("version_uid", UID),
        sa.PrimaryKeyConstraint("endpoint_key", "version_uid"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(f"{p}endpoint_versions_version", p + "endpoint_versions", ["version_uid"], schema=schema)


def _column(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)

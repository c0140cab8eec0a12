"""The first tables."""

from __future__ import annotations

from alembic import context, op

from chopmark.catalog.migrations import protect_audit
from chopmark.catalog.schema import Tables
from chopmark.domain.audit import GENESIS

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    tables: Tables = context.config.attributes["tables"]
    connection = op.get_bind()
    tables.metadata.create_all(connection)
    connection.execute(tables.facts.insert().values(name="compatible_from", value=revision))
    connection.execute(tables.audit_head.insert().values(key=1, seq=0, hash=GENESIS))
    for statement in protect_audit(tables.prefix, tables.schema, connection.dialect.name):
        connection.exec_driver_sql(statement)

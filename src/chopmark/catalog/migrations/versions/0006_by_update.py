"""What was changed last, without sorting all of it."""

from __future__ import annotations

from alembic import context, op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add an index."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    op.create_index(p + "versions_by_update", p + "versions", ["updated_us", "created_us", "uid"], schema=schema)

"""Run by alembic: migrates the connection that `chopmark.catalog.upgrades` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
tables = context.config.attributes["tables"]

context.configure(
    connection=connection,
    target_metadata=tables.metadata,
    version_table=tables.revision_table,
    version_table_schema=tables.schema or None,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Tokens, members, roles, and who put bytes lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"

WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add tables; nothing that was there changes."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    op.create_table(
        p + "tokens",
        sa.Column("id", WORD, primary_key=True),
        sa.Column("secret_hash", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("owner", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("project", WORD, nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", WORD, nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        schema=schema,
    )
    op.create_index(p + "tokens_owner", p + "tokens", ["owner", "id"], schema=schema)
    op.create_table(
        p + "members",
        sa.Column("project", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("member", WORD, nullable=False),
        sa.Column("role", WORD, nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("set_by", WORD, nullable=False),
        sa.PrimaryKeyConstraint("project", "kind", "member"),
        schema=schema,
    )
    op.create_index(p + "members_member", p + "members", ["kind", "member"], schema=schema)
    op.create_table(
        p + "roles",
        sa.Column("name", WORD, primary_key=True),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        schema=schema,
    )
    op.create_table(
        p + "blob_puts",
        sa.Column("digest", WORD, nullable=False),
        sa.Column("actor", WORD, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "actor"),
        schema=schema,
    )
    op.create_index(p + "blob_puts_time", p + "blob_puts", ["at_us"], schema=schema)

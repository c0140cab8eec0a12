"""The first tables, as they were then: this file never changes, whatever `schema.py` becomes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from chopmark.catalog.migrations import protect_audit

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
UID = sa.LargeBinary(16)
GENESIS = "sha256:" + "0" * 64


def upgrade() -> None:
    """Create everything."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    at = f"{schema}.{p}" if schema else p
    _create_names(p, schema, at)
    _create_versions(p, schema, at)
    _create_values(p, schema, at)
    _create_pointers(p, schema, at)
    _create_history(p, schema, at)
    _create_audit(p, schema)
    op.execute(f"INSERT INTO {at}schema_facts (name, value) VALUES ('compatible_from', '{revision}')")  # noqa: S608
    op.execute(f"INSERT INTO {at}audit_head (key, seq, hash) VALUES (1, 0, '{GENESIS}')")  # noqa: S608
    for statement in protect_audit(p, tables.schema, op.get_bind().dialect.name):
        op.execute(statement)


def _create_names(p: str, schema: str | None, at: str) -> None:
    op.create_table(
        p + "schema_facts",
        sa.Column("name", WORD, primary_key=True),
        sa.Column("value", WORD, nullable=False),
        schema=schema,
    )
    op.create_table(
        p + "projects",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("uid", UID, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", WORD, nullable=False),
        sa.UniqueConstraint("name", name=p + "projects_name"),
        sa.UniqueConstraint("uid", name=p + "projects_uid"),
        schema=schema,
    )
    op.create_table(
        p + "models",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("uid", UID, nullable=False),
        sa.Column("project_key", KEY, sa.ForeignKey(at + "projects.key"), nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("task", WORD, nullable=False),
        sa.Column("owner", WORD, nullable=False),
        sa.Column("team", WORD, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", WORD, nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("deleted_us", sa.BigInteger(), nullable=True),
        sa.UniqueConstraint("uid", name=p + "models_uid"),
        sa.UniqueConstraint("project_key", "name", name=p + "models_name"),
        schema=schema,
    )
    op.create_index(p + "models_by_name", p + "models", ["name"], schema=schema)


def _create_versions(p: str, schema: str | None, at: str) -> None:
    op.create_table(
        p + "manifests",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("digest", WORD, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.UniqueConstraint("digest", name=p + "manifests_digest"),
        schema=schema,
    )
    op.create_table(
        p + "versions",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("uid", UID, nullable=False),
        sa.Column("project_key", KEY, nullable=False),
        sa.Column("model_key", KEY, sa.ForeignKey(at + "models.key", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("semver", WORD, nullable=False),
        sa.Column("semver_key", WORD, nullable=False),
        sa.Column("is_release", sa.SmallInteger(), nullable=False),
        sa.Column("digest", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("stage", WORD, nullable=False),
        sa.Column("stage_since_us", sa.BigInteger(), nullable=False),
        sa.Column("format", WORD, nullable=False),
        sa.Column("framework", WORD, nullable=False),
        sa.Column("task", WORD, nullable=False),
        sa.Column("owner", WORD, nullable=False),
        sa.Column("team", WORD, nullable=False),
        sa.Column("run_id", WORD, nullable=False),
        sa.Column("experiment_id", WORD, nullable=False),
        sa.Column("risk_tier", WORD, nullable=False),
        sa.Column("runs_code", sa.SmallInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("cost_per_request", sa.Double(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_by", WORD, nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("deleted_us", sa.BigInteger(), nullable=True),
        sa.Column("description", WORD, nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("deprecation", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.UniqueConstraint("uid", name=p + "versions_uid"),
        sa.UniqueConstraint("model_key", "semver", name=p + "versions_semver"),
        sa.UniqueConstraint("model_key", "number", name=p + "versions_number"),
        schema=schema,
    )
    op.create_index(p + "versions_by_model", p + "versions", ["model_key", "created_us", "uid"], schema=schema)
    op.create_index(p + "versions_by_project", p + "versions", ["project_key", "created_us", "uid"], schema=schema)
    op.create_index(p + "versions_by_stage", p + "versions", ["stage", "created_us", "uid"], schema=schema)
    op.create_index(p + "versions_by_time", p + "versions", ["created_us", "uid"], schema=schema)
    op.create_index(
        p + "versions_deleted",
        p + "versions",
        ["created_us", "uid"],
        schema=schema,
        sqlite_where=sa.text("deleted_us IS NOT NULL"),
        postgresql_where=sa.text("deleted_us IS NOT NULL"),
    )
    op.create_index(p + "versions_digest", p + "versions", ["model_key", "digest"], schema=schema)
    op.create_index(p + "versions_in_stage", p + "versions", ["model_key", "stage", "stage_since_us"], schema=schema)
    op.create_index(p + "versions_precedence", p + "versions", ["model_key", "semver_key", "number"], schema=schema)


def _create_values(p: str, schema: str | None, at: str) -> None:
    op.create_table(
        p + "version_files",
        sa.Column("digest", WORD, nullable=False),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.PrimaryKeyConstraint("digest", "version_key"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(p + "version_files_version", p + "version_files", ["version_key"], schema=schema)
    op.create_table(
        p + "version_metrics",
        sa.Column("key", WORD, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.PrimaryKeyConstraint("key", "value", "created_us", "version_key"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(
        p + "version_metrics_version",
        p + "version_metrics",
        ["version_key", "key"],
        schema=schema,
        unique=True,
        postgresql_include=["value"],
    )
    op.create_table(
        p + "version_tags",
        sa.Column("key", WORD, nullable=False),
        sa.Column("head", WORD, nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.Column("stage", WORD, nullable=False),
        sa.Column("value", WORD, nullable=False),
        sa.PrimaryKeyConstraint("key", "head", "created_us", "version_key", postgresql_include=["stage"]),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(p + "version_tags_version", p + "version_tags", ["version_key", "key"], schema=schema, unique=True)
    op.create_table(
        p + "version_params",
        sa.Column("key", WORD, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.Double(), nullable=False),
        sa.Column("head", WORD, nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.Column("value", WORD, nullable=False),
        sa.PrimaryKeyConstraint("key", "kind", "number", "head", "created_us", "version_key"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(
        p + "version_params_version", p + "version_params", ["version_key", "key"], schema=schema, unique=True
    )


def _create_pointers(p: str, schema: str | None, at: str) -> None:
    op.create_table(
        p + "aliases",
        sa.Column("model_key", KEY, sa.ForeignKey(at + "models.key", ondelete="CASCADE"), nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.Column("protected", sa.SmallInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", WORD, nullable=False),
        sa.PrimaryKeyConstraint("model_key", "name"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(p + "aliases_version", p + "aliases", ["version_key", "name"], schema=schema)
    op.create_table(
        p + "lineage_edges",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("source", WORD, nullable=False),
        sa.Column("relation", WORD, nullable=False),
        sa.Column("target", WORD, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("source", "relation", "target", name=p + "lineage_edges_once"),
        schema=schema,
    )
    op.create_index(p + "lineage_edges_target", p + "lineage_edges", ["target", "relation"], schema=schema)
    op.create_table(
        p + "trust_decisions",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("digest", WORD, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        schema=schema,
    )
    op.create_index(p + "trust_decisions_digest", p + "trust_decisions", ["digest", "at_us"], schema=schema)


def _create_history(p: str, schema: str | None, at: str) -> None:
    op.create_table(
        p + "alias_moves",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("model_key", KEY, sa.ForeignKey(at + "models.key", ondelete="CASCADE"), nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("previous", sa.BigInteger(), nullable=True),
        sa.Column("actor", WORD, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        schema=schema,
    )
    op.create_index(p + "alias_moves_name", p + "alias_moves", ["model_key", "name", "at_us", "key"], schema=schema)
    op.create_table(
        p + "stage_moves",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.Column("from_stage", WORD, nullable=False),
        sa.Column("to_stage", WORD, nullable=False),
        sa.Column("actor", WORD, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        schema=schema,
    )
    op.create_index(p + "stage_moves_version", p + "stage_moves", ["version_key", "at_us", "key"], schema=schema)
    op.create_table(
        p + "evaluations",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("uid", UID, nullable=False),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.UniqueConstraint("uid", name=p + "evaluations_uid"),
        schema=schema,
    )
    op.create_index(p + "evaluations_version", p + "evaluations", ["version_key", "at_us", "key"], schema=schema)


def _create_audit(p: str, schema: str | None) -> None:
    op.create_table(
        p + "audit_events",
        sa.Column("seq", KEY, primary_key=True, autoincrement=False),
        sa.Column("uid", UID, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", WORD, nullable=False),
        sa.Column("event", WORD, nullable=False),
        sa.Column("target", WORD, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("previous", WORD, nullable=False),
        sa.Column("hash", WORD, nullable=False),
        sa.UniqueConstraint("uid", name=p + "audit_events_uid"),
        schema=schema,
    )
    op.create_index(p + "audit_events_event", p + "audit_events", ["event", "seq"], schema=schema)
    op.create_index(p + "audit_events_target", p + "audit_events", ["target", "seq"], schema=schema)
    op.create_table(
        p + "audit_head",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", WORD, nullable=False),
        schema=schema,
    )
    op.create_table(
        p + "outbox",
        sa.Column("seq", KEY, primary_key=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        schema=schema,
        sqlite_autoincrement=True,
    )
    op.create_index(
        p + "outbox_waiting",
        p + "outbox",
        ["seq"],
        schema=schema,
        sqlite_where=sa.text("delivered_us IS NULL"),
        postgresql_where=sa.text("delivered_us IS NULL"),
    )
    op.create_table(
        p + "idempotency_keys",
        sa.Column("actor", WORD, nullable=False),
        sa.Column("key", WORD, nullable=False),
        sa.Column("op", WORD, nullable=False),
        sa.Column("request_digest", WORD, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key"),
        schema=schema,
    )

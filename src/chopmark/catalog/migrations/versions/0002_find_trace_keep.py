"""Words for full-text search, data sets by name, loads by day, sizes of files, what a model keeps, and two counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import context, op

from chopmark.base.jsons import converted, decode
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import dataset_node
from chopmark.domain.words import indexed_words

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ROWS_A_BATCH = 500


def upgrade() -> None:
    """Add tables and columns, and fill them from what is there."""
    tables = context.config.attributes["tables"]
    p, schema = tables.prefix, tables.schema or None
    at = f"{schema}.{p}" if schema else p
    op.add_column(p + "models", sa.Column("retention", sa.Text(), nullable=True), schema=schema)
    size = sa.Column("size_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column(p + "version_files", size, schema=schema)
    op.create_table(
        p + "version_words",
        sa.Column("word", WORD, nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.PrimaryKeyConstraint("word", "created_us", "version_key"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index(
        p + "version_words_version", p + "version_words", ["version_key", "word"], unique=True, schema=schema
    )
    op.create_table(
        p + "version_loads",
        sa.Column("version_key", KEY, sa.ForeignKey(at + "versions.key", ondelete="CASCADE"), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version_key", "day"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        p + "datasets",
        sa.Column("node", WORD, primary_key=True),
        sa.Column("name", WORD, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        schema=schema,
    )
    op.create_index(p + "datasets_name", p + "datasets", ["name"], schema=schema)
    for field in ("owner", "team", "format"):
        op.create_index(f"{p}versions_by_{field}", p + "versions", [field, "created_us", "uid"], schema=schema)
    for fact in ("collection", "recorded_seq"):
        op.execute(f"INSERT INTO {at}schema_facts (name, value) VALUES ('{fact}', '0')")  # noqa: S608
    _remove_lost_edges(at)
    _fill_words(at)
    _fill_datasets(at)
    _fill_sizes(at)


def _remove_lost_edges(at: str) -> None:
    """The release before left the edges of versions that were purged."""
    node = "encode(v.uid, 'hex')" if op.get_bind().dialect.name == "postgresql" else "lower(hex(v.uid))"
    for end in ("source", "target"):
        lost = f"NOT EXISTS (SELECT 1 FROM {at}versions v WHERE {at}lineage_edges.{end} = 'version:' || {node})"  # noqa: S608
        op.execute(f"DELETE FROM {at}lineage_edges WHERE {end} LIKE 'version:%' AND {lost}")  # noqa: S608


def _fill_words(at: str) -> None:
    insert = sa.text(f"INSERT INTO {at}version_words (word, created_us, version_key) VALUES (:word, :made, :version)")  # noqa: S608
    versions = f"SELECT v.key, v.created_us, m.name, v.description, v.card, v.tags FROM {at}versions v JOIN {at}models m ON m.key = v.model_key"  # noqa: S608
    for key, made, name, description, card, tags in _rows(versions, "v.key"):
        words = indexed_words(name, description, card, decode(tags, dict[str, str]))
        _insert(insert, [{"word": word, "made": made, "version": key} for word in words])


def _fill_datasets(at: str) -> None:
    insert = sa.text(
        f"INSERT INTO {at}datasets (node, name, at_us, body) VALUES (:node, :name, :at, :body) ON CONFLICT DO NOTHING"  # noqa: S608
    )
    for key, made, body in _rows(f"SELECT v.key, v.created_us, v.body FROM {at}versions v", "v.key"):  # noqa: B007, S608
        described = decode(body, dict[str, Any]).get("datasets", [])
        _insert(insert, [_dataset(converted(each, DatasetRef), made) for each in described])
    for key, made, body in _rows(f"SELECT e.key, e.at_us, e.body FROM {at}evaluations e", "e.key"):  # noqa: B007, S608
        dataset = decode(body, dict[str, Any])["dataset"]
        _insert(insert, [_dataset(converted(dataset, DatasetRef), made)])


def _fill_sizes(at: str) -> None:
    """Sizes of files, which so far only manifests knew."""
    update = sa.text(
        f"UPDATE {at}version_files SET size_bytes = :size WHERE digest = :digest AND version_key = :version"  # noqa: S608
    )
    versions = f"SELECT v.key, m.body FROM {at}versions v JOIN {at}manifests m ON m.digest = v.digest"  # noqa: S608
    for key, body in _rows(versions, "v.key"):
        files = decode(body, dict[str, Any]).get("files", [])
        _insert(update, [{"size": f["size_bytes"], "digest": f["digest"], "version": key} for f in files])


def _dataset(dataset: DatasetRef, made_us: int) -> dict[str, Any]:
    body = msgspec.json.encode(dataset).decode()
    return {"node": dataset_node(dataset), "name": dataset.name, "at": made_us, "body": body}


def _rows(select: str, key: str) -> Iterator[tuple[Any, ...]]:
    """All rows, a batch at a time, in the order of their keys."""
    page = sa.text(f"{select} WHERE {key} > :after ORDER BY {key} LIMIT {ROWS_A_BATCH}")
    last = 0
    while rows := op.get_bind().execute(page, {"after": last}).all():
        yield from map(tuple, rows)
        last = rows[-1][0]


def _insert(statement: sa.TextClause, rows: list[dict[str, Any]]) -> None:
    if rows:
        op.get_bind().execute(statement, rows)

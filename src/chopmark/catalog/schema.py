"""The tables of the catalog, for any table prefix and PostgreSQL schema.

One set of tables for both databases. What differs is how rows lie: in SQLite the key-value tables
are clustered by their primary key (``WITHOUT ROWID``), in PostgreSQL the same columns are a
covering index. Times are microseconds since 1970 UTC. Texts that are compared or sorted collate
by code point everywhere. Truth values are 0 and 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from chopmark.errors import InvalidRequest

__all__ = ["HEAD_LENGTH", "Tables", "check_prefix"]

_DIALECTS = frozenset(("sqlite", "postgresql"))

KEY = BigInteger().with_variant(Integer, "sqlite")
WORD = Text().with_variant(Text(collation="C"), "postgresql")
UID = LargeBinary(16)

HEAD_LENGTH = 128
"""Characters of a text value that its index holds: PostgreSQL refuses index rows above 2.7 kB."""

_PREFIX = re.compile(r"(?:[a-z_][a-z0-9_]{0,29})?")


def check_prefix(text: str, what: str) -> str:
    """Return a table prefix or schema name when it needs no quoting in any database.

    Raises
    ------
    InvalidRequest
        When it is not lower-case letters, digits and ``_``, or too long.
    """
    if not _PREFIX.fullmatch(text):
        msg = f"The {what} {text[:60]!r} cannot be used."
        hint = "Use at most 30 lower-case letters, digits and '_', beginning with a letter."
        raise InvalidRequest(msg, hint=hint)
    return text


def _column(name: str, kind: TypeEngine[Any] = WORD, *rest: Any) -> Column[Any]:
    return Column(name, kind, *rest, nullable=False)


def _optional(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, nullable=True)


class Tables:
    """Every table of one catalog.

    Parameters
    ----------
    prefix
        Put before the name of every table and index.
    schema
        PostgreSQL schema; empty for the connection's own.
    dialects
        Databases that they are for. SQLAlchemy imports each: PostgreSQL's takes 0.04 s, of which SQLite need know nothing.
    """

    def __init__(self, prefix: str = "", schema: str = "", dialects: frozenset[str] = _DIALECTS) -> None:
        self._dialects = dialects
        self.prefix = check_prefix(prefix, "table prefix")
        self.schema = check_prefix(schema, "schema")
        self.metadata = MetaData(schema=schema or None)
        self.facts = self._table("schema_facts", Column("name", WORD, primary_key=True), _column("value"))
        self._define_names()
        self._define_versions()
        self._define_values()
        self._define_pointers()
        self._define_history()
        self._define_audit()
        self._define_work()
        self._define_access()
        self._define_webhooks()

    @property
    def revision_table(self) -> str:
        """Name of the table in which alembic keeps the revision."""
        return self.prefix + "schema_revision"

    def _table(self, name: str, *parts: Any, clustered: bool = False, counted: bool = False) -> Table:
        return Table(
            self.prefix + name,
            self.metadata,
            *parts,
            **self._known({"sqlite_with_rowid": not clustered, "sqlite_autoincrement": counted}),
        )

    def _index(self, name: str, *columns: Column[Any], **options: Any) -> None:
        Index(f"{self.prefix}{name}", *columns, **self._known(options))

    def _known(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options without those that other databases take, and name in front."""
        return {
            name: value for name, value in options.items() if name.partition("_")[0] not in _DIALECTS - self._dialects
        }

    def _to(self, table: Table) -> ForeignKey:
        return ForeignKey(table.c.key, ondelete="CASCADE")

    def _define_names(self) -> None:
        self.projects = self._table(
            "projects",
            Column("key", KEY, primary_key=True),
            _column("uid", UID),
            _column("name"),
            _column("description", Text()),
            _column("rules", Text()),
            _column("created_us", BigInteger()),
            _column("created_by"),
            UniqueConstraint("uid", name=f"{self.prefix}projects_uid"),
            UniqueConstraint("name", name=f"{self.prefix}projects_name"),
        )
        self.models = self._table(
            "models",
            Column("key", KEY, primary_key=True),
            _column("uid", UID),
            Column("project_key", KEY, ForeignKey(self.projects.c.key), nullable=False),
            _column("name"),
            _column("kind"),
            _column("task"),
            _column("owner"),
            _column("team"),
            _column("description", Text()),
            _column("card", Text()),
            _column("tags", Text()),
            _column("last_number", BigInteger()),
            _column("created_us", BigInteger()),
            _column("created_by"),
            _column("updated_us", BigInteger()),
            _optional("deleted_us", BigInteger()),
            _optional("retention", Text()),
            UniqueConstraint("uid", name=f"{self.prefix}models_uid"),
            UniqueConstraint("project_key", "name", name=f"{self.prefix}models_name"),
        )
        self._index("models_by_name", self.models.c.name)

    def _define_versions(self) -> None:
        self.manifests = self._table(
            "manifests",
            Column("key", KEY, primary_key=True),
            _column("digest"),
            _column("body", Text()),
            UniqueConstraint("digest", name=f"{self.prefix}manifests_digest"),
        )
        self.versions = v = self._table(
            "versions",
            Column("key", KEY, primary_key=True),
            _column("uid", UID),
            _column("project_key", KEY),
            Column("model_key", KEY, self._to(self.models), nullable=False),
            _column("number", BigInteger()),
            _column("semver"),
            _column("semver_key"),
            _column("is_release", SmallInteger()),
            _column("digest"),
            _column("kind"),
            _column("state"),
            _column("stage"),
            _column("stage_since_us", BigInteger()),
            _column("format"),
            _column("framework"),
            _column("task"),
            _column("owner"),
            _column("team"),
            _column("run_id"),
            _column("experiment_id"),
            _column("risk_tier"),
            _column("runs_code", SmallInteger()),
            _column("size_bytes", BigInteger()),
            _optional("cost_per_request", Double()),
            _column("created_us", BigInteger()),
            _column("created_by"),
            _column("updated_us", BigInteger()),
            _optional("deleted_us", BigInteger()),
            _column("description"),
            _column("tags", Text()),
            _column("annotations", Text()),
            _optional("deprecation", Text()),
            _column("body", Text()),
            _column("card", Text()),
            UniqueConstraint("uid", name=f"{self.prefix}versions_uid"),
            UniqueConstraint("model_key", "number", name=f"{self.prefix}versions_number"),
            UniqueConstraint("model_key", "semver", name=f"{self.prefix}versions_semver"),
        )
        c = v.c
        self._index("versions_precedence", c.model_key, c.semver_key, c.number)
        self._index("versions_digest", c.model_key, c.digest)
        self._index("versions_in_stage", c.model_key, c.stage, c.stage_since_us)
        self._index("versions_by_model", c.model_key, c.created_us, c.uid)
        self._index("versions_by_project", c.project_key, c.created_us, c.uid)
        self._index("versions_by_stage", c.stage, c.created_us, c.uid)
        self._index("versions_by_time", c.created_us, c.uid)
        self._index("versions_by_update", c.updated_us, c.created_us, c.uid)
        for field in (c.owner, c.team, c.format):
            self._index(f"versions_by_{field.name}", field, c.created_us, c.uid)
        gone = c.deleted_us.is_not(None)
        self._index(
            "versions_deleted",
            c.created_us,
            c.uid,
            sqlite_where=gone,
            postgresql_where=gone,
        )

    def _define_values(self) -> None:
        self.files = f = self._table(
            "version_files",
            _column("digest"),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            # A default, so that a release that does not know the column still registers.
            Column("size_bytes", BigInteger(), server_default=text("0"), nullable=False),
            PrimaryKeyConstraint("digest", "version_key"),
            clustered=True,
        )
        self._index("version_files_version", f.c.version_key)
        self.metrics = m = self._table(
            "version_metrics",
            _column("key"),
            _column("value", Double()),
            _column("created_us", BigInteger()),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            PrimaryKeyConstraint("key", "value", "created_us", "version_key"),
            clustered=True,
        )
        self._index(
            "version_metrics_version",
            m.c.version_key,
            m.c.key,
            unique=True,
            postgresql_include=["value"],
        )
        # The stage stands beside the tag, and moves with the version's, so that "this tag in this
        # stage, newest first" reads one stretch of one index.
        self.tags = t = self._table(
            "version_tags",
            _column("key"),
            _column("head"),
            _column("created_us", BigInteger()),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            _column("stage"),
            _column("value"),
            PrimaryKeyConstraint(
                "key", "head", "created_us", "version_key", **self._known({"postgresql_include": ["stage"]})
            ),
            clustered=True,
        )
        self._index("version_tags_version", t.c.version_key, t.c.key, unique=True)
        self.params = p = self._table(
            "version_params",
            _column("key"),
            _column("kind", SmallInteger()),
            _column("number", Double()),
            _column("head"),
            _column("created_us", BigInteger()),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            _column("value"),
            PrimaryKeyConstraint("key", "kind", "number", "head", "created_us", "version_key"),
            clustered=True,
        )
        self._index("version_params_version", p.c.version_key, p.c.key, unique=True)

        # An inverted index of our own: one meaning of "word" in every database, and newest first by itself.
        self.words = w = self._table(
            "version_words",
            _column("word"),
            _column("created_us", BigInteger()),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            PrimaryKeyConstraint("word", "created_us", "version_key"),
            clustered=True,
        )
        self._index("version_words_version", w.c.version_key, w.c.word, unique=True)
        self.loads = self._table(
            "version_loads",
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            _column("day", Integer()),  # days since 1970, UTC
            _column("count", BigInteger()),
            PrimaryKeyConstraint("version_key", "day"),
            clustered=True,
        )

    def _define_pointers(self) -> None:
        self.aliases = a = self._table(
            "aliases",
            Column("model_key", KEY, self._to(self.models), nullable=False),
            _column("name"),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            _column("protected", SmallInteger()),
            _column("updated_us", BigInteger()),
            _column("updated_by"),
            PrimaryKeyConstraint("model_key", "name"),
            clustered=True,
        )
        self._index("aliases_version", a.c.version_key, a.c.name)
        self.edges = e = self._table(
            "lineage_edges",
            Column("key", KEY, primary_key=True),
            _column("source"),
            _column("relation"),
            _column("target"),
            _column("at_us", BigInteger()),
            UniqueConstraint("source", "relation", "target", name=f"{self.prefix}lineage_edges_once"),
        )
        self._index("lineage_edges_target", e.c.target, e.c.relation)
        self.datasets = n = self._table(
            "datasets",
            Column("node", WORD, primary_key=True),
            _column("name"),
            _column("at_us", BigInteger()),
            _column("body", Text()),
        )
        self._index("datasets_name", n.c.name)
        self.trust = d = self._table(
            "trust_decisions",
            Column("key", KEY, primary_key=True),
            _column("digest"),
            _column("at_us", BigInteger()),
            _column("body", Text()),
        )
        self._index("trust_decisions_digest", d.c.digest, d.c.at_us)

    def _define_history(self) -> None:
        self.alias_moves = a = self._table(
            "alias_moves",
            Column("key", KEY, primary_key=True),
            Column("model_key", KEY, self._to(self.models), nullable=False),
            _column("name"),
            _optional("number", BigInteger()),
            _optional("previous", BigInteger()),
            _column("actor"),
            _column("at_us", BigInteger()),
            _column("reason", Text()),
        )
        self._index("alias_moves_name", a.c.model_key, a.c.name, a.c.at_us, a.c.key)
        self.stage_moves = s = self._table(
            "stage_moves",
            Column("key", KEY, primary_key=True),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            _column("from_stage"),
            _column("to_stage"),
            _column("actor"),
            _column("at_us", BigInteger()),
            _column("reason", Text()),
        )
        self._index("stage_moves_version", s.c.version_key, s.c.at_us, s.c.key)
        self.evaluations = e = self._table(
            "evaluations",
            Column("key", KEY, primary_key=True),
            _column("uid", UID),
            Column("version_key", KEY, self._to(self.versions), nullable=False),
            _column("at_us", BigInteger()),
            _column("body", Text()),
            UniqueConstraint("uid", name=f"{self.prefix}evaluations_uid"),
        )
        self._index("evaluations_version", e.c.version_key, e.c.at_us, e.c.key)

    def _define_audit(self) -> None:
        self.audit = a = self._table(
            "audit_events",
            Column("seq", KEY, primary_key=True, autoincrement=False),
            _column("uid", UID),
            _column("at_us", BigInteger()),
            _column("actor"),
            _column("event"),
            _column("target"),
            _column("data", Text()),
            _column("previous"),
            _column("hash"),
            UniqueConstraint("uid", name=f"{self.prefix}audit_events_uid"),
        )
        self._index("audit_events_target", a.c.target, a.c.seq)
        self._index("audit_events_event", a.c.event, a.c.seq)
        # One row, locked by whoever appends.
        self.audit_head = self._table(
            "audit_head",
            Column("key", KEY, primary_key=True, autoincrement=False),
            _column("seq", BigInteger()),
            _column("hash"),
        )
        self.outbox = o = self._table(
            "outbox",
            Column("seq", KEY, primary_key=True),
            _column("event", Text()),
            _optional("delivered_us", BigInteger()),
            counted=True,  # a number is never used twice
        )
        waiting = o.c.delivered_us.is_(None)
        self._index("outbox_waiting", o.c.seq, sqlite_where=waiting, postgresql_where=waiting)
        self.idempotency = i = self._table(
            "idempotency_keys",
            _column("actor"),
            _column("key"),
            _column("op"),
            _column("request_digest"),
            _column("answer", LargeBinary()),
            _column("at_us", BigInteger()),
            PrimaryKeyConstraint("actor", "key"),
        )
        self._index("idempotency_keys_at", i.c.at_us)

    def _define_work(self) -> None:
        self.schedules = s = self._table(
            "schedules",
            Column("name", WORD, primary_key=True),
            _column("kind"),
            _column("cron"),
            _column("zone"),
            _column("arguments", Text()),
            _column("enabled", SmallInteger()),
            _column("misfire"),
            _optional("next_us", BigInteger()),
            _column("updated_us", BigInteger()),
            _column("updated_by"),
        )
        self._index("schedules_next", s.c.next_us)
        self.jobs = j = self._table(
            "jobs",
            Column("key", KEY, primary_key=True),
            _column("uid", UID),
            _column("kind"),
            _column("arguments", Text()),
            _column("schedule"),
            _optional("fire_us", BigInteger()),
            _column("state"),
            _column("attempt", Integer()),
            _column("attempts_max", Integer()),
            _column("run_after_us", BigInteger()),
            # From when it may be claimed: after its pause, or when its lease has run out. NULL when it has ended.
            _optional("due_us", BigInteger()),
            _column("worker"),
            _column("fence", BigInteger()),
            _column("result", Text()),
            _column("error", Text()),
            _column("created_us", BigInteger()),
            _column("created_by"),
            _optional("started_us", BigInteger()),
            _optional("ended_us", BigInteger()),
            UniqueConstraint("uid", name=f"{self.prefix}jobs_uid"),
            UniqueConstraint("schedule", "fire_us", name=f"{self.prefix}jobs_firing"),
        )
        waiting, ended = j.c.due_us.is_not(None), j.c.ended_us.is_not(None)
        self._index("jobs_due", j.c.due_us, j.c.key, sqlite_where=waiting, postgresql_where=waiting)
        self._index("jobs_ended", j.c.ended_us, sqlite_where=ended, postgresql_where=ended)
        self._index("jobs_state", j.c.state, j.c.uid)
        self._index("jobs_kind", j.c.kind, j.c.uid)

    def _define_access(self) -> None:
        self.tokens = t = self._table(
            "tokens",
            Column("id", WORD, primary_key=True),
            _column("secret_hash"),
            _column("name"),
            _column("owner"),
            _column("kind"),
            _column("scopes", Text()),
            _column("project"),
            _column("created_us", BigInteger()),
            _column("created_by"),
            _optional("expires_us", BigInteger()),
            _optional("revoked_us", BigInteger()),
            _optional("used_us", BigInteger()),
        )
        self._index("tokens_owner", t.c.owner, t.c.id)
        self.members = m = self._table(
            "members",
            _column("project"),
            _column("kind"),
            _column("member"),
            _column("role"),
            _column("since_us", BigInteger()),
            _column("set_by"),
            PrimaryKeyConstraint("project", "kind", "member"),
        )
        self._index("members_member", m.c.kind, m.c.member)
        self.roles = self._table(
            "roles",
            Column("name", WORD, primary_key=True),
            _column("permissions", Text()),
            _column("description", Text()),
        )
        self.blob_puts = b = self._table(
            "blob_puts",
            _column("digest"),
            _column("actor"),
            _column("at_us", BigInteger()),
            PrimaryKeyConstraint("digest", "actor"),
        )
        self._index("blob_puts_time", b.c.at_us)

    def _define_webhooks(self) -> None:
        self.webhooks = w = self._table(
            "webhooks",
            Column("key", KEY, primary_key=True),
            _column("uid", UID),
            _column("project"),
            _column("kind"),
            _column("state"),
            _column("body", Text()),
            _column("sealed", Text()),
            _column("after_seq", BigInteger()),
            _column("created_us", BigInteger()),
            _column("created_by"),
            _column("updated_us", BigInteger()),
            _column("failures", Integer()),
            _optional("held_us", BigInteger()),
            _column("fence", BigInteger()),
            _column("worker"),
            _optional("lease_us", BigInteger()),
            _column("served_us", BigInteger()),
            UniqueConstraint("uid", name=f"{self.prefix}webhooks_uid"),
        )
        self.deliveries = d = self._table(
            "deliveries",
            Column("key", KEY, primary_key=True),
            Column("webhook_key", KEY, self._to(w), nullable=False),
            _column("seq", BigInteger()),
            _column("event"),
            _column("target"),
            _column("state"),
            _column("attempt", Integer()),
            # From when it may be sent: 0 when it is queued, NULL when it has ended.
            _optional("due_us", BigInteger()),
            _column("attempts", Text()),
            _column("created_us", BigInteger()),
            _optional("ended_us", BigInteger()),
            UniqueConstraint("webhook_key", "seq", name=f"{self.prefix}deliveries_event"),
        )
        self._index("deliveries_due", d.c.webhook_key, d.c.state, d.c.due_us, d.c.seq)
        self._index("deliveries_created", d.c.created_us)

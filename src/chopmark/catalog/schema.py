"""The tables of the catalog, for any table prefix and PostgreSQL schema.

One set of tables for both databases. What differs is how rows lie: in SQLite the key-value tables
are clustered by their primary key (``WITHOUT ROWID``), in PostgreSQL the same columns are a
covering index. Times are microseconds since 1970 UTC. Texts that are compared or sorted collate
by code point everywhere. Truth values are 0 and 1.
"""

from __future__ import annotations

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

from chopmark.catalog.columns import KEY, UID, WORD, check_prefix, column, optional
from chopmark.catalog.experiment_tables import define_experiments
from chopmark.catalog.monitor_tables import define_monitors
from chopmark.catalog.outcome_tables import define_outcomes
from chopmark.catalog.rollout_tables import define_rollouts

__all__ = ["Tables"]

_DIALECTS = frozenset(("sqlite", "postgresql"))


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
        self.facts = self.table("schema_facts", Column("name", WORD, primary_key=True), column("value"))
        self._define_names()
        self._define_versions()
        self._define_values()
        self._define_pointers()
        self._define_history()
        self._define_audit()
        self._define_work()
        self._define_access()
        self._define_webhooks()
        self._define_gateway()
        self.rollouts, self.rollout_events = define_rollouts(self)
        self.experiments, self.experiment_units, self.experiment_outcomes = define_experiments(self)
        self.outcome_tiers, self.outcome_moves, self.feedback, self.profile_counts = define_outcomes(self)
        self.watching = define_monitors(self)

    @property
    def revision_table(self) -> str:
        """Name of the table in which alembic keeps the revision."""
        return self.prefix + "schema_revision"

    def table(self, name: str, *parts: Any, clustered: bool = False, counted: bool = False) -> Table:
        """Define a table; for the modules that define some beside this one."""
        return Table(
            self.prefix + name,
            self.metadata,
            *parts,
            **self._known({"sqlite_with_rowid": not clustered, "sqlite_autoincrement": counted}),
        )

    def index(self, name: str, *columns: Column[Any], **options: Any) -> None:
        """Define an index."""
        Index(f"{self.prefix}{name}", *columns, **self._known(options))

    def _known(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options without those that other databases take, and name in front."""
        return {
            name: value for name, value in options.items() if name.partition("_")[0] not in _DIALECTS - self._dialects
        }

    def to(self, table: Table) -> ForeignKey:
        """A reference to a row of another table, which goes with it."""
        return ForeignKey(table.c.key, ondelete="CASCADE")

    def _define_names(self) -> None:
        self.projects = self.table(
            "projects",
            Column("key", KEY, primary_key=True),
            column("uid", UID),
            column("name"),
            column("description", Text()),
            column("rules", Text()),
            column("created_us", BigInteger()),
            column("created_by"),
            UniqueConstraint("uid", name=f"{self.prefix}projects_uid"),
            UniqueConstraint("name", name=f"{self.prefix}projects_name"),
        )
        self.models = self.table(
            "models",
            Column("key", KEY, primary_key=True),
            column("uid", UID),
            Column("project_key", KEY, ForeignKey(self.projects.c.key), nullable=False),
            column("name"),
            column("kind"),
            column("task"),
            column("owner"),
            column("team"),
            column("description", Text()),
            column("card", Text()),
            column("tags", Text()),
            column("last_number", BigInteger()),
            column("created_us", BigInteger()),
            column("created_by"),
            column("updated_us", BigInteger()),
            optional("deleted_us", BigInteger()),
            optional("retention", Text()),
            UniqueConstraint("uid", name=f"{self.prefix}models_uid"),
            UniqueConstraint("project_key", "name", name=f"{self.prefix}models_name"),
        )
        self.index("models_by_name", self.models.c.name)

    def _define_versions(self) -> None:
        self.manifests = self.table(
            "manifests",
            Column("key", KEY, primary_key=True),
            column("digest"),
            column("body", Text()),
            UniqueConstraint("digest", name=f"{self.prefix}manifests_digest"),
        )
        self.versions = v = self.table(
            "versions",
            Column("key", KEY, primary_key=True),
            column("uid", UID),
            column("project_key", KEY),
            Column("model_key", KEY, self.to(self.models), nullable=False),
            column("number", BigInteger()),
            column("semver"),
            column("semver_key"),
            column("is_release", SmallInteger()),
            column("digest"),
            column("kind"),
            column("state"),
            column("stage"),
            column("stage_since_us", BigInteger()),
            column("format"),
            column("framework"),
            column("task"),
            column("owner"),
            column("team"),
            column("run_id"),
            column("experiment_id"),
            column("risk_tier"),
            column("runs_code", SmallInteger()),
            column("size_bytes", BigInteger()),
            optional("cost_per_request", Double()),
            column("created_us", BigInteger()),
            column("created_by"),
            column("updated_us", BigInteger()),
            optional("deleted_us", BigInteger()),
            column("description"),
            column("tags", Text()),
            column("annotations", Text()),
            optional("deprecation", Text()),
            column("body", Text()),
            column("card", Text()),
            UniqueConstraint("uid", name=f"{self.prefix}versions_uid"),
            UniqueConstraint("model_key", "number", name=f"{self.prefix}versions_number"),
            UniqueConstraint("model_key", "semver", name=f"{self.prefix}versions_semver"),
        )
        c = v.c
        self.index("versions_precedence", c.model_key, c.semver_key, c.number)
        self.index("versions_digest", c.model_key, c.digest)
        self.index("versions_in_stage", c.model_key, c.stage, c.stage_since_us)
        self.index("versions_by_model", c.model_key, c.created_us, c.uid)
        self.index("versions_by_project", c.project_key, c.created_us, c.uid)
        self.index("versions_by_stage", c.stage, c.created_us, c.uid)
        self.index("versions_by_time", c.created_us, c.uid)
        self.index("versions_by_update", c.updated_us, c.created_us, c.uid)
        for field in (c.owner, c.team, c.format):
            self.index(f"versions_by_{field.name}", field, c.created_us, c.uid)
        gone = c.deleted_us.is_not(None)
        self.index(
            "versions_deleted",
            c.created_us,
            c.uid,
            sqlite_where=gone,
            postgresql_where=gone,
        )

    def _define_values(self) -> None:
        self.files = f = self.table(
            "version_files",
            column("digest"),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            # A default, so that a release that does not know the column still registers.
            Column("size_bytes", BigInteger(), server_default=text("0"), nullable=False),
            PrimaryKeyConstraint("digest", "version_key"),
            clustered=True,
        )
        self.index("version_files_version", f.c.version_key)
        self.metrics = m = self.table(
            "version_metrics",
            column("key"),
            column("value", Double()),
            column("created_us", BigInteger()),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            PrimaryKeyConstraint("key", "value", "created_us", "version_key"),
            clustered=True,
        )
        self.index(
            "version_metrics_version",
            m.c.version_key,
            m.c.key,
            unique=True,
            postgresql_include=["value"],
        )
        # The stage stands beside the tag, and moves with the version's, so that "this tag in this
        # stage, newest first" reads one stretch of one index.
        self.tags = t = self.table(
            "version_tags",
            column("key"),
            column("head"),
            column("created_us", BigInteger()),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            column("stage"),
            column("value"),
            PrimaryKeyConstraint(
                "key", "head", "created_us", "version_key", **self._known({"postgresql_include": ["stage"]})
            ),
            clustered=True,
        )
        self.index("version_tags_version", t.c.version_key, t.c.key, unique=True)
        self.params = p = self.table(
            "version_params",
            column("key"),
            column("kind", SmallInteger()),
            column("number", Double()),
            column("head"),
            column("created_us", BigInteger()),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            column("value"),
            PrimaryKeyConstraint("key", "kind", "number", "head", "created_us", "version_key"),
            clustered=True,
        )
        self.index("version_params_version", p.c.version_key, p.c.key, unique=True)

        # An inverted index of our own: one meaning of "word" in every database, and newest first by itself.
        self.words = w = self.table(
            "version_words",
            column("word"),
            column("created_us", BigInteger()),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            PrimaryKeyConstraint("word", "created_us", "version_key"),
            clustered=True,
        )
        self.index("version_words_version", w.c.version_key, w.c.word, unique=True)
        self.loads = self.table(
            "version_loads",
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            column("day", Integer()),  # days since 1970, UTC
            column("count", BigInteger()),
            PrimaryKeyConstraint("version_key", "day"),
            clustered=True,
        )

    def _define_pointers(self) -> None:
        self.aliases = a = self.table(
            "aliases",
            Column("model_key", KEY, self.to(self.models), nullable=False),
            column("name"),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            column("protected", SmallInteger()),
            column("updated_us", BigInteger()),
            column("updated_by"),
            PrimaryKeyConstraint("model_key", "name"),
            clustered=True,
        )
        self.index("aliases_version", a.c.version_key, a.c.name)
        self.edges = e = self.table(
            "lineage_edges",
            Column("key", KEY, primary_key=True),
            column("source"),
            column("relation"),
            column("target"),
            column("at_us", BigInteger()),
            UniqueConstraint("source", "relation", "target", name=f"{self.prefix}lineage_edges_once"),
        )
        self.index("lineage_edges_target", e.c.target, e.c.relation)
        self.datasets = n = self.table(
            "datasets",
            Column("node", WORD, primary_key=True),
            column("name"),
            column("at_us", BigInteger()),
            column("body", Text()),
        )
        self.index("datasets_name", n.c.name)
        self.trust = d = self.table(
            "trust_decisions",
            Column("key", KEY, primary_key=True),
            column("digest"),
            column("at_us", BigInteger()),
            column("body", Text()),
        )
        self.index("trust_decisions_digest", d.c.digest, d.c.at_us)

    def _define_history(self) -> None:
        self.alias_moves = a = self.table(
            "alias_moves",
            Column("key", KEY, primary_key=True),
            Column("model_key", KEY, self.to(self.models), nullable=False),
            column("name"),
            optional("number", BigInteger()),
            optional("previous", BigInteger()),
            column("actor"),
            column("at_us", BigInteger()),
            column("reason", Text()),
        )
        self.index("alias_moves_name", a.c.model_key, a.c.name, a.c.at_us, a.c.key)
        self.stage_moves = s = self.table(
            "stage_moves",
            Column("key", KEY, primary_key=True),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            column("from_stage"),
            column("to_stage"),
            column("actor"),
            column("at_us", BigInteger()),
            column("reason", Text()),
        )
        self.index("stage_moves_version", s.c.version_key, s.c.at_us, s.c.key)
        self.evaluations = e = self.table(
            "evaluations",
            Column("key", KEY, primary_key=True),
            column("uid", UID),
            Column("version_key", KEY, self.to(self.versions), nullable=False),
            column("at_us", BigInteger()),
            column("body", Text()),
            UniqueConstraint("uid", name=f"{self.prefix}evaluations_uid"),
        )
        self.index("evaluations_version", e.c.version_key, e.c.at_us, e.c.key)

    def _define_audit(self) -> None:
        self.audit = a = self.table(
            "audit_events",
            Column("seq", KEY, primary_key=True, autoincrement=False),
            column("uid", UID),
            column("at_us", BigInteger()),
            column("actor"),
            column("event"),
            column("target"),
            column("data", Text()),
            column("previous"),
            column("hash"),
            UniqueConstraint("uid", name=f"{self.prefix}audit_events_uid"),
        )
        self.index("audit_events_target", a.c.target, a.c.seq)
        self.index("audit_events_event", a.c.event, a.c.seq)
        # One row, locked by whoever appends.
        self.audit_head = self.table(
            "audit_head",
            Column("key", KEY, primary_key=True, autoincrement=False),
            column("seq", BigInteger()),
            column("hash"),
        )
        self.outbox = o = self.table(
            "outbox",
            Column("seq", KEY, primary_key=True),
            column("event", Text()),
            optional("delivered_us", BigInteger()),
            counted=True,  # a number is never used twice
        )
        waiting = o.c.delivered_us.is_(None)
        self.index("outbox_waiting", o.c.seq, sqlite_where=waiting, postgresql_where=waiting)
        self.idempotency = i = self.table(
            "idempotency_keys",
            column("actor"),
            column("key"),
            column("op"),
            column("request_digest"),
            column("answer", LargeBinary()),
            column("at_us", BigInteger()),
            PrimaryKeyConstraint("actor", "key"),
        )
        self.index("idempotency_keys_at", i.c.at_us)

    def _define_work(self) -> None:
        self.schedules = s = self.table(
            "schedules",
            Column("name", WORD, primary_key=True),
            column("kind"),
            column("cron"),
            column("zone"),
            column("arguments", Text()),
            column("enabled", SmallInteger()),
            column("misfire"),
            optional("next_us", BigInteger()),
            column("updated_us", BigInteger()),
            column("updated_by"),
        )
        self.index("schedules_next", s.c.next_us)
        self.jobs = j = self.table(
            "jobs",
            Column("key", KEY, primary_key=True),
            column("uid", UID),
            column("kind"),
            column("arguments", Text()),
            column("schedule"),
            optional("fire_us", BigInteger()),
            column("state"),
            column("attempt", Integer()),
            column("attempts_max", Integer()),
            column("run_after_us", BigInteger()),
            # From when it may be claimed: after its pause, or when its lease has run out. NULL when it has ended.
            optional("due_us", BigInteger()),
            column("worker"),
            column("fence", BigInteger()),
            column("result", Text()),
            column("error", Text()),
            column("created_us", BigInteger()),
            column("created_by"),
            optional("started_us", BigInteger()),
            optional("ended_us", BigInteger()),
            UniqueConstraint("uid", name=f"{self.prefix}jobs_uid"),
            UniqueConstraint("schedule", "fire_us", name=f"{self.prefix}jobs_firing"),
        )
        waiting, ended = j.c.due_us.is_not(None), j.c.ended_us.is_not(None)
        self.index("jobs_due", j.c.due_us, j.c.key, sqlite_where=waiting, postgresql_where=waiting)
        self.index("jobs_ended", j.c.ended_us, sqlite_where=ended, postgresql_where=ended)
        self.index("jobs_state", j.c.state, j.c.uid)
        self.index("jobs_kind", j.c.kind, j.c.uid)

    def _define_access(self) -> None:
        self.tokens = t = self.table(
            "tokens",
            Column("id", WORD, primary_key=True),
            column("secret_hash"),
            column("name"),
            column("owner"),
            column("kind"),
            column("scopes", Text()),
            column("project"),
            column("created_us", BigInteger()),
            column("created_by"),
            optional("expires_us", BigInteger()),
            optional("revoked_us", BigInteger()),
            optional("used_us", BigInteger()),
        )
        self.index("tokens_owner", t.c.owner, t.c.id)
        self.members = m = self.table(
            "members",
            column("project"),
            column("kind"),
            column("member"),
            column("role"),
            column("since_us", BigInteger()),
            column("set_by"),
            PrimaryKeyConstraint("project", "kind", "member"),
        )
        self.index("members_member", m.c.kind, m.c.member)
        self.roles = self.table(
            "roles",
            Column("name", WORD, primary_key=True),
            column("permissions", Text()),
            column("description", Text()),
        )
        self.blob_puts = b = self.table(
            "blob_puts",
            column("digest"),
            column("actor"),
            column("at_us", BigInteger()),
            PrimaryKeyConstraint("digest", "actor"),
        )
        self.index("blob_puts_time", b.c.at_us)

    def _define_webhooks(self) -> None:
        self.webhooks = w = self.table(
            "webhooks",
            Column("key", KEY, primary_key=True),
            column("uid", UID),
            column("project"),
            column("kind"),
            column("state"),
            column("body", Text()),
            column("sealed", Text()),
            column("after_seq", BigInteger()),
            column("created_us", BigInteger()),
            column("created_by"),
            column("updated_us", BigInteger()),
            column("failures", Integer()),
            optional("held_us", BigInteger()),
            column("fence", BigInteger()),
            column("worker"),
            optional("lease_us", BigInteger()),
            column("served_us", BigInteger()),
            UniqueConstraint("uid", name=f"{self.prefix}webhooks_uid"),
        )
        self.deliveries = d = self.table(
            "deliveries",
            Column("key", KEY, primary_key=True),
            Column("webhook_key", KEY, self.to(w), nullable=False),
            column("seq", BigInteger()),
            column("event"),
            column("target"),
            column("state"),
            column("attempt", Integer()),
            # From when it may be sent: 0 when it is queued, NULL when it has ended.
            optional("due_us", BigInteger()),
            column("attempts", Text()),
            column("created_us", BigInteger()),
            optional("ended_us", BigInteger()),
            UniqueConstraint("webhook_key", "seq", name=f"{self.prefix}deliveries_event"),
        )
        self.index("deliveries_due", d.c.webhook_key, d.c.state, d.c.due_us, d.c.seq)
        self.index("deliveries_created", d.c.created_us)

    def _define_gateway(self) -> None:
        self.endpoints = e = self.table(
            "endpoints",
            Column("key", KEY, primary_key=True),
            column("uid", UID),
            column("project"),
            column("name"),
            column("body", Text()),
            column("generation", BigInteger()),
            column("created_us", BigInteger()),
            column("created_by"),
            column("updated_us", BigInteger()),
            column("updated_by"),
            UniqueConstraint("uid", name=f"{self.prefix}endpoints_uid"),
            UniqueConstraint("project", "name", name=f"{self.prefix}endpoints_name"),
        )
        self.endpoint_versions = u = self.table(
            "endpoint_versions",
            Column("endpoint_key", KEY, self.to(e), nullable=False),
            column("version_uid", UID),
            PrimaryKeyConstraint("endpoint_key", "version_uid"),
            clustered=True,
        )
        self.index("endpoint_versions_version", u.c.version_uid)
        # One row, locked by whoever changes what routers deal by.
        self.routing = self.table(
            "routing",
            Column("key", KEY, primary_key=True, autoincrement=False),
            column("epoch"),
            column("generation", BigInteger()),
            column("secret"),
        )
        self.routers = r = self.table(
            "routers",
            Column("id", WORD, primary_key=True),
            column("seen_us", BigInteger()),
            column("body", Text()),
        )
        self.index("routers_seen", r.c.seen_us)
        self.outcomes = o = self.table(
            "outcomes",
            column("endpoint_uid", UID),
            column("window_us", BigInteger()),
            column("version_uid", UID),
            column("variant"),
            column("router"),
            column("body", Text()),
            PrimaryKeyConstraint("endpoint_uid", "window_us", "version_uid", "variant", "router"),
            clustered=True,
        )
        self.index("outcomes_window", o.c.window_us)

"""A transaction: every surface of the interface over one connection."""

from __future__ import annotations

from functools import cached_property

from chopmark.abc import catalog as abc
from chopmark.catalog.access import AccessStatements, SqlMembers, SqlPuts, SqlRoles, SqlTokens
from chopmark.catalog.collection import SqlCollection
from chopmark.catalog.collection_statements import CollectionStatements
from chopmark.catalog.execution import Compiler, Executor
from chopmark.catalog.history import (
    HistoryStatements,
    SqlAudit,
    SqlEvaluations,
    SqlIdempotencyKeys,
    SqlOutbox,
    SqlStages,
)
from chopmark.catalog.jobs import JobStatements, SqlJobs
from chopmark.catalog.lineage import LineageStatements, SqlDatasets, SqlLineage
from chopmark.catalog.loads import LoadStatements, SqlLoads
from chopmark.catalog.names import NameStatements, SqlModels, SqlProjects
from chopmark.catalog.pointers import PointerStatements, SqlAliases, SqlTrust
from chopmark.catalog.recorded import RecordedStatements, SqlRecorded
from chopmark.catalog.rows import RowStatements, SqlRows
from chopmark.catalog.schedules import ScheduleStatements, SqlSchedules
from chopmark.catalog.version_statements import VersionStatements
from chopmark.catalog.versions import SqlManifests, SqlVersions

__all__ = ["SqlTransaction", "Statements"]


class Statements:
    """Every statement of a catalog, built once and compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler

    @cached_property
    def names(self) -> NameStatements:
        """On projects and models."""
        return NameStatements(self.compiler)

    @cached_property
    def versions(self) -> VersionStatements:
        """On versions and manifests."""
        return VersionStatements(self.compiler)

    @cached_property
    def pointers(self) -> PointerStatements:
        """On aliases and trust decisions."""
        return PointerStatements(self.compiler)

    @cached_property
    def lineage(self) -> LineageStatements:
        """On edges and data sets."""
        return LineageStatements(self.compiler)

    @cached_property
    def history(self) -> HistoryStatements:
        """On what is only ever added."""
        return HistoryStatements(self.compiler)

    @cached_property
    def loads(self) -> LoadStatements:
        """On loads by day."""
        return LoadStatements(self.compiler)

    @cached_property
    def recorded(self) -> RecordedStatements:
        """On how far the audit is recorded."""
        return RecordedStatements(self.compiler)

    @cached_property
    def collection(self) -> CollectionStatements:
        """On what may go."""
        return CollectionStatements(self.compiler)

    @cached_property
    def rows(self) -> RowStatements:
        """On rows as they are stored."""
        return RowStatements(self.compiler)

    @cached_property
    def access(self) -> AccessStatements:
        """On who may do what."""
        return AccessStatements(self.compiler)

    @cached_property
    def schedules(self) -> ScheduleStatements:
        """On schedules."""
        return ScheduleStatements(self.compiler)

    @cached_property
    def jobs(self) -> JobStatements:
        """On the queue of jobs."""
        return JobStatements(self.compiler)


class SqlTransaction:
    """`chopmark.abc.catalog.Transaction` over one connection."""

    def __init__(self, run: Executor, statements: Statements) -> None:
        pointers = statements.pointers
        versions = statements.versions
        history = statements.history
        lineage = SqlLineage(run, statements.lineage)
        self.projects: abc.Projects = SqlProjects(run, statements.names)
        self.models: abc.Models = SqlModels(run, statements.names, lineage.remove_versions)
        self.versions: abc.Versions = SqlVersions(run, versions, lineage.remove_versions)
        self.manifests: abc.Manifests = SqlManifests(run, versions)
        self.aliases: abc.Aliases = SqlAliases(run, pointers)
        self.stages: abc.Stages = SqlStages(run, history)
        self.evaluations: abc.Evaluations = SqlEvaluations(run, history)
        self.lineage: abc.Lineage = lineage
        self.datasets: abc.Datasets = SqlDatasets(run, statements.lineage)
        self.trust: abc.Trust = SqlTrust(run, pointers)
        self.loads: abc.Loads = SqlLoads(run, statements.loads)
        self.audit: abc.Audit = SqlAudit(run, history)
        self.recorded: abc.Recorded = SqlRecorded(run, statements.recorded)
        self.outbox: abc.Outbox = SqlOutbox(run, history)
        self.idempotency: abc.IdempotencyKeys = SqlIdempotencyKeys(run, history)
        self.collection: abc.Collection = SqlCollection(run, statements.collection)
        self.rows: abc.Rows = SqlRows(run, statements.rows)
        self.tokens: abc.Tokens = SqlTokens(run, statements.access)
        self.members: abc.Members = SqlMembers(run, statements.access)
        self.roles: abc.Roles = SqlRoles(run, statements.access)
        self.puts: abc.Puts = SqlPuts(run, statements.access)
        self.schedules: abc.Schedules = SqlSchedules(run, statements.schedules)
        self.jobs: abc.Jobs = SqlJobs(run, statements.jobs)

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
from chopmark.catalog.webhooks import SqlDeliveries, SqlWebhooks, WebhookStatements

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

    @cached_property
    def webhooks(self) -> WebhookStatements:
        """On webhooks and deliveries."""
        return WebhookStatements(self.compiler)


class SqlTransaction:
    """`chopmark.abc.catalog.Transaction` over one connection; its parts are made when first used, as most calls need few."""

    def __init__(self, run: Executor, statements: Statements) -> None:
        self._run = run
        self._statements = statements

    @cached_property
    def projects(self) -> abc.Projects:
        """See the interface."""
        return SqlProjects(self._run, self._statements.names)

    @cached_property
    def models(self) -> abc.Models:
        """See the interface."""
        return SqlModels(self._run, self._statements.names, self.lineage.remove_versions)

    @cached_property
    def versions(self) -> abc.Versions:
        """See the interface."""
        return SqlVersions(self._run, self._statements.versions, self.lineage.remove_versions)

    @cached_property
    def manifests(self) -> abc.Manifests:
        """See the interface."""
        return SqlManifests(self._run, self._statements.versions)

    @cached_property
    def aliases(self) -> abc.Aliases:
        """See the interface."""
        return SqlAliases(self._run, self._statements.pointers)

    @cached_property
    def stages(self) -> abc.Stages:
        """See the interface."""
        return SqlStages(self._run, self._statements.history)

    @cached_property
    def evaluations(self) -> abc.Evaluations:
        """See the interface."""
        return SqlEvaluations(self._run, self._statements.history)

    @cached_property
    def lineage(self) -> SqlLineage:
        """See the interface."""
        return SqlLineage(self._run, self._statements.lineage)

    @cached_property
    def datasets(self) -> abc.Datasets:
        """See the interface."""
        return SqlDatasets(self._run, self._statements.lineage)

    @cached_property
    def trust(self) -> abc.Trust:
        """See the interface."""
        return SqlTrust(self._run, self._statements.pointers)

    @cached_property
    def loads(self) -> abc.Loads:
        """See the interface."""
        return SqlLoads(self._run, self._statements.loads)

    @cached_property
    def audit(self) -> abc.Audit:
        """See the interface."""
        return SqlAudit(self._run, self._statements.history)

    @cached_property
    def recorded(self) -> abc.Recorded:
        """See the interface."""
        return SqlRecorded(self._run, self._statements.recorded)

    @cached_property
    def outbox(self) -> abc.Outbox:
        """See the interface."""
        return SqlOutbox(self._run, self._statements.history)

    @cached_property
    def idempotency(self) -> abc.IdempotencyKeys:
        """See the interface."""
        return SqlIdempotencyKeys(self._run, self._statements.history)

    @cached_property
    def collection(self) -> abc.Collection:
        """See the interface."""
        return SqlCollection(self._run, self._statements.collection)

    @cached_property
    def rows(self) -> abc.Rows:
        """See the interface."""
        return SqlRows(self._run, self._statements.rows)

    @cached_property
    def tokens(self) -> abc.Tokens:
        """See the interface."""
        return SqlTokens(self._run, self._statements.access)

    @cached_property
    def members(self) -> abc.Members:
        """See the interface."""
        return SqlMembers(self._run, self._statements.access)

    @cached_property
    def roles(self) -> abc.Roles:
        """See the interface."""
        return SqlRoles(self._run, self._statements.access)

    @cached_property
    def puts(self) -> abc.Puts:
        """See the interface."""
        return SqlPuts(self._run, self._statements.access)

    @cached_property
    def schedules(self) -> abc.Schedules:
        """See the interface."""
        return SqlSchedules(self._run, self._statements.schedules)

    @cached_property
    def jobs(self) -> abc.Jobs:
        """See the interface."""
        return SqlJobs(self._run, self._statements.jobs)

    @cached_property
    def webhooks(self) -> abc.Webhooks:
        """See the interface."""
        return SqlWebhooks(self._run, self._statements.webhooks)

    @cached_property
    def deliveries(self) -> abc.Deliveries:
        """See the interface."""
        return SqlDeliveries(self._run, self._statements.webhooks)

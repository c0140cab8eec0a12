"""A transaction: every surface of the interface over one connection."""

from __future__ import annotations

import hashlib
from functools import cached_property

from chopmark.abc import catalog as abc
from chopmark.catalog.access import AccessStatements, SqlMembers, SqlPuts, SqlRoles, SqlTokens
from chopmark.catalog.collection import SqlCollection
from chopmark.catalog.collection_statements import CollectionStatements
from chopmark.catalog.endpoints import EndpointStatements, SqlEndpoints
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.experiment_units import ExperimentUnitStatements, SqlExperimentUnits
from chopmark.catalog.experiments import ExperimentStatements, SqlExperiments
from chopmark.catalog.feedback import FeedbackStatements, ProfileStatements, SqlFeedback, SqlProfileCounts
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
from chopmark.catalog.monitors import MonitorStatements, SqlAlerts, SqlMonitors
from chopmark.catalog.names import NameStatements, SqlModels, SqlProjects
from chopmark.catalog.outcome_tiers import SqlOutcomeTiers, TierStatements
from chopmark.catalog.outcomes import OutcomeStatements, SqlOutcomes
from chopmark.catalog.pointers import PointerStatements, SqlAliases, SqlTrust
from chopmark.catalog.recorded import RecordedStatements, SqlRecorded
from chopmark.catalog.rollouts import RolloutStatements, SqlRollouts
from chopmark.catalog.routers import RouterStatements, SqlRouters, SqlRoutingMarks
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
    def lock(self) -> Prepared | None:
        """Keeps a name until the transaction ends; None where there is one writer anyway."""
        return Prepared("SELECT pg_advisory_xact_lock(%(key)s)", {}) if self.compiler.is_postgres else None

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

    @cached_property
    def endpoints(self) -> EndpointStatements:
        """On endpoints."""
        return EndpointStatements(self.compiler)

    @cached_property
    def experiments(self) -> ExperimentStatements:
        """On experiments."""
        return ExperimentStatements(self.compiler)

    @cached_property
    def experiment_units(self) -> ExperimentUnitStatements:
        """On units of experiments."""
        return ExperimentUnitStatements(self.compiler)

    @cached_property
    def routers(self) -> RouterStatements:
        """On the routing and on routers."""
        return RouterStatements(self.compiler)

    @cached_property
    def outcomes(self) -> OutcomeStatements:
        """On what became of requests."""
        return OutcomeStatements(self.compiler)

    @cached_property
    def outcome_tiers(self) -> TierStatements:
        """On outcomes by hour and day."""
        return TierStatements(self.compiler)

    @cached_property
    def feedback(self) -> FeedbackStatements:
        """On what was said of answers."""
        return FeedbackStatements(self.compiler)

    @cached_property
    def profile_counts(self) -> ProfileStatements:
        """On what requests looked like."""
        return ProfileStatements(self.compiler)

    @cached_property
    def watching(self) -> MonitorStatements:
        """On monitors and alerts."""
        return MonitorStatements(self.compiler)

    @cached_property
    def rollouts(self) -> RolloutStatements:
        """On rollouts."""
        return RolloutStatements(self.compiler)


def lock_key(name: str) -> int:
    """The number that PostgreSQL knows a locked name by; names that share one wait for each other without need."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


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

    @cached_property
    def endpoints(self) -> abc.Endpoints:
        """See the interface."""
        return SqlEndpoints(self._run, self._statements.endpoints)

    @cached_property
    def experiments(self) -> abc.Experiments:
        """See the interface."""
        return SqlExperiments(self._run, self._statements.experiments)

    @cached_property
    def experiment_units(self) -> abc.ExperimentUnits:
        """See the interface."""
        return SqlExperimentUnits(self._run, self._statements.experiment_units)

    @cached_property
    def routing(self) -> abc.RoutingMarks:
        """See the interface."""
        return SqlRoutingMarks(self._run, self._statements.routers)

    @cached_property
    def routers(self) -> abc.Routers:
        """See the interface."""
        return SqlRouters(self._run, self._statements.routers)

    @cached_property
    def outcomes(self) -> abc.Outcomes:
        """See the interface."""
        return SqlOutcomes(self._run, self._statements.outcomes)

    @cached_property
    def outcome_tiers(self) -> abc.OutcomeTiers:
        """See the interface."""
        return SqlOutcomeTiers(self._run, self._statements.outcome_tiers)

    @cached_property
    def feedback(self) -> abc.FeedbackRows:
        """See the interface."""
        return SqlFeedback(self._run, self._statements.feedback)

    @cached_property
    def profile_counts(self) -> abc.ProfileCounts:
        """See the interface."""
        return SqlProfileCounts(self._run, self._statements.profile_counts)

    @cached_property
    def monitors(self) -> abc.Monitors:
        """See the interface."""
        return SqlMonitors(self._run, self._statements.watching)

    @cached_property
    def alerts(self) -> abc.Alerts:
        """See the interface."""
        return SqlAlerts(self._run, self._statements.watching)

    @cached_property
    def rollouts(self) -> abc.Rollouts:
        """See the interface."""
        return SqlRollouts(self._run, self._statements.rollouts)

    def lock(self, name: str) -> None:
        """See the interface."""
        self._run.check_writing()
        if self._statements.lock is not None:
            self._run.one(self._statements.lock, {"key": lock_key(name)})

"""A catalog in memory, for tests: slow, small, and true to the interface.

It keeps JSON, as the databases do, so that what comes out is never what went in by identity. A
writing block works on a copy of the state, which takes the place of the old one when it succeeds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from chopmark.abc import catalog as abc
from chopmark.errors import InvalidRequest, TimedOut
from chopmark.testing.memory_access import MemoryMembers, MemoryPuts, MemoryRoles, MemoryTokens
from chopmark.testing.memory_collection import MemoryCollection, MemoryRows
from chopmark.testing.memory_experiments import MemoryExperiments, MemoryExperimentUnits
from chopmark.testing.memory_history import (
    MemoryAudit,
    MemoryEvaluations,
    MemoryIdempotencyKeys,
    MemoryOutbox,
    MemoryRecorded,
    MemoryStages,
)
from chopmark.testing.memory_jobs import MemoryJobs, MemorySchedules
from chopmark.testing.memory_lineage import MemoryDatasets, MemoryLineage
from chopmark.testing.memory_monitors import MemoryAlerts, MemoryMonitors
from chopmark.testing.memory_names import MemoryModels, MemoryProjects
from chopmark.testing.memory_outcomes import MemoryFeedback, MemoryOutcomeTiers, MemoryProfileCounts
from chopmark.testing.memory_pointers import MemoryAliases, MemoryLoads, MemoryTrust
from chopmark.testing.memory_rollouts import MemoryRollouts
from chopmark.testing.memory_routing import MemoryEndpoints, MemoryOutcomes, MemoryRouters, MemoryRoutingMarks
from chopmark.testing.memory_state import Scope, State
from chopmark.testing.memory_versions import MemoryManifests, MemoryVersions
from chopmark.testing.memory_webhooks import MemoryDeliveries, MemoryWebhooks

__all__ = ["MemoryCatalog"]


class MemoryTransaction:
    """`chopmark.abc.catalog.Transaction`."""

    def __init__(self, scope: Scope) -> None:
        self.projects: abc.Projects = MemoryProjects(scope)
        self.models: abc.Models = MemoryModels(scope)
        self.versions: abc.Versions = MemoryVersions(scope)
        self.manifests: abc.Manifests = MemoryManifests(scope)
        self.aliases: abc.Aliases = MemoryAliases(scope)
        self.stages: abc.Stages = MemoryStages(scope)
        self.evaluations: abc.Evaluations = MemoryEvaluations(scope)
        lineage = MemoryLineage(scope, self.versions.by_id)
        self.lineage: abc.Lineage = lineage
        self.datasets: abc.Datasets = MemoryDatasets(scope, lineage)
        self.trust: abc.Trust = MemoryTrust(scope)
        self.loads: abc.Loads = MemoryLoads(scope)
        self.audit: abc.Audit = MemoryAudit(scope)
        self.outbox: abc.Outbox = MemoryOutbox(scope)
        self.recorded: abc.Recorded = MemoryRecorded(scope)
        self.idempotency: abc.IdempotencyKeys = MemoryIdempotencyKeys(scope)
        self.collection: abc.Collection = MemoryCollection(scope)
        self.rows: abc.Rows = MemoryRows(scope)
        self.tokens: abc.Tokens = MemoryTokens(scope)
        self.members: abc.Members = MemoryMembers(scope)
        self.roles: abc.Roles = MemoryRoles(scope)
        self.puts: abc.Puts = MemoryPuts(scope)
        self.schedules: abc.Schedules = MemorySchedules(scope)
        self.jobs: abc.Jobs = MemoryJobs(scope)
        self.webhooks: abc.Webhooks = MemoryWebhooks(scope)
        self.deliveries: abc.Deliveries = MemoryDeliveries(scope)
        self.endpoints: abc.Endpoints = MemoryEndpoints(scope)
        self.experiments: abc.Experiments = MemoryExperiments(scope)
        self.experiment_units: abc.ExperimentUnits = MemoryExperimentUnits(scope)
        self.routing: abc.RoutingMarks = MemoryRoutingMarks(scope)
        self.routers: abc.Routers = MemoryRouters(scope)
        self.outcomes: abc.Outcomes = MemoryOutcomes(scope)
        self.outcome_tiers: abc.OutcomeTiers = MemoryOutcomeTiers(scope)
        self.feedback: abc.FeedbackRows = MemoryFeedback(scope)
        self.profile_counts: abc.ProfileCounts = MemoryProfileCounts(scope)
        self.monitors: abc.Monitors = MemoryMonitors(scope)
        self.alerts: abc.Alerts = MemoryAlerts(scope)
        self.rollouts: abc.Rollouts = MemoryRollouts(scope)
        self._scope = scope

    def lock(self, name: str) -> None:  # noqa: ARG002 - there is one writer anyway
        """See the interface."""
        _ = self._scope.write


class MemoryCatalog:
    """`chopmark.abc.catalog.Catalog` in memory; it ends with the process, and is of one process.

    Parameters
    ----------
    lock_timeout_s
        How long a writer waits for others.
    """

    def __init__(self, lock_timeout_s: float = 30.0) -> None:
        self._state = State()
        self._writer = threading.Lock()
        self._owner: int | None = None
        self._lock_timeout_s = lock_timeout_s
        self._is_closed = False

    def reading(self) -> AbstractContextManager[abc.Transaction]:
        """See the interface."""
        return self._reading()

    def reading_now(self) -> None:
        """See the interface: a writer keeps readers waiting."""
        return

    def writing(self) -> AbstractContextManager[abc.Transaction]:
        """See the interface."""
        return self._writing()

    def close(self) -> None:
        """See the interface."""
        self._is_closed = True

    @contextmanager
    def _reading(self) -> Iterator[abc.Transaction]:
        self._check_open()
        scope = Scope(self._state, is_writing=False)
        try:
            yield MemoryTransaction(scope)
        finally:
            scope.end()

    @contextmanager
    def _writing(self) -> Iterator[abc.Transaction]:
        self._check_open()
        if self._owner == threading.get_ident():
            raise InvalidRequest("This thread is inside writing() already.", hint="Use that transaction.")
        if not self._writer.acquire(timeout=self._lock_timeout_s):
            raise TimedOut(f"Others have been writing for {self._lock_timeout_s:g} seconds.")
        self._owner = threading.get_ident()
        state = self._state.copy()
        scope = Scope(state, is_writing=True)
        try:
            yield MemoryTransaction(scope)
            self._state = state
        finally:
            scope.end()
            self._owner = None
            self._writer.release()

    def _check_open(self) -> None:
        if self._is_closed:
            raise InvalidRequest("The catalog was closed.", hint="Open it again.")

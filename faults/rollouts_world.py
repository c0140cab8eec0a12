"""What a simulated rollout happens in: a database with one clock, routers that take its routings, traffic and metrics.

Nothing here decides anything of a rollout; the product does. What is broken on purpose is named in ``broken``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from msgspec import structs

from chopmark.domain.endpoints import Endpoint, Router, RouterReport, RoutingMark, ServedVariant
from chopmark.domain.live import SILENT_AFTER
from chopmark.domain.rollout_totals import ArmTotals, Gauge
from chopmark.domain.rollouts import ACTIVE, Observation, Rollout, RolloutAlert, RolloutEvent, SetSplit
from chopmark.domain.traffic import PinnedVersion, Variant
from chopmark.gateway.router import is_older
from chopmark.stats.summaries import Proportion

__all__ = ["Database", "SimulatedRouter", "World", "version"]

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
_NAME = "api"


def version(number: int) -> PinnedVersion:
    """Version of a number."""
    return PinnedVersion(id=UUID(int=number), model="fraud", number=number, digest=f"sha256:{number:064x}")


@dataclass
class Database:
    """Rows, and what a backup would keep of them."""

    endpoint: Endpoint
    mark: RoutingMark
    rollouts: dict[UUID, Rollout] = field(default_factory=dict)
    superseded: dict[UUID, str] = field(default_factory=dict)
    alerts: set[UUID] = field(default_factory=set)
    """Of rollouts whose shadow gets nothing, as people know."""

    def copy(self) -> Database:
        """As a backup keeps it."""
        return Database(self.endpoint, self.mark, dict(self.rollouts), dict(self.superseded), set(self.alerts))

    def active(self) -> list[Rollout]:
        """Rollouts that have the endpoint."""
        return [r for r in self.rollouts.values() if r.state in ACTIVE]


@dataclass
class SimulatedRouter:
    """A router: what it deals by, and what is on its way to it."""

    id: str
    endpoint: Endpoint
    mark: RoutingMark
    is_alive: bool = True
    is_mute: bool = False
    is_stale: bool = False
    unloadable: frozenset[UUID] = frozenset()
    pending: Endpoint | None = None
    notices: list[tuple[RoutingMark, Endpoint]] = field(default_factory=list)
    report: Router | None = None
    reported_at: datetime = START

    def offered(self, mark: RoutingMark, endpoint: Endpoint, *, any_generation: bool) -> bool:
        """Take a routing unless it is older; whether it was older and taken all the same."""
        older = is_older(mark, self.mark)
        if older and not any_generation:
            return False
        self.mark, self.pending = mark, None
        if any(v.version.id in self.unloadable for v in endpoint.variants):
            self.pending = endpoint  # what it cannot load it does not deal by
        else:
            self.endpoint = endpoint
        return older

    def reported(self, now: datetime, true: datetime) -> None:
        """Its report reaches the database."""
        self.reported_at = true
        tables = [(self.endpoint, "serving")]
        if self.pending is not None:
            tables.append((self.pending, "pending"))
        served = tuple(
            ServedVariant(
                endpoint=_NAME,
                variant=v.name,
                version=v.version.ref,
                digest=v.version.digest,
                weight=v.weight,
                generation=endpoint.generation,
                state="serving" if how == "serving" else "failed" if v.version.id in self.unloadable else "loading",
                since=now,
            )
            for endpoint, how in tables
            for v in endpoint.variants
        )
        report = RouterReport(id=self.id, mark=self.mark, started_at=START, served=served)
        self.report = Router(report=report, seen_at=now)


class World:
    """One simulated installation with one endpoint.

    Parameters
    ----------
    rng
        All chance.
    broken
        Names of what is broken on purpose.
    """

    def __init__(self, rng: random.Random, broken: frozenset[str]) -> None:
        self.rng, self.broken = rng, broken
        first = Variant(name="stable", version=version(1), weight=10_000)
        self.db = Database(
            Endpoint(
                id=UUID(int=99),
                project="default",
                name=_NAME,
                variants=(first,),
                generation=1,
                created_at=START,
                created_by="ada",
                updated_at=START,
                updated_by="ada",
            ),
            RoutingMark("e1", 1),
        )
        self.true = START
        self.clock_error = timedelta(0)
        count = rng.choice((1, 2, 2, 3))
        self.routers = [SimulatedRouter(f"r{n}", self.db.endpoint, self.db.mark) for n in range(count)]
        self.requests: Counter[int] = Counter()
        self.bad: Counter[int] = Counter()
        self.late: list[tuple[int, int, int]] = []
        self.error_rates = {1: 0.01}
        self.traffic = rng.choice((5, 60, 60, 200))
        self.gauge = "good"
        self.drift = "good"
        self.set_back = timedelta(0)
        """By how much the clock was set back so far."""
        self.gauges: dict[str, Gauge] = {}
        self.alert = ""
        self.backup: Database | None = None
        self.events: list[RolloutEvent] = []
        self.found: list[str] = []
        for router in self.routers:
            router.reported(self.now, self.true)

    @property
    def now(self) -> datetime:
        """By the database's clock."""
        return self.true + self.clock_error

    def tick(self, seconds: float, *, notice_rate: float) -> None:
        """Time passes: routers ask and report, requests come."""
        self.true += timedelta(seconds=seconds)
        for router in self.routers:
            if not router.is_alive:
                continue
            if not router.is_stale and self.rng.random() < notice_rate:
                self.take(router, self.db.mark, self.db.endpoint)
            if not router.is_mute:
                router.reported(self.now, self.true)
        self.answer()
        self.measure()

    def take(self, router: SimulatedRouter, mark: RoutingMark, endpoint: Endpoint) -> None:
        """A router is offered a routing."""
        if router.offered(mark, endpoint, any_generation="any_generation" in self.broken):
            self.found.append(f"{router.id} applied an older routing")

    def answer(self) -> None:
        """Requests are dealt by each router's own table, and recorded at once or later."""
        if not self.traffic:
            return
        for router in self.routers:
            if not router.is_alive:
                continue
            for shadow in router.endpoint.shadows:
                copies = self.traffic * shadow.weight // 10_000
                self._record((shadow.version.number, copies, 0))
            for variant in router.endpoint.variants:
                number, n = variant.version.number, self.traffic * variant.weight // 10_000
                if n:
                    bad = sum(self.rng.random() < self.error_rates.get(number, 0.01) for _ in range(min(n, 12)))
                    outcome = (number, n, min(n, bad * max(1, n // 12)))
                    if self.rng.random() < 0.1:
                        self.late.append(outcome)
                    else:
                        self._record(outcome)
        if self.late and self.rng.random() < 0.5:
            self._record(self.late.pop())

    def _record(self, outcome: tuple[int, int, int]) -> None:
        number, n, bad = outcome
        self.requests[number] += n
        self.bad[number] += bad

    def measure(self) -> None:
        """The gauge: good, no number, none at all, late, or to and fro."""
        kind = self.gauge
        if kind == "empty":
            self.gauges = {}
        elif kind != "late":
            bad = kind == "bad" or (kind == "flapping" and self.rng.random() < 0.5)
            value = float("nan") if kind == "nan" else 9.0 if bad else 1.0
            self.gauges = {"quality": Gauge(value, self.now)}

    def measured(self, rollout: Rollout) -> dict[str, Gauge]:
        """How far requests have drifted in a step, as a worker measures it now."""
        value = {"good": 0.2, "bad": 9.0}.get(self.drift)
        return {
            "drift": Gauge(
                value, self.now, rollout.place, rollout.confirmed_at, is_unknowable=self.drift == "unknowable"
            )
        }

    def totals(self, number: int, drift: Mapping[str, Gauge]) -> ArmTotals:
        """What was recorded of a version, and what was measured of it just now."""
        n, bad = self.requests[number], self.bad[number]
        counts = Proportion(bad, n)
        return ArmTotals(requests=n, errors=counts, failures=counts, gauges={**self.gauges, **drift})

    def observed(self, rollout: Rollout, drift: Mapping[str, Gauge] = MappingProxyType({})) -> Observation:
        """What a worker reads for a rollout, with what it measured."""
        others = [r for r in self.db.active() if r.id != rollout.id]
        stable = rollout.stable.number if rollout.stable is not None else 1
        return Observation(
            mark=self.db.mark,
            endpoint=self.db.endpoint,
            routers=tuple(r.report for r in self.routers if r.report is not None),
            stable=self.totals(stable, {}),
            candidate=self.totals(rollout.candidate.number, drift),
            alerts=(RolloutAlert(self.alert, "pause"),) if self.alert else (),
            is_free=not others,
            superseded_by=self.db.superseded.get(rollout.id, ""),
        )

    def live(self) -> list[SimulatedRouter]:
        """Routers that reported within the last seconds, by the truth, whatever the database's clock did meanwhile."""
        return [r for r in self.routers if r.is_alive and self.true - r.reported_at <= SILENT_AFTER]

    def is_anybody_heard(self) -> bool:
        """Whether there is a report that is not old by the database's clock."""
        return any(r.report is not None and self.now - r.report.seen_at <= SILENT_AFTER for r in self.routers)

    def set_split(self, split: SetSplit) -> RoutingMark:
        """Within a transaction: the endpoint changes, and notices set out."""
        db = self.db
        db.mark = RoutingMark(db.mark.epoch, db.mark.generation + 1)
        db.endpoint = structs.replace(
            db.endpoint, variants=split.variants, shadows=split.shadows, generation=db.mark.generation
        )
        for router in self.routers:
            for _ in range(self.rng.choice((0, 1, 1, 2))):
                router.notices.append((db.mark, db.endpoint))
        return db.mark

    def restore(self) -> None:
        """The database is as it was at the backup, in a new epoch."""
        if self.backup is None:
            return
        self.db = self.backup.copy()
        epoch = f"e{int(self.true.timestamp())}"
        self.db.mark = RoutingMark(epoch, self.db.mark.generation + 1)

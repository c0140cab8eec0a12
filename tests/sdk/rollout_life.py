"""An endpoint under a rollout, as its routers and callers make it: reports, requests and looks, one by one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import structs

import chopmark as cm
from chopmark.domain.endpoints import RouterReport, ServedVariant
from chopmark.domain.outcomes import ErrorCounts, OutcomeWindow, window_start
from chopmark.domain.rollouts import Rollout
from chopmark.ops.endpoints import GetRouting, ReportRouter
from chopmark.ops.rollouts import AdvanceRollout
from chopmark.stats.sketch import QuantileSketch

NAME = "fraud-api"


class Life:
    """A registry with two versions and an endpoint, a router that serves what it is told, and a worker that looks when told to."""

    def __init__(self, registry: cm.Registry) -> None:
        self.registry = registry
        self.versions = [registry.register("fraud", {"threshold": t}) for t in (0.7, 0.8, 0.9)]
        self.endpoint = registry.endpoints.create(NAME, self.versions[0])
        self.counted: dict[tuple[UUID, datetime], OutcomeWindow] = {}

    @property
    def rollout(self) -> Rollout:
        """The newest."""
        return self.registry.rollouts.get(NAME).rollout

    @property
    def shares(self) -> dict[str, int]:
        """Weight by version, as it is meant to be."""
        return {v.version.ref: v.weight for v in self.registry.endpoints.get(NAME).variants}

    def look(self, rollout: Rollout | None = None) -> Rollout:
        """A worker looks, until nothing changes."""
        which = rollout.id if rollout is not None else None
        for _ in range(30):
            before = self.registry.rollouts.get(NAME, which).rollout
            after: Rollout = self.registry._transport.call(AdvanceRollout(endpoint=NAME, rollout=before.id))
            if after.revision == before.revision:
                return after
        raise AssertionError("it never came to rest")

    def confirm(self, router: str = "r1", *, state: str = "serving", why: str = "") -> None:
        """A router reports that it serves the newest routing."""
        routing = self.registry._transport.call(GetRouting()).routing
        now = self.registry.endpoints.live().at
        served = tuple(
            ServedVariant(
                endpoint=endpoint.ref,
                variant=v.name,
                version=v.version.ref,
                digest=v.version.digest,
                weight=v.weight,
                generation=endpoint.generation,
                state=state if v.name == "candidate" else "serving",  # type: ignore[arg-type]
                since=now,
                why=why,
            )
            for endpoint in routing.endpoints
            for v in endpoint.variants
        )
        report = RouterReport(id=router, mark=routing.mark, started_at=now, served=served)
        self.registry._transport.call(ReportRouter(report=report, outcomes=tuple(self.counted.values())))

    def answer(self, number: int, requests: int, *, bad: int = 0, slow_ms: float = 2.0) -> None:
        """Requests are answered by a version, and told with the next report."""
        version, now = self.versions[number - 1], self.registry.endpoints.live().at
        place = version.id, window_start(now)
        latency = QuantileSketch.of([slow_ms * 1e6] * (requests - bad))
        window = OutcomeWindow(
            endpoint=self.endpoint.id,
            version=version.id,
            variant="any",
            start=place[1],
            requests=requests,
            rows=requests - bad,
            errors=ErrorCounts(model=bad),
            latency=latency,
        )
        there = self.counted.get(place)
        self.counted[place] = window if there is None else there + structs.replace(window, variant=there.variant)

    def go(self) -> Rollout:
        """One look, one report of the router, and one more look."""
        self.look()
        self.confirm()
        return self.look()

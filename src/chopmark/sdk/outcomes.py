"""``registry.outcomes``: what became of requests, recorded for models that answer elsewhere, and told for all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import structs

from chopmark.base.clock import system_clock
from chopmark.base.ids import random_bytes
from chopmark.base.settings import Settings
from chopmark.domain.durations import Duration
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.live_drift import LiveDrift
from chopmark.domain.outcome_summaries import OutcomeComparison, OutcomeSummary, OutcomeTrend
from chopmark.domain.outcome_tiers import Grain, beginning, span_seconds
from chopmark.domain.outcomes import MetricSums, Spending, check_amounts
from chopmark.errors import InvalidRequest
from chopmark.ops import outcomes as q
from chopmark.ops.outcomes import OutcomeReceipt, RecordedMinute
from chopmark.sdk.live_drift import live_drift
from chopmark.sdk.outcome_values import checked_time, error_counts, latencies, measured, plain_number
from chopmark.sdk.surface import EndpointReference, ModelReference, Reference, Surface
from chopmark.sdk.transport import Transport
from chopmark.stats.checks import check_count
from chopmark.stats.sketch import QuantileSketch

__all__ = ["ErrorClass", "Outcomes"]

ErrorClass = Literal["client", "model", "timeout", "refused", "unreadable"]

NS_PER_MS = 1e6
_TOTALS_MAX = 3_000

_Place = tuple[str, str, str]


class _Source:
    """Totals of minutes that this process has recorded: each report says the whole of a minute, and replaces the one before.

    After a report of which is not known whether it arrived another source begins, as its totals cannot be told any more; and in the
    child of a fork, whose totals would replace its parent's.
    """

    def __init__(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._begin()

    def _here(self) -> threading.Lock:
        """The lock of this process."""
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
            self._begin()
        return self._lock

    def _begin(self) -> None:
        self._name = random_bytes(16).hex()
        self._totals: dict[tuple[_Place, datetime], RecordedMinute] = {}

    def add(
        self,
        place: _Place,
        minutes: Iterable[RecordedMinute],
        send: Callable[[str, list[RecordedMinute]], OutcomeReceipt],
    ) -> OutcomeReceipt:
        """Add to the totals and report those that changed; how much of what was added counts."""
        with self._here():
            if len(self._totals) > _TOTALS_MAX:
                self._begin()
            new = list(minutes)
            totals: dict[tuple[_Place, datetime], RecordedMinute] = {}
            for each in new:
                key = (place, beginning(each.at, "minute"))
                known = totals.get(key) or self._totals.get(key)
                totals[key] = each if known is None else _both(known, each)
            try:
                receipt = send(self._name, list(totals.values()))
            except BaseException:
                self._begin()
                raise
            self._totals.update(totals)
        told = sum(each.requests for each in new)
        refused = min(receipt.refused, told)
        return OutcomeReceipt(told - refused, refused)


class Outcomes(Surface):
    """Verbs about what became of requests. Gateways report theirs by themselves; others are recorded."""

    def __init__(self, transport: Transport, settings: Settings) -> None:
        super().__init__(transport, settings)
        self._source = _Source()

    def record(
        self,
        version: Reference,
        *,
        requests: int = 1,
        errors: int | Mapping[str, int] | ErrorClass = 0,
        latency_ms: float | Sequence[float] | None = None,
        cost_usd: float = 0.0,
        metrics: Mapping[str, float] | None = None,
        at: datetime | None = None,
        endpoint: EndpointReference = "",
        variant: str = "",
        source: str = "",
    ) -> OutcomeReceipt:
        """Record what became of one request, or of a few, that a model answered somewhere else.

        Parameters
        ----------
        version
            What answered.
        requests
            How many there were, those that failed too.
        errors
            How many failed (by the model's fault), or by whose fault: ``{"timeout": 2}``; or why the only one did: ``"timeout"``.
        latency_ms
            How long the answer took, or each answer.
        cost_usd
            What they cost together.
        metrics
            What else was measured, one value of each name: ``{"clicks": 1.0}``.
        at
            When; by default now.
        endpoint, variant
            Where it answered, when that is an endpoint of this registry; else it counts for its model.
        source
            Makes this report one that may be repeated: what a source says of a minute replaces what it said of it before. Without it
            each call adds, and when one raises, it is not known whether it counted.

        Raises
        ------
        NotFound
            When there is no such version or endpoint.
        InvalidRequest
            When more failed than there were, or a number cannot be meant: what is not finite, a cost or a latency below 0, and counts
            beyond 10¹², costs beyond 10¹² USD or sums of a metric beyond 10⁶⁰ in one minute.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> version = registry.register("fraud", {"threshold": 0.7})
        >>> registry.outcomes.record(version, latency_ms=12.5, metrics={"amount": 99.0})
        OutcomeReceipt(requests=1, refused=0)
        >>> registry.outcomes.record(version, errors="timeout").requests
        1
        >>> registry.outcomes.summary(model="fraud").variants[0].success_rate
        0.5
        """
        check_count("requests", requests)
        counts = error_counts(errors, requests)
        took_ns = [each * NS_PER_MS for each in latencies(latency_ms)]
        minute = RecordedMinute(
            at=system_clock() if at is None else checked_time(at),
            requests=requests,
            rows=max(requests - counts.total, 0),
            errors=counts,
            latency=QuantileSketch.of(took_ns) if took_ns else QuantileSketch(),
            spent=Spending(cost_usd=plain_number("cost_usd", cost_usd)),
            metrics=measured(metrics),
        )
        return self._record(version, [minute], endpoint, variant, source)

    def record_batch(
        self,
        version: Reference,
        *,
        at: Any = None,
        latency_ms: Any = None,
        error: Any = None,
        cost_usd: Any = None,
        metrics: Mapping[str, Any] | None = None,
        endpoint: EndpointReference = "",
        variant: str = "",
        source: str = "",
    ) -> OutcomeReceipt:
        """Record what became of many requests, a row each: columns are added up here, and minutes are sent.

        Parameters
        ----------
        version
            What answered.
        at
            When each was asked: datetimes, numpy's datetime64, or seconds since 1970; or one time for all. By default now.
        latency_ms
            How long each took, NaN where that is not known.
        error
            Whether each failed, or by whose fault: ``client``, ``model``, ``timeout``, ``refused``, ``unreadable``, and empty where it did not.
        cost_usd
            What each cost.
        metrics
            What else was measured, a column of each name.
        endpoint, variant, source
            As for `record`.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> version = registry.register("fraud", {"threshold": 0.7})
        >>> registry.outcomes.record_batch(version, latency_ms=[4.0, 5.0, 6.0], error=["", "", "timeout"])
        OutcomeReceipt(requests=3, refused=0)
        >>> registry.outcomes.summary(model="fraud").variants[0].errors.timeout
        1
        """
        from chopmark.sdk.outcome_rows import minutes_of_rows

        minutes = minutes_of_rows(
            system_clock(), at=at, latency_ms=latency_ms, error=error, cost_usd=cost_usd, metrics=metrics
        )
        return self._record(version, minutes, endpoint, variant, source)

    def summary(
        self,
        endpoint: EndpointReference = "",
        *,
        model: ModelReference = "",
        over: Duration = "1h",
        by: Literal["variant", "version"] = "variant",
    ) -> OutcomeSummary:
        """What became of the requests of an endpoint, or of those that were recorded of a model, until now.

        Parameters
        ----------
        endpoint, model
            One of them.
        over
            How far back: ``15m``, ``1h``, ``7d``, or seconds.
        by
            ``variant``, or ``version``: then variants of one version are added up, but for shadows.
        """
        request = q.ShowOutcomes(
            endpoint=self._endpoint(endpoint), model=self._of(model), over_s=span_seconds(over), by=by
        )
        found: OutcomeSummary = self._call(request)
        return found

    def trend(
        self,
        endpoint: EndpointReference = "",
        *,
        model: ModelReference = "",
        over: Duration = "24h",
        every: Grain = "hour",
        by: Literal["variant", "version"] = "variant",
    ) -> OutcomeTrend:
        """What became of requests minute by minute, hour by hour or day by day, until now.

        Parameters
        ----------
        endpoint, model, over, by
            As for `summary`.
        every
            ``minute`` (kept for 48 hours), ``hour`` (35 days) or ``day`` (400 days).

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> version = registry.register("fraud", {"threshold": 0.7})
        >>> done = registry.outcomes.record(version, requests=3)
        >>> [point.outcome.requests for point in registry.outcomes.trend(model="fraud", every="day").points]
        [3]
        """
        request = q.ShowOutcomeTrend(
            endpoint=self._endpoint(endpoint), model=self._of(model), over_s=span_seconds(over), every=every, by=by
        )
        found: OutcomeTrend = self._call(request)
        return found

    def drift(self, endpoint: EndpointReference, *, over: Duration = "1h") -> tuple[LiveDrift, ...]:
        """Whether requests still look like the data of the versions that answer them, by variant.

        Gateways count the requests that they sample (`EndpointConfig.sample_share`) in the bins of the version's reference profile, hour by
        hour. Needs ``numpy`` and ``scipy``.

        Parameters
        ----------
        over
            How far back; the hour in which that begins counts whole.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> made = registry.endpoints.create("fraud-api", registry.register("fraud", {"threshold": 0.7}))
        >>> registry.outcomes.drift(made)
        ()
        """
        return live_drift(self._transport, self._settings, self._endpoint(endpoint), span_seconds(over))

    def compare(
        self,
        baseline: Reference,
        candidate: Reference,
        *,
        endpoint: EndpointReference = "",
        over: Duration = "24h",
    ) -> OutcomeComparison:
        """Two versions side by side, by what became of their requests until now.

        Parameters
        ----------
        baseline, candidate
            The versions.
        endpoint
            Only what they answered there; by default wherever they answer now, and what was recorded of their models.
        over
            How far back.

        Returns
        -------
        OutcomeComparison
            With a test where there is one. Who looks again and again until a p-value is small errs more often than it says: a
            rollout or an experiment decides by tests that allow it.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("fraud", {"threshold": t}) for t in (0.7, 0.8))
        >>> done = registry.outcomes.record(first, requests=1000, errors=100)
        >>> done = registry.outcomes.record(second, requests=1000, errors=10)
        >>> round(registry.outcomes.compare(first, second).differences[0].difference, 6)
        0.09
        """
        request = q.CompareOutcomes(
            baseline=self._ref(baseline),
            candidate=self._ref(candidate),
            endpoint=self._endpoint(endpoint),
            over_s=span_seconds(over),
        )
        found: OutcomeComparison = self._call(request)
        return found

    def _record(
        self, version: Reference, minutes: list[RecordedMinute], endpoint: EndpointReference, variant: str, source: str
    ) -> OutcomeReceipt:
        place = (self._ref(version), self._endpoint(endpoint), variant)
        for each in minutes:
            check_amounts(each)  # before JSON makes nothing of what is no number

        def send(called: str, told: list[RecordedMinute]) -> OutcomeReceipt:
            requests = refused = 0
            for first in range(0, len(told), q.MINUTES_A_CALL):
                part = tuple(told[first : first + q.MINUTES_A_CALL])
                ref, where, name = place
                request = q.RecordOutcomes(ref=ref, source=called, endpoint=where, variant=name, minutes=part)
                receipt: OutcomeReceipt = self._call(request)
                requests, refused = requests + receipt.requests, refused + receipt.refused
            return OutcomeReceipt(requests, refused)

        return send(source, minutes) if source else self._source.add(place, minutes, send)

    def _endpoint(self, endpoint: object) -> str:
        if isinstance(endpoint, Endpoint):
            return endpoint.ref
        if not isinstance(endpoint, str):
            raise InvalidRequest(f"An endpoint is a text such as 'fraud-api', not a {type(endpoint).__name__}.")
        return str(parse_endpoint(endpoint, self._settings.project)) if endpoint else ""

    def _of(self, model: ModelReference) -> str:
        return self._model(model) if model else ""


def _both(known: RecordedMinute, other: RecordedMinute) -> RecordedMinute:
    names = {*known.metrics, *other.metrics}
    return structs.replace(
        known,
        requests=known.requests + other.requests,
        rows=known.rows + other.rows,
        errors=known.errors + other.errors,
        latency=known.latency + other.latency,
        spent=known.spent + other.spent,
        metrics={name: known.metrics.get(name, MetricSums()) + other.metrics.get(name, MetricSums()) for name in names},
    )

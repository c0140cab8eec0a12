"""What a monitor judges: one sample for each minute, from what was counted; pure.

Windows of all routers are added up, so that their order and number do not matter. Those of shadows are no answers, and count only for
who watches the shadow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from chopmark.domain.alert_rules import Sample
from chopmark.domain.burn_rates import MinuteCount
from chopmark.domain.feedback import FeedbackTotals
from chopmark.domain.monitors import RECORDED, Monitor
from chopmark.domain.outcomes import WINDOW, OutcomeWindow
from chopmark.domain.traffic import SHADOW
from chopmark.stats.sketch import QuantileSketch

__all__ = ["Counts", "counts_by_minute", "labelled_sample", "minute_counts", "samples"]

_NS_A_MS = 1e6
_SECONDS_A_MINUTE = 60.0
_PERCENTILES = {"latency_ms_p50": 0.5, "latency_ms_p95": 0.95, "latency_ms_p99": 0.99}
_ZERO_WITHOUT_REQUESTS = frozenset(("requests_per_second", "cost_usd"))
"""Where nothing happened these are 0, which is a number; a share of nothing is none."""


class Counts(msgspec.Struct, frozen=True):
    """What a metric is made of, in sums that add up.

    Attributes
    ----------
    total, events
        What is divided, and how many events it rests on.
    latency
        In nanoseconds, of metrics that are percentiles.
    """

    total: float = 0.0
    events: int = 0
    latency: QuantileSketch = QuantileSketch()

    def __add__(self, other: Counts) -> Counts:
        latency = self.latency + other.latency if other.latency.bins else self.latency
        return Counts(self.total + other.total, self.events + other.events, latency)


def counts_by_minute(monitor: Monitor, windows: Iterable[OutcomeWindow]) -> dict[datetime, Counts]:
    """What counts for a monitor's metric, by the beginning of the minute."""
    found: dict[datetime, Counts] = {}
    for window in windows:
        if window.variant == monitor.variant if monitor.variant else window.variant != SHADOW:
            counts = _counts(monitor.metric, window)
            found[window.start] = found[window.start] + counts if window.start in found else counts
    return found


def samples(
    monitor: Monitor, counts: Mapping[datetime, Counts], since: datetime, until: datetime, every: int = 1
) -> Iterator[Sample]:
    """The samples at the ends of the minutes after ``since`` to ``until``, each of the monitor's minutes up to there.

    Parameters
    ----------
    since, until
        Beginnings of minutes; ``counts`` reach back before ``since`` as far as a sample does.
    every
        A sample in so many minutes, of the day.
    """
    at = since + WINDOW
    while at <= until:
        if (at.hour * 60 + at.minute) % every == 0:
            summed = sum((counts.get(at - n * WINDOW, Counts()) for n in range(1, monitor.minutes + 1)), Counts())
            yield _sample(monitor, summed, at)
        at += WINDOW


def labelled_sample(monitor: Monitor, totals: Iterable[FeedbackTotals], at: datetime) -> Sample:
    """The sample of a metric that needs the truth, of what is known of it.

    Parameters
    ----------
    totals
        Of the answers that were asked for in the monitor's minutes up to ``at``.
    """
    total, events = 0.0, 0
    for each in totals:
        if monitor.variant in ("", each.variant):
            right, known = (
                (each.right, each.judged) if monitor.metric == "accuracy" else (each.error_abs_total, each.numbers)
            )
            total, events = total + right, events + known
    return Sample(at, total / events if events else None, events)


def minute_counts(counts: Mapping[datetime, Counts], since: datetime, until: datetime) -> Iterator[MinuteCount]:
    """Errors and requests of the minutes from ``since`` to before ``until``; those without any are zeros."""
    at = since
    while at < until:
        found = counts.get(at, Counts())
        yield MinuteCount(at, int(found.total), found.events)
        at += WINDOW


def _counts(metric: str, window: OutcomeWindow) -> Counts:
    requests = window.requests
    match metric:
        case "error_rate":
            return Counts(window.failed.successes, window.failed.n)
        case "success_rate":
            return Counts(window.answered.successes, window.answered.n)
        case "requests_per_second":
            return Counts(requests, requests)
        case "cost_usd":
            return Counts(window.spent.cost_usd, requests)
        case _:
            pass
    if metric in _PERCENTILES:
        return Counts(0.0, window.latency.count, window.latency)
    measured = window.metrics.get(metric.removeprefix(RECORDED))
    return Counts() if measured is None else Counts(measured.total, measured.count)


def _sample(monitor: Monitor, counts: Counts, at: datetime) -> Sample:
    metric, events = monitor.metric, counts.events
    if not events and metric not in _ZERO_WITHOUT_REQUESTS:
        return Sample(at, events=0)
    if metric in _PERCENTILES:
        return Sample(at, counts.latency.quantile(_PERCENTILES[metric]) / _NS_A_MS, events)
    if metric == "cost_usd":
        return Sample(at, counts.total, events)
    by = _SECONDS_A_MINUTE * monitor.minutes if metric == "requests_per_second" else events
    return Sample(at, counts.total / by, events)

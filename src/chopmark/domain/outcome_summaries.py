"""What became of requests, as people and programs ask for it: now, over time, and one version beside another; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from chopmark.domain.feedback import LabelSummary
from chopmark.domain.names import counted
from chopmark.domain.outcome_tiers import Grain
from chopmark.domain.outcomes import Comparison, ErrorCounts, MetricSums, OutcomeWindow
from chopmark.stats.estimated_accuracy import EstimatedAccuracy
from chopmark.stats.means import welch_test
from chopmark.stats.proportions import z_test
from chopmark.stats.results import Effect
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Proportion

__all__ = [
    "MetricSummary",
    "OutcomeComparison",
    "OutcomeDifference",
    "OutcomeSummary",
    "OutcomeTrend",
    "TrendPoint",
    "VariantOutcome",
    "compared",
    "summarised",
]

NS_PER_MS = 1e6

By = Literal["variant", "version"]


class MetricSummary(msgspec.Struct, frozen=True):
    """A number that callers measured: how often, its mean, sample standard deviation and extremes."""

    count: int
    mean: float
    standard_deviation: float
    least: float
    greatest: float


class VariantOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the requests of one variant, or of one version whatever it was called.

    Attributes
    ----------
    version, variant
        What answered; the variant is empty when those of a version were added up.
    requests, requests_per_s, rows
        Requests that came, on average over the time that was asked about, and rows that were answered.
    success_rate
        Share that was answered of the requests that some version could have answered; None when there were none.
    error_rate
        Share of those that failed and not by the client's fault, of all that could be answered.
    errors
        Requests without an answer by who is at fault.
    latency_ms_p50, latency_ms_p95, latency_ms_p99, latency_ms_max
        Of those that were answered.
    cost_usd, input_tokens, output_tokens
        What they took.
    dropped
        Copies that a shadow never got, and records that were lost.
    compared
        How a shadow's answers lay beside those that were given.
    metrics
        What callers measured themselves, by name.
    labels
        What is known of the truth: what was measured.
    estimated
        How often answers are expected to be right, by the scores of those that were sampled, where labels lack; None of what no
        endpoint answered.
    """

    version: str
    variant: str = ""
    requests: int = 0
    requests_per_s: float = 0.0
    rows: int = 0
    success_rate: float | None = None
    error_rate: float | None = None
    errors: ErrorCounts = ErrorCounts()
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    latency_ms_p99: float | None = None
    latency_ms_max: float | None = None
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    dropped: int = 0
    compared: Comparison = Comparison()
    metrics: dict[str, MetricSummary] = {}
    labels: LabelSummary | None = None
    estimated: EstimatedAccuracy | None = None

    def __repr__(self) -> str:
        called = f"{self.variant} {self.version}" if self.variant else self.version
        parts = [counted(self.requests, "request")]
        if self.success_rate is not None:
            parts.append(f"{100 * self.success_rate:.4g} % answered")
        if self.latency_ms_p95 is not None:
            parts.append(f"p95 {self.latency_ms_p95:.3g} ms")
        if self.labels is not None and self.labels.accuracy is not None:
            parts.append(f"accuracy {self.labels.accuracy:.4g} of {100 * self.labels.coverage:.3g} %")
        if self.estimated is not None and self.estimated.accuracy is not None:
            found = self.estimated
            parts.append(f"estimated accuracy {found.accuracy:.4g} ({found.low:.3g} to {found.high:.3g})")
        return f"<{called} · {' · '.join(parts)}>"


class OutcomeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests of an endpoint, or of those that were recorded of a model.

    Attributes
    ----------
    of
        The endpoint's or model's ``[project/]name``.
    since, until
        From when to before when: whole minutes, and beyond 48 hours whole hours.
    variants
        The busiest first.
    """

    of: str
    since: datetime
    until: datetime
    variants: tuple[VariantOutcome, ...] = ()

    def __repr__(self) -> str:
        head = f"<outcomes of {self.of} · {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC>"
        return "\n  ".join([head, *map(repr, self.variants)])


class TrendPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One variant in one minute, hour or day."""

    start: datetime
    outcome: VariantOutcome


class OutcomeTrend(msgspec.Struct, frozen=True, kw_only=True):
    """What became of requests, minute by minute, hour by hour or day by day.

    Attributes
    ----------
    of
        The endpoint or model.
    since, until
        From when to before when.
    every
        How long each point is.
    points
        By time, then the busiest first; where nothing came there is none.
    """

    of: str
    since: datetime
    until: datetime
    every: Grain
    points: tuple[TrendPoint, ...] = ()

    def __repr__(self) -> str:
        return f"<outcomes of {self.of} · {len(self.points):,} points, one a {self.every} and variant>"


class OutcomeDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one number of two versions differs.

    Attributes
    ----------
    metric
        ``success_rate``, ``error_rate``, ``latency_ms_p95``, ``accuracy``, ``estimated_accuracy`` …, or the name of one that was recorded.
    baseline, candidate
        Its two values.
    difference
        Candidate minus baseline.
    p_value, low, high
        Of the test that both are equal, and the difference's interval of 95 %; None where there is no test. Each is a look at what
        there is now: who looks again and again until one is small errs more often than it says.
    """

    metric: str
    baseline: float
    candidate: float
    difference: float
    p_value: float | None = None
    low: float | None = None
    high: float | None = None


class OutcomeComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions side by side, by what became of their requests."""

    since: datetime
    until: datetime
    baseline: VariantOutcome
    candidate: VariantOutcome
    differences: tuple[OutcomeDifference, ...] = ()

    def __repr__(self) -> str:
        head = f"<{self.candidate.version} beside {self.baseline.version} · since {self.since:%Y-%m-%d %H:%M} UTC>"
        lines = [f"{d.metric} {d.candidate:.4g} against {d.baseline:.4g}" for d in self.differences]
        return "\n  ".join([head, *lines])


def summarised(
    window: OutcomeWindow,
    version: str,
    variant: str,
    seconds: float,
    labels: LabelSummary | None = None,
    estimated: EstimatedAccuracy | None = None,
) -> VariantOutcome:
    """What a total comes to.

    Parameters
    ----------
    window
        The total.
    version, variant
        Whose it is, in words.
    seconds
        Over how long it was counted.
    labels
        What is known of the truth.
    estimated
        What is expected where it is not.
    """
    answered, errors = window.answered, window.failed
    p50, p95, p99, greatest = _latencies(window.latency)
    return VariantOutcome(
        version=version,
        variant=variant,
        requests=window.requests,
        requests_per_s=window.requests / seconds if seconds else 0.0,
        rows=window.rows,
        success_rate=answered.rate if answered.n else None,
        error_rate=errors.rate if errors.n else None,
        errors=window.errors,
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        latency_ms_p99=p99,
        latency_ms_max=greatest,
        cost_usd=window.spent.cost_usd,
        input_tokens=window.spent.input_tokens,
        output_tokens=window.spent.output_tokens,
        dropped=window.dropped,
        compared=window.compared,
        metrics={name: _metric(sums) for name, sums in sorted(window.metrics.items())},
        labels=labels,
        estimated=estimated,
    )


def _latencies(sketch: QuantileSketch) -> tuple[float | None, float | None, float | None, float | None]:
    if not sketch.bins:
        return None, None, None, None
    p50, p95, p99 = (sketch.quantile(q) / NS_PER_MS for q in (0.5, 0.95, 0.99))
    return p50, p95, p99, sketch.greatest / NS_PER_MS


def _metric(sums: MetricSums) -> MetricSummary:
    return MetricSummary(sums.count, sums.mean, sums.summary.standard_deviation, sums.least, sums.greatest)


def compared(
    baseline: tuple[OutcomeWindow, VariantOutcome], candidate: tuple[OutcomeWindow, VariantOutcome]
) -> tuple[OutcomeDifference, ...]:
    """What differs between two totals, each with what it comes to."""
    (window_a, a), (window_b, b) = baseline, candidate
    found = [
        _tested("success_rate", z_test(window_a.answered, window_b.answered), a.success_rate, b.success_rate),
        _tested("error_rate", z_test(window_a.failed, window_b.failed), a.error_rate, b.error_rate),
        *(_plain(name, getattr(a, name), getattr(b, name)) for name in _LATENCIES),
        _plain("cost_usd_per_request", _each(a.cost_usd, a.requests), _each(b.cost_usd, b.requests)),
        *_recorded(window_a.metrics, window_b.metrics),
        *_of_labels(a.labels, b.labels),
        _plain("estimated_accuracy", _expected(a.estimated), _expected(b.estimated)),
    ]
    return tuple(each for each in found if each is not None)


_LATENCIES = ("latency_ms_p50", "latency_ms_p95", "latency_ms_p99")


def _tested(metric: str, effect: Effect, a: float | None, b: float | None) -> OutcomeDifference | None:
    if a is None or b is None:
        return None
    return OutcomeDifference(
        metric=metric,
        baseline=a,
        candidate=b,
        difference=b - a,
        p_value=effect.p_value,
        low=effect.interval.low,
        high=effect.interval.high,
    )


def _plain(metric: str, a: float | None, b: float | None) -> OutcomeDifference | None:
    if a is None or b is None:
        return None
    return OutcomeDifference(metric=metric, baseline=a, candidate=b, difference=b - a)


def _each(total: float, count: int) -> float | None:
    return total / count if total and count else None


def _recorded(a: Mapping[str, MetricSums], b: Mapping[str, MetricSums]) -> list[OutcomeDifference | None]:
    names = [name for name in sorted(a) if name in b]
    return [_tested(name, welch_test(a[name].summary, b[name].summary), a[name].mean, b[name].mean) for name in names]


def _expected(estimated: EstimatedAccuracy | None) -> float | None:
    return None if estimated is None else estimated.accuracy


def _of_labels(a: LabelSummary | None, b: LabelSummary | None) -> list[OutcomeDifference | None]:
    if a is None or b is None:
        return []
    found: list[OutcomeDifference | None] = []
    if a.accuracy is not None and b.accuracy is not None:
        right_a, right_b = (Proportion(round(s.judged * (s.accuracy or 0.0)), s.judged) for s in (a, b))
        found.append(_tested("accuracy", z_test(right_a, right_b), a.accuracy, b.accuracy))
    found.append(_plain("mean_abs_error", a.mean_abs_error, b.mean_abs_error))
    found.append(_plain("root_mean_squared_error", a.root_mean_squared_error, b.root_mean_squared_error))
    return found

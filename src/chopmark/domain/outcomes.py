"""Outcomes: what became of requests, counted by endpoint, version, variant, router and minute; they add up exactly.

A router keeps totals since a minute began and sends them again when they change, so that one that arrives twice counts once.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Annotated, Protocol, Self
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.base.clock import to_us
from chopmark.domain.names import check_text, shown
from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Mean, Proportion

__all__ = [
    "COST_USD_MAX",
    "COUNT_MAX",
    "METRICS_MAX",
    "METRIC_SUM_MAX",
    "SUM_MAX",
    "WINDOW",
    "Amounts",
    "Comparison",
    "ErrorCounts",
    "MetricSums",
    "OutcomeWindow",
    "Spending",
    "check_amounts",
    "check_window",
    "window_start",
]

WINDOW = timedelta(minutes=1)

METRICS_MAX = 50
"""Custom metrics of one window."""

COUNT_MAX = 10**12
"""Of anything that is counted in one minute: all the minutes that are kept of a source add up to less than `Counted` holds."""

COST_USD_MAX = 1e12
"""Of one minute."""

METRIC_SUM_MAX = 1e60
"""Of the values of a metric in one minute, on either side of nothing, and 1e120 of their squares: tests square those once more."""

_VARIANT_LENGTH_MAX = 200
_METRIC_LENGTH_MAX = 100

SUM_MAX = 2**62
"""Of counts that were added up."""

Counted = Annotated[int, Meta(ge=0, le=SUM_MAX)]


class ErrorCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Requests that were not answered with a prediction, by who is at fault.

    Attributes
    ----------
    client
        What was sent cannot be answered by the version that was asked.
    model
        The model raised, ended, or gave what cannot be sent.
    timeout
        The deadline passed first.
    refused
        The queue was full, or nothing was loaded.
    unreadable
        What was sent is not what its protocol says: no version could answer it, and it counts against none.
    """

    client: Counted = 0
    model: Counted = 0
    timeout: Counted = 0
    refused: Counted = 0
    unreadable: Counted = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.client + self.model + self.timeout + self.refused + self.unreadable

    def __add__(self, other: Self) -> ErrorCounts:
        return ErrorCounts(
            self.client + other.client,
            self.model + other.model,
            self.timeout + other.timeout,
            self.refused + other.refused,
            self.unreadable + other.unreadable,
        )


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the answers of a shadow lay beside those that were given.

    Attributes
    ----------
    rows, agreed
        Rows that were compared, and those where both said the same.
    shift_sum, shift_abs_sum, shift_abs_greatest
        How far the shadow's numbers were above the others, summed up over the rows; how far from them, in all and at most.
    """

    rows: Counted = 0
    agreed: Counted = 0
    shift_sum: float = 0.0
    shift_abs_sum: float = 0.0
    shift_abs_greatest: float = 0.0

    def __add__(self, other: Self) -> Comparison:
        return Comparison(
            self.rows + other.rows,
            self.agreed + other.agreed,
            self.shift_sum + other.shift_sum,
            self.shift_abs_sum + other.shift_abs_sum,
            max(self.shift_abs_greatest, other.shift_abs_greatest),
        )


class Spending(msgspec.Struct, frozen=True, omit_defaults=True):
    """What language models took.

    Attributes
    ----------
    input_tokens, output_tokens
        As their providers say, else guessed.
    cost_usd
        By the prices of the configurations.
    fell_back
        Answers of a model that is not the one asked first.
    """

    input_tokens: Counted = 0
    output_tokens: Counted = 0
    cost_usd: float = 0.0
    fell_back: Counted = 0

    def __add__(self, other: Self) -> Spending:
        return Spending(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
            self.fell_back + other.fell_back,
        )


class MetricSums(msgspec.Struct, frozen=True):
    """A number that callers measure themselves, in sums that add up.

    Attributes
    ----------
    count
        How many values.
    total, total_squares
        Their sum and that of their squares.
    least, greatest
        The extremes; 0 when there are none.

    Examples
    --------
    >>> both = MetricSums.of_one(2.0) + MetricSums.of_one(4.0)
    >>> both.count, both.mean, both.least, both.greatest
    (2, 3.0, 2.0, 4.0)
    """

    count: Counted = 0
    total: float = 0.0
    total_squares: float = 0.0
    least: float = 0.0
    greatest: float = 0.0

    @classmethod
    def of_one(cls, value: float) -> Self:
        """Of one value."""
        return cls(1, value, value * value, value, value)

    def __add__(self, other: Self) -> MetricSums:
        if not self.count or not other.count:
            return self if self.count else other
        return MetricSums(
            self.count + other.count,
            self.total + other.total,
            self.total_squares + other.total_squares,
            min(self.least, other.least),
            max(self.greatest, other.greatest),
        )

    @property
    def mean(self) -> float:
        """Of the values; 0 when there are none."""
        return self.total / self.count if self.count else 0.0

    @property
    def summary(self) -> Mean:
        """As what tests of `chopmark.stats` take."""
        squares = max(self.total_squares - self.total * self.mean, 0.0)
        return Mean(self.count, self.mean, squares if self.count > 1 else 0.0)


class OutcomeWindow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the requests of one variant in one minute.

    Attributes
    ----------
    endpoint, version
        Ids.
    variant
        Its name.
    start
        When the minute began.
    requests, rows
        All requests, those with errors too, and rows that were answered.
    errors
        Requests without an answer.
    without_key
        Requests that said nothing of for whom they ask.
    request_bytes, response_bytes
        Of bodies.
    latency
        From body to answer, in nanoseconds, of the requests that were answered.
    dropped
        Copies that a shadow never got, and records that were lost as nobody took them for too long; they are counted in nothing else.
    compared
        Of a shadow.
    spent
        Of language models, and whatever else costs.
    metrics
        What callers measured themselves, by name.

    Examples
    --------
    >>> from uuid import UUID
    >>> from chopmark.base.clock import FakeClock
    >>> what = {"endpoint": UUID(int=1), "version": UUID(int=2), "variant": "stable", "start": FakeClock()()}
    >>> one = OutcomeWindow(**what, requests=3, rows=3, latency=QuantileSketch.of([2e6, 3e6, 4e6]))
    >>> other = OutcomeWindow(**what, requests=1, errors=ErrorCounts(client=1))
    >>> both = one + other
    >>> both.requests, both.errors.client, both.latency.count
    (4, 1, 3)
    """

    endpoint: UUID
    version: UUID
    variant: str
    start: datetime
    requests: Counted = 0
    rows: Counted = 0
    errors: ErrorCounts = ErrorCounts()
    without_key: Counted = 0
    request_bytes: Counted = 0
    response_bytes: Counted = 0
    latency: QuantileSketch = QuantileSketch()
    dropped: Counted = 0
    compared: Comparison = Comparison()
    spent: Spending = Spending()
    metrics: dict[str, MetricSums] = {}

    @property
    def readable(self) -> int:
        """Requests that some version could have answered."""
        return max(self.requests - self.errors.unreadable, 0)

    @property
    def answered(self) -> Proportion:
        """Those of them that were answered."""
        return Proportion(max(self.requests - self.errors.total, 0), self.readable)

    @property
    def failed(self) -> Proportion:
        """Failures that are not the client's, of what this version could have answered."""
        could = max(self.readable - self.errors.client, 0)
        return Proportion(min(self.errors.total - self.errors.client - self.errors.unreadable, could), could)

    def __add__(self, other: Self) -> OutcomeWindow:
        """Both together; from the beginning of the earlier one.

        Raises
        ------
        InvalidRequest
            When they are not of one variant.
        """
        mine, others = ((w.endpoint, w.version, w.variant) for w in (self, other))
        if mine != others:
            raise InvalidRequest("Outcomes of different variants do not add up.", hint="Add those of one.")
        return OutcomeWindow(
            endpoint=self.endpoint,
            version=self.version,
            variant=self.variant,
            start=min(self.start, other.start),
            requests=self.requests + other.requests,
            rows=self.rows + other.rows,
            errors=self.errors + other.errors,
            without_key=self.without_key + other.without_key,
            request_bytes=self.request_bytes + other.request_bytes,
            response_bytes=self.response_bytes + other.response_bytes,
            latency=self.latency + other.latency,
            dropped=self.dropped + other.dropped,
            compared=self.compared + other.compared,
            spent=self.spent + other.spent,
            metrics=_both(self.metrics, other.metrics),
        )


def _both(mine: dict[str, MetricSums], others: dict[str, MetricSums]) -> dict[str, MetricSums]:
    if not mine or not others:
        return mine or others
    nothing = MetricSums()
    return {name: mine.get(name, nothing) + others.get(name, nothing) for name in sorted({*mine, *others})}


def window_start(time: datetime) -> datetime:
    """Beginning of the minute that a time lies in."""
    return time.replace(second=0, microsecond=0)


class Amounts(Protocol):
    """What windows and what is told of a minute have in common."""

    @property
    def requests(self) -> int:
        """All requests."""
        ...

    @property
    def rows(self) -> int:
        """Rows that were answered."""
        ...

    @property
    def errors(self) -> ErrorCounts:
        """Requests without an answer."""
        ...

    @property
    def latency(self) -> QuantileSketch:
        """Of the others."""
        ...

    @property
    def spent(self) -> Spending:
        """What they took."""
        ...

    @property
    def metrics(self) -> dict[str, MetricSums]:
        """What callers measured."""
        ...


def check_window(window: OutcomeWindow) -> OutcomeWindow:
    """The window, once it can be kept.

    Raises
    ------
    InvalidRequest
        When it does not begin with a minute, its variant has no name that can be kept, or `check_amounts` refuses what it counts.
    """
    check_text(window.variant, "variant", _VARIANT_LENGTH_MAX)
    if not window.variant:
        raise InvalidRequest("Outcomes are of a variant, and this one has no name.")
    to_us(window.start)  # refuses a time without zone
    if window.start != window_start(window.start):
        raise InvalidRequest(f"A window begins with a minute, not at {window.start.isoformat()}.")
    for name in ("without_key", "request_bytes", "response_bytes", "dropped"):
        _check_count(name, getattr(window, name))
    check_amounts(window)
    return window


def check_amounts(told: Amounts) -> None:
    """Raise `InvalidRequest` unless what is told of a minute is numbers that can be kept, and added up with those of other minutes.

    Counts go to `COUNT_MAX`, a cost is from nothing to `COST_USD_MAX`, no latency is less than nothing, and sums of metrics are finite
    and go to `METRIC_SUM_MAX`.
    """
    spent, errors = told.spent, told.errors
    _check_count("requests", told.requests)
    _check_count("rows", told.rows)
    _check_count("latencies", told.latency.count)
    for name in ErrorCounts.__struct_fields__:
        _check_count(f"errors by {name}", getattr(errors, name))
    for name in ("input_tokens", "output_tokens", "fell_back"):
        _check_count(name, getattr(spent, name))
    check_number("cost_usd", spent.cost_usd, least=0.0)
    if spent.cost_usd > COST_USD_MAX:
        raise InvalidRequest(f"cost_usd is {spent.cost_usd:g}.", hint=f"A minute costs up to {COST_USD_MAX:g}.")
    if told.latency.least < 0:
        raise InvalidRequest("A latency is less than nothing.", hint="Leave out what is not known.")
    if len(told.metrics) > METRICS_MAX:
        raise InvalidRequest(f"{len(told.metrics):,} metrics are too many; the limit is {METRICS_MAX}.")
    for name, sums in told.metrics.items():
        _check_metric(name, sums)


def _check_count(name: str, count: int) -> None:
    if not 0 <= count <= COUNT_MAX:
        raise InvalidRequest(f"{name} is {count:,}.", hint=f"A minute counts from 0 to {COUNT_MAX:,}.")


def _check_metric(name: str, sums: MetricSums) -> None:
    if not name:
        raise InvalidRequest("A metric has no name.")
    check_text(name, "metric", _METRIC_LENGTH_MAX)
    _check_count(f"the number of values of the metric {shown(name)}", sums.count)
    numbers = (sums.total, sums.total_squares, sums.least, sums.greatest)
    if not all(map(math.isfinite, numbers)) or sums.least > sums.greatest or sums.total_squares < 0:
        raise InvalidRequest(f"The sums of the metric {shown(name)} are those of no numbers.")
    if (
        max(map(abs, (sums.total, sums.least, sums.greatest))) > METRIC_SUM_MAX
        or sums.total_squares > METRIC_SUM_MAX**2
    ):
        hint = (
            f"The values of a minute add up to {METRIC_SUM_MAX:g} at most, and their squares to {METRIC_SUM_MAX**2:g}."
        )
        raise InvalidRequest(f"The metric {shown(name)} is too large.", hint=hint)

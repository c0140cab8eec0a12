"""Verbs about what became of requests and what turned out to be true: what they are asked with and what they answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chopmark.domain.feedback import Feedback
from chopmark.domain.outcome_tiers import Grain
from chopmark.domain.outcomes import COUNT_MAX, ErrorCounts, MetricSums, Spending
from chopmark.ops.requests import Request
from chopmark.stats.profile import Counts
from chopmark.stats.sketch import QuantileSketch

__all__ = [
    "MINUTES_A_CALL",
    "CompareOutcomes",
    "FeedbackReceipt",
    "FoldOutcomes",
    "Folded",
    "OutcomeReceipt",
    "RecordFeedback",
    "RecordOutcomes",
    "RecordedMinute",
    "Sampled",
    "SampledVariant",
    "ShowOutcomeTrend",
    "ShowOutcomes",
    "ShowSampled",
]

MINUTES_A_CALL = 1_000
FEEDBACK_A_CALL = 1_000
LATENCIES_MAX = 100_000

Counted = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Seconds = Annotated[float, Meta(gt=0, le=400 * 86_400)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e12)]


class RecordedMinute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of some requests of one minute.

    Attributes
    ----------
    at
        A time in that minute.
    requests, rows
        All requests, those with errors too, and rows that were answered.
    errors
        Requests without an answer, by who is at fault.
    latency
        In nanoseconds, of those that were answered.
    latencies_ms
        The same one by one, for who has no sketch; both are counted.
    spent
        What they took.
    metrics
        What else was measured, by name.
    """

    at: datetime
    requests: Counted = 0
    rows: Counted = 0
    errors: ErrorCounts = ErrorCounts()
    latency: QuantileSketch = QuantileSketch()
    latencies_ms: Annotated[tuple[Milliseconds, ...], Meta(max_length=LATENCIES_MAX)] = ()
    spent: Spending = Spending()
    metrics: dict[str, MetricSums] = {}


class RecordOutcomes(Request, frozen=True, kw_only=True):
    """Record what became of requests that no gateway of this registry answered.

    Attributes
    ----------
    ref
        The version that answered.
    source
        Who reports. What a source says of a minute replaces what it said of it before: a report that arrives twice counts once.
    endpoint, variant
        Where it answered, when that is an endpoint of this registry; else it counts for its model.
    minutes
        Each minute at most once.
    """

    ref: str
    source: Annotated[str, Meta(min_length=1, max_length=150)]
    endpoint: str = ""
    variant: str = ""
    minutes: Annotated[tuple[RecordedMinute, ...], Meta(max_length=MINUTES_A_CALL)]


class OutcomeReceipt(msgspec.Struct, frozen=True):
    """What was recorded.

    Attributes
    ----------
    requests
        As many as count now.
    refused
        Those of minutes that are more than 48 hours ago, or more than an hour ahead: they count nowhere.
    """

    requests: int
    refused: int = 0


class ShowOutcomes(Request, frozen=True, kw_only=True):
    """What became of the requests of an endpoint, or of those that were recorded of a model, until now.

    Attributes
    ----------
    endpoint, model
        One of them.
    over_s
        How far back, in seconds.
    by
        ``variant``, or ``version``: then variants of one version are added up, but for shadows.
    """

    endpoint: str = ""
    model: str = ""
    over_s: Seconds = 3_600.0
    by: Literal["variant", "version"] = "variant"


class ShowSampled(Request, frozen=True, kw_only=True):
    """What sampled requests of an endpoint looked like until now, counted in the bins of their versions' profiles.

    Attributes
    ----------
    over_s
        How far back, in seconds; counts are kept by hour, and the hour in which that begins counts whole.
    """

    endpoint: str
    over_s: Seconds = 3_600.0


class SampledVariant(msgspec.Struct, frozen=True, kw_only=True):
    """What sampled requests of one variant looked like.

    Attributes
    ----------
    version, variant
        Which answered, and as what.
    since
        From when on.
    counts
        In the bins of the version's profile.
    """

    version: str
    variant: str
    since: datetime
    counts: Counts


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """What sampled requests of an endpoint looked like, the variant with most rows first."""

    endpoint: str
    variants: tuple[SampledVariant, ...] = ()


class ShowOutcomeTrend(Request, frozen=True, kw_only=True):
    """What became of requests, minute by minute, hour by hour or day by day, until now.

    Attributes
    ----------
    endpoint, model
        One of them.
    over_s
        How far back, in seconds.
    every
        How long each point is. Minutes are kept for 48 hours, hours for 35 days, days for 400.
    by
        As in `ShowOutcomes`.
    """

    endpoint: str = ""
    model: str = ""
    over_s: Seconds = 86_400.0
    every: Grain = "hour"
    by: Literal["variant", "version"] = "variant"


class CompareOutcomes(Request, frozen=True, kw_only=True):
    """Put two versions side by side, by what became of their requests until now.

    Attributes
    ----------
    baseline, candidate
        The versions.
    endpoint
        Only what they answered there; by default wherever they answer now, and what was recorded of their models.
    over_s
        How far back, in seconds.
    """

    baseline: str
    candidate: str
    endpoint: str = ""
    over_s: Seconds = 86_400.0


class FoldOutcomes(Request, frozen=True, kw_only=True):
    """Move minutes that are older than 48 hours into their hours, and hours older than 35 days into their days; a part of them."""


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """What was moved or forgotten.

    Attributes
    ----------
    minutes, hours
        Rows that were moved.
    days, labels, profiles
        Rows that were forgotten as they were too old.
    more
        Whether there is more to do.
    """

    minutes: int = 0
    hours: int = 0
    days: int = 0
    labels: int = 0
    profiles: int = 0
    more: bool = False


class RecordFeedback(Request, frozen=True, kw_only=True):
    """Say what turned out to be true of answers, by their request ids; all of it, or nothing when one of the ids is none."""

    items: Annotated[tuple[Feedback, ...], Meta(max_length=FEEDBACK_A_CALL)]


class FeedbackReceipt(msgspec.Struct, frozen=True):
    """How much feedback was taken; what was said twice is counted twice here, and once where it matters."""

    taken: int

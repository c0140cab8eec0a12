"""Units of experiments: who was shown what, what became of them, and the batches that tests are told.

A unit is known by a keyed hash. What is recorded of it is added up over its *window*, a time of the same length for each, which begins
when it is first shown its variant. Units whose exposure falls into the same stretch of time are one *batch*, and a batch is told once
the windows of all its units are over: so what an experiment says is a function of its rows in the order of their exposures, and
neither the order in which rows came nor the times at which somebody looked are part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.stats.plans import Batch
from chopmark.stats.summaries import Exposures, Mean, Proportion, Ratio

__all__ = [
    "SEEN_IN_TWO",
    "UNIT_BYTES",
    "ExposedUnits",
    "ObservedTime",
    "RecordedUnits",
    "UnitExposure",
    "UnitMet",
    "UnitMetric",
    "UnitOutcome",
    "batches_of",
    "outcome_id",
    "unit_hash",
]

UNIT_BYTES = 16
_PERSON = b"chopmark unit"
_OUTCOME = b"chopmark outcome"

SEEN_IN_TWO = -1
"""Stands for the variant of a unit that was shown more than one, or another than it was dealt."""

NOWHERE = -2
"""Stands for the variant of units that were shown none."""


class UnitExposure(NamedTuple):
    """That a unit was shown a variant: its place in the plan."""

    unit: bytes
    variant: int
    at_us: int


class UnitOutcome(NamedTuple):
    """What was recorded of a unit in a metric: its place in the plan.

    Attributes
    ----------
    unit
        By `unit_hash`.
    metric
        Place in the plan.
    id
        One that comes again with the same id counts once.
    at_us
        When it happened.
    y, x
        The value; of a ratio its numerator and denominator.
    """

    unit: bytes
    metric: int
    id: bytes
    at_us: int
    y: float
    x: float


class ObservedTime(NamedTuple):
    """When units are exposed, and how long they are observed, in microseconds since 1970.

    Attributes
    ----------
    start_us, until_us
        Exposures from the first to before the second count.
    window_us
        How long a unit is observed from its first exposure on.
    batch_us
        Length of the stretches whose units make a batch.
    """

    start_us: int
    until_us: int
    window_us: int
    batch_us: int

    def batch(self, at_us: int) -> int:
        """The batch of a unit first exposed at a time."""
        return (at_us - self.start_us) // self.batch_us

    def complete(self, now_us: int) -> int:
        """How many batches are complete: the windows of all their units are over."""
        if now_us >= self.until_us + self.window_us:
            return -(-(self.until_us - self.start_us) // self.batch_us)
        return max(0, (now_us - self.window_us - self.start_us) // self.batch_us)


class UnitMet(msgspec.Struct, frozen=True, kw_only=True):
    """That a unit met a variant of an endpoint, as a gateway tells it.

    Attributes
    ----------
    endpoint
        Its id.
    unit
        By `unit_hash`.
    variant, at_us
        Which, and when, in microseconds since 1970.
    """

    endpoint: UUID
    unit: Annotated[bytes, Meta(min_length=UNIT_BYTES, max_length=UNIT_BYTES)]
    variant: str
    at_us: int


class ExposedUnits(NamedTuple):
    """How many units a variant was shown to in a batch."""

    variant: int
    batch: int
    units: int


class RecordedUnits(NamedTuple):
    """Sums over units of a variant and batch of what was recorded of them in a metric within their windows.

    Attributes
    ----------
    variant
        `SEEN_IN_TWO` or `NOWHERE` for units that do not count.
    batch
        0 for those.
    units
        Units with a record that counts.
    y, x, yy, xx, yx
        Sums of their totals, their squares and products.
    records, early, late
        How many records there are, and of these the ones before the exposure and those after the window.
    """

    variant: int
    batch: int
    units: int
    y: float
    x: float
    yy: float
    xx: float
    yx: float
    records: int
    early: int
    late: int


class UnitMetric(NamedTuple):
    """How a metric is made of units."""

    name: str
    kind: str
    is_zero_unrecorded: bool


def unit_hash(secret: str, unit: str | bytes) -> bytes:
    """What is stored of a unit: 16 bytes of BLAKE2b (RFC 7693) of its text in UTF-8, keyed with the registry's secret.

    >>> unit_hash("00" * 32, "user-1").hex()
    'd6d9b318b9fbdc94d3524c8682da7dc6'
    """
    text = unit.encode() if isinstance(unit, str) else unit
    return hashlib.blake2b(text, digest_size=UNIT_BYTES, key=bytes.fromhex(secret), person=_PERSON).digest()


def outcome_id(*parts: str) -> bytes:
    """What is stored of a record's id: a hash of the texts that make it."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=UNIT_BYTES, person=_OUTCOME).digest()


def batches_of(
    variants: Sequence[str],
    metrics: Sequence[UnitMetric],
    exposed: Iterable[ExposedUnits],
    recorded: Sequence[Iterable[RecordedUnits]],
    complete: int,
) -> list[Batch]:
    """The batches that are complete, in their order, without those that nobody was exposed in.

    Parameters
    ----------
    variants, metrics
        Of the plan, in its order.
    exposed
        Units by variant and batch.
    recorded
        For each metric, what was recorded. One of which nothing counts is not told: its zeros would say that something was.
    complete
        How many batches are.
    """
    units: dict[int, dict[int, int]] = {}
    for each in exposed:
        if each.variant >= 0 and each.batch < complete:
            units.setdefault(each.batch, {})[each.variant] = each.units
    sums = [
        {
            (each.batch, each.variant): each
            for each in found
            if each.variant >= 0 and each.units and each.batch < complete
        }
        for found in recorded
    ]
    batches = []
    for batch in sorted(units):
        records: dict[str, dict[str, Proportion | Mean | Ratio]] = {}
        for metric, found in zip(metrics, sums, strict=True):
            if not found:
                continue
            for variant, count in units[batch].items():
                summary = _summary(metric, found.get((batch, variant)), count)
                records.setdefault(variants[variant], {})[metric.name] = summary
        counts = {variants[variant]: count for variant, count in sorted(units[batch].items())}
        batches.append(Batch(exposures=Exposures(counts), records=_plain(records)))
    return batches


def _plain(
    records: Mapping[str, Mapping[str, Proportion | Mean | Ratio]],
) -> dict[str, dict[str, Proportion | Mean | Ratio]]:
    return {variant: dict(records[variant]) for variant in sorted(records)}


def _summary(metric: UnitMetric, found: RecordedUnits | None, exposed: int) -> Proportion | Mean | Ratio:
    sums = found or RecordedUnits(0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0)
    n = exposed if metric.is_zero_unrecorded else sums.units
    match metric.kind:
        case "proportion":
            return Proportion(round(sums.y), n)
        case "mean":
            return Mean(n, sums.y / n, max(0.0, sums.yy - sums.y * sums.y / n)) if n else Mean()
        case _:
            return Ratio.from_sums(n, sums.y, sums.x, sums.yy, sums.xx, sums.yx)

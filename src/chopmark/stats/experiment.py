"""An experiment as one frozen value: what was planned, what has come in, and what may be said of it now.

Records never reach it, only summaries of batches. Which parts depend on how records were cut into batches:

- *Totals, fixed and planned tests, the sample-ratio check and intervals of means* depend on what has been added up at the looks, so
  that batches and replicas do not matter, only the looks do.
- *Success rates and limits of quantiles under the sequential method* bet on each batch by the rate seen before it. Other batches of the same
  records give a slightly different p-value, each of them valid. Within a batch neither order nor replicas matter: add the
  replicas' parts with ``+``, and observe the sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self, cast

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.effects import normal_deviate
from chopmark.stats.looks import PlannedLooks
from chopmark.stats.plans import Batch, Metric, Plan, check_batch
from chopmark.stats.readings import (
    DECIDES_NOTHING,
    Reading,
    adjusted,
    fixed_effect,
    linearised,
    records_of,
    repeated_interval,
    value_of,
)
from chopmark.stats.results import Effect, Flag, Interval
from chopmark.stats.sequential import BernoulliEProcess, EventShare, MeanSequence
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Exposures, Mean, Proportion
from chopmark.stats.verdicts import Evidence, Verdict, decide

__all__ = ["Experiment"]

_LIMIT_VALUES_LEAST = 500  # of the control, before its quantile is frozen as the limit
_TUNED_UNITS = 5_000  # about where a sequence of means is narrowest when no end is planned
_UNBOUNDED = Interval(-math.inf, math.inf)
_Said = tuple[Interval, float, tuple[Flag, ...]]
_NOTHING: _Said = (_UNBOUNDED, 1.0, ("no_data",))
_TOO_FEW: _Said = (_UNBOUNDED, 1.0, ("too_few",))
_TOO_EARLY: _Said = (_UNBOUNDED, 1.0, ("too_early",))


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison of two variants or more in one primary metric and any number of others.

    Attributes
    ----------
    plan
        What was laid down before.
    totals
        All batches together.
    limits
        Metric → value at which a quantile is compared, once it is frozen.
    ratio_check, record_check
        Whether units were exposed, and records of the primary metric came, by the shares.
    have_shares_changed
        Whether a batch came under other shares than the plan's: estimates are then the middle of their intervals.
    exceeded
        Variant → quantile metric → records beyond its limit, since that is frozen.
    rates, means
        Treatment → metric → the sequential test.
    looks, looked
        Treatment → looks of a planned experiment, and what the last of them saw.

    Examples
    --------
    >>> plan = Plan(
    ...     variants={"ranker:3": 0.5, "ranker:4": 0.5},
    ...     control="ranker:3",
    ...     metrics=(Metric(name="success", kind="proportion", role="primary"),),
    ... )
    >>> records = {"ranker:3": {"success": Proportion(1_900, 2_000)}, "ranker:4": {"success": Proportion(1_960, 2_000)}}
    >>> experiment = Experiment.planned(plan).observe(Batch(records=records))
    >>> experiment.verdict.decision, experiment.verdict.winner
    ('winner', 'ranker:4')
    """

    plan: Plan
    ratio_check: EventShare
    record_check: EventShare
    have_shares_changed: bool = False
    totals: Batch = Batch()
    limits: Mapping[str, float] = {}
    exceeded: Mapping[str, Mapping[str, Proportion]] = {}
    rates: Mapping[str, Mapping[str, BernoulliEProcess]] = {}
    means: Mapping[str, Mapping[str, MeanSequence]] = {}
    looks: Mapping[str, PlannedLooks] = {}
    looked: Mapping[str, Effect] = {}

    @classmethod
    def planned(cls, plan: Plan) -> Self:
        """An experiment that has seen nothing yet."""
        looks = {}
        if plan.looks is not None:
            alpha = plan.alpha / len(plan.treatments)
            looks = {variant: msgspec.structs.replace(plan.looks, alpha=alpha, looks=()) for variant in plan.treatments}
        return cls(
            plan=plan,
            ratio_check=EventShare(dict(plan.variants), alpha=plan.ratio_alpha),
            record_check=EventShare(dict(plan.variants), alpha=plan.ratio_alpha),
            limits={m.name: m.limit for m in plan.metrics if m.limit is not None},
            looks=looks,
        )

    def observe(self, batch: Batch) -> Self:
        """The experiment after one more batch: of the batch only, not cumulative.

        A sequential experiment takes batches after its planned end too, and after any verdict: what it says then holds at the same
        error rate, and may be another word than before, such as ``winner`` after ``inconclusive``.

        Raises
        ------
        InvalidRequest
            When an experiment that answers at its end has ended, or the batch has a variant or metric that the plan lacks, or
            another summary than its kind says; nothing of it is taken then.
        """
        if self.plan.method != "sequential" and self.has_ended:
            raise InvalidRequest(
                f"The experiment ended with {self.units:,} units, and more would change an answer that holds once.",
                hint="Read its verdict; plan another experiment for what comes now.",
            )
        check_batch(self.plan, batch)
        shares = dict(batch.shares or self.plan.variants)
        totals = msgspec.structs.replace(self.totals, shares=None) + msgspec.structs.replace(batch, shares=None)
        beyond = self._beyond(batch)
        after = msgspec.structs.replace(
            self,
            totals=totals,
            exceeded=_merged(self.exceeded, beyond),
            ratio_check=_checked(self.ratio_check, batch.exposures, shares),
            record_check=_checked(self.record_check, self._recorded(batch), shares),
            have_shares_changed=self.have_shares_changed or shares != dict(self.plan.variants),
        )
        rates: dict[str, dict[str, BernoulliEProcess]] = {}
        means: dict[str, dict[str, MeanSequence]] = {}
        for variant in self.plan.treatments:
            share = shares[variant] / (shares[variant] + shares[self.plan.control])
            for metric in filter(self._is_sequential, self.plan.metrics):
                arms = [
                    _of(beyond if metric.kind == "quantile" else batch.records, v, metric)
                    for v in (self.plan.control, variant)
                ]
                if metric.kind in {"proportion", "quantile"}:
                    control, treatment = (cast("Proportion", arm or Proportion()) for arm in arms)
                    rates.setdefault(variant, {})[metric.name] = self._rate(variant, metric).observe(
                        control, treatment, share
                    )
                else:
                    means.setdefault(variant, {})[metric.name] = after._mean(variant, metric, arms)  # noqa: SLF001 - its own
        return msgspec.structs.replace(after, rates=rates, means=means, limits=after._frozen_limits())  # noqa: SLF001

    def look(self, *, last: bool = False) -> Self:
        """The experiment after a look at a planned one; the others are looked at by reading them.

        Parameters
        ----------
        last
            There will be no more looks, although fewer units came than were planned.

        Raises
        ------
        InvalidRequest
            When it is not planned, or the plan refuses a look now (`PlannedLooks.observe`).
        """
        if self.plan.looks is None:
            raise InvalidRequest(
                f"A {self.plan.method} experiment has no planned looks.",
                hint="Read its verdict; it is safe at any time.",
            )
        information = min(1.0, self.units / (self.plan.planned_n or 1))
        looks, looked = dict(self.looks), dict(self.looked)
        for variant, before in self.looks.items():
            arms = self._arms(variant, self.plan.primary)
            if before.ended or None in arms:
                continue
            effect = fixed_effect(*arms, 1 - self._alpha(self.plan.primary))
            z = normal_deviate(effect) if DECIDES_NOTHING.isdisjoint(effect.flags) else 0.0
            looks[variant] = before.observe(information, z, last=last)
            bound = looks[variant].looks[-1].boundary
            interval = repeated_interval(effect, *arms, bound, sided=self.plan.looks.sided)
            looked[variant] = msgspec.structs.replace(effect, interval=interval)
        return msgspec.structs.replace(self, looks=looks, looked=looked)

    @property
    def units(self) -> int:
        """Records of the primary metric in all variants: what is planned are answers, which may come after exposures."""
        return self._recorded(self.totals).total

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Every treatment in every metric, the primary first, then guardrails and secondary metrics."""
        primary = adjusted(self._readings("primary"), self.plan.alpha)
        guardrails = [adjusted([each], self.plan.alpha)[0] for each in self._readings("guardrail")]
        return (*primary, *guardrails, *adjusted(self._readings("secondary"), self.plan.alpha))

    @property
    def verdict(self) -> Verdict:
        """What to do now."""
        roles = {m.name: m.role for m in self.plan.metrics}
        readings = self.readings
        has_ended = self.has_ended
        return decide(
            self.plan,
            Evidence(
                primary=[r for r in readings if roles[r.metric] == "primary"],
                guardrails=[r for r in readings if roles[r.metric] == "guardrail"],
                ratio_p=min(self.ratio_check.p_value, self.record_check.p_value),
                is_mismatch=self.ratio_check.decided or self.record_check.decided,
                units=self.units,
                may_decide=self.plan.method != "fixed" or has_ended,
                has_ended=has_ended,
                unexposed=self._unexposed,
                futile=frozenset(variant for variant, looks in self.looks.items() if looks.futile),
            ),
        )

    @property
    def has_ended(self) -> bool:
        """Whether all units are there that were planned, or all looks were had."""
        if self.looks:
            return all(looks.ended for looks in self.looks.values())
        return self.plan.planned_n is not None and self.units >= self.plan.planned_n

    def _is_sequential(self, metric: Metric) -> bool:
        """Guardrails are watched at every batch, whatever the method."""
        return self.plan.method == "sequential" or metric.role == "guardrail"

    def _recorded(self, batch: Batch) -> Exposures:
        """Records of the primary metric by variant: tests of rates rest on their being assigned by the shares."""
        counts = {v: records_of(_of(batch.records, v, self.plan.primary)) for v in self.plan.variants}
        return Exposures({v: n for v, n in counts.items() if n})

    @property
    def _unexposed(self) -> dict[str, tuple[int, int]]:
        """Variants with more records of the primary metric than units that were exposed, where exposures are told at all."""
        exposed, recorded = self.totals.exposures.counts, self._recorded(self.totals).counts
        if not self.totals.exposures.total:
            return {}
        return {v: (n, exposed.get(v, 0)) for v, n in recorded.items() if n > exposed.get(v, 0)}

    def _alpha(self, metric: Metric) -> float:
        """Of one treatment's test: treatments share the error rate of the primary metric."""
        return self.plan.alpha / len(self.plan.treatments) if metric.role == "primary" else self.plan.alpha

    def _rate(self, variant: str, metric: Metric) -> BernoulliEProcess:
        known = self.rates.get(variant, {}).get(metric.name)
        if known is not None:
            return known
        shares = self.plan.variants
        share = shares[variant] / (shares[variant] + shares[self.plan.control])
        baseline = 1 - metric.quantile if metric.kind == "quantile" else metric.baseline
        return BernoulliEProcess(share, self._alpha(metric), baseline)

    def _mean(self, variant: str, metric: Metric, arms: list[Any]) -> MeanSequence:
        """The sequence of a treatment after the batch: of means by the batch, of others by the totals, which make no sums."""
        known = self.means.get(variant, {}).get(metric.name)
        if known is None:
            share = self.plan.variants[variant] + self.plan.variants[self.plan.control]
            planned_n = share * self.plan.planned_n if self.plan.planned_n else _TUNED_UNITS
            known = MeanSequence(self._alpha(metric), planned_n)
        if metric.kind == "mean":
            control, treatment = (cast("Mean", arm or Mean()) for arm in arms)
            return known.observe(control, treatment)
        both = [_of(self.totals.records, v, metric) for v in (self.plan.control, variant)]
        if both[0] is None or both[1] is None:
            return known
        return msgspec.structs.replace(known, control=Mean(), treatment=Mean()).observe(*linearised(both[0], both[1]))

    def _beyond(self, batch: Batch) -> dict[str, dict[str, Proportion]]:
        """Records of the batch beyond the limits that were frozen before it."""
        found: dict[str, dict[str, Proportion]] = {}
        for variant, records in batch.records.items():
            for name, summary in records.items():
                if isinstance(summary, QuantileSketch) and name in self.limits:
                    found.setdefault(variant, {})[name] = summary.above(self.limits[name])
        return found

    def _frozen_limits(self) -> dict[str, float]:
        limits = dict(self.limits)
        for metric in self.plan.metrics:
            if metric.kind == "quantile" and metric.name not in limits:
                control = cast("QuantileSketch | None", _of(self.totals.records, self.plan.control, metric))
                limit = None if control is None else _limit(metric, control)
                if limit is not None:
                    limits[metric.name] = limit
        return limits

    def _readings(self, role: str) -> list[Reading]:
        return [self._reading(v, m) for m in self.plan.metrics if m.role == role for v in self.plan.treatments]

    def _reading(self, variant: str, metric: Metric) -> Reading:
        estimate, interval, p_value, flags = self._compared(variant, metric)
        if self.have_shares_changed:
            flags = (*flags, "mixed_shares")
        test = self._test(variant, metric)
        return Reading(
            metric=metric.name,
            variant=variant,
            control_value=value_of(metric, _of(self.totals.records, self.plan.control, metric)),
            treatment_value=value_of(metric, _of(self.totals.records, variant, metric)),
            estimate=estimate,
            interval=interval,
            p_value=p_value,
            p_adjusted=p_value,
            is_significant=False,
            decided_n=test.decided_n if test is not None else 0,
            flags=flags,
        )

    def _compared(self, variant: str, metric: Metric) -> tuple[float | None, Interval, float, tuple[Flag, ...]]:
        effect = self._fixed(variant, metric)
        estimate = None if effect is None else effect.estimate
        if self._is_sequential(metric):
            test = self._test(variant, metric)
            if test is None:
                return (estimate, *_NOTHING)
            if test.flags == ("no_data",) and self._is_recorded(variant, metric):  # of a quantile: before its limit
                return estimate, test.interval, test.p_value, ("too_few",)
            if self.have_shares_changed:  # totals under several shares are not comparable; the test's interval is
                low, high = test.interval.low, test.interval.high
                estimate = (low + high) / 2 if math.isfinite(low + high) else None
            return estimate, test.interval, test.p_value, test.flags
        if metric.role == "primary" and variant in self.looked:
            seen, looks = self.looked[variant], self.looks[variant]
            return seen.estimate, seen.interval, looks.p_value, seen.flags
        if effect is None:
            return (estimate, *(_TOO_FEW if self._is_recorded(variant, metric) else _NOTHING))
        if not self.has_ended:
            return (estimate, *_TOO_EARLY)
        return estimate, effect.interval, effect.p_value, effect.flags

    def _fixed(self, variant: str, metric: Metric) -> Effect | None:
        """The test at a fixed horizon on all there is; None where an arm has nothing."""
        control, treatment = self._arms(variant, metric)
        if control is None or treatment is None:
            return None
        return fixed_effect(control, treatment, 1 - self._alpha(metric))

    def _arms(self, variant: str, metric: Metric) -> tuple[Any, Any]:
        """What the test at a fixed horizon compares, of all batches; None where there is nothing."""
        control, treatment = (_of(self.totals.records, v, metric) for v in (self.plan.control, variant))
        if metric.kind != "quantile" or control is None or treatment is None:
            return control, treatment
        if self._is_sequential(metric):
            return _of(self.exceeded, self.plan.control, metric), _of(self.exceeded, variant, metric)
        # One look at all there is needs no limit from before: that the control's own quantile varies is in the pooled error too.
        limit = _limit(metric, control)
        return (None, None) if limit is None else (control.above(limit), treatment.above(limit))

    def _test(self, variant: str, metric: Metric) -> BernoulliEProcess | MeanSequence | None:
        """The sequential test of a treatment in a metric, once it has seen a batch."""
        return self.rates.get(variant, {}).get(metric.name) or self.means.get(variant, {}).get(metric.name)

    def _is_recorded(self, variant: str, metric: Metric) -> bool:
        """Whether anything was recorded of a metric in the control and in a treatment."""
        return all(records_of(_of(self.totals.records, v, metric)) for v in (self.plan.control, variant))


def _checked(check: EventShare, counts: Exposures, shares: Mapping[str, float]) -> EventShare:
    if not counts.total:
        return check
    return check.observe(counts, None if dict(check.shares) == shares else shares)


def _limit(metric: Metric, control: QuantileSketch) -> float | None:
    """The value that a quantile is compared at: the one that was given, or the control's; None where it has too few values."""
    if metric.limit is not None:
        return metric.limit
    return control.quantile(metric.quantile) if control.count >= _LIMIT_VALUES_LEAST else None


def _of(records: Mapping[str, Mapping[str, Any]], variant: str, metric: Metric) -> Any:
    return records.get(variant, {}).get(metric.name)


def _merged(
    first: Mapping[str, Mapping[str, Proportion]], second: Mapping[str, Mapping[str, Proportion]]
) -> dict[str, dict[str, Proportion]]:
    merged = {variant: dict(found) for variant, found in first.items()}
    for variant, found in second.items():
        mine = merged.setdefault(variant, {})
        for name, proportion in found.items():
            mine[name] = mine.get(name, Proportion()) + proportion
    return merged

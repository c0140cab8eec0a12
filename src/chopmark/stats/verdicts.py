"""What to do about an experiment: one of six words, and a sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from chopmark.stats.plans import Metric, Plan
from chopmark.stats.readings import Reading, Standing, standing

__all__ = ["Evidence", "Verdict", "decide"]

_DIGITS, _DIGITS_MAX = 3, 9

Decision = Literal["winner", "no difference", "continue", "futile", "inconclusive", "invalid"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment says now.

    Attributes
    ----------
    decision
        ``winner``: the primary metric is significantly better, by more than matters, no guardrail is breached, and units fell to the
        variants as they should. ``no difference``: whatever there is does not matter. ``futile``: no treatment can matter any more.
        ``inconclusive``: the end is reached, or no treatment may win. ``invalid``: the assignment is broken. ``continue``: otherwise.
        It is of what is known now. A fixed or planned experiment ends with its answer; a sequential one may go on beyond its planned
        end or a breach, and then say another word: ``inconclusive`` now may be ``winner`` later, at the same error rate.
    winner
        The variant, possibly the control.
    sentence
        What happened and what to do, in words.
    breached
        Treatment → guardrails that it breaches.
    """

    decision: Decision
    sentence: str
    winner: str | None = None
    breached: Mapping[str, tuple[str, ...]] = {}

    @property
    def is_final(self) -> bool:
        """Whether one may stop and act on it. It does not say that more data, where more are taken, could not change it."""
        return self.decision != "continue"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a verdict rests on.

    Attributes
    ----------
    primary, guardrails
        Readings of them.
    ratio_p
        p-value of the sequential sample-ratio check; ``is_mismatch`` whether it has decided.
    units
        Units so far.
    may_decide
        Whether the method allows an answer now.
    has_ended
        Whether no more is planned.
    futile
        Treatments that a planned look found futile.
    unexposed
        Variant → records of the primary metric and units exposed, where the records are more.
    """

    primary: Sequence[Reading]
    guardrails: Sequence[Reading]
    ratio_p: float
    is_mismatch: bool
    units: int
    may_decide: bool
    has_ended: bool
    futile: frozenset[str] = frozenset()
    unexposed: Mapping[str, tuple[int, int]] = {}


def decide(plan: Plan, evidence: Evidence) -> Verdict:
    """The verdict on what is known; pure, and the only place that knows what a winner is."""
    if evidence.is_mismatch:
        return Verdict(
            decision="invalid",
            sentence=(
                f"Units do not fall to the variants by their shares (p = {evidence.ratio_p:.2g}): comparisons cannot be trusted. "
                "Look for what loses units of one variant (crashes, redirects, bots, caches), mend it and start anew."
            ),
        )
    if evidence.unexposed:
        return Verdict(decision="invalid", sentence=_told_of_unexposed(plan, evidence.unexposed))
    breached = _breached(plan, evidence.guardrails)
    if set(breached) == set(plan.treatments):  # guardrails may be acted on at any time, whatever the method
        return _forbidden(plan, breached)
    standings = {each.variant: standing(plan.primary, each) for each in evidence.primary}
    readings = {each.variant: each for each in evidence.primary}
    if evidence.may_decide:
        silent = _silent_guardrails(plan, evidence.guardrails)
        verdict = (
            _decided(plan, standings, readings, breached, silent)
            or _waiting(plan, evidence, standings, breached, silent)
            or _hopeless(plan, standings, breached, evidence.futile)
        )
        if verdict is not None:
            return _with_gone(plan, verdict, evidence.primary)
    return _with_gone(plan, _undecided(plan, evidence, breached), evidence.primary)


def _decided(
    plan: Plan,
    standings: Mapping[str, Standing],
    readings: Mapping[str, Reading],
    breached: Mapping[str, tuple[str, ...]],
    silent: Mapping[str, tuple[str, ...]],
) -> Verdict | None:
    metric = plan.primary
    winners = [v for v, found in standings.items() if found == "better" and v not in breached and v not in silent]
    if winners:
        best = max(winners, key=lambda v: _gain(metric, readings[v]))
        others = f" {_listed([v for v in winners if v != best])} beat it too." if len(winners) > 1 else ""
        return Verdict(
            decision="winner",
            winner=best,
            breached=breached,
            sentence=f"{best} wins: {_told_of(plan, readings[best])}{_beyond(metric)}.{others} Promote {best}.",
        )
    if all(found == "worse" for found in standings.values()):
        told = "; ".join(f"with {v} {_told_of(plan, readings[v])}" for v in standings)
        return Verdict(
            decision="winner",
            winner=plan.control,
            breached=breached,
            sentence=f"{plan.control} wins: {told}. Keep {plan.control}.",
        )
    return None


def _hopeless(
    plan: Plan, standings: Mapping[str, Standing], breached: Mapping[str, tuple[str, ...]], futile: frozenset[str]
) -> Verdict | None:
    """A verdict where no treatment can win any more."""
    metric = plan.primary
    left = {v: found for v, found in standings.items() if v not in breached and found != "worse"}
    if not left:
        return _forbidden(plan, breached, [v for v, found in standings.items() if found == "worse"])
    if all(found == "same" for found in left.values()):
        return Verdict(
            decision="no difference",
            breached=breached,
            sentence=(
                f"{metric.name} differs by less than {_amount(metric, metric.threshold)}, which is what matters, between {plan.control} and "
                f"{_listed(left)}. Choose by other reasons, such as cost."
            ),
        )
    if all(found in {"same", "not better"} or v in futile for v, found in left.items()):
        return Verdict(
            decision="futile",
            breached=breached,
            sentence=(
                f"{_listed(left)} cannot be shown to improve {metric.name} by {_amount(metric, metric.threshold)} or more any more. "
                f"Stop, and keep {plan.control}."
            ),
        )
    return None


def _forbidden(plan: Plan, breached: Mapping[str, tuple[str, ...]], worse: Sequence[str] = ()) -> Verdict:
    told = [f"{v} breaches {_listed(names)}" for v, names in breached.items()]
    told += [f"{v} is worse" for v in worse if v not in breached]
    return Verdict(
        decision="inconclusive",
        breached=breached,
        sentence=f"No treatment may win: {'; '.join(told)}. Stop, and keep {plan.control}.",
    )


def _waiting(
    plan: Plan,
    evidence: Evidence,
    standings: Mapping[str, Standing],
    breached: Mapping[str, tuple[str, ...]],
    silent: Mapping[str, tuple[str, ...]],
) -> Verdict | None:
    """A verdict where a treatment would win, were there not guardrails that have nothing to say of it yet: they do not pass."""
    waiting = [
        each for each in evidence.primary if standings[each.variant] == "better" and each.variant not in breached
    ]
    if not waiting:
        return None
    best = max(waiting, key=lambda each: _gain(plan.primary, each))
    name = best.variant
    do = f"Keep {plan.control} until they have spoken." if evidence.has_ended else "Go on until they have."
    return Verdict(
        decision="inconclusive" if evidence.has_ended else "continue",
        breached=breached,
        sentence=(
            f"{name} is better, and does not win yet: {_told_of(plan, best)}, but {'; '.join(silent[name])}. A guardrail that says "
            f"nothing does not pass. {do}"
        ),
    )


def _with_gone(plan: Plan, verdict: Verdict, primary: Sequence[Reading]) -> Verdict:
    """With what was once decided of treatments, and shows no more: it stays a finding, and is no reason to promote."""
    told = [
        f" {plan.primary.name} did differ with {each.variant} at {each.decided_n:,} records, and no longer does over all there are now: "
        f"{_told_of(plan, each)}. Do not promote {each.variant} for it; find what changed."
        for each in primary
        if "gone" in each.flags
    ]
    return msgspec.structs.replace(verdict, sentence=verdict.sentence + "".join(told)) if told else verdict


def _undecided(plan: Plan, evidence: Evidence, breached: Mapping[str, tuple[str, ...]]) -> Verdict:
    warned = "".join(f" {v} breaches {_listed(names)} and cannot win." for v, names in breached.items())
    if evidence.has_ended:
        return Verdict(
            decision="inconclusive",
            breached=breached,
            sentence=(
                f"{evidence.units:,} units were planned and are there, and do not tell whether {plan.primary.name} differs.{warned} "
                f"Keep {plan.control}, or plan another experiment with more units."
            ),
        )
    so_far = f"{evidence.units:,} units so far"
    if plan.planned_n and evidence.units >= plan.planned_n:
        so_far = f"the {plan.planned_n:,} units that were planned are there, and the last look was not taken"
    elif plan.planned_n:
        so_far = f"{evidence.units:,} of {plan.planned_n:,} units so far"
    return Verdict(
        decision="continue", breached=breached, sentence=f"Nothing can be said yet: {so_far}.{warned} Go on."
    )


def _silent_guardrails(plan: Plan, guardrails: Sequence[Reading]) -> dict[str, tuple[str, ...]]:
    """Treatment → what is missing of guardrails that can say nothing of it."""
    found: dict[str, tuple[str, ...]] = {}
    for each in guardrails:
        is_quantile = plan.metric(each.metric).kind == "quantile"
        for flag in each.flags:
            if flag == "no_data":
                told = f"nothing was recorded of {each.metric}"
            elif flag == "too_few":
                told = f"{each.metric} has too few records{' after its limit was set' if is_quantile else ''}"
            else:
                continue
            found[each.variant] = (*found.get(each.variant, ()), told)
    return found


def _told_of_unexposed(plan: Plan, unexposed: Mapping[str, tuple[int, int]]) -> str:
    told = [
        f"{records:,} records of {units:,} units that were exposed to {v}" for v, (records, units) in unexposed.items()
    ]
    return (
        f"There are {_listed(told)}: a unit is recorded once, or the records of {plan.primary.name} are no independent ones and every "
        "difference looks surer than it is. Record each unit once, at the end of its time, and start anew."
    )


def _breached(plan: Plan, guardrails: Sequence[Reading]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for each in guardrails:
        metric = plan.metric(each.metric)
        is_plain = "no_variance" in each.flags and _gain(metric, each) < -metric.threshold
        if is_plain or standing(metric, each) == "worse":
            found[each.variant] = (*found.get(each.variant, ()), each.metric)
    return found


def _gain(metric: Metric, reading: Reading) -> float:
    estimate = reading.estimate or 0.0
    return estimate if metric.better == "higher" else -estimate


def _told_of(plan: Plan, reading: Reading) -> str:
    """How a treatment differs in the primary metric, in words."""
    metric, interval = plan.primary, reading.interval
    estimate = reading.estimate or 0.0
    way = "higher" if estimate > 0 else "lower"
    digits = _digits_apart(
        [_scaled(metric, end) for end in (interval.low, interval.high, metric.threshold, -metric.threshold)]
    )
    low, high = (_amount(metric, end, digits) for end in (interval.low, interval.high))
    if interval.excludes_zero:
        low, high = (f"above {low}", high) if interval.low == 0 else (low, f"below {high}")
    what = f"the share of {metric.name} beyond the limit" if metric.kind == "quantile" else metric.name
    return f"{what} is {_amount(metric, abs(estimate))} {way} than with {plan.control} (interval {low} to {high})"


def _beyond(metric: Metric) -> str:
    return f", and {_amount(metric, metric.threshold)} is what matters" if metric.threshold else ""


def _amount(metric: Metric, value: float, digits: int = _DIGITS) -> str:
    """A difference as a person says it: shares in percentage points."""
    return f"{_scaled(metric, value):.{digits}g}{' points' if metric.kind in {'proportion', 'quantile'} else ''}"


def _scaled(metric: Metric, value: float) -> float:
    """A difference in the unit that a person says it in."""
    return 100 * value if metric.kind in {"proportion", "quantile"} else value


def _digits_apart(values: Sequence[float]) -> int:
    """Digits by which different numbers look different; three, where these are enough."""
    different = set(values)
    enough = (d for d in range(_DIGITS, _DIGITS_MAX) if len({f"{v:.{d}g}" for v in different}) == len(different))
    return next(enough, _DIGITS_MAX)


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"

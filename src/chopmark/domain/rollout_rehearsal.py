"""What a plan would have made of requests that were answered already: its checks, replayed over recorded minutes; pure.

The checks, levels and holds are those of a real rollout. What a replay cannot know is said with its answer, in ``caveats``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec
from msgspec import structs

from chopmark.domain import analysis
from chopmark.domain.outcomes import WINDOW, OutcomeWindow
from chopmark.domain.rollout_drift import drift_metrics
from chopmark.domain.rollout_plans import RolloutPlan
from chopmark.domain.rollout_totals import ArmTotals, arm_totals
from chopmark.domain.rollouts import CheckState, CheckVerdict, Evidence
from chopmark.domain.traffic import WEIGHT_TOTAL

__all__ = ["RecordedMinute", "Rehearsal", "RehearsedMoment", "rehearsed"]

Verdict = Literal["completed", "rolled_back", "paused", "unfinished"]


class RecordedMinute(NamedTuple):
    """What became of both versions' requests in one minute; None: there were none."""

    start: datetime
    stable: OutcomeWindow | None
    candidate: OutcomeWindow | None


class RehearsedMoment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that would have happened.

    Attributes
    ----------
    at
        The end of the recorded minute after which it would have been seen.
    step, weight
        The step that was held.
    requests
        Of the candidate in this step.
    words
        What would have happened.
    evidence
        Of the checks.
    """

    at: datetime
    step: int
    weight: int
    requests: int
    words: str
    evidence: tuple[Evidence, ...] = ()


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan would have made of recorded minutes.

    Attributes
    ----------
    outcome
        ``completed``: all steps passed; ``rolled_back``: a check failed; ``paused``: one was inconclusive; ``unfinished``: the recorded
        minutes ended first.
    minutes
        How many were replayed.
    moments
        What would have happened, in order.
    caveats
        What a replay cannot know.
    """

    outcome: Verdict
    minutes: int
    moments: tuple[RehearsedMoment, ...] = ()
    caveats: tuple[str, ...] = ()

    def __repr__(self) -> str:
        said = [f"{m.at:%Y-%m-%d %H:%M} step {m.step + 1} ({m.weight / 100:g} %): {m.words}" for m in self.moments[-4:]]
        return "\n  ".join([f"<rehearsal · {self.outcome} · {self.minutes} recorded minutes>", *said])


def rehearsed(plan: RolloutPlan, minutes: Sequence[RecordedMinute]) -> Rehearsal:
    """Replay the checks of a plan.

    Parameters
    ----------
    minutes
        In order.
    """
    together = [m for m in minutes if m.stable is not None and m.candidate is not None]
    dealt = plan if not together else _as_dealt(plan, together)
    stable, candidate = ArmTotals(), ArmTotals()
    sums: tuple[OutcomeWindow | None, OutcomeWindow | None] = None, None
    place, begun_at, before = 0, minutes[0].start if minutes else None, 0
    states = analysis.begun(dealt, stable, candidate)
    moments: list[RehearsedMoment] = []
    outcome: Verdict = "unfinished"
    for minute in minutes:
        at = minute.start + WINDOW
        sums = _and(sums[0], minute.stable), _and(sums[1], minute.candidate)
        stable, candidate = arm_totals(sums[0]), arm_totals(sums[1])
        is_both = minute.stable is not None and minute.candidate is not None
        if not is_both:
            states = analysis.rebased(dealt, states, stable, candidate)
        states = analysis.judged(dealt, place, states, stable, candidate, at, is_steady=is_both)
        step = analysis.step_at(plan, place)
        arrived = candidate.requests - before
        verdict = analysis.verdict_of(states, step, arrived)
        is_held = begun_at is not None and at - begun_at >= timedelta(seconds=step.hold_s)
        if verdict != "fail" and (verdict == "no_data" or not is_held):
            continue
        words = _words(verdict, states, step.gate)
        moment = RehearsedMoment(
            at=at,
            step=place,
            weight=step.weight,
            requests=arrived,
            words=words,
            evidence=analysis.evidence_of(states, *(() if verdict == "pass" else (verdict,))),
        )
        moments.append(moment)
        if verdict != "pass":
            outcome = "rolled_back" if verdict == "fail" else "paused"
            break
        place, begun_at, before = place + 1, at, candidate.requests
        if place > len(plan.steps):
            outcome = "completed"
            break
        states = analysis.begun(dealt, stable, candidate)
    return Rehearsal(
        outcome=outcome, minutes=len(minutes), moments=tuple(moments), caveats=_caveats(plan, minutes, together)
    )


def _as_dealt(plan: RolloutPlan, together: Iterable[RecordedMinute]) -> RolloutPlan:
    """The plan with the share by which the recorded requests were dealt, for the comparisons with the stable version."""
    mine = sum(m.candidate.requests for m in together if m.candidate is not None)
    whole = mine + sum(m.stable.requests for m in together if m.stable is not None)
    share = round(WEIGHT_TOTAL * mine / whole) if whole else 0
    weight = min(max(share, 1), WEIGHT_TOTAL - 1)
    return structs.replace(
        plan,
        steps=tuple(
            structs.replace(step, weight=weight) if 0 < step.weight < WEIGHT_TOTAL else step for step in plan.steps
        ),
    )


def _and(before: OutcomeWindow | None, window: OutcomeWindow | None) -> OutcomeWindow | None:
    if before is None or window is None:
        return before or window
    return before + structs.replace(window, variant=before.variant)


def _words(verdict: CheckVerdict, states: Iterable[CheckState], gate: str) -> str:
    states = tuple(states)
    if verdict == "pass":
        return "passed" + (f", and would wait for the approval {gate}" if gate else "")
    named = ", ".join(each.check for each in analysis.evidence_of(states, verdict))
    return f"would be rolled back: failed {named}" if verdict == "fail" else f"would pause: inconclusive {named}"


def _caveats(
    plan: RolloutPlan, minutes: Sequence[RecordedMinute], together: Sequence[RecordedMinute]
) -> tuple[str, ...]:
    found = [
        "The candidate got the share that it had then, not that of each step: how it bears more traffic is not seen."
    ]
    if not minutes:
        return ("Nothing was recorded of either version in that time.",)
    if any(check.versus_stable for check in plan.checks):
        if together:
            found.append(
                f"Compared with the stable version by the {len(together)} minutes in which both answered, as if their requests had "
                "been dealt by lot with one share."
            )
        else:
            found.append(
                "The two never answered in the same minute: nothing was compared, and the thresholds alone decide."
            )
    if any(check.kind in {"events", "gauge"} for check in plan.checks):
        found.append("Checks of recorded events and numbers have no data here, and never pass.")
    if drift := drift_metrics(plan):
        found.append(
            f"{drift[0]} is not replayed: samples are counted by the hour, and not by the minute. What they say of a version by now is "
            "told by: chopmark outcomes drift ENDPOINT"
        )
    if any(step.is_experiment for step in plan.steps):
        found.append("What an experiment would have decided is not replayed.")
    return tuple(found)

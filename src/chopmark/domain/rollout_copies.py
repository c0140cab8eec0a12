"""Whether a shadow gets copies of requests, and what people are told when it gets none; pure.

A step that mirrors never passes without copies, and nothing else says so. Asked at each look, by what the row and the observation say:
whoever asks keeps whether people were told (`chopmark.domain.alert_log`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from msgspec import structs

from chopmark.domain.alert_rules import AlertEvent
from chopmark.domain.alert_words import duration_words
from chopmark.domain.rollout_plans import PlanStep
from chopmark.domain.rollout_routers import is_old, is_split_set, lagging, live_routers
from chopmark.domain.rollouts import Observation, Rollout, StepBase
from chopmark.domain.traffic import WEIGHT_TOTAL

__all__ = ["NO_COPIES", "base_of", "copies_event", "mirrors"]

NO_COPIES = "no_copies"
"""The label of the alert."""

_EXPECTED_MIN = 5.0
"""Copies of which none comes once in 150 times by chance, and below which none is no wonder."""


class _Why(NamedTuple):
    """Why there are no copies, and what to do next."""

    what: str
    then: str


def base_of(seen: Observation) -> StepBase:
    """Totals when a step is confirmed."""
    return StepBase(asked=seen.stable.requests, answered=_answered(seen), dropped=seen.candidate.dropped)


def mirrors(rollout: Rollout) -> bool:
    """Whether any of its steps makes the candidate a shadow, and people want to be told when it gets nothing."""
    return rollout.plan.copies_within_s > 0 and any(step.mirror for step in rollout.plan.steps)


def copies_event(rollout: Rollout, seen: Observation, now: datetime) -> AlertEvent | None:
    """That a shadow gets no copies, or that this is over; None when neither can be said.

    Parameters
    ----------
    rollout
        As it is after this look.
    seen
        What it saw.
    now
        By the database's clock.
    """
    if not mirrors(rollout):
        return None
    since = rollout.confirmed_at or rollout.since
    if rollout.is_final:
        return _event("resolved", since, now, f"The rollout has ended: it is {rollout.state.replace('_', ' ')}.")
    step = rollout.plan.steps[rollout.step]
    if rollout.state != "progressing" or not step.mirror:
        return _event("resolved", since, now, "The step that mirrors is over.")
    if is_old(rollout, seen) or seen.endpoint is None:
        return None
    copies = seen.candidate.requests - rollout.requests_before
    if rollout.confirmed_at is None and copies > 0:
        return None  # of this step or of one before: a database that was restored does not tell
    if copies > 0:
        return _event("resolved", since, now, f"{rollout.candidate.ref} gets copies: {copies:,} by now.")
    silent = now - since
    if silent < timedelta(seconds=rollout.plan.copies_within_s):
        return None
    why = _why(rollout, seen, step, now)
    long = duration_words(float(round(silent.total_seconds())))
    text = f"The shadow {rollout.candidate.ref} got no copy in {long}: {why.what}. {why.then}"
    return _event("firing", since, now, text)


def _answered(seen: Observation) -> int:
    """Requests that the stable version answered: what is copied is some of these."""
    return max(seen.stable.failures.n - seen.stable.failures.successes, 0)


def _event(kind: Literal["firing", "resolved"], since: datetime, now: datetime, text: str) -> AlertEvent:
    return AlertEvent(
        rule=NO_COPIES,
        kind=kind,
        severity="warning",
        at=now,
        since=since,
        message=text,
        value=0.0 if kind == "firing" else None,
    )


def _why(rollout: Rollout, seen: Observation, step: PlanStep, now: datetime) -> _Why:
    """What is in the way, the first thing first: the split, the routers, the requests, their answers, the queue, the share."""
    ref, name = rollout.candidate.ref, rollout.endpoint_ref
    if not is_split_set(rollout, seen):
        return _Why(
            f"{name} does not mirror to it any more, as somebody else set the split",
            f"Ask for the rollout's own again: chopmark rollout resume {name}",
        )
    if rollout.confirmed_at is None:
        live = structs.replace(seen, routers=live_routers(seen, now))
        return _Why(
            f"the routers have not confirmed the step ({lagging(rollout, live) or 'they were not looked at yet'})",
            "See what they say: chopmark live",
        )
    before = rollout.before
    asked, answered = seen.stable.requests - before.asked, _answered(seen) - before.answered
    dropped = seen.candidate.dropped - before.dropped
    share = step.mirror / WEIGHT_TOTAL
    if asked <= 0:
        return _Why(
            f"no request came to {name} that a version could read: none at all, or only such as were refused",
            f"See which: chopmark outcomes summary {name}",
        )
    if answered <= 0:
        return _Why(
            f"{asked:,} requests came and none was answered, and what is not answered is not copied",
            f"See what fails: chopmark outcomes summary {name}",
        )
    if dropped > 0:
        queue = seen.endpoint.config.shadow_queue_max if seen.endpoint is not None else 0
        return _Why(
            f"{dropped:,} copies were dropped, as no more than {queue:,} may wait for it",
            f"Let more wait: chopmark endpoint update {name} --config shadow_queue_max=100",
        )
    if answered * share < _EXPECTED_MIN:
        return _Why(
            f"{answered:,} requests were answered, and with a share of {share:.4g} that is too few to expect a copy",
            f"Wait, or copy more of them: chopmark rollout start {name} {ref} --strategy shadow --steps 100 --supersede",
        )
    return _Why(
        f"{answered:,} requests were answered, and no router copied any of the {share:.4g} that it should",
        "See whether they have it loaded: chopmark live",
    )

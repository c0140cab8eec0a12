"""Whether workers look at a rollout, as far as its row tells; pure.

A look that finds nothing to change writes nothing, so a row may be old although workers look. But there are rows that any look would
have changed: who finds such a one after some seconds knows that nobody looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from chopmark.domain.rollout_plans import PlanStep
from chopmark.domain.rollouts import Rollout, RolloutEvent

__all__ = ["unseen_words"]

_UNSEEN_AFTER = timedelta(seconds=10)


def unseen_words(rollout: Rollout, events: Sequence[RolloutEvent], now: datetime) -> str:
    """What to tell who waits for a rollout at which no worker looks; empty when one may.

    Parameters
    ----------
    events
        At least the last of the rollout's.
    now
        By the database's clock.
    """
    silent = now - min(_due(rollout, events), default=now)
    if rollout.is_final or silent <= _UNSEEN_AFTER:
        return ""
    return f"No worker has looked at this for {silent.total_seconds():.0f} s. Start one: chopmark serve, or chopmark worker"


def _due(rollout: Rollout, events: Sequence[RolloutEvent]) -> Iterator[datetime]:
    """Since when a look would have changed the row, by each sign that it would."""
    if not rollout.waiting or rollout.wants == "abort":
        yield max([rollout.since, *(event.at for event in events[-1:])])  # a look says what is waited for, or goes on
    if rollout.waiting == "holding" and rollout.confirmed_at is not None:
        yield rollout.confirmed_at + timedelta(seconds=_held(rollout).hold_s)
    if rollout.plan.deadline_s and rollout.started_at is not None and rollout.state not in {"baking", "aborting"}:
        yield rollout.started_at + timedelta(seconds=rollout.plan.deadline_s)


def _held(rollout: Rollout) -> PlanStep:
    return rollout.plan.bake if rollout.state == "baking" else rollout.plan.steps[rollout.step]

"""Rollouts: the move of an endpoint from its stable version to a candidate, as one durable row and what a worker sees; pure.

States
------
::

    queued → preparing → progressing(i) → promoting → baking → completed
       │        └────────────┴───────────────┴──────────┴──→ aborting → rolled_back | failed | superseded
       └──→ rolled_back | failed | superseded

``preparing``: every live router loads the candidate at weight 0. ``progressing``: a step's weight is held. ``promoting``: the
candidate becomes what is stable. ``baking``: it is watched while the old version stays loaded. ``aborting``: the weight goes to 0.
``failed``: the candidate never got traffic. ``superseded``: a newer rollout took its place.

What must stay true
-------------------
1. A rollout is one row with a revision; who writes it compares the revision that he read. What it asks of the routers (`SetSplit`)
   is set in the same transaction, and `asked_under` puts that routing's mark into the row.
2. Time is that of the database; nothing of a rollout is remembered anywhere else than in the row.
3. Weights only go up while it progresses; the way back is to 0 at once.
4. No state follows a final one. Undoing and trying again are new rollouts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta, structs

from chopmark.domain.endpoints import Endpoint, Router, RoutingMark
from chopmark.domain.rollout_plans import RolloutPlan
from chopmark.domain.rollout_totals import ArmTotals, Gauge
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion, Shadow, Variant
from chopmark.stats.sequential import BernoulliEProcess
from chopmark.stats.summaries import Proportion

__all__ = [
    "ACTIVE",
    "FINAL",
    "Advance",
    "Asked",
    "CheckState",
    "CheckVerdict",
    "Ending",
    "Evidence",
    "Observation",
    "Pause",
    "Rollout",
    "RolloutAlert",
    "RolloutEvent",
    "RolloutState",
    "SetSplit",
    "StepBase",
    "asked_under",
    "is_open",
    "split_of",
]

RolloutState = Literal[
    "queued",
    "preparing",
    "progressing",
    "promoting",
    "baking",
    "completed",
    "aborting",
    "rolled_back",
    "failed",
    "superseded",
]

FINAL: frozenset[RolloutState] = frozenset({"completed", "rolled_back", "failed", "superseded"})
ACTIVE: frozenset[RolloutState] = frozenset({"preparing", "progressing", "promoting", "baking", "aborting"})
"""States in which a rollout has its endpoint to itself."""

CheckVerdict = Literal["pass", "fail", "inconclusive", "no_data"]
Roles = Literal["candidate", "promoted", "released"]
Ending = Literal["", "rolled_back", "failed", "superseded"]
Count = Annotated[int, Meta(ge=0)]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the routers.

    Attributes
    ----------
    weight, mirror
        Of the candidate.
    roles
        ``candidate``: beside the stable version; ``promoted``: in its place, which stays loaded at weight 0; ``released``: who has no
        traffic is let go.
    mark
        The routing in which it was set; generation 0 before it is.
    """

    weight: int
    mirror: int = 0
    roles: Roles = "candidate"
    mark: RoutingMark = RoutingMark()


class SetSplit(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do, in the transaction that writes the row: give the endpoint these variants and shadows."""

    variants: tuple[Variant, ...]
    shadows: tuple[Shadow, ...] = ()
    weight: int = 0


class RolloutAlert(msgspec.Struct, frozen=True):
    """An alert that fires for the candidate, and what it wants."""

    name: str
    action: Literal["pause", "rollback"]
    message: str = ""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reads before it decides.

    Attributes
    ----------
    mark
        The newest routing.
    endpoint
        As it is meant to be; None when it was deleted.
    routers
        Their last reports, by the database's clock.
    stable, candidate
        Totals since the rollout began.
    alerts
        Those that fire.
    experiment
        What it decided: ``""`` nothing yet.
    is_free
        Whether no other rollout has the endpoint.
    superseded_by
        A newer rollout that wants its place.
    """

    mark: RoutingMark
    endpoint: Endpoint | None
    routers: tuple[Router, ...] = ()
    stable: ArmTotals = ArmTotals()
    candidate: ArmTotals = ArmTotals()
    alerts: tuple[RolloutAlert, ...] = ()
    experiment: Literal["", "winner", "loser", "inconclusive"] = ""
    is_free: bool = True
    superseded_by: str = ""


class StepBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Totals when a step was confirmed, of which only what came since is told.

    Attributes
    ----------
    asked, answered
        Requests to the stable version, and those of them that it answered.
    dropped
        Copies that the candidate never got.
    """

    asked: Count = 0
    answered: Count = 0
    dropped: Count = 0


class CheckState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is remembered of a check within a step.

    Attributes
    ----------
    name
        Of the check.
    base
        Bad and all of the candidate when the step was confirmed.
    seen_stable, seen
        Bad and all up to which the comparison was fed, of both arms.
    limit
        Nanoseconds at which latencies are compared, once it is frozen.
    test
        The comparison with the stable version.
    beyond, sampled_at
        Samples of a gauge beyond its threshold, one after another, and the time of the last.
    last
        Of a gauge that is not measured at each look: the last number.
    verdict, evidence
        At the last look.
    """

    name: str
    base: Proportion = Proportion()
    seen_stable: Proportion = Proportion()
    seen: Proportion = Proportion()
    limit: float | None = None
    test: BernoulliEProcess | None = None
    beyond: Count = 0
    sampled_at: datetime | None = None
    last: Gauge | None = None
    verdict: CheckVerdict = "no_data"
    evidence: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why a verdict is what it is: counts, the test and its level, in words that can be read years later."""

    check: str
    verdict: CheckVerdict
    words: str


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a rollout until somebody resumes it.

    Attributes
    ----------
    by
        A person; empty when it is the rollout itself.
    is_inconclusive
        Whether a verdict was, at the end of a hold.
    is_foreign
        Whether somebody else set the split; to resume is to ask for the rollout's own again.
    """

    by: str
    reason: str
    is_inconclusive: bool = False
    is_foreign: bool = False


class RolloutEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a rollout.

    Attributes
    ----------
    kind
        ``moved``: from one state or step to another; ``confirmed``: every live router has the weight; ``paused``, ``resumed``,
        ``asked`` (a command that is done when it can be), ``approved``.
    before, after
        States.
    step
        Afterwards.
    evidence
        Of checks.
    by
        A person; empty when it is the rollout itself.
    seq
        Its place among those of the rollout, from 1; 0 before it is kept.
    """

    rollout: UUID
    kind: Literal["moved", "confirmed", "paused", "resumed", "asked", "approved"]
    at: datetime
    before: RolloutState
    after: RolloutState
    step: int = 0
    weight: int = 0
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()
    by: str = ""
    seq: int = 0


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """The move of an endpoint from its stable version to a candidate.

    Attributes
    ----------
    endpoint, endpoint_ref
        Its id, and ``[project/]name``.
    revision
        How often the row was written; compared by who writes it.
    stable
        What answered when it began; None while it is queued.
    step
        Index of the step that is held.
    since
        When the state or the step was entered.
    confirmed_at
        When every live router first confirmed its weight; None before.
    is_steady
        Whether they did when last looked at: requests in between were dealt by several shares, and are not compared.
    at
        The latest time by which it was advanced.
    asked
        Of the routers; None when nothing was.
    checks, requests_before, before
        Of this step, and requests of the candidate and others before it was confirmed.
    approved
        Indices of steps whose gate was approved.
    wants
        A command that is not done yet: ``step``, ``full`` or ``abort``.
    ending
        Where aborting ends.
    waiting
        Why it does not go on, in words.
    is_released
        Whether, after its end, the version without traffic was let go.
    """

    id: UUID
    endpoint: UUID
    endpoint_ref: str = ""
    candidate: PinnedVersion
    plan: RolloutPlan
    created_at: datetime
    created_by: str
    revision: int = 0
    state: RolloutState = "queued"
    stable: PinnedVersion | None = None
    step: int = 0
    since: datetime
    confirmed_at: datetime | None = None
    is_steady: bool = False
    at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    asked: Asked | None = None
    checks: tuple[CheckState, ...] = ()
    requests_before: int = 0
    before: StepBase = StepBase()
    pause: Pause | None = None
    approved: tuple[int, ...] = ()
    wants: Literal["", "step", "full", "abort"] = ""
    ending: Ending = ""
    reason: str = ""
    waiting: str = ""
    is_released: bool = False

    @property
    def is_final(self) -> bool:
        """Whether no state follows."""
        return self.state in FINAL

    @property
    def place(self) -> int:
        """Index of the step that is held; once it is promoted, that after the last, which is the baking."""
        return len(self.plan.steps) if self.state in {"promoting", "baking"} else self.step

    @property
    def weight(self) -> int:
        """What was asked for the candidate."""
        return self.asked.weight if self.asked is not None else 0

    def __repr__(self) -> str:
        said = f" step {self.step + 1} of {len(self.plan.steps)}" if self.state == "progressing" else ""
        why = f" · {self.reason or self.waiting}" if self.reason or self.waiting else ""
        where = f" to {self.endpoint_ref}" if self.endpoint_ref else ""
        return f"<rollout of {self.candidate.ref}{where} · {self.state}{said} · {100 * self.weight / WEIGHT_TOTAL:g} %{why}>"


def is_open(rollout: Rollout) -> bool:
    """Whether a worker has something to do: it has not ended, or the version without traffic is still held."""
    return not rollout.is_final or not rollout.is_released


class Advance(NamedTuple):
    """What became of a rollout: the row to write, what to do in the same transaction, and what to tell."""

    rollout: Rollout
    actions: tuple[SetSplit, ...] = ()
    events: tuple[RolloutEvent, ...] = ()


def split_of(rollout: Rollout, asked: Asked) -> SetSplit:
    """The variants and shadows that are meant by what is asked; the rollout has begun."""
    stable, candidate = rollout.stable or rollout.candidate, rollout.candidate
    if asked.roles == "candidate":
        own = () if asked.mirror else (Variant(name="candidate", version=candidate, weight=asked.weight),)
        first = Variant(name="stable", version=stable, weight=WEIGHT_TOTAL - asked.weight)
        shadows = (Shadow(version=candidate, weight=asked.mirror),) if asked.mirror else ()
        return SetSplit(variants=(first, *own), shadows=shadows, weight=asked.weight)
    if asked.roles == "promoted":
        old = Variant(name="previous", version=stable, weight=0)
        return SetSplit(
            variants=(Variant(name="stable", version=candidate, weight=WEIGHT_TOTAL), old), weight=WEIGHT_TOTAL
        )
    answers = candidate if asked.weight else stable
    return SetSplit(variants=(Variant(name="stable", version=answers, weight=WEIGHT_TOTAL),), weight=asked.weight)


def asked_under(rollout: Rollout, mark: RoutingMark) -> Rollout:
    """The row to write once what it asks was set, in the same transaction, and gave this routing."""
    if rollout.asked is None:
        return rollout
    return structs.replace(rollout, asked=structs.replace(rollout.asked, mark=mark))

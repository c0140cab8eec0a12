"""Verbs about rollouts: what they are asked with and what they answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.rollout_commands import Command
from chopmark.domain.rollout_plans import RolloutPlan, Strategy
from chopmark.domain.rollout_totals import Gauge
from chopmark.domain.rollouts import Rollout, RolloutEvent
from chopmark.ops.requests import Request

__all__ = [
    "AdvanceRollout",
    "CommandRollout",
    "GetRollout",
    "ListRolloutEvents",
    "ListRollouts",
    "RehearseRollout",
    "RollBack",
    "RolloutEventPage",
    "RolloutPage",
    "RolloutStatus",
    "StartRollout",
]

Place = Annotated[int, Meta(ge=0)]


class StartRollout(Request, frozen=True, kw_only=True):
    """Begin to move an endpoint from the version that answers to another one.

    Attributes
    ----------
    endpoint
        ``[project/]name``.
    candidate
        A reference; what it means now is kept.
    plan
        Steps, checks and limits; `chopmark.domain.rollout_plans.plan_for` makes one.
    supersede
        Whether it takes the place of a rollout that goes on; without, that is a conflict.
    """

    endpoint: str
    candidate: str
    plan: RolloutPlan
    supersede: bool = False
    reason: str = ""


class GetRollout(Request, frozen=True, kw_only=True):
    """A rollout of an endpoint, what may be asked of it now, and what happened last: the newest unless one is named by its id."""

    endpoint: str
    rollout: UUID | None = None


class RolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as it stands.

    Attributes
    ----------
    rollout
        Its row.
    commands
        Every command, with why it cannot be given now; empty when it can.
    events
        The last that happened, in order.
    at
        By the database's clock.
    note
        That no worker looks at it, and how to start one; empty when one may.
    """

    rollout: Rollout
    commands: dict[Command, str]
    events: tuple[RolloutEvent, ...] = ()
    at: datetime
    note: str = ""

    def __repr__(self) -> str:
        said = [f"{event.at:%H:%M:%S} {event.reason}" for event in self.events[-3:]]
        return "\n  ".join([repr(self.rollout), *said, *([self.note] if self.note else [])])


class ListRollouts(Request, frozen=True, kw_only=True):
    """A page of rollouts, newest first.

    Attributes
    ----------
    endpoint
        Only of this one; empty for all.
    is_open
        Only those that go on, or still hold the version that lost its traffic.
    """

    project: str | None = None
    endpoint: str = ""
    is_open: bool = False
    limit: int = PAGE_SIZE
    cursor: str = ""


class RolloutPage(msgspec.Struct, frozen=True, kw_only=True):
    """Rollouts, and the cursor of the next page."""

    items: list[Rollout]
    cursor: str = ""


class ListRolloutEvents(Request, frozen=True, kw_only=True):
    """What happened to a rollout of an endpoint, in order, from the first after ``after``."""

    endpoint: str
    rollout: UUID | None = None
    after: Place = 0
    limit: int = PAGE_SIZE


class RolloutEventPage(msgspec.Struct, frozen=True, kw_only=True):
    """What happened; the last one's ``seq`` is the next page's ``after``."""

    items: list[RolloutEvent]


class CommandRollout(Request, frozen=True, kw_only=True):
    """Ask something of a rollout: go on, stop, hold; ``retry`` and ``undo`` begin new ones.

    Attributes
    ----------
    rollout
        By id; the newest of the endpoint unless one is named.
    """

    endpoint: str
    command: Command
    rollout: UUID | None = None
    reason: str = ""


class AdvanceRollout(Request, frozen=True, kw_only=True):
    """Look at a rollout, and do what is due: what workers ask several times a second. Asking once more does no harm.

    Attributes
    ----------
    drift
        How far sampled requests of the candidate have drifted, by metric, where it was measured just now: its checks read profiles,
        which are files.
    """

    endpoint: str
    rollout: UUID | None = None
    drift: dict[str, Gauge] = {}  # noqa: RUF012 - msgspec copies an empty one


class RollBack(Request, frozen=True, kw_only=True):
    """Take an endpoint back: to its last stable version, or to the one that is named.

    Attributes
    ----------
    to
        A reference; empty for the version before.
    strategy
        How, when there is nothing to abort; unless said, at once within the rollback window and else by the steps of the last
        rollout.
    """

    endpoint: str
    to: str = ""
    strategy: Strategy | None = None
    reason: str = ""


class RehearseRollout(Request, frozen=True, kw_only=True):
    """Try a plan on what was recorded: what its checks would have said of one version's requests beside another's.

    Attributes
    ----------
    endpoint
        Whose recorded minutes.
    candidate, stable
        References to versions that answered there.
    since, until
        Of the minutes; to the hour unless said.
    """

    endpoint: str
    candidate: str
    stable: str
    plan: RolloutPlan
    since: datetime
    until: datetime | None = None

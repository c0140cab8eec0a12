"""``registry.rollouts``: moves of an endpoint from the version that answers to another one, step by step and back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import structs

from chopmark.domain.durations import Duration, seconds_of
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.rollout_commands import Command
from chopmark.domain.rollout_plans import Check, FreezeWindow, PlanStep, RolloutPlan, Strategy, plan_for
from chopmark.domain.rollout_rehearsal import Rehearsal
from chopmark.domain.rollout_shares import check_kinds
from chopmark.domain.rollouts import Rollout, RolloutEvent
from chopmark.errors import InvalidRequest, TimedOut
from chopmark.ops import rollouts as q
from chopmark.ops.rollouts import RolloutStatus
from chopmark.sdk.results import Page
from chopmark.sdk.surface import EndpointReference, Reference, Surface

__all__ = ["Rollouts"]

_POLL_S = 0.25


class Rollouts(Surface):
    """Verbs about rollouts. Workers move them on: in `chopmark serve`, or as `chopmark worker` beside it.

    A rollout is named by its endpoint, which has one at a time: the newest is meant unless ``rollout`` gives the id of another.
    """

    def start(
        self,
        endpoint: EndpointReference,
        candidate: Reference,
        *,
        strategy: Strategy = "canary",
        steps: Sequence[float] = (),
        hold: Duration | None = None,
        samples_min: int | None = None,
        checks: Sequence[Check] | None = None,
        deadline: Duration | None = None,
        rollback_window: Duration | None = None,
        copies_within: Duration | None = None,
        freezes: Sequence[FreezeWindow] = (),
        plan: RolloutPlan | None = None,
        supersede: bool = False,
        reason: str = "",
    ) -> Rollout:
        """Begin to move an endpoint from the version that answers to ``candidate``.

        Parameters
        ----------
        strategy
            ``canary``: growing shares, 10 % at a time unless ``steps`` says otherwise; ``blue-green``: all at once, after an approval
            named ``switch``; ``replace``: all at once; ``shadow``: copies of requests first, then an approval named ``promote``;
            ``ab``: one share until an experiment decides.
        steps
            Shares in percent: of a canary's steps, or the one of an A/B test or shadow. The other strategies have none.
        hold
            How long each is held and its requests watched: ``"10m"`` unless said.
        samples_min
            Requests of the candidate below which no step passes: 100 unless said.
        checks
            Instead of the usual ones: at most 10 % errors, a 95th percentile of at most 10 s, at least 95 % answered, and nothing
            significantly worse than the stable version.
        deadline
            After which it is rolled back when it is not promoted: three days unless said; not less than its steps are held.
        rollback_window
            How long the version before stays loaded after the end, for the way back at once: an hour unless said.
        copies_within
            How long a shadow may get no copy before an alert tells of it and why: five minutes unless said; 0: none does.
        freezes
            When no share is raised.
        plan
            Instead of all of these.
        supersede
            Whether it takes the place of a rollout that goes on.

        Raises
        ------
        Conflict
            When the endpoint has a rollout that goes on, the candidate has all of its traffic, or nobody here serves it (its target
            is ``external``).

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("fraud", {"threshold": t}) for t in (0.7, 0.8))
        >>> made = registry.endpoints.create("fraud-api", first)
        >>> registry.rollouts.start("fraud-api", second, steps=[10, 50, 100], hold="5m", reason="does better in March")
        <rollout of fraud:2 to fraud-api · queued · 0 % · does better in March>
        """
        if plan is None:
            plan = plan_for(strategy, percents=steps, hold_s=None if hold is None else seconds_of(hold), checks=checks)
            plan = _with_limits(plan, samples_min, deadline, rollback_window, copies_within)
            plan = structs.replace(
                plan, freezes=check_kinds(freezes, FreezeWindow, "freezes", "FreezeWindow(weekdays=(4,))")
            )
        request = q.StartRollout(
            endpoint=self._endpoint(endpoint),
            candidate=self._ref(candidate),
            plan=plan,
            supersede=supersede,
            reason=reason,
        )
        made: Rollout = self._call(request)
        return made

    def get(self, endpoint: EndpointReference, rollout: UUID | None = None) -> RolloutStatus:
        """How a rollout stands: its row, what happened last, and every command with why it cannot be given now.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> first, second = (registry.register("fraud", {"threshold": t}) for t in (0.7, 0.8))
        >>> made = registry.endpoints.create("fraud-api", first)
        >>> begun = registry.rollouts.start(made, second)
        >>> registry.rollouts.get("fraud-api").commands["resume"]
        'It is not paused.'
        """
        found: RolloutStatus = self._call(q.GetRollout(endpoint=self._endpoint(endpoint), rollout=rollout))
        return found

    def list(
        self,
        endpoint: EndpointReference = "",
        *,
        project: str | None = None,
        is_open: bool = False,
        limit: int = 50,
        cursor: str = "",
    ) -> Page[Rollout]:
        """Rollouts of an endpoint, a project, or of all that one sees, newest first, a page at a time.

        Parameters
        ----------
        is_open
            Only those that go on, or still hold the version that lost its traffic.
        """
        name = self._endpoint(endpoint) if endpoint else ""
        page: q.RolloutPage = self._call(
            q.ListRollouts(project=project, endpoint=name, is_open=is_open, limit=limit, cursor=cursor)
        )
        return Page(page.items, page.cursor)

    def events(
        self, endpoint: EndpointReference, rollout: UUID | None = None, *, after: int = 0, limit: int = 50
    ) -> Sequence[RolloutEvent]:
        """What happened to a rollout, in order, from the first after the one whose ``seq`` is ``after``."""
        request = q.ListRolloutEvents(endpoint=self._endpoint(endpoint), rollout=rollout, after=after, limit=limit)
        page: q.RolloutEventPage = self._call(request)
        return page.items

    def watch(self, endpoint: EndpointReference, rollout: UUID | None = None) -> Iterator[RolloutStatus]:
        """How a rollout stands, now and after each change, until it has ended."""
        status = self.get(endpoint, rollout)
        yield status
        while not status.rollout.is_final:
            time.sleep(_POLL_S)
            before, status = status, self.get(endpoint, status.rollout.id)
            if status.rollout.revision != before.rollout.revision:
                yield status

    def wait(
        self, endpoint: EndpointReference, rollout: UUID | None = None, *, timeout: Duration | None = None
    ) -> RolloutStatus:
        """How a rollout stands once it has ended, or waits for somebody: it is paused, or a step wants an approval.

        Raises
        ------
        TimedOut
            When it goes on for longer.
        """
        until_s = None if timeout is None else time.monotonic() + seconds_of(timeout)
        status = self.get(endpoint, rollout)
        while not _is_settled(status.rollout):
            if until_s is not None and time.monotonic() >= until_s:
                hint = f"Watch it with: chopmark rollout watch {status.rollout.endpoint_ref}"
                raise TimedOut(f"{status.rollout!r} goes on.", hint=hint)
            time.sleep(_POLL_S)
            status = self.get(endpoint, status.rollout.id)
        return status

    def promote(
        self, endpoint: EndpointReference, rollout: UUID | None = None, *, full: bool = False, reason: str = ""
    ) -> Rollout:
        """Go on to the next step now, or with ``full`` to all of the traffic, whatever hold and checks still want.

        What fails is rolled back all the same, and every router must have confirmed the step before.
        """
        return self._command(endpoint, "promote_full" if full else "promote", rollout, reason)

    def pause(self, endpoint: EndpointReference, rollout: UUID | None = None, *, reason: str = "") -> Rollout:
        """Raise no share until it is resumed; it is still rolled back when a check fails."""
        return self._command(endpoint, "pause", rollout, reason)

    def resume(self, endpoint: EndpointReference, rollout: UUID | None = None, *, reason: str = "") -> Rollout:
        """Go on with what was paused, by somebody or by itself."""
        return self._command(endpoint, "resume", rollout, reason)

    def approve(self, endpoint: EndpointReference, rollout: UUID | None = None, *, reason: str = "") -> Rollout:
        """Give the approval that the step waits for."""
        return self._command(endpoint, "approve", rollout, reason)

    def abort(self, endpoint: EndpointReference, rollout: UUID | None = None, *, reason: str = "") -> Rollout:
        """Take the candidate's traffic away, at once."""
        return self._command(endpoint, "abort", rollout, reason)

    def retry(self, endpoint: EndpointReference, rollout: UUID | None = None, *, reason: str = "") -> Rollout:
        """Begin once more what was rolled back, by the same plan; answers the new rollout."""
        return self._command(endpoint, "retry", rollout, reason)

    def undo(self, endpoint: EndpointReference, rollout: UUID | None = None, *, reason: str = "") -> Rollout:
        """Begin the way back from a completed rollout: within its rollback window at once, else by its own steps."""
        return self._command(endpoint, "undo", rollout, reason)

    def rollback(
        self,
        endpoint: EndpointReference,
        to: Reference = "",
        *,
        strategy: Strategy | None = None,
        reason: str = "",
    ) -> Rollout:
        """Take an endpoint back to its last stable version, or to the one that is named.

        A rollout that goes on is aborted. Otherwise one begins: within the rollback window of the last at once, as soon as every
        router has the version loaded; later by that one's steps, or by ``strategy``: ``"replace"`` is at once whenever it is.

        Raises
        ------
        Conflict
            When none was completed, so that there is no version before.
        """
        request = q.RollBack(
            endpoint=self._endpoint(endpoint), to=self._ref(to) if to else "", strategy=strategy, reason=reason
        )
        made: Rollout = self._call(request)
        return made

    def rehearse(
        self,
        endpoint: EndpointReference,
        candidate: Reference,
        stable: Reference,
        *,
        since: datetime,
        until: datetime | None = None,
        plan: RolloutPlan | None = None,
    ) -> Rehearsal:
        """Try a plan on recorded minutes: what its checks would have said of one version's requests beside another's.

        Nothing is changed. What a replay cannot know is in the answer's ``caveats``.

        Parameters
        ----------
        since, until
            The recorded time, at most two days; to now unless said.
        plan
            The usual canary unless said.
        """
        request = q.RehearseRollout(
            endpoint=self._endpoint(endpoint),
            candidate=self._ref(candidate),
            stable=self._ref(stable),
            plan=plan or plan_for(),
            since=since,
            until=until,
        )
        found: Rehearsal = self._call(request)
        return found

    def _command(self, endpoint: EndpointReference, command: Command, rollout: UUID | None, reason: str) -> Rollout:
        request = q.CommandRollout(endpoint=self._endpoint(endpoint), command=command, rollout=rollout, reason=reason)
        made: Rollout = self._call(request)
        return made

    def _endpoint(self, endpoint: object) -> str:
        if isinstance(endpoint, Endpoint):
            return endpoint.ref
        if not isinstance(endpoint, str):
            raise InvalidRequest(f"An endpoint is a text such as 'fraud-api', not a {type(endpoint).__name__}.")
        return str(parse_endpoint(endpoint, self._settings.project))


def _with_limits(
    plan: RolloutPlan,
    samples_min: int | None,
    deadline: Duration | None,
    rollback_window: Duration | None,
    copies_within: Duration | None,
) -> RolloutPlan:
    def counted(step: PlanStep) -> PlanStep:
        has_own = samples_min is not None and step.samples_min > 0
        return structs.replace(step, samples_min=samples_min) if has_own else step

    return structs.replace(
        plan,
        steps=tuple(map(counted, plan.steps)),
        bake=counted(plan.bake),
        deadline_s=plan.deadline_s if deadline is None else seconds_of(deadline),
        rollback_window_s=plan.rollback_window_s if rollback_window is None else seconds_of(rollback_window),
        copies_within_s=plan.copies_within_s if copies_within is None else seconds_of(copies_within, "copies_within"),
    )


def _is_settled(rollout: Rollout) -> bool:
    """Whether it goes no further by itself."""
    return rollout.is_final or rollout.pause is not None or rollout.waiting.startswith("waiting for the approval")

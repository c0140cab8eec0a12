"""One step of a rollout: ``advance(rollout, observation, now)`` gives the next row, what to ask of the routers, and what happened.

It is level-triggered: all it knows is the row and what is seen now, so a worker may be killed anywhere, be late, or come twice. At
most one state changes at a time; a worker calls again until nothing changes.

- An observation of before the routing that the row asked for is old, and nothing follows from it.
- Nothing is raised while anything holds: a pause, a freeze, an alert that pauses, a router that has not confirmed, a split that
  somebody else changed. Aborting looks at none of these.
- Whoever sets the endpoint's split by hand is not fought: the rollout pauses. So it does when the database was restored.
- When the clock falls more than `SKEW_SECONDS` behind the row, it was set back, and the row's times with it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import structs

from chopmark.domain import analysis
from chopmark.domain.alerts import SKEW_SECONDS
from chopmark.domain.rollout_copies import base_of
from chopmark.domain.rollout_drift import remembering
from chopmark.domain.rollout_plans import PlanStep, frozen_until
from chopmark.domain.rollout_routers import is_old, is_split_set, lagging, live_routers, load_failure, still_dealing
from chopmark.domain.rollout_totals import ArmTotals
from chopmark.domain.rollouts import (
    Advance,
    Asked,
    CheckState,
    Ending,
    Evidence,
    Observation,
    Pause,
    Rollout,
    RolloutEvent,
    RolloutState,
    SetSplit,
    split_of,
)
from chopmark.domain.traffic import WEIGHT_TOTAL

__all__ = ["advance", "holds", "step_of"]

_SKEW = timedelta(seconds=SKEW_SECONDS)
_ABANDONED_AFTER = timedelta(minutes=1)
_MANY_REQUESTS = 100
"""Of the stable version: by then a share of some percent has had its part."""
_TIMES = ("since", "confirmed_at", "at", "started_at", "ended_at")


def advance(rollout: Rollout, seen: Observation, now: datetime) -> Advance:
    """One step of a rollout.

    Parameters
    ----------
    rollout
        The row, as it was read.
    seen
        Read after the row.
    now
        By the database's clock.

    Returns
    -------
    Advance
        The very rollout that was given when there is nothing to write.
    """
    if rollout.is_final:
        return _released(rollout, seen, now)
    if is_old(rollout, seen):
        return Advance(rollout)
    before = rollout
    seen = structs.replace(seen, routers=live_routers(seen, now))  # by the clock as it is, not by the row's
    rollout = _moved_with_clock(rollout, now)
    now = rollout.at or now
    rollout = remembering(rollout, seen.candidate.gauges)
    if rollout.state == "aborting":
        after = _aborting(rollout, seen, now)
    elif why := _why_ended(rollout, seen, now):
        after = _abort(rollout, *why, now)
    else:
        after = _forward(rollout, seen, now)
    return after if after.actions or after.events or _differs(before, after.rollout) else Advance(before)


def step_of(rollout: Rollout) -> PlanStep:
    """The step that is held: the baking, once it is promoted."""
    return analysis.step_at(rollout.plan, rollout.place)


def holds(rollout: Rollout, seen: Observation, now: datetime) -> str:
    """What keeps a rollout from going on, whatever its checks say; empty when nothing does."""
    if rollout.pause is not None:
        return f"paused: {rollout.pause.reason}"
    frozen = frozen_until(rollout.plan.freezes, now)
    if frozen is not None:
        return f"frozen until {frozen[0].isoformat()}{f': {frozen[1]}' if frozen[1] else ''}"
    alert = next((a for a in seen.alerts if a.action == "pause"), None)
    return f"the alert {alert.name} fires{f': {alert.message}' if alert.message else ''}" if alert is not None else ""


def _differs(before: Rollout, after: Rollout) -> bool:
    """Whether there is anything to write but that time has passed."""
    return structs.replace(after, at=before.at) != before


# What ends it


def _why_ended(rollout: Rollout, seen: Observation, now: datetime) -> tuple[str, Ending, tuple[Evidence, ...]] | None:
    """Why it is to be aborted, where that ends, and the evidence."""
    never: Ending = "failed" if rollout.state in {"queued", "preparing"} else "rolled_back"
    if seen.endpoint is None:
        return "the endpoint was deleted", never, ()
    if rollout.wants == "abort":
        return rollout.reason or "aborted", "rolled_back", ()
    if seen.superseded_by and rollout.state != "promoting":
        return f"superseded by {seen.superseded_by}", "superseded", ()
    if failure := load_failure(rollout, seen):
        return failure, never, ()
    for alert in seen.alerts:
        if alert.action == "rollback" and rollout.state != "queued":
            said = Evidence(check=alert.name, verdict="fail", words=alert.message)
            return f"the alert {alert.name} fires", never, (said,)
    deadline_s = rollout.plan.deadline_s
    has_deadline = deadline_s and rollout.started_at is not None and rollout.state != "baking"
    if has_deadline and now - (rollout.started_at or now) >= timedelta(seconds=deadline_s):
        return f"it was not promoted within {deadline_s:g} s ({rollout.waiting or 'holding'})", never, ()
    return None


def _abort(rollout: Rollout, reason: str, ending: Ending, evidence: tuple[Evidence, ...], now: datetime) -> Advance:
    """The way back begins: weight 0 first. A version that is baking and superseded stays what is stable."""
    if ending == "superseded" and rollout.state == "baking":
        return _moved(rollout, "superseded", now, reason=reason, evidence=evidence)
    fields: dict[str, Any] = {"ending": ending, "wants": "", "pause": None, "is_steady": False, "checks": ()}
    if rollout.asked is None:
        return _moved(rollout, ending or "failed", now, reason=reason, evidence=evidence)  # it was still in the queue
    return _asking(rollout, Asked(weight=0), "aborting", now, reason=reason, evidence=evidence, **fields)


def _aborting(rollout: Rollout, seen: Observation, now: datetime) -> Advance:
    """Until no live router gives the candidate any traffic, by the newest routing.

    With none live for so long there is nobody left to ask; one that starts takes the newest.
    """
    ending: RolloutState = rollout.ending or "rolled_back"
    if rollout.asked is None or seen.endpoint is None:
        return _moved(rollout, ending, now, reason=rollout.reason)
    rollout = _under_new_epoch(rollout, seen)
    weights = {v.version.id: v.weight for v in seen.endpoint.variants}
    mirrors = any(s.version.id == rollout.candidate.id for s in seen.endpoint.shadows)
    if mirrors or weights.get(rollout.candidate.id, 0) or not _is_applied(rollout):
        return Advance(rollout, (_split(rollout),))
    if not seen.routers and now - rollout.since < _ABANDONED_AFTER:
        return Advance(structs.replace(rollout, waiting="no router reports"))
    if why := still_dealing(rollout, seen):
        return Advance(structs.replace(rollout, waiting=why))
    reason = rollout.reason if seen.routers else f"{rollout.reason}; no router reported for {_ABANDONED_AFTER}"
    return _moved(rollout, ending, now, reason=reason)


def _released(rollout: Rollout, seen: Observation, now: datetime) -> Advance:
    """Let go of the version without traffic once the rollback window is over, unless the endpoint was changed since."""
    asked, ended = rollout.asked, rollout.ended_at
    if rollout.is_released or is_old(rollout, seen):
        return Advance(rollout)
    if asked is None or ended is None or seen.endpoint is None or asked.roles == "released":
        return Advance(structs.replace(rollout, is_released=True))
    if not is_split_set(rollout, seen) or seen.endpoint.generation > asked.mark.generation or not seen.is_free:
        return Advance(structs.replace(rollout, is_released=True))
    never_answered = rollout.state == "failed"  # and is no way back: what cannot be loaded keeps routers trying
    if not never_answered and now - ended < timedelta(seconds=rollout.plan.rollback_window_s):
        return Advance(rollout)
    asked = Asked(weight=asked.weight, roles="released")
    return Advance(structs.replace(rollout, asked=asked, is_released=True), (split_of(rollout, asked),))


# Onwards


def _forward(rollout: Rollout, seen: Observation, now: datetime) -> Advance:
    if rollout.state == "queued":
        return _from_queue(rollout, seen, now)
    if rollout.asked is not None and _is_applied(rollout):
        if rollout.asked.mark.epoch != seen.mark.epoch:
            rollout = _under_new_epoch(rollout, seen)
            return _paused(rollout, "the database was restored from a backup", now)
        if not is_split_set(rollout, seen) and rollout.pause is None:
            return _paused(rollout, "somebody else set the split", now, is_foreign=True)
    if not _is_applied(rollout) or not is_split_set(rollout, seen):
        if why := holds(rollout, seen, now):
            return Advance(structs.replace(rollout, waiting=why))
        return Advance(rollout, (_split(rollout),))
    why = lagging(rollout, seen)
    if rollout.state in {"preparing", "promoting"}:
        return _when_ready(rollout, seen, why, now)
    if rollout.confirmed_at is None:
        return Advance(structs.replace(rollout, waiting=why)) if why else _confirmed(rollout, seen, now)
    return _while_held(_looked(rollout, seen, now, is_steady=not why), seen, why, now)


def _from_queue(rollout: Rollout, seen: Observation, now: datetime) -> Advance:
    if why := holds(rollout, seen, now) or ("" if seen.is_free else "another rollout has the endpoint"):
        return Advance(structs.replace(rollout, waiting=why))
    answering = [v for v in seen.endpoint.variants if v.weight] if seen.endpoint is not None else []
    if len(answering) != 1:
        return Advance(structs.replace(rollout, waiting="several versions share the traffic"))
    stable = answering[0].version
    if stable.id == rollout.candidate.id:
        return _abort(rollout, f"{rollout.candidate.ref} has all of the traffic already", "failed", (), now)
    rollout = structs.replace(rollout, stable=stable, started_at=now)
    return _asking(rollout, Asked(weight=0), "preparing", now, reason="the candidate is being loaded")


def _when_ready(rollout: Rollout, seen: Observation, lag: str, now: datetime) -> Advance:
    """Preparing and promoting end when every live router has confirmed, and nothing holds."""
    if why := lag or holds(rollout, seen, now):
        return Advance(structs.replace(rollout, waiting=why))
    if rollout.state == "promoting":
        return _moved(rollout, "baking", now, reason="every live router has it as the stable version")
    if rollout.wants == "full":
        return _promote(rollout, now, "every live router has loaded it", ())
    return _enter_step(rollout, 0, now, "every live router has loaded it", ())


def _confirmed(rollout: Rollout, seen: Observation, now: datetime) -> Advance:
    """The step's hold begins, and its counting."""
    checks = analysis.begun(rollout.plan, seen.stable, seen.candidate)
    arrived = seen.candidate.requests
    rollout = structs.replace(
        rollout,
        confirmed_at=now,
        is_steady=True,
        checks=checks,
        requests_before=arrived,
        before=base_of(seen),
        waiting="holding",
    )
    return Advance(rollout, (), (_event(rollout, "confirmed", rollout.state, now, "every live router has the weight"),))


def _looked(rollout: Rollout, seen: Observation, now: datetime, *, is_steady: bool) -> Rollout:
    """The checks after this look."""
    checks, was_steady = rollout.checks, rollout.is_steady
    if is_steady and not was_steady:
        checks = analysis.rebased(rollout.plan, checks, seen.stable, seen.candidate)
    checks = analysis.judged(
        rollout.plan, rollout.place, checks, seen.stable, seen.candidate, now, is_steady=is_steady and was_steady
    )
    return structs.replace(rollout, checks=checks, is_steady=is_steady)


def _while_held(rollout: Rollout, seen: Observation, lag: str, now: datetime) -> Advance:
    step = step_of(rollout)
    verdict = analysis.verdict_of(rollout.checks, step, _arrived(rollout, seen.candidate))
    if verdict == "fail":
        failed = analysis.evidence_of(rollout.checks, "fail")
        return _abort(rollout, f"failed {', '.join(each.check for each in failed)}", "rolled_back", failed, now)
    if step.is_experiment and seen.experiment == "loser":
        return _abort(rollout, "the experiment decided for the stable version", "rolled_back", (), now)
    if why := lag or holds(rollout, seen, now):
        return Advance(structs.replace(rollout, waiting=why))
    evidence = analysis.evidence_of(rollout.checks)
    if rollout.wants == "full" and rollout.state == "progressing":
        return _promote(rollout, now, rollout.reason, evidence)
    if rollout.wants == "step":
        return _next(rollout, now, rollout.reason, evidence)
    if now - (rollout.confirmed_at or now) < timedelta(seconds=step.hold_s):
        return Advance(structs.replace(rollout, waiting="holding"))
    if verdict == "inconclusive" or (step.is_experiment and seen.experiment == "inconclusive"):
        unclear = analysis.evidence_of(rollout.checks, "inconclusive")
        names = ", ".join(each.check for each in unclear) or "the experiment"
        return _paused(rollout, f"inconclusive: {names}", now, evidence=unclear, is_inconclusive=True)
    if why := _unmet(rollout, seen, step, verdict):
        return Advance(structs.replace(rollout, waiting=why))
    return _next(rollout, now, f"held {step.hold_s:g} s and passed", evidence)


def _unmet(rollout: Rollout, seen: Observation, step: PlanStep, verdict: str) -> str:
    if verdict != "pass":
        if step.weight and not _arrived(rollout, seen.candidate) and seen.stable.requests >= _MANY_REQUESTS:
            return "waiting for requests: none reached it yet (who sends no key is dealt by a person's token, always alike)"
        return "waiting for requests and measurements"
    if step.is_experiment and seen.experiment != "winner":
        return "waiting for the experiment to decide"
    if step.gate and rollout.step not in rollout.approved:
        return f"waiting for the approval {step.gate}"
    return ""


def _arrived(rollout: Rollout, candidate: ArmTotals) -> int:
    return candidate.requests - rollout.requests_before


def _next(rollout: Rollout, now: datetime, reason: str, evidence: tuple[Evidence, ...]) -> Advance:
    if rollout.state == "baking":
        return _moved(rollout, "completed", now, reason=reason, evidence=evidence, wants="")
    if rollout.step + 1 < len(rollout.plan.steps):
        return _enter_step(rollout, rollout.step + 1, now, reason, evidence)
    return _promote(rollout, now, reason, evidence)


def _enter_step(rollout: Rollout, step: int, now: datetime, reason: str, evidence: tuple[Evidence, ...]) -> Advance:
    held = rollout.plan.steps[step]
    wants = "full" if rollout.wants == "full" else ""
    asked = Asked(weight=held.weight, mirror=held.mirror)
    return _asking(rollout, asked, "progressing", now, reason=reason, evidence=evidence, step=step, wants=wants)


def _promote(rollout: Rollout, now: datetime, reason: str, evidence: tuple[Evidence, ...]) -> Advance:
    asked = Asked(weight=WEIGHT_TOTAL, roles="promoted")
    return _asking(rollout, asked, "promoting", now, reason=reason, evidence=evidence, wants="")


def _paused(
    rollout: Rollout, reason: str, now: datetime, *, evidence: tuple[Evidence, ...] = (), **why: bool
) -> Advance:
    pause = Pause(by="", reason=reason, **why)
    rollout = structs.replace(rollout, pause=rollout.pause or pause, waiting=f"paused: {reason}")
    return Advance(rollout, (), (_event(rollout, "paused", rollout.state, now, reason, evidence),))


# Rows and events


def _asking(rollout: Rollout, asked: Asked, state: RolloutState, now: datetime, **fields: Any) -> Advance:
    """Into a state in which something else is asked of the routers."""
    moved = _moved(rollout, state, now, asked=asked, **fields)
    return moved._replace(actions=(split_of(moved.rollout, asked),))


def _moved(
    rollout: Rollout,
    state: RolloutState,
    now: datetime,
    *,
    reason: str,
    evidence: tuple[Evidence, ...] = (),
    **fields: Any,
) -> Advance:
    fresh: dict[str, Any] = {"since": now, "confirmed_at": None, "is_steady": False, "waiting": "", "reason": reason}
    after = structs.replace(rollout, state=state, **{**fresh, **fields})
    if after.is_final:
        after = structs.replace(after, ended_at=now, pause=None, wants="", checks=())
    return Advance(after, (), (_event(after, "moved", rollout.state, now, reason, evidence),))


def _event(
    rollout: Rollout,
    kind: Literal["moved", "confirmed", "paused"],
    before: RolloutState,
    now: datetime,
    reason: str,
    evidence: tuple[Evidence, ...] = (),
) -> RolloutEvent:
    return RolloutEvent(
        rollout=rollout.id,
        kind=kind,
        at=now,
        before=before,
        after=rollout.state,
        step=rollout.step,
        weight=rollout.weight,
        reason=reason,
        evidence=evidence,
    )


def _is_applied(rollout: Rollout) -> bool:
    return rollout.asked is not None and rollout.asked.mark.generation > 0


def _split(rollout: Rollout) -> SetSplit:
    """Ask again for what was asked."""
    return split_of(rollout, rollout.asked or Asked(weight=0))


def _under_new_epoch(rollout: Rollout, seen: Observation) -> Rollout:
    """What was asked, as the restored database has it: by its endpoint."""
    if rollout.asked is None or seen.endpoint is None or rollout.asked.mark.epoch == seen.mark.epoch:
        return rollout
    mark = structs.replace(seen.mark, generation=seen.endpoint.generation)
    return structs.replace(
        rollout, asked=structs.replace(rollout.asked, mark=mark), confirmed_at=None, is_steady=False, checks=()
    )


def _moved_with_clock(rollout: Rollout, now: datetime) -> Rollout:
    """The row at ``now``: its time never goes back, but where the clock was set back, all its times are."""
    if rollout.at is None or rollout.at <= now:
        return structs.replace(rollout, at=now)
    if rollout.at <= now + _SKEW:
        return rollout
    back = rollout.at - now
    times = {name: getattr(rollout, name) for name in _TIMES}
    checks = tuple(_sampled_earlier(check, back) for check in rollout.checks)
    moved = {name: time - back for name, time in times.items() if time is not None}
    return structs.replace(rollout, checks=checks, **moved)


def _sampled_earlier(check: CheckState, back: timedelta) -> CheckState:
    """What is remembered of a gauge by the clock as it is now; how old a number is cannot be told, and it is measured again."""
    sampled_at = None if check.sampled_at is None else check.sampled_at - back
    return structs.replace(check, sampled_at=sampled_at, last=None)

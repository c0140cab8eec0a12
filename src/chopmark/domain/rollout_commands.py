"""What people may ask of a rollout, and why not; pure.

A command changes the row, under the same comparison of revisions as a step, and what it asks for is done by
`chopmark.domain.rollout_steps.advance` when it can be. Undoing and trying again make new rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from msgspec import structs

from chopmark.domain.rollout_plans import PlanStep, RolloutPlan, frozen_until, plan_for
from chopmark.domain.rollouts import Advance, Pause, Rollout, RolloutEvent
from chopmark.errors import Conflict

__all__ = ["COMMANDS", "Command", "allowed", "commanded", "retried", "undone"]

Command = Literal["pause", "resume", "promote", "promote_full", "abort", "approve", "retry", "undo"]
COMMANDS: tuple[Command, ...] = ("pause", "resume", "promote", "promote_full", "abort", "approve", "retry", "undo")


def allowed(rollout: Rollout, now: datetime) -> dict[Command, str]:
    """Every command, with why it cannot be given now; empty when it can.

    Parameters
    ----------
    now
        By the database's clock.
    """
    return {command: _why_not(rollout, command, now) for command in COMMANDS}


def commanded(rollout: Rollout, command: Command, *, by: str, reason: str, now: datetime) -> Advance:
    """The row after a command, and what to tell; ``retry`` and ``undo`` are `retried` and `undone`.

    Raises
    ------
    Conflict
        When it is not allowed.
    """
    if why := _why_not(rollout, command, now):
        raise Conflict(f"The rollout of {rollout.candidate.ref} cannot be {_DONE[command]}. {why}")
    kind: Literal["asked", "paused", "resumed", "approved"] = "asked"
    match command:
        case "pause":
            kind, after = "paused", structs.replace(rollout, pause=Pause(by=by, reason=reason))
        case "resume":
            kind, after = "resumed", _resumed(rollout, now)
        case "approve":
            kind, after = "approved", structs.replace(rollout, approved=(*rollout.approved, rollout.step), waiting="")
        case "promote" | "promote_full":
            wants: Literal["step", "full"] = "step" if command == "promote" else "full"
            after = structs.replace(rollout, wants=wants, reason=_by(by, reason))
        case "abort":
            after = structs.replace(rollout, wants="abort", reason=_by(by, reason))
        case _:
            raise Conflict(f"{command} begins a new rollout.")
    event = RolloutEvent(
        rollout=rollout.id,
        kind=kind,
        at=now,
        before=rollout.state,
        after=rollout.state,
        step=rollout.step,
        weight=rollout.weight,
        reason=f"{command.replace('_', ' ')}: {reason}",
        by=by,
    )
    return Advance(after, (), (event,))


def retried(rollout: Rollout, new_id: UUID, *, by: str, now: datetime) -> Rollout:
    """The same plan for the same candidate, once more from its beginning.

    Raises
    ------
    Conflict
        When it has not ended, or did what it should.
    """
    _check(rollout, "retry", now)
    return _fresh(rollout, new_id, by, now)


def undone(rollout: Rollout, new_id: UUID, *, by: str, now: datetime) -> Rollout:
    """The way back from a rollout that was completed: at once within its rollback window, else by its own steps.

    Either way every live router must have loaded the old version first.

    Raises
    ------
    Conflict
        When it was not completed.
    """
    _check(rollout, "undo", now)
    plan: RolloutPlan = rollout.plan
    if _is_within_window(rollout, now):
        brief = PlanStep(weight=plan.bake.weight, hold_s=0.0, samples_min=0)
        plan = structs.replace(plan_for("replace"), checks=(), bake=brief, rollback_window_s=plan.rollback_window_s)
    back = structs.replace(rollout, candidate=rollout.stable or rollout.candidate, plan=plan)
    return _fresh(back, new_id, by, now)


def _why_not(rollout: Rollout, command: Command, now: datetime) -> str:
    if command == "retry":
        is_back = rollout.state in {"rolled_back", "failed", "superseded"}
        return "" if is_back else f"It is {_said(rollout)}; only what was rolled back can be tried again."
    if command == "undo":
        is_undoable = rollout.state == "completed" and rollout.stable is not None
        return (
            "" if is_undoable else f"It is {_said(rollout)}; {_WHILE.get(rollout.state, 'there is nothing to undo')}."
        )
    if rollout.is_final:
        return f"It has ended: it is {_said(rollout)}."
    if rollout.state == "aborting" or rollout.wants == "abort":
        return "It is being aborted."
    return _why_not_onwards(rollout, command, now)


def _why_not_onwards(rollout: Rollout, command: Command, now: datetime) -> str:
    if command == "abort":
        return ""
    if command == "pause":
        return "It is paused already." if rollout.pause is not None else ""
    if command == "resume":
        return "" if rollout.pause is not None else "It is not paused."
    if command == "approve":
        return _why_no_approval(rollout)
    if rollout.pause is not None:
        return "It is paused: resume it first."
    frozen = frozen_until(rollout.plan.freezes, now)
    if frozen is not None:
        return f"Nothing may be raised now: {frozen[1] or 'it is frozen'}."
    states: Mapping[Command, set[str]] = {
        "promote": {"progressing", "baking"},
        "promote_full": {"queued", "preparing", "progressing"},
    }
    if rollout.state not in states[command]:
        return f"It is {_said(rollout)}."
    return "It was asked for already." if rollout.wants == {"promote": "step", "promote_full": "full"}[command] else ""


def _why_no_approval(rollout: Rollout) -> str:
    if rollout.state != "progressing" or not rollout.plan.steps[rollout.step].gate:
        return "No approval is waited for."
    return "It was approved already." if rollout.step in rollout.approved else ""


_DONE: Mapping[Command, str] = {
    "pause": "paused",
    "resume": "resumed",
    "promote": "promoted",
    "promote_full": "promoted fully",
    "abort": "aborted",
    "approve": "approved",
    "retry": "tried again",
    "undo": "undone",
}

_WHILE = {
    "preparing": "abort it instead",
    "progressing": "abort it instead",
    "promoting": "abort it instead",
    "baking": "abort it instead",
}


def _said(rollout: Rollout) -> str:
    return rollout.state.replace("_", " ")


def _by(by: str, reason: str) -> str:
    return f"{reason} ({by})" if reason else f"asked by {by}"


def _resumed(rollout: Rollout, now: datetime) -> Rollout:
    """Not paused any more. What was inconclusive is held once more, so that more requests decide; its tests go on.

    A split that somebody else set, and a restored one, is asked for again.
    """
    pause = rollout.pause
    fields: dict[str, Any] = {"pause": None, "waiting": ""}
    if pause is not None and pause.is_inconclusive and rollout.confirmed_at is not None:
        fields["confirmed_at"] = now
    if pause is not None and pause.is_foreign and rollout.asked is not None:
        mark = structs.replace(rollout.asked.mark, generation=0)
        fields |= {"asked": structs.replace(rollout.asked, mark=mark), "confirmed_at": None, "is_steady": False}
    return structs.replace(rollout, **fields)


def _is_within_window(rollout: Rollout, now: datetime) -> bool:
    ended = rollout.ended_at
    return ended is not None and now - ended < timedelta(seconds=rollout.plan.rollback_window_s)


def _check(rollout: Rollout, command: Command, now: datetime) -> None:
    if why := _why_not(rollout, command, now):
        raise Conflict(f"The rollout of {rollout.candidate.ref} cannot be {_DONE[command]}. {why}")


def _fresh(rollout: Rollout, new_id: UUID, by: str, now: datetime) -> Rollout:
    return Rollout(
        id=new_id,
        endpoint=rollout.endpoint,
        endpoint_ref=rollout.endpoint_ref,
        candidate=rollout.candidate,
        plan=rollout.plan,
        created_at=now,
        created_by=by,
        since=now,
    )

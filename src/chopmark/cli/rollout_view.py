"""How a rollout is shown: facts, a line for each event, and a live tree on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.words import plain, when
from chopmark.domain.rollout_plans import PlanStep
from chopmark.domain.rollouts import Rollout, RolloutEvent
from chopmark.domain.traffic import WEIGHT_TOTAL
from chopmark.ops.rollouts import RolloutStatus

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["event_line", "percent", "show_rollout", "show_status", "watch_tree"]

_EVENTS_IN_TREE = 6
_GOOD, _BAD, _DIM, _NOW = "green", "red", "dim", "bold cyan"


def percent(weight: int) -> str:
    """A weight as people read it."""
    return f"{100 * weight / WEIGHT_TOTAL:g} %"


def event_line(event: RolloutEvent) -> str:
    """One event: when, what and why."""
    by = f" ({event.by})" if event.by else ""
    moved = f"{_state(event.after)} " if event.kind == "moved" else ""
    where = f"step {event.step + 1} · " if event.after == "progressing" else ""
    return f"{event.at:%H:%M:%S}  {moved}{event.kind if not moved else ''}  {where}{percent(event.weight)} · {event.reason}{by}"


def show_rollout(session: Session, rollout: Rollout) -> None:
    """Print a rollout that was just begun or changed."""
    session.output.record(
        rollout,
        name=str(rollout.id),
        title=f"rollout of {rollout.candidate.ref} to {rollout.endpoint_ref}",
        facts=_facts(rollout),
    )


def show_status(session: Session, status: RolloutStatus) -> None:
    """Print how a rollout stands, with what may be asked of it and what happened last."""
    rollout = status.rollout
    may = ", ".join(name.replace("_", " ") for name, why in status.commands.items() if not why)
    checks = "\n".join(f"{c.name}: {c.verdict.replace('_', ' ')} — {c.evidence}" for c in rollout.checks if c.evidence)
    facts = [*_facts(rollout), ("note", status.note), ("checks", checks), ("may be asked", may)]
    facts.append(("happened", "\n".join(map(event_line, status.events))))
    session.output.record(
        status, name=str(rollout.id), title=f"rollout of {rollout.candidate.ref} to {rollout.endpoint_ref}", facts=facts
    )


def _facts(rollout: Rollout) -> list[Fact]:
    steps = " → ".join(percent(step.weight) for step in rollout.plan.steps)
    return [
        (
            "state",
            _state(rollout.state)
            + (f", step {rollout.step + 1} of {len(rollout.plan.steps)}" if rollout.state == "progressing" else ""),
        ),
        ("candidate", f"{rollout.candidate.ref} · {percent(rollout.weight)}"),
        ("stable", rollout.stable.ref if rollout.stable is not None else ""),
        ("plan", f"{rollout.plan.strategy}: {steps}"),
        ("because", rollout.reason),
        ("waits", rollout.waiting if not rollout.is_final else ""),
        ("began", f"{when(rollout.created_at)} by {rollout.created_by}"),
        ("ended", when(rollout.ended_at) if rollout.ended_at else ""),
        ("id", str(rollout.id)),
    ]


def watch_tree(statuses: Iterable[RolloutStatus]) -> RolloutStatus | None:
    """Show a rollout as it changes: a tree that is drawn again on a terminal, else a line for each event; the last status."""
    return _drawn(statuses) if sys.stdout.isatty() else _told(statuses)


def _told(statuses: Iterable[RolloutStatus]) -> RolloutStatus | None:
    last, seen = None, 0
    for last in statuses:
        for event in last.events:
            if event.seq > seen:
                click.echo(plain(event_line(event)))
                seen = event.seq
    return last


def _drawn(statuses: Iterable[RolloutStatus]) -> RolloutStatus | None:
    from rich.live import Live

    last = None
    with Live(auto_refresh=False) as live:
        for last in statuses:
            live.update(_tree(last), refresh=True)
    return last


def _tree(status: RolloutStatus) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    rollout = status.rollout
    colour = (
        _GOOD if rollout.state == "completed" else _BAD if rollout.is_final or rollout.state == "aborting" else _NOW
    )
    head = Text.assemble((rollout.endpoint_ref, "bold"), "  ", (_state(rollout.state), colour))
    why = rollout.waiting if not rollout.is_final and rollout.waiting else rollout.reason
    tree = Tree(head.append(f"  {plain(why)}", style=_DIM) if why else head)
    share = rollout.weight
    stable = rollout.stable.ref if rollout.stable is not None else "what answers"
    tree.add(Text.assemble(stable, "  ", _bar(WEIGHT_TOTAL - share), f" {percent(WEIGHT_TOTAL - share)}"))
    branch = tree.add(Text.assemble(rollout.candidate.ref, "  ", _bar(share), f" {percent(share)}"))
    for line, style in _step_lines(rollout):
        branch.add(Text(line, style=style))
    if rollout.checks:
        checks = tree.add("checks")
        for check in rollout.checks:
            style = {"pass": _GOOD, "fail": _BAD}.get(check.verdict, _DIM)
            checks.add(Text(f"{check.verdict.replace('_', ' ')}  {plain(check.evidence or check.name)}", style=style))
    happened = tree.add("happened")
    for event in status.events[-_EVENTS_IN_TREE:]:
        happened.add(Text(plain(event_line(event)), style=_DIM))
    return tree


def _step_lines(rollout: Rollout) -> Iterator[tuple[str, str]]:
    at = rollout.step if rollout.state == "progressing" else -1
    is_past_all = rollout.state in {"promoting", "baking", "completed"}
    for place, step in enumerate(rollout.plan.steps):
        if place == at:
            yield f"▸ {_step_words(step)}", _NOW
        elif is_past_all or (at >= 0 and place < at):
            yield f"✓ {_step_words(step)}", _GOOD
        else:
            yield f"· {_step_words(step)}", _DIM


def _step_words(step: PlanStep) -> str:
    what = f"{percent(step.mirror)} mirrored" if step.mirror else percent(step.weight)
    return f"{what}, held {step.hold_s:g} s" + (f", then the approval {step.gate}" if step.gate else "")


def _bar(weight: int) -> str:
    filled = round(20 * weight / WEIGHT_TOTAL)
    return "█" * filled + "░" * (20 - filled)


def _state(state: str) -> str:
    return state.replace("_", " ")

"""``chopmark monitor``: what is watched, and what happens when it fires."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from chopmark.cli.changes import show_done
from chopmark.cli.command import Group
from chopmark.cli.options import (
    cursor_option,
    dry_run_option,
    json_value,
    limit_option,
    option,
    pairs_option,
    pass_session,
    reason_option,
)
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count, number, pairs, stamp, when
from chopmark.domain.monitors import ACTIONS, Monitor, rule_words, standing_word

__all__ = ["monitor"]

F = TypeVar("F", bound=Callable[..., Any])

monitor = Group(
    "monitor",
    help="What is watched, and what happens when it fires.",
    examples="""
    chopmark monitor create fraud-api --above 0.05 --for 5m --severity critical --action rollback
    chopmark monitor test fraud-api.error_rate
    chopmark alert list
    """,
)


def _state(found: Monitor) -> str:
    if not found.enabled:
        return "disabled"
    word = standing_word(found.standing, found.rule)
    if found.silenced_until is not None and datetime.now(UTC) < found.silenced_until:
        word += ", silenced"
    return f"{word} ({found.standing.why})" if found.standing.why else word


def _number(value: float | None) -> str:
    return "no data" if value is None else number(value)


_COLUMNS = (
    Column("MONITOR", lambda m: m.ref, whole=True),
    Column("WATCHES", lambda m: m.on),
    Column("FIRES WHEN", rule_words),
    Column("SEVERITY", lambda m: m.severity),
    Column("ACTION", lambda m: m.action.kind),
    Column("STATE", _state),
    Column("LAST", lambda m: _number(m.standing.value), right=True),
)

_SAMPLES = (
    Column("AT (UTC)", lambda s: stamp(s.at), whole=True),
    Column("VALUE", lambda s: _number(s.value), right=True),
    Column("OF", lambda s: "" if s.events is None else f"{s.events:,}", right=True),
)


def _monitor_argument() -> Callable[[F], F]:
    return click.argument("called", metavar="MONITOR", help="A monitor: fraud-api.error_rate, or risk/… of a project.")


def _show(session: Session, found: Monitor) -> None:
    facts: list[Fact] = [
        ("watches", found.on + (f", variant {found.variant}" if found.variant else "")),
        ("fires when", rule_words(found)),
        ("severity", found.severity),
        ("action", found.action.kind + (f": {found.action.job}" if found.action.job else "")),
        ("told", pairs(found.action.arguments)),
        ("state", _state(found)),
        ("last", "" if found.standing.at is None else f"{_number(found.standing.value)}, {when(found.standing.at)}"),
        ("silenced until", when(found.silenced_until)),
        ("made", f"{when(found.created_at)} by {found.created_by}"),
        ("about", found.description),
    ]
    session.output.record(found, name=found.ref, title=f"monitor {found.ref}", facts=facts)


def _rule_options(function: F) -> F:
    for decorate in (
        option("--requests-min", type=int, default=0, metavar="N", help="Fewer requests in a sample say nothing."),
        option(
            "--no-data",
            type=click.Choice(["keep", "ok", "alerting"]),
            default="keep",
            help="What five minutes without data mean; keep: what is stays.",
        ),
        option(
            "--resolve-at", type=float, default=None, metavar="X", help="Where it resolves, if not at the threshold."
        ),
        option("--minutes", type=int, default=None, metavar="N", help="How many minutes a sample sums up."),
        option("--for", "held", default="0s", metavar="TIME", help="How long it must hold before it fires: 5m."),
        option(
            "--direction",
            type=click.Choice(["up", "down", "both"]),
            default="both",
            help="Which unusual values count.",
        ),
        option(
            "--unusual",
            type=float,
            default=None,
            metavar="SENSITIVITY",
            help="Fires when it is unusual for the time of the day; from 0 (calm) to 1 (touchy), such as 0.5.",
        ),
        option(
            "--objective",
            type=float,
            default=None,
            metavar="SHARE",
            help="Fires while the error budget of this success rate burns too fast: 0.999.",
        ),
        option("--below", type=float, default=None, metavar="X", help="Fires below it."),
        option("--above", type=float, default=None, metavar="X", help="Fires above it."),
    ):
        function = decorate(function)
    return function


def _action_options(function: F) -> F:
    for decorate in (
        option("--cooldown", default="30m", metavar="TIME", help="How long after a rollback there is no other."),
        pairs_option("--argument", "What the job is told; can be given again.", json_value),
        option("--job", default="", metavar="KIND", help="Which job, with --action job."),
        option(
            "--action",
            type=click.Choice(ACTIONS),
            default="alert",
            help="What happens beside that people are told.",
        ),
    ):
        function = decorate(function)
    return function


@monitor.command(
    "create",
    examples="""
    chopmark monitor create fraud-api --above 0.05 --for 5m --severity critical --action rollback
    chopmark monitor create fraud-api --metric latency_ms_p95 --above 250 --minutes 5
    chopmark monitor create fraud-api --objective 0.999
    chopmark monitor create fraud@champion --metric metrics.score --unusual 0.5
    """,
)
@click.argument("on", metavar="ON", help="An endpoint, or a version by any reference.")
@option(
    "--metric",
    default="error_rate",
    metavar="NAME",
    help="error_rate, success_rate, latency_ms_p50, _p95, _p99, requests_per_second, cost_usd, "
    "accuracy, mean_absolute_error, estimated_accuracy, drift, drift.COLUMN, drift.predictions, or metrics.NAME.",
)
@_rule_options
@option("--severity", type=click.Choice(["info", "warning", "critical"]), default="warning", help="How bad it is.")
@_action_options
@option("--variant", default="", metavar="NAME", help="Only this variant of the endpoint.")
@option("--name", default="", metavar="MONITOR", help="What it is called, if not after what it watches.")
@option("--description", default="", metavar="TEXT", help="What it is for.")
@reason_option()
@dry_run_option()
@pass_session
def create(session: Session, /, on: str, **said: Any) -> None:
    """Watch a metric of an endpoint or a version, minute by minute, from now on.

    Give one of --above, --below, --objective and --unusual.
    """
    action: dict[str, Any] = {"kind": said.pop("action"), "cooldown": said.pop("cooldown")}
    job, arguments = said.pop("job"), said.pop("argument")
    if job or arguments:
        action |= {"job": job, "arguments": arguments}
    made = session.registry().monitors.create(on, for_=said.pop("held"), action=action, **said)
    _show(session, made)


@monitor.command(
    "list",
    examples="""
    chopmark monitor list --in risk
    """,
)
@option("--in", "project", default=None, metavar="PROJECT", help="Only of this project.")
@limit_option()
@cursor_option()
@pass_session
def list_monitors(session: Session, project: str | None, limit: int, cursor: str) -> None:
    """List monitors, and how each stood when it was last evaluated."""
    found = session.registry().monitors.list(project, limit=limit, cursor=cursor)
    session.output.page(found, _COLUMNS, name=lambda m: m.ref, cursor=found.cursor, empty="Nothing is watched.")


@monitor.command(
    "show",
    examples="""
    chopmark monitor show fraud-api.error_rate
    """,
)
@_monitor_argument()
@pass_session
def show(session: Session, called: str) -> None:
    """Show a monitor, and how it stood when it was last evaluated."""
    _show(session, session.registry().monitors.get(called))


@monitor.command(
    "enable",
    examples="""
    chopmark monitor enable fraud-api.error_rate
    """,
)
@_monitor_argument()
@reason_option()
@dry_run_option()
@pass_session
def enable(session: Session, called: str, reason: str) -> None:
    """Have a monitor evaluated again, from now on."""
    _show(session, session.registry().monitors.enable(called, reason=reason))


@monitor.command(
    "disable",
    examples="""
    chopmark monitor disable fraud-api.error_rate --reason "a load test"
    """,
)
@_monitor_argument()
@reason_option()
@dry_run_option()
@pass_session
def disable(session: Session, called: str, reason: str) -> None:
    """Have a monitor evaluated no more; what fires is resolved.

    To keep it and tell nobody: chopmark alert silence.
    """
    _show(session, session.registry().monitors.disable(called, reason=reason))


@monitor.command(
    "delete",
    examples="""
    chopmark monitor delete fraud-api.error_rate
    """,
)
@_monitor_argument()
@reason_option()
@dry_run_option()
@pass_session
def delete(session: Session, called: str, reason: str) -> None:
    """Remove a monitor; its alerts are resolved and stay in the history."""
    show_done(session, session.registry().monitors.delete(called, reason=reason))


@monitor.command(
    "test",
    examples="""
    chopmark monitor test fraud-api.error_rate --minutes 120
    """,
)
@_monitor_argument()
@option("--minutes", type=int, default=60, metavar="N", help="How far to look back, at most 360.")
@pass_session
def test(session: Session, called: str, minutes: int) -> None:
    """Say what a monitor would have made of each of the last minutes, as if it had begun then; nothing is changed."""
    found = session.registry().monitors.test(called, minutes=minutes)
    word = standing_word(found.standing, found.monitor.rule)
    if session.json:
        session.output.record(found, name=word)
        return
    session.output.page(found.samples, _SAMPLES, name=lambda s: _number(s.value), empty="No minute has settled yet.")
    for event in found.events:
        note(f"{when(event.at)}: {event.kind}: {event.message}")
    if found.standing.why:
        note(found.standing.why)
    note(f"It would be {word} now, after {count(len(found.events), 'change')}.")


@monitor.command(
    "evaluate",
    examples="""
    chopmark monitor evaluate fraud-api.error_rate
    """,
)
@_monitor_argument()
@dry_run_option()
@pass_session
def evaluate(session: Session, called: str) -> None:
    """Judge what has settled since a monitor was last evaluated; workers do this by themselves each minute."""
    found = session.registry().monitors.evaluate(called)
    facts: list[Fact] = [
        ("state", _state(found.monitor)),
        ("opened", count(len(found.opened), "alert") if found.opened else ""),
        ("resolved", count(len(found.resolved), "alert") if found.resolved else ""),
        ("due", f"{found.due_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    session.output.record(
        found, name=standing_word(found.monitor.standing, found.monitor.rule), title=found.monitor.ref, facts=facts
    )

"""``chopmark alert``: what fires, who looks after it, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from chopmark.cli.command import Group
from chopmark.cli.options import cursor_option, dry_run_option, limit_option, option, pass_session, reason_option
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import number, stamp, when
from chopmark.domain.alert_log import Alert
from chopmark.errors import Conflict

__all__ = ["alert"]

F = TypeVar("F", bound=Callable[..., Any])

alert = Group(
    "alert",
    help="What fires, who looks after it, and what became of it.",
    examples="""
    chopmark alert list
    chopmark alert ack 019b76e0-2640-7000-9770-71638e65f7f1 --reason "I look at it"
    chopmark alert silence fraud-api.error_rate 2h --reason "a load test"
    """,
)


def _state(found: Alert) -> str:
    return f"{found.state} by {found.acknowledged_by}" if found.state == "acknowledged" else found.state


_COLUMNS = (
    Column("ALERT", lambda a: str(a.id), whole=True),
    Column("SEVERITY", lambda a: a.severity),
    Column("ON", lambda a: a.on),
    Column("STATE", _state),
    Column("FIRED (UTC)", lambda a: stamp(a.fired_at), whole=True),
    Column("WHY", lambda a: a.message),
)

_CHANGES = (
    Column("AT (UTC)", lambda c: stamp(c.at), whole=True),
    Column("WHAT", lambda c: c.what.replace("_", " ")),
    Column("BY", lambda c: c.by),
    Column("TEXT", lambda c: c.text),
)


def _alert_argument() -> Callable[[F], F]:
    return click.argument("called", metavar="ALERT", help="An alert by its id.")


def _show(session: Session, found: Alert) -> None:
    facts: list[Fact] = [
        ("monitor", found.name if found.monitor else ""),
        ("rollout", f"{found.rollout_id} · {found.label.replace('_', ' ')}" if found.rollout_id else ""),
        ("on", found.on),
        ("state", _state(found)),
        ("severity", found.severity),
        ("why", found.message),
        ("value", "" if found.value is None else number(found.value)),
        ("since", when(found.since)),
        ("fired", when(found.fired_at)),
        ("resolved", when(found.resolved_at)),
        ("action", "" if found.action == "alert" else found.action),
        *((when(c.at), f"{c.what.replace('_', ' ')}{f' by {c.by}' if c.by else ''}: {c.text}") for c in found.changes),
    ]
    session.output.record(found, name=str(found.id), title=f"alert {found.id}", facts=facts)


@alert.command(
    "list",
    examples="""
    chopmark alert list
    chopmark alert list --all --monitor fraud-api.error_rate
    """,
)
@option("--all", "everything", is_flag=True, help="Those that are over, too.")
@option("--monitor", default="", metavar="MONITOR", help="Only of this monitor.")
@option("--in", "project", default=None, metavar="PROJECT", help="Only of this project.")
@limit_option()
@cursor_option()
@pass_session
def list_alerts(session: Session, everything: bool, monitor: str, project: str | None, limit: int, cursor: str) -> None:
    """List alerts that fire, newest first."""
    found = session.registry().alerts.list(
        resolved=None if everything else False, monitor=monitor, project=project, limit=limit, cursor=cursor
    )
    session.output.page(found, _COLUMNS, name=lambda a: str(a.id), cursor=found.cursor, empty="Nothing fires.")


@alert.command(
    "show",
    examples="""
    chopmark alert show 019b76e0-2640-7000-9770-71638e65f7f1
    """,
)
@_alert_argument()
@pass_session
def show(session: Session, called: str) -> None:
    """Show an alert, and what became of it."""
    _show(session, session.registry().alerts.get(called))


@alert.command(
    "history",
    examples="""
    chopmark alert history 019b76e0-2640-7000-9770-71638e65f7f1
    """,
)
@_alert_argument()
@pass_session
def history(session: Session, called: str) -> None:
    """List what happened to an alert, oldest first."""
    found = session.registry().alerts.history(called)
    session.output.page(found, _CHANGES, name=lambda c: str(c.what))


@alert.command(
    "ack",
    examples="""
    chopmark alert ack 019b76e0-2640-7000-9770-71638e65f7f1 --reason "I look at it"
    """,
)
@_alert_argument()
@reason_option()
@dry_run_option()
@pass_session
def acknowledge(session: Session, called: str, reason: str) -> None:
    """Say that one looks after an alert; who did before is relieved."""
    _show(session, session.registry().alerts.acknowledge(called, reason=reason))


@alert.command(
    "silence",
    examples="""
    chopmark alert silence fraud-api.error_rate 2h --reason "a load test"
    chopmark alert silence fraud-api.error_rate 0s
    """,
)
@click.argument("monitor", metavar="MONITOR", help="Whose alerts.")
@click.argument("time", metavar="TIME", help="For how long: 30m, 2h, 1d; 0s ends a silence.")
@reason_option()
@dry_run_option()
@pass_session
def silence(session: Session, monitor: str, time: str, reason: str) -> None:
    """Tell people nothing of a monitor's alerts for some time; alerts and actions go on.

    What fires still when the silence is over is told then.
    """
    found = session.registry().alerts.silence(monitor, time, reason=reason)
    until = when(found.silenced_until)
    title = f"{found.ref} is silent until {until}" if until else f"{found.ref} is not silent"
    session.output.record(found, name=found.ref, title=title)


@alert.command(
    "rollback",
    examples="""
    chopmark alert rollback 019b76e0-2640-7000-9770-71638e65f7f1
    """,
)
@_alert_argument()
@reason_option()
@dry_run_option()
@pass_session
def rollback(session: Session, called: str, reason: str) -> None:
    """Take the endpoint of an alert back to what answered before, once, unless the guard refuses; it says why."""
    found = session.registry().alerts.roll_back(called, reason=reason)
    if not found.done:
        raise Conflict(
            f"Not rolled back: {found.why}",
            hint=f"Take it back yourself: chopmark rollback {found.alert.on}",
            alert=str(found.alert.id),
        )
    session.output.record(found, name=str(found.alert.id), title=found.why)

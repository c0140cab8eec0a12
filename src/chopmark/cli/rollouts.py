"""``chopmark rollout`` and ``chopmark rollback``: an endpoint moved to another version step by step, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from chopmark.base.jsons import decode
from chopmark.cli.command import Group, command
from chopmark.cli.options import (
    cursor_option,
    dry_run_option,
    limit_option,
    option,
    parsed_time,
    pass_session,
    reason_option,
    reference_argument,
)
from chopmark.cli.rollout_view import event_line, percent, show_rollout, show_status, watch_tree
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import stamp
from chopmark.domain.rollout_plans import RolloutPlan, Strategy, check_plan, plan_for
from chopmark.domain.rollouts import Rollout
from chopmark.errors import InvalidRequest

__all__ = ["rollback", "rollout"]

F = TypeVar("F", bound=Callable[..., Any])

_NOT_THERE = 7
"""Exit code when the candidate did not come to answer: it was rolled back, or waits for somebody."""

rollout = Group(
    "rollout",
    help="Endpoints moved to another version step by step, watched, and back.",
    examples="""
    chopmark rollout start fraud-api fraud:4 --steps 10,25,50,100 --hold 10m --reason "does better in March"
    chopmark rollout watch fraud-api
    chopmark rollout status fraud-api --wait --timeout 2h
    """,
)

_COLUMNS = (
    Column("ENDPOINT", lambda r: r.endpoint_ref, whole=True),
    Column("CANDIDATE", lambda r: r.candidate.ref, whole=True),
    Column("STATE", lambda r: r.state.replace("_", " ")),
    Column("SHARE", lambda r: percent(r.weight), right=True),
    Column("STRATEGY", lambda r: r.plan.strategy),
    Column("BEGAN (UTC)", lambda r: stamp(r.created_at), whole=True),
    Column("BECAUSE", lambda r: r.reason or r.waiting),
    Column("ID", lambda r: str(r.id), whole=True),
)


def _endpoint_argument(*, required: bool = True) -> Callable[[F], F]:
    return click.argument(
        "called",
        metavar="ENDPOINT" if required else "[ENDPOINT]",
        required=required,
        default=None if required else "",
        help="An endpoint: fraud-api, or risk/fraud-api in the project risk.",
    )


def _id_option() -> Callable[[F], F]:
    return option("--id", "which", type=click.UUID, default=None, metavar="ID", help="Not the newest, but this one.")


def _percents(ctx: click.Context, param: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part.strip().removesuffix("%")) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter(f"{text!r} are no shares in percent.", ctx, param) from error


def _plan_options(function: F) -> F:
    for decorate in (
        option("--hold", default=None, metavar="TIME", help="How long each step is held: 30s, 10m, 1h30m.  [10m]"),
        option(
            "--steps",
            default="",
            metavar="SHARES",
            callback=_percents,
            help="Shares in percent with commas between: 10,25,50,100.  [10, 20 … 100]",
        ),
        option(
            "--strategy",
            type=click.Choice(get_args(Strategy)),
            default=None,
            help="How: canary is growing shares, blue-green all at once after an approval.  [canary]",
        ),
        option(
            "--plan",
            "file",
            default=None,
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="A plan as JSON, with steps and checks; instead of the other options that say how.",
        ),
    ):
        function = decorate(function)
    return function


def _read_plan(file: Path | None, **others: object) -> RolloutPlan | None:
    """The plan of a file; None without one."""
    if file is None:
        return None
    given = [f"--{name}" for name, value in others.items() if value not in (None, ())]
    if given:
        raise click.UsageError(f"The plan says it: leave out {', '.join(given)}, or --plan.")
    try:
        text = file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.", hint="Name a file with a plan.") from error
    return check_plan(decode(text, RolloutPlan))


@rollout.command(
    "start",
    examples="""
    chopmark rollout start fraud-api fraud:4
    chopmark rollout start fraud-api fraud:4 --steps 10,25,50,100 --hold 10m --reason "does better in March"
    chopmark rollout start fraud-api fraud:4 --strategy blue-green
    chopmark rollout start fraud-api fraud:4 --plan plan.json
    """,
)
@_endpoint_argument()
@reference_argument("candidate")
@_plan_options
@option("--samples", type=click.IntRange(0), default=None, metavar="N", help="Requests that a step waits for.  [100]")
@option("--deadline", default=None, metavar="TIME", help="After which it is rolled back unless promoted.  [3d]")
@option("--window", default=None, metavar="TIME", help="How long the version before stays loaded after.  [1h]")
@option(
    "--copies-within",
    default=None,
    metavar="TIME",
    help="How long a shadow may get no copy before an alert tells of it; 0s: none does.  [5m]",
)
@option("--supersede", is_flag=True, help="Take the place of a rollout that goes on.")
@reason_option()
@dry_run_option()
@pass_session
def start(
    session: Session,
    called: str,
    candidate: str,
    file: Path | None,
    strategy: Strategy | None,
    steps: tuple[float, ...],
    hold: str | None,
    samples: int | None,
    deadline: str | None,
    window: str | None,
    copies_within: str | None,
    supersede: bool,
    reason: str,
) -> None:
    """Begin to move an endpoint from the version that answers to CANDIDATE.

    Workers move it on: those of 'chopmark serve', or 'chopmark worker'. Each step is held and its requests are watched; what is worse
    is rolled back.
    """
    said = {"strategy": strategy, "steps": steps, "hold": hold, "samples": samples, "deadline": deadline}
    made = session.registry().rollouts.start(
        called,
        candidate,
        strategy=strategy or "canary",
        steps=steps,
        hold=hold,
        samples_min=samples,
        deadline=deadline,
        rollback_window=window,
        copies_within=copies_within,
        plan=_read_plan(file, **said, window=window, **{"copies-within": copies_within}),
        supersede=supersede,
        reason=reason,
    )
    show_rollout(session, made)


@rollout.command(
    "status",
    examples="""
    chopmark rollout status fraud-api
    chopmark rollout status fraud-api --wait --timeout 2h
    """,
)
@_endpoint_argument()
@_id_option()
@option("--wait", is_flag=True, help="Wait until it has ended, or waits for somebody.")
@option("--timeout", default=None, metavar="TIME", help="Wait no longer than that.")
@pass_session
def status(session: Session, called: str, which: Any, wait: bool, timeout: str | None) -> None:
    """Say how a rollout stands, what happened last, and what may be asked of it.

    With --wait it exits with the verdict: 0 when the candidate answers, 7 when it was rolled back or waits for somebody, 9 when it
    took longer.
    """
    rollouts = session.registry().rollouts
    found = rollouts.wait(called, which, timeout=timeout) if wait else rollouts.get(called, which)
    show_status(session, found)
    if wait:
        _exit_with(found.rollout)


def _exit_with(found: Rollout) -> None:
    if found.state != "completed":
        click.get_current_context().exit(_NOT_THERE)


@rollout.command(
    "watch",
    examples="""
    chopmark rollout watch fraud-api
    """,
)
@_endpoint_argument()
@_id_option()
@pass_session
def watch(session: Session, called: str, which: Any) -> None:
    """Show a rollout as it goes, until it has ended: a tree on a terminal, else a line for each event.

    It exits with 7 when the candidate did not come to answer.
    """
    last = watch_tree(session.registry().rollouts.watch(called, which))
    if last is not None:
        _exit_with(last.rollout)


@rollout.command(
    "list",
    examples="""
    chopmark rollout list --open
    chopmark rollout list fraud-api
    """,
)
@_endpoint_argument(required=False)
@option("--in", "project", default=None, metavar="PROJECT", help="Only of this project.")
@option("--open", "is_open", is_flag=True, help="Only those that go on, or still hold the version before.")
@limit_option()
@cursor_option()
@pass_session
def list_rollouts(
    session: Session,
    called: str,
    project: str | None,
    is_open: bool,
    limit: int,
    cursor: str,
) -> None:
    """List rollouts, newest first."""
    found = session.registry().rollouts.list(called, project=project, is_open=is_open, limit=limit, cursor=cursor)
    session.output.page(found, _COLUMNS, name=lambda r: str(r.id), cursor=found.cursor, empty="There are no rollouts.")


@rollout.command(
    "events",
    examples="""
    chopmark rollout events fraud-api
    """,
)
@_endpoint_argument()
@_id_option()
@option("--after", type=click.IntRange(0), default=0, metavar="N", help="Only those after the event of this number.")
@limit_option()
@pass_session
def events(session: Session, called: str, which: Any, after: int, limit: int) -> None:
    """Tell what happened to a rollout, with the evidence of its checks."""
    found = session.registry().rollouts.events(called, which, after=after, limit=limit)
    if session.json:
        session.output.page(found, (), name=str)
        return
    for event in found:
        click.echo(event_line(event))
        for each in event.evidence:
            click.echo(f"          {each.verdict.replace('_', ' ')}: {each.words}")


def _asked(name: str, text: str, example: str, *, has_full: bool = False) -> click.Command:
    """A command that asks something of a rollout."""

    def run(session: Session, called: str, which: Any, reason: str, full: bool = False) -> None:
        method = getattr(session.registry().rollouts, name)
        options = {"full": full} if has_full else {}
        show_rollout(session, method(called, which, reason=reason, **options))

    run.__doc__ = text
    made: Any = pass_session(run)
    decorators: list[Callable[[Any], Any]] = [dry_run_option(), reason_option()]
    if has_full:
        decorators.append(option("--full", is_flag=True, help="To all of the traffic."))
    for decorate in (*decorators, _id_option(), _endpoint_argument()):
        made = decorate(made)
    asked: click.Command = rollout.command(name, examples=example)(made)
    return asked


for _name, _text, _example in (
    (
        "pause",
        "Raise no share until it is resumed; it is still rolled back when a check fails.",
        'chopmark rollout pause fraud-api --reason "lunch"',
    ),
    (
        "resume",
        "Go on with what was paused, by somebody or by itself.",
        'chopmark rollout resume fraud-api --reason "looked at it"',
    ),
    (
        "approve",
        "Give the approval that the step waits for.",
        'chopmark rollout approve fraud-api --reason "the preview is well"',
    ),
    (
        "abort",
        "Take the candidate's traffic away, at once.",
        'chopmark rollout abort fraud-api --reason "wrong answers"',
    ),
    (
        "retry",
        "Begin once more what was rolled back, by the same plan.",
        'chopmark rollout retry fraud-api --reason "the database is back"',
    ),
    (
        "undo",
        "Begin the way back from a completed rollout: within its rollback window at once, else by its own steps.",
        'chopmark rollout undo fraud-api --reason "complaints"',
    ),
):
    _asked(_name, _text, f"\n    {_example}\n    ")
_asked(
    "promote",
    """Go on to the next step now, or with --full to all of the traffic, whatever hold and checks still want.

    What fails is rolled back all the same.
    """,
    '\n    chopmark rollout promote fraud-api --reason "seen enough"\n    chopmark rollout promote fraud-api --full\n    ',
    has_full=True,
)


@rollout.command(
    "rehearse",
    examples="""
    chopmark rollout rehearse fraud-api fraud:4 --stable fraud:3 --since 2026-03-01
    """,
)
@_endpoint_argument()
@reference_argument("candidate")
@option("--stable", required=True, metavar="VERSION", help="The version beside which it answered.")
@option("--since", required=True, metavar="TIME", help="From when on recorded minutes are replayed.")
@option("--until", default=None, metavar="TIME", help="Until when; at most two days later.  [now]")
@_plan_options
@pass_session
def rehearse(
    session: Session,
    called: str,
    candidate: str,
    stable: str,
    since: str,
    until: str | None,
    file: Path | None,
    strategy: Strategy | None,
    steps: tuple[float, ...],
    hold: str | None,
) -> None:
    """Try a plan on recorded minutes: what its checks would have said, and what a replay cannot know.

    Nothing is changed.
    """
    from chopmark.domain.durations import seconds_of

    began = parsed_time(since)
    if began is None:
        raise InvalidRequest("Say since when.")
    plan = _read_plan(file, strategy=strategy, steps=steps, hold=hold)
    if plan is None:
        plan = plan_for(strategy or "canary", percents=steps, hold_s=None if hold is None else seconds_of(hold))
    found = session.registry().rollouts.rehearse(
        called, candidate, stable, since=began, until=parsed_time(until), plan=plan
    )
    happened = "\n".join(
        f"{m.at:%Y-%m-%d %H:%M} step {m.step + 1} at {percent(m.weight)}: {m.words}" for m in found.moments
    )
    session.output.record(
        found,
        name=found.outcome,
        title=f"rehearsal: {found.outcome.replace('_', ' ')}",
        facts=[
            ("replayed", f"{found.minutes} recorded minutes"),
            ("happened", happened),
            ("caveats", "\n".join(found.caveats)),
        ],
    )


@command(
    "rollback",
    examples="""
    chopmark rollback fraud-api --reason "wrong answers"
    chopmark rollback fraud-api --to fraud:3 --strategy replace --reason "the last that was well"
    """,
)
@_endpoint_argument()
@option("--to", default="", metavar="VERSION", help="The version to go back to.  [the one before]")
@option(
    "--strategy",
    type=click.Choice(get_args(Strategy)),
    default=None,
    help="How; replace is at once whenever it is.  [at once within the rollback window, else by the last steps]",
)
@reason_option()
@dry_run_option()
@pass_session
def rollback(session: Session, called: str, to: str, strategy: Strategy | None, reason: str) -> None:
    """Take an endpoint back to the version before, or to the one that is named.

    A rollout that goes on is aborted. Otherwise one begins that waits only until every router has the version loaded.
    """
    show_rollout(session, session.registry().rollouts.rollback(called, to, strategy=strategy, reason=reason))

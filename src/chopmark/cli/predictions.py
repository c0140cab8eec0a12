"""``chopmark predictions``: logs that gateways wrote of sampled requests, read, checked and replayed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chopmark.cli.command import Group
from chopmark.cli.failures import FAILED
from chopmark.cli.options import option, parsed_time, pass_session, reference_argument
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count, number, stamp

if TYPE_CHECKING:
    from chopmark.domain.prediction_logs import LogFault, LogReplay, ReplayedRow

__all__ = ["predictions"]

F = TypeVar("F", bound=Callable[..., Any])

predictions = Group(
    "predictions",
    help="What gateways logged of requests and answers: read, checked, and answered again.",
    examples="""
    chopmark predictions read /var/log/predictions fraud-api --since 2026-03-01
    chopmark predictions verify /var/log/predictions
    chopmark predictions replay /var/log/predictions fraud:4 --endpoint fraud-api
    """,
)

_SINCE = option("--since", metavar="TIME", help="Only what was answered from then on: 2026-03-01, or 2026-03-01T12:30.")
_UNTIL = option("--until", metavar="TIME", help="Only what was answered before then.")


def _directory(function: F) -> F:
    kind = click.Path(path_type=Path)
    return click.argument("directory", metavar="DIR", type=kind, help="The setting gateway_log_dir, or a copy.")(
        function
    )


def _which(function: F) -> F:
    for decorate in (
        option("--version", default="", metavar="REF", help="Only what this version answered."),
        _UNTIL,
        _SINCE,
        click.argument(
            "called",
            metavar="[ENDPOINT]",
            required=False,
            default="",
            help="Only of an endpoint: fraud-api, or risk/fraud-api in the project risk.",
        ),
        _directory,
    ):
        function = decorate(function)
    return function


@predictions.command(
    "read",
    examples="""
    chopmark predictions read /var/log/predictions fraud-api --limit 20
    chopmark predictions read /var/log/predictions fraud-api --since 2026-03-01 --to march.parquet
    """,
)
@_which
@option("--limit", type=click.IntRange(1), default=100, metavar="N", help="Rows to print at most.  [100]")
@option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="A Parquet file for all rows, instead.")
@option("--verify", is_flag=True, help="Refuse a log in which anything is not what gateways wrote.")
@pass_session
def read(
    session: Session,
    directory: Path,
    called: str,
    since: str | None,
    until: str | None,
    version: str,
    limit: int,
    target: Path | None,
    verify: bool,
) -> None:
    """Print logged rows as JSON, one a line, the oldest files first; or write them to one Parquet file."""
    from chopmark.formats.prediction_files import plain_rows, write_rows

    surface = session.registry().predictions
    asked: dict[str, Any] = {"since": parsed_time(since), "until": parsed_time(until), "version": version}
    if target is not None:
        table = surface.read(directory, called, verify=verify, **asked)
        write_rows(table, target)
        note(f"{count(table.num_rows, 'row')} written to {target}")
        return
    if verify:
        surface.read(directory, called, verify=True, **asked)
    rows: list[dict[str, Any]] = []
    for batch in surface.batches(directory, called, **asked):
        rows += plain_rows(batch.slice(0, limit + 1 - len(rows)))
        if len(rows) > limit:
            break
    is_more = len(rows) > limit
    rows = rows[:limit]
    if session.json:
        session.output.record(rows, name="")
        return
    for row in rows:
        click.echo(_written(row))
    if is_more:
        note(f"The first {limit:,} rows; more with --limit, all with --to FILE.")


def _written(row: dict[str, Any]) -> str:
    from chopmark.base.jsons import encode

    return encode(row).decode()


_FAULTS = (
    Column("FILE", lambda f: f.file, whole=True),
    Column("ROW", lambda f: "" if f.row < 0 else str(f.row), right=True),
    Column("WHY", lambda f: f.why),
    Column("REQUEST", lambda f: f.request_id),
)


@predictions.command(
    "verify",
    examples="""
    chopmark predictions verify /var/log/predictions
    chopmark predictions verify /var/log/predictions fraud-api --since 2026-03-01 --json
    """,
)
@_which
@pass_session
@click.pass_context
def verify(
    ctx: click.Context,
    session: Session,
    directory: Path,
    called: str,
    since: str | None,
    until: str | None,
    version: str,
) -> None:
    """Hold every row against its request id; exit with 1 when one is not what a gateway of this registry wrote.

    A request id says, authenticated, which endpoint, version and variant answered and when. What was asked and answered is not
    authenticated. Asks for the permission route, which admins have.
    """
    found = session.registry().predictions.verify(
        directory, called, since=parsed_time(since), until=parsed_time(until), version=version
    )
    if session.json:
        session.output.record(found, name="")
    else:
        name: Callable[[LogFault], str] = lambda f: f.file  # noqa: E731
        session.output.page(found.faults, _FAULTS, name=name, empty="Every row is what its request id says.")
        note(
            f"{count(found.rows, 'row')} in {count(found.files, 'file')}; "
            f"{count(found.faulty_rows, 'faulty row')}, {count(found.faulty_files, 'faulty file')}"
        )
    if not found.is_sound:
        ctx.exit(FAILED)


_DIFFERING = (
    Column("AT (UTC)", lambda r: stamp(r.at), whole=True),
    Column("ANSWERED BY", lambda r: r.answered_by, whole=True),
    Column("LOGGED", lambda r: _values(r.logged)),
    Column("NOW", lambda r: _values(r.now)),
    Column("ROW", lambda r: str(r.row), right=True),
    Column("REQUEST", lambda r: r.request_id),
)


def _values(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items())


@predictions.command(
    "replay",
    examples="""
    chopmark predictions replay /var/log/predictions fraud:4 --endpoint fraud-api
    chopmark predictions replay /var/log/predictions fraud:3 --answered-by fraud:3 --check && echo the same
    """,
)
@_directory
@reference_argument(text="Which version answers again: fraud, fraud:7, fraud@champion …")
@option("--endpoint", "called", default="", metavar="ENDPOINT", help="Only what was asked of this endpoint.")
@_SINCE
@_UNTIL
@option("--answered-by", default="", metavar="REF", help="Only what this version had answered.")
@option("--rows", "rows_max", type=click.IntRange(1), metavar="N", help="So many rows, the oldest, and no more.")
@option("--check", is_flag=True, help="Exit with 1 unless every row is answered as it was.")
@pass_session
@click.pass_context
def replay(
    ctx: click.Context,
    session: Session,
    directory: Path,
    ref: str,
    called: str,
    since: str | None,
    until: str | None,
    answered_by: str,
    rows_max: int | None,
    check: bool,
) -> None:
    """Ask a version what was asked before, and say how its answers differ from those that were given."""
    found = session.registry().predictions.replay(
        directory,
        ref,
        called,
        since=parsed_time(since),
        until=parsed_time(until),
        answered_by=answered_by,
        rows_max=rows_max,
    )
    if session.json:
        session.output.record(found, name=found.version)
    else:
        session.output.record(found, name=found.version, title=f"replay by {found.version}", facts=_facts(found))
        if found.differing:
            name: Callable[[ReplayedRow], str] = lambda r: r.request_id  # noqa: E731
            session.output.page(found.differing, _DIFFERING, name=name, empty="")
    if check and found.agreeing < found.rows:
        ctx.exit(FAILED)


def _facts(found: LogReplay) -> list[Fact]:
    facts: list[Fact] = [
        ("rows", f"{found.rows:,}"),
        ("the same", f"{found.agreeing:,} ({100 * found.agreement:.4g} %)"),
        ("compared", ", ".join(found.outputs)),
    ]
    if found.shift_mean is not None and found.shift_mean_abs is not None and found.shift_max_abs is not None:
        shift = f"{number(found.shift_mean)} in the mean, {number(found.shift_mean_abs)} in size, {number(found.shift_max_abs)} at most"
        facts.append(("shift", shift))
    return facts

"""``chopmark drift``: whether rows still look like those that a version was registered with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chopmark.cli.command import command
from chopmark.cli.failures import FAILED
from chopmark.cli.options import option, pairs_option, pass_session, reference_argument
from chopmark.cli.output import note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column, print_table
from chopmark.cli.words import plain

if TYPE_CHECKING:
    from chopmark.formats.profiles import DatasetProfile
    from chopmark.stats.drift import ColumnDrift, DriftReport
    from chopmark.stats.drift_measures import MeasureName

__all__ = ["drift"]

_NAMED_COLUMNS = 5


@command(
    "drift",
    examples="""
    chopmark drift fraud@champion today.parquet
    chopmark drift fraud@champion today.csv --scores score --check && echo fine
    chopmark drift fraud:3 today.csv --without user_id --threshold psi=0.2 --json
    """,
)
@reference_argument()
@click.argument(
    "rows",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The rows of now: a Parquet, CSV or TSV file.",
)
@option("--dataset", default="", metavar="NAME", help="Which data set to compare with, when the version has several.")
@option("--scores", metavar="COLUMN", help="Column of FILE with the model's answers.")
@option("--without", multiple=True, metavar="COLUMN", help="A column not to compare; can be given again.")
@pairs_option(
    "--threshold",
    "What is material, of psi, jensen_shannon, hellinger, total_variation, kolmogorov_smirnov, wasserstein, unseen, "
    "others or missing; can be given again.",
    float,
    metavar="MEASURE=NUMBER",
)
@option("--alpha", type=float, default=0.01, metavar="NUMBER", help="Chance of a false drift at most.  [0.01]")
@option("--minimum", type=click.IntRange(1), metavar="N", help="Values of a column that a verdict needs.  [500]")
@option("--all", "everything", is_flag=True, help="Show the columns that did not drift as well.")
@option("--check", is_flag=True, help="Exit with 1 unless every column was judged ok: for CI and schedules.")
@pass_session
@click.pass_context
def drift(
    ctx: click.Context,
    session: Session,
    ref: str,
    rows: Path,
    dataset: str,
    scores: str | None,
    without: tuple[str, ...],
    threshold: dict[MeasureName, float],
    alpha: float,
    minimum: int | None,
    everything: bool,
    check: bool,
) -> None:
    """Say whether rows still look like those that a version was registered with.

    A column drifts when a measure is beyond its threshold and a test finds it significant among
    all columns. With fewer than 500 values it has no verdict; --check exits with 1 then, too,
    for what was not seen did not pass: leave such a column out with --without. Quiet, only the verdict is printed.
    """
    profiles = session.registry().profiles
    found = profiles.drift(
        ref,
        rows,
        dataset=dataset,
        scores=scores,
        without=without,
        thresholds=threshold,
        alpha=alpha,
        minimum=minimum,
    )
    if session.json or session.quiet:
        session.output.record(found, name=found.verdict)
    else:
        _print(found, everything=everything)
        _note_left_out(found, profiles.get(ref, dataset), rows, without)
    if check and (found.verdict != "ok" or found.undecided):
        _note_undecided(found)
        ctx.exit(FAILED)


def _note_undecided(found: DriftReport) -> None:
    """Say which columns did not pass because nothing could be said of them."""
    names = found.undecided
    if names and found.verdict != "not enough data":
        more = f" and {len(names) - _NAMED_COLUMNS:,} more" if len(names) > _NAMED_COLUMNS else ""
        which = plain(", ".join(names[:_NAMED_COLUMNS]) + more)
        note(f"Without a verdict, and so not passed: {which}. Leave out what need not be judged with --without.")


def _note_left_out(found: DriftReport, profile: DatasetProfile, rows: Path, without: tuple[str, ...]) -> None:
    """Say what was not compared though it might have been."""
    compared = {*without, *(column.name for column in found.columns)}
    left = [column.name for column in profile.columns if column.name not in compared]
    if left:
        note(f"Not in {rows.name}, and no input of the model: {', '.join(left)}.")
    if profile.scores and not found.scores:
        note("The model's answers were not compared: name their column with --scores.")


def _print(found: DriftReport, *, everything: bool) -> None:
    click.echo(click.style(plain(found.sentence), bold=True))
    told = [*found.columns, *([found.scores] if found.scores else [])]
    shown = [column for column in told if everything or column.verdict != "ok"]
    if shown:
        click.echo()
        print_table(shown, _COLUMNS, sys.stdout)


def _psi(column: ColumnDrift) -> str:
    return next((f"{m.value:.2f}" for m in column.measures if m.name == "psi"), "")


def _reason(column: ColumnDrift) -> str:
    return column.sentence.removeprefix(f"{column.name} drifted: ") if column.verdict == "drift" else column.sentence


_COLUMNS = (
    Column("COLUMN", lambda c: c.name),
    Column("VERDICT", lambda c: c.verdict, whole=True),
    Column("VALUES", lambda c: f"{c.current_n:,}", right=True),
    Column("PSI", _psi, right=True),
    Column("WHY", _reason),
)

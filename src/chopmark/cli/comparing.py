"""Versions side by side: what differs, which is better, and how they answer on data."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from chopmark.cli.command import command
from chopmark.cli.completion_items import complete_reference
from chopmark.cli.failures import FAILED
from chopmark.cli.options import option, pairs_option, pass_session
from chopmark.cli.output import note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column, print_table
from chopmark.cli.words import plain

if TYPE_CHECKING:
    from chopmark.sdk.comparing import Comparison

__all__ = ["compare"]

_CELL_LENGTH_MAX = 60


def _direction(text: str) -> Literal["maximize", "minimize"]:
    if text in ("maximize", "max", "up"):
        return "maximize"
    if text in ("minimize", "min", "down"):
        return "minimize"
    msg = f"{text!r} is no direction; say maximize or minimize."
    raise click.BadParameter(msg)


@command(
    "compare",
    examples="""
    chopmark compare fraud:3 fraud:4
    chopmark compare fraud@champion fraud --data march.csv --target is_fraud
    chopmark compare fraud:2 fraud:3 fraud:4 --baseline fraud#production -o comparison.html
    """,
)
@click.argument(
    "refs",
    metavar="REF REF...",
    nargs=-1,
    required=True,
    help="Two to twenty versions: fraud:3 fraud@champion …",
    shell_complete=complete_reference,
)
@option(
    "--data",
    metavar="FILE",
    default=None,
    type=click.Path(path_type=Path),
    help="Run every version on the rows of this CSV or Parquet file, and time it.",
)
@option("--target", metavar="COLUMN", default="", help="Column of the data that holds the labels.")
@option("--baseline", metavar="REF", default=None, help="Count changes from this version.  [the first]")
@pairs_option(
    "--direction",
    "Whether more or less of a metric is better, where its name does not tell: score=maximize; can be given again.",
    _direction,
    metavar="METRIC=WORD",
)
@option("--all", "everything", is_flag=True, help="Show what is alike as well.")
@option(
    "--output",
    "-o",
    metavar="FILE",
    default=None,
    type=click.Path(path_type=Path),
    help="Write a report instead: .html, .md or .json.",
)
@pass_session
@click.pass_context
def compare(
    ctx: click.Context,
    session: Session,
    refs: tuple[str, ...],
    data: Path | None,
    target: str,
    baseline: str | None,
    direction: dict[str, Literal["maximize", "minimize"]],
    everything: bool,
    output: Path | None,
) -> None:
    """Put versions side by side, and run them on data.

    What differs is shown, with ▲ for better and ▼ for worse metrics. With --data every version predicts the same rows: how far they agree, how fast they are and,
    with --target, how right they are. A recommendation names a version, or says why none stands
    out. Quiet, only the recommended version is printed. Exits with 1 when every version failed on
    the data.
    """
    if target and data is None:
        msg = "--target names a column of --data, which is not given."
        raise click.UsageError(msg)
    versions = session.registry().versions
    with _telling_once():
        found = versions.compare(refs, data=data, target=target, baseline=baseline, directions=direction)
    if output is not None:
        _write(session, found, output)
    elif session.json or session.quiet:
        _short(session, found)
    else:
        _print(found, everything=everything)
    if found.data is not None and all(v.failure for v in found.data.versions):
        ctx.exit(FAILED)


@contextmanager
def _telling_once() -> Iterator[None]:
    """Let each warning through once: a model that is timed warns of the same at every call."""
    told: set[str] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_once(message: Warning | str, *about: Any, **more: Any) -> None:
            if str(message) not in told:
                told.add(str(message))
                show(message, *about, **more)

        warnings.showwarning = show_once
        yield


def _short(session: Session, found: Comparison) -> None:
    if session.json:
        session.output.record(found, name=found.recommendation.winner)
    elif found.recommendation.winner:
        click.echo(plain(found.recommendation.winner))
    else:
        note(found.recommendation.sentence)


def _write(session: Session, found: Comparison, path: Path) -> None:
    from chopmark.sdk.reporting import format_of, write_text

    match format_of("", path):
        case "html":
            text = found.to_html()
        case "markdown":
            text = found.to_markdown()
        case _:
            text = found.to_json() + "\n"
    write_text(path, text)
    session.output.text(str(path), record={"path": str(path), "recommendation": found.recommendation})


def _print(found: Comparison, *, everything: bool) -> None:
    from chopmark.domain.comparison import SECTIONS
    from chopmark.reports.comparison_page import SECTION_TITLES, change_text, data_rows, pair_texts, remarks, row_texts

    click.echo(click.style(plain(found.recommendation.sentence), bold=True))
    for remark in remarks(found.recommendation):
        click.echo(f"  {plain(remark)}")
    shown = found if everything else found.differences()
    for name in SECTIONS:
        rows = []
        for row in shown.section(name):
            changes = row.changes or (None,) * len(row.values)
            cells = [
                _cut(text) + (f" {change_text(change)}" if change and change.verdict != "same" else "")
                for text, change in zip(row_texts(row), changes, strict=True)
            ]
            rows.append([row.key, *cells])
        _table(SECTION_TITLES[name], found.refs, rows)
    for signature in found.signatures:
        for reason in signature.breaking:
            note(f"{signature.ref} breaks callers of {found.baseline}: {reason}")
    if found.data is None:
        return
    _table(f"On {found.data.dataset.name}", found.refs, data_rows(found.data))
    pairs = [pair_texts(pair) for pair in found.data.pairs]
    _table("Agreement", ("SAME ANSWER", "WHO FLIPS", "PEARSON", "SPEARMAN", "MEAN DIFFERENCE"), pairs)
    for caution in found.data.cautions:
        note(caution)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    click.echo()
    columns = [_column(title.upper(), 0), *(_column(head, i) for i, head in enumerate(heads, 1))]
    print_table(rows, columns, sys.stdout)


def _column(title: str, position: int) -> Column:
    return Column(plain(title), lambda row: row[position])


def _cut(text: str) -> str:
    return text if len(text) <= _CELL_LENGTH_MAX else text[: _CELL_LENGTH_MAX - 1] + "…"

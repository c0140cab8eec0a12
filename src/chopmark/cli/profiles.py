"""``chopmark profile``: reference profiles of the data that versions were registered with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from chopmark.cli.command import Group
from chopmark.cli.options import option, pass_session, reference_argument
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column, print_table

if TYPE_CHECKING:
    from chopmark.formats.profiles import DatasetProfile
    from chopmark.stats.binning import LevelBins, NumericBins

__all__ = ["profile"]

_LEVELS_SHOWN = 3

profile = Group(
    "profile",
    help="What the data of a version looked like.",
    examples="""
    chopmark profile list fraud@champion
    chopmark profile get fraud@champion
    chopmark drift fraud@champion today.parquet
    """,
)


@profile.command(
    "list",
    examples="""
    chopmark profile list fraud@champion
    """,
)
@reference_argument()
@pass_session
def list_profiles(session: Session, ref: str) -> None:
    """List the profiles of a version.

    There is one for each data set whose rows were given when it was registered.
    """
    found = session.registry().profiles.list(ref)
    columns = (
        Column("NAME", lambda p: p.name),
        Column("BYTES", lambda p: f"{p.size_bytes:,}", right=True),
        Column("FILE", lambda p: p.path),
    )
    session.output.page(found, columns, name=lambda p: p.name, empty=f"{ref} has no profile of its data.")


@profile.command(
    "get",
    examples="""
    chopmark profile get fraud@champion
    chopmark profile get fraud:3 --dataset march.parquet --json
    """,
)
@reference_argument()
@option("--dataset", default="", metavar="NAME", help="Which data set, when there are several.")
@pass_session
def get(session: Session, ref: str, dataset: str) -> None:
    """Show a profile: the columns of the data, in numbers.

    With --json the bins and the counts in them, as they are kept.
    """
    found = session.registry().profiles.get(ref, dataset)
    columns = len(found.columns)
    title = f"{found.rows:,} rows · {columns:,} column{'' if columns == 1 else 's'}"
    session.output.record(found, name=title, title=title, facts=_facts(found))
    if found.columns and not session.json and not session.quiet:
        click.echo()
        print_table(found.columns, _COLUMNS, sys.stdout)


def _facts(found: DatasetProfile) -> list[Fact]:
    scores, table = found.scores, found.calibration
    return [
        ("left out", ", ".join(f"{name} ({why})" for name, why in found.left_out.items())),
        ("scores", "" if scores is None else _values(scores)),
        ("calibration", "" if table is None else f"error {table.error:.3f} over {sum(table.counts):,} rows"),
        ("threshold", "" if table is None else f"{table.threshold:g}"),
    ]


def _values(column: NumericBins | LevelBins) -> str:
    """What a column holds, in a few words."""
    from chopmark.stats.binning import NumericBins

    if not column.reference.present:
        return "nothing"
    if isinstance(column, NumericBins):
        return f"{column.minimum:.4g} to {column.maximum:.4g}, mean {column.mean:.4g} ± {column.standard_deviation:.4g}"
    shares = [count / column.reference.present for count in column.reference.counts]
    top = [f"{level} {share:.0%}" for level, share in zip(column.levels, shares, strict=False)]
    shown = top[:_LEVELS_SHOWN]
    hidden = column.distinct - len(shown)
    if not shown:
        return f"{column.distinct:,} different, none of them kept"
    return ", ".join([*shown, *([f"{hidden:,} more"] if hidden > 0 else [])])


def _kind(column: NumericBins | LevelBins) -> str:
    from chopmark.stats.binning import NumericBins

    return "numbers" if isinstance(column, NumericBins) else "levels"


def _missing(column: NumericBins | LevelBins) -> str:
    counted = column.reference
    return f"{counted.missing / counted.rows:.1%}" if counted.missing else ""


_COLUMNS = (
    Column("COLUMN", lambda c: c.name),
    Column("KIND", _kind),
    Column("MISSING", _missing, right=True),
    Column("VALUES", _values),
)

"""``chopmark dataset``: data sets that versions were trained or evaluated on."""

from __future__ import annotations

import click

from chopmark.cli.command import Group
from chopmark.cli.options import cursor_option, limit_option, pass_session
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import stamp, when
from chopmark.domain.datasets import DatasetRecord

__all__ = ["dataset"]

dataset = Group(
    "dataset",
    help="Data sets that versions were trained or evaluated on.",
    examples="""
    chopmark dataset list
    chopmark dataset get transactions
    chopmark impact dataset:transactions
    """,
)


def _rows(record: DatasetRecord) -> str:
    return "" if record.dataset.row_count is None else f"{record.dataset.row_count:,}"


_COLUMNS = (
    Column("NAME", lambda r: r.name),
    Column("WHICH", lambda r: r.which, whole=True),
    Column("ROWS", _rows, right=True),
    Column("KNOWN SINCE (UTC)", lambda r: stamp(r.at), whole=True),
)


@dataset.command(
    "list",
    examples="""
    chopmark dataset list
    chopmark dataset list trans --json
    """,
)
@click.argument("contains", required=False, default="", metavar="[TEXT]", help="Only names that contain this.")
@limit_option()
@cursor_option()
@pass_session
def list_datasets(session: Session, contains: str, limit: int, cursor: str) -> None:
    """List data sets by name."""
    page = session.registry().lineage.datasets(contains, limit=limit, cursor=cursor)
    session.output.page(page, _COLUMNS, name=lambda r: r.node, cursor=page.cursor, empty="No data sets found.")


@dataset.command(
    "get",
    examples="""
    chopmark dataset get transactions
    chopmark dataset get sha256:ab12cd --json     as many digits as tell it apart
    """,
)
@click.argument("name", metavar="NAME", help="Its name, or the digits of its digest.")
@pass_session
def get(session: Session, name: str) -> None:
    """Show a data set as it was described when a version was first trained or evaluated on it."""
    found = session.registry().lineage.dataset(name)
    described = found.dataset
    facts: list[Fact] = [
        ("digest", described.digest),
        ("uri", described.uri),
        ("version", described.version),
        ("split", described.split),
        ("rows", _rows(found)),
        ("columns", ", ".join(column.name for column in described.columns)),
        ("known since", when(found.at)),
    ]
    session.output.record(found, name=found.node, title=found.name, facts=facts)

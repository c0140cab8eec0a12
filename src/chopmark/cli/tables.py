"""Tables: aligned plain columns, or drawn by rich when a person looks at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TextIO

from chopmark.cli.words import plain

__all__ = ["Column", "plain_table", "print_table"]

_GAP = "  "


class Column(NamedTuple):
    """One column.

    Attributes
    ----------
    title
        Its heading.
    cell
        Text of an item.
    right
        Whether it is aligned to the right, for numbers.
    whole
        Whether its cells are never folded, for what gets copied or read at a glance.
    """

    title: str
    cell: Callable[[Any], str]
    right: bool = False
    whole: bool = False


def print_table(items: Sequence[Any], columns: Sequence[Column], stream: TextIO) -> None:
    """Print items as rows; a column that is empty in all rows is left out."""
    cells = [[plain(c.cell(item)) for c in columns] for item in items]
    kept = [i for i in range(len(columns)) if any(row[i] for row in cells)]
    shown = [columns[i] for i in kept]
    rows = [[row[i] for i in kept] for row in cells]
    if stream.isatty():
        _print_rich(shown, rows, stream)
    else:
        stream.write(plain_table(shown, rows))


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Text of a table in aligned columns, nothing cut, one line a row (line ends become blanks)."""
    table = [[c.title for c in columns], *([cell.replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
    lines = (
        _GAP.join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in table
    )
    return "".join(line + "\n" for line in lines)


def _print_rich(columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=column.whole,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=stream, highlight=False).print(table)

"""Tables: aligned plain columns, or drawn by rich when a person looks at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TextIO

from chopmark.cli.words import plain

__all__ = ["Column", "fitted_widths", "plain_table", "print_table"]

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
        Whether its cells are folded last, for what gets copied or read at a glance.
    narrow
        Text of an item on a terminal that is narrower than the table; a column without any is
        left out there. None: the same.
    """

    title: str
    cell: Callable[[Any], str]
    right: bool = False
    whole: bool = False
    narrow: Callable[[Any], str] | None = None


def print_table(items: Sequence[Any], columns: Sequence[Column], stream: TextIO) -> None:
    """Print items as rows; a column that is empty in all rows is left out."""
    if not stream.isatty():
        stream.write(plain_table(*_filled(items, columns)))
        return
    from shutil import get_terminal_size

    width = get_terminal_size().columns
    shown, rows = _filled(items, columns)
    if sum(_natural_widths(shown, rows)) + len(_GAP) * (len(shown) - 1) > width:
        shown, rows = _filled(items, [c._replace(cell=c.narrow or c.cell) for c in columns])
    _print_rich(shown, rows, stream, width)


def _filled(items: Sequence[Any], columns: Sequence[Column]) -> tuple[list[Column], list[list[str]]]:
    cells = [[plain(c.cell(item)) for c in columns] for item in items]
    kept = [i for i in range(len(columns)) if any(row[i] for row in cells)]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in cells]


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


def fitted_widths(natural: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Widths of columns that fit into a width together.

    The widest gives way first, none below its ``least`` while another still can; after that
    cells are folded within a word, which is better than cutting them.
    """
    widths = [min(n, width) for n in natural]
    for floors in (least, [1] * len(widths)):
        while sum(widths) > width:
            wide = [i for i in range(len(widths)) if widths[i] > floors[i]]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _natural_widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_cells, _lines(i, columns, rows))) for i in range(len(columns))]


def _least_widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """Of each column the width that folds no word, or no cell where cells stay whole."""
    return [
        max(_cells(part) for line in _lines(i, columns, rows) for part in ([line] if c.whole else line.split() or [""]))
        for i, c in enumerate(columns)
    ]


def _lines(i: int, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    return [columns[i].title, *(line for row in rows for line in row[i].split("\n"))]


def _cells(text: str) -> int:
    """Places that a text takes on a terminal; some characters take two."""
    from rich.cells import cell_len

    return cell_len(text)


def _print_rich(columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: TextIO, width: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, len(_GAP), 0, 0))
    room = max(width - len(_GAP) * (len(columns) - 1), len(columns))
    widths = fitted_widths(_natural_widths(columns, rows), _least_widths(columns, rows), room)
    for column, cells in zip(columns, widths, strict=True):
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold", width=cells)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=stream, highlight=False, width=width).print(table)

"""Answers on standard output, words about them on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from chopmark.cli.tables import Column, print_table
from chopmark.cli.words import plain

__all__ = ["Fact", "Output", "complain", "note"]

Fact = tuple[str, str]
"""What a fact is called, and the fact; one that is empty is not printed."""


class Output:
    """Prints answers the way that was asked for.

    Parameters
    ----------
    as_json
        One JSON document.
    quiet
        Only references (or names), one a line.
    dry_run
        Mark records as what would be: ``dry_run`` in the JSON document, else words on standard error.
    """

    def __init__(self, *, as_json: bool, quiet: bool, dry_run: bool = False) -> None:
        self._dry_run = dry_run
        self._as_json = as_json
        self._quiet = quiet

    def record(self, record: Any, *, name: str, title: str = "", facts: Iterable[Fact] = ()) -> None:
        """Print one record.

        Parameters
        ----------
        record
            What ``--json`` prints.
        name
            What ``--quiet`` prints.
        title, facts
            What people read.
        """
        if self._as_json:
            self._json(_marked(record) if self._dry_run else record)
            return
        if self._quiet:
            self._line(name)
        else:
            self._line(click.style(plain(title or name), bold=True))
            self._facts([(what, plain(fact)) for what, fact in facts if fact.strip()])
        if self._dry_run:
            click.echo("dry run: nothing was changed", err=True)

    def page(
        self,
        items: Sequence[Any],
        columns: Sequence[Column],
        *,
        name: Callable[[Any], str],
        cursor: str = "",
        empty: str = "Nothing found.",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Print a list; ``cursor`` is where it goes on, ``empty`` what is said of an empty one.

        ``more`` stands beside the items in the JSON document and nowhere else.
        """
        if self._as_json:
            self._json({"items": list(items), "cursor": cursor, **(more or {})})
            return
        if self._quiet:
            for item in items:
                self._line(name(item))
        elif items:
            print_table(items, columns, sys.stdout)
        else:
            note("None found so far." if cursor else empty)
        if cursor:
            note(f"There are more: repeat with --cursor {cursor}")

    def text(self, text: str, *, record: Any) -> None:
        """Print one line of text, or the record that says the same."""
        if self._as_json:
            self._json(record)
        else:
            self._line(plain(text))

    def _json(self, record: Any) -> None:
        from chopmark.base.jsons import pretty

        self._line(pretty(record))

    def _facts(self, facts: Sequence[Fact]) -> None:
        width = max((len(what) for what, _ in facts), default=0)
        indent = " " * (width + 4)
        for what, fact in facts:
            self._line(f"  {what.ljust(width)}  {_indented(fact, indent)}")

    @staticmethod
    def _line(text: str) -> None:
        click.echo(text)


def _indented(text: str, indent: str) -> str:
    """Lines of a text below each other; on a terminal none longer than it, unless one word is."""
    lines = text.split("\n")
    if sys.stdout.isatty():
        from shutil import get_terminal_size
        from textwrap import wrap

        room = max(get_terminal_size().columns - len(indent), 1)
        lines = [
            part for line in lines for part in wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]
        ]
    return f"\n{indent}".join(lines)


def _marked(record: Any) -> dict[str, Any]:
    from chopmark.base.jsons import decode, encode

    return {**decode(encode(record), dict[str, Any]), "dry_run": True}


def note(text: str) -> None:
    """Say something on standard error that is no answer, after what was answered."""
    sys.stdout.flush()
    click.echo(f"note: {plain(text)}", err=True)


def complain(message: str, hint: str = "") -> None:
    """Say on standard error what went wrong, and what to do next."""
    click.echo(click.style("error: ", fg="red") + plain(message), err=True)
    if hint:
        # A hint of several lines points at a place in the one above; a word before the first would shift it.
        click.echo(plain(hint) if "\n" in hint else f"hint: {plain(hint)}", err=True)

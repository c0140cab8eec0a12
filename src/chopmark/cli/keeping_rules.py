"""Options that say which versions are kept, for models and projects alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from chopmark.cli.options import option
from chopmark.domain.retention import Retention

__all__ = ["retention_of", "retention_options", "retention_words"]


def retention_options(none_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--keep-newest``, ``--keep-days``, ``--keep-used-days`` and ``--no-retention``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed(
            (
                option("--keep-newest", type=int, metavar="N", help="A collection keeps the newest N versions."),
                option("--keep-days", type=int, metavar="N", help="It keeps what was made within N days."),
                option("--keep-used-days", type=int, metavar="N", help="It keeps what was loaded within N days."),
                option("--no-retention", is_flag=True, help=none_text),
            )
        ):
            function = each(function)
        return function

    return decorate


def retention_of(given: dict[str, Any]) -> tuple[bool, Retention | None]:
    """Take the options out of those given: whether one was, and the rules they make (None for ``--no-retention``)."""
    newest, days, used = given.pop("keep_newest"), given.pop("keep_days"), given.pop("keep_used_days")
    none = given.pop("no_retention")
    has_rule = any(rule is not None for rule in (newest, days, used))
    if none and has_rule:
        raise click.UsageError("Give rules or --no-retention, not both.")
    if has_rule:
        return True, Retention(newest=newest, days=days, used_days=used)
    return none, None


def retention_words(retention: Retention | None) -> str:
    """Rules for people; empty without."""
    if retention is None:
        return ""
    return repr(retention).strip("<>")

"""Arguments and options that several commands share, and how their values are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chopmark.cli.command import Option, set_flag
from chopmark.cli.completion_items import complete_alias, complete_model, complete_reference, complete_stage
from chopmark.cli.session import Session

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "alias_argument",
    "cursor_option",
    "deleted_option",
    "dry_run_option",
    "force_option",
    "json_value",
    "limit_option",
    "mapping",
    "model_argument",
    "option",
    "pairs_option",
    "parsed_time",
    "pass_session",
    "reason_option",
    "reference_argument",
    "stage_argument",
    "yes_option",
]

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

pass_session = click.make_pass_decorator(Session, ensure=True)

REFERENCE_HELP = "Which version: fraud, fraud:7, fraud:^1.4, fraud@champion, fraud#production …"


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """An option, in a ``section`` of the help."""
    return click.option(*names, cls=Option, **attributes)


def reference_argument(name: str = "ref", text: str = REFERENCE_HELP, *, required: bool = True) -> Callable[[F], F]:
    """A reference to a version."""
    metavar = name.upper() if required else f"[{name.upper()}]"
    return click.argument(name, metavar=metavar, required=required, help=text, shell_complete=complete_reference)


def model_argument(name: str = "model", *, required: bool = True, text: str = "") -> Callable[[F], F]:
    """The name of a model."""
    return click.argument(
        name,
        metavar=name.upper() if required else f"[{name.upper()}]",
        required=required,
        help=text or "A model: fraud, or risk/fraud in the project risk.",
        shell_complete=complete_model,
    )


def alias_argument() -> Callable[[F], F]:
    """An alias with its model."""
    return click.argument(
        "alias", metavar="ALIAS", help="Written with its model: fraud@champion.", shell_complete=complete_alias
    )


def stage_argument() -> Callable[[F], F]:
    """A stage."""
    return click.argument(
        "stage", metavar="STAGE", help="development, staging, canary or production.", shell_complete=complete_stage
    )


def reason_option(*, required: bool = False) -> Callable[[F], F]:
    """Why; kept in the history and the audit."""
    if required:
        return option("--reason", metavar="TEXT", required=True, help="Why; kept in the audit.")
    return option("--reason", metavar="TEXT", default="", help="Why; kept in the audit.")


def force_option(text: str) -> Callable[[F], F]:
    """Do it although something stands in the way."""
    return option("--force", is_flag=True, help=text)


def dry_run_option() -> Callable[[F], F]:
    """Rehearse: the session's registry undoes what the command does, and answers say so."""
    return option(
        "--dry-run",
        is_flag=True,
        expose_value=False,
        callback=set_flag,
        help="Do it and undo it: the same answer or refusal, and nothing is changed.",
    )


def yes_option() -> Callable[[F], F]:
    """Do not ask."""
    return option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")


def deleted_option(text: str) -> Callable[[F], F]:
    """Soft-deleted ones."""
    return option("--deleted", is_flag=True, help=text)


def limit_option() -> Callable[[F], F]:
    """Size of a page."""
    return option("--limit", type=int, default=50, metavar="N", help="Entries of a page, at most 1,000.  [50]")


def cursor_option() -> Callable[[F], F]:
    """Where a list goes on."""
    return option("--cursor", default="", metavar="TEXT", help="Go on where the page before ended.")


def pairs_option(
    flag: str, text: str, read: Callable[[str], Any] = str, *, metavar: str = "KEY=VALUE", **attributes: Any
) -> Callable[[F], F]:
    """An option given as ``key=value``, as often as wanted; the command gets a dictionary."""

    def parsed(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
        return mapping(values, read, ctx, param)

    return option(flag, multiple=True, metavar=metavar, callback=parsed, help=text, **attributes)


def mapping(
    texts: tuple[str, ...], read: Callable[[str], Any], ctx: click.Context, param: click.Parameter
) -> dict[str, Any]:
    """Texts ``key=value`` as a dictionary, each value read by ``read``.

    Raises
    ------
    click.BadParameter
        When there is no ``=``, a value cannot be read, or a key is given twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, sign, rest = text.partition("=")
        if not sign or not key:
            msg = f"{text!r} is not of the form KEY=VALUE."
            raise click.BadParameter(msg, ctx, param)
        if key in found:
            msg = f"{key!r} is given twice."
            raise click.BadParameter(msg, ctx, param)
        try:
            found[key] = read(rest)
        except ValueError as error:
            msg = f"{key} is {rest!r}, which is not a number."
            raise click.BadParameter(msg, ctx, param) from error
    return found


def json_value(text: str) -> Any:
    """A value as JSON where it is JSON (``3``, ``true``, ``[1,2]``), else the text itself."""
    import msgspec

    try:
        found = msgspec.json.decode(text)  # noqa: TID251 - no type is read
    except msgspec.DecodeError:
        return text
    # What overflows a float is not the number that was typed.
    return text if isinstance(found, float) and not math.isfinite(found) else found


def parsed_time(text: str | None) -> datetime | None:
    """A time as people type it; None stays None."""
    if text is None:
        return None
    from chopmark.base.clock import parse_time

    return parse_time(text)

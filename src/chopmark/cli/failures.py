"""Exit codes, and how an error is told: one place for all commands."""

from __future__ import annotations

import errno
import traceback

import click

from chopmark.cli.output import complain
from chopmark.errors import (
    ChopmarkError,
    Conflict,
    Denied,
    GateRefused,
    IntegrityFailure,
    InvalidRequest,
    NotFound,
    TimedOut,
    Unavailable,
)

__all__ = ["BROKEN_PIPE", "FAILED", "INTEGRITY", "INTERRUPTED", "exit_code", "tell", "tell_usage"]

FAILED = 1
USAGE = 2
INTEGRITY = 6
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE

_CODES: tuple[tuple[type[ChopmarkError], int], ...] = (
    (InvalidRequest, USAGE),
    (NotFound, 3),
    (Conflict, 4),
    (Denied, 5),
    (IntegrityFailure, INTEGRITY),
    (GateRefused, 7),
    (TimedOut, 9),  # before its base
    (Unavailable, 8),
)


def exit_code(error: BaseException) -> int:
    """Exit code of an error: what a script can do about it."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def tell(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Print an error, and give back its exit code.

    Words go to standard error; with ``as_json`` the problem also goes to standard output, with
    the fields ``code``, ``message``, ``hint`` and ``details``.
    """
    code, message, hint, details = _problem(error)
    _print(code, message, hint, details, as_json=as_json)
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    return exit_code(error)


def tell_usage(error: click.UsageError, *, as_json: bool) -> int:
    """Print what is wrong with a command line."""
    message = error.format_message()
    asked = error.ctx.command_path if error.ctx is not None else "chopmark"
    _print("invalid_request", message, f"See how it is used: {asked} --help", {}, as_json=as_json)
    return USAGE


def _problem(error: Exception) -> tuple[str, str, str, dict[str, object]]:
    if isinstance(error, ChopmarkError):
        return error.code, error.message, error.hint, error.details
    if isinstance(error, OSError):
        return "error", _system_words(error), "", {}
    message = f"Unexpected {type(error).__name__}: {error}"
    return "error", message, "This is a fault of the program. --debug shows where; please report it.", {}


def _system_words(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"The disk is full: {error}."
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "") + "."


def _print(code: str, message: str, hint: str, details: dict[str, object], *, as_json: bool) -> None:
    complain(message, hint)
    if as_json:
        from chopmark.base.jsons import pretty

        click.echo(pretty({"code": code, "message": message, "hint": hint, "details": details}))

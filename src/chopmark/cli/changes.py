"""What commands that change things have in common: asking before, and telling after."""

from __future__ import annotations

import sys

import click

from chopmark.cli.session import Session
from chopmark.cli.version_view import version_line
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest
from chopmark.ops.results import Done

__all__ = ["confirm_purge", "show_done", "show_version"]


def show_version(session: Session, version: Version) -> None:
    """Print a version that was just changed, on one line."""
    session.output.record(version, name=version.ref, title=version_line(version))


def show_done(session: Session, done: Done) -> None:
    """Print what was removed."""
    session.output.record(done, name=done.ref, title=f"{done.ref}: {done.message}.")


def confirm_purge(what: str, *, yes: bool) -> None:
    """Ask before something is gone for good.

    Raises
    ------
    InvalidRequest
        When there is nobody to ask.
    click.Abort
        When the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        msg = f"Purging {what} cannot be undone, and there is no terminal to ask at."
        raise InvalidRequest(msg, hint="Pass --yes.")
    click.confirm(f"Purge {what}? This cannot be undone.", abort=True, err=True)

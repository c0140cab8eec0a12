"""``chopmark doctor``: what is well, what is not, and what to do about it."""

from __future__ import annotations

import shutil
import sys
import textwrap

import click

from chopmark.cli.check import Check
from chopmark.cli.checks import checks
from chopmark.cli.command import command
from chopmark.cli.failures import FAILED
from chopmark.cli.options import pass_session
from chopmark.cli.output import complain
from chopmark.cli.session import Session
from chopmark.cli.words import count, plain

__all__ = ["doctor"]

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


def _line(check: Check) -> str:
    status = click.style(check.status.ljust(4), fg=_COLORS[check.status])
    texts = [plain(check.finding), *([f"→ {plain(check.advice)}"] if check.advice else [])]
    return f"{status}  {check.name.ljust(10)}  " + "\n".join(map(_folded, texts)).lstrip()


def _folded(text: str) -> str:
    """The text below its column: folded for a terminal, whole for a file."""
    indent = " " * 18
    if not sys.stdout.isatty():
        return indent + text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


@command(
    "doctor",
    examples="""
    chopmark doctor
    chopmark doctor --json | jq '.items[] | select(.status != "ok")'
    """,
)
@click.pass_context
@pass_session
def doctor(session: Session, ctx: click.Context) -> None:
    """Check the installation and the registry.

    Each line is ok, warn or fail, with what to do. Exits with 1 when something fails. Where there
    is no registry yet, it says so and makes none.
    """
    found = list(checks(session))
    if session.json or session.quiet:
        wanted = found if session.json else [c for c in found if c.status != "ok"]
        session.output.page(wanted, (), name=lambda c: c.name)
    else:
        for check in found:
            click.echo(_line(check))
    failed = [c for c in found if c.status == "fail"]
    if failed:
        complain(f"{count(len(failed), 'check')} failed: {', '.join(c.name for c in failed)}.")
        ctx.exit(FAILED)

"""What takes room, what may go, and whether all is whole: gc, du, why, fsck."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from chopmark.cli.changes import confirm_purge
from chopmark.cli.command import command
from chopmark.cli.options import dry_run_option, model_argument, option, pass_session, yes_option
from chopmark.cli.output import Fact, complain, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count, few, size, when

if TYPE_CHECKING:
    from collections.abc import Callable

    from chopmark.ops.storage import BlobUser, CheckPage, Why
    from chopmark.sdk.storage import CheckReport

__all__ = ["du", "fsck", "gc", "why"]

INTEGRITY = 6
_UNITS = {"h": 1.0, "d": 24.0, "m": 1 / 60, "s": 1 / 3600}
_DOES = {"version": "delete", "purge": "purge", "manifest": "row", "dataset": "row", "blob": "free", "leftover": "free"}

_GARBAGE = (
    Column("DOES", lambda i: _DOES[i.kind]),
    Column("WHAT", lambda i: i.what, whole=True, narrow=lambda i: i.what[:19]),
    Column("BYTES", lambda i: size(i.size_bytes) if i.size_bytes else "", right=True),
    Column("WHY", lambda i: i.why),
)

_USAGE = (
    Column("NAME", lambda u: u.name, whole=True),
    Column("ALONE", lambda u: size(u.unique_bytes), right=True),
    Column("SHARED", lambda u: size(u.shared_bytes) if u.shared_bytes else "", right=True),
    Column("LOGICAL", lambda u: size(u.logical_bytes), right=True),
    Column("VERSIONS", lambda u: f"{u.versions:,}", right=True),
    Column("DELETED", lambda u: f"{u.deleted_versions:,}" if u.deleted_versions else "", right=True),
    Column("FILES", lambda u: f"{u.files:,}", right=True),
)

_FINDINGS = (
    Column("SEVERITY", lambda f: f.severity),
    Column("CODE", lambda f: f.code, whole=True),
    Column("WHERE", lambda f: f.where, whole=True, narrow=lambda f: f.where[:40]),
    Column("WHAT", lambda f: f.what),
    Column("NEXT STEP", lambda f: f.next_step),
)


def _hours(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """``24h``, ``90m``, ``2d`` or a number of hours."""
    if text is None:
        return None
    unit = _UNITS.get(text[-1:], 0.0)
    try:
        hours = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= 24 * 365 * 10:
        msg = f"{text!r} is not a time such as 24h, 90m or 2d."
        raise click.BadParameter(msg, ctx, param)
    return hours


@command(
    "gc",
    examples="""
    chopmark gc --dry-run
    chopmark gc --yes
    chopmark gc --grace 2h --yes
    """,
)
@option(
    "--grace",
    metavar="TIME",
    default=None,
    callback=_hours,
    help="Leave alone what was put so short ago: 24h, 90m, 2d.  [the setting gc_grace_hours: 24h]",
)
@dry_run_option()
@yes_option()
@pass_session
def gc(session: Session, grace: float | None, yes: bool) -> None:
    """Free what retention drops and nothing refers to.

    Versions that no retention rule keeps are deleted; those deleted longer ago than the setting purge_after_days are
    purged; bytes become free when no version refers to them. With --dry-run it lists everything with its bytes and why.
    """
    registry = session.registry()
    if session.dry_run:
        items = list(registry.storage.garbage(grace_hours=grace))
        total = sum(i.size_bytes for i in items)
        session.output.page(items, _GARBAGE, name=lambda i: i.what, empty="There is nothing to free.")
        note(f"dry run: nothing was changed; {size(total)} would be freed")
        return
    if not yes:
        purged = sum(1 for i in registry.storage.garbage(grace_hours=grace) if i.kind != "version")
        if purged:
            confirm_purge(f"{count(purged, 'thing')} (see them with --dry-run)", yes=yes)
    done = registry.storage.collect(grace_hours=grace)
    facts: list[Fact] = [(f"{kind}s", f"{number:,}") for kind, number in done.counts.items()]
    session.output.record(done, name=str(done.size_bytes), title=f"freed {size(done.size_bytes)}", facts=facts)


@command(
    "du",
    examples="""
    chopmark du
    chopmark du fraud
    chopmark du --by project --json
    """,
)
@model_argument(required=False, text="Show the versions of this model.")
@option("--by", type=click.Choice(["project", "model"]), default="model", help="What to add up.  [model]")
@pass_session
def du(session: Session, model: str | None, by: Any) -> None:
    """Say what takes room: largest first.

    ALONE is what nobody else holds: what purging it would free. SHARED bytes are held by others too. LOGICAL is what
    downloading each version would take. Deleted versions hold their bytes until they are purged.
    """
    storage = session.registry().storage
    items: list[Any] = []
    cursor = ""
    while True:
        page = storage.usage(
            "version" if model else by, model=model, project=session.chosen_project(), limit=1000, cursor=cursor
        )
        items += page
        cursor = page.cursor
        if not cursor:
            break
    items.sort(key=lambda u: (-u.unique_bytes - u.shared_bytes, u.name))
    session.output.page(items, _USAGE, name=lambda u: u.name, empty="Nothing is stored yet.")
    if not (model or session.json or session.quiet):
        found = storage.totals()
        stored = f"{size(found.stored_bytes)} in {count(found.blobs, 'blob')}"
        raw = f" ({size(found.raw_bytes)} uncompressed)" if found.raw_bytes != found.stored_bytes else ""
        garbage = f", of which 'chopmark gc' would free {size(found.garbage_bytes)}" if found.garbage_bytes else ""
        note(f"The store holds {stored}{raw}{garbage}.")


@command(
    "why",
    examples="""
    chopmark why sha256:4834945f7bf9
    """,
)
@click.argument("digest", metavar="DIGEST", help="Of a file or a manifest; eight digits or more of it.")
@pass_session
def why(session: Session, digest: str) -> None:
    """Say which versions refer to the bytes of a digest, or that nothing does."""
    found = session.registry().storage.why(digest)
    session.output.record(found, name=found.digest, title=f"{found.digest} ({found.kind})", facts=_why_facts(found))


def _why_facts(found: Why) -> list[Fact]:
    free = f"since {when(found.collectable_at)}" if found.collectable_at else ""
    if found.kind == "manifest":
        held = ""
    elif found.size_bytes is None or found.stored_bytes is None:
        held = "missing from the store"
    else:
        held = f"{size(found.size_bytes)}, {size(found.stored_bytes)} in the store, put {when(found.modified_at)}"
    return [
        ("bytes", held),
        ("used by", "\n".join(_user(u) for u in found.users) or "nothing"),
        ("free", f"a collection may free it {free}" if free else ""),
    ]


def _user(user: BlobUser) -> str:
    where = f" as {few(user.paths, len(user.paths))} ({', '.join(user.roles)})" if user.paths else ""
    deleted = f", deleted {when(user.deleted_at)}" if user.deleted_at else ""
    return f"{user.ref}{where}{deleted}"


@command(
    "fsck",
    examples="""
    chopmark fsck
    chopmark fsck --fast --json
    """,
)
@option("--fast", is_flag=True, help="Compare presence and sizes of bytes, without reading them.")
@pass_session
def fsck(session: Session, fast: bool) -> int:
    """Compare rows with each other, the audit and the bytes; changes nothing.

    Exits with 6 when something is lost or was changed behind the registry's back. Each finding says what to do.
    """
    registry = session.registry()
    with ExitStack() as stack:
        told = _bar(stack) if registry.settings.progress == "auto" and sys.stderr.isatty() else None
        report = registry.storage.check(content=not fast, told=told)
    if session.json:
        session.output.text("", record={"ok": report.ok, **_report(report)})
    else:
        session.output.page(report.findings, _FINDINGS, name=lambda f: f.where, empty="All is well.")
        looked = ", ".join(count(number, phase.removesuffix("s")) for phase, number in report.checked.items())
        note(f"Checked {looked}; read {size(report.read_bytes)}.")
    if not report.ok:
        errors = sum(1 for f in report.findings if f.severity == "error")
        if not session.json:
            complain(f"{count(errors, 'error')} found.", "Each finding names its next step.")
        return INTEGRITY
    return 0


def _report(report: CheckReport) -> dict[str, Any]:
    return {"findings": list(report.findings), "checked": report.checked, "read_bytes": report.read_bytes}


def _bar(stack: ExitStack) -> Callable[[CheckPage], None]:
    from rich.console import Console

    status = stack.enter_context(Console(stderr=True).status("Checking …"))
    seen: dict[str, int] = {}
    read_bytes = 0

    def told(page: CheckPage) -> None:
        nonlocal read_bytes
        seen[page.phase] = seen.get(page.phase, 0) + page.checked
        read_bytes += page.read_bytes
        status.update(f"Checking {page.phase}: {seen[page.phase]:,} · {size(read_bytes)} read")

    return told

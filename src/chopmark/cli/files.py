"""Files of a version: listed, downloaded, verified."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from chopmark.cli.command import command
from chopmark.cli.failures import INTEGRITY
from chopmark.cli.options import option, pass_session, reference_argument
from chopmark.cli.output import complain
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.version_view import RUNS_CODE
from chopmark.cli.words import count, size

__all__ = ["Download", "download", "files", "verify"]


class Download(msgspec.Struct, frozen=True):
    """What was written where."""

    ref: str
    digest: str
    directory: str
    file_count: int
    size_bytes: int
    runs_code: bool


_FILES = (
    Column("PATH", lambda f: f.path, whole=True),
    Column("ROLE", lambda f: f.role),
    Column("SIZE", lambda f: size(f.size_bytes), right=True),
    Column("DIGEST", lambda f: f.digest, narrow=lambda f: f"{f.digest[:19]}…"),
)


@command(
    "files",
    examples="""
    chopmark files fraud:4
    chopmark files fraud:4 --manifest --json
    """,
)
@reference_argument()
@option("--manifest", is_flag=True, help="Print the whole manifest, as JSON.")
@pass_session
def files(session: Session, ref: str, manifest: bool) -> None:
    """List the files of a version: path, role, size and digest."""
    registry = session.registry()
    if manifest:
        session.json = True
        session.output.record(registry.files.manifest(ref), name=ref)
        return
    session.output.page(registry.files.list(ref), _FILES, name=lambda f: f.path, empty=f"{ref} has no files.")


@command(
    "download",
    examples="""
    chopmark download fraud@champion ./champion
    """,
)
@reference_argument()
@click.argument(
    "directory",
    type=click.Path(path_type=Path),
    help="A directory that does not exist yet, or is empty.",
)
@pass_session
def download(session: Session, ref: str, directory: Path) -> None:
    """Write the files of a version to a new directory, verified.

    The directory appears whole or not at all.
    """
    registry = session.registry()
    version = registry.get(ref)
    target = registry.files.download(version, directory)
    done = Download(version.ref, version.digest, str(target), version.file_count, version.size_bytes, version.runs_code)
    warned = f", {RUNS_CODE}" if version.runs_code else ""
    title = f"{version.ref} → {target} ({count(done.file_count, 'file')}, {size(done.size_bytes)}{warned})"
    session.output.record(done, name=str(target), title=title)


@command(
    "verify",
    examples="""
    chopmark verify fraud@champion
    chopmark verify fraud:4 && echo intact
    """,
)
@reference_argument()
@click.pass_context
@pass_session
def verify(session: Session, ctx: click.Context, ref: str) -> None:
    """Read every byte of a version again and compare it with its manifest.

    Exits with 6 when anything differs, after listing all that does.
    """
    found = session.registry().files.verify(ref)
    faults = "\n".join(f"{fault.path or 'manifest'}: {fault.reason}" for fault in found.faults)
    verdict = "intact" if found.ok else "NOT intact"
    title = f"{found.ref} {verdict}: {count(found.file_count, 'file')}, {size(found.size_bytes)}, {found.digest}"
    session.output.record(found, name=found.ref, title=title, facts=[("faults", faults)])
    if not found.ok:
        complain(
            f"{count(len(found.faults), 'file')} of {found.ref} differ from what was recorded.",
            "Do not load it. Restore the store from a backup, or register the files again.",
        )
        ctx.exit(INTEGRITY)

"""Whole registries and whole versions: backed up, made again, carried elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from chopmark.cli.changes import show_version
from chopmark.cli.command import command
from chopmark.cli.completion_items import complete_model
from chopmark.cli.options import dry_run_option, option, pass_session, reference_argument
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.words import count, size
from chopmark.ops.keeping import Rebuilt

__all__ = ["backup", "export", "import_file", "rebuild", "show_rebuilt"]


@command(
    "backup",
    examples="""
    chopmark backup /mnt/backups/models
    chopmark backup s3://backups/models
    """,
)
@click.argument("place", help="A directory, or s3://bucket/prefix, gs://… or az://….")
@option("--verify", is_flag=True, help="Read every byte of the backup, and copy anew what is damaged.")
@pass_session
def backup(session: Session, place: str, verify: bool) -> None:
    """Copy the whole registry to another place, or bring the copy there up to date.

    Only what is not there yet is copied. The copy is whole at every moment; it is restored with
    `chopmark restore --from PLACE`. Run it again, as often as you like.
    """
    made = session.registry().storage.backup(place, verify=verify)
    facts: list[Fact] = [
        ("holds", f"{count(made.versions, 'version')}, {count(made.blobs, 'blob')}, {size(made.size_bytes)}"),
        ("as of event", f"{made.events:,} ({made.head})"),
        ("copied now", f"{count(made.copied_blobs, 'blob')}, {size(made.copied_bytes)}"),
    ]
    session.output.record(made, name=made.head, title=f"Backup in {made.place}", facts=facts)


def show_rebuilt(session: Session, rebuilt: Rebuilt, title: str) -> None:
    """Print what is there again."""
    facts: list[Fact] = [
        ("models", f"{rebuilt.models:,}"),
        ("versions", f"{rebuilt.versions:,}"),
        ("events", f"{rebuilt.events:,}, the last of them {rebuilt.head}"),
        ("left out", "\n".join(rebuilt.faults)),
    ]
    session.output.record(rebuilt, name=rebuilt.registry, title=title, facts=facts)
    if rebuilt.faults:
        note("Not everything could be put back. See what is left: chopmark fsck")
    else:
        note("Check that every byte is there, too: chopmark fsck")


@command(
    "rebuild",
    examples="""
    chopmark rebuild
    chopmark rebuild --partial          when records are damaged
    chopmark rebuild --records          when the database is well and they are not
    """,
)
@option("--registry", default="", metavar="ID", help="Which one, when the store holds records of several.")
@option("--partial", is_flag=True, help="Go on with what is left when records are missing or damaged.")
@option("--records", is_flag=True, help="The other way round: write the records anew from the database.")
@dry_run_option()
@pass_session
def rebuild(session: Session, registry: str, partial: bool, records: bool) -> None:
    """Make a lost database again, from the records beside the blobs.

    Projects, models, versions, aliases, histories, evaluations, lineage, trust and the audit come
    back as they were. Works on an empty database only; for PostgreSQL make the tables first with
    `chopmark db upgrade`.
    """
    if records:
        if session.dry_run:
            raise click.UsageError("Writing the records anew changes nothing of the registry; it has no dry run.")
        events = session.registry().storage.record_again()
        session.output.text(f"The records tell of {count(events, 'event')} again.", record={"events": events})
        return
    from chopmark.sdk.opening import rebuild_registry

    rebuilt = rebuild_registry(**session.arguments, registry=registry, partial=partial, dry_run=session.dry_run)
    show_rebuilt(session, rebuilt, "The catalog was made again")


@command(
    "export",
    examples="""
    chopmark export fraud@champion champion.chopmark
    chopmark export fraud:3 exports        into exports/fraud-3.chopmark
    """,
)
@reference_argument()
@click.argument("file", type=click.Path(path_type=Path), help="The file to write, or a directory to put it in.")
@option("--force", is_flag=True, help="Replace a file that is there.")
@pass_session
def export(session: Session, ref: str, file: Path, force: bool) -> None:
    """Write a version to one file that another registry can import.

    The file is a ZIP archive: what the version is, its manifest, and its bytes by their hash. Tell
    whoever imports it the SHA-256 that is printed, by another way than the file goes.
    """
    done = session.registry().files.export(ref, file, force=force)
    title = f"{done.ref} → {done.file} ({count(done.file_count, 'file')}, {size(done.size_bytes)})"
    session.output.record(
        done, name=done.file, title=title, facts=[("digest", done.digest), ("sha256 of the file", done.sha256)]
    )


@command(
    "import",
    examples="""
    chopmark import champion.chopmark
    chopmark import champion.chopmark --model risk/fraud
    chopmark import champion.chopmark --sha256 4be1...       as the export printed it
    """,
)
@click.argument("file", type=click.Path(path_type=Path), help="The file that an export wrote.")
@option(
    "--model", metavar="MODEL", shell_complete=complete_model, help="Name to register it under; its own by default."
)
@option("--semver", default="", metavar="SEMVER", help="Semantic version to give it; its own by default.")
@option("--allow-twin", is_flag=True, help="Add it even when the same content is here already.")
@option("--sha256", default="", metavar="HEX", help="SHA-256 of the whole file, as the export printed it.")
@dry_run_option()
@pass_session
def import_file(session: Session, file: Path, model: str | None, semver: str, allow_twin: bool, sha256: str) -> None:
    """Register the version of a file that was exported, here or elsewhere.

    Every byte is checked against the digest. What is said of the version (metrics, tags, texts,
    evaluations) is as good as the way the file came: compare its SHA-256 with what the export
    printed. Number, stage, aliases and trust do not come along: what runs code is loaded only
    after somebody here trusts it.
    """
    database = session.database_file()
    if database is not None and not database.exists():
        from chopmark.sdk.portable import check_file

        check_file(file, sha256)  # before a registry is made for it
    files = session.registry(create=True).files
    show_version(session, files.import_file(file, model=model, semver=semver, allow_twin=allow_twin, sha256=sha256))

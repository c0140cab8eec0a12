"""Taking versions out: delete, restore, purge."""

from __future__ import annotations

import click

from chopmark.cli.changes import confirm_purge, show_done, show_version
from chopmark.cli.command import command
from chopmark.cli.keeping import show_rebuilt
from chopmark.cli.options import (
    dry_run_option,
    force_option,
    option,
    pass_session,
    reason_option,
    reference_argument,
    yes_option,
)
from chopmark.cli.session import Session

__all__ = ["delete", "purge", "restore"]


@command(
    "delete",
    examples="""
    chopmark delete fraud:3 --dry-run
    chopmark delete fraud:3 --reason "trained on the wrong month"
    """,
)
@reference_argument()
@reason_option()
@force_option("Delete it although it is used; needs a reason. Its aliases are removed.")
@dry_run_option()
@pass_session
def delete(session: Session, ref: str, reason: str, force: bool) -> None:
    """Soft-delete a version; it can be restored.

    A version that is in production or canary, that an alias points to or that another version
    needs is not deleted; the refusal says by whom it is used.
    """
    show_version(session, session.registry().versions.delete(ref, reason=reason, force=force))


@command(
    "restore",
    examples="""
    chopmark list fraud --deleted
    chopmark restore fraud:3
    chopmark --at new-place restore --from /mnt/backups/models
    """,
)
@reference_argument(text="A soft-deleted version, by number, SemVer or digest.", required=False)
@option(
    "--from",
    "backup",
    default="",
    metavar="PLACE",
    help="Restore a whole registry from its backup, into an empty place.",
)
@option("--registry", default="", metavar="ID", help="Which one, when the backup holds several.")
@reason_option()
@dry_run_option()
@pass_session
def restore(session: Session, ref: str | None, backup: str, registry: str, reason: str) -> None:
    """Bring a soft-deleted version back, in the stage it was in; or a registry from its backup.

    With `--from` the whole registry comes back as it was when the backup was made, into the place
    that `--at` or the settings name, which must be empty.
    """
    if (ref is None) is (not backup):
        msg = "Say what to restore: a version (REF), or a registry (--from PLACE)."
        raise click.UsageError(msg)
    if backup:
        from chopmark.sdk.restoring import restore_registry

        if session.dry_run:
            raise click.UsageError("A restore from a backup cannot be rehearsed; it writes into an empty place only.")
        rebuilt = restore_registry(backup, registry=registry, **session.arguments)
        show_rebuilt(session, rebuilt, f"Restored from {backup}")
        return
    assert ref is not None  # noqa: S101 - checked above
    show_version(session, session.registry().versions.restore(ref, reason=reason))


@command(
    "purge",
    examples="""
    chopmark purge fraud:3 --reason "personal data" --dry-run
    chopmark purge fraud:3 --reason "personal data" --yes
    """,
)
@reference_argument(text="A soft-deleted version, by number, SemVer or digest.")
@reason_option(required=True)
@force_option("Purge it although another version needs it.")
@dry_run_option()
@yes_option()
@pass_session
def purge(session: Session, ref: str, reason: str, force: bool, yes: bool) -> None:
    """Remove a soft-deleted version for good.

    Its number is not given again, and the audit keeps what it was. Without --yes it asks, and
    where there is no terminal to ask at, it refuses.
    """
    registry = session.registry()
    version = registry.versions.get(ref, deleted=True)
    if not session.dry_run:
        # Nobody is asked about what would be refused.
        registry.dry_run().versions.purge(version, reason=reason, force=force)
        confirm_purge(f"{version.ref} ({version.semver}, {version.digest[:19]})", yes=yes)
    show_done(session, registry.versions.purge(version, reason=reason, force=force))

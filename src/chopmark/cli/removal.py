"""Taking versions out: delete, restore, purge."""

from __future__ import annotations

from chopmark.cli.command import command
from chopmark.cli.options import (
    dry_run_option,
    force_option,
    pass_session,
    reason_option,
    reference_argument,
    yes_option,
)
from chopmark.cli.plans import Plan, confirm_purge, show_done, show_plan, show_version
from chopmark.cli.session import Session
from chopmark.errors import Conflict

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
def delete(session: Session, ref: str, reason: str, force: bool, dry_run: bool) -> None:
    """Soft-delete a version; it can be restored.

    A version that is in production or canary, that an alias points to or that another version
    needs is not deleted; the refusal says by whom it is used.
    """
    registry = session.registry()
    if dry_run:
        version = registry.get(ref)
        uses = list(registry.versions.uses(version))
        if uses and not force:
            msg = f"{version.ref} is used: " + "; ".join(uses) + "."
            raise Conflict(msg, hint="It would be refused without --force and a reason.", uses=uses)
        aliases = f"; its aliases would be removed: {', '.join(version.aliases)}" if version.aliases else ""
        effect = f"{version.ref} ({version.semver}) would be soft-deleted; it can be restored{aliases}"
        show_plan(session, Plan("version.delete", version.ref, effect, uses))
        return
    show_version(session, registry.versions.delete(ref, reason=reason, force=force))


@command(
    "restore",
    examples="""
    chopmark list fraud --deleted
    chopmark restore fraud:3
    """,
)
@reference_argument(text="A soft-deleted version, by number, SemVer or digest.")
@reason_option()
@dry_run_option()
@pass_session
def restore(session: Session, ref: str, reason: str, dry_run: bool) -> None:
    """Bring a soft-deleted version back, in the stage it was in."""
    registry = session.registry()
    if dry_run:
        version = registry.versions.get(ref, deleted=True)
        if version.deleted_at is None:
            msg = f"{version.ref} is not deleted."
            raise Conflict(msg)
        show_plan(session, Plan("version.restore", version.ref, f"{version.ref} would be back in {version.stage}"))
        return
    show_version(session, registry.versions.restore(ref, reason=reason))


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
def purge(session: Session, ref: str, reason: str, force: bool, dry_run: bool, yes: bool) -> None:
    """Remove a soft-deleted version for good.

    Its number is not given again, and the audit keeps what it was. Without --yes it asks, and
    where there is no terminal to ask at, it refuses.
    """
    registry = session.registry()
    version = registry.versions.get(ref, deleted=True)
    if version.deleted_at is None:
        msg = f"{version.ref} is not deleted; only what was deleted before can be purged."
        raise Conflict(msg, hint=f"First: chopmark delete {version.ref}")
    if dry_run:
        effect = f"{version.ref} ({version.semver}) would be removed for good, unless another version needs it"
        show_plan(session, Plan("version.purge", version.ref, effect))
        return
    confirm_purge(f"{version.ref} ({version.semver}, {version.digest[:19]})", yes=yes)
    show_done(session, registry.versions.purge(version, reason=reason, force=force))

"""Who uses a version: what stands in the way of deleting it."""

from __future__ import annotations

from collections.abc import Container
from uuid import UUID

from chopmark.app.context import Context, resolve
from chopmark.domain.lineage import PARENT_RELATIONS, version_node
from chopmark.domain.versions import Version
from chopmark.ops.requests import ListUses
from chopmark.ops.results import Uses

__all__ = ["IN_USE_HINT", "list_uses", "seen_uses_of", "uses_of"]

IN_USE_HINT = "End those uses first, or pass force with a reason (--force --reason '…')."
_SOMETHING = "something that you may not see"
_SERVING_STAGES = ("production", "canary")


def uses_of(ctx: Context, version: Version, *, ignoring: Container[str] = ()) -> list[str]:
    """Everything that uses a version, in words.

    Parameters
    ----------
    version
        The version, soft-deleted or not.
    ignoring
        References of versions whose use does not count, because they go with it.
    """
    found: list[str] = []
    if version.deleted_at is None:
        if version.stage in _SERVING_STAGES:
            found.append(f"{version.ref} is in {version.stage}")
        found += [f"{version.ref} is the target of the alias {name!r}" for name in version.aliases]
    for user, relation in _dependents(ctx, version):
        if user.ref not in ignoring:
            who = user.ref if ctx.actor.sees(user.project) else _SOMETHING
            found.append(f"{who} {relation} {version.ref}")
    return list(dict.fromkeys(found))


def _dependents(ctx: Context, version: Version) -> list[tuple[Version, str]]:
    node = version_node(version.id)
    relations = [r for r in PARENT_RELATIONS if r != "ensemble_member_of"]
    tx = ctx.whole  # what is used must not be removed, also where one does not see by whom
    nodes = [(e.source, f"is {e.relation.replace('_', ' ')}") for e in tx.lineage.incoming(node, relations)]
    nodes += [(e.target, "has as a member") for e in tx.lineage.outgoing(node) if e.relation == "ensemble_member_of"]
    users = ((tx.versions.by_id(UUID(n.removeprefix("version:"))), words) for n, words in nodes)
    return [(user, words) for user, words in users if user is not None and user.deleted_at is None]


def list_uses(ctx: Context, request: ListUses) -> Uses:
    """Who uses a version, as far as one sees them."""
    version = resolve(ctx, request.ref)
    return Uses(version.ref, seen_uses_of(ctx, version))


def seen_uses_of(ctx: Context, version: Version) -> list[str]:
    """What uses a version, without that of projects which the actor may not read."""
    return [use for use in uses_of(ctx, version) if not use.startswith(_SOMETHING)]

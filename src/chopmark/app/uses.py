"""Who uses a version: what stands in the way of deleting it."""

from __future__ import annotations

from collections.abc import Container
from uuid import UUID

from chopmark.app.context import Context, resolve
from chopmark.domain.lineage import PARENT_RELATIONS, version_node
from chopmark.domain.versions import Version
from chopmark.ops.requests import ListUses
from chopmark.ops.results import Uses

__all__ = ["IN_USE_HINT", "list_uses", "uses_of"]

IN_USE_HINT = "End those uses first, or pass force with a reason (--force --reason '…')."
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
            found.append(f"{user.ref} {relation} {version.ref}")
    return found


def _dependents(ctx: Context, version: Version) -> list[tuple[Version, str]]:
    node = version_node(version.id)
    relations = [r for r in PARENT_RELATIONS if r != "ensemble_member_of"]
    nodes = [(e.source, f"is {e.relation.replace('_', ' ')}") for e in ctx.tx.lineage.incoming(node, relations)]
    nodes += [
        (e.target, "has as a member") for e in ctx.tx.lineage.outgoing(node) if e.relation == "ensemble_member_of"
    ]
    users = ((ctx.tx.versions.by_id(UUID(n.removeprefix("version:"))), words) for n, words in nodes)
    return [(user, words) for user, words in users if user is not None and user.deleted_at is None]


def list_uses(ctx: Context, request: ListUses) -> Uses:
    """Who uses a version."""
    version = resolve(ctx, request.ref)
    return Uses(version.ref, uses_of(ctx, version))

"""Who uses a version: what stands in the way of deleting it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from chopmark.app.context import Context, resolve
from chopmark.app.named_versions import holding_rollouts
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.lineage import PARENT_RELATIONS, version_node
from chopmark.domain.rollouts import Rollout
from chopmark.domain.versions import Version
from chopmark.errors import Conflict
from chopmark.ops.requests import ListUses
from chopmark.ops.results import Uses

__all__ = ["IN_USE_HINT", "list_uses", "refuse_when_served", "seen_uses_of", "uses_of"]

IN_USE_HINT = "End those uses first, or pass force with a reason (--force --reason '…')."
_SOMETHING = "something that you may not see"
_UNSEEN_HINT = "Ask who runs the endpoints of the other projects to let it go first."
_SHOWN = 20
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
    found = [use.words for use in _served(ctx, version, holding_rollouts(ctx.whole))]
    if version.deleted_at is None:
        if version.stage in _SERVING_STAGES:
            found.append(f"{version.ref} is in {version.stage}")
        found += [f"{version.ref} is the target of the alias {name!r}" for name in version.aliases]
    for user, relation in _dependents(ctx, version):
        if user.ref not in ignoring:
            who = user.ref if ctx.actor.sees(user.project) else _SOMETHING
            found.append(f"{who} {relation} {version.ref}")
    return list(dict.fromkeys(found))


def refuse_when_served(ctx: Context, versions: Iterable[Version]) -> None:
    """Refuse to take away what endpoints answer with or ask beside, or a rollout may bring: force does not help, as requests would fail.

    Raises
    ------
    Conflict
        Naming the endpoints and rollouts.
    """
    rollouts = holding_rollouts(ctx.whole)
    found = [use for version in versions for use in _served(ctx, version, rollouts)]
    if found:
        words = [use.words for use in found]
        what = "Requests are answered with it" + (", or may be: " if any(use.is_rollout for use in found) else ": ")
        raise Conflict(what + "; ".join(words[:_SHOWN]) + ".", hint=found[0].hint, uses=words)


class _Served(NamedTuple):
    """A use by which requests are answered, and what ends it."""

    words: str
    hint: str
    is_rollout: bool = False


def _served(ctx: Context, version: Version, rollouts: Mapping[UUID, list[Rollout]]) -> list[_Served]:
    """By rollouts first: they set the endpoint's split again."""
    endpoints = ctx.whole.endpoints.using(version.id, limit=_SHOWN)
    return [
        *(_by_rollout(ctx, version, rollout) for rollout in rollouts.get(version.id, ())),
        *(_by_endpoint(ctx, version, endpoint) for endpoint in endpoints),
    ]


def _by_rollout(ctx: Context, version: Version, rollout: Rollout) -> _Served:
    if not ctx.actor.sees(parse_endpoint(rollout.endpoint_ref).project):
        return _Served(f"{_SOMETHING} uses {version.ref}", _UNSEEN_HINT, is_rollout=True)
    words = f"the rollout of {rollout.candidate.ref} to {rollout.endpoint_ref} needs {version.ref}"
    return _Served(words, f"First: chopmark rollout abort {rollout.endpoint_ref}", is_rollout=True)


def _by_endpoint(ctx: Context, version: Version, endpoint: Endpoint) -> _Served:
    if not ctx.actor.sees(endpoint.project):
        return _Served(f"{_SOMETHING} uses {version.ref}", _UNSEEN_HINT)
    others = [v.version.ref for v in endpoint.variants if v.weight and v.version.id != version.id]
    split = f"chopmark endpoint split {endpoint.ref} {others[0] if others else 'VERSION'}=100"
    hint = f"Split that endpoint otherwise, or delete it, first: {split}"
    return _Served(f"the endpoint {endpoint.ref} uses {version.ref}", hint)


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

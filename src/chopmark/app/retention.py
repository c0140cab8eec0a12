"""Retention as it stands: which versions of a model no rule keeps now, and which of those deleted may be purged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.abc.collection import DueVersion
from chopmark.app.named_versions import holding_rollouts, named_versions
from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.domain.lineage import PARENT_RELATIONS, version_node
from chopmark.domain.retention import Candidate, Dropped, Retention, judge_retention, needed
from chopmark.domain.rollouts import Rollout
from chopmark.domain.versions import Model

__all__ = ["DroppedVersion", "Due", "dropped", "due_versions", "rules_of"]

_MEMBER = "ensemble_member_of"
_ENDPOINTS_TOLD = 5
_TRAFFIC = "traffic"
"""Who needs what endpoints and rollouts name; never the id of a version."""

_CHILD_RELATIONS = tuple(r for r in PARENT_RELATIONS if r != _MEMBER)


class DroppedVersion(NamedTuple):
    """A version that no rule keeps, and why."""

    id: UUID
    ref: str
    number: int
    reason: str


class Due(NamedTuple):
    """Versions deleted long enough ago, by id: those to purge, and those that somebody who stays still needs."""

    going: dict[UUID, DueVersion]
    needed: dict[UUID, DueVersion]


def rules_of(tx: Transaction, model: Model) -> Retention | None:
    """The rules of a model, else of its project; None when neither has one."""
    if model.retention is not None:
        return None if model.retention.keeps_all else model.retention
    project = tx.projects.get(model.project)
    rules = project.rules.retention if project is not None else None
    return None if rules is None or rules.keeps_all else rules


def dropped(tx: Transaction, model: Model, now: datetime) -> list[DroppedVersion]:
    """Versions of a model that no rule keeps, by number. Who needs a version is asked only of those."""
    rules = rules_of(tx, model)
    if rules is None:
        return []
    loads = _last_days(tx, model) if rules.used_days is not None else {}
    rows = tx.collection.candidates(model.id)
    ids = {candidate.ref: version_id for version_id, candidate in rows}
    candidates = [structs.replace(candidate, last_loaded=loads.get(version_id)) for version_id, candidate in rows]
    wanting = {j.ref for j in judge_retention(rules, candidates, now) if isinstance(j, Dropped)}
    if not wanting:
        return []
    rollouts = holding_rollouts(tx)
    candidates = [_with_users(tx, c, ids[c.ref], rollouts) if c.ref in wanting else c for c in candidates]
    numbers = {c.ref: c.number for c in candidates}
    judged = judge_retention(rules, candidates, now)
    return [DroppedVersion(ids[j.ref], j.ref, numbers[j.ref], j.reason) for j in judged if isinstance(j, Dropped)]


def _last_days(tx: Transaction, model: Model) -> Mapping[UUID, date]:
    """Day of the last load of each version; what was there at a rebuild, which loses counts, counts as loaded then."""
    loads = tx.loads.last_days(model.id)
    rebuilt = tx.audit.list(event="registry.rebuilt", newest_first=True, limit=1)
    if not rebuilt:
        return loads
    there = {i for i, candidate in tx.collection.candidates(model.id) if candidate.created_at <= rebuilt[0].at}
    floor = rebuilt[0].at.date()
    return {**loads, **{i: max(floor, loads.get(i, floor)) for i in there}}


def _with_users(
    tx: Transaction, candidate: Candidate, version_id: UUID, rollouts: Mapping[UUID, list[Rollout]]
) -> Candidate:
    node = version_node(version_id)
    nodes = [e.source for e in tx.lineage.incoming(node, _CHILD_RELATIONS)]
    nodes += [e.target for e in tx.lineage.outgoing(node) if e.relation == _MEMBER]
    users = (tx.versions.by_id(UUID(n.removeprefix("version:"))) for n in nodes)
    endpoints = tx.endpoints.using(version_id, limit=_ENDPOINTS_TOLD)
    return structs.replace(
        candidate,
        needed_by=tuple(u.ref for u in users if u is not None and u.deleted_at is None),
        deployments=(
            *(f"behind the endpoint {endpoint.ref}" for endpoint in endpoints),
            *(f"needed by the rollout to {each.endpoint_ref}" for each in rollouts.get(version_id, ())),
        ),
    )


def due_versions(tx: Transaction, before: datetime) -> Due:
    """Versions deleted before a time, parted by whether one that stays needs them.

    A version that was deleted a short while ago stays as well: it can still be restored, and what it
    is made of with it. So does one that an endpoint or an open rollout names.
    """
    due: dict[UUID, DueVersion] = {}
    after = 0
    while page := tx.collection.due(before, after=after, limit=PAGE_SIZE_MAX):
        due.update((version.id, version) for version in page)
        after = page[-1].key
    users: dict[str, list[str]] = {}
    for version_id, user_id in tx.collection.due_users(before) if due else []:
        if user_id in due or tx.versions.by_id(user_id) is not None:
            users.setdefault(str(version_id), []).append(str(user_id))
    for version_id in named_versions(tx).keys() & due.keys():
        users.setdefault(str(version_id), []).append(_TRAFFIC)
    kept = needed(map(str, due), users)
    return Due(
        {i: version for i, version in due.items() if str(i) not in kept},
        {i: version for i, version in due.items() if str(i) in kept},
    )

"""The registry as it is to somebody who may not read all of it: what is hidden is not there.

Handlers work on a transaction. Theirs shows the projects that its actor may read and nothing else, so that no handler can
forget to ask: what is hidden is not found, not listed, not suggested, in the same words as what never was. What is left out is
left out by the catalog, before a page is cut.

Each surface says which methods it narrows and which it passes on because what they are given was found by the others. A
method that nobody thought of is refused, and so is a surface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, cast
from uuid import UUID

from chopmark.abc.access import ManyMembers, MemberKey
from chopmark.abc.catalog import Evaluations, Events, Found, KeyedField, Records, Texts, Transaction
from chopmark.abc.monitors import WatchedMonitor
from chopmark.domain.access import Actor
from chopmark.domain.alert_log import Alert
from chopmark.domain.audit import AuditEvent
from chopmark.domain.datasets import DatasetRecord, DatasetRef
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.experiments import Experiment
from chopmark.domain.lineage import Edge, dataset_node, version_node
from chopmark.domain.monitors import Monitor
from chopmark.domain.query import Query
from chopmark.domain.receivers import Webhook
from chopmark.domain.refs import parse_model
from chopmark.domain.rollouts import Rollout
from chopmark.domain.sight import is_seen
from chopmark.domain.versions import Model, Project, Version

__all__ = ["SURFACES", "seen_by"]

Edges = list[Edge]
_EVALUATIONS_MAX = 1_000


def seen_by(actor: Actor, tx: Transaction) -> Transaction:
    """The transaction as its actor may see it."""
    sight = actor.sight
    return tx if sight is None else cast("Transaction", _Seen(tx, tuple(sorted(sight))))


class _Surface:
    """A surface of which some methods are narrowed by a subclass, and some passed on."""

    passes: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, inner: Any, sight: Texts) -> None:
        self._inner = inner
        self._sight = sight

    def __getattr__(self, name: str) -> Any:
        if name not in self.passes:
            raise AttributeError(f"{type(self).__name__} passes no {name}")
        return getattr(self._inner, name)


class _Projects(_Surface):
    passes = frozenset(("insert", "update"))

    def get(self, name: str) -> Project | None:
        return self._inner.get(name) if name in self._sight else None

    def lock(self, name: str) -> Project | None:
        return self._inner.lock(name) if name in self._sight else None

    def list(self, *, after: str = "", limit: int) -> list[Project]:
        found: list[Project] = self._inner.list(after=after, among=self._sight, limit=limit)
        return found


class _Models(_Surface):
    passes = frozenset(("insert", "update", "purge"))

    def get(self, project: str, name: str, *, deleted: bool = False) -> Model | None:
        return self._inner.get(project, name, deleted=deleted) if project in self._sight else None

    def lock(self, project: str, name: str) -> Model | None:
        return self._inner.lock(project, name) if project in self._sight else None

    def list(self, **options: Any) -> list[Model]:
        found: list[Model] = self._inner.list(**options, among=self._sight)
        return found


class _Versions(_Surface):
    passes = frozenset((
        "insert", "by_number", "by_semver", "by_digest", "latest", "highest_release", "in_range", "in_stage", "in_model",
        "update", "purge",
    ))  # fmt: skip

    def by_id(self, version_id: UUID) -> Version | None:
        found: Version | None = self._inner.by_id(version_id)
        return found if found is not None and found.project in self._sight else None

    def search(self, query: Query, *, project: str | None = None, **options: Any) -> Found:
        found: Found = self._inner.search(query, project=project, **options, among=self._sight)
        return found

    def has_key(self, field: KeyedField, key: str) -> bool:  # noqa: ARG002 - which keys others have is theirs
        return True

    def keys(self, field: KeyedField, *, limit: int) -> Sequence[str]:  # noqa: ARG002
        return []


class _Lineage(_Surface):
    # Whether a link closes a cycle is asked of everything; the answer names nothing.
    passes = frozenset(("insert", "remove", "reaches", "lock"))

    def outgoing(self, source: str) -> Edges:
        return self._seen(self._inner.outgoing(source))

    def incoming(self, target: str, relations: Sequence[str] = ()) -> Edges:
        return self._seen(self._inner.incoming(target, relations))

    def reach(self, node: str, **options: Any) -> Edges:
        found: Edges = self._inner.reach(node, **options, among=self._sight)
        return found

    def versions(self, nodes: Iterable[str]) -> list[Version]:
        return [v for v in self._inner.versions(nodes) if v.project in self._sight]

    def _seen(self, edges: Edges) -> Edges:
        ends = {end for e in edges for end in (e.source, e.target) if end.startswith("version:")}
        seen = {version_node(v.id) for v in self.versions(ends)}
        return [e for e in edges if {e.source, e.target} & ends <= seen]


class _Datasets(_Surface):
    """Data sets, each under a name that a version which is seen gives it.

    The catalog keeps the name and the place of whoever recorded the content first, who may be hidden.
    """

    passes = frozenset(("put",))

    def __init__(self, inner: Any, sight: Texts, lineage: _Lineage, evaluations: Evaluations) -> None:
        super().__init__(inner, sight)
        self._lineage = lineage
        self._evaluations = evaluations

    def get(self, nodes: Iterable[str]) -> Records:
        return [self._as_seen(record) for record in self._inner.get(nodes, among=self._sight)]

    def named(self, name: str, *, limit: int) -> Records:
        return [r for r in self._inner.named(name, among=self._sight, limit=limit) if self._is_as_seen(r)]

    def starting(self, prefix: str, *, limit: int) -> Records:
        return [self._as_seen(record) for record in self._inner.starting(prefix, among=self._sight, limit=limit)]

    def list(self, *, after: tuple[str, str] = ("", ""), limit: int, **options: Any) -> Records:
        """Those whose first name is seen: they are walked by that name, and a position tells it."""
        kept: Records = []
        while True:
            found: Records = self._inner.list(after=after, among=self._sight, limit=limit, **options)
            kept += filter(self._is_as_seen, found)
            if len(found) < limit or len(kept) >= limit:
                return kept[:limit]
            after = (found[-1].name, found[-1].node)

    def _is_as_seen(self, record: DatasetRecord) -> bool:
        return self._as_seen(record) == record

    def _as_seen(self, record: DatasetRecord) -> DatasetRecord:
        said = [(ref, version) for version in self._users(record.node) for ref in self._said(version, record.node)]
        if any((r.name, r.uri, r.version) == _called(record) for r, _ in said):
            return record
        if not said:  # known by a link alone
            unnamed = DatasetRef(name=record.which, digest=record.dataset.digest)
            return DatasetRecord(node=record.node, dataset=unnamed, at=record.at)
        first, version = said[0]
        return DatasetRecord(node=record.node, dataset=first, at=version.created_at)

    def _users(self, node: str) -> Sequence[Version]:
        found = self._lineage.versions({edge.source for edge in self._lineage.incoming(node)})
        return sorted(found, key=lambda version: (version.created_at, version.id))

    def _said(self, version: Version, node: str) -> Iterator[DatasetRef]:
        evaluated = (each.dataset for each in self._evaluations.list(version.id, limit=_EVALUATIONS_MAX))
        return (ref for ref in (*version.datasets, *evaluated) if dataset_node(ref) == node)


def _called(record: DatasetRecord) -> tuple[str, str, str]:
    return record.dataset.name, record.dataset.uri, record.dataset.version


class _Loads(_Surface):
    passes = frozenset(("list", "last_days"))

    def __init__(self, inner: Any, sight: Texts, lineage: _Lineage) -> None:
        super().__init__(inner, sight)
        self._lineage = lineage

    def add(self, counts: Mapping[tuple[UUID, date], int]) -> None:
        there = {v.id for v in self._lineage.versions({version_node(version_id) for version_id, _ in counts})}
        self._inner.add({key: count for key, count in counts.items() if key[0] in there})


class _Audit(_Surface):
    passes = frozenset(("first_after", "head"))

    def list(
        self,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        newest_first: bool = False,
        limit: int,
        **options: Any,
    ) -> Events:
        def page(last: AuditEvent | None) -> Events:
            after = last.seq if last is not None and not newest_first else after_seq
            before = last.seq if last is not None and newest_first else before_seq
            found: Events = self._inner.list(
                after_seq=after, before_seq=before, newest_first=newest_first, among=self._sight, limit=limit, **options
            )
            return found

        return self._filled(page, limit)

    def about(self, targets: Texts, beginnings: Texts, *, after_seq: int = 0, limit: int) -> Events:
        def page(last: AuditEvent | None) -> Events:
            after = after_seq if last is None else last.seq
            found: Events = self._inner.about(targets, beginnings, after_seq=after, limit=limit)
            return found

        return self._filled(page, limit)

    def _filled(self, page: Callable[[AuditEvent | None], Events], limit: int) -> Events:
        """A full page of events that are seen: an edge's event also names its other end, which no index tells."""
        found: Events = []
        last: AuditEvent | None = None
        while len(found) < limit:
            events = page(last)
            found += [event for event in events if is_seen(event, self._sight)]
            if len(events) < limit:
                break
            last = events[-1]
        return found[:limit]


class _Members(_Surface):
    passes = frozenset(("get", "of", "with_role", "put", "remove"))

    def list(self, *, project: str | None = None, after: MemberKey, limit: int) -> ManyMembers:
        found: ManyMembers = self._inner.list(project=project, among=self._sight, after=after, limit=limit)
        return found


class _Webhooks(_Surface):
    # Asked by the id of one that `get` has shown.
    passes = frozenset(("sealed", "add", "put", "hide", "remove"))

    def get(self, webhook_id: UUID) -> Webhook | None:
        found: Webhook | None = self._inner.get(webhook_id)
        return found if found is not None and found.project in self._sight else None

    def list(self, *, among: Sequence[str] | None = None, **options: Any) -> list[Webhook]:
        seen = [project for project in self._sight if among is None or project in among]
        found: list[Webhook] = self._inner.list(**options, among=seen)
        return found


class _Endpoints(_Surface):
    # Of one that `get` or `lock` has shown, or that is made where the actor may.
    passes = frozenset(("insert", "put", "remove"))

    def get(self, project: str, name: str) -> Endpoint | None:
        return self._inner.get(project, name) if project in self._sight else None

    def lock(self, project: str, name: str) -> Endpoint | None:
        return self._inner.lock(project, name) if project in self._sight else None

    def list(self, **options: Any) -> list[Endpoint]:
        found: list[Endpoint] = self._inner.list(**options, among=self._sight)
        return found


class _Rollouts(_Surface):
    # Of one that is of an endpoint which was seen.
    passes = frozenset(("insert", "put", "append", "events", "active_of"))

    def get(self, rollout_id: UUID) -> Rollout | None:
        return self._seen(self._inner.get(rollout_id))

    def lock(self, rollout_id: UUID) -> Rollout | None:
        return self._seen(self._inner.lock(rollout_id))

    def list(self, **options: Any) -> list[Rollout]:
        found: list[Rollout] = self._inner.list(**options, among=self._sight)
        return found

    def _seen(self, rollout: Rollout | None) -> Rollout | None:
        is_seen = rollout is not None and parse_model(rollout.endpoint_ref).project in self._sight
        return rollout if is_seen else None


class _Monitors(_Surface):
    # Of one that `get` has shown, or that is made where the actor may.
    passes = frozenset(("insert", "put", "remove"))

    def get(self, project: str, name: str) -> WatchedMonitor | None:
        return self._inner.get(project, name) if project in self._sight else None

    def by_id(self, monitor_id: UUID) -> WatchedMonitor | None:
        found: WatchedMonitor | None = self._inner.by_id(monitor_id)
        return found if found is not None and found.monitor.project in self._sight else None

    def list(self, **options: Any) -> list[Monitor]:
        found: list[Monitor] = self._inner.list(**options, among=self._sight)
        return found


class _Alerts(_Surface):
    passes = frozenset(("put",))

    def get(self, alert_id: UUID) -> Alert | None:
        found: Alert | None = self._inner.get(alert_id)
        return found if found is not None and found.project in self._sight else None

    def list(self, **options: Any) -> list[Alert]:
        found: list[Alert] = self._inner.list(**options, among=self._sight)
        return found


class _Experiments(_Surface):
    # Of one that `get` or `lock` has shown, or that is made where the actor may.
    passes = frozenset(("insert", "put"))

    def get(self, project: str, name: str) -> Experiment | None:
        return self._inner.get(project, name) if project in self._sight else None

    def lock(self, project: str, name: str) -> Experiment | None:
        return self._inner.lock(project, name) if project in self._sight else None

    def list(self, **options: Any) -> list[Experiment]:
        found: list[Experiment] = self._inner.list(**options, among=self._sight)
        return found


class _Collection(_Surface):
    passes = frozenset(("generation", "hold"))


SURFACES: dict[str, type[_Surface]] = {
    "projects": _Projects,
    "models": _Models,
    "versions": _Versions,
    "lineage": _Lineage,
    "datasets": _Datasets,
    "loads": _Loads,
    "audit": _Audit,
    "members": _Members,
    "collection": _Collection,
    "webhooks": _Webhooks,
    "endpoints": _Endpoints,
    "experiments": _Experiments,
    "monitors": _Monitors,
    "alerts": _Alerts,
    "rollouts": _Rollouts,
}
"""Surfaces that are narrowed."""

_WHOLE = frozenset(
    ("manifests", "aliases", "stages", "evaluations", "trust", "tokens", "roles", "deliveries", "experiment_units")
)
"""Surfaces asked by what the others found (a model's id, a version's digest), or whose handlers ask whose it is."""


class _Seen:
    """A transaction's surfaces, each made when it is first asked for."""

    def __init__(self, tx: Transaction, sight: Texts) -> None:
        self._tx = tx
        self._sight = sight

    def __getattr__(self, name: str) -> Any:
        if name in _WHOLE:
            return getattr(self._tx, name)
        if name not in SURFACES:
            raise AttributeError(f"Who sees a part of the registry has no {name}")
        inner = getattr(self._tx, name)
        made: _Surface
        match name:
            case "loads":
                made = _Loads(inner, self._sight, _Lineage(self._tx.lineage, self._sight))
            case "datasets":
                made = _Datasets(inner, self._sight, _Lineage(self._tx.lineage, self._sight), self._tx.evaluations)
            case _:
                made = SURFACES[name](inner, self._sight)
        self.__dict__[name] = made
        return made

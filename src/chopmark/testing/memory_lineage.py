"""Lineage and data sets in memory, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from uuid import UUID

from chopmark.abc.catalog import Records, Texts
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.datasets import DatasetRecord
from chopmark.domain.lineage import Edge, is_followed, version_id_of
from chopmark.domain.query import fold
from chopmark.domain.versions import Version

__all__ = ["MemoryDatasets", "MemoryLineage"]

Edges = dict[tuple[str, str, str], bytes]


class Stored(Protocol):
    """What is used of the state."""

    edges: Edges
    datasets: dict[str, bytes]


class Scope(Protocol):
    """One transaction's state."""

    @property
    def read(self) -> Stored:
        """To read."""
        ...

    @property
    def write(self) -> Stored:
        """To change."""
        ...


class MemoryLineage:
    """`chopmark.abc.catalog.Lineage`."""

    def __init__(self, scope: Scope, find: Callable[[UUID], Version | None]) -> None:
        self._scope = scope
        self._find = find

    def insert(self, edges: Iterable[Edge]) -> None:
        """See the interface."""
        stored = self._scope.write.edges
        for edge in edges:
            to_us(edge.at)
            stored.setdefault((edge.source, edge.relation, edge.target), encode(edge))

    def outgoing(self, source: str) -> list[Edge]:
        """See the interface."""
        return self._where(lambda e: e.source == source)

    def incoming(self, target: str, relations: Sequence[str] = ()) -> list[Edge]:
        """See the interface."""
        return self._where(lambda e: e.target == target and (not relations or e.relation in relations))

    def remove(self, edge: Edge) -> bool:
        """See the interface."""
        return self._scope.write.edges.pop((edge.source, edge.relation, edge.target), None) is not None

    def reach(
        self, node: str, *, upstream: bool, depth_max: int | None = None, among: Texts | None = None, limit: int
    ) -> list[Edge]:
        """See the interface."""
        leaving: dict[str, list[Edge]] = {}
        for edge in self._where(lambda e: self._is_seen(e.source, among) and self._is_seen(e.target, among)):
            leaving.setdefault(edge.downstream if upstream else edge.upstream, []).append(edge)
        depths, found = {node: 0}, list[Edge]()
        waiting = [node]
        for each in waiting:  # grows while it is walked: breadth first
            if depths[each] == depth_max:
                break
            for edge in leaving.get(each, ()):
                found.append(edge)
                far = edge.upstream if upstream else edge.downstream
                if is_followed(edge) and far not in depths:
                    depths[far] = depths[each] + 1
                    waiting.append(far)
        return found[:limit]

    def reaches(self, node: str, goal: str) -> bool:
        """See the interface."""
        found = self.reach(node, upstream=True, limit=len(self._scope.read.edges))
        return node == goal or any(e.upstream == goal for e in found if is_followed(e))

    def versions(self, nodes: Iterable[str]) -> list[Version]:
        """See the interface."""
        ids = dict.fromkeys(version_id_of(node) for node in nodes if node.startswith("version:"))
        return [found for found in map(self._find, ids) if found is not None]

    def lock(self) -> None:
        """See the interface."""
        _ = self._scope.write.edges  # there is one writer anyway

    def _is_seen(self, node: str, among: Texts | None) -> bool:
        if among is None or not node.startswith("version:"):
            return True
        found = self._find(version_id_of(node))
        return found is not None and found.project in among

    def _where(self, condition: Callable[[Edge], bool]) -> list[Edge]:
        edges = (decode(body, Edge) for body in self._scope.read.edges.values())
        return sorted(filter(condition, edges), key=lambda e: e.at)


class MemoryDatasets:
    """`chopmark.abc.catalog.Datasets`."""

    def __init__(self, scope: Scope, lineage: MemoryLineage) -> None:
        self._scope = scope
        self._lineage = lineage

    def put(self, records: Iterable[DatasetRecord]) -> None:
        """See the interface."""
        stored = self._scope.write.datasets
        for record in records:
            to_us(record.at)
            stored.setdefault(record.node, encode(record))

    def get(self, nodes: Iterable[str], *, among: Texts | None = None) -> Records:
        """See the interface."""
        wanted = set(nodes)
        return [r for r in self._all(among) if r.node in wanted]

    def named(self, name: str, *, among: Texts | None = None, limit: int) -> Records:
        """See the interface."""
        found = sorted((r for r in self._all(among) if r.name == name), key=lambda r: r.node)
        return sorted(found, key=lambda r: r.at, reverse=True)[:limit]

    def starting(self, prefix: str, *, among: Texts | None = None, limit: int) -> Records:
        """See the interface."""
        return sorted((r for r in self._all(among) if r.node.startswith(prefix)), key=lambda r: r.node)[:limit]

    def list(
        self, *, contains: str = "", after: tuple[str, str] = ("", ""), among: Texts | None = None, limit: int
    ) -> Records:
        """See the interface."""
        found = [r for r in self._all(among) if (r.name, r.node) > after and fold(contains) in fold(r.name)]
        return sorted(found, key=lambda r: (r.name, r.node))[:limit]

    def _all(self, among: Texts | None) -> Records:
        records = [decode(body, DatasetRecord) for body in self._scope.read.datasets.values()]
        return [r for r in records if among is None or self._is_seen(r.node, among)]

    def _is_seen(self, node: str, among: Texts) -> bool:
        users = self._lineage.versions(e.source for e in self._lineage.incoming(node))
        return any(v.project in among for v in users)

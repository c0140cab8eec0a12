"""Surfaces of a transaction: what comes from what, and the data sets in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from chopmark.domain.datasets import DatasetRecord
from chopmark.domain.lineage import Edge
from chopmark.domain.versions import Version

__all__ = ["Datasets", "Lineage", "Records", "Texts"]

Records = list[DatasetRecord]  # inside the classes below, ``list`` is a method
Texts = Sequence[str]


class Lineage(Protocol):
    """Edges between versions, data sets and runs."""

    def insert(self, edges: Iterable[Edge]) -> None:
        """Add edges; one that is there already stays as it is."""
        ...

    def outgoing(self, source: str) -> list[Edge]:
        """Edges from a node, oldest first."""
        ...

    def incoming(self, target: str, relations: Sequence[str] = ()) -> list[Edge]:
        """Edges to a node, oldest first, of these relations (all when none are given)."""
        ...

    def remove(self, edge: Edge) -> bool:
        """Remove the edge with these ends and this relation; whether it was there."""
        ...

    def reach(
        self, node: str, *, upstream: bool, depth_max: int | None = None, among: Texts | None = None, limit: int
    ) -> list[Edge]:
        """Edges met on the way from a node to all it comes from, or to all that comes from it.

        Edges of the relations in `domain.lineage.FOLLOWED` are followed, at most ``depth_max``
        steps; those in ``SHOWN`` are met and not followed. Each edge once. Those of nearer nodes
        come first, so that a limit cuts off what is far. With ``among`` no edge that leads to a version of
        another project is met or followed.
        """
        ...

    def reaches(self, node: str, goal: str) -> bool:
        """Whether a node is or comes from another, over any number of steps."""
        ...

    def versions(self, nodes: Iterable[str]) -> list[Version]:
        """The versions among these nodes, soft-deleted too, in no order; nodes that are none are passed over."""
        ...

    def lock(self) -> None:
        """From now to the end of this transaction no other one gets this lock: ask, then link."""
        ...


class Datasets(Protocol):
    """Data sets that versions were trained or evaluated on, by their node."""

    def put(self, records: Iterable[DatasetRecord]) -> None:
        """Add records; one whose node is there already stays as it is."""
        ...

    def get(self, nodes: Iterable[str], *, among: Texts | None = None) -> Records:
        """Those of these nodes, in no order; nodes that are none are passed over.

        Here and below ``among`` limits to what a version of these projects was trained or evaluated on.
        """
        ...

    def named(self, name: str, *, among: Texts | None = None, limit: int) -> Records:
        """Those of exactly this name, newest first."""
        ...

    def starting(self, prefix: str, *, among: Texts | None = None, limit: int) -> Records:
        """Those whose node begins so, by node."""
        ...

    def list(
        self, *, contains: str = "", after: tuple[str, str] = ("", ""), among: Texts | None = None, limit: int
    ) -> Records:
        """By (name, node) from the first after ``after``; ``contains`` within the name, ASCII letters in any case."""
        ...

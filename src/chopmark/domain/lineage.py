"""Lineage: edges between versions, data sets and runs, and which end of an edge comes from which.

Of most relations the source comes from the target: ``fraud:4 trained_on`` a data set. Of
``ensemble_member_of`` it is the other way round: the ensemble, the target, comes from its member.
``evaluated_on`` and ``replaces`` say nothing about where a version comes from: they are shown
beside it, and never followed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from chopmark.domain.datasets import DatasetRef
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = [
    "FOLLOWED",
    "PARENT_RELATIONS",
    "RELATIONS",
    "SHOWN",
    "SOURCE_COMES_FROM_TARGET",
    "TARGET_COMES_FROM_SOURCE",
    "Edge",
    "NodeKind",
    "check_link",
    "check_parent_relation",
    "dataset_node",
    "edges_on_path",
    "is_followed",
    "kind_of_node",
    "relation_words",
    "run_node",
    "version_id_of",
    "version_node",
]

NodeKind = Literal["version", "dataset", "run"]

RELATIONS = (
    "trained_on",
    "evaluated_on",
    "produced_by",
    "derived_from",
    "retrained_from",
    "fine_tuned_from",
    "ensemble_member_of",
    "replaces",
)
SOURCE_COMES_FROM_TARGET = ("trained_on", "produced_by", "derived_from", "retrained_from", "fine_tuned_from")
TARGET_COMES_FROM_SOURCE = ("ensemble_member_of",)
FOLLOWED = (*SOURCE_COMES_FROM_TARGET, *TARGET_COMES_FROM_SOURCE)
"""Relations that say where something comes from."""
SHOWN = ("evaluated_on", "replaces")
"""Relations that are shown beside a node and not followed."""
PARENT_RELATIONS = (
    "derived_from",
    "retrained_from",
    "fine_tuned_from",
    "ensemble_member_of",
)


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """(source, relation, target): ``fraud:4 retrained_from fraud:3``.

    ``ensemble_member_of`` points from the member to the ensemble. A source or target is
    ``version:<uuid>``, ``dataset:<digest or name>`` or ``run:<id>``.
    """

    source: str
    relation: str
    target: str
    at: datetime

    @property
    def upstream(self) -> str:
        """The end that was there before: what the other one comes from, was evaluated on, or replaces."""
        return self.source if self.relation in TARGET_COMES_FROM_SOURCE else self.target

    @property
    def downstream(self) -> str:
        """The other end."""
        return self.target if self.relation in TARGET_COMES_FROM_SOURCE else self.source

    def __repr__(self) -> str:
        return f"<{self.source} {self.relation} {self.target}>"


def is_followed(edge: Edge) -> bool:
    """Whether the edge says where something comes from."""
    return edge.relation in FOLLOWED


_TARGET_KIND: dict[str, NodeKind] = {"trained_on": "dataset", "evaluated_on": "dataset", "produced_by": "run"}


def check_link(source: NodeKind, relation: str, target: NodeKind) -> None:
    """Refuse a link that no relation means.

    Raises
    ------
    InvalidRequest
        When the relation is none, or its ends are of other kinds: every link begins at a version;
        ``trained_on`` and ``evaluated_on`` end at a data set, ``produced_by`` at a run, the others
        at a version.
    """
    if relation not in RELATIONS:
        msg = f"{shown(relation)} is not a relation."
        raise InvalidRequest(msg, hint="Relations are " + ", ".join(RELATIONS) + ".")
    wanted = _TARGET_KIND.get(relation, "version")
    if (source, target) != ("version", wanted):
        msg = f"{relation} leads from a version to a {wanted}, not from a {source} to a {target}."
        raise InvalidRequest(
            msg, hint="Write a version as fraud:4, a data set as dataset:NAME or dataset:sha256:…, a run as run:ID."
        )


def edges_on_path(edges: Iterable[Edge], start: str, goal: str) -> list[Edge]:
    """A shortest way upstream from one node to another, edge by edge; empty when there is none."""
    leaving: dict[str, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.downstream, []).append(edge)
    came_by: dict[str, Edge | None] = {start: None}
    waiting = [start]
    for node in waiting:  # grows while it is walked: breadth first
        if node == goal:
            break
        for edge in leaving.get(node, ()):
            if edge.upstream not in came_by:
                came_by[edge.upstream] = edge
                waiting.append(edge.upstream)
    path: list[Edge] = []
    step = came_by.get(goal)
    while step is not None:
        path.append(step)
        step = came_by[step.downstream]
    return path[::-1]


def check_parent_relation(relation: str) -> str:
    """Return the relation when a version may have it to another at registration.

    Raises
    ------
    InvalidRequest
        With those it may have.
    """
    if relation not in PARENT_RELATIONS:
        msg = f"{shown(relation)} is not a relation to a parent."
        raise InvalidRequest(msg, hint="Relations are " + ", ".join(PARENT_RELATIONS) + ".")
    return relation


def version_node(version_id: UUID) -> str:
    """A version as a node of the lineage."""
    return f"version:{version_id.hex}"


def dataset_node(dataset: DatasetRef) -> str:
    """A data set as a node of the lineage: by its content where that is known."""
    if dataset.digest:
        return f"dataset:{dataset.digest}"
    return f"dataset:{dataset.uri or dataset.name}:{dataset.version}"


def run_node(run_id: str) -> str:
    """A training run as a node of the lineage."""
    return f"run:{run_id}"


_KINDS: dict[str, NodeKind] = {"version": "version", "dataset": "dataset", "run": "run"}


_UPWARD = {"ensemble_member_of": "has member", "fine_tuned_from": "fine-tuned from"}
_DOWNWARD = {
    "trained_on": "trained",
    "evaluated_on": "evaluated",
    "produced_by": "produced",
    "derived_from": "parent of",
    "retrained_from": "retrained as",
    "fine_tuned_from": "fine-tuned as",
    "ensemble_member_of": "member of",
    "replaces": "replaced by",
}


def relation_words(relation: str, *, upstream: bool) -> str:
    """The relation as one reads it along the way: ``fraud:4 retrained from fraud:3``, ``fraud:3 retrained as fraud:4``."""
    words = _UPWARD if upstream else _DOWNWARD
    return words.get(relation, relation.replace("_", " "))


def kind_of_node(node: str) -> NodeKind:
    """What a node is.

    Raises
    ------
    InvalidRequest
        When it is no node.
    """
    kind = _KINDS.get(node.partition(":")[0])
    if kind is not None:
        return kind
    msg = f"{shown(node)} is no node of the lineage."
    raise InvalidRequest(msg, hint="Nodes begin with version:, dataset: or run:.")


def version_id_of(node: str) -> UUID:
    """Id of the version that a node is."""
    return UUID(node.removeprefix("version:"))

"""Lineage: edges between versions, data sets and runs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from chopmark.domain.datasets import DatasetRef
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = [
    "PARENT_RELATIONS",
    "RELATIONS",
    "Edge",
    "check_parent_relation",
    "dataset_node",
    "run_node",
    "version_node",
]

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

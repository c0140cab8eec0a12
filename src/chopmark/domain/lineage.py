"""Lineage: edges between versions, data sets and runs."""

from __future__ import annotations

from datetime import datetime

import msgspec

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = ["PARENT_RELATIONS", "RELATIONS", "Edge", "check_parent_relation"]

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

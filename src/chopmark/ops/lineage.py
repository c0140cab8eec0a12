"""Verbs about lineage: what they are asked with and what they answer.

What is meant by ``of``, ``source`` and ``target``: a reference to a version, ``dataset:NAME``,
``dataset:sha256:…`` (or as many digits as tell it apart) or ``run:ID``.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.datasets import DatasetRecord, DatasetRef
from chopmark.domain.lineage_graph import Direction, LineageNode
from chopmark.ops.requests import Request

__all__ = [
    "DatasetPage",
    "GetDataset",
    "GetImpact",
    "GetLineage",
    "LineageLink",
    "LinkLineage",
    "ListDatasets",
    "UnlinkLineage",
]


class GetLineage(Request, frozen=True, kw_only=True):
    """What something comes from and what comes from it; ``depth`` None goes to the end."""

    of: str
    direction: Direction = "both"
    depth: int | None = None
    limit: int = 1_000


class GetImpact(Request, frozen=True, kw_only=True):
    """Which versions come from a data set, run or version, and which of them are live."""

    of: str


class LinkLineage(Request, frozen=True, kw_only=True):
    """Add an edge; ``dataset`` stands for a ``target`` that the registry does not know yet."""

    source: str
    relation: str
    target: str = ""
    dataset: DatasetRef | None = None
    reason: str


class UnlinkLineage(Request, frozen=True, kw_only=True):
    """Take back an edge that was linked; what registration or an evaluation recorded stays."""

    source: str
    relation: str
    target: str
    reason: str


class ListDatasets(Request, frozen=True, kw_only=True):
    """A page of data sets by name."""

    contains: str = ""
    limit: int = PAGE_SIZE
    cursor: str = ""


class GetDataset(Request, frozen=True, kw_only=True):
    """Look up a data set by name, or by the digits of its digest."""

    dataset: str


class LineageLink(msgspec.Struct, frozen=True, kw_only=True):
    """An edge with its ends as people know them."""

    source: LineageNode
    relation: str
    target: LineageNode
    at: datetime

    def __repr__(self) -> str:
        return f"<{self.source.label} {self.relation} {self.target.label} · {self.at:%Y-%m-%d %H:%M} UTC>"


class DatasetPage(msgspec.Struct, frozen=True, kw_only=True):
    """Data sets, and the cursor of the next page (empty on the last)."""

    items: list[DatasetRecord]
    cursor: str = ""

"""A part of the lineage as one looks at it: nodes with what is known of them, and edges; and who is affected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import Edge, NodeKind, is_followed
from chopmark.domain.names import counted

__all__ = [
    "LIVE_STAGES",
    "Affected",
    "Direction",
    "Impact",
    "LineageGraph",
    "LineageNode",
    "affected_by",
    "evaluated_on",
]

Direction = Literal["up", "down", "both"]
LIVE_STAGES = ("production", "canary")


class LineageNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node, and what is known of it.

    Attributes
    ----------
    id
        ``version:<uuid>``, ``dataset:<digest or name>`` or ``run:<id>``.
    kind
        ``version``, ``dataset`` or ``run``.
    label
        What people call it: ``fraud:4``, the name of a data set, the id of a run.
    project, model, number, semver, stage, aliases, format, digest, size_bytes, created_by
        Of a version.
    created_at
        When a version was registered, or a data set was first named.
    deleted
        Whether a version is soft-deleted.
    dataset
        Of a data set: where it is, which it is, its columns.
    """

    id: str
    kind: NodeKind
    label: str
    project: str = ""
    model: str = ""
    number: int = 0
    semver: str = ""
    stage: str = ""
    aliases: tuple[str, ...] = ()
    format: str = ""
    digest: str = ""
    size_bytes: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    deleted: bool = False
    dataset: DatasetRef | None = None

    @property
    def is_live(self) -> bool:
        """Whether something may load it by stage or alias."""
        return not self.deleted and (self.stage in LIVE_STAGES or bool(self.aliases))

    @property
    def summary(self) -> str:
        """What is known of it in a few words."""
        if self.kind == "version":
            marks = (self.semver, self.stage, *(f"@{a}" for a in self.aliases), "deleted" if self.deleted else "")
            return " · ".join(mark for mark in marks if mark)
        if self.dataset is None:
            return ""
        rows = "" if self.dataset.row_count is None else counted(self.dataset.row_count, "row")
        version = f"version {self.dataset.version}" if self.dataset.version else ""
        which = self.dataset.digest[:19] or version
        if which == self.label:  # without a name it is called by its digest already
            which = version
        return " · ".join(text for text in (self.dataset.split, rows, which) if text)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.label}{' · ' if self.summary else ''}{self.summary}>"


class LineageGraph(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the lineage.

    Attributes
    ----------
    roots
        Nodes that were asked for: one, or all data sets of a name.
    direction
        Where to it was followed: ``up`` to what they come from, ``down`` to what comes from them.
    nodes, edges
        Nearest first. Every end of an edge is among the nodes.
    truncated
        Whether there is more than the limit let through.
    """

    roots: tuple[str, ...]
    direction: Direction
    nodes: tuple[LineageNode, ...]
    edges: tuple[Edge, ...]
    truncated: bool = False

    def __repr__(self) -> str:
        labels = {node.id: node.label for node in self.nodes}
        kinds = Counter(node.kind for node in self.nodes)
        counts = [counted(kinds[kind], noun) for kind, noun in _NOUNS.items() if kinds[kind]]
        more = ", and there is more: raise the limit" if self.truncated else ""
        what = {"up": "ancestors of", "down": "descendants of", "both": "lineage of"}[self.direction]
        return (
            f"<{what} {', '.join(labels[root] for root in self.roots)}>\n"
            f"  {', '.join(counts)}, {counted(len(self.edges), 'edge')}{more}"
        )


_NOUNS: dict[NodeKind, str] = {"version": "version", "dataset": "data set", "run": "run"}


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """A version that comes from what was asked about.

    Attributes
    ----------
    node
        The version.
    depth
        Number of steps on the shortest way.
    relation, via
        The last of those steps: ``fraud:4 retrained_from fraud:3``.
    live
        Whether it is in production or canary, or an alias points to it.
    """

    node: LineageNode
    depth: int
    relation: str
    via: str
    live: bool

    def __repr__(self) -> str:
        return f"<{self.node.label} · {self.node.summary} · {self.relation} {self.via} · depth {self.depth}>"


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """What depends on a data set, run or version: what is affected when it turns out to be bad.

    Attributes
    ----------
    roots
        What was asked about: one node, or all data sets of a name.
    affected
        Versions that come from it: the live ones first, then the nearest.
    evaluated
        Versions that were only evaluated on it: their metrics are in doubt, they are not.
    truncated
        Whether there are more than the limit let through.
    """

    roots: tuple[LineageNode, ...]
    affected: tuple[Affected, ...]
    evaluated: tuple[LineageNode, ...] = ()
    truncated: bool = False

    @property
    def live(self) -> tuple[Affected, ...]:
        """Those that something may load by stage or alias."""
        return tuple(each for each in self.affected if each.live)

    def __repr__(self) -> str:
        more = ", and there are more" if self.truncated else ""
        return (
            f"<impact of {', '.join(root.label for root in self.roots)}: "
            f"{counted(len(self.affected), 'version')}, {len(self.live)} live{more}>\n"
            f"  {', '.join(a.node.label for a in self.affected[:6]) or 'nothing comes from it'}"
            f"{' …' if len(self.affected) > 6 else ''}"  # noqa: PLR2004 - as many as a line holds
        )


def affected_by(roots: Sequence[str], edges: Iterable[Edge], known: Mapping[str, LineageNode]) -> tuple[Affected, ...]:
    """Versions that come from these nodes, each with the last step of a shortest way to it.

    Parameters
    ----------
    roots
        Where it begins; they are not among the answers.
    edges
        Edges that were met on the way down.
    known
        Every end of an edge.
    """
    leaving: dict[str, list[Edge]] = {}
    for edge in filter(is_followed, edges):
        leaving.setdefault(edge.upstream, []).append(edge)
    depths = dict.fromkeys(roots, 0)
    waiting, found = list(depths), list[Affected]()
    for node in waiting:  # grows while it is walked: breadth first
        for edge in leaving.get(node, ()):
            if edge.downstream not in depths:
                depths[edge.downstream] = depths[node] + 1
                waiting.append(edge.downstream)
                found.append(_affected(edge, known, depths[node] + 1))
    return tuple(sorted(found, key=_urgency))


def evaluated_on(
    roots: Sequence[str], edges: Iterable[Edge], known: Mapping[str, LineageNode]
) -> tuple[LineageNode, ...]:
    """Versions that were evaluated on one of these data sets and do not come from any."""
    edges = list(edges)
    affected = {edge.downstream for edge in edges if is_followed(edge)}
    found = dict.fromkeys(e.source for e in edges if e.relation == "evaluated_on" and e.target in roots)
    return tuple(known[node] for node in found if node not in affected)


def _affected(edge: Edge, known: Mapping[str, LineageNode], depth: int) -> Affected:
    node = known[edge.downstream]
    via = known[edge.upstream].label
    return Affected(node=node, depth=depth, relation=edge.relation, via=via, live=node.is_live)


def _urgency(affected: Affected) -> tuple[object, ...]:
    """The live ones first, of them those in production; the deleted ones last; then the nearest."""
    node = affected.node
    stage = LIVE_STAGES.index(node.stage) if affected.live and node.stage in LIVE_STAGES else len(LIVE_STAGES)
    return (not affected.live, stage, node.deleted, affected.depth, node.project, node.model, node.number)

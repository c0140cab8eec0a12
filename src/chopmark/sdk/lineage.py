"""``registry.lineage``: where versions come from, what comes from them, and what a bad data set affects."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from chopmark.base.jsons import pretty
from chopmark.domain.datasets import DatasetRecord, DatasetRef
from chopmark.domain.lineage import is_followed
from chopmark.domain.lineage_graph import Direction, Impact, LineageGraph, LineageNode
from chopmark.ops.lineage import (
    DatasetPage,
    GetDataset,
    GetImpact,
    GetLineage,
    LineageLink,
    LinkLineage,
    ListDatasets,
    UnlinkLineage,
)
from chopmark.ops.results import Done
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Surface
from chopmark.sdk.things import Thing, name_of

__all__ = ["Lineage", "LineageView"]


class LineageView(LineageGraph, frozen=True, kw_only=True):
    """A part of the lineage that can be drawn and exported.

    >>> from chopmark.testing.registry import memory_registry
    >>> registry = memory_registry()
    >>> first = registry.register("fraud", {"t": 1}, run_id="nightly-7")
    >>> second = registry.register("fraud", {"t": 2}, parents={"retrained_from": first})
    >>> print(registry.lineage.ancestors(second).to_text())
    fraud:2  1.0.1 · development
    └─ comes from
       └─ retrained from fraud:1  1.0.0 · development
          └─ produced by run nightly-7
    """

    def to_text(self) -> str:
        """A tree for a terminal; a node that was shown before is marked, not repeated."""
        from chopmark.reports.lineage_tree import lineage_tree

        return lineage_tree(self)

    def to_svg(self) -> str:
        """A picture for light and dark pages that needs nothing from outside."""
        from chopmark.reports.lineage_svg import lineage_svg

        return lineage_svg(self)

    def to_json(self) -> str:
        """Roots, nodes and edges as JSON."""
        return pretty(self)

    def to_openlineage(self) -> list[dict[str, Any]]:
        """OpenLineage ``RunEvent`` values: one for each version and each evaluation."""
        from chopmark.reports.openlineage import openlineage_events

        return openlineage_events(self)

    def _repr_html_(self) -> str:
        return self.to_svg()

    def __repr__(self) -> str:
        return LineageGraph.__repr__(self)


class Lineage(Surface):
    """Verbs about lineage.

    Everything is named by a version or a reference to one, by a data set (``dataset:NAME``, ``dataset:sha256:…`` or a
    `DatasetRef`) or by ``run:ID``. A model that is called ``dataset`` or ``run`` is written with its project.
    """

    def graph(
        self, of: Thing, *, direction: Direction = "both", depth: int | None = None, limit: int = 1_000
    ) -> LineageView:
        """What something comes from and what comes from it.

        Parameters
        ----------
        of
            Where it begins.
        direction
            ``up`` to what it comes from, ``down`` to what comes from it, or ``both``.
        depth
            Number of steps, up to 1,000; to the end when None.
        limit
            Most edges, up to 10,000; the nearest stay.

        Raises
        ------
        NotFound
            When there is no such version, data set or run.
        """
        request = GetLineage(of=name_of(of, self._settings.project), direction=direction, depth=depth, limit=limit)
        found: LineageGraph = self._call(request)
        return LineageView(**structs.asdict(found))

    def ancestors(self, of: Thing, *, depth: int | None = None, limit: int = 1_000) -> LineageView:
        """What something comes from: versions, data sets, runs."""
        return self.graph(of, direction="up", depth=depth, limit=limit)

    def descendants(self, of: Thing, *, depth: int | None = None, limit: int = 1_000) -> LineageView:
        """What comes from something."""
        return self.graph(of, direction="down", depth=depth, limit=limit)

    def dependents(self, of: Thing) -> Page[LineageNode]:
        """Versions that come from it directly: retrained or fine-tuned from it, or ensembles it is a member of."""
        found = self.graph(of, direction="down", depth=1, limit=10_000)
        direct = dict.fromkeys(edge.downstream for edge in found.edges if is_followed(edge))
        known = {node.id: node for node in found.nodes}
        return Page([known[node] for node in direct])

    def impact(self, of: Thing) -> Impact:
        """Which versions come from something, over any number of steps; the live ones first.

        A version that was only evaluated on a data set does not come from it and is listed apart.
        """
        found: Impact = self._call(GetImpact(of=name_of(of, self._settings.project)))
        return found

    def link(self, source: Thing, relation: str, target: Thing, *, reason: str) -> LineageLink:
        """Add an edge that was not recorded at registration.

        Parameters
        ----------
        source
            A version.
        relation
            ``trained_on`` or ``evaluated_on`` a data set, ``produced_by`` a run, or to a version ``derived_from``,
            ``retrained_from``, ``fine_tuned_from``, ``ensemble_member_of``, ``replaces``.
        target
            The other end; a `DatasetRef` may be one that the registry does not know yet.
        reason
            Why; kept in the audit.

        Raises
        ------
        Conflict
            When the edge is there already, or something would come from itself.
        """
        known: dict[str, Any]
        known = (
            {"dataset": target}
            if isinstance(target, DatasetRef)
            else {"target": name_of(target, self._settings.project)}
        )
        request = LinkLineage(source=name_of(source, self._settings.project), relation=relation, reason=reason, **known)
        made: LineageLink = self._call(request)
        return made

    def unlink(self, source: Thing, relation: str, target: Thing, *, reason: str) -> Done:
        """Take back an edge that was linked.

        Raises
        ------
        Conflict
            When the edge follows from a registration or an evaluation, which never change.
        """
        request = UnlinkLineage(
            source=name_of(source, self._settings.project),
            relation=relation,
            target=name_of(target, self._settings.project),
            reason=reason,
        )
        done: Done = self._call(request)
        return done

    def datasets(self, contains: str = "", *, limit: int = 50, cursor: str = "") -> Page[DatasetRecord]:
        """Data sets that versions were trained or evaluated on, by name."""
        page: DatasetPage = self._call(ListDatasets(contains=contains, limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def dataset(self, name: str) -> DatasetRecord:
        """One data set by its name or the digits of its digest.

        Raises
        ------
        Conflict
            When several have the name.
        """
        found: DatasetRecord = self._call(GetDataset(dataset=name))
        return found

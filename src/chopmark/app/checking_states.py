"""The check of rows against the records: what somebody changed in the database is not what was recorded then.

Records are written soon after each change, in another place. Who changes a row by hand changes one of the two; what no
other check could notice (a metric changed wherever it stands, a decision to trust that nobody took) differs from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context
from chopmark.app.rebuild import whole_of
from chopmark.app.recording import registry_id, state_of_model, state_of_version, within
from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.domain.datasets import DatasetRecord
from chopmark.domain.lineage import Edge
from chopmark.domain.records import ModelState, VersionState, Whole, edges_of
from chopmark.domain.versions import Model, Project
from chopmark.errors import IntegrityFailure
from chopmark.ops.storage import Finding

__all__ = ["state_findings"]

_STEP = (
    "Look who changed the database. If the records are right, move it away, then 'chopmark rebuild'. "
    "If the database is: chopmark rebuild --records"
)
_SHOWN = 6


def state_findings(ctx: Context) -> list[Finding]:
    """Where rows and records disagree; nothing when the records are not whole or lag, which another check tells."""
    first = ctx.tx.audit.list(limit=1)
    if not first or ctx.tx.recorded.position() != ctx.tx.audit.head()[0]:
        return []
    whole, faults = whole_of(within(ctx.records, registry_id(first[0])))
    if faults or whole.head != ctx.tx.audit.head()[1]:
        return []
    compared = (
        *_projects(ctx.tx, whole),
        *_models(ctx.tx, whole),
        *_versions(ctx.tx, whole),
        *_edges(ctx.tx, whole),
        *_datasets(ctx.tx, whole),
    )
    return [Finding("error", "record_differs", where, what, _STEP) for where, what in compared]


_Told = Iterator[tuple[str, str]]


def _projects(tx: Transaction, whole: Whole) -> _Told:
    told = {state.project.name: state.project for state in whole.projects}
    for project in _all_projects(tx):
        yield from _compared(f"project {project.name}", project, told.pop(project.name, None))
    yield from _gone(f"project {name}" for name in told)


def _all_projects(tx: Transaction) -> Iterator[Project]:
    after = ""
    while page := tx.projects.list(after=after, limit=PAGE_SIZE_MAX):
        yield from page
        after = page[-1].name


def _models(tx: Transaction, whole: Whole) -> _Told:
    told = {state.model.ref: structs.replace(state, seq=0) for state in whole.models}
    for model in _all_models(tx):
        have = state_of_model(tx, model.ref, 0)
        yield from _compared_state(model.ref, have, told.pop(model.ref, None), ModelState)
    yield from _gone(told)


def _all_models(tx: Transaction) -> Iterator[Model]:
    for deleted in (False, True):
        after = ("", "")
        while page := tx.models.list(project=None, after=after, limit=PAGE_SIZE_MAX, deleted=deleted):
            yield from (model for model in page if deleted is (model.deleted_at is not None))
            after = page[-1].project, page[-1].name


def _versions(tx: Transaction, whole: Whole) -> _Told:
    told = {state.version.ref: state for state in whole.versions}
    trusted = {state.digest: state.decisions for state in whole.trust}
    after = 0
    while page := tx.rows.versions(after=after, limit=PAGE_SIZE_MAX):
        for checked in page:
            known = told.pop(checked.ref, None)
            if checked.version is None:
                continue  # a row that cannot be read is told by the check of rows
            try:
                have = state_of_version(tx, checked.version, 0)
            except IntegrityFailure as error:
                yield checked.ref, error.message
                continue
            yield from _compared_state(checked.ref, _own(have), None if known is None else _own(known), VersionState)
            if tx.trust.get(checked.version.digest)[::-1] != trusted.get(checked.version.digest, []):
                yield checked.ref, "the decisions to trust it differ from the recorded ones"
        after = page[-1].key
    yield from _gone(told)


def _own(state: VersionState) -> VersionState:
    """What only events about the version itself change: no aliases, and edges are compared by themselves."""
    return structs.replace(state, seq=0, edges=[], datasets=[], version=structs.replace(state.version, aliases=()))


def _edges(tx: Transaction, whole: Whole) -> _Told:
    told = {_key(edge) for edge in edges_of(whole.versions)}
    have = {_key(edge) for edge in _all_edges(tx)}
    for source, relation, target in sorted(told - have):
        yield f"{source} {relation} {target}", "the edge was recorded, and is there no more"
    for source, relation, target in sorted(have - told):
        yield f"{source} {relation} {target}", "the edge was never recorded"


def _all_edges(tx: Transaction) -> Iterator[Edge]:
    after = 0
    while page := tx.rows.edges(after=after, limit=PAGE_SIZE_MAX):
        yield from (edge for _, edge in page)
        after = page[-1][0]


def _key(edge: Edge) -> tuple[str, str, str]:
    return edge.source, edge.relation, edge.target


def _datasets(tx: Transaction, whole: Whole) -> _Told:
    told = {record.node: record for state in whole.versions for record in state.datasets}
    needed = {edge.target for edge in edges_of(whole.versions)} & set(told)
    have = {record.node: record for record in tx.datasets.get(sorted(needed))}
    for node in sorted(needed):
        found: DatasetRecord | None = have.get(node)
        if found is None:
            yield node, "the data set was recorded, and is there no more"
        else:
            yield from _compared(node, found, told[node])


def _compared_state(where: str, have: Any, told: Any, kind: type) -> _Told:
    """Differences between two states, named by the fields of what they are about."""
    if have is None:
        return
    if told is None:
        yield where, "it is in the database, and was never recorded"
    elif have != told:
        about = "version" if kind is VersionState else "model"
        fields = [f for f in have.__struct_fields__ if f != about and getattr(have, f) != getattr(told, f)]
        yield where, _differing([*_fields(getattr(have, about), getattr(told, about)), *fields])


def _compared(where: str, have: msgspec.Struct, told: msgspec.Struct | None) -> _Told:
    if told is None:
        yield where, "it is in the database, and was never recorded"
    elif have != told:
        yield where, _differing(_fields(have, told))


def _fields(have: msgspec.Struct, told: msgspec.Struct) -> list[str]:
    return [name for name in have.__struct_fields__ if getattr(have, name) != getattr(told, name)]


def _differing(fields: list[str]) -> str:
    more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    return f"what the database says of {', '.join(fields[:_SHOWN])}{more} is not what was recorded"


def _gone(refs: Iterable[str]) -> _Told:
    for ref in refs:
        yield ref, "it was recorded, and is in the database no more"

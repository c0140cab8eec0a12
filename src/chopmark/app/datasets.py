"""Data sets: noted when a version is trained or evaluated on one, and found again by name or digest."""

from __future__ import annotations

from collections.abc import Iterable

from chopmark.app.context import Context
from chopmark.base.jsons import canonical
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.datasets import DatasetRecord, DatasetRef
from chopmark.domain.lineage import dataset_node
from chopmark.domain.names import check_text, shown
from chopmark.errors import Conflict, NotFound
from chopmark.ops.lineage import DatasetPage, GetDataset, ListDatasets

__all__ = ["DATASETS_OF_A_NAME_MAX", "find_datasets", "get", "list_page", "note_datasets", "one_dataset"]

DATASETS_OF_A_NAME_MAX = 100
_KEY = "dataset:"
_DIGEST = "sha256:"


def note_datasets(ctx: Context, datasets: Iterable[DatasetRef]) -> None:
    """Let these data sets be found; one that is known already stays as it was first described."""
    ctx.tx.datasets.put(DatasetRecord(node=dataset_node(d), dataset=d, at=ctx.now) for d in datasets)


def find_datasets(ctx: Context, text: str) -> list[DatasetRecord]:
    """Data sets that a text means: all of a name (newest first), or the one with a digest.

    Parameters
    ----------
    text
        A name, ``sha256:`` with digits that tell it apart, or a node's own text; with or without
        ``dataset:`` before it.

    Raises
    ------
    NotFound
        When there is none.
    Conflict
        When digits fit several.
    """
    what = check_text(text, "data set", 6_000).removeprefix(_KEY)
    exact = ctx.tx.datasets.get([_KEY + what])
    if exact:
        return exact
    found = ctx.tx.datasets.starting(_KEY + what, limit=3) if what.startswith(_DIGEST) else []
    if len(found) > 1:
        msg = f"The digest {shown(what)} fits more than one data set."
        raise Conflict(msg, hint="Give more digits of it.")
    for name in dict.fromkeys((what, text)):  # a name may itself begin like a node or a digest
        found = found or ctx.tx.datasets.named(name, limit=DATASETS_OF_A_NAME_MAX)
    if not found:
        raise NotFound(f"There is no data set {shown(what)}.", hint=_near(ctx, what))
    return found


def one_dataset(ctx: Context, text: str) -> DatasetRecord:
    """The one data set that a text means.

    Raises
    ------
    NotFound, Conflict
        When there is none, or there are several of that name.
    """
    found = find_datasets(ctx, text)
    if len(found) > 1:
        which = ", ".join(r.node.removeprefix(_KEY)[:26] for r in found[:5])
        msg = f"There are {len(found)} data sets with the name {shown(text.removeprefix(_KEY))}: {which}."
        raise Conflict(msg, hint="Name one by its digest: dataset:sha256:… with enough digits.")
    return found[0]


def get(ctx: Context, request: GetDataset) -> DatasetRecord:
    """Look up one data set."""
    return one_dataset(ctx, request.dataset)


def list_page(ctx: Context, request: ListDatasets) -> DatasetPage:
    """A page of data sets by name."""
    limit = check_limit(request.limit)
    contains = check_text(request.contains, "part of a name", 500)
    query = canonical(["dataset.list", contains])
    name, node = decode_cursor(request.cursor, query) if request.cursor else ("", "")
    found = ctx.tx.datasets.list(contains=contains, after=(name, node), limit=limit + 1)
    page = found[:limit]
    more = encode_cursor([page[-1].name, page[-1].node], query) if len(found) > limit else ""
    return DatasetPage(items=page, cursor=more)


def _near(ctx: Context, what: str) -> str:
    near = [] if what.startswith(_DIGEST) else ctx.tx.datasets.list(contains=what[:4], limit=5)
    if near:
        return "Did you mean " + " or ".join(dict.fromkeys(f"dataset:{r.name}" for r in near)) + "?"
    first = "The same content keeps the name that it was first recorded with; its digest finds it, too."
    return f"{first} See what there is with: chopmark dataset list"

"""One form for a skops file, so that equal models have equal bytes.

A skops file is a zip of ``schema.json`` (the tree of the object) and one ``.npy``, ``.npz`` or
``.bin`` member per array. As skops writes it, the zip carries the time of day, nodes carry the
memory address of their object as ``__id__``, members are named by address or a random UUID, and
sets stand in the order of this process's string hash. None of that is part of the model. Here:

- an ``__id__`` stays only where two nodes share one mutable object, numbered in order of the tree;
- members are named ``0.npy``, ``1.npz``, … in order of the tree;
- the elements of a set are sorted by their own canonical JSON;
- members of type ``.npz`` (scipy sparse matrices) are rewritten without dates or compression;
- the unused bytes between the fields of record arrays (the nodes of trees) are zeroed;
- the address of its stop words, which a ``CountVectorizer`` notes to check them once, is emptied;
- the archive is written by `chopmark.formats.archive`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chopmark.formats.archive import write_archive
from chopmark.formats.arrays import npy_bytes

__all__ = ["canonical_schema", "write_canonical"]

SCHEMA = "schema.json"
_ID = "__id__"
_RECORDS = b"'descr': ["
_HEADER_START_BYTES = 32

# Attributes in which scikit-learn keeps the id() of an object.
_ADDRESSES = frozenset(["_stop_words_id"])

# Nodes of values that cannot change: whether two places hold one object or two equal ones is
# an accident of interning.
_IMMUTABLE = frozenset(["JsonNode", "TupleNode", "TypeNode", "FunctionNode", "BytesNode"])


def write_canonical(dumped: io.BytesIO, path: Path) -> dict[str, Any]:
    """Write a file that skops dumped in canonical form; return its schema."""
    with zipfile.ZipFile(dumped) as archive:
        schema, members = canonical_schema(json.loads(archive.read(SCHEMA)))
        write_archive(path, _entries(archive, schema, members))
    return schema


def _entries(
    archive: zipfile.ZipFile, schema: dict[str, Any], members: dict[str, str]
) -> Iterator[tuple[str, bytes | memoryview]]:
    yield SCHEMA, json.dumps(schema, separators=(",", ":")).encode()
    for old, new in members.items():
        yield new, _plain_member(new, archive.read(old))


def _plain_member(name: str, data: bytes) -> bytes | memoryview:
    if name.endswith(".npz"):
        return _plain_npz(data)
    if name.endswith(".npy") and _RECORDS in data[:_HEADER_START_BYTES]:
        import numpy as np

        return npy_bytes(np.load(io.BytesIO(data), allow_pickle=False))
    return data


def canonical_schema(schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The schema in canonical form, and the members it names: old name → new name, in order."""
    uses = Counter(node[_ID] for node in _nodes(schema) if _ID in node and _is_shared_kind(node))
    tree = _sorted_sets(schema, uses)
    ids: dict[int, int] = {}
    members: dict[str, str] = {}
    for node in _nodes(tree):
        if _ID in node:
            node[_ID] = ids.setdefault(node[_ID], len(ids) + 1)
        if isinstance(node.get("file"), str):
            old = node["file"]
            suffix = old[old.rfind(".") :]
            node["file"] = members.setdefault(old, f"{len(members)}{suffix}")
    return tree, members


def _is_shared_kind(node: dict[str, Any]) -> bool:
    return node.get("__loader__") not in _IMMUTABLE


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every node of the tree, parents first, in order; without recursion, trees can be deep."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if "__loader__" in here:
                yield here
            waiting.extend(reversed(here.values()))
        elif isinstance(here, list):
            waiting.extend(reversed(here))


def _sorted_sets(value: Any, uses: Counter[int]) -> Any:
    if isinstance(value, list):
        return [_sorted_sets(v, uses) for v in value]
    if not isinstance(value, dict):
        return value
    is_node = "__loader__" in value
    node = {
        k: _sorted_sets(v, uses)
        for k, v in value.items()
        if not (is_node and k == _ID and (not _is_shared_kind(value) or uses[v] == 1))
    }
    if is_node and value["__loader__"] == "SetNode":
        node["content"].sort(key=lambda n: json.dumps(n, sort_keys=True))
    if is_node and value["__loader__"] == "DictNode":
        for name in _ADDRESSES & node["content"].keys():
            node["content"][name]["content"] = "null"
    return node


def _plain_npz(data: bytes) -> bytes:
    """An ``.npz`` with the same members in the same order, stored without dates."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    out = io.BytesIO()
    write_archive(out, entries)
    return out.getvalue()

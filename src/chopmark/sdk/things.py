"""What has a place in the lineage, and the text that names it."""

from __future__ import annotations

from chopmark.domain.datasets import DatasetRecord, DatasetRef
from chopmark.domain.lineage import dataset_node
from chopmark.domain.lineage_graph import LineageNode
from chopmark.domain.refs import DEFAULT_PROJECT, parse_ref
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest

__all__ = ["Thing", "name_of"]

Thing = str | Version | DatasetRef | DatasetRecord | LineageNode
"""A version or a reference to one, a data set, ``dataset:NAME`` or ``run:ID``."""


def name_of(thing: object, project: str) -> str:
    """The text that names it in a request.

    Parameters
    ----------
    thing
        A `Thing`.
    project
        Of a reference that names none.

    Raises
    ------
    InvalidRequest
        When it is something else.
    """
    match thing:
        case Version():
            return _reference(thing.ref)
        case DatasetRef():
            return dataset_node(thing)
        case DatasetRecord():
            return thing.node
        case LineageNode():
            return thing.id
        case str():
            return thing if thing.startswith(_PREFIXES) else _reference(str(parse_ref(thing, project)))
        case _:
            msg = f"A {type(thing).__name__} has no place in the lineage."
            raise InvalidRequest(msg, hint="Give a version, a reference, a DatasetRef, dataset:NAME or run:ID.")


_PREFIXES = ("dataset:", "run:")


def _reference(text: str) -> str:
    """The reference, with its project when the model's name would make it something else."""
    return f"{DEFAULT_PROJECT}/{text}" if text.startswith(_PREFIXES) else text

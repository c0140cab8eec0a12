"""Lists within lists: their shape, and all that is in them in one list."""

from __future__ import annotations

from itertools import chain
from typing import Any

from chopmark.gateway.protocols.asked import Unreadable

__all__ = ["DIMENSIONS_MAX", "flattened", "shape_of"]

DIMENSIONS_MAX = 32


def shape_of(values: list[Any], label: str) -> tuple[int, ...]:
    """Lengths of the lists, the outermost first, as the first elements show them.

    >>> shape_of([[1, 2, 3], [4, 5, 6]], "tensor 'x'")
    (2, 3)
    """
    shape = [len(values)]
    inner = values
    while inner and type(inner[0]) is list:
        inner = inner[0]
        shape.append(len(inner))
        if len(shape) > DIMENSIONS_MAX:
            msg = f"The {label} is nested more deeply than {DIMENSIONS_MAX} lists."
            raise Unreadable(msg)
    return tuple(shape)


def flattened(values: list[Any], shape: tuple[int, ...], label: str) -> list[Any]:
    """The elements, row by row.

    Raises
    ------
    Unreadable
        When a list within has another length than ``shape`` says, or is none.

    >>> flattened([[1, 2, 3], [4, 5, 6]], (2, 3), "tensor 'x'")
    [1, 2, 3, 4, 5, 6]
    """
    flat = values
    if len(flat) != shape[0]:
        msg = f"The {label} holds {len(flat):,} lists or elements, and not the {shape[0]:,} of its shape {list(shape)}."
        raise Unreadable(msg)
    for depth, length in enumerate(shape[1:], start=2):
        if flat and set(map(type, flat)) != {list}:
            msg = f"The {label} holds something else than lists where it has elements of dimension {depth}."
            raise Unreadable(msg)
        other = next((len(each) for each in flat if len(each) != length), None)
        if other is not None:
            msg = f"The {label} holds lists of {length:,} and of {other:,} in dimension {depth}."
            raise Unreadable(msg, hint="Each list of a dimension has one length.")
        flat = list(chain.from_iterable(flat))
    return flat

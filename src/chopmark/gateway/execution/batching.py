"""Requests put together, and their answers taken apart. Nothing is changed of an array that was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from chopmark.errors import ModelFailed

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["check_rows", "joined", "kind_of", "part_of", "parted", "same_answers"]


def kind_of(inputs: Inputs) -> tuple[object, ...]:
    """What two inputs have in common that can be put together."""
    if isinstance(inputs, np.ndarray):
        return (inputs.dtype.char, inputs.shape[1:])
    return tuple((name, array.dtype.kind, array.shape[1:]) for name, array in inputs.items())


def joined(several: Sequence[Inputs]) -> Inputs:
    """The rows of all, in order; of one kind."""
    first = several[0]
    if isinstance(first, np.ndarray):
        return np.concatenate([i for i in several if isinstance(i, np.ndarray)])
    tables = [i for i in several if not isinstance(i, np.ndarray)]
    return {name: np.concatenate([table[name] for table in tables]) for name in first}


def part_of(inputs: Inputs, start: int, stop: int) -> Inputs:
    """Some of the rows."""
    if isinstance(inputs, np.ndarray):
        return inputs[start:stop]
    return {name: array[start:stop] for name, array in inputs.items()}


def check_rows(outputs: Outputs, rows: int) -> Outputs:
    """The outputs, once they are of so many rows.

    Raises
    ------
    ModelFailed
        When they are of more or fewer.
    """
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != rows:
            given = "one value" if array.ndim == 0 else f"{len(array):,} rows"
            raise ModelFailed(f"The model was asked about {rows:,} rows, and its output {name!r} has {given}.")
    return outputs


def parted(outputs: Outputs, rows: Sequence[int]) -> list[Outputs]:
    """Outputs of all as those of each, in order.

    Raises
    ------
    ModelFailed
        When they are of more or fewer rows than were asked about.
    """
    check_rows(outputs, sum(rows))
    parts: list[Outputs] = []
    start = 0
    for count in rows:
        parts.append({name: array[start : start + count] for name, array in outputs.items()})
        start += count
    return parts


_RELATIVE = 1e-4  # single precision summed in another order
_ABSOLUTE = 1e-6


def same_answers(one: Outputs, other: Outputs) -> bool:
    """Whether answers are the same, but for what the order of a sum does to its last digits."""
    return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "fc" and other.dtype.kind in "fc":
        return bool(np.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True))
    return bool(np.array_equal(one, other))

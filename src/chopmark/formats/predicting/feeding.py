"""How arrays are handed to a model: as an array, a data frame or by name; whichever it takes without a word."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from chopmark.abc.predicting import Layout

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs

__all__ = ["Feed", "as_given", "as_objects", "as_only", "feeds", "taken"]

Feed: TypeAlias = "Callable[[Inputs], Any]"

_WARNINGS = threading.Lock()  # recording them changes the whole process, and two loads may meet


def as_given(inputs: Inputs) -> Any:
    """As it is: an array, or a dict of them."""
    return inputs


def as_only(inputs: Inputs) -> Any:
    """The only array of a dict."""
    if isinstance(inputs, np.ndarray):
        return inputs
    (array,) = inputs.values()
    return array


def as_objects(inputs: Inputs) -> Any:
    """A table as one array of objects."""
    return np.column_stack([a.astype(object) for a in inputs.values()]) if isinstance(inputs, dict) else inputs


class _Frames:
    """How a matrix or table becomes a pandas data frame; pandas is imported for the first of them only."""

    def __init__(self, layout: Layout) -> None:
        self._names = [f.name for f in layout.inputs]
        self._categories = [f.name for f in layout.inputs if f.type == "category"]
        self._columns: Any = None

    def __call__(self, inputs: Inputs) -> Any:
        import pandas as pd

        if isinstance(inputs, np.ndarray):
            if self._columns is None:
                self._columns = pd.Index(self._names)
            return pd.DataFrame(inputs, columns=self._columns, copy=False)
        columns: dict[str, Any] = dict(inputs)
        for name in self._categories:
            columns[name] = pd.Categorical(columns[name])
        return pd.DataFrame(columns, copy=False)


def feeds(layout: Layout, *, by_name: bool) -> list[Feed]:
    """Ways to hand inputs to a model, the likeliest first.

    Parameters
    ----------
    layout
        What the inputs are.
    by_name
        Whether it was fitted on, or shown with its signature, columns with names.
    """
    if layout.kind == "tensors":
        return [as_only, as_given] if len(layout.inputs) == 1 else [as_given]
    plain: list[Feed] = [as_given] if layout.kind == "matrix" else [as_objects, as_given]
    if find_spec("pandas") is None:
        return plain
    frames = _Frames(layout)
    return [frames, *plain] if by_name or layout.kind == "table" else [*plain, frames]


def taken(ask: Callable[[Any], object], ways: Sequence[Feed], sample: Inputs) -> Feed:
    """The first way that a model takes without a warning, else without an error, else the first."""
    quiet: list[tuple[int, Feed]] = []
    for feed in ways:
        with _WARNINGS, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                ask(feed(sample))
            except (Exception, SystemExit):  # noqa: BLE001, S112 - a model may raise anything about what it does not take
                continue
            about_names = [w for w in told if "feature names" in str(w.message)]
        if not about_names:
            return feed
        quiet.append((len(about_names), feed))
    if not quiet:
        return ways[0]
    # It says so at each request, from wherever it is asked; once is enough, and this was it.
    warnings.filterwarnings("ignore", message=r"X (does not have valid|has) feature names", category=UserWarning)
    return quiet[0][1]

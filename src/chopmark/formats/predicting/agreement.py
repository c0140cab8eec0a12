"""Whether a compiled scorer answers as the model does, on rows where it would show if it did not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from chopmark.abc.predicting import Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Outputs

    Array = NDArray[Any]

__all__ = ["agree", "trial_rows"]

_SEED = 1
_RANDOM, _AT_THRESHOLDS, _BORDERS = 160, 240, 24
_HALVINGS = 60
_ALONE = 16
_RELATIVE = 1e-9


class _Both(Protocol):
    """A model with two ways to answer."""

    layout: Layout

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> Outputs: ...

    def asked(self, inputs: Array, outputs: Sequence[str] = ()) -> Outputs: ...


def agree(found: _Both, rows: Array, *, exactly: bool, alone: int = _ALONE, names: Sequence[str] = ()) -> bool:
    """Whether both ways answer alike: all rows together, and some alone.

    Parameters
    ----------
    found
        The compiled model.
    rows
        What is asked.
    exactly
        Scores to the last bit; else within 1e-9 of what they are. Labels are the same either way.
    alone
        Rows that the model is asked about alone; 0 where it is known to answer them as it does together, so that its answers
        to all together stand for them.
    names
        Outputs to look at; all that both have when empty.
    """
    wanted = tuple(names) or tuple(f.name for f in (*found.layout.outputs, *found.layout.more))
    together = found.asked(rows, wanted)
    if not _same(found.predict(rows, wanted), together, exactly=exactly):
        return False
    for i in range(0, len(rows), max(1, len(rows) // alone) if alone else 1):
        row = rows[i : i + 1]
        known = found.asked(row, wanted) if alone else {name: array[i : i + 1] for name, array in together.items()}
        if not _same(found.predict(row, wanted), known, exactly=exactly):
            return False
    return True


def _same(one: Outputs, other: Outputs, *, exactly: bool) -> bool:
    return all(_same_array(one[name], other[name], exactly=exactly) for name in other)


def _same_array(one: Array, other: Array, *, exactly: bool) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if exactly or one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    return bool(np.allclose(one, other, rtol=_RELATIVE, atol=0))


def trial_rows(model: Any, last: Any, layout: Layout, ask: Callable[[Array], Array]) -> Array:
    """Rows around what the model was fitted on, at its thresholds and on its borders.

    Parameters
    ----------
    model
        As a whole.
    last
        What scores, behind the scalers.
    layout
        What rows are.
    ask
        The model's labels of rows.
    """
    generator = np.random.default_rng(_SEED)
    width = len(layout.inputs)
    if getattr(last, "estimators_", None) is not None:
        return _as_layout(_before_scaling(model, _at_thresholds(last, width, generator)), layout)
    scales = np.array([0.0, 1e-3, 1.0, 1.0, 100.0])[np.arange(_RANDOM) % 5][:, None]
    rows = _as_layout(_before_scaling(model, generator.normal(size=(_RANDOM, width)) * scales), layout)
    if not hasattr(last, "classes_") or rows.dtype.kind != "f":
        return rows
    return np.vstack([rows, _borders(ask, rows, generator)])


def _as_layout(rows: Array, layout: Layout) -> Array:
    kind = np.dtype(layout.dtype).kind
    if kind == "b":
        return rows > 0
    if kind in "iu":
        low, high = (0, 200) if kind == "u" else (-(2**31), 2**31)
        return np.clip(np.rint(rows), low, high).astype(layout.dtype)
    return rows.astype(layout.dtype)


def _at_thresholds(forest: Any, width: int, generator: np.random.Generator) -> Array:
    """Rows of thresholds of its trees, and of the numbers of single precision just below and above them."""
    known: list[list[float]] = [[] for _ in range(width)]
    for tree, features in zip(forest.estimators_, forest.estimators_features_, strict=True):
        inner = tree.tree_.children_left >= 0
        for feature, threshold in zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True):
            known[features[feature]].append(float(threshold))
    columns = [_near(np.asarray(values or [0.0]), generator) for values in known]
    low = np.asarray([min(values, default=-1.0) for values in known])
    high = np.asarray([max(values, default=1.0) for values in known])
    spread = high - low + 1.0
    random = generator.uniform(low - spread, high + spread, size=(_RANDOM, width))
    return np.vstack([np.column_stack(columns), random])


def _near(thresholds: Array, generator: np.random.Generator) -> Array:
    chosen = generator.choice(thresholds, _AT_THRESHOLDS)
    single = chosen.astype(np.float32)
    below, above = (np.nextafter(single, np.float32(side)) for side in (-np.inf, np.inf))
    places = np.arange(_AT_THRESHOLDS) % 4
    return np.choose(places, [chosen, single.astype(np.float64), below.astype(np.float64), above.astype(np.float64)])


def _before_scaling(model: Any, rows: Array) -> Array:
    """Rows that the scalers of a pipeline make into these, nearly."""
    for _, step in reversed(getattr(model, "steps", [])[:-1]):
        if hasattr(step, "inverse_transform"):
            rows = np.asarray(step.inverse_transform(rows), np.float64)
    return rows


def _borders(ask: Callable[[Array], Array], rows: Array, generator: np.random.Generator) -> Array:
    """Rows on either side of where the answer changes, as near to each other as halving brings them."""
    labels = ask(rows)
    one, other = generator.integers(0, len(rows), (2, 8 * _BORDERS))
    apart = np.flatnonzero(labels[one] != labels[other])[:_BORDERS]
    if not len(apart):
        return rows[:0]
    low, high, wanted = rows[one[apart]], rows[other[apart]], labels[one[apart]]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        keeps = (ask(middle) == wanted)[:, None]
        low, high = np.where(keeps, middle, low), np.where(keeps, high, middle)
    return np.vstack([low, high])

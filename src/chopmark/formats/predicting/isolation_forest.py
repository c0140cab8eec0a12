"""Isolation forests as flat arrays: all trees go down one level at a time.

The scores are those of scikit-learn to the last bit: thresholds are rounded down to single precision, in which the rows are, the
depths of the trees are added in their order, and the rest is the same operations on the same types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chopmark.formats.predicting.scaling import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["ForestScorer", "forest_scorer"]

_LARGE = 1e30
_PIECE = 128  # rows at a time, so that what is worked on stays in the processor's cache
_ROWS_MAX = 4_096  # with many more, scikit-learn is as quick


class _Nodes(NamedTuple):
    """Nodes of all trees, the right child behind the left; a leaf is its own child."""

    feature: Array
    threshold: Array
    left: Array
    depth: Array


class ForestScorer:
    """An isolation forest.

    Parameters
    ----------
    steps
        What is done to the rows before.
    nodes, roots
        Of all trees.
    levels
        Depth of the deepest.
    denominator, offset
        As scikit-learn has them.
    """

    words = "compiled isolation forest"

    def __init__(
        self, steps: Sequence[Step], nodes: _Nodes, roots: Array, levels: int, denominator: Array, offset: float
    ) -> None:
        self._steps = tuple(steps)
        self._feature, self._threshold, self._left, self._depth = nodes
        self._roots = roots
        self._first = (nodes.feature[roots], nodes.threshold[roots], nodes.left[roots])
        self._levels = levels
        self._denominator = denominator
        self._offset = offset
        self._answers = {False: _frozen(np.ones(1, np.int64)), True: _frozen(np.full(1, -1, np.int64))}
        self.methods: dict[str, Callable[[Array], Array | None]] = {
            "predict": self.labels,
            "decision_function": self.decisions,
            "score_samples": self.scores,
        }

    def labels(self, rows: Array) -> Array | None:
        """1, or -1 for what is abnormal; None where the model has to be asked."""
        scores = self.decisions(rows)
        if scores is None:
            return None
        if len(rows) == 1:
            return self._answers[scores.item() < 0]
        labels = np.ones(len(rows), np.int64)
        labels[scores < 0] = -1
        return labels

    def decisions(self, rows: Array) -> Array | None:
        """Scores less the offset."""
        scores = self.scores(rows)
        return None if scores is None else scores - self._offset

    def scores(self, rows: Array) -> Array | None:
        """The lower, the more abnormal."""
        for step in self._steps:
            rows = step(rows)
        if not 0 < len(rows) <= _ROWS_MAX:
            return None
        if len(rows) == 1:
            depths = self._depth_of(rows[0])
        else:
            pieces = (self._depths_of(rows[i : i + _PIECE]) for i in range(0, len(rows), _PIECE))
            found = [p for p in pieces if p is not None]
            depths = np.concatenate(found) if sum(map(len, found)) == len(rows) else None
        if depths is None:
            return None
        return -(2 ** (-np.divide(depths, self._denominator)))

    def _depth_of(self, row: Array) -> Array | None:
        if not -_LARGE < row.dot(row) < _LARGE:
            return None
        values = row if row.dtype == np.float32 else row.astype(np.float32)
        feature, threshold, left = self._first
        node = left + (values.take(feature) > threshold)
        for _ in range(self._levels - 1):
            right = values.take(self._feature.take(node)) > self._threshold.take(node)
            node = self._left.take(node)
            node += right
        # One after the other, as scikit-learn adds them: a sum in pairs has other last bits.
        return np.add.accumulate(self._depth.take(node))[-1:]

    def _depths_of(self, rows: Array) -> Array | None:
        values = rows.astype(np.float32)
        if not (np.abs(values) < _LARGE).all():
            return None
        count, width = values.shape
        flat = values.reshape(-1)
        start = np.arange(count, dtype=np.intp)[None, :] * width
        node = np.repeat(self._roots[:, None], count, axis=1)
        for _ in range(self._levels):
            right = flat.take(self._feature.take(node) + start) > self._threshold.take(node)
            node = self._left.take(node)
            node += right
        depths = np.zeros(count)
        for of_tree in self._depth.take(node):
            depths += of_tree
        return depths


def forest_scorer(model: Any, steps: Sequence[Step]) -> ForestScorer | None:
    """An isolation forest of scikit-learn, compiled; None when it is none, or its inside is not as it is known here."""
    kind = type(model)
    if kind.__name__ != "IsolationForest" or kind.__module__.partition(".")[0] != "sklearn":
        return None
    try:
        return _compiled(model, steps)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None


def _compiled(model: Any, steps: Sequence[Step]) -> ForestScorer:
    trees: list[_Nodes] = []
    roots: list[int] = []
    levels, start = 1, 0
    for place, (tree, features) in enumerate(zip(model.estimators_, model.estimators_features_, strict=True)):
        depth = model._decision_path_lengths[place] + model._average_path_length_per_tree[place] - 1.0  # noqa: SLF001
        nodes = _flat(tree.tree_, np.asarray(features, np.intp), depth, start)
        trees.append(nodes)
        roots.append(start)
        start += len(nodes.left)
        levels = max(levels, int(tree.tree_.max_depth))
    nodes = _Nodes(*(np.concatenate(parts) for parts in zip(*trees, strict=True)))
    from sklearn.ensemble._iforest import _average_path_length

    denominator = len(model.estimators_) * _average_path_length([model._max_samples])  # noqa: SLF001
    if not denominator.all():
        msg = "a forest of a single row scores by a rule of its own"
        raise ValueError(msg)
    return ForestScorer(steps, nodes, np.asarray(roots, np.intp), levels, denominator, float(model.offset_))


def _flat(tree: Any, features: Array, depth: Array, start: int) -> _Nodes:
    """A tree's nodes in an order in which the right child stands behind the left."""
    old = [0]
    left: list[int] = []
    for node in old:  # grows while it is walked
        child = int(tree.children_left[node])
        if child < 0:
            left.append(start + len(left))
        else:
            left.append(start + len(old))
            old += [child, int(tree.children_right[node])]
    order = np.asarray(old, np.intp)
    is_leaf = tree.children_left[order] < 0
    feature = np.where(is_leaf, 0, features[np.where(is_leaf, 0, tree.feature[order])])
    threshold = np.where(is_leaf, np.float32(np.inf), _rounded_down(tree.threshold[order]))
    return _Nodes(feature.astype(np.intp), threshold.astype(np.float32), np.asarray(left, np.intp), depth[order])


def _rounded_down(thresholds: Array) -> Array:
    """The largest number of single precision that is not above: the same rows are above it."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array

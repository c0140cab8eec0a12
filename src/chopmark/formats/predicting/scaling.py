"""Scalers before a compiled scorer: the same operations, in the same order and precision, as scikit-learn's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Step", "scaling_step"]

Step = Callable[["NDArray[Any]"], "NDArray[Any]"]
_FLOATS = ("f4", "f8")
_KEPT = tuple(np.dtype(d) for d in _FLOATS)


def scaling_step(scaler: Any) -> Step | None:
    """A fitted scaler as a function that changes nothing of what it is given; None when it is not one that is known here."""
    if type(scaler).__module__.partition(".")[0] != "sklearn":
        return None
    match type(scaler).__name__:
        case "StandardScaler":
            return _standard(scaler.mean_ if scaler.with_mean else None, scaler.scale_ if scaler.with_std else None)
        case "RobustScaler":
            center = scaler.center_ if scaler.with_centering else None
            return _in_place((np.subtract, center), (np.divide, scaler.scale_ if scaler.with_scaling else None))
        case "MaxAbsScaler" if not getattr(scaler, "clip", False):
            return _in_place((np.divide, scaler.scale_))
        case "MinMaxScaler" if not scaler.clip:
            return _in_place((np.multiply, scaler.scale_), (np.add, scaler.min_))
        case _:
            return None


def _standard(mean: NDArray[Any] | None, scale: NDArray[Any] | None) -> Step:
    """Less the mean, by the deviation, both in the precision of the input."""
    means = {np.dtype(d): None if mean is None else mean.astype(d) for d in _FLOATS}
    scales = {np.dtype(d): None if scale is None else scale.astype(d) for d in _FLOATS}

    def step(rows: NDArray[Any]) -> NDArray[Any]:
        values = rows if rows.dtype in means else rows.astype(np.float64)
        middle, width = means[values.dtype], scales[values.dtype]
        if middle is not None:
            values = values - middle
        return values if width is None else values / width

    return step


def _in_place(*operations: tuple[Callable[..., Any], NDArray[Any] | None]) -> Step:
    """In double precision, each result rounded to that of the input."""
    known = [(operation, values) for operation, values in operations if values is not None]

    def step(rows: NDArray[Any]) -> NDArray[Any]:
        values = np.array(rows, rows.dtype if rows.dtype in _KEPT else np.float64)
        for operation, by in known:
            operation(values, by, out=values)
        return values

    return step

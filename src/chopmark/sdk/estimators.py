"""What the class of a loaded model says of its answers: the estimator within it, and whether it flags anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["flags_with_one", "flags_with_sign", "is_detector", "last_step"]


def last_step(model: Any) -> Any:
    """The estimator at the end of a pipeline or of a search."""
    best = getattr(model, "best_estimator_", None)
    if best is not None:
        return last_step(best)
    steps = getattr(model, "steps", None)
    if isinstance(steps, Mapping):
        steps = list(steps.items())
    if isinstance(steps, list) and steps and isinstance(steps[-1], tuple):
        return last_step(steps[-1][1])
    return model


def is_detector(model: Any) -> bool:
    """Whether it is a detector of anomalies."""
    return flags_with_sign(model) or flags_with_one(model)


def flags_with_sign(model: Any) -> bool:
    """Whether it says -1 for an anomaly, as scikit-learn's detectors do."""
    return any(c.__name__ == "OutlierMixin" for c in type(model).__mro__)


def flags_with_one(model: Any) -> bool:
    """Whether it says 1 for an anomaly, as PyOD's detectors do."""
    return any(c.__module__.partition(".")[0] == "pyod" for c in type(model).__mro__)

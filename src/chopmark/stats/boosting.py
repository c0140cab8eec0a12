"""The gradient boosting that statistics fit on the spot and throw away; scikit-learn is imported when it is needed."""

from __future__ import annotations

from typing import Any, Literal

from chopmark.errors import Unsupported

__all__ = ["gradient_boosting"]


def gradient_boosting(kind: Literal["classifier", "regressor"], purpose: str) -> Any:
    """A new histogram gradient boosting model of scikit-learn, the same on each call.

    Raises
    ------
    Unsupported
        When scikit-learn is not installed; it says what for, and that a model of one's own would do.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    except ImportError as error:
        raise Unsupported(
            f"{purpose} needs scikit-learn, which is not installed.",
            hint=f"Install it with: pip install 'chopmark[sklearn]', or give a {kind}.",
            extra="sklearn",
        ) from error
    make = HistGradientBoostingClassifier if kind == "classifier" else HistGradientBoostingRegressor
    return make(early_stopping=False, random_state=0)

"""Boosters as their own libraries have them, without an estimator around them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["xgboost_ask"]


def xgboost_ask(booster: Any, width: int | None) -> Any:
    """How a booster of XGBoost is asked: in place where that was seen to be the same, else with a matrix of its own."""
    import xgboost

    names = booster.feature_names

    def by_matrix(rows: Any) -> Any:
        is_frame = hasattr(rows, "columns")
        data = xgboost.DMatrix(rows, feature_names=None if is_frame else names, enable_categorical=is_frame)
        return booster.predict(data)

    def in_place(rows: Any) -> Any:
        if hasattr(rows, "columns"):
            return by_matrix(rows)
        return booster.inplace_predict(rows, validate_features=False)

    rows = np.random.default_rng(0).normal(size=(16, width or 0)).astype(np.float32)
    try:
        same = width is not None and np.array_equal(in_place(rows), by_matrix(rows))
    except (xgboost.core.XGBoostError, ValueError, TypeError):
        same = False
    return in_place if same else by_matrix

"""Hyperparameters that a model tells about itself, reduced to JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chopmark.formats.libraries import derives_from, qualified_name

__all__ = ["model_params"]

PARAMS_MAX = 300
_TEXT_LENGTH_MAX = 200
_ITEMS_MAX = 20
_DEPTH_MAX = 3


def model_params(model: object) -> dict[str, Any]:
    """Class of the model, and its hyperparameters where it has scikit-learn's ``get_params``.

    ``model_class`` is always there, so that a changed algorithm shows in a comparison of two
    versions. Estimators within a value stand as their class names; other objects too, never as
    their repr, which may hold an address. Long texts and lists are cut, at most 300 entries kept.
    """
    params: dict[str, Any] = {"model_class": qualified_name(type(model))}
    for name, value in list(_own_params(model).items())[:PARAMS_MAX]:
        params[str(name)] = _reduced(value, _DEPTH_MAX)
    return params


def _own_params(model: object) -> Mapping[str, Any]:
    if derives_from(model, "river"):
        own = getattr(model, "_get_params", dict)
        return own()
    if derives_from(model, "sklearn", "BaseEstimator"):
        return model.get_params(deep=True)  # type: ignore[attr-defined, no-any-return]
    return {}


def _reduced(value: object, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return _cut(str(value))
    if isinstance(value, (list, tuple)) and depth:
        return [_reduced(v, depth - 1) for v in value[:_ITEMS_MAX]]
    if isinstance(value, Mapping) and depth:
        items = list(value.items())[:_ITEMS_MAX]
        return {_cut(str(k)): _reduced(v, depth - 1) for k, v in items}
    if derives_from(value, "numpy", "generic"):
        return _reduced(value.item(), depth)  # type: ignore[attr-defined]
    return qualified_name(value) if isinstance(value, type) else _cut(_name(value), _TEXT_LENGTH_MAX)


def _name(value: object) -> str:
    name = getattr(value, "__qualname__", None)  # functions
    module = getattr(value, "__module__", None)
    if isinstance(name, str) and isinstance(module, str):
        return f"{module}.{name}"
    return qualified_name(type(value))


def _cut(text: str, length_max: int = _TEXT_LENGTH_MAX) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"

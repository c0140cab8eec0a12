"""What a model says of the columns it was fitted on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from chopmark.formats.libraries import derives_from

__all__ = ["Introspection", "introspected"]

_MADE_UP = re.compile(r"Column_[0-9]+|[0-9]+")
_DEPTH_MAX = 8


class Introspection(NamedTuple):
    """What a model says of itself.

    Attributes
    ----------
    width
        How many columns it takes; None when it does not say.
    names
        Theirs, when it was fitted on a table.
    categories
        Values that an encoder in it knows, by the column's name.
    """

    width: int | None
    names: list[str]
    categories: Mapping[str, Sequence[Any]]


def introspected(model: Any) -> Introspection:
    """What a model says of itself; nothing is believed that it does not say."""
    names = _names(model)
    width = _width(model)
    if names and width is not None and len(names) != width:
        names = []
    categories = dict(_categories(model, names, 0))
    return Introspection(width if width is not None else (len(names) or None), names, categories)


def _names(model: Any) -> list[str]:
    if derives_from(model, "lightgbm") and not _fitted_with_names(model):
        return []
    for source in ("feature_names_in_", "feature_names", "feature_names_"):
        found = _attribute(model, source)
        if found is not None and not callable(found) and not isinstance(found, str) and len(found):
            names = [str(n) for n in found]
            return [] if all(_MADE_UP.fullmatch(n) for n in names) else names
    if callable(getattr(model, "feature_name", None)):  # LightGBM's booster
        names = [str(n) for n in model.feature_name()]
        return [] if all(_MADE_UP.fullmatch(n) for n in names) else names
    return []


def _fitted_with_names(model: Any) -> bool:
    """LightGBM's estimators have made-up names where they were given none."""
    return bool(getattr(model, "_fitted_with_feature_names", True))


def _width(model: Any) -> int | None:
    for source in ("n_features_in_", "num_features", "num_feature", "n_features_"):
        found = _called(_attribute(model, source))
        if isinstance(found, int) or (hasattr(found, "dtype") and getattr(found, "ndim", 1) == 0):
            return int(found) or None
    steps = getattr(model, "steps", None)
    if not isinstance(steps, list):
        return None
    # A step that lets everything through says nothing, and changes nothing.
    first = next((step for _, step in steps if step not in (None, "passthrough")), None)
    return None if first is None else _width(first)


def _called(found: Any) -> Any:
    try:
        return found() if callable(found) else found
    except Exception:  # noqa: BLE001 - a booster that was not trained, a method that means something else
        return None


def _attribute(model: Any, name: str) -> Any:
    try:
        return getattr(model, name, None)
    except Exception:  # noqa: BLE001 - a property may raise whatever it likes before a fit
        return None


def _categories(model: Any, names: Sequence[str], depth: int) -> Iterator[tuple[str, Sequence[Any]]]:
    if depth > _DEPTH_MAX:
        return
    known = _attribute(model, "categories_")
    if isinstance(known, list) and len(known) == len(names):
        yield from zip(names, known, strict=True)
    elif (steps := _attribute(model, "steps")) and isinstance(steps, list):
        # What stands behind a step that selects or makes columns has others.
        yield from _categories(steps[0][1], names, depth + 1)
    elif isinstance(parts := _attribute(model, "transformers_"), list):
        for _, part, columns in parts:
            chosen = _chosen(columns, names)
            if chosen and not isinstance(part, str):
                yield from _categories(part, chosen, depth + 1)


def _chosen(columns: Any, names: Sequence[str]) -> list[str]:
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, int):
        return [names[columns]] if columns < len(names) else []
    try:
        chosen = list(columns)
    except TypeError:
        return []
    if all(isinstance(c, str) for c in chosen):
        return chosen
    if all(isinstance(c, int) and 0 <= c < len(names) for c in chosen):
        return [names[c] for c in chosen]
    return []

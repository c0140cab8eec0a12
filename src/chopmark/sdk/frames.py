"""Columns of one type each, of rows whose values may be of any: what Arrow and polars ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["cell", "typed_columns"]

_INT64_MAX = 2**63 - 1


def typed_columns(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, list[Any]]:
    """Values by column, those of one column of one type (or None).

    Parameters
    ----------
    rows, names
        Rows as dictionaries, and the columns wanted of them.

    Returns
    -------
    dict[str, list[Any]]
        Lists and mappings become JSON text. Whole and other numbers together become floats. Where values are
        of other types together, or a whole number needs more than 64 bits, texts stay as they are and all else
        becomes JSON text: ``8`` beside ``"auto"`` is ``"8"``.
    """
    return {name: _one_type([cell(row.get(name)) for row in rows]) for name in names}


def cell(value: Any) -> Any:
    """A value that a column of one type can hold: containers become JSON text."""
    return _json(value) if isinstance(value, (dict, list, tuple)) else value


def _one_type(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if int in kinds and any(type(v) is int and not -_INT64_MAX - 1 <= v <= _INT64_MAX for v in values):
        return [_as_text(value) for value in values]
    if len(kinds) <= 1:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [_as_text(value) for value in values]


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()

"""Positions in the answer to a query: where one page ends and the next goes on.

A position is a list of JSON values: the sort values of a version (None where it has none), then
its time of making in microseconds, then its id in hexadecimal digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chopmark.base.clock import to_us
from chopmark.domain.query import Order, order_values
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest

__all__ = ["check_position", "position_of"]

_ID = re.compile(r"[0-9a-f]{32}")
_TIME_US_MAX = 2**62
_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "semver": (str,),
    "number": (int, float),
    "time": (int,),
    "bool": (bool,),
    "any": (str, int, float, bool),
}
# Fields that every version has a value in.
_ALWAYS = frozenset(("number", "size_bytes", "created_at", "updated_at", "runs_code", "semver"))


def position_of(order: Sequence[Order], version: Version) -> list[Any]:
    """The position of a version in an order."""
    return [*order_values(order, version), to_us(version.created_at), version.id.hex]


def check_position(order: Sequence[Order], position: Sequence[Any]) -> list[Any]:
    """Return a position as a list when it can be one of this order.

    Raises
    ------
    InvalidRequest
        When it has another length, or a value is not of its field's type.
    """
    if len(position) == len(order) + 2:
        *values, made_us, version_id = position
        fits = all(_fits(term, value) for term, value in zip(order, values, strict=True))
        if fits and _is_time(made_us) and isinstance(version_id, str) and _ID.fullmatch(version_id):
            return list(position)
    raise InvalidRequest(
        "The position to go on from does not belong to this order.",
        hint="Start again from the first page.",
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TIME_US_MAX


def _fits(term: Order, value: Any) -> bool:
    field = term.field
    if value is None:
        return bool(field.key) or field.name not in _ALWAYS
    if isinstance(value, bool) and field.type not in ("bool", "any"):
        return False
    if isinstance(value, int) and abs(value) >= _TIME_US_MAX:
        return False
    return isinstance(value, _TYPES[field.type])

"""What an element of an array is, and values of JSON as arrays of it.

A number of JSON has no type: it is read as what the field is, where that loses nothing that the field could tell apart. A number with
a point or an exponent is no integer, also when it is a whole one.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.domain.signature import Field, FieldType

__all__ = [
    "Element",
    "array_of",
    "check_finite",
    "element_of",
    "finite_numbers",
    "objects_of",
    "times_of",
    "type_words",
]

_TAKEN: dict[str, frozenset[type]] = {
    "bool": frozenset({bool}),
    "int": frozenset({int, bool}),
    "float": frozenset({float, int, bool}),
    "string": frozenset({str}),
    "category": frozenset({str, int, float, bool}),
    "bytes": frozenset({str}),
    "datetime": frozenset({str}),
    "object": frozenset({str, int, float, bool, list, dict}),
}
_DEFAULT_DTYPE = {"bool": "bool", "int": "int64", "float": "float64", "datetime": "datetime64[ns]"}
_KINDS = {"bool": "b", "int": "iu", "float": "f"}
_WORDS: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number with a point",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    NoneType: "null",
}
_TYPE_WORDS = {
    "bool": "true or false",
    "int": "whole numbers",
    "float": "numbers",
    "string": "texts",
    "category": "texts or numbers",
    "bytes": "bytes in base64",
    "datetime": "times such as 2026-03-01T12:30:00Z",
}
_FEW = 64
_WIDE_BYTES = 8
# What nanoseconds since 1970 in 64 bits hold, whole years of it.
_YEARS = (1678, 2261)


class Element(NamedTuple):
    """What the elements of an array are.

    Attributes
    ----------
    label
        The field, as an error calls it: ``column 'amount'``.
    type, nullable
        As in the field.
    dtype
        Of the array.
    may_be_infinite
        Whether an infinity is a value: in tensors, where masks are made of it.
    """

    label: str
    type: FieldType
    dtype: np.dtype[Any]
    nullable: bool
    may_be_infinite: bool


def element_of(field: Field, what: str = "column") -> Element:
    """What the elements of a field are: see `chopmark.gateway.protocols.asked`."""
    dtype = np.dtype(_DEFAULT_DTYPE.get(field.type, "object"))
    kinds = _KINDS.get(field.type, "")
    if kinds:
        dtype = _named(field.dtype, kinds) or dtype
    if field.nullable and field.type == "int":
        dtype = np.dtype("float64")
    elif field.nullable and field.type == "bool":
        dtype = np.dtype("object")
    return Element(f"{what} {shown(field.name)}", field.type, dtype, field.nullable, what == "tensor")


def _named(name: str, kinds: str) -> np.dtype[Any] | None:
    try:
        dtype = np.dtype(name or "object")
    except TypeError:  # a name of pandas or polars
        return None
    return dtype.newbyteorder("=") if dtype.kind in kinds and dtype.itemsize <= _WIDE_BYTES else None


def type_words(element: Element) -> str:
    """What it takes, for people."""
    return _TYPE_WORDS.get(element.type, "anything") + (" or null" if element.nullable else "")


def array_of(element: Element, values: Sequence[Any]) -> NDArray[Any]:
    """Values of JSON as an array of one dimension.

    Raises
    ------
    InvalidRequest
        When one of them is not what the field is.
    """
    types = set(map(type, values))
    has_missing = NoneType in types
    if has_missing:
        if not element.nullable:
            raise InvalidRequest(
                f"The {element.label} {_where(values, NoneType)}null or missing; it must have a value."
            )
        types.discard(NoneType)
    taken = _TAKEN[element.type]
    if not types <= taken:
        other = next(iter(types - taken))
        msg = f"The {element.label} {_where(values, other)}{_WORDS.get(other, 'something else')}."
        raise InvalidRequest(msg, hint=f"It takes {type_words(element)}.")
    kind = element.dtype.kind
    if kind == "O":
        return objects_of([_from_base64(element, v) for v in values] if element.type == "bytes" else values)
    if kind == "M":
        return times_of(element, values)
    try:
        array, is_finite = finite_numbers(values, element.dtype, has_missing=has_missing)
    except OverflowError as error:
        raise beyond(element.label, element.dtype) from error
    if not (is_finite or element.may_be_infinite) and np.isinf(array).any():
        raise InvalidRequest(f"The {element.label} holds an infinity, which is no value of a column.")
    return array


def _where(values: Sequence[Any], kind: type) -> str:
    if len(values) == 1:
        return "is "
    row = next(i for i, value in enumerate(values) if type(value) is kind)
    return f"holds in row {row + 1:,} (of {len(values):,}) what is "


def finite_numbers(values: Sequence[Any], dtype: np.dtype[Any], *, has_missing: bool) -> tuple[NDArray[Any], bool]:
    """Numbers as an array, and whether they are known to be finite (their sum may not be); None becomes NaN.

    Raises
    ------
    OverflowError
        When one is beyond what the element type holds.
    """
    if dtype.kind != "f":
        return np.array(values, dtype), True
    wide: NDArray[Any] = np.array(values, np.float64)
    if has_missing:
        is_finite = False
    elif len(values) <= _FEW:
        is_finite = math.isfinite(sum(values))  # a quarter of what numpy takes to start
    else:
        is_finite = bool(np.isfinite(wide).all())
    if dtype.itemsize == _WIDE_BYTES:
        return wide, is_finite
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    if (np.isinf(narrow) & ~np.isinf(wide)).any():
        raise OverflowError
    return narrow, is_finite


def beyond(label: str, dtype: np.dtype[Any]) -> InvalidRequest:
    """The error of a number that an element type does not hold."""
    return InvalidRequest(f"The {label} holds a number beyond what {dtype.name} can hold.")


def check_finite(element: Element, array: NDArray[Any]) -> None:
    """Refuse NaN where the field is not nullable, and infinities where they are no values."""
    if array.dtype.kind != "f":
        return
    if not element.nullable and np.isnan(array).any():
        raise InvalidRequest(f"The {element.label} holds NaN; it must have a value.")
    if not element.may_be_infinite and np.isinf(array).any():
        raise InvalidRequest(f"The {element.label} holds an infinity, which is no value of a column.")


def objects_of(values: Sequence[Any]) -> NDArray[Any]:
    """Values as objects of an array of one dimension, also where they are lists."""
    array = np.empty(len(values), dtype=object)
    if list in set(map(type, values)):  # numpy would make dimensions of them
        for i, value in enumerate(values):
            array[i] = value
    else:
        array[:] = values
    return array


def _from_base64(element: Element, text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"The {element.label} is no base64, as which JSON carries bytes.") from error


def times_of(element: Element, texts: Sequence[str | None]) -> NDArray[Any]:
    """Times of ISO 8601 as nanoseconds in UTC; those without a zone are taken as they stand."""
    moments = [None if text is None else _moment(element, text) for text in texts]
    return np.array(moments, "datetime64[us]").astype("datetime64[ns]")


def _moment(element: Element, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        msg = f"The {element.label} holds {shown(text)}, which is no time."
        raise InvalidRequest(msg, hint="Write times as 2026-03-01T12:30:00Z.") from error
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        msg = f"The {element.label} holds a time of the year {moment.year}."
        raise InvalidRequest(msg, hint=f"Times are of the years {_YEARS[0]} to {_YEARS[1]}.")
    return moment

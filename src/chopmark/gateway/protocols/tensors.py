"""Tensors of the Open Inference Protocol as numpy has them, and as a field wants them.

A declared type is what the elements are: they are widened to what the field takes where nothing is lost, and never narrowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest
from chopmark.gateway.protocols.asked import Unreadable
from chopmark.gateway.protocols.elements import (
    Element,
    array_of,
    beyond,
    check_finite,
    finite_numbers,
    objects_of,
    times_of,
    type_words,
)
from chopmark.gateway.protocols.nested import DIMENSIONS_MAX, flattened

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DTYPES", "Tensor", "check_shape", "datatype_of", "tensor_of", "widened"]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("bool"),
    "UINT8": np.dtype("uint8"),
    "UINT16": np.dtype("uint16"),
    "UINT32": np.dtype("uint32"),
    "UINT64": np.dtype("uint64"),
    "INT8": np.dtype("int8"),
    "INT16": np.dtype("int16"),
    "INT32": np.dtype("int32"),
    "INT64": np.dtype("int64"),
    "FP16": np.dtype("float16"),
    "FP32": np.dtype("float32"),
    "FP64": np.dtype("float64"),
    "BYTES": np.dtype("object"),
}
"""Element types by their names in the protocol."""

_FEW = 8
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_TAKEN = {
    "b": frozenset({bool}),
    "u": frozenset({int}),
    "i": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
}
_JSON_WORDS = {"b": "true or false", "u": "whole numbers", "i": "whole numbers", "f": "numbers", "O": "texts"}
_WIDENED_TO = {
    "b": frozenset({"bool", "int", "float", "category", "object"}),
    "u": frozenset({"int", "float", "category", "object"}),
    "i": frozenset({"int", "float", "category", "object"}),
    "f": frozenset({"float", "category", "object"}),
    "O": frozenset({"string", "category", "bytes", "datetime", "object"}),
}


class Tensor(NamedTuple):
    """A tensor as it was sent.

    Attributes
    ----------
    name, datatype, shape
        As declared; the array has this shape.
    array
        Its elements: as declared; floats with NaN where elements of a whole-number or boolean tensor are null; for ``BYTES``
        objects: texts of JSON, bytes of binary data, None.
    is_finite
        Whether it is known to hold neither NaN nor an infinity.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    array: NDArray[Any]
    is_finite: bool = False

    @property
    def label(self) -> str:
        """As an error calls it."""
        return _label(self.name)


def check_shape(name: str, shape: Sequence[int], elements_max: int) -> int:
    """How many elements it stands for.

    Raises
    ------
    Unreadable
        When there is no dimension or no row, a length is negative, or it is more than is taken.
    """
    if 1 <= len(shape) <= _FEW and min(shape) > 0 and (count := math.prod(shape)) <= elements_max:
        return count
    if not 1 <= len(shape) <= DIMENSIONS_MAX:
        msg = f"The tensor {shown(name)} has {len(shape)} dimensions; it must have 1 to {DIMENSIONS_MAX}."
        raise Unreadable(msg, hint="The first dimension is the rows.")
    if min(shape) < 0:
        raise Unreadable(f"The tensor {shown(name)} has a negative length in its shape {_shape(shape)}.")
    if shape[0] == 0:
        raise Unreadable(f"The tensor {shown(name)} holds no row.", hint="The first dimension is the rows.")
    # Lengths of 0 do not hide the others: so many rows without elements are too many all the same.
    if math.prod(length or 1 for length in shape) > elements_max:
        msg = f"The tensor {shown(name)} of shape {_shape(shape)} is larger than {elements_max:,} elements."
        raise Unreadable(msg, hint="Send fewer rows at a time.")
    return math.prod(shape)


def tensor_of(name: str, datatype: str, shape: tuple[int, ...], data: list[Any]) -> Tensor:
    """A tensor whose elements came as JSON, in one list or in lists of its shape.

    Raises
    ------
    Unreadable
        When the elements are not what was declared, or not as many.
    """
    dtype = DTYPES[datatype]
    if data and type(data[0]) is list:
        data = flattened(data, shape, _label(name))
    elif len(data) != math.prod(shape):
        msg = f"The {_label(name)} holds {len(data):,} elements, and its shape {_shape(shape)} stands for {math.prod(shape):,}."
        raise Unreadable(msg)
    types = set(map(type, data))
    has_missing = NoneType in types
    types.discard(NoneType)
    if not types <= _TAKEN[dtype.kind]:
        msg = f"The {_label(name)} of the type {datatype} holds something else than {_JSON_WORDS[dtype.kind]}."
        raise Unreadable(msg)
    if dtype.kind == "O":
        return Tensor(name, datatype, shape, objects_of(data).reshape(shape))
    try:
        array, is_finite = _numbers(data, dtype, has_missing=has_missing)
    except OverflowError as error:
        raise beyond(_label(name), dtype) from error
    return Tensor(name, datatype, shape, array if len(shape) == 1 else array.reshape(shape), is_finite)


def _numbers(data: list[Any], dtype: np.dtype[Any], *, has_missing: bool) -> tuple[NDArray[Any], bool]:
    if not has_missing:
        return finite_numbers(data, dtype, has_missing=False)
    finite_numbers([value for value in data if value is not None], dtype, has_missing=False)  # may be beyond the type
    return finite_numbers(data, dtype if dtype.kind == "f" else np.dtype("float64"), has_missing=True)


def _label(name: str) -> str:
    return f"tensor {shown(name)}"


def widened(tensor: Tensor, element: Element) -> NDArray[Any]:
    """Its elements as the field takes them; a new array, or one that nobody else has.

    Raises
    ------
    InvalidRequest
        When the field takes something else, or what would be lost.
    """
    given, array = DTYPES[tensor.datatype], tensor.array
    is_whole = element.type == "int" and element.dtype.kind == given.kind == "f"  # nullable: NaN has no integer
    if is_whole and not np.array_equal(np.rint(array), array, equal_nan=True):
        raise InvalidRequest(f"The {element.label} takes whole numbers, and the {tensor.label} holds others.")
    if element.type not in _WIDENED_TO[given.kind] and not is_whole:
        msg = f"The {tensor.label} is {tensor.datatype}, of which the {element.label} cannot be made."
        raise InvalidRequest(msg, hint=f"It takes {type_words(element)}{_as_sent(element)}.")
    if element.dtype.kind in "OM":
        return _objects(tensor, element).reshape(tensor.shape)
    if array.dtype != given:  # numbers of which some are null
        check_finite(element, array)
        if element.dtype.kind != "f":  # an integer or boolean field that is not nullable
            raise InvalidRequest(f"The {element.label} holds null; it must have a value.")
    if given == element.dtype:
        wide = array if array.flags.writeable else array.astype(element.dtype)
    else:
        _check_widening(tensor, element)
        wide = array.astype(element.dtype)
    if not tensor.is_finite:
        check_finite(element, wide)
    return wide


def _check_widening(tensor: Tensor, element: Element) -> None:
    given = DTYPES[tensor.datatype]
    if given.kind in "iu" and element.dtype.kind == "f":
        exact_to = 2 ** (np.finfo(element.dtype).nmant + 1)
        numbers = tensor.array[~np.isnan(tensor.array)] if tensor.array.dtype.kind == "f" else tensor.array
        if numbers.size and not (-exact_to <= numbers.min() and numbers.max() <= exact_to):
            msg = f"The {tensor.label} holds whole numbers beyond {exact_to:,}, which {element.dtype.name} rounds."
            raise InvalidRequest(msg)
    elif not np.can_cast(given, element.dtype, "safe"):
        msg = f"The {tensor.label} is {tensor.datatype}; the {element.label} takes {_NAMES[element.dtype]}, which holds less."
        raise InvalidRequest(msg, hint="Elements are widened, and never narrowed: cast them before they are sent.")


def _objects(tensor: Tensor, element: Element) -> NDArray[Any]:
    """Texts, bytes, times, or what is left as it is."""
    values = tensor.array.ravel().tolist()
    if DTYPES[tensor.datatype].kind != "O":
        nan_free = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
        if element.type == "bool":
            nan_free = [value if value is None else bool(value) for value in nan_free]
        return array_of(element, nan_free)
    if element.type == "bytes":
        if not element.nullable and None in values:
            raise InvalidRequest(f"The {element.label} holds null; it must have a value.")
        return objects_of([value.encode() if type(value) is str else value for value in values])
    texts = [_text(tensor, value) if type(value) is bytes else value for value in values]
    if element.type == "datetime":
        if not element.nullable and None in texts:
            raise InvalidRequest(f"The {element.label} holds null; it must have a value.")
        return times_of(element, texts)
    return array_of(element, texts)


def _text(tensor: Tensor, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The {tensor.label} holds bytes that are no text in UTF-8.") from error


def datatype_of(element_type: str, dtype: Any) -> str:
    """The protocol's name for what a field's elements are.

    >>> datatype_of("float", "float32"), datatype_of("category", "object")
    ('FP32', 'BYTES')
    """
    if element_type == "bool":
        return "BOOL"
    return _NAMES.get(np.dtype(dtype), "BYTES")


def _as_sent(element: Element) -> str:
    name = datatype_of(element.type, element.dtype) if element.dtype.kind != "M" else "BYTES"
    return f", sent as {name}"


def _shape(shape: Sequence[int]) -> str:
    return str(list(shape[:8]))[:-1] + (", …]" if len(shape) > 8 else "]")  # noqa: PLR2004

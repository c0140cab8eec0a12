"""Tensors of a request: their elements stand in its JSON, or after it as the binary tensor extension has them.

There they are little-endian, row by row, one tensor after another; elements of ``BYTES`` are each their length in four bytes,
and their bytes.
"""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from chopmark.domain.names import shown
from chopmark.gateway.protocols.asked import Limits, Unreadable
from chopmark.gateway.protocols.elements import objects_of
from chopmark.gateway.protocols.messages import SentTensor
from chopmark.gateway.protocols.tensors import DTYPES, Tensor, check_shape, tensor_of

__all__ = ["json_and_rest", "tensors_of"]

_LENGTH = struct.Struct("<I")
_DIGITS_MAX = 12


def json_and_rest(body: bytes, length: bytes) -> tuple[bytes, bytes]:
    """The JSON of a body, so long as its header says, and what follows."""
    if not (length.isdigit() and len(length) <= _DIGITS_MAX):
        raise Unreadable("The header Inference-Header-Content-Length is no number of bytes.")
    size_bytes = int(length)
    if size_bytes > len(body):
        msg = f"The header Inference-Header-Content-Length says {size_bytes:,} bytes, and the body has {len(body):,}."
        raise Unreadable(msg)
    return body[:size_bytes], body[size_bytes:]


def tensors_of(sent: list[SentTensor], rest: bytes, limits: Limits) -> list[Tensor]:
    """Tensors with their elements, from the JSON or from the bytes after it.

    Raises
    ------
    Unreadable
        When one is not what it declares.
    """
    tensors = []
    at = 0
    for each in sent:
        if each.datatype not in DTYPES:
            msg = f"The tensor {shown(each.name)} has the datatype {shown(each.datatype)}, which is none."
            raise Unreadable(msg, hint=f"It is one of {', '.join(DTYPES)}.")
        check_shape(each.name, each.shape, limits.elements_max)
        shape = tuple(each.shape)
        if each.parameters and "binary_data_size" in each.parameters:
            tensor, at = _of_bytes(each, shape, rest, at)
            tensors.append(tensor)
        elif each.data is None:
            msg = f"The tensor {shown(each.name)} has no data."
            raise Unreadable(msg, hint="Send `data`, or the parameter binary_data_size and its bytes after the JSON.")
        else:
            tensors.append(tensor_of(each.name, each.datatype, shape, each.data))
    if at != len(rest):
        raise Unreadable(f"{len(rest) - at:,} bytes follow the JSON that belong to no tensor.")
    if not tensors:
        raise Unreadable("There is no tensor among the inputs.")
    return tensors


def _of_bytes(sent: SentTensor, shape: tuple[int, ...], rest: bytes, at: int) -> tuple[Tensor, int]:
    """The tensor whose bytes begin there, and where the next one's begin.

    Raises
    ------
    Unreadable
        When there are fewer bytes than it says, or not those of its shape.
    """
    label = f"tensor {shown(sent.name)}"
    size_bytes = (sent.parameters or {}).get("binary_data_size")
    if type(size_bytes) is not int or size_bytes < 0:
        raise Unreadable(f"The binary_data_size of the {label} is no number of bytes.")
    if sent.data is not None:
        raise Unreadable(f"The {label} has both `data` and a binary_data_size.", hint="Send one of them.")
    if size_bytes > len(rest) - at:
        msg = f"The {label} is to have {size_bytes:,} bytes, and {len(rest) - at:,} are left after the JSON."
        raise Unreadable(msg, hint="The header Inference-Header-Content-Length says how long the JSON is.")
    piece, at = rest[at : at + size_bytes], at + size_bytes
    dtype = DTYPES[sent.datatype]
    count = prod(shape)
    if dtype.kind == "O":
        return Tensor(
            sent.name, sent.datatype, shape, objects_of(_byte_strings(piece, count, label)).reshape(shape)
        ), at
    if size_bytes != count * dtype.itemsize:
        msg = f"The {label} has {size_bytes:,} bytes; {count:,} elements of {sent.datatype} have {count * dtype.itemsize:,}."
        raise Unreadable(msg)
    if dtype.kind == "b":
        if piece.strip(b"\0\1"):
            raise Unreadable(f"The {label} of the type BOOL has bytes other than 0 and 1.")
        return Tensor(sent.name, sent.datatype, shape, np.frombuffer(piece, bool).reshape(shape)), at
    array = np.frombuffer(piece, dtype.newbyteorder("<")).reshape(shape)
    # Read only: whoever takes it as it is makes a copy.
    return Tensor(sent.name, sent.datatype, shape, array.astype(dtype, copy=False)), at


def _byte_strings(piece: bytes, count: int, label: str) -> list[bytes]:
    strings: list[bytes] = []
    at, end = 0, len(piece)
    for _ in range(count):
        start = at + _LENGTH.size
        if start > end or (at := start + _LENGTH.unpack_from(piece, at)[0]) > end:
            raise Unreadable(f"The {label} ends within an element, or before it has all {count:,}.")
        strings.append(piece[start:at])
    if at != end:
        raise Unreadable(f"The {label} has {end - at:,} bytes beyond its {count:,} elements.")
    return strings

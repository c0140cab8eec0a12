"""Tensors of an answer that are no plain numbers, or that are wanted as the bytes of the binary tensor extension."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.base.jsons import encode
from chopmark.gateway.protocols.messages import AnsweredTensor, BinaryWanted
from chopmark.gateway.protocols.tensors import DTYPES, datatype_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Outputs

__all__ = ["answered_tensors"]

_LENGTH = struct.Struct("<I")


def answered_tensors(outputs: Outputs, wanted: BinaryWanted | None) -> tuple[list[AnsweredTensor], list[bytes]]:
    """Tensors of an answer, and the bytes of those that are wanted as bytes."""
    tensors: list[AnsweredTensor] = []
    rest: list[bytes] = []
    for name, array in outputs.items():
        sendable = _sendable(array)
        datatype = datatype_of("bool" if sendable.dtype.kind == "b" else "", sendable.dtype)
        if wanted is None or not wanted.named.get(name, wanted.others):
            data = (
                [_in_json(value) for value in sendable.ravel().tolist()]
                if datatype == "BYTES"
                else sendable.ravel().tolist()
            )
            tensors.append(AnsweredTensor(name, datatype, array.shape, data))
            continue
        piece = _bytes_of(sendable)
        rest.append(piece)
        tensors.append(AnsweredTensor(name, datatype, array.shape, parameters={"binary_data_size": len(piece)}))
    return tensors, rest


def _sendable(array: NDArray[Any]) -> NDArray[Any]:
    """Of an element type that the protocol has; objects where it has none."""
    kind = array.dtype.kind
    if kind == "O":
        narrower = np.array(array.ravel().tolist() or [""])
        return narrower.reshape(array.shape) if narrower.dtype.kind in "biuf" and narrower.size == array.size else array
    if kind in "biuf":
        native = array.dtype.newbyteorder("=")
        return array.astype(native if native in DTYPES.values() else np.float64, copy=False)
    if kind == "M":
        texts: NDArray[Any] = np.datetime_as_string(array).astype(object)
        texts[np.isnat(array)] = None
        return texts
    return array.astype(object)


def _bytes_of(array: NDArray[Any]) -> bytes:
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(_lengthened(map(_in_bytes, array.ravel().tolist())))


def _lengthened(strings: Iterable[bytes]) -> Iterable[bytes]:
    for string in strings:
        yield _LENGTH.pack(len(string))
        yield string


def _in_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    plain = _in_json(value)
    return b"" if plain is None else plain.encode()


def _in_json(value: Any) -> str | None:
    """An object as a text: what is none is written as JSON."""
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):  # among texts it is a missing one
        return None
    try:
        return encode(value).decode()
    except (TypeError, ValueError):
        return str(value)

"""What passes between a process and its worker: a head of MessagePack, and arrays as they are in memory behind it.

A worker runs code that nobody has to trust, and so may send anything. What it sends is read as data: no frame is longer than its
limit, no time longer than the deadline is spent on one, and an array is what its head says only when every byte is there.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from chopmark.base.jsons import converted
from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs

__all__ = [
    "BODY_BYTES_MAX",
    "Frame",
    "FrameFault",
    "Head",
    "Packed",
    "await_begun",
    "receive",
    "send",
    "tell_begun",
    "unpacked_inputs",
]

HEAD_BYTES_MAX = 64 << 20
BODY_BYTES_MAX = 1 << 30

_BEGUN = b"\x01"
_LENGTHS = struct.Struct("<IQ")
_DTYPE = re.compile(r"[<>|=]?(?:[biufcUS][0-9]{1,9}|[Mm]8(?:\[[0-9]{0,4}(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)")
_DIMENSIONS_MAX = 32


class FrameFault(Exception):
    """The other side has ended, or what it sent is no frame."""


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """An array in a frame: in the body, or its values in the head where they are objects."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: list[Any] | None = None


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a frame says.

    Attributes
    ----------
    kind
        ``load`` and ``ask`` are asked, ``opened``, ``answer`` and ``error`` answered.
    matrix
        Whether the only array is an input without a name.
    arrays
        In the order of their bytes.
    outputs
        What is asked for.
    error, text, hint
        Code, or class, of what was raised, and its words.
    facts
        Of a model that was opened.
    resident_bytes
        What the worker uses.
    """

    kind: Literal["load", "ask", "opened", "answer", "error"]
    matrix: bool = False
    arrays: tuple[Packed, ...] = ()
    outputs: tuple[str, ...] = ()
    error: str = ""
    text: str = ""
    hint: str = ""
    facts: Any = None
    resident_bytes: int = 0


class Frame(NamedTuple):
    """A head and what came behind it."""

    head: Head
    body: bytearray

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays, by name.

        Raises
        ------
        FrameFault
            When the head and the bytes do not fit.
        """
        found: dict[str, NDArray[Any]] = {}
        start = 0
        for packed in self.head.arrays:
            found[packed.name], start = _array(packed, self.body, start)
        if start != len(self.body):
            raise FrameFault(f"{len(self.body) - start:,} bytes belong to no array.")
        return found


def unpacked_inputs(frame: Frame) -> Inputs:
    """The inputs that a frame asks about."""
    arrays = frame.arrays()
    return arrays[""] if frame.head.matrix else arrays


def send(channel: socket.socket, head: Head, arrays: Mapping[str, NDArray[Any]], limit_s: float | None) -> None:
    """Send a frame.

    Raises
    ------
    FrameFault
        When the other side has ended, or does not read in time.
    InvalidRequest
        When it would be longer than a frame may be, or holds what cannot be sent.
    """
    packed, parts = [], []
    for name, given in arrays.items():
        array = np.ascontiguousarray(given) if given.ndim else given
        if array.dtype.kind == "O":
            packed.append(Packed(name, "O", array.shape, array.reshape(-1).tolist()))
        else:
            packed.append(Packed(name, array.dtype.str, array.shape))
            parts.append(_bytes_of(array))
    size = sum(len(part) for part in parts)
    try:
        encoded = msgspec.msgpack.encode(msgspec.structs.replace(head, arrays=tuple(packed)), enc_hook=_plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(f"This cannot be sent between processes: {error}.") from error
    if len(encoded) > HEAD_BYTES_MAX or size > BODY_BYTES_MAX:
        raise InvalidRequest(f"{len(encoded) + size:,} bytes are more than pass between processes at a time.")
    deadline = None if limit_s is None else time.monotonic() + limit_s
    _send_all(channel, [_LENGTHS.pack(len(encoded), size), encoded, *parts], deadline)


def receive(channel: socket.socket, limit_s: float | None, body_bytes_max: int = BODY_BYTES_MAX) -> Frame:
    """The next frame.

    Raises
    ------
    TimeoutError
        When it is not there, whole, in time.
    FrameFault
        When the other side has ended, or sent what is none.
    """
    deadline = None if limit_s is None else time.monotonic() + limit_s
    head_size, body_size = _LENGTHS.unpack(_read(channel, _LENGTHS.size, deadline))
    if head_size > HEAD_BYTES_MAX or body_size > body_bytes_max:
        raise FrameFault(f"A frame of {head_size + body_size:,} bytes is longer than it may be.")
    encoded = _read(channel, head_size, deadline)
    body = _read(channel, body_size, deadline)
    try:
        head = converted(msgspec.msgpack.decode(encoded), Head)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, ValueError) as error:
        raise FrameFault(f"The head of a frame cannot be read: {error}.") from error
    return Frame(head, body)


def tell_begun(channel: socket.socket) -> None:
    """Say that a frame is there and will be worked on: whoever ends without it has not begun."""
    _send_all(channel, [_BEGUN], None)


def await_begun(channel: socket.socket, limit_s: float) -> None:
    """Wait until it is said that a frame is worked on.

    Raises
    ------
    TimeoutError, FrameFault
        As `receive`.
    """
    if _read(channel, len(_BEGUN), time.monotonic() + limit_s) != _BEGUN:
        raise FrameFault("It did not say that it begins.")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    # Times have no buffer of their own, and an empty array cannot be cast.
    return memoryview(array.reshape(-1).view(np.uint8)) if array.nbytes else memoryview(b"")  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """Values of numpy within an array of objects."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"values of the type {type(value).__name__} are no data")


def _array(packed: Packed, body: bytearray, start: int) -> tuple[NDArray[Any], int]:
    shape = packed.shape
    if len(shape) > _DIMENSIONS_MAX or any(not 0 <= n <= BODY_BYTES_MAX for n in shape):
        raise FrameFault(f"{shape} is no shape.")
    count = 1
    for n in shape:
        count *= n
    if packed.dtype == "O":
        if packed.values is None or len(packed.values) != count:
            raise FrameFault(f"An array of {count:,} values has others.")
        array = np.empty(count, dtype=object)
        array[:] = packed.values
        return array.reshape(shape), start
    if not _DTYPE.fullmatch(packed.dtype):
        raise FrameFault(f"{packed.dtype[:40]!r} is no type of data.")
    try:
        dtype = np.dtype(packed.dtype)
    except (TypeError, ValueError) as error:
        raise FrameFault(f"{packed.dtype[:40]!r} is no type of data.") from error
    stop = start + count * dtype.itemsize
    if stop > len(body):
        raise FrameFault(f"An array of {count:,} values is cut.")
    if not dtype.itemsize or not count:
        try:
            return np.empty(shape, dtype), start
        except ValueError as error:  # numpy counts the other lengths, though one of them is 0
            raise FrameFault(f"{shape} is no shape.") from error
    return np.frombuffer(body, dtype, count, start).reshape(shape), stop


def _send_all(channel: socket.socket, parts: Sequence[bytes | memoryview], deadline: float | None) -> None:
    waiting = [memoryview(part) for part in parts if len(part)]
    try:
        while waiting:
            channel.settimeout(_left(deadline))
            sent = channel.sendmsg(waiting)
            while waiting and sent >= len(waiting[0]):
                sent -= len(waiting.pop(0))
            if sent:
                waiting[0] = waiting[0][sent:]
    except OSError as error:
        raise FrameFault(f"The other side does not take it: {type(error).__name__}.") from error


def _read(channel: socket.socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        channel.settimeout(_left(deadline))
        try:
            count = channel.recv_into(rest)
        except TimeoutError:
            raise
        except OSError as error:
            raise FrameFault(f"The other side is gone: {error}.") from error
        if not count:
            raise FrameFault("The other side has ended.")
        rest = rest[count:]
    return data


_SHORTEST_S = 1e-6  # zero would mean not to wait at all


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(_SHORTEST_S, deadline - time.monotonic())

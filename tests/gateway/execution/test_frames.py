"""What passes between a process and its worker; a worker may send anything."""

import socket
import struct
import threading
import time

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chopmark.errors import InvalidRequest
from chopmark.gateway.execution.frames import Frame, FrameFault, Head, Packed, receive, send, unpacked_inputs

SCALARS = st.one_of(
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(endianness="?"),
    hnp.boolean_dtypes(),
    hnp.datetime64_dtypes(),
    hnp.unicode_string_dtypes(max_len=5),
    hnp.byte_string_dtypes(max_len=5),
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)


def passed(head: Head, arrays) -> Frame:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sending = threading.Thread(target=send, args=(ours, head, arrays, 20.0))
        sending.start()
        frame = receive(theirs, 20.0)
        sending.join()
    return frame


@given(array=SCALARS.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
def test_arrays_come_as_they_were_sent(array: np.ndarray) -> None:
    (found,) = passed(Head(kind="answer"), {"y": array}).arrays().values()
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@given(
    values=st.lists(
        st.one_of(st.none(), st.text(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), st.binary())
    )
)
def test_objects_come_as_they_were_sent(values) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    frame = passed(Head(kind="ask"), {"a": array, "n": np.arange(3.0)})
    assert frame.arrays()["a"].tolist() == values
    assert frame.arrays()["n"].tolist() == [0.0, 1.0, 2.0]


def test_large_and_strided_arrays_come_whole() -> None:
    array = np.arange(3_000_000.0).reshape(1000, 3000)[::2, ::3]
    frame = passed(Head(kind="ask", matrix=True), {"": array})
    found = unpacked_inputs(frame)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, array)


PACKED = st.builds(
    Packed,
    name=st.text(max_size=3),
    dtype=st.sampled_from(
        ["<f8", "|b1", "<U3", "O", "<M8[ns]", "V8", "f8,f8", "<f3", "<U999999999", "object", "", "x" * 99]
    ),
    shape=st.lists(st.integers(-2, 2**62), max_size=40).map(tuple) | st.lists(st.integers(0, 3), max_size=3).map(tuple),
    values=st.none() | st.lists(st.integers(), max_size=4),
)


@given(packed=st.lists(PACKED, max_size=3), body=st.binary(max_size=64))
@example(packed=[Packed(name="", dtype="<f8", shape=(0, 908, 1681, 1705, 13418, 33017), values=None)], body=b"")
def test_whatever_a_head_says_it_is_arrays_or_a_fault(packed, body: bytes) -> None:
    frame = Frame(Head(kind="answer", arrays=tuple(packed)), bytearray(body))
    try:
        arrays = frame.arrays()
    except FrameFault:
        return
    assert sum(a.nbytes for a in arrays.values() if a.dtype.kind != "O") <= len(body)


@given(sent=st.binary(max_size=200))
def test_whatever_is_sent_is_a_frame_or_a_fault(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(sent)
        with pytest.raises((FrameFault, TimeoutError)):
            receive(theirs, 0.5)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x80",
        msgspec.msgpack.encode({"kind": "other"}),
        b"\x91" * 5000,
        msgspec.msgpack.encode({"kind": 3}),
        b"\xc1",
    ],
)
def test_a_head_that_is_none_is_a_fault(head: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(struct.pack("<IQ", len(head), 0) + head)
        with pytest.raises(FrameFault, match="head"):
            receive(theirs, 1.0)


@pytest.mark.parametrize("lengths", [(2**32 - 1, 0), (10, 2**63), (0, 2**20 + 1)])
def test_a_frame_longer_than_it_may_be_is_a_fault_before_it_is_read(lengths) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(struct.pack("<IQ", *lengths))
        with pytest.raises(FrameFault, match="longer"):
            receive(theirs, 1.0, body_bytes_max=2**20)


def test_a_frame_that_comes_too_slowly_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.02):
            try:
                ours.send(b"\x01")
            except OSError:
                return

    dripping = threading.Thread(target=drip)
    with ours, theirs:
        dripping.start()
        began = time.monotonic()
        with pytest.raises((TimeoutError, FrameFault)):
            receive(theirs, 0.2)
        took_s = time.monotonic() - began
        stop.set()
        dripping.join()
    assert took_s < 2


def test_what_nobody_reads_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(FrameFault, match="TimeoutError"):
        send(ours, Head(kind="ask"), {"x": np.zeros(4_000_000)}, 0.2)


def test_what_is_no_data_is_refused_before_anything_is_sent() -> None:
    ours, theirs = socket.socketpair()
    bad = np.empty(1, dtype=object)
    bad[0] = threading.Lock()
    with ours, theirs:
        with pytest.raises(InvalidRequest):
            send(ours, Head(kind="ask"), {"x": bad}, 1.0)
        send(ours, Head(kind="ask"), {}, 1.0)
        assert receive(theirs, 1.0).head.kind == "ask"

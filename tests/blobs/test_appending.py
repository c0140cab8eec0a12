"""Writing many buffers at once: the same bytes at the same place, past the page cache or through it."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.blobs import appending
from chopmark.blobs.appending import DIRECT_FROM_BYTES, write_buffers

BEFORE = b"what was there before"


def buffers_of(size_bytes: int, seed: int = 0) -> list[bytes]:
    """Random buffers of random lengths, together so long."""
    made = random.Random(seed)
    buffers: list[bytes] = []
    while size_bytes:
        buffers.append(made.randbytes(min(size_bytes, made.choice([0, 1, 60, 4096, 10_000, 65_000, 2_500_000]))))
        size_bytes -= len(buffers[-1])
    return buffers


def written(path: Path, buffers: list[bytes], offset: int) -> bytes:
    """What is in a file after its beginning was kept and buffers were written behind it."""
    start = (BEFORE * (offset // len(BEFORE) + 1))[:offset]
    path.write_bytes(start)
    descriptor = os.open(path, os.O_RDWR)
    try:
        write_buffers(path, descriptor, buffers, offset)
    finally:
        os.close(descriptor)
    found = path.read_bytes()
    assert found[:offset] == start
    return found[offset:]


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 4097, 1_000_000])
@pytest.mark.parametrize(
    "size_bytes", [0, 1, 10_000, DIRECT_FROM_BYTES - 1, DIRECT_FROM_BYTES, DIRECT_FROM_BYTES + 4096, 9_123_457]
)
def test_buffers_come_one_behind_the_other(tmp_path: Path, offset: int, size_bytes: int) -> None:
    buffers = buffers_of(size_bytes)
    assert written(tmp_path / "file", buffers, offset) == b"".join(buffers)


@settings(max_examples=40)
@given(
    offset=st.integers(0, 20_000),
    sizes=st.lists(st.integers(0, 3_000_000) | st.sampled_from([4096, 1 << 20, (1 << 20) - 1]), max_size=6),
)
def test_any_lengths_at_any_place(tmp_path_factory: pytest.TempPathFactory, offset: int, sizes: list[int]) -> None:
    buffers = [random.Random(size).randbytes(size) for size in sizes]
    path = tmp_path_factory.mktemp("appending") / "file"
    assert written(path, buffers, offset) == b"".join(buffers)
    path.unlink()


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system has no direct writes")
def test_whole_blocks_are_written_past_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    direct: list[int] = []
    real_open, real_write = os.open, os.pwrite

    def noting_open(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = real_open(path, flags, mode)
        if flags & os.O_DIRECT:
            opened.append(descriptor)
        return descriptor

    def noting_write(descriptor: int, data: bytes, offset: int) -> int:
        if descriptor in opened:
            direct.append(len(data))
        return real_write(descriptor, data, offset)

    monkeypatch.setattr(os, "open", noting_open)
    monkeypatch.setattr(os, "pwrite", noting_write)
    buffers = buffers_of(5_000_001)
    assert written(tmp_path / "file", buffers, 77) == b"".join(buffers)
    assert opened
    assert sum(direct) > 4_990_000


@pytest.mark.parametrize("when", ["opened", "first written", "later written"])
def test_where_it_cannot_be_done_all_goes_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    flag = os.O_DIRECT
    real_open, real_write = os.open, os.pwrite
    direct: list[int] = []

    def refusing_open(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & flag and when == "opened":
            raise OSError(errno.EINVAL, "Invalid argument")
        descriptor = real_open(path, flags, mode)
        if flags & flag:
            direct.append(descriptor)
        return descriptor

    def refusing_write(descriptor: int, data: bytes, offset: int) -> int:
        if descriptor in direct and (when == "first written" or offset > 2_000_000):
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_write(descriptor, data, offset)

    monkeypatch.setattr(os, "open", refusing_open)
    monkeypatch.setattr(os, "pwrite", refusing_write)
    buffers = buffers_of(5_000_001)
    assert written(tmp_path / "file", buffers, 5) == b"".join(buffers)


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset > 2_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: 3 * 4096], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path / "file", buffers_of(5_000_001), 0)


def test_a_file_system_that_takes_parts_is_given_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:7777], offset))
    buffers = buffers_of(2_000_001)
    assert written(tmp_path / "file", buffers, 0) == b"".join(buffers)  # parts that are no blocks go through the cache


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no file system in memory")
def test_a_file_system_in_memory_takes_them_too() -> None:
    path = Path(f"/dev/shm/chopmark-appending-{os.getpid()}")
    try:
        buffers = buffers_of(3_000_001)
        assert written(path, buffers, 9) == b"".join(buffers)
    finally:
        path.unlink(missing_ok=True)


def test_pieces_are_never_empty() -> None:
    assert all(len(piece) for piece in appending._pieces([b"", b"a" * (1 << 20), b"", b"b"], 4096))

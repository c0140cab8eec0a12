"""The contract of `chopmark.abc.blobs.BlobStore` as tests; the author of a store subclasses it.

::

    class TestMyStore(SharedBlobStoreSuite):
        @pytest.fixture
        def opener(self, tmp_path):              # picklable; opens the same, at first empty, place again
            return functools.partial(MyStore, tmp_path / "store")

        @pytest.fixture
        def tamper(self, tmp_path):              # changes the stored bytes of a blob behind the store's back
            return lambda digest, change: …

A store that lives in one process subclasses `BlobStoreSuite` and gives ``store`` instead of ``opener``. The suite does not
trust the store to set up its own state: damage comes through ``tamper``.
"""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from chopmark.abc.blobs import BlobStat, BlobStore
from chopmark.base.digest import digest_of
from chopmark.errors import Conflict, IntegrityFailure, InvalidRequest, NotFound
from chopmark.testing import blob_processes as processes

__all__ = ["CONTENTS", "BlobStoreSuite", "Opener", "SharedBlobStoreSuite", "Tamper"]

Opener = Callable[[], BlobStore]
Tamper = Callable[[str, Callable[[bytes], bytes]], None]

CONTENTS = {
    "empty": b"",
    "short": b"a few bytes",
    "compressible": b"".join(b"%06d;" % number for number in range(30_000)),
    "random": random.Random(1).randbytes(300_000),
    "large": random.Random(2).randbytes(6_000_000) + bytes(500_000),
}
ABSENT = digest_of(b"never stored")
NOT_DIGESTS = [
    "",
    "abc",
    "sha256:",
    "sha256:" + "g" * 64,
    ABSENT.upper(),
    ABSENT + "0",
    "md5:" + "0" * 32,
    ABSENT + "\n",
]
THREADS = 8


def content_of(store: BlobStore, digest: str) -> bytes:
    """Everything a store hands out for a digest."""
    with store.open(digest) as reader:
        return reader.read()


def put_bytes(store: BlobStore, data: bytes) -> BlobStat:
    """Store bytes as a stream."""
    return store.put(io.BytesIO(data))


def flip(data: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


class Trickle(io.RawIOBase):
    """A stream that cannot seek and gives less than it is asked for, as a socket does."""

    def __init__(self, data: bytes, broken_after: int | None = None) -> None:
        self._data = io.BytesIO(data)
        self._broken_after = broken_after

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """A part of what is left."""
        if self._broken_after is not None and (size < 0 or self._data.tell() >= self._broken_after):
            raise ConnectionResetError("the sender is gone")
        return self._data.read(min(size, 70_001) if size >= 0 else size)


class BlobStoreSuite:
    """What every store promises, whether or not other processes can reach it."""

    @pytest.fixture
    def store(self) -> Iterator[BlobStore]:
        """An empty store; the subclass gives it."""
        raise NotImplementedError

    @pytest.fixture
    def tamper(self) -> Tamper:
        """A function that replaces the stored bytes of a blob; the subclass gives it."""
        raise NotImplementedError

    @pytest.fixture(params=list(CONTENTS))
    def content(self, request: pytest.FixtureRequest) -> bytes:
        """Bytes of several kinds and sizes."""
        return CONTENTS[request.param]

    @pytest.fixture(params=[name for name in CONTENTS if name != "empty"])
    def some_content(self, request: pytest.FixtureRequest) -> bytes:
        """Bytes that can be damaged."""
        return CONTENTS[request.param]

    # Putting and getting

    def test_is_a_blob_store(self, store: BlobStore) -> None:
        assert isinstance(store, BlobStore)

    def test_a_stream_comes_back_as_it_went_in(self, store: BlobStore, content: bytes) -> None:
        stat = store.put(cast("BinaryIO", Trickle(content)))
        assert (stat.digest, stat.size_bytes) == (digest_of(content), len(content))
        assert stat.modified_at.tzinfo == UTC
        assert content_of(store, stat.digest) == content
        assert store.stat(stat.digest) == stat
        assert list(store.list()) == [stat]

    def test_a_file_comes_back_as_it_went_in(self, store: BlobStore, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "model.bin"
        path.write_bytes(content)
        stat = store.put(path)
        assert (stat.digest, stat.size_bytes) == (digest_of(content), len(content))
        assert content_of(store, stat.digest) == content
        assert path.read_bytes() == content

    def test_a_stream_is_taken_from_where_it_stands(self, store: BlobStore) -> None:
        stream = io.BytesIO(b"header and body")
        stream.seek(7)
        assert store.put(stream).digest == digest_of(b"and body")

    def test_a_later_change_of_the_file_does_not_reach_the_store(self, store: BlobStore, tmp_path: Path) -> None:
        path = tmp_path / "model.bin"
        path.write_bytes(CONTENTS["random"])
        stat = store.put(path)
        with path.open("r+b") as file:
            file.write(b"changed")
        assert content_of(store, stat.digest) == CONTENTS["random"]

    def test_equal_bytes_are_stored_once(self, store: BlobStore, content: bytes, tmp_path: Path) -> None:
        first = put_bytes(store, content)
        path = tmp_path / "again"
        path.write_bytes(content)
        for again in (put_bytes(store, content), store.put(path), store.put(path, expected=first.digest)):
            assert (again.digest, again.size_bytes, again.stored_bytes) == (
                first.digest,
                first.size_bytes,
                first.stored_bytes,
            )
            assert first.modified_at <= again.modified_at
            assert list(store.list()) == [store.stat(first.digest)]
        assert content_of(store, first.digest) == content

    def test_progress_tells_every_byte_once(self, store: BlobStore, content: bytes, tmp_path: Path) -> None:
        told: list[int] = []
        stat = store.put(io.BytesIO(content), progress=told.append)
        assert sum(told) == len(content)
        told.clear()
        store.put(io.BytesIO(content), progress=told.append)
        assert sum(told) == len(content)
        told.clear()
        store.fetch(stat.digest, tmp_path / "out", progress=told.append)
        assert sum(told) == len(content)

    def test_expected_bytes_are_stored(self, store: BlobStore, content: bytes) -> None:
        assert store.put(io.BytesIO(content), expected=digest_of(content)).digest == digest_of(content)

    @pytest.mark.parametrize("is_there", [False, True])
    def test_unexpected_bytes_are_not_stored(
        self, store: BlobStore, some_content: bytes, tmp_path: Path, is_there: bool
    ) -> None:
        before = [put_bytes(store, b"what was expected")] if is_there else []
        path = tmp_path / "model.bin"
        path.write_bytes(some_content)
        for source in (path, io.BytesIO(some_content)):
            with pytest.raises(IntegrityFailure, match=digest_of(some_content)):
                store.put(source, expected=digest_of(b"what was expected"))
        assert store.stat(digest_of(some_content)) is None
        assert list(store.list()) == before

    @pytest.mark.parametrize("text", NOT_DIGESTS)
    def test_what_is_no_digest_is_refused(self, store: BlobStore, text: str, tmp_path: Path) -> None:
        target = tmp_path / "out"
        with pytest.raises(InvalidRequest, match="not a digest"):
            store.put(io.BytesIO(b"x"), expected=text)
        for ask in (store.open, store.stat, store.delete, lambda digest: store.fetch(digest, target)):
            with pytest.raises(InvalidRequest, match="not a digest"):
                ask(text)
        assert list(store.list()) == []

    def test_a_consumed_file_is_gone(self, store: BlobStore, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "model.bin"
        for _ in range(2):
            path.write_bytes(content)
            path.chmod(0o640)
            stat = store.put(path, consume=True)
            assert not path.exists()
            assert content_of(store, stat.digest) == content
        assert list(store.list()) == [store.stat(stat.digest)]

    def test_a_refused_file_is_not_consumed(self, store: BlobStore, some_content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "model.bin"
        path.write_bytes(some_content)
        path.chmod(0o640)
        with pytest.raises(IntegrityFailure):
            store.put(path, consume=True, expected=ABSENT)
        assert path.read_bytes() == some_content
        assert path.stat().st_mode & 0o777 == 0o640
        assert list(store.list()) == []

    def test_the_other_name_of_a_consumed_file_does_not_reach_the_store(self, store: BlobStore, tmp_path: Path) -> None:
        path, other = tmp_path / "model.bin", tmp_path / "other name"
        path.write_bytes(CONTENTS["random"])
        other.hardlink_to(path)
        stat = store.put(path, consume=True)
        with other.open("r+b") as file:
            file.write(b"changed")
        assert content_of(store, stat.digest) == CONTENTS["random"]

    # Sources that are refused

    @pytest.mark.parametrize("consume", [False, True])
    def test_only_regular_files_are_taken(self, store: BlobStore, tmp_path: Path, consume: bool) -> None:
        real = tmp_path / "real"
        real.write_bytes(b"bytes")
        link, pipe = tmp_path / "link", tmp_path / "pipe"
        link.symlink_to(real)
        os.mkfifo(pipe)
        for path, reason in ((link, "symbolic link"), (pipe, "not a regular file"), (tmp_path, "not a regular file")):
            with pytest.raises(InvalidRequest, match=reason):
                store.put(path, consume=consume)
            assert os.path.lexists(path)
        with pytest.raises(NotFound, match="no file"):
            store.put(tmp_path / "not there", consume=consume)
        assert list(store.list()) == []

    @pytest.mark.parametrize("way", ["grows", "shrinks", "is rewritten"])
    @pytest.mark.parametrize("consume", [False, True])
    def test_a_file_that_changes_while_it_is_read_is_refused(
        self, store: BlobStore, tmp_path: Path, way: str, consume: bool
    ) -> None:
        path = tmp_path / "model.bin"
        size_bytes = 32 << 20
        with path.open("wb") as file:
            file.truncate(size_bytes)
        stop, running = threading.Event(), threading.Event()

        def change() -> None:
            with path.open("r+b", buffering=0) as file:
                for count in range(1 << 30):
                    match way:
                        case "grows":
                            file.truncate(size_bytes + count)
                        case "shrinks":
                            file.truncate(max(size_bytes - 1 - count, 0))
                        case _:
                            file.seek(0)
                            file.write(b"%d" % count)
                    running.set()
                    if stop.wait(0.0005):
                        return

        changer = threading.Thread(target=change)
        changer.start()
        try:
            assert running.wait(10)
            with pytest.raises(Conflict, match="changed while it was read"):
                store.put(path, consume=consume)
        finally:
            stop.set()
            changer.join()
        assert path.exists()
        assert list(store.list()) == []

    @pytest.mark.parametrize("after", [0, 50, 200_000])
    def test_a_broken_stream_leaves_nothing(self, store: BlobStore, after: int) -> None:
        with pytest.raises(ConnectionResetError):
            store.put(cast("BinaryIO", Trickle(CONTENTS["large"], broken_after=after)))
        assert list(store.list()) == []

    # Reading

    def test_what_is_not_there(self, store: BlobStore, tmp_path: Path) -> None:
        assert store.stat(ABSENT) is None
        assert store.delete(ABSENT) is False
        for ask in (store.open, lambda digest: store.fetch(digest, tmp_path / "out")):
            with pytest.raises(NotFound, match=ABSENT):
                ask(ABSENT)
        assert list(tmp_path.glob("out*")) == []

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 0), (0, 10), (3, 5), (3, None), (299_999, 10), (300_000, 1), (10**12, None), (5, 10**12)],
    )
    def test_a_range_is_a_slice(self, store: BlobStore, some_content: bytes, offset: int, length: int | None) -> None:
        digest = put_bytes(store, some_content).digest
        with store.open(digest, offset=offset, length=length) as reader:
            assert reader.read() == some_content[offset:][:length]

    def test_a_range_below_zero_is_refused(self, store: BlobStore) -> None:
        digest = put_bytes(store, b"bytes").digest
        for offset, length in ((-1, None), (0, -1)):
            with pytest.raises(InvalidRequest, match="0 or more"):
                store.open(digest, offset=offset, length=length)

    @pytest.mark.parametrize("offset", [0, 4])
    def test_a_reader_seeks(self, store: BlobStore, some_content: bytes, offset: int) -> None:
        digest = put_bytes(store, some_content).digest
        expected = io.BytesIO(some_content[offset:])
        with store.open(digest, offset=offset) as reader:
            assert reader.readable()
            assert reader.seekable()
            assert not reader.closed
            for position, whence, count in ((0, 2, 1), (-6, 2, 3), (1, 0, 4), (2, 1, -1), (0, 0, -1), (5, 0, 0)):
                assert reader.seek(position, whence) == expected.seek(position, whence)
                assert reader.read(count) == expected.read(count)
                assert reader.tell() == expected.tell()
        assert reader.closed

    def test_readers_do_not_share_a_position(self, store: BlobStore) -> None:
        digest = put_bytes(store, CONTENTS["large"]).digest
        with store.open(digest) as first, store.open(digest) as second:
            assert first.read(10) == second.read(10) == CONTENTS["large"][:10]

    def test_a_fetched_file_is_the_callers(self, store: BlobStore, content: bytes, tmp_path: Path) -> None:
        digest = put_bytes(store, content).digest
        (tmp_path / "out").mkdir()
        target = tmp_path / "out" / "model.bin"
        store.fetch(digest, target)
        assert target.read_bytes() == content
        assert os.listdir(target.parent) == ["model.bin"]  # noqa: PTH208 the names are the question
        with target.open("r+b") as file:
            file.write(b"changed")
        assert content_of(store, digest) == content
        store.fetch(digest, target)
        assert target.read_bytes() == content

    def test_a_file_cannot_be_fetched_to_just_anywhere(self, store: BlobStore, tmp_path: Path) -> None:
        digest = put_bytes(store, b"bytes").digest
        for target in (tmp_path / "no such directory" / "out", tmp_path):
            with pytest.raises(InvalidRequest):
                store.fetch(digest, target)

    # Damage

    @pytest.mark.parametrize("change", [flip, lambda data: data[:-1], lambda _data: b""], ids=["flip", "cut", "empty"])
    def test_damage_is_found_before_a_byte_is_handed_out(
        self, store: BlobStore, tamper: Tamper, some_content: bytes, change: Callable[[bytes], bytes], tmp_path: Path
    ) -> None:
        digest = put_bytes(store, some_content).digest
        tamper(digest, change)
        self.assert_damaged(store, digest, tmp_path)

    def test_a_swap_of_two_blobs_is_found(
        self, store: BlobStore, tamper: Tamper, some_content: bytes, tmp_path: Path
    ) -> None:
        kept: list[bytes] = []

        def keep(data: bytes) -> bytes:
            kept.append(data)
            return data

        digests = [put_bytes(store, data).digest for data in (some_content, some_content[::-1])]
        for digest in digests:
            tamper(digest, keep)
        for digest, data in zip(digests, reversed(kept), strict=True):
            tamper(digest, lambda _data, other=data: other)  # type: ignore[misc]
        for digest in digests:
            self.assert_damaged(store, digest, tmp_path)

    def test_a_damaged_blob_is_listed_and_can_be_replaced(
        self, store: BlobStore, tamper: Tamper, some_content: bytes
    ) -> None:
        digest = put_bytes(store, some_content).digest
        tamper(digest, lambda _data: b"?")
        assert [stat.digest for stat in store.list()] == [digest]
        assert store.delete(digest)
        assert put_bytes(store, some_content).digest == digest
        assert content_of(store, digest) == some_content

    @staticmethod
    def assert_damaged(store: BlobStore, digest: str, tmp_path: Path) -> None:
        """No way of reading gives anything, and a file that was there stays."""
        target = tmp_path / "out"
        target.write_bytes(b"before")
        for ask in (
            lambda: store.open(digest),
            lambda: store.open(digest, offset=1, length=1),
            lambda: store.fetch(digest, target),
        ):
            with pytest.raises(IntegrityFailure, match=digest):
                ask()
        assert target.read_bytes() == b"before"
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out"]

    # Listing and deleting

    def test_blobs_are_listed_in_order_and_by_prefix(self, store: BlobStore) -> None:
        stats = sorted((put_bytes(store, b"%d" % number) for number in range(40)), key=lambda stat: stat.digest)
        put_bytes(store, b"3")
        assert [stat.digest for stat in store.list()] == [stat.digest for stat in stats]
        digits = stats[17].digest.removeprefix("sha256:")
        for length in (1, 2, 3, 64):
            prefix = digits[:length]
            expected = [stat.digest for stat in stats if stat.digest.startswith("sha256:" + prefix)]
            assert [stat.digest for stat in store.list(prefix)] == expected
            assert stats[17].digest in expected
        assert list(store.list("0" * 64)) == []

    @pytest.mark.parametrize("prefix", ["sha256:", "G", "A", "0" * 65, "../", "*", "\n"])
    def test_what_starts_no_digest_is_refused(self, store: BlobStore, prefix: str) -> None:
        with pytest.raises(InvalidRequest, match="does not start a digest"):
            store.list(prefix)

    def test_a_deleted_blob_is_gone(self, store: BlobStore, content: bytes) -> None:
        digest = put_bytes(store, content).digest
        put_bytes(store, content)
        assert store.delete(digest) is True
        assert store.delete(digest) is False
        assert store.stat(digest) is None
        assert list(store.list()) == []
        with pytest.raises(NotFound):
            store.open(digest)
        assert put_bytes(store, content).digest == digest
        assert content_of(store, digest) == content

    def test_an_open_reader_survives_the_deletion(self, store: BlobStore, some_content: bytes) -> None:
        digest = put_bytes(store, some_content).digest
        with store.open(digest) as reader:
            start = reader.read(5)
            store.delete(digest)
            assert start + reader.read() == some_content

    # Threads

    @pytest.mark.parametrize("name", ["short", "compressible", "large"])
    def test_threads_put_equal_bytes(self, store: BlobStore, name: str, tmp_path: Path) -> None:
        path = tmp_path / "model.bin"
        path.write_bytes(CONTENTS[name])
        start = threading.Barrier(THREADS)

        def put(number: int) -> BlobStat:
            start.wait(30)
            return store.put(path if number % 2 else io.BytesIO(CONTENTS[name]))

        with ThreadPoolExecutor(THREADS) as pool:
            stats = list(pool.map(put, range(THREADS)))
        assert {stat.digest for stat in stats} == {digest_of(CONTENTS[name])}
        assert list(store.list()) == [store.stat(stats[0].digest)]
        assert content_of(store, stats[0].digest) == CONTENTS[name]

    def test_threads_put_different_bytes(self, store: BlobStore) -> None:
        contents = [random.Random(number).randbytes(100_000 + number) for number in range(4 * THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            digests = list(pool.map(lambda data: put_bytes(store, data).digest, contents))
            assert digests == [digest_of(data) for data in contents]
            assert list(pool.map(lambda digest: content_of(store, digest), digests)) == contents
        assert [stat.digest for stat in store.list()] == sorted(digests)

    def test_a_blob_is_absent_or_whole_whoever_puts_and_deletes(self, store: BlobStore) -> None:
        content = CONTENTS["compressible"]
        digest = digest_of(content)
        writing = threading.Event()
        writing.set()

        def write(_number: int) -> None:
            for _ in range(10):
                assert put_bytes(store, content).digest == digest
                store.delete(digest)

        def read(_number: int) -> int:
            seen = 0
            while writing.is_set():
                try:
                    assert content_of(store, digest) == content
                    seen += 1
                except NotFound:
                    pass
                assert {stat.digest for stat in store.list()} <= {digest}
            return seen

        with ThreadPoolExecutor(THREADS) as pool:
            readers = [pool.submit(read, number) for number in range(2)]
            writers = [pool.submit(write, number) for number in range(3)]
            try:
                for writer in writers:
                    writer.result(100)
            finally:
                writing.clear()
            for reader in readers:
                reader.result(100)
        assert put_bytes(store, content).digest == digest
        assert content_of(store, digest) == content


class SharedBlobStoreSuite(BlobStoreSuite):
    """What a store promises that several processes open at once."""

    @pytest.fixture
    def opener(self) -> Opener:
        """What opens the same place, at first empty, in any process; picklable; the subclass gives it."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, opener: Opener) -> Iterator[BlobStore]:
        """The store as this process sees it."""
        store = opener()
        yield store
        store.close()

    def test_it_is_all_there_when_opened_again(self, opener: Opener, store: BlobStore, content: bytes) -> None:
        stat = put_bytes(store, content)
        again = opener()
        assert list(again.list()) == [stat]
        assert content_of(again, stat.digest) == content
        again.close()

    def test_two_processes_put_at_once(self, opener: Opener, store: BlobStore) -> None:
        shared = [CONTENTS["short"], CONTENTS["compressible"], CONTENTS["large"]]
        own = [[b"%d of %d" % (number, process) * 50_000 for number in range(3)] for process in range(2)]
        processes.put_at_once(opener, [[*shared, *own[0]], [*own[1], *shared]])
        expected = {digest_of(data): data for data in [*shared, *own[0], *own[1]]}
        assert [stat.digest for stat in store.list()] == sorted(expected)
        for digest, data in expected.items():
            assert content_of(store, digest) == data

    @pytest.mark.parametrize("kind", ["stream", "file"])
    def test_nothing_is_visible_of_a_put_that_was_killed(
        self, opener: Opener, store: BlobStore, kind: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "model.bin"
        path.write_bytes(CONTENTS["large"])
        processes.put_and_be_killed(opener, path, as_stream=kind == "stream")
        digest = digest_of(CONTENTS["large"])
        assert store.stat(digest) is None
        assert list(store.list()) == []
        with pytest.raises(NotFound):
            store.open(digest)
        assert store.put(path).digest == digest
        assert content_of(store, digest) == CONTENTS["large"]

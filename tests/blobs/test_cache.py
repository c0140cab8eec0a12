"""The cache before a remote store: what it asks the remote for, how much it keeps, and what it throws away first."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from chopmark.abc.blobs import BlobStat, Progress
from chopmark.base.clock import FakeClock
from chopmark.blobs.cache import CachedStore
from chopmark.errors import InvalidRequest, NotFound, Unavailable
from chopmark.testing.memory_blobs import MemoryStore

SIZE = 1000


class CountingStore(MemoryStore):
    """A remote store that counts downloads and can be unreachable."""

    def __init__(self) -> None:
        super().__init__()
        self.downloads = 0
        self.reachable = True
        self._counting = threading.Lock()

    def _verified(self, digest: str) -> bytes:
        with self._counting:
            self.downloads += 1
        if not self.reachable:
            raise Unavailable("the remote store does not answer")
        return super()._verified(digest)

    def stat(self, digest: str) -> BlobStat | None:
        if not self.reachable:
            raise Unavailable("the remote store does not answer")
        return super().stat(digest)


@pytest.fixture
def remote() -> CountingStore:
    return CountingStore()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(step=timedelta(seconds=1))


@pytest.fixture
def cache(remote: CountingStore, clock: FakeClock, tmp_path: Path) -> Iterator[CachedStore]:
    store = CachedStore(remote, tmp_path / "cache", quota_bytes=10 * SIZE, clock=clock)
    yield store
    store.close()


def put(store: CachedStore | CountingStore, number: int, size: int = SIZE) -> str:
    return store.put(io.BytesIO(bytes([number]) * size)).digest


def read(store: CachedStore, digest: str) -> bytes:
    with store.open(digest) as reader:
        return reader.read()


def cached(store: CachedStore) -> int:
    return sum(1 for path in (store.directory / "blobs" / "sha256").rglob("*") if path.is_file())


def test_a_second_read_asks_the_remote_store_nothing(cache: CachedStore, remote: CountingStore, tmp_path: Path) -> None:
    digest = put(cache, 1)
    assert read(cache, digest) == b"\x01" * SIZE
    remote.reachable = False
    assert read(cache, digest) == b"\x01" * SIZE
    with cache.open(digest, offset=10, length=5) as reader:
        assert reader.read() == b"\x01" * 5
    told: list[int] = []
    cache.fetch(digest, tmp_path / "out", progress=told.append)
    assert (tmp_path / "out").read_bytes() == b"\x01" * SIZE
    assert sum(told) == SIZE
    assert remote.downloads == 1


def test_what_is_not_cached_needs_the_remote_store(cache: CachedStore, remote: CountingStore, tmp_path: Path) -> None:
    digest = put(cache, 1)
    remote.reachable = False
    with pytest.raises(Unavailable):
        cache.open(digest)
    with pytest.raises(Unavailable):
        cache.fetch(digest, tmp_path / "out")
    remote.reachable = True
    assert read(cache, digest) == b"\x01" * SIZE


def test_the_quota_is_kept_and_the_least_recently_used_go_first(cache: CachedStore, remote: CountingStore) -> None:
    digests = [put(remote, number) for number in range(30)]
    for digest in digests[:10]:
        read(cache, digest)
    assert cache.cached_bytes() == 10 * SIZE
    read(cache, digests[0])  # used again: the second is now the oldest
    remote.downloads = 0
    for count, digest in enumerate(digests[10:], start=1):
        read(cache, digest)
        read(cache, digests[0])
        assert remote.downloads == count, "the one in use stays"
        assert cache.cached_bytes() <= 10 * SIZE
    remote.downloads = 0
    read(cache, digests[0])
    read(cache, digests[29])
    assert remote.downloads == 0
    read(cache, digests[1])
    assert remote.downloads == 1


def test_a_blob_larger_than_the_quota_is_passed_through(
    cache: CachedStore, remote: CountingStore, tmp_path: Path
) -> None:
    kept = put(remote, 1)
    read(cache, kept)
    large = put(remote, 2, 10 * SIZE + 1)
    for _ in range(2):
        assert len(read(cache, large)) == 10 * SIZE + 1
    cache.fetch(large, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size == 10 * SIZE + 1
    assert remote.downloads == 1 + 3
    assert cache.cached_bytes() == SIZE


def test_a_cache_of_nothing_still_serves(remote: CountingStore, tmp_path: Path) -> None:
    cache = CachedStore(remote, tmp_path / "cache", quota_bytes=0)
    digest = put(cache, 1)
    assert len(read(cache, digest)) == SIZE
    assert cache.cached_bytes() == 0
    with pytest.raises(InvalidRequest, match="-1"):
        CachedStore(remote, tmp_path / "cache", quota_bytes=-1)


@pytest.mark.parametrize("damage", [b"", b"?" * SIZE, b"\x01" * (SIZE - 1)])
def test_a_damaged_entry_is_thrown_away_and_fetched_again(
    cache: CachedStore, remote: CountingStore, tmp_path: Path, damage: bytes
) -> None:
    digest = put(cache, 1)

    def damage_entry() -> None:
        read(cache, digest)
        (path,) = (path for path in (cache.directory / "blobs" / "sha256").rglob("*") if path.is_file())
        path.chmod(0o644)
        path.write_bytes(damage)

    damage_entry()
    assert read(cache, digest) == b"\x01" * SIZE
    damage_entry()
    cache.fetch(digest, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"\x01" * SIZE
    assert remote.downloads == 3
    assert cache.cached_bytes() == SIZE


def test_threads_that_miss_the_same_blob_download_it_once(cache: CachedStore, remote: CountingStore) -> None:
    digest = put(cache, 1)
    start = threading.Barrier(8)

    def open_it(_number: int) -> bytes:
        start.wait(10)
        return read(cache, digest)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(open_it, range(8))) == {b"\x01" * SIZE}
    assert remote.downloads == 1


def test_threads_that_read_more_than_fits_keep_the_quota(cache: CachedStore, remote: CountingStore) -> None:
    digests = [put(remote, number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda digest: read(cache, digest), digests))
            assert found == [bytes([number]) * SIZE for number in range(40)]
            assert cache.cached_bytes() <= 10 * SIZE


@pytest.mark.parametrize("count", [None, b"", b"garbage", b"0\n"])
def test_a_lost_or_wrong_count_is_put_right(cache: CachedStore, remote: CountingStore, count: bytes | None) -> None:
    digests = [put(remote, number) for number in range(25)]
    for digest in digests[:10]:
        read(cache, digest)
    usage = cache.directory / "usage"
    if count is None:
        usage.unlink()
    else:
        usage.write_bytes(count)
    for digest in digests[10:]:
        read(cache, digest)
    if count != b"0\n":  # a count that is merely too low cannot be seen until it passes the quota
        assert cached(cache) <= 10
    for digest in digests:
        read(cache, digest)
    assert cache.cached_bytes() <= 10 * SIZE


def test_an_entry_evicted_between_download_and_reading_is_read_remotely(
    cache: CachedStore, remote: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(cache, 1)
    fill = cache._fill

    def fill_and_evict(wanted: str, progress: Progress | None) -> bool:
        done = fill(wanted, progress)
        cache._drop(wanted)
        return done

    monkeypatch.setattr(cache, "_fill", fill_and_evict)
    assert read(cache, digest) == b"\x01" * SIZE
    assert remote.downloads == 2


def test_deleting_reaches_both(cache: CachedStore) -> None:
    digest = put(cache, 1)
    read(cache, digest)
    assert cache.delete(digest)
    assert not cache.delete(digest)
    with pytest.raises(NotFound):
        cache.open(digest)
    assert cache.cached_bytes() == 0


def test_a_cache_that_is_deleted_under_way_fills_again(cache: CachedStore, remote: CountingStore) -> None:
    digest = put(cache, 1)
    read(cache, digest)
    for path in sorted((cache.directory / "blobs").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert read(cache, digest) == b"\x01" * SIZE
    assert remote.downloads == 2


def test_a_failed_download_leaves_nothing_in_the_cache(
    cache: CachedStore, remote: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(cache, 1)

    def fail(_digest: str, target: Path, *, progress: Progress | None = None) -> None:
        assert progress is None
        target.write_bytes(b"half")
        raise Unavailable("the connection broke")

    monkeypatch.setattr(remote, "fetch", fail)
    with pytest.raises(Unavailable, match="broke"):
        cache.open(digest)
    assert [path for path in (cache.directory / "blobs").rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    assert read(cache, digest) == b"\x01" * SIZE


def test_a_stream_is_put_through(cache: CachedStore, remote: CountingStore) -> None:
    stream: BinaryIO = io.BytesIO(b"bytes")
    stat = cache.put(stream, expected=None)
    assert cache.stat(stat.digest) == stat == remote.stat(stat.digest)
    assert list(cache.list()) == [stat]

"""Small blobs in packs: what is on the medium before anybody is told, what a kill leaves, and how the index comes back."""

import errno
import io
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chopmark.abc.blobs import BlobSource
from chopmark.base.digest import digest_of
from chopmark.blobs import LocalStore, filesystem, packed
from chopmark.blobs.packs import HEADER_BYTES, header_of, payload_of, read_header, scan
from chopmark.errors import IntegrityFailure, NotFound, Unavailable
from tests.stored_bytes import change_stored, place_of

SMALL = [random.Random(n).randbytes(1000 + n) for n in range(40)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def put(store: LocalStore, data: bytes) -> str:
    return store.put(io.BytesIO(data)).digest


def read(store: LocalStore, digest: str) -> bytes:
    with store.open(digest) as reader:
        return reader.read()


def pack(root: Path, number: int = 1) -> Path:
    return root / "packs" / f"{number:06}.pack"


def lose_index(root: Path) -> None:
    for path in (root / "packs").glob("index.db*"):
        path.unlink()


def all_in(root: Path, contents: list[bytes]) -> bool:
    store = LocalStore(root)
    try:
        return [read(store, digest_of(data)) for data in contents] == contents
    finally:
        store.close()


# The format


def test_a_record_says_what_it_is() -> None:
    digest = digest_of(b"abc")
    header = header_of(digest, 3, 1_700_000_000_000_000)
    assert len(header) == HEADER_BYTES == 56
    record = read_header(header, 7)
    assert record == (digest, 7, 3, 1_700_000_000_000_000, True)
    assert payload_of(header + b"abc", record) == b"abc"
    assert payload_of(header + b"abd", record) is None
    assert payload_of(header + b"ab", record) is None


@given(position=st.integers(0, HEADER_BYTES - 1), bit=st.integers(0, 7))
def test_a_damaged_header_is_none_or_the_same(position: int, bit: int) -> None:
    header = bytearray(header_of(digest_of(b"abc"), 3, 5))
    header[position] ^= 1 << bit
    assert read_header(bytes(header), 0) is None, "one bit never makes '+' into '-'"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(data=st.data())
def test_damage_hides_no_record_but_its_own(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "some.pack"
    records = [header_of(digest_of(each), len(each), 1) + each for each in SMALL[:6]]
    damaged = data.draw(st.integers(0, 5))
    content = bytearray(b"".join(records))
    start = sum(map(len, records[:damaged]))
    content[start + data.draw(st.integers(0, len(records[damaged]) - 1))] ^= 0x40
    path.write_bytes(content)
    with path.open("rb") as file:
        whole = [record.digest for record, is_whole in scan(file.fileno(), 0, len(content)) if is_whole]
    assert whole == [digest_of(each) for number, each in enumerate(SMALL[:6]) if number != damaged]


# Storing


def test_small_blobs_share_a_file_and_large_ones_do_not(root: Path) -> None:
    store = LocalStore(root)
    stats = store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    assert [stat.digest for stat in stats] == [digest_of(data) for data in SMALL]
    assert [path.name for path in (root / "packs").glob("*.pack")] == ["000001.pack"]
    assert pack(root).stat().st_size == sum(len(data) + HEADER_BYTES for data in SMALL)
    assert not (root / "sha256").exists()
    edge = random.Random(0).randbytes(packed.PACKED_BELOW_BYTES)
    put(store, edge)
    put(store, edge[:-1])
    assert len(list((root / "sha256").glob("*/*"))) == 1


def test_a_batch_waits_once_for_the_medium(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    put(store, b"the first makes the directory and the pack")
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    assert synced == [str(pack(root))]


def test_threads_that_put_at_once_share_a_wait(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    put(store, b"first")
    real, waiting, go = os.fsync, threading.Event(), threading.Event()
    count = 0

    def slow(descriptor: int) -> None:
        nonlocal count
        count += 1
        waiting.set()
        assert go.wait(30)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=put, args=(store, data)) for data in SMALL]
    threads[0].start()
    assert waiting.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(store._packed._waiting) < len(SMALL):
        threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join()
    assert count == 2
    assert all_in(root, SMALL)


def test_nobody_is_told_before_the_bytes_are_on_the_medium(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    put(store, b"first")

    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "the medium is gone")

    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "sync_file", broken)
        with pytest.raises(Unavailable, match="the medium is gone"):
            put(store, SMALL[0])
    assert store.stat(digest_of(SMALL[0])) is None
    # What is in memory of the failed write looks whole: nothing may be built on it, so another pack is begun.
    assert put(store, SMALL[0]) == digest_of(SMALL[0])
    assert place_of(root, digest_of(SMALL[0])).path == pack(root, 2)
    lose_index(root)
    assert all_in(root, [b"first", SMALL[0]])


def test_a_full_disk_leaves_the_pack_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    put(store, b"first")
    before = pack(root).read_bytes()
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        real(descriptor, data[:100], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(Unavailable, match="No space left"):
            put(store, SMALL[0])
    assert pack(root).read_bytes() == before
    put(store, SMALL[0])
    assert all_in(root, [b"first", SMALL[0]])


def test_a_write_that_takes_less_than_offered_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:777], offset))
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    assert all_in(root, SMALL)


def test_a_full_pack_is_followed_by_another(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "PACK_BYTES", 5000)
    store = LocalStore(root)
    for data in SMALL[:10]:
        put(store, data)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL[10:]])
    assert len(list((root / "packs").glob("*.pack"))) > 5
    lose_index(root)
    assert all_in(root, SMALL)


def test_a_small_blob_of_an_older_release_stays_a_file(root: Path) -> None:
    old = LocalStore(root, packs=False)
    digest = put(old, SMALL[0])
    store = LocalStore(root)
    assert put(store, SMALL[0]) == digest
    assert place_of(root, digest).path.parent.parent.name == "sha256"
    assert [stat.digest for stat in store.list()] == [digest]
    assert store.delete(digest)
    assert not store.delete(digest)


# What a kill leaves


def test_what_was_appended_and_not_indexed_is_found_by_the_next_writer(root: Path) -> None:
    store = LocalStore(root)
    put(store, b"first")
    with pack(root).open("ab") as file:  # as a process does that is killed before it comes to the index
        file.write(header_of(digest_of(SMALL[0]), len(SMALL[0]), 1) + SMALL[0])
    put(store, SMALL[1])
    assert all_in(root, [b"first", SMALL[0], SMALL[1]])


@pytest.mark.parametrize("length", [1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 500])
def test_a_torn_record_at_the_end_is_nothing(root: Path, length: int) -> None:
    store = LocalStore(root)
    put(store, b"first")
    store.close()
    with pack(root).open("ab") as file:
        file.write((header_of(digest_of(SMALL[0]), len(SMALL[0]), 1) + SMALL[0])[:length])
    again = LocalStore(root)
    assert again.stat(digest_of(SMALL[0])) is None
    put(again, SMALL[1])
    assert put(again, SMALL[0]) == digest_of(SMALL[0])
    assert all_in(root, [b"first", SMALL[0], SMALL[1]])
    lose_index(root)
    assert all_in(root, [b"first", SMALL[0], SMALL[1]])


def test_zeros_where_a_power_cut_lost_the_bytes_are_nothing(root: Path) -> None:
    store = LocalStore(root)
    put(store, b"first")
    store.close()
    with pack(root).open("ab") as file:
        file.write(header_of(digest_of(SMALL[0]), len(SMALL[0]), 1) + bytes(len(SMALL[0])))
    assert LocalStore(root).stat(digest_of(SMALL[0])) is None
    lose_index(root)
    assert LocalStore(root).stat(digest_of(SMALL[0])) is None
    assert all_in(root, [b"first"])


# The index


@pytest.mark.parametrize("how", ["lost", "garbage", "newer"])
def test_the_index_is_made_again(root: Path, how: str) -> None:
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    store.delete(digest_of(SMALL[3]))
    store.close()
    index = root / "packs" / "index.db"
    if how == "newer":
        with sqlite3.connect(index) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        lose_index(root)
        if how == "garbage":
            index.write_bytes(b"no database at all" * 1000)
    again = LocalStore(root)
    assert [stat.digest for stat in again.list()] == sorted(digest_of(d) for d in SMALL if d is not SMALL[3])
    assert all_in(root, [data for data in SMALL if data is not SMALL[3]])


def test_a_damaged_blob_is_still_told_of_when_the_index_was_lost(root: Path) -> None:
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL[:3]])
    change_stored(root, digest_of(SMALL[1]), lambda data: data[:-1] + b"?")
    store.close()
    lose_index(root)
    again = LocalStore(root)
    with pytest.raises(IntegrityFailure):
        again.open(digest_of(SMALL[1]))
    assert read(again, digest_of(SMALL[2])) == SMALL[2]


def test_a_blob_that_was_deleted_before_a_power_cut_took_the_index_stays_away(root: Path) -> None:
    store = LocalStore(root)
    digest = put(store, SMALL[0])
    row = store._packed._opened_index().find(digest)
    assert row is not None
    store.delete(digest)
    store._packed._opened_index().add(row.pack, pack(root).stat().st_size, [row])  # the deletion was not on the medium
    with pytest.raises(NotFound):
        store.open(digest)
    assert put(store, SMALL[0]) == digest
    assert read(store, digest) == SMALL[0]


def test_a_store_that_may_only_be_read_needs_no_index_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    store.close()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    before = {path.name: path.stat().st_mtime_ns for path in (root / "packs").iterdir()}
    assert all_in(root, SMALL)
    assert {path.name: path.stat().st_mtime_ns for path in (root / "packs").iterdir()} == before


# Removing


def test_the_bytes_of_a_deleted_blob_are_gone(root: Path) -> None:
    store = LocalStore(root)
    put(store, SMALL[0])
    put(store, SMALL[1])
    store.delete(digest_of(SMALL[0]))
    assert SMALL[0][:50] not in pack(root).read_bytes()
    assert SMALL[1] in pack(root).read_bytes()


def test_a_pack_that_is_mostly_dead_gives_its_room_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_COMPACTED_FROM_BYTES", 10_000)
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    reader = store.open(digest_of(SMALL[-1]))
    for data in SMALL[:-3]:
        assert store.delete(digest_of(data))
    assert not pack(root).exists()
    used = sum(path.stat().st_size for path in (root / "packs").glob("*.pack"))
    assert used < sum(len(data) + HEADER_BYTES for data in SMALL[-12:])
    assert reader.read() == SMALL[-1]
    assert all_in(root, SMALL[-3:])
    lose_index(root)
    assert [stat.digest for stat in LocalStore(root).list()] == sorted(map(digest_of, SMALL[-3:]))


def test_what_is_put_while_others_delete_and_compact_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_COMPACTED_FROM_BYTES", 5_000)
    monkeypatch.setattr(packed, "PACK_BYTES", 20_000)
    stop = threading.Event()
    faults: list[BaseException] = []
    kept = SMALL[:10]
    LocalStore(root).put_all([BlobSource(io.BytesIO(data)) for data in kept])

    def run(work: Callable[[LocalStore, int], object]) -> None:
        store = LocalStore(root)
        try:
            count = 0
            while not stop.is_set():
                work(store, count)
                count += 1
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    def churn(store: LocalStore, count: int) -> None:
        data = SMALL[10 + count % 30]
        put(store, data)
        store.delete(digest_of(data))

    def look(store: LocalStore, count: int) -> None:
        assert read(store, digest_of(kept[count % 10])) == kept[count % 10]

    threads = [threading.Thread(target=run, args=(work,)) for work in (churn, churn, look, look)]
    for thread in threads:
        thread.start()
    stop.wait(2)
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert all_in(root, kept)


def test_the_time_of_a_put_is_that_of_the_last(root: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    store = LocalStore(root, clock=lambda: now)
    first = store.put(io.BytesIO(SMALL[0]))
    now += timedelta(hours=1)
    again = store.put(io.BytesIO(SMALL[0]))
    assert (first.modified_at, again.modified_at) == (now - timedelta(hours=1), now)
    assert store.stat(first.digest) == again
    now += timedelta(hours=1)
    store.touch(first.digest)
    assert [stat.modified_at for stat in store.list()] == [now]


# Processes


def test_processes_that_put_equal_bytes_store_them_once(root: Path) -> None:
    program = """
import io, random, sys
from pathlib import Path
from chopmark.blobs import LocalStore
store = LocalStore(Path(sys.argv[1]))
for n in range(200):
    store.put(io.BytesIO(random.Random(n).randbytes(3000)))
"""
    running = [subprocess.Popen([sys.executable, "-c", program, str(root)]) for _ in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    assert pack(root).stat().st_size == 200 * (3000 + HEADER_BYTES)
    assert all_in(root, [random.Random(n).randbytes(3000) for n in range(200)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork")
def test_a_child_of_fork_goes_on_with_an_index_of_its_own(root: Path) -> None:
    store = LocalStore(root)
    put(store, SMALL[0])
    child = os.fork()
    if child == 0:
        try:
            assert read(store, digest_of(SMALL[0])) == SMALL[0]
            put(store, SMALL[1])
            os._exit(0)
        finally:
            os._exit(1)
    put(store, SMALL[2])
    assert os.waitpid(child, 0)[1] == 0
    assert all_in(root, SMALL[:3])
    put(store, SMALL[3])
    assert all_in(root, SMALL[:4])


# What a reviewer broke


def test_the_number_of_a_pack_is_never_given_twice(root: Path) -> None:
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL[:17]])
    store.close()
    before = (root / "packs" / "index.db").read_bytes()
    for data in SMALL[:17]:
        store.delete(digest_of(data))
    large = [random.Random(n).randbytes(60_000) for n in range(40)]
    store.put_all([BlobSource(io.BytesIO(data)) for data in large])
    for data in large:
        store.delete(digest_of(data))
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL[17:]])
    store.close()
    lose_index(root)
    (root / "packs" / "index.db").write_bytes(before)  # as a power cut may set it back
    assert all_in(root, SMALL[17:])
    assert [stat.digest for stat in LocalStore(root).list()] == sorted(map(digest_of, SMALL[17:]))


def test_a_sync_and_an_index_that_fail_together_leave_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    put(store, b"first")

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "the medium is gone")

    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "sync_file", broken)
        patched.setattr("chopmark.blobs.pack_index.PackIndex.note_pack", broken)
        with pytest.raises(Unavailable):
            put(store, SMALL[0])
    assert LocalStore(root).stat(digest_of(SMALL[0])) is None


def test_a_lock_does_not_go_with_a_child(root: Path) -> None:
    root.mkdir()
    with filesystem.locked(root):
        child = os.fork()
        if child == 0:
            threading.Event().wait(60)
            os._exit(0)
    with filesystem.locked(root, wait_s=0.0) as is_held:
        assert is_held
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_an_interrupted_wait_for_the_index_holds_it_no_longer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    put(store, b"first")
    index = store._packed._opened_index()

    class Interrupted:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, sql: str, *values: Any) -> Any:
            done = self._connection.execute(sql, *values)
            if sql.startswith("BEGIN"):
                raise KeyboardInterrupt
            return done

    with monkeypatch.context() as patched:
        patched.setattr(index, "_connection", Interrupted(index._connection))  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            put(store, SMALL[0])
    put(store, SMALL[0])
    assert all_in(root, [b"first", SMALL[0]])


def test_who_may_only_read_sees_what_others_write(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LocalStore(root)
    put(writer, b"first")
    reader = LocalStore(root)
    real = os.access
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
        assert read(reader, digest_of(b"first")) == b"first"
        assert reader._packed._opened_index().is_in_memory
    monkeypatch.setattr(packed, "_COMPACTED_FROM_BYTES", 5_000)
    writer.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    assert read(reader, digest_of(SMALL[7])) == SMALL[7]
    for data in SMALL[:-2]:
        writer.delete(digest_of(data))
    assert reader.stat(digest_of(SMALL[7])) is None
    assert read(reader, digest_of(SMALL[-1])) == SMALL[-1]


def test_an_index_that_is_damaged_in_use_is_made_again(root: Path) -> None:
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])
    store.close()
    path = root / "packs" / "index.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    again = LocalStore(root)
    for _ in range(3):
        try:
            assert read(again, digest_of(SMALL[5])) == SMALL[5]
        except IntegrityFailure as failure:
            assert "Repeat" in str(failure)  # noqa: PT017
    assert read(again, digest_of(SMALL[5])) == SMALL[5]
    assert all_in(root, SMALL)


def test_deletions_that_find_no_room_to_compact_are_done(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_COMPACTED_FROM_BYTES", 5_000)
    store = LocalStore(root)
    store.put_all([BlobSource(io.BytesIO(data)) for data in SMALL])

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(packed, "write_buffers", full)
        for data in SMALL[:-3]:
            assert store.delete(digest_of(data))
    assert store.delete(digest_of(SMALL[-3]))
    assert all_in(root, SMALL[-2:])


def test_a_store_that_goes_out_of_scope_gives_back_what_it_holds(root: Path) -> None:
    put(LocalStore(root), SMALL[0])
    held = len(list(Path("/proc/self/fd").iterdir()))
    for data in SMALL:
        put(LocalStore(root), data)
    assert len(list(Path("/proc/self/fd").iterdir())) <= held + 5


def test_many_files_need_no_more_descriptors_than_there_are(root: Path, tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from chopmark.abc.blobs import BlobSource
from chopmark.blobs import LocalStore
sources = [BlobSource(path) for path in sorted(Path(sys.argv[2]).iterdir())]
assert len(LocalStore(Path(sys.argv[1])).put_all(sources)) == 300
"""
    (tmp_path / "files").mkdir()
    for n in range(300):
        (tmp_path / "files" / f"{n}").write_bytes(random.Random(n).randbytes(66_000))
    subprocess.run([sys.executable, "-c", program, str(root), str(tmp_path / "files")], check=True, timeout=60)


def test_a_store_that_several_machines_write_to_makes_no_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root, packs=False)
    digest = put(store, random.Random(1).randbytes(2 << 20))
    later_s = time.time() + 60
    monkeypatch.setattr("time.time", lambda: later_s)
    for _ in range(2):
        store.open(digest, verify="changed").close()
    assert not (root / "packs").exists()


def test_a_blob_that_could_not_be_read_for_a_moment_is_kept_when_it_cannot_be_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(root)
    put(store, SMALL[0])
    real = os.pread

    def unreadable(descriptor: int, count: int, offset: int) -> bytes:
        if count == HEADER_BYTES + len(SMALL[0]):
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, count, offset)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", unreadable)
        patched.setattr(os, "pwrite", full)
        with pytest.raises(Unavailable, match="No space left"):
            put(store, SMALL[0])
    assert all_in(root, [SMALL[0]])
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", unreadable)
        put(store, SMALL[0])
    assert all_in(root, [SMALL[0]])
    lose_index(root)
    assert all_in(root, [SMALL[0]])


def test_who_may_only_read_reads_the_packs_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LocalStore(root)
    put(writer, SMALL[0])
    digest = put(writer, random.Random(1).randbytes(2 << 20))
    later_s = time.time() + 60
    monkeypatch.setattr("time.time", lambda: later_s)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    scanned: list[int] = []

    def counting(descriptor: int, start: int, end: int) -> Any:
        scanned.append(end - start)
        return scan(descriptor, start, end)

    monkeypatch.setattr(packed, "scan", counting)
    reader = LocalStore(root)
    for _ in range(3):
        assert read(reader, digest_of(SMALL[0])) == SMALL[0]
        reader.open(digest, verify="changed").close()
    assert len(scanned) == 1

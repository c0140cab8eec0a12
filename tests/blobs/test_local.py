"""What the local store promises beyond the contract: files, durability, damage repaired, full and forbidden disks."""

import errno
import fcntl
import io
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backports import zstd as standard_zstd

from chopmark.abc.blobs import BlobSource
from chopmark.base.clock import FakeClock
from chopmark.base.digest import digest_of
from chopmark.blobs import LocalStore, copying, filesystem
from chopmark.blobs import compression as zstd
from chopmark.errors import Conflict, IntegrityFailure, InvalidRequest, Unavailable

NOISE = random.Random(3).randbytes(300_000)
TEXT = b"".join(b"%06d;" % number for number in range(60_000))
LARGE = random.Random(4).randbytes(9_000_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def temporaries(root: Path) -> list[str]:
    return [path.name for path in root.glob("tmp/*")]


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


# Layout


def test_a_blob_is_a_read_only_file_under_its_digest(root: Path) -> None:
    LocalStore(root).put(io.BytesIO(NOISE))
    digits = digest_of(NOISE).removeprefix("sha256:")
    (path,) = files(root)
    assert path == root / "sha256" / digits[:2] / digits[2:]
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.read_bytes() == NOISE
    assert temporaries(root) == []


def test_a_compressed_blob_is_one_standard_frame_that_knows_its_size(root: Path) -> None:
    found = LocalStore(root, compression="zstd").put(io.BytesIO(TEXT))
    (path,) = files(root)
    assert path.suffix == ".zst"
    assert found.size_bytes == len(TEXT)
    assert found.stored_bytes == path.stat().st_size < len(TEXT) / 2
    assert standard_zstd.get_frame_info(path.read_bytes()[:18]).decompressed_size == len(TEXT)
    assert standard_zstd.decompress(path.read_bytes()) == TEXT


def test_a_zstd_file_that_somebody_stores_is_not_taken_for_a_compressed_blob(root: Path) -> None:
    frame = standard_zstd.compress(NOISE)
    store = LocalStore(root)
    digest = store.put(io.BytesIO(frame)).digest
    assert [path.suffix for path in files(root)] == [""]
    with store.open(digest) as reader:
        assert reader.read() == frame


@pytest.mark.parametrize(("first", "second"), [("none", "zstd"), ("zstd", "none")])
def test_either_setting_reads_and_keeps_what_the_other_wrote(root: Path, first: str, second: str) -> None:
    digest = LocalStore(root, compression=first).put(io.BytesIO(TEXT)).digest  # type: ignore[arg-type]
    store = LocalStore(root, compression=second)  # type: ignore[arg-type]
    store.put(io.BytesIO(TEXT))
    assert len(files(root)) == 1
    with store.open(digest, offset=7, length=7) as reader:
        assert reader.read() == b"000001;"


def test_a_blob_stored_in_both_forms_is_one_blob(root: Path) -> None:
    store = LocalStore(root, compression="zstd")
    digest = store.put(io.BytesIO(TEXT)).digest
    (path,) = files(root)
    path.with_suffix("").write_bytes(TEXT)
    assert [found.digest for found in store.list()] == [digest]
    assert store.delete(digest)
    assert files(root) == []


def test_foreign_files_are_neither_listed_nor_touched(root: Path) -> None:
    store = LocalStore(root)
    digest = store.put(io.BytesIO(NOISE)).digest
    (path,) = files(root)
    for name in (
        path.parent / "notes.txt",
        path.parent / (path.name + ".bak"),
        root / "sha256" / "zz",
        root / "README",
    ):
        name.write_text("mine")
    assert [found.digest for found in store.list()] == [digest]
    store.sweep(timedelta(0))
    assert len(files(root)) == 5


def test_the_time_of_a_blob_is_that_of_its_last_put(root: Path, tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 3, 3, 12, 0, 0, 123456, UTC))
    store = LocalStore(root, clock=clock)
    source = tmp_path / "old"
    source.write_bytes(NOISE)
    os.utime(source, (1, 1))
    assert store.put(source, consume=True).modified_at == clock.now
    for _ in range(2):
        clock.advance(timedelta(hours=1))
        assert store.put(io.BytesIO(NOISE)).modified_at == clock.now
        assert [found.modified_at for found in store.list()] == [clock.now]


def test_a_consumed_file_is_moved_not_copied(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(NOISE)
    inode = source.stat().st_ino
    LocalStore(root).put(source, consume=True)
    assert [path.stat().st_ino for path in files(root)] == [inode]


def test_settings_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no compression 'gzip'"):
        LocalStore(tmp_path, compression="gzip")  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="not a directory"):
        LocalStore(tmp_path / "file")


# What is worth compressing


@pytest.mark.parametrize(
    ("raw", "compressed", "expected"), [(110, 100, True), (109, 100, False), (100, 100, False), (1000, 1, True)]
)
def test_compression_pays_from_a_tenth(raw: int, compressed: int, expected: bool) -> None:
    assert zstd.pays(raw, compressed) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [(TEXT, ".zst"), (NOISE, ""), (TEXT[:65_536], ".zst"), (TEXT[:262_144] + LARGE, "")],
    ids=["text", "noise", "text of 64 KiB", "weights behind a text"],
)
def test_what_shrinks_is_compressed(root: Path, tmp_path: Path, data: bytes, expected: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    for put in (lambda store: store.put(source), lambda store: store.put(io.BytesIO(data))):
        store = LocalStore(root)
        digest = put(store).digest
        assert [path.suffix for path in files(root)] == [expected]
        store.delete(digest)


# Copying


@pytest.mark.parametrize("kernel_copies", [True, False])
@pytest.mark.parametrize("size_bytes", [0, 1, 131_072, 131_073, (4 << 20) - 1, 4 << 20, 9_000_000])
def test_a_copy_is_whole_and_hashed_whoever_copies(
    tmp_path: Path, size_bytes: int, kernel_copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel_copies:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    (tmp_path / "a").write_bytes(LARGE[:size_bytes])
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("w+b") as target:
        content = copying.copy_file(source.fileno(), target.fileno(), size_bytes)
    assert content == copying.Content(digest_of(LARGE[:size_bytes]), size_bytes)
    assert (tmp_path / "b").read_bytes() == LARGE[:size_bytes]


def test_a_kernel_that_stops_copying_halfway_is_helped_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: int) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    (tmp_path / "a").write_bytes(LARGE)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("w+b") as target:
        assert copying.copy_file(source.fileno(), target.fileno(), len(LARGE)).digest == digest_of(LARGE)


@pytest.mark.parametrize("consume", [False, True])
@pytest.mark.parametrize("expected", [None, digest_of(LARGE)])
def test_a_file_that_vanishes_or_is_replaced_while_it_is_read_is_refused(
    root: Path, tmp_path: Path, consume: bool, expected: str | None
) -> None:
    source, new = tmp_path / "model.bin", tmp_path / "new"

    def replace() -> None:
        new.write_bytes(LARGE)
        new.replace(source)

    store = LocalStore(root)
    for change in (source.unlink, replace):
        source.write_bytes(LARGE)
        with pytest.raises(Conflict, match="changed while it was read"):
            store.put(source, consume=consume, expected=expected, progress=once(change))
        assert files(root) == []


def once(act: Callable[[], None]) -> Callable[[int], None]:
    done: list[int] = []

    def progress(count: int) -> None:
        if not done:
            done.append(count)
            act()

    return progress


def test_a_clone_is_used_where_the_file_system_can(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system of the test may have no reflinks: what the kernel would do is done by hand."""
    cloned: list[int] = []

    def clone(source: int, target: int) -> bool:
        cloned.append(os.fstat(source).st_size)
        os.pwrite(target, os.pread(source, 1 << 30, 0), 0)
        return True

    monkeypatch.setattr(filesystem, "clone", clone)
    (tmp_path / "model.bin").write_bytes(NOISE)
    store = LocalStore(root)
    digest = store.put(tmp_path / "model.bin").digest
    store.fetch(digest, tmp_path / "out")
    assert digest == digest_of(NOISE)
    assert (tmp_path / "out").read_bytes() == NOISE
    assert cloned == [len(NOISE)] * 2


def test_a_clone_that_cannot_be_is_no_error(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w+b") as source, Path("/dev/null").open("wb") as target:
        assert filesystem.clone(source.fileno(), target.fileno()) is False


# Durability


def test_a_put_syncs_the_bytes_before_the_name_and_the_name_before_it_returns(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    fsync, link = os.fsync, os.link

    def watch_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append(("fsync", path.name[:4]))
        fsync(descriptor)

    def watch_link(source: Path, target: Path, **kwargs: bool) -> None:
        seen.append(("link", Path(target).parent.name))
        link(source, target, **kwargs)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "link", watch_link)
    shard = digest_of(NOISE).removeprefix("sha256:")[:2]
    LocalStore(root).put(io.BytesIO(NOISE))
    assert seen[-3:] == [("fsync", "sha2"), ("link", shard), ("fsync", shard)]
    assert ("fsync", "put-") in seen[: seen.index(("link", shard))]
    seen.clear()
    LocalStore(root).put(io.BytesIO(NOISE))
    assert ("fsync", shard) in seen, "whoever linked it may have been killed before its own fsync"
    seen.clear()
    LocalStore(root / "other", durable=False).put(io.BytesIO(NOISE))
    assert [what for what, _ in seen] == ["link"]


class Slow(io.BytesIO):
    """A stream so slow that now and then the medium has written all that came before."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._syncs = 0

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() // (8 << 20) > self._syncs:
            self._syncs += 1
            os.sync()
        return super().read(size)


def in_memory(path: Path) -> float:
    """The share of a file that is read without the medium."""
    size_bytes, step = path.stat().st_size, 64 << 10
    with path.open("rb") as file:

        def is_there(offset: int) -> bool:
            try:
                return os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT) == 1
            except BlockingIOError:
                return False

        offsets = range(0, size_bytes, step)
        return sum(map(is_there, offsets)) / len(offsets)


@pytest.mark.skipif(sys.platform != "linux", reason="only there is the medium told to begin")
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_what_was_just_stored_is_read_from_memory(root: Path, compression: zstd.Compression) -> None:
    store = LocalStore(root, compression=compression)
    stat = store.put(Slow(random.Random(7).randbytes(28 << 20)))
    assert in_memory(root / "sha256" / stat.digest[7:9] / stat.digest[9:]) > 0.9


@pytest.mark.parametrize(
    ("durable", "data", "begun"), [(True, LARGE, LARGE), (False, LARGE, b""), (True, TEXT * 30, b"")]
)
def test_the_medium_begins_once_with_each_part_of_what_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch, durable: bool, data: bytes, begun: bytes
) -> None:
    ranges: list[tuple[int, int]] = []

    def advise(descriptor: int, offset: int, count: int, advice: int) -> None:
        if not Path(f"/proc/self/fd/{descriptor}").readlink().name.startswith("put-") or not count:
            return
        assert advice == os.POSIX_FADV_DONTNEED
        ranges.append((offset, count))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    LocalStore(root, durable=durable).put(io.BytesIO(data))
    ends = [offset + count for offset, count in ranges]
    assert [offset for offset, _ in ranges] == [0, *ends[:-1]][: len(ranges)]
    assert sum(count for _, count in ranges) == len(begun)


@pytest.mark.parametrize("consume", [False, True])
def test_a_failed_fsync_discards_the_blob_and_is_not_repeated(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, consume: bool
) -> None:
    store = LocalStore(root)
    store.put(io.BytesIO(b"before"))
    source = tmp_path / "model.bin"
    source.write_bytes(NOISE)
    source.chmod(0o640)
    calls: list[int] = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(filesystem, "sync_file", fail)
    with pytest.raises(Unavailable, match="Input/output error"):
        store.put(source, consume=consume)
    assert len(calls) == 1
    assert store.stat(digest_of(NOISE)) is None
    assert temporaries(root) == []
    assert source.read_bytes() == NOISE
    assert stat.S_IMODE(source.stat().st_mode) == 0o640


# Damage


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("again", ["none", "zstd"])
def test_storing_the_original_again_repairs_a_damaged_blob(root: Path, compression: str, again: str) -> None:
    digest = LocalStore(root, compression=compression).put(io.BytesIO(TEXT)).digest  # type: ignore[arg-type]
    (path,) = files(root)
    data = path.read_bytes()
    for damage in (b"", data[:-1], data[:1000] + b"?" + data[1001:]):
        (path,) = files(root)
        overwrite(path, damage)
        store = LocalStore(root, compression=again)  # type: ignore[arg-type]
        store.put(io.BytesIO(TEXT))
        with store.open(digest) as reader:
            assert reader.read() == TEXT
        assert len(files(root)) == 1


def test_a_symbolic_link_in_place_of_a_blob_is_damage(root: Path, tmp_path: Path) -> None:
    store = LocalStore(root)
    digest = store.put(io.BytesIO(NOISE)).digest
    (path,) = files(root)
    (tmp_path / "elsewhere").write_bytes(NOISE)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityFailure, match="symbolic link"):
        store.open(digest)
    with pytest.raises(IntegrityFailure, match="symbolic link"):
        store.fetch(digest, tmp_path / "out")


def test_a_header_that_promises_too_little_is_damage(root: Path) -> None:
    store = LocalStore(root)
    digest = store.put(io.BytesIO(TEXT)).digest
    (path,) = files(root)
    frame = path.read_bytes()
    overwrite(path, standard_zstd.compress(TEXT[:100]) + frame)
    with pytest.raises(IntegrityFailure, match=digest):
        store.open(digest)
    overwrite(path, b"not zstd at all")
    assert [found.size_bytes for found in store.list()] == [15]
    with pytest.raises(IntegrityFailure, match="no compressed blob"):
        store.open(digest)


def test_a_header_with_another_size_is_damage(root: Path) -> None:
    store = LocalStore(root)
    text = TEXT * 5  # longer than the window
    digest = store.put(io.BytesIO(text)).digest
    (path,) = files(root)
    promised = len(text).to_bytes(4, "little")
    overwrite(path, path.read_bytes().replace(promised, (1000).to_bytes(4, "little"), 1))
    with pytest.raises(IntegrityFailure, match="is damaged"):
        store.open(digest)


# Killed, abandoned, swept


def test_what_a_killed_put_left_is_swept_and_a_running_one_is_not(root: Path) -> None:
    store = LocalStore(root)
    program = """
        import sys, time
        from pathlib import Path
        from chopmark.blobs import LocalStore

        class Endless:
            def read(self, size):
                print("reading", flush=True)
                sys.stdin.readline()
                return b"x" * 100_000

        LocalStore(Path(sys.argv[1])).put(Endless())
    """
    command: list[str | Path] = [sys.executable, "-c", textwrap.dedent(program), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as putting:
        assert putting.stdin is not None
        assert putting.stdout is not None
        assert putting.stdout.readline() == "reading\n"
        putting.stdin.write("\n")
        putting.stdin.flush()
        assert putting.stdout.readline() == "reading\n"
        (name,) = temporaries(root)
        os.utime(root / "tmp" / name, (1, 1))
        assert store.sweep(timedelta(0)) == 0, "its writer lives"
        putting.send_signal(signal.SIGKILL)
        putting.wait()
    assert temporaries(root) == [name]
    assert list(store.list()) == []
    os.utime(root / "tmp" / name)
    assert store.sweep(timedelta(hours=1)) == 0, "it is young"
    os.utime(root / "tmp" / name, (1, 1))
    assert store.sweep(timedelta(hours=1)) == 1
    assert temporaries(root) == []


def test_a_put_that_is_swept_before_it_has_its_lock_starts_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    swept: list[int] = []
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        if not swept:
            swept.append(descriptor)
            monkeypatch.setattr(fcntl, "flock", flock)
            for name in temporaries(root):
                os.utime(root / "tmp" / name, (1, 1))
            assert store.sweep(timedelta(hours=1)) == 1
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    digest = store.put(io.BytesIO(NOISE)).digest
    assert swept
    assert store.stat(digest) is not None


# Disks that are full, forbidden or gone: in a child, which gives up root


def in_child(root: Path, source: Path, *, limit_bytes: int = 0, user: str = "") -> str:
    """Put a file in a process that may write no larger file, or that is somebody else."""
    program = """
        import os, pwd, resource, signal, sys
        from pathlib import Path
        from chopmark.blobs import LocalStore
        from chopmark.errors import ChopmarkError

        root, source, limit_bytes, user = sys.argv[1:]
        if int(limit_bytes):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit_bytes), int(limit_bytes)))
        if user:  # after the imports: this user need not be able to read them
            os.setgroups([])
            os.setgid(pwd.getpwnam(user).pw_gid)
            os.setuid(pwd.getpwnam(user).pw_uid)
        try:
            print(LocalStore(Path(root), compression="none").put(Path(source)).digest)
        except ChopmarkError as error:
            print(type(error).__name__, error)
    """
    command: list[str | Path] = [sys.executable, "-c", textwrap.dedent(program), root, source, str(limit_bytes), user]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user reaches; pytest's own are for its user alone."""
    with tempfile.TemporaryDirectory(prefix="chopmark-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("data", [NOISE, LARGE], ids=["small", "large"])
def test_a_full_disk_is_reported_and_leaves_nothing(root: Path, tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(data)
    said = in_child(root, source, limit_bytes=200_000)
    assert said.startswith(f"Unavailable Could not store a blob in {root}: File too large.\nMake room")
    assert files(root) == []
    assert LocalStore(root).put(source).digest == digest_of(data), "it works again afterwards"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_directory_that_may_not_be_written_is_reported(public: Path) -> None:
    root, source = public / "store", public / "model.bin"
    source.write_bytes(NOISE)
    source.chmod(0o644)
    said = in_child(root, source, user="nobody")
    assert said.startswith(f"Unavailable Could not store a blob in {root}: Permission denied.\nGive this user write")
    assert not root.exists()
    root.mkdir()
    root.chmod(0o777)
    source.chmod(0o600)
    assert "may not be read by this user" in in_child(root, source, user="nobody")
    source.chmod(0o644)
    assert in_child(root, source, user="nobody").strip() == digest_of(NOISE), "it works again afterwards"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_two_users_share_a_store(public: Path) -> None:
    root, source = public / "store", public / "model.bin"
    source.write_bytes(NOISE)
    source.chmod(0o644)
    LocalStore(root, compression="none").put(source)
    for directory in (root, root / "sha256", root / "tmp", *(root / "sha256").iterdir()):
        directory.chmod(0o777)
    before = files(root)[0].stat()
    assert in_child(root, source, user="nobody").strip() == digest_of(NOISE)
    after = files(root)[0].stat()
    assert after.st_mtime_ns > before.st_mtime_ns, "as fresh as any put, though only its owner may set a file's time"
    assert len(files(root)) == 1


def test_a_store_that_is_only_read_makes_nothing(root: Path) -> None:
    store = LocalStore(root)
    assert list(store.list()) == []
    assert store.stat(digest_of(b"")) is None
    assert store.delete(digest_of(b"")) is False
    assert store.sweep(timedelta(0)) == 0
    assert not root.exists()


def test_a_blob_whose_time_cannot_wait_is_deleted_under_every_put(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who deletes as fast as we put gets an answer, not an endless loop."""

    def taken(_source: Path, _target: Path) -> None:
        raise FileExistsError

    monkeypatch.setattr(filesystem, "link_or_rename", taken)
    with pytest.raises(Conflict, match="deleted as fast as it is stored"):
        LocalStore(root).put(io.BytesIO(NOISE))
    assert temporaries(root) == []


@pytest.mark.parametrize("number", [1, 95])
def test_without_hard_links_a_blob_is_renamed(root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    store = LocalStore(root)
    digest = store.put(io.BytesIO(NOISE)).digest
    with store.open(digest) as reader:
        assert reader.read() == NOISE
    assert temporaries(root) == []


def test_a_name_that_may_not_be_on_the_medium_is_taken_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    real = filesystem.sync_directory

    def broken(path: Path) -> None:
        if path.parent.name == "sha256":
            raise OSError(errno.EIO, "the medium is gone")
        real(path)

    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "sync_directory", broken)
        with pytest.raises(Unavailable, match="the medium is gone"):
            store.put(io.BytesIO(NOISE))
    assert store.stat(digest_of(NOISE)) is None
    assert files(root) == []
    assert temporaries(root) == []
    store.put(io.BytesIO(NOISE))


def test_a_name_that_somebody_else_relies_on_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(root)
    real = filesystem.sync_directory

    def broken(path: Path) -> None:
        if path.parent.name != "sha256":
            return real(path)
        monkeypatch.setattr(filesystem, "sync_directory", real)
        LocalStore(root).put(io.BytesIO(NOISE))
        raise OSError(errno.EIO, "the medium is gone")

    monkeypatch.setattr(filesystem, "sync_directory", broken)
    with pytest.raises(Unavailable, match="the medium is gone"):
        store.put(io.BytesIO(NOISE))
    assert store.open(digest_of(NOISE)).read() == NOISE


def test_the_callers_file_is_there_again_when_its_name_in_the_store_cannot_be_synced(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "mine"
    source.write_bytes(NOISE)
    source.chmod(0o640)
    real = filesystem.sync_directory

    def broken(path: Path) -> None:
        if path.parent.name == "sha256":
            raise OSError(errno.EIO, "the medium is gone")
        real(path)

    with monkeypatch.context() as patched:
        patched.setattr(filesystem, "sync_directory", broken)
        with pytest.raises(Unavailable):
            LocalStore(root).put(source, consume=True)
    assert source.read_bytes() == NOISE
    assert stat.S_IMODE(source.stat().st_mode) == 0o640
    assert files(root) == []


@pytest.mark.parametrize("how", ["replaced", "written"])
def test_a_file_that_is_changed_while_others_of_its_batch_are_read_is_refused(
    root: Path, tmp_path: Path, how: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(NOISE)
    second.write_bytes(LARGE)
    told: list[int] = []

    def meddle(count: int) -> None:
        told.append(count)
        if sum(told) == len(NOISE) + len(LARGE):
            if how == "replaced":
                (tmp_path / "other").write_bytes(b"mine" * 30_000)
                (tmp_path / "other").replace(first)
            else:
                first.write_bytes(b"mine" * 30_000)

    with pytest.raises(Conflict):
        LocalStore(root).put_all([BlobSource(first, consume=True), BlobSource(second, consume=True)], progress=meddle)
    assert first.read_bytes() == b"mine" * 30_000
    assert LocalStore(root).stat(digest_of(NOISE)) is None


def test_a_copy_of_a_file_that_was_verified_is_whole_or_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.Random(5).randbytes(9 << 20)
    store = LocalStore(root)
    digest = store.put(io.BytesIO(data)).digest
    later_s = files(root)[0].stat().st_ctime + 60
    monkeypatch.setattr("time.time", lambda: later_s)
    store.open(digest, verify="changed").close()
    calls: list[int] = []

    def short(*how: Any) -> int:
        calls.append(1)
        return real(*how) if len(calls) == 1 else 0

    real = os.copy_file_range
    monkeypatch.setattr(os, "copy_file_range", short)
    with pytest.raises(IntegrityFailure, match="to its end"):
        store.fetch(digest, tmp_path / "out", verify="changed")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("call", ["exists", "is_dir"])
def test_a_directory_that_cannot_be_looked_at_is_told(root: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    root.mkdir()

    def failing(_: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, call, failing)
    with pytest.raises(Unavailable, match="Input/output error"):
        LocalStore(root)

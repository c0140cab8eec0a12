"""What the store asks of a file system: durable names, clones, and temporary files that a killed process cannot leak."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from chopmark.errors import InvalidRequest

__all__ = [
    "Directories",
    "Identity",
    "Temporary",
    "abandoned",
    "clone",
    "identity_of",
    "link_or_rename",
    "locked",
    "make_directory",
    "names",
    "new_file",
    "size_of",
    "sync_directory",
    "sync_file",
    "temporary",
]

# _IOW(0x94, 9, int) of linux/fs.h; the same number on every architecture that Python runs on but Alpha, MIPS, PowerPC
# and SPARC, where the call fails with ENOTTY and the file is copied.
_FICLONE = 0x40049409

_LOOK_AGAIN_S = 0.01
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def sync_file(descriptor: int) -> None:
    """Wait until the medium has the file's bytes. A failure is final: the kernel may have dropped what it could not write."""
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache
    if full is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


def sync_directory(path: Path) -> None:
    """Wait until the medium has the directory's names."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, *, durable: bool) -> None:
    """Make a directory and those above it that are missing; with ``durable``, its name then survives a power cut.

    Also when it was there: another process may have made it a moment ago and not synced it yet.
    """
    if not path.parent.is_dir():
        make_directory(path.parent, durable=durable)
    path.mkdir(exist_ok=True)
    if durable:
        sync_directory(path.parent)


class Directories:
    """Directories of a store, of each of which it is seen to once per process that its name is on the medium."""

    def __init__(self, *, durable: bool) -> None:
        self._durable = durable
        self._made: set[Path] = set()

    def make(self, directory: Path) -> None:
        """Make a directory, and those above it that are missing."""
        if directory in self._made and directory.is_dir():
            return
        make_directory(directory, durable=self._durable)
        self._made.add(directory)


def clone(source: int, target: int) -> bool:
    """Make the empty file ``target`` share the blocks of ``source`` until one is written; False where that cannot be."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        # Another file system, or one without reflinks (ext4, tmpfs, NFS): the reasons have a dozen errno values.
        return False
    return True


def link_or_rename(source: Path, target: Path) -> None:
    """Give ``source`` the name ``target`` and take its old one, without replacing a file that has it.

    On a file system without hard links the rename may replace such a file; its bytes are the same by construction.

    Raises
    ------
    FileExistsError
        When the name is taken; ``source`` still has its own.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        source.rename(target)
    else:
        source.unlink()


@dataclass(frozen=True, slots=True)
class Temporary:
    """A file that only this block knows, open for reading and writing."""

    path: Path
    descriptor: int


@contextmanager
def temporary(directory: Path, prefix: str = "put-") -> Iterator[Temporary]:
    """A new file in ``directory``, locked while the block runs and removed at its end unless renamed.

    The lock is the kernel's (`flock`), so it goes with the process however that ends: `abandoned` sees what was left.
    """
    descriptor, path = _create_locked(directory, prefix)
    try:
        yield Temporary(path, descriptor)
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


class Identity(NamedTuple):
    """What of a file changes when its bytes do, or when another takes its name.

    A write moves mtime, and a rename over it, a deletion, a new link or a change of mode moves ctime: the two say more
    together than each alone, and cost one system call.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


def identity_of(seen: os.stat_result) -> Identity:
    """The identity of a file that was just looked at."""
    return Identity(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def size_of(path: Path) -> int:
    """Length of a file, zero when it is gone; of a symbolic link, its own."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def names(directory: Path) -> list[str]:
    """What is in a directory, sorted; nothing when it is not there."""
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 names are all it takes, and there may be a million
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def locked(directory: Path, *, shared: bool = False, wait_s: float | None = None) -> Iterator[bool]:
    """Hold the one lock of a directory among all threads and processes, or a share of it; it goes with the process.

    Gives whether it is held: False when it could not be had within ``wait_s``.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if wait_s is None:
            fcntl.flock(descriptor, how)
        yield wait_s is None or _locked_within(descriptor, how, wait_s)
    finally:
        # Closing alone would leave it to a child that was forked meanwhile, for as long as that lives.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _locked_within(descriptor: int, how: int, wait_s: float) -> bool:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOOK_AGAIN_S)
        else:
            return True


def _create_locked(directory: Path, prefix: str) -> tuple[int, Path]:
    while True:
        descriptor, name = tempfile.mkstemp(prefix=prefix, dir=directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor, Path(name)
        except BaseException:
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)
            raise
        os.close(descriptor)  # a sweep took it between its creation and its lock


@contextmanager
def new_file(target: Path) -> Iterator[int]:
    """A descriptor to write ``target`` by; it appears, or replaces a file, in one step at the end of a block that succeeds.

    Raises
    ------
    InvalidRequest
        When its directory is not there, or a directory has its name.
    """
    if not target.parent.is_dir():
        raise InvalidRequest(f"There is no directory {target.parent}.", hint="Make it first.")
    if target.is_dir():
        raise InvalidRequest(f"{target} is a directory.", hint="Name the file to write.")
    with temporary(target.parent, f".{target.name[:64]}.") as new:
        os.fchmod(new.descriptor, 0o666 & ~_umask())
        yield new.descriptor
        new.path.replace(target)


def _umask() -> int:
    """The umask of this process, read without changing it where the system tells (Linux)."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0o022
    return next((int(line[6:], 8) for line in status.splitlines() if line.startswith("Umask:")), 0o022)


def abandoned(directory: Path, modified_before: float, *, remove: bool, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Name and size of temporary files that no living process holds and that were last written before a time.

    Parameters
    ----------
    modified_before
        Seconds since 1970-01-01 UTC.
    remove
        Whether to remove each.
    prefix
        What the name of a temporary file begins with, where there are others.
    """
    for name in names(directory):
        if not name.startswith(prefix):
            continue
        size_bytes = _abandoned(directory / name, modified_before, remove=remove)
        if size_bytes is not None:
            yield name, size_bytes


def _abandoned(path: Path, modified_before: float, *, remove: bool) -> int | None:
    """Size of the file when it is abandoned, else None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a symbolic link is nothing of ours
            return None
        raise
    try:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode) or seen.st_mtime >= modified_before:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if remove:
            path.unlink(missing_ok=True)
        return seen.st_size
    finally:
        os.close(descriptor)

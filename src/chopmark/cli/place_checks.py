"""Checks of where a registry lies: its file system, its files, its locks, the cache, the audit's key."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from chopmark.base.settings import Settings
from chopmark.cli.check import Check
from chopmark.cli.words import size
from chopmark.errors import ChopmarkError
from chopmark.sdk.audit_keys import loose_permissions, read_key, verifier_of

__all__ = [
    "MOUNTS",
    "audit_key_check",
    "cache_check",
    "file_system",
    "file_system_check",
    "files_check",
    "holder",
    "lock_check",
    "room_check",
]

MOUNTS = Path("/proc/self/mounts")
_KERNEL_LOCKS = Path("/proc/locks")
# The database's write-ahead log needs memory shared between all who have it open, which is one machine's.
_SHARED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "virtiofs")
_SHARED_BEGINNINGS = (
    "fuse.sshfs",
    "fuse.gluster",
    "fuse.s3",
    "fuse.goofys",
    "fuse.rclone",
    "fuse.ceph",
    "fuse.gcsfuse",
)


def file_system(path: Path, mounts: str) -> str:
    """Kind of the file system that a path is on, by the text of the system's table of mounts; empty when unknown."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004 - device, place, kind
            continue
        place = fields[1].replace("\\040", " ")
        if len(place) >= len(best) and path.is_relative_to(place):
            best, kind = place, fields[2]
    return kind


def file_system_check(database: Path, mounts: str) -> Check:
    """Whether the database is where its write-ahead log is safe."""
    kind = file_system(database.resolve(), mounts)
    if kind in _SHARED or kind.startswith(_SHARED_BEGINNINGS):
        advice = (
            "Keep the registry on a disk of this machine, or use PostgreSQL (database_url): "
            "two machines that write to one file over a network damage it."
        )
        return Check("filesystem", "fail", f"{database} is on {kind}, which is shared over a network", advice)
    return Check("filesystem", "ok", f"{database.parent} is on {kind or 'a file system that is not known here'}")


def files_check(directory: Path, may_write: Callable[[Path], bool] = lambda p: os.access(p, os.W_OK)) -> Check:
    """Whether this user may write the files of a registry, and nobody else may.

    Parameters
    ----------
    may_write
        Whether a path may be written to.
    """
    files = [directory, *sorted(directory.glob("chopmark.db*"))]
    shut = [p for p in files if not may_write(p)]
    if shut:
        finding = f"{_named(shut)} cannot be written to: somebody else made it"
        owner = _owner(shut[0])
        advice = f"Work as {owner}, or have {owner} give you the right to write there."
        return Check("files", "fail", finding, advice)
    open_to_all = [p for p in files if os.name == "posix" and p.stat().st_mode & stat.S_IWOTH]
    if open_to_all:
        finding = f"everybody on this machine may write to {_named(open_to_all)}"
        return Check("files", "warn", finding, f"Take that right from them: chmod -R o-w {directory}")
    return Check("files", "ok", f"{len(files) - 1} files of the database, written by their owner only")


def _named(paths: Iterable[Path]) -> str:
    return ", ".join(str(p) for p in paths)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, NotImplementedError):
        return "their owner"


def lock_check(directory: Path) -> Check:
    """Whether somebody holds the writer's lock at this moment, and who.

    The system takes a lock from a process that ends, so that no lock file is ever stale; a process
    that hangs holds it for as long as it lives.
    """
    file = directory / "chopmark.db-writer.lock"
    if os.name != "posix" or not file.exists():
        return Check("lock", "ok", "nobody has written yet" if not file.exists() else "not looked at on this system")
    import fcntl

    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _held(file)
    return Check("lock", "ok", "nobody is writing")


def _held(file: Path) -> Check:
    text = _KERNEL_LOCKS.read_text() if _KERNEL_LOCKS.exists() else ""
    who = holder(file.stat().st_ino, text)
    finding = "a process is writing" + (f" (its id is {who})" if who else "")
    advice = "If it stays so, that process hangs: end it. What it had not finished is undone."
    return Check("lock", "warn", finding, advice)


def holder(inode: int, locks: str) -> int:
    """Process that holds a lock on a file, by the text of the kernel's table of locks; 0 when unknown."""
    for line in locks.splitlines():
        fields = line.split()
        # number: FLOCK ADVISORY WRITE pid major:minor:inode start end; '->' marks one that waits
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):  # noqa: PLR2004
            return int(fields[4])
    return 0


def room_check(free_bytes: int, largest_bytes: int, largest_ref: str) -> Check:
    """Whether another version as large as the largest of late would fit."""
    if largest_ref and largest_bytes > free_bytes:
        finding = f"{size(free_bytes)} are free, and {largest_ref} took {size(largest_bytes)}"
        return Check("room", "warn", finding, "Make room: another version of that size does not fit.")
    return Check(
        "room", "ok", f"another version as large as {largest_ref} fits" if largest_ref else "nothing is stored yet"
    )


def cache_check(settings: Settings, free_bytes: Callable[[Path], int]) -> Check:
    """Whether the local cache before a remote store can be written, and has room for its quota."""
    place = Path(settings.cache_dir)
    there = next(p for p in (place, *place.absolute().parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check("cache", "fail", f"{place} cannot be written to", "Set cache_dir to a place that can.")
    if free_bytes(there) < settings.cache_quota_bytes:
        finding = f"{place} may grow to {size(settings.cache_quota_bytes)}, and {size(free_bytes(there))} are free"
        return Check("cache", "warn", finding, "Set cache_quota_bytes lower, or cache_dir to a larger disk.")
    return Check("cache", "ok", f"{place}, at most {size(settings.cache_quota_bytes)}")


def audit_key_check(settings: Settings) -> Check:
    """Whether there is a key to sign the audit with, which nobody else may read and which is outside the registry."""
    file = Path(settings.audit_key_file)
    if not file.exists():
        advice = "To sign checkpoints of the audit: chopmark audit key create"
        return Check("audit key", "ok", "there is none", advice)
    try:
        key = read_key(file)
    except ChopmarkError as error:
        return Check("audit key", "fail", error.message, f"Put back {file} from where a copy of it is kept.")
    if "://" not in settings.url and file.resolve().is_relative_to(Path(settings.url).resolve()):
        finding = f"{file} is in the registry: whoever can change the audit can sign it"
        return Check("audit key", "fail", finding, "Move it out, and set audit_key_file to where it is then.")
    loose = loose_permissions(file)
    if loose:
        finding = f"others may use {file} (its permissions are {loose})"
        return Check("audit key", "fail", finding, f"chmod 600 {file}; if others had access, make a new key.")
    return Check("audit key", "ok", f"{verifier_of(key).name} in {file}")

"""What a disk may hold after the power went: pure functions over a list of what a program asked of a file system.

Two models of names, one of data. Data that was written before the last sync of its file is there; of each later write any
512-byte sectors may be, in any order, and the file may have any size that it had meanwhile. Names (of new files, links,
renames, removals, directories): under ``posix`` those are certain whose directory was synced after them, and any of the
others may be there, a rename wholly or not at all; under ``ordered``, as with the journal of ext4, names become durable in
the order in which they were made, and syncing a file or directory that changed takes along all names before it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ROOT", "Disk", "Mark", "Model", "Names", "Operation", "Sync", "Truncate", "Write", "disk_after_cut"]

Model = Literal["posix", "ordered"]

ROOT = 0
"""Inode of the directory in which everything happens."""

SECTOR_BYTES = 512


@dataclass(frozen=True)
class Names:
    """One atomic change of names: (directory, name) → inode, or None when the name goes.

    Attributes
    ----------
    what
        The call, for people.
    new_directory
        The inode of the directory that this makes, if it does.
    """

    changes: tuple[tuple[int, str, int | None], ...]
    what: str
    new_directory: int | None = None


@dataclass(frozen=True)
class Write:
    """Bytes at a place of a file."""

    inode: int
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Truncate:
    """A file's new size."""

    inode: int
    size: int


@dataclass(frozen=True)
class Sync:
    """A sync of a file or directory that succeeded; it covers what was done before it began.

    Attributes
    ----------
    inode
        What was synced; None for everything.
    since
        How many operations were done when it began.
    """

    inode: int | None
    since: int


@dataclass(frozen=True)
class Mark:
    """What the program told the world at this moment."""

    text: str


Operation = Names | Write | Truncate | Sync | Mark


@dataclass
class Disk:
    """Files and directories by their path from the root, and what was lost, for people."""

    files: dict[str, bytes] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def disk_after_cut(
    operations: Sequence[Operation], at: int, rng: random.Random, model: Model, first_directories: Sequence[str] = ()
) -> Disk:
    """One of the states in which the disk may be when the power goes after ``at`` operations.

    Parameters
    ----------
    rng
        Decides what survives of what is not certain.
    first_directories
        Names in the root that were there, durably, before the first operation; their inodes are -1, -2, ….
    """
    done = operations[:at]
    disk = Disk()
    survivors = _surviving_names(done, rng, model, disk)
    tree: dict[int, dict[str, int]] = {ROOT: {name: -1 - n for n, name in enumerate(first_directories)}}
    tree.update({-1 - n: {} for n in range(len(first_directories))})
    tree.update({each.new_directory: {} for each in done if isinstance(each, Names) and each.new_directory is not None})
    for each in survivors:
        for directory, name, inode in each.changes:
            if inode is None:
                tree[directory].pop(name, None)
            else:
                tree[directory][name] = inode
    contents = _Contents(done, rng, disk)
    for path, inode in _walk(tree, ROOT, ""):
        if inode in tree:
            disk.directories.append(path)
        else:
            disk.files[path] = contents.of(inode, path)
    return disk


def _walk(tree: dict[int, dict[str, int]], directory: int, prefix: str) -> Iterator[tuple[str, int]]:
    for name, inode in sorted(tree[directory].items()):
        yield prefix + name, inode
        if inode in tree:
            yield from _walk(tree, inode, f"{prefix}{name}/")


def _surviving_names(done: Sequence[Operation], rng: random.Random, model: Model, disk: Disk) -> list[Names]:
    names = [(n, each) for n, each in enumerate(done) if isinstance(each, Names)]
    if model == "ordered":
        last = _committed(done)
        uncertain = [n for n, _ in names if n >= last]
        end = rng.choice([last, *(n + 1 for n in uncertain)])
        survivors = [each for n, each in names if n < end]
        disk.dropped += [each.what for n, each in names if n >= end]
        return survivors
    synced = _last_syncs(done)
    survives = rng.choice((0.0, 0.5, 0.9, 1.0))
    survivors = []
    for n, each in names:
        is_certain = any(n < synced.get(directory, 0) for directory, _, _ in each.changes)
        if is_certain or rng.random() < survives:
            survivors.append(each)
        else:
            disk.dropped.append(each.what)
    return survivors


def _last_syncs(done: Sequence[Operation]) -> dict[int, int]:
    """For each inode how many operations its last sync covers."""
    synced: dict[int, int] = {}
    everything = 0
    for each in done:
        if isinstance(each, Sync):
            if each.inode is None:
                everything = max(everything, each.since)
            else:
                synced[each.inode] = max(synced.get(each.inode, 0), each.since)
    inodes = {each.inode for each in done if isinstance(each, Write | Truncate)}
    inodes |= {directory for each in done if isinstance(each, Names) for directory, _, _ in each.changes}
    return {inode: max(synced.get(inode, 0), everything) for inode in inodes | synced.keys()}


def _committed(done: Sequence[Operation]) -> int:
    """Names before this operation are in the journal for certain."""
    last = 0
    changed: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for n, each in enumerate(done):
        match each:
            case Names():
                for directory, _, inode in each.changes:
                    changed[directory] = n
                    if inode is not None:
                        changed[inode] = n
            case Write() if each.offset + len(each.data) > sizes.get(each.inode, 0):
                sizes[each.inode] = each.offset + len(each.data)
                changed[each.inode] = n
            case Truncate():
                sizes[each.inode] = each.size
                changed[each.inode] = n
            case Sync(inode=None):
                last = max(last, each.since)
            case Sync(inode=int()) if last <= changed.get(each.inode or 0, -1) < each.since:
                last = each.since
            case _:
                pass
    return last


class _Contents:
    """What files may hold after the cut."""

    def __init__(self, done: Sequence[Operation], rng: random.Random, disk: Disk) -> None:
        self._synced = _last_syncs(done)
        self._rng = rng
        self._disk = disk
        self._events: dict[int, list[tuple[int, Write | Truncate]]] = {}
        for n, each in enumerate(done):
            if isinstance(each, Write | Truncate):
                self._events.setdefault(each.inode, []).append((n, each))

    def of(self, inode: int, path: str) -> bytes:
        """One possible content."""
        until = self._synced.get(inode, 0)
        content = bytearray()
        pending: list[Write | Truncate] = []
        for n, event in self._events.get(inode, []):
            if n < until:
                _apply(content, event)
            else:
                pending.append(event)
        if not pending:
            return bytes(content)
        how = self._rng.choice(("none", "all", "some", "torn", "torn"))
        self._disk.dropped.append(f"{path}: {len(pending)} unsynced writes, of which {how}")
        if how == "torn":
            return self._torn(content, pending)
        for event in pending:
            if how == "all" or (how == "some" and self._rng.random() < 0.5):
                _apply(content, event)
        return bytes(content)

    def _torn(self, content: bytearray, pending: list[Write | Truncate]) -> bytes:
        """Each sector as it was after some number of the writes that touched it; and some size of those it had."""
        versions: dict[int, list[bytes]] = {}
        sizes = [len(content)]
        live = bytearray(content)
        for event in pending:
            before = len(live)
            touched = _sectors(event, before)
            for sector in touched:
                versions.setdefault(sector, [bytes(_sector(live, sector))])
            _apply(live, event)
            sizes.append(len(live))
            for sector in touched:
                versions[sector].append(bytes(_sector(live, sector)))
        size = self._rng.choice(sizes)
        result = bytearray(content.ljust(max(*sizes, len(content)), b"\0"))
        for sector, seen in versions.items():
            chosen = self._rng.choice(seen).ljust(SECTOR_BYTES, b"\0")
            start = sector * SECTOR_BYTES
            end = min(start + SECTOR_BYTES, len(result))
            result[start:end] = chosen[: end - start]
        return bytes(result[:size])


def _sector(content: bytearray, sector: int) -> bytearray:
    return content[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]


def _sectors(event: Write | Truncate, size: int) -> range:
    start, end = (event.offset, event.offset + len(event.data)) if isinstance(event, Write) else (event.size, size)
    return range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)) if end > start else range(0)


def _apply(content: bytearray, event: Write | Truncate) -> None:
    if isinstance(event, Truncate):
        if event.size < len(content):
            del content[event.size :]
        else:
            content.extend(bytes(event.size - len(content)))
        return
    if event.offset > len(content):
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(event.data)] = event.data

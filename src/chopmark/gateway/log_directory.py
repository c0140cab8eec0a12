"""Files of a prediction log on this machine's disk: whole or not there, and at most so many bytes of them.

A gateway takes a *seat*, the lowest number that no living one has, for as long as it runs (a lock of the kernel's, which goes with the process).
Only files of its own seat are counted, and only those are ever removed: several gateways share a directory, each with its own bound, and one
that starts again mostly finds its own files. What a killed one left half written is removed by whoever sits there next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from chopmark.domain.names import counted
from chopmark.domain.prediction_logs import LogFileName, StoredLog, parse_log_file, to_go
from chopmark.errors import Unavailable

__all__ = ["LogDirectory"]

_SEATS = ".gateways"
_SEATS_MAX = 1_000
_TORN = ".part"
_TRIES = 3


class _Seat(NamedTuple):
    number: int
    descriptor: int


class LogDirectory:
    """The part of a log's directory that one gateway has. Its methods block, and are called by one thread.

    Parameters
    ----------
    directory
        Of the log; made, for its user alone, when it is not there.
    bytes_max
        What the files of this gateway may come to.
    router
        Whose files are written; hexadecimal.
    """

    def __init__(self, directory: Path, bytes_max: int, router: str) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._router = router
        self._number = 0
        self._seat: _Seat | None = None
        self._stored: dict[tuple[str, str, str, str], StoredLog] = {}

    def sit(self) -> None:
        """Take a seat, and remove what was left torn there; nothing when it has one.

        Raises
        ------
        OSError
            When the disk does not let it.
        Unavailable
            When no seat is free.
        """
        if self._seat is not None:
            return
        seat = self._free_seat()
        try:
            self._stored = {each.parts: each for each in self._found(seat.number)}
        except OSError:
            os.close(seat.descriptor)
            raise
        self._seat = seat

    def put(self, project: str, endpoint: str, began_at: datetime, data: bytes) -> None:
        """Write a file, once the oldest have made room for it.

        Raises
        ------
        OSError
            When the disk does not let it; there is nothing of the file then.
        Unavailable
            When it is larger than all files may be.
        """
        self.sit()
        if self._seat is None:
            raise Unavailable("There is no seat in the directory of the log.")
        if len(data) > self._bytes_max:
            msg = f"A file of {counted(len(data), 'byte')} is more than gateway_log_bytes_max allows for all of them."
            raise Unavailable(msg)
        for each in to_go(self._stored.values(), self._bytes_max, len(data)):
            self._remove(each)
        self._number += 1
        name = LogFileName(project, endpoint, began_at, self._number, self._seat.number, self._router)
        self._write(name.parts, data)
        self._stored[name.parts] = StoredLog(name.parts, len(data))

    def close(self) -> None:
        """Leave the seat."""
        if self._seat is not None:
            os.close(self._seat.descriptor)
            self._seat = None

    def _free_seat(self) -> _Seat:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        seats = self._directory / _SEATS
        seats.mkdir(exist_ok=True)
        for number in range(1, _SEATS_MAX + 1):
            descriptor = os.open(seats / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            except OSError:
                os.close(descriptor)
                raise
            else:
                return _Seat(number, descriptor)
        raise Unavailable(f"{_SEATS_MAX:,} gateways write to {self._directory}, which is the limit.")

    def _found(self, seat: int) -> Iterator[StoredLog]:
        """Whole files of a seat; torn ones are removed."""
        for path in self._directory.glob("*/*/*/*"):
            parts = path.relative_to(self._directory).parts
            is_torn = parts[3].startswith(".") and parts[3].endswith(_TORN)
            name = parse_log_file((*parts[:3], parts[3][1 : -len(_TORN)] if is_torn else parts[3]))
            if name is None or name.seat != seat:
                continue
            with contextlib.suppress(FileNotFoundError):
                if is_torn:
                    path.unlink()
                else:
                    yield StoredLog(name.parts, path.stat().st_size)

    def _remove(self, stored: StoredLog) -> None:
        path = self._directory.joinpath(*stored.parts)
        path.unlink(missing_ok=True)
        del self._stored[stored.parts]
        for above in (path.parent, path.parent.parent, path.parent.parent.parent):
            try:
                above.rmdir()
            except OSError:  # others are in it
                break

    def _write(self, parts: tuple[str, str, str, str], data: bytes) -> None:
        path = self._directory.joinpath(*parts)
        beside = path.with_name(f".{path.name}{_TORN}")
        descriptor = _opened(beside)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            beside.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        for directory in (path.parent, path.parent.parent):
            _sync(directory)


def _opened(path: Path) -> int:
    """A new file; its directory is made, again where another gateway has just removed it as empty."""
    for _ in range(_TRIES - 1):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""What other processes do to a store in `chopmark.testing.blob_suite`; importable, so that a spawned process finds it."""

from __future__ import annotations

import io
import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import BinaryIO, cast

from chopmark.abc.blobs import BlobStore

__all__ = ["put_and_be_killed", "put_at_once"]

_LIMIT_S = 60.0


def put_at_once(opener: Callable[[], BlobStore], contents: Sequence[Sequence[bytes]]) -> None:
    """Put each sequence in a process of its own, all starting together; raises when one of them fails."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(contents))
    workers = [context.Process(target=_put_all, args=(opener, each, start)) for each in contents]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(_LIMIT_S)
    codes = [worker.exitcode for worker in workers]
    if any(codes):
        raise AssertionError(f"the processes ended with {codes}; their errors are on stderr")


def _put_all(opener: Callable[[], BlobStore], contents: Sequence[bytes], start: Barrier) -> None:
    store = opener()
    start.wait(_LIMIT_S)
    for data in contents:
        store.put(io.BytesIO(data))
    store.close()


def put_and_be_killed(opener: Callable[[], BlobStore], path: Path, *, as_stream: bool) -> None:
    """Kill (SIGKILL) a process in the middle of its put of a file."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_put_and_stop, args=(opener, path, sender, as_stream))
    worker.start()
    sender.close()
    try:
        if not receiver.poll(_LIMIT_S) or receiver.recv() != "in the middle":
            raise AssertionError("the process did not come to the middle of its put")
    finally:
        worker.kill()
        worker.join()
        receiver.close()


def _put_and_stop(opener: Callable[[], BlobStore], path: Path, middle: Connection, as_stream: bool) -> None:
    def stop(_count: int = 0) -> None:
        middle.send("in the middle")
        time.sleep(_LIMIT_S)  # until killed

    store = opener()
    if as_stream:
        store.put(cast("BinaryIO", _Stopping(path.read_bytes(), stop)))
    else:
        store.put(path, progress=stop)


class _Stopping(io.RawIOBase):
    """A stream that calls a function when half of it is read."""

    def __init__(self, data: bytes, stop: Callable[[], None]) -> None:
        self._stream = io.BytesIO(data)
        self._half = len(data) // 2
        self._stop = stop

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._stream.tell() >= self._half:
            self._stop()
        return self._stream.read(size)

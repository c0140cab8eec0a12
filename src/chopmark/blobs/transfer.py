"""Moving one object's bytes in parts of limited size, a limited number at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from chopmark.abc.blobs import BlobSource, BlobStat, Progress
from chopmark.blobs.copying import Content, ContentHasher, write_all
from chopmark.blobs.objects import Limits, calling

if TYPE_CHECKING:
    from chopmark.blobs.objects import Objects

__all__ = ["download", "parts", "put_each", "upload", "write_parts"]

_LARGEST_PART_COUNT = 10_000  # of S3; Azure allows 50,000
# Azure names the blocks of an upload by their position in the blob, so two uploads of one blob write each other's blocks.
# That is harmless as long as block n of either holds the same bytes: there the size is no setting and must never change.
_AZURE_PART_BYTES = 8 << 20


def parts(size_bytes: int, part_bytes: int) -> Iterator[tuple[int, int]]:
    """Start and end of each part of so many bytes."""
    for start in range(0, size_bytes, part_bytes):
        yield start, min(start + part_bytes, size_bytes)


def put_each(
    put: Callable[..., BlobStat], sources: Sequence[BlobSource], threads: int, progress: Progress | None
) -> list[BlobStat]:
    """Put one by one, several at a time: `BlobStore.put_all` by the `BlobStore.put` of a store that gains nothing by more at once."""

    def put_one(each: BlobSource) -> BlobStat:
        return put(each.source, expected=each.expected, consume=each.consume, progress=progress)

    with ThreadPoolExecutor(max(1, min(threads, len(sources))), thread_name_prefix="chopmark-put") as pool:
        return list(pool.map(put_one, sources))


def download(objects: Objects, key: str, begin: int, stop: int, limits: Limits, place: str) -> Iterator[bytes]:
    """The bytes of an object from one place to another, in order, as its parts arrive; not verified.

    Every part is a request of its own and so has the time-out to itself, however large the object is.
    """

    def part(start: int, end: int) -> bytes:
        import obstore

        with calling("read a blob", place):
            return bytes(obstore.get_range(objects, key, start=start, end=end))

    if stop - begin <= limits.part_bytes:
        if stop > begin:
            yield part(begin, stop)
        return
    on_the_way: deque[Future[bytes]] = deque()
    pool = ThreadPoolExecutor(limits.parallel, thread_name_prefix="chopmark-download")
    try:
        for start, end in parts(stop - begin, limits.part_bytes):
            on_the_way.append(pool.submit(part, begin + start, begin + end))
            if len(on_the_way) > limits.parallel:
                yield on_the_way.popleft().result()
        while on_the_way:
            yield on_the_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def write_parts(arriving: Iterator[bytes], descriptor: int, progress: Progress | None) -> Content:
    """Write what arrives to an open file; gives what it was."""
    hashed = ContentHasher()
    for part in arriving:
        hashed.update(part)
        write_all(descriptor, part)
        if progress is not None:
            progress(len(part))
    return hashed.content()


def upload(
    objects: Objects,
    key: str,
    descriptor: int,
    size_bytes: int,
    limits: Limits,
    *,
    progress: Progress | None,
    replace: bool,
) -> bool:
    """Upload an open file under a key; False when somebody else has just taken it.

    A small one goes by one request that fails when the key is taken. obstore offers no such condition for the completion
    of an upload in parts, which therefore replaces what is there.
    """
    import obstore
    from obstore.exceptions import AlreadyExistsError
    from obstore.store import AzureStore

    if size_bytes > limits.multipart_from_bytes:
        wanted_bytes = _AZURE_PART_BYTES if isinstance(objects, AzureStore) else limits.part_bytes
        part_bytes = max(wanted_bytes, -(-size_bytes // _LARGEST_PART_COUNT))
        pieces = _read_parts(descriptor, size_bytes, part_bytes, progress)
        obstore.put(objects, key, pieces, use_multipart=True, chunk_size=part_bytes, max_concurrency=limits.parallel)
        return True
    data = os.pread(descriptor, size_bytes, 0)
    try:
        obstore.put(objects, key, data, mode="overwrite" if replace else "create", use_multipart=False)
    except AlreadyExistsError:
        return False
    finally:
        if progress is not None and size_bytes:
            progress(size_bytes)
    return True


def _read_parts(descriptor: int, size_bytes: int, part_bytes: int, progress: Progress | None) -> Iterator[bytes]:
    for start, end in parts(size_bytes, part_bytes):
        yield os.pread(descriptor, end - start, start)
        if progress is not None:
            progress(end - start)

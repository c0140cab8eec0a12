"""A sweep: bytes of a part of the store read and hashed again, before anybody misses them.

The bytes are read outside the transaction, which may take minutes; what was found is judged once more inside it, as a
collection may have freed meanwhile what nobody needs.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import NamedTuple

from chopmark.abc.blobs import BlobStore
from chopmark.app.checking import BYTES_A_PART, backing, content_fault, lost
from chopmark.app.context import Context, Outside
from chopmark.base.digest import PREFIX
from chopmark.base.jsons import canonical
from chopmark.base.paging import decode_cursor, encode_cursor
from chopmark.domain.names import counted
from chopmark.ops.jobs import SweepPage, SweepStorage

__all__ = ["look", "sweep"]

BLOBS_A_PART = 2_000
FINDINGS_TOLD = 20


class _Fault(NamedTuple):
    digest: str
    code: str
    what: str


class _Swept(NamedTuple):
    """What `look` hands to `sweep`."""

    faults: list[_Fault]
    checked: int
    read_bytes: int
    cursor: str


def look(outside: Outside, request: SweepStorage) -> _Swept:
    """Read and hash the blobs that versions have, from where the cursor says."""
    query = canonical(["sweep", request.prefix])
    beginning = PREFIX + request.prefix
    after = str(decode_cursor(request.cursor, query)[0]) if request.cursor else beginning
    with outside.catalog.reading() as tx:
        live = takewhile(lambda each: each[0].startswith(beginning), tx.collection.live_blobs(None, after=after))
        wanted = list(islice(live, BLOBS_A_PART))
    store = backing(outside.store)
    faults: list[_Fault] = []
    checked = read_bytes = 0
    for digest, size_bytes in wanted:
        if read_bytes >= BYTES_A_PART:
            break
        fault, read = _fault_of(store, digest, size_bytes)
        faults += [fault] if fault else []
        checked, read_bytes, after = checked + 1, read_bytes + read, digest
    more = checked < len(wanted) or len(wanted) == BLOBS_A_PART
    return _Swept(faults, checked, read_bytes, encode_cursor([after], query) if more else "")


def sweep(ctx: Context, request: SweepStorage) -> SweepPage:
    """Say what is damaged or missing of what versions still have; an event tells of it."""
    swept: _Swept = ctx.prepared
    needed = ctx.tx.collection.referenced([fault.digest for fault in swept.faults]) if swept.faults else set()
    findings = [lost(ctx, *fault) for fault in swept.faults if fault.digest in needed]
    if findings:
        told = [f"{each.where}: {each.what}" for each in findings[:FINDINGS_TOLD]]
        ctx.emit("storage", prefix=request.prefix, damaged=len(findings), findings=told)
    return SweepPage(findings=findings, checked=swept.checked, read_bytes=swept.read_bytes, cursor=swept.cursor)


def _fault_of(store: BlobStore, digest: str, size_bytes: int) -> tuple[_Fault | None, int]:
    """What is wrong with a blob, and how many bytes were read to know."""
    stat = store.stat(digest)
    if stat is None:
        return _Fault(digest, "blob_missing", "its bytes are missing from the store"), 0
    damage, read_bytes = content_fault(store, stat)
    if damage:
        return _Fault(digest, "blob_corrupt", damage), read_bytes
    if stat.size_bytes != size_bytes:
        what = f"it has {counted(stat.size_bytes, 'byte')}, the catalog says {counted(size_bytes, 'byte')}"
        return _Fault(digest, "blob_size", what), read_bytes
    return None, read_bytes

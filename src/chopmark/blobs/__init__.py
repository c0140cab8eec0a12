"""Blob stores: bytes by their hash, on a disk or in an object store.

>>> import io, tempfile
>>> store = open_store(tempfile.mkdtemp())
>>> stat = store.put(io.BytesIO(b"weights"))
>>> store.open(stat.digest).read()
b'weights'
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chopmark.abc.blobs import BlobStore
from chopmark.base.clock import Clock, system_clock
from chopmark.blobs.compression import Compression
from chopmark.blobs.local import LocalStore
from chopmark.errors import Unsupported

if TYPE_CHECKING:
    from chopmark.blobs.objects import Limits
    from chopmark.blobs.remote import Lock

__all__ = ["CACHE_QUOTA_BYTES", "LocalStore", "open_store"]

CACHE_QUOTA_BYTES = 10 << 30


def open_store(
    url: str | Path,
    *,
    compression: Compression | None = None,
    packs: bool = True,
    tensors: bool = False,
    cache_dir: Path | None = None,
    cache_quota_bytes: int = CACHE_QUOTA_BYTES,
    endpoint_url: str | None = None,
    allow_http: bool = False,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    lock: Lock | None = None,
    probe: bool = True,
    staging: Path | None = None,
    clock: Clock = system_clock,
) -> BlobStore:
    """Open the blob store at an address.

    Parameters
    ----------
    url
        A path, ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``.
    compression
        ``"zstd"`` (what a path has unless told otherwise) or ``"none"``. Object stores hold blobs as they are, so that any
        client of the store can check and use them.
    packs
        Whether a path holds blobs below 64 KiB in packs.
    tensors
        Whether a path holds safetensors files in one part a tensor.
    cache_dir, cache_quota_bytes
        Keep what is read from an object store here, up to so much. No cache when left out.
    endpoint_url
        Of an object store that is not the vendor's own. Plain HTTP only to this machine, unless ``allow_http``.
    options
        Credentials and configuration by obstore's names (``access_key_id``, ``secret_access_key``, ``region``,
        ``account_name``, ``account_key``, ``service_account``, …); the rest comes from the environment.
    limits
        Time-outs, retries, sizes of parts; `chopmark.blobs.objects.Limits`.
    lock
        See `chopmark.blobs.remote.ObjectStore`; needed only where a store has no conditional writes.
    probe
        Whether to try at once that the store answers, may be written to and keeps conditional writes. Costs four requests;
        a store that is only read is opened without.
    staging
        Directory for uploads and downloads on their way.
    clock
        Time of puts into a path, and of uses of the cache.

    Raises
    ------
    InvalidRequest
        When the address or a setting cannot be meant.
    Unsupported
        When obstore is not installed, or the store does not keep conditional writes and there is no lock.
    Denied, NotFound, Unavailable
        When the probe found the credentials, the bucket or the connection wrong.
    """
    if isinstance(url, Path) or "://" not in url:
        return LocalStore(Path(url), compression=compression or "zstd", packs=packs, tensors=tensors, clock=clock)
    from chopmark.blobs.cache import CachedStore
    from chopmark.blobs.objects import Limits, connect, parse_address
    from chopmark.blobs.remote import ObjectStore

    address = parse_address(url)
    if compression == "zstd":
        raise Unsupported(
            f"{address} stores blobs as they are; compression is for directories.",
            hint="Leave the setting out, or use 'none'.",
        )
    limits = limits or Limits()
    objects = connect(address, limits, endpoint_url=endpoint_url, allow_http=allow_http, options=options)
    remote = ObjectStore(objects, str(address), limits=limits, lock=lock, staging=staging)
    if probe:
        remote.probe()
    if cache_dir is None:
        return remote
    return CachedStore(remote, cache_dir, cache_quota_bytes, clock=clock)

"""Ways past the server: addresses at an object store by which one blob may be read, or brought, for some minutes.

What is brought does not go to the blob's own key. An address stays good for its minutes, so that whoever has it could replace what is
there after it was checked; and the store's own checksums can be asked for only by headers that are part of the signature, which obstore
does not sign. So the bytes go to a key of their own, are copied to one that nobody has an address of, read there, hashed, and copied to
where the blob belongs: the server reads them once and sends nothing.

::

    prefix/uploads/<id>           bytes that somebody brings
    prefix/uploads/<id>.checked   the same, out of their reach, while they are hashed

What nobody calls for stays under ``uploads/``: let a rule of the bucket remove what is older than a day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from chopmark.abc.blobs import BlobStore, GivesAddresses
from chopmark.base.digest import PREFIX
from chopmark.blobs.failures import unexpected
from chopmark.blobs.keys import key_of
from chopmark.blobs.objects import Limits, calling
from chopmark.blobs.transfer import download
from chopmark.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from chopmark.blobs.objects import Objects

__all__ = ["giver_of", "signed_read", "signed_write", "take_in"]

_UPLOAD = re.compile(r"[0-9a-f]{32}")


def giver_of(store: BlobStore) -> GivesAddresses | None:
    """What gives addresses of a store's blobs, also where a cache stands before it; None where nothing does."""
    behind = getattr(store, "remote", store)
    return behind if isinstance(behind, GivesAddresses) else None


def signed_read(objects: Objects, digest: str, lifetime_s: float, place: str) -> str:
    """An address that gives the bytes of a blob to whoever has it; nothing is sent to the store."""
    return _signed(objects, "GET", key_of(digest), lifetime_s, place)


def signed_write(objects: Objects, upload: str, lifetime_s: float, place: str) -> tuple[str, Mapping[str, str]]:
    """An address that takes the bytes of an upload, and the headers that they are sent with."""
    from obstore.store import AzureStore

    headers = {"x-ms-blob-type": "BlockBlob"} if isinstance(objects, AzureStore) else {}
    return _signed(objects, "PUT", _upload_key(upload), lifetime_s, place), headers


def take_in(
    objects: Objects,
    upload: str,
    digest: str,
    size_bytes: int,
    *,
    head: Callable[[str], ObjectMeta | None],
    limits: Limits,
    place: str,
) -> None:
    """Make a blob of what was brought, when its bytes are those of the digest.

    Raises
    ------
    NotFound
        When nothing was brought.
    IntegrityFailure
        When its size or its bytes are others; nothing is stored then.
    """
    import obstore

    brought = _upload_key(upload)
    checked = brought + ".checked"
    try:
        with calling("take an upload", place):
            obstore.copy(objects, brought, checked)
    except NotFound as error:
        raise NotFound(f"Nothing was brought as the upload {upload}.", hint="Send the bytes, then repeat.") from error
    try:
        found = head(checked)
        if found is None or found["size"] != size_bytes:
            raise unexpected(f"{digest} of {size_bytes:,} bytes", f"what has {found['size'] if found else 0:,} bytes")
        state = hashlib.sha256()
        for piece in download(objects, checked, 0, size_bytes, limits, place):
            state.update(piece)
        if PREFIX + state.hexdigest() != digest:
            raise unexpected(digest, PREFIX + state.hexdigest())
        with calling("store a blob", place):
            obstore.copy(objects, checked, key_of(digest))
    finally:
        with calling("take an upload", place):
            obstore.delete(objects, [brought, checked])


def _signed(objects: Objects, method: Literal["GET", "PUT"], key: str, lifetime_s: float, place: str) -> str:
    import obstore

    with calling("sign an address", place):
        return obstore.sign(objects, method, key, timedelta(seconds=lifetime_s))


def _upload_key(upload: str) -> str:
    if not _UPLOAD.fullmatch(upload):
        raise InvalidRequest("That names no upload.", hint="Ask for an address first: POST …/blobs/sha256:…/address")
    return f"uploads/{upload}"

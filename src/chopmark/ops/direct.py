"""How a blob is brought to the store itself, past the server: what is asked and what is answered."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["DIRECT_BYTES_MAX", "ArrivedUpload", "DirectUpload", "UploadAddress"]

DIRECT_BYTES_MAX = 5 * 1024**3
"""As much as stores take in one part, and copy in one step."""


class DirectUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask where a blob of this size may be put."""

    size_bytes: int


class UploadAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where bytes may be put, for some minutes.

    Attributes
    ----------
    upload
        Name by which they are called for when they are there (`ArrivedUpload`).
    url, headers
        Where they are sent by ``PUT``, with which headers, in one part. Whoever has the address may do so: it is a secret.
    expires_at
        Until when.
    """

    upload: str
    url: str
    headers: dict[str, str]
    expires_at: datetime

    def __repr__(self) -> str:
        return f"<address for the upload {self.upload}>"


class ArrivedUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say that the bytes of an upload are there; they count when they are those of the digest."""

    upload: str
    size_bytes: int

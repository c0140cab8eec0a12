"""Sealing what only sending needs: encrypted and authenticated (AES-256-GCM), for one webhook, with a key that is not in the database."""

from __future__ import annotations

import base64
import binascii
import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from chopmark.base.ids import random_bytes
from chopmark.base.jsons import decode, encode
from chopmark.domain.receivers import Hidden
from chopmark.errors import IntegrityFailure, InvalidRequest, Unavailable, Unsupported

__all__ = ["KEY_FILE", "key_from", "seal", "unseal"]

KEY_FILE = "webhook.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORM = "a1:"


def key_from(text: str, directory: Path | None) -> bytes:
    """The key of the settings, or else of a file in the registry's directory, which is made when it is not there.

    Parameters
    ----------
    text
        The setting ``webhook_key``: base64 of 32 bytes.
    directory
        Of the registry; None where it has none.

    Raises
    ------
    InvalidRequest
        When the key is none.
    Unsupported
        When there is neither.
    Unavailable
        When the file cannot be read or made.
    """
    if text:
        return _decoded(text, "The setting webhook_key")
    if directory is None:
        msg = "The secrets of webhooks are stored encrypted, and there is no key for that."
        hint = (
            "Set CHOPMARK_WEBHOOK_KEY, the same for all servers and workers, to the output of: openssl rand -base64 32"
        )
        raise Unsupported(msg, hint=hint)
    file = directory / KEY_FILE
    try:
        if not file.exists():
            _make(file)
        return _decoded(file.read_text(encoding="ascii").strip(), f"The file {file}")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The key {file}, with which secrets of webhooks are encrypted, cannot be read or made."
        raise Unavailable(msg, hint="Give this process the right to, or set CHOPMARK_WEBHOOK_KEY.") from error


def _make(file: Path) -> None:
    """Make the file, whole and for its owner only; who comes second takes the first one's."""
    draft = file.with_name(f"{file.name}.{random_bytes(8).hex()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(base64.b64encode(random_bytes(_KEY_BYTES)) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()


def _decoded(text: str, what: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _KEY_BYTES:
        raise InvalidRequest(f"{what} is no key: that is the base64 of 32 bytes.", hint="openssl rand -base64 32")
    return key


def seal(key: bytes, webhook: UUID, hidden: Hidden) -> str:
    """What is hidden of a webhook, as text that says nothing without the key and fits no other webhook."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = random_bytes(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, encode(hidden), webhook.bytes)
    return _FORM + base64.b64encode(nonce + sealed).decode()


def unseal(key: bytes, webhook: UUID, sealed: str) -> Hidden:
    """What was sealed.

    Raises
    ------
    IntegrityFailure
        When the key is another one, or the text was made for another webhook or changed.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.b64decode(sealed.removeprefix(_FORM), validate=True)
        plain = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], webhook.bytes)
    except (ValueError, InvalidTag) as error:
        msg = f"What is hidden of the webhook {webhook} was encrypted with another key, or changed."
        hint = "Set the key with which it was made (webhook_key), or delete the webhook and make it anew."
        raise IntegrityFailure(msg, hint=hint) from error
    return decode(plain, Hidden)

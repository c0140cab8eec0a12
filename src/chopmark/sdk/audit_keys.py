"""Keys that sign checkpoints of the audit: made once, kept out of the registry, shown by their public half."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from chopmark.base.ed25519 import is_signed, public_half, sign
from chopmark.base.ids import random_bytes
from chopmark.domain.checkpoint import (
    KEY_BYTES,
    Checkpoint,
    NoteSignature,
    SignedCheckpoint,
    SigningKey,
    VerifierKey,
    check_key_name,
    key_id,
    parse_signed,
    parse_signing_key,
    parse_verifier,
)
from chopmark.errors import Conflict, IntegrityFailure, InvalidRequest, NotFound, Unavailable

__all__ = ["create_key", "loose_permissions", "open_note", "read_key", "signed", "verifier_of"]

_FILE_BYTES_MAX = 10_000
_CREATE = "Make one with: chopmark audit key create"


def create_key(file: Path, name: str, *, registry: Path | None = None) -> VerifierKey:
    """Make a key and write it to a new file that only its owner may read.

    Parameters
    ----------
    file
        Where; its directory is made.
    name
        Name of the key: who signs.
    registry
        Directory of a registry that the file must not be in: whoever can change the audit could
        then sign what they wrote.

    Raises
    ------
    Conflict
        When there is a file already.
    InvalidRequest
        When the name is none, or the file would be in the registry.
    """
    check_key_name(name)
    if registry is not None and file.resolve().is_relative_to(registry.resolve()):
        msg = f"The key {file} would be in the registry, and whoever can change the audit could sign it."
        raise InvalidRequest(msg, hint="Set audit_key_file to a place outside.")
    seed = random_bytes(KEY_BYTES)
    public = public_half(seed)
    key = SigningKey(name, key_id(name, public), seed)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(f"{key}\n")
    except FileExistsError as error:
        msg = f"There is a key at {file} already."
        raise Conflict(msg, hint="See its public half with: chopmark audit key show") from error
    except OSError as error:
        msg = f"The key cannot be written to {file}: {error.strerror}."
        raise Unavailable(msg, hint="Set audit_key_file to another place.") from error
    return VerifierKey(name, public)


def read_key(file: Path) -> SigningKey:
    """The signing key in a file.

    Raises
    ------
    NotFound
        When there is no file.
    InvalidRequest
        When it holds no key.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            key = parse_signing_key(stream.read(_FILE_BYTES_MAX))
    except FileNotFoundError as error:
        raise NotFound(f"There is no key at {file}.", hint=_CREATE) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The key {file} cannot be read: {error}.", hint=_CREATE) from error
    if key.id != key_id(key.name, public_half(key.seed)):
        raise InvalidRequest(f"The key {file} was changed: its id is not that of its key.", hint=_CREATE)
    return key


def verifier_of(key: SigningKey) -> VerifierKey:
    """The public half of a key."""
    return VerifierKey(key.name, public_half(key.seed))


def loose_permissions(file: Path) -> str:
    """The permissions of a file that others than its owner may use, such as ``0644``; empty when none may."""
    mode = stat.S_IMODE(file.stat().st_mode)
    return f"{mode:04o}" if os.name == "posix" and mode & 0o077 else ""


def signed(checkpoint: Checkpoint, key: SigningKey) -> SignedCheckpoint:
    """The checkpoint with a signature."""
    return SignedCheckpoint(checkpoint, (NoteSignature(key.name, key.id, sign(key.seed, checkpoint.text.encode())),))


def open_note(text: str, key: str | VerifierKey) -> Checkpoint:
    """The checkpoint in a note that this key signed; a note that it did not sign says nothing.

    Raises
    ------
    InvalidRequest
        When the text is no checkpoint, or the key is none.
    IntegrityFailure
        When there is no signature of this key, or one that is wrong.
    """
    verifier = parse_verifier(key) if isinstance(key, str) else key
    note = parse_signed(text)
    signatures = note.of_key(verifier)
    if not signatures:
        names = ", ".join(s.name for s in note.signatures)
        msg = f"The checkpoint has no signature of the key {verifier.name} ({verifier.id.hex()}); it has of {names}."
        raise IntegrityFailure(msg, hint="Pass the verifier key of whoever signed it.")
    message = note.checkpoint.text.encode()
    if not all(is_signed(verifier.public, message, s.signature) for s in signatures):
        msg = f"The signature of {verifier.name} is wrong: the checkpoint was changed, or somebody else signed it."
        raise IntegrityFailure(msg, hint="Believe nothing in it; take the checkpoint from where it was kept.")
    return note.checkpoint

"""Signed checkpoints of the audit chain: what is kept elsewhere, to hold the chain against later.

The form is that of C2SP's signed notes and checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint),
with Ed25519 signatures (type 0x01), so that existing verifiers read it:

    chopmark/4f3c2a9d8b7e6f50       origin: which chain it is
    1204                            number of events
    nND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=

    — ada AAAAAX…                   name of the key, its id and the signature, as base64

The third line holds the hash of the last event. Our chain is a list and no Merkle tree, so what is
promised is that of a list: whoever has all events can check them against the checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

import msgspec

from chopmark.domain.audit import ChainMark
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = [
    "Checkpoint",
    "NoteSignature",
    "SignedCheckpoint",
    "SigningKey",
    "VerifierKey",
    "check_key_name",
    "key_id",
    "origin_of",
    "parse_signed",
    "parse_signing_key",
    "parse_verifier",
]

ED25519 = b"\x01"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
SIGNATURES_MAX = 16
NOTE_CHARACTERS_MAX = 100_000
KEY_NAME_LENGTH_MAX = 200

_SIZE = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_PRIVATE = "PRIVATE+KEY+"
_HINT_NOTE = "A checkpoint is what 'chopmark audit checkpoint' prints: origin, size, hash, an empty line, signatures."
_HINT_KEY = "A verifier key is the line that 'chopmark audit key show' prints: name+id+key."


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed: that a chain had so many events and this end.

    Attributes
    ----------
    origin
        Which chain (`origin_of`).
    size
        How many events.
    head
        Hash of the last one, ``sha256:…``; `GENESIS` of none.
    """

    origin: str
    size: int
    head: str

    @property
    def text(self) -> str:
        """The text that signatures cover, with its last line end."""
        return f"{self.origin}\n{self.size}\n{_base64(bytes.fromhex(self.head.removeprefix('sha256:')))}\n"

    @property
    def mark(self) -> ChainMark:
        """The place to hold a chain against."""
        return ChainMark(self.size, self.head)


class NoteSignature(msgspec.Struct, frozen=True):
    """One signature line: the key's name and id, and the signature's bytes."""

    name: str
    key_id: bytes
    signature: bytes


class SignedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint and its signatures, of which any may be of keys that are not known here."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        """The whole note."""
        lines = (f"\N{EM DASH} {s.name} {_base64(s.key_id + s.signature)}\n" for s in self.signatures)
        return self.checkpoint.text + "\n" + "".join(lines)

    def of_key(self, key: VerifierKey) -> tuple[NoteSignature, ...]:
        """Signatures that claim to be this key's, by its name and id."""
        return tuple(s for s in self.signatures if (s.name, s.key_id) == (key.name, key.id))


class VerifierKey(msgspec.Struct, frozen=True):
    """The public half of a key, that may be shown to everybody."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return key_id(self.name, self.public)

    def __str__(self) -> str:
        """``name+id+key``, one line."""
        return f"{self.name}+{self.id.hex()}+{_base64(ED25519 + self.public)}"


class SigningKey(msgspec.Struct, frozen=True):
    """The private half of a key.

    Attributes
    ----------
    name
        Of the key; stands in every signature.
    id
        Of its public half.
    seed
        32 bytes; its repr shows none of them.
    """

    name: str
    id: bytes
    seed: bytes

    def __repr__(self) -> str:
        return f"<signing key {self.name}, id {self.id.hex()}>"

    def __str__(self) -> str:
        """``PRIVATE+KEY+name+id+key``, one line: what the key file holds."""
        return f"{_PRIVATE}{self.name}+{self.id.hex()}+{_base64(ED25519 + self.seed)}"


def key_id(name: str, public: bytes) -> bytes:
    """First four bytes of SHA-256 over name, line end, type and public key."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def origin_of(first_hash: str) -> str:
    """Origin of a chain by the hash of its event 1, which no other chain has."""
    return f"chopmark/{first_hash.removeprefix('sha256:')[:16] or 'empty'}"


def check_key_name(name: str) -> str:
    """Return the name when a key may have it.

    Raises
    ------
    InvalidRequest
        When it is empty or too long, or has a blank, ``+`` or what cannot be printed.
    """
    good = (
        name
        and len(name) <= KEY_NAME_LENGTH_MAX
        and all(c.isprintable() and not c.isspace() and c != "+" for c in name)
    )
    if not good:
        msg = f"{shown(name)} is no name of a key."
        raise InvalidRequest(msg, hint="Use something like 'example.org/ada': no blanks, no '+'.")
    return name


def parse_signed(text: str) -> SignedCheckpoint:
    """Read a signed checkpoint; its signatures are not verified here.

    Raises
    ------
    InvalidRequest
        When the text is no signed note, or its text no checkpoint.
    """
    if len(text) > NOTE_CHARACTERS_MAX:
        raise _no_checkpoint("it is too long")
    if any(c < " " and c != "\n" for c in text):
        raise _no_checkpoint("it holds control characters")
    body, blank, signatures = text.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise _no_checkpoint("it has no empty line with signatures below, or its last line does not end")
    lines = signatures[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise _no_checkpoint(f"it has more than {SIGNATURES_MAX} signatures")
    return SignedCheckpoint(_parse_text(body), tuple(map(_parse_signature, lines)))


def _parse_text(body: str) -> Checkpoint:
    lines = body.split("\n")
    if len(lines) != 3 or not lines[0]:  # noqa: PLR2004 - origin, size, hash; what else might follow is not ours
        raise _no_checkpoint("there are not three lines above the signatures")
    origin, size, encoded = lines
    if not _SIZE.fullmatch(size):
        raise _no_checkpoint(f"{shown(size)} is no number of events")
    head = _decoded(encoded)
    if head is None or len(head) != KEY_BYTES:
        raise _no_checkpoint(f"{shown(encoded)} is no hash")
    return Checkpoint(origin=origin, size=int(size), head=f"sha256:{head.hex()}")


def _parse_signature(line: str) -> NoteSignature:
    dash, name, encoded = [*line.split(" "), "", "", ""][:3]
    raw = _decoded(encoded)
    if dash != "\N{EM DASH}" or line.count(" ") != 2 or not name or "+" in name or raw is None or len(raw) <= 4:  # noqa: PLR2004
        raise _no_checkpoint(f"{shown(line)} is no signature line")
    return NoteSignature(name, raw[:4], raw[4:])


def _no_checkpoint(why: str) -> InvalidRequest:
    return InvalidRequest(f"This is no signed checkpoint: {why}.", hint=_HINT_NOTE)


def parse_verifier(text: str) -> VerifierKey:
    """Read ``name+id+key``.

    Raises
    ------
    InvalidRequest
        When it is not of that form, its id is not that of its key, or it is no Ed25519 key.
    """
    name, public, claimed = _key_parts(text.strip(), "a verifier key")
    key = VerifierKey(name, public)
    if key.id != claimed:
        msg = f"The verifier key of {shown(name)} was changed: its id is not that of its key."
        raise InvalidRequest(msg, hint=_HINT_KEY)
    return key


def parse_signing_key(text: str) -> SigningKey:
    """Read ``PRIVATE+KEY+name+id+key``; whether the id is right shows with the public half.

    Raises
    ------
    InvalidRequest
        When it is not of that form. The message shows nothing of the key.
    """
    text = text.strip()
    if not text.startswith(_PRIVATE):
        msg = "This is no signing key."
        raise InvalidRequest(msg, hint="Make one with: chopmark audit key create")
    name, seed, claimed = _key_parts(text.removeprefix(_PRIVATE), "a signing key")
    return SigningKey(name, claimed, seed)


def _key_parts(text: str, what: str) -> tuple[str, bytes, bytes]:
    name, claimed, encoded = [*text.split("+", 2), "", "", ""][:3]
    raw = _decoded(encoded)
    is_id = re.fullmatch(r"[0-9a-f]{8}", claimed) is not None
    if not name or not is_id or raw is None or len(raw) != 1 + KEY_BYTES or raw[:1] != ED25519:
        msg = f"This is not {what} for Ed25519."
        raise InvalidRequest(msg, hint=_HINT_KEY)
    return check_key_name(name), raw[1:], bytes.fromhex(claimed)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes | None:
    """Bytes of base64; None when the text is none, or not the one form that these bytes have."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _base64(raw) == text else None

"""API tokens: ``cm_<id>_<secret>``. The id is known to everybody who may list tokens; of the secret only a hash is kept.

A secret is 32 random bytes, so that a plain SHA-256 of it is enough: there is nothing to guess, and a slow hash would only slow
down every request.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from chopmark.base.digest import digest_of
from chopmark.domain.access import Limits
from chopmark.errors import InvalidRequest

__all__ = [
    "ID_BYTES",
    "SECRET_BYTES",
    "Token",
    "check_id",
    "is_usable",
    "limits_of",
    "matches",
    "parse_token",
    "secret_hash",
    "written",
]

ID_BYTES = 8
SECRET_BYTES = 32
_TOKEN = re.compile(r"cm_([0-9a-f]{16})_([0-9a-f]{64})")
_ID = re.compile(r"[0-9a-f]{16}")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token: everything but its secret.

    Attributes
    ----------
    id
        16 hexadecimal digits.
    name
        What it is for.
    owner, kind
        Who acts with it: a person or a service account.
    scopes
        Permissions of its owner that it keeps.
    project
        Where it keeps them; everywhere when empty.
    created_at, created_by
        When and by whom it was made.
    expires_at
        From when on it is refused; None for never.
    revoked_at
        Since when it is refused.
    used_at
        When it was last used, to the minute; None for never.
    """

    id: str
    name: str
    owner: str
    kind: Literal["person", "service"] = "person"
    scopes: tuple[str, ...]
    project: str = ""
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None

    def __repr__(self) -> str:
        where = f" in {self.project}" if self.project else ""
        return f"<token {self.id} {self.name!r} of {self.owner} · {', '.join(self.scopes)}{where}>"


def written(token_id: str, secret: bytes) -> str:
    """A token as its owner sends it.

    >>> text = written("00112233445566ff", bytes(32))
    >>> text[:24], parse_token(text) == ("00112233445566ff", bytes(32))
    ('cm_00112233445566ff_0000', True)
    """
    return f"cm_{token_id}_{secret.hex()}"


def parse_token(text: str) -> tuple[str, bytes] | None:
    """Id and secret of a token; None for a text that is none."""
    found = _TOKEN.fullmatch(text)
    return (found[1], bytes.fromhex(found[2])) if found else None


def check_id(text: str) -> str:
    """The id of a token, also of one that was passed whole.

    Raises
    ------
    InvalidRequest
        When it is none; what was passed is not repeated, as it may be a secret.
    """
    whole = parse_token(text)
    if whole is not None:
        return whole[0]
    if not _ID.fullmatch(text):
        raise InvalidRequest("That is not the id of a token.", hint="See them with: chopmark token list")
    return text


def secret_hash(secret: bytes) -> str:
    """What is stored of a secret."""
    return digest_of(secret)


def matches(secret: bytes, stored_hash: str) -> bool:
    """Whether a secret is the one that was hashed, in a time that says nothing about either."""
    return hmac.compare_digest(secret_hash(secret), stored_hash)


def is_usable(token: Token, now: datetime) -> bool:
    """Whether it is neither revoked nor expired."""
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


def limits_of(scopes: Iterable[str], project: str) -> Limits:
    """What a token of these scopes keeps of its owner's grants."""
    return Limits(frozenset(scopes), project)

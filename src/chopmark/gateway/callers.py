"""Who calls, by the hashes of tokens that came with the routing: no question to anybody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from chopmark.base.clock import Clock
from chopmark.domain.access import EVERYWHERE
from chopmark.domain.endpoints import EndpointCaller
from chopmark.domain.tokens import matches, parse_token
from chopmark.errors import Denied, NotFound, Unauthenticated

__all__ = ["Caller", "Callers"]

_BEARER = b"bearer "
_SEEN_MAX = 10_000
_HINT = "Send a token that holds the permission invoke: Authorization: Bearer cm_…"


class Caller(NamedTuple):
    """Who calls.

    Attributes
    ----------
    unit
        A person's token, as what it is dealt by when a request names nobody; empty for a service, which asks for many.
    invoke, deploy
        Where it may call, and where it may choose what answers; `EVERYWHERE` for all projects.
    expires_at
        From when on it is refused.
    """

    unit: bytes
    invoke: frozenset[str]
    deploy: frozenset[str]
    expires_at: datetime | None

    def check_invoke(self, project: str, endpoint: str) -> None:
        """Refuse a call of an endpoint that it may not call; for it there is none.

        Raises
        ------
        NotFound
            When it may not.
        """
        if project not in self.invoke and EVERYWHERE not in self.invoke:
            msg = f"There is no endpoint {endpoint} that you may call."
            raise NotFound(msg, hint="Its project's members need the permission invoke, and so does the token.")

    def check_deploy(self, project: str) -> None:
        """Refuse the choice of a variant.

        Raises
        ------
        Denied
            When it may not choose.
        """
        if project not in self.deploy and EVERYWHERE not in self.deploy:
            raise Denied("Which variant answers is chosen by who may deploy.", hint="Leave the header or version out.")


class Callers:
    """Tells callers by their bearer tokens.

    Parameters
    ----------
    known
        All that may call.
    clock
        Where the time comes from.

    A token that was seen is found by the hash of the whole header, so that a request costs one hash; as nobody can aim at a hash,
    how long finding takes tells nothing.
    """

    def __init__(self, known: Iterable[EndpointCaller], clock: Clock) -> None:
        self._known = {caller.token: caller for caller in known}
        self._clock = clock
        self._seen: dict[bytes, Caller] = {}

    def caller(self, authorization: bytes) -> Caller:
        """Who sent this header.

        Raises
        ------
        Unauthenticated
            When the token is none that may call anything, or it has expired.
        """
        seen = self._seen.get(hashlib.sha256(authorization).digest())
        caller = seen if seen is not None else self._found(authorization)
        if caller.expires_at is not None and self._clock() >= caller.expires_at:
            raise Unauthenticated("The token has expired.", hint=_HINT)
        return caller

    def _found(self, authorization: bytes) -> Caller:
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("The request does not say who sends it.", hint=_HINT)
        parsed = parse_token(authorization[len(_BEARER) :].strip().decode("ascii", "replace"))
        known = self._known.get(parsed[0]) if parsed is not None else None
        if parsed is None or known is None or not matches(parsed[1], known.secret_hash):
            raise Unauthenticated("The token is not known, or may not call any endpoint.", hint=_HINT)
        unit = parsed[0].encode() if known.kind == "person" else b""
        caller = Caller(unit, frozenset(known.invoke), frozenset(known.deploy), known.expires_at)
        if len(self._seen) >= _SEEN_MAX:
            self._seen.clear()
        self._seen[hashlib.sha256(authorization).digest()] = caller
        return caller

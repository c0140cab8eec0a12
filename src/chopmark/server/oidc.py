"""Bearer tokens of an OpenID Connect issuer: who it says somebody is, and of which groups.

Only signatures that need the issuer's private key are believed (RS256, ES256). Keys are fetched from the issuer's own address
and from nowhere that a token names; what a token says of its key is only which of them it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from chopmark.base.jsons import decode
from chopmark.domain.access import check_member
from chopmark.errors import InvalidRequest, Unauthenticated, Unavailable, Unsupported

__all__ = ["Issuer", "Person", "fetch_json"]

Fetch = Callable[[str], dict[str, Any]]

SKEW_S = 60
KEPT_S = 3_600.0
REFETCHED_AFTER_S = 60.0
ASKED_AGAIN_AFTER_S = 5.0
_DOCUMENT_BYTES_MAX = 512 * 1024
_TOKEN_LENGTH_MAX = 16_384
_TIMEOUT_S = 5.0
_GROUPS_MAX = 1_000
_KEYS_MAX = 100
_FAMILY = {"RS256": "RSA", "ES256": "EC"}
_REFUSED = "The issuer's token is not accepted"


class Person(NamedTuple):
    """Who a token tells of, and in which groups they are."""

    name: str
    groups: tuple[str, ...]


def fetch_json(url: str) -> dict[str, Any]:
    """A small JSON document from an address, which may not send us elsewhere.

    Raises
    ------
    Unavailable
        When it cannot be had in a few seconds, or is none.
    """
    import urllib3

    limit = urllib3.Timeout(connect=_TIMEOUT_S, read=_TIMEOUT_S, total=_TIMEOUT_S)
    try:
        answer = urllib3.request("GET", url, timeout=limit, redirect=False, retries=False, preload_content=False)
        try:
            body = answer.read(_DOCUMENT_BYTES_MAX + 1, decode_content=True)
        finally:
            answer.release_conn()
            answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(f"{url} does not answer: {type(error).__name__}.", hint="Ask who runs the issuer.") from error
    if answer.status != 200 or len(body) > _DOCUMENT_BYTES_MAX:  # noqa: PLR2004
        raise Unavailable(f"{url} answered with the status {answer.status} and {len(body):,} bytes.")
    try:
        return decode(body, dict[str, Any])
    except InvalidRequest as error:
        raise Unavailable(f"{url} answered with what is no JSON object.") from error


class Issuer:
    """Checks tokens of one issuer.

    Parameters
    ----------
    issuer, audience
        That tokens must name.
    jwks_url
        Where its keys are; asked of the issuer itself when empty.
    name_claim, groups_claim
        Claims that say who somebody is, and of which groups.
    now
        Seconds, going up.
    fetch
        Gets a document.

    Raises
    ------
    InvalidRequest
        When an address would be asked over a connection that others can read and change.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        jwks_url: str = "",
        name_claim: str = "sub",
        groups_claim: str = "groups",
        now: Callable[[], float],
        fetch: Fetch = fetch_json,
    ) -> None:
        if not audience:
            msg = "Tokens of an issuer need an audience: others of its tokens are not meant for this server."
            raise InvalidRequest(msg, hint="Set oidc_audience to what the issuer calls this server.")
        self._issuer = _checked_url(issuer)
        self._audience = audience
        self._jwks_url = _checked_url(jwks_url) if jwks_url else ""
        self._name_claim = name_claim
        self._groups_claim = groups_claim
        self._now = now
        self._fetch = fetch
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    def person(self, text: str) -> Person:
        """Who a token tells of.

        Raises
        ------
        Unauthenticated
            When it is not the issuer's, not for us, not yet or no longer valid, or tells of nobody.
        Unavailable
            When the issuer's keys cannot be had.
        """
        try:
            import jwt
        except ImportError as error:
            msg = "Tokens of an issuer need pyjwt, which is not installed."
            raise Unsupported(msg, hint="pip install 'chopmark[server]'") from error
        if len(text) > _TOKEN_LENGTH_MAX:
            raise Unauthenticated(f"{_REFUSED}: it is too long.")
        try:
            header = jwt.get_unverified_header(text)
            algorithm = header.get("alg")
            if algorithm not in _FAMILY:
                raise Unauthenticated(f"{_REFUSED}: it is not signed with RS256 or ES256.")
            key = self._key(header.get("kid"), algorithm)
            claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=SKEW_S,
                options={"require": ["exp", "iss", "aud", self._name_claim]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated(f"{_REFUSED}: it has expired.", hint="Get a new one.") from error
        except jwt.PyJWTError as error:  # its words may repeat parts of the token
            raise Unauthenticated(f"{_REFUSED}: {type(error).__name__}.", hint="Get a new one.") from error
        return self._told(claims)

    def _told(self, claims: Mapping[str, Any]) -> Person:
        name, groups = claims.get(self._name_claim), claims.get(self._groups_claim, ())
        if isinstance(groups, str):
            groups = [groups]
        if not isinstance(name, str) or not isinstance(groups, (list, tuple)):
            raise Unauthenticated(f"{_REFUSED}: its {self._name_claim} or {self._groups_claim} is not text.")
        if self._name_claim == "email" and claims.get("email_verified") is not True:
            raise Unauthenticated(f"{_REFUSED}: its issuer has not verified the address.")
        try:
            check_member(name, "actor")
        except InvalidRequest as error:
            raise Unauthenticated(f"{_REFUSED}: {error.message}") from error
        known = tuple(dict.fromkeys(group for group in groups if isinstance(group, str)))
        return Person(name, known[:_GROUPS_MAX])

    def _key(self, kid: object, algorithm: str) -> Any:
        """The issuer's key of that name, for that algorithm."""
        with self._lock:
            now = self._now()
            is_stale = now - self._fetched_at > KEPT_S
            if (is_stale or not self._has(kid)) and now - self._tried_at >= REFETCHED_AFTER_S:
                self._tried_at = now
                try:
                    self._keys = self._fetch_keys()
                    self._fetched_at = now
                except Unavailable:
                    if not self._keys:  # there is nothing to go on with: ask again soon
                        self._tried_at = now - REFETCHED_AFTER_S + ASKED_AGAIN_AFTER_S
                        raise
            if not self._keys and self._fetched_at == float("-inf"):
                raise Unavailable("The issuer's keys could not be had a moment ago.", hint="Try again in some seconds.")
            found = self._keys.get(kid) if isinstance(kid, str) else self._only()
        if found is None:
            raise Unauthenticated(f"{_REFUSED}: the issuer has no such key.", hint="Get a new one.")
        if found.key_type != _FAMILY[algorithm] or found.algorithm_name != algorithm:
            raise Unauthenticated(f"{_REFUSED}: its key is not for {algorithm}.")
        return found.key

    def _has(self, kid: object) -> bool:
        return kid in self._keys if isinstance(kid, str) else self._only() is not None

    def _only(self) -> Any:
        """The key of an issuer that has one and so need not name it."""
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _fetch_keys(self) -> dict[str, Any]:
        import jwt

        listed = self._fetch(self._jwks_url or self._told_jwks_url()).get("keys")
        keys: dict[str, Any] = {}
        for number, entry in enumerate(listed[:_KEYS_MAX] if isinstance(listed, list) else ()):
            if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC"):
                continue
            try:
                keys[str(entry.get("kid", f"#{number}"))] = jwt.PyJWK(entry)
            except jwt.PyJWTError:
                continue  # of a kind that is not known here; the others are still good
        return keys

    def _told_jwks_url(self) -> str:
        document = self._fetch(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        url = document.get("jwks_uri")
        if document.get("issuer") != self._issuer or not isinstance(url, str):
            msg = f"{self._issuer} describes another issuer, or no keys."
            raise Unavailable(msg, hint="Set oidc_issuer exactly as the issuer writes it, or oidc_jwks_url.")
        try:
            return _checked_url(url)
        except InvalidRequest as error:
            raise Unavailable(error.message) from error


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    is_near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "https" or (parts.scheme == "http" and is_near):
        return url
    msg = f"{url[:200]!r} is no address to fetch keys from: others could change them on the way."
    raise InvalidRequest(msg, hint="Use https://…")

"""Who sends a request: by an API token of the registry, or by a token of its issuer."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from chopmark.app.access import Holder
from chopmark.base.clock import Clock, system_clock
from chopmark.base.digest import digest_of
from chopmark.base.settings import Settings
from chopmark.domain.access import Actor, parse_group_roles
from chopmark.domain.audit import AuditEvent
from chopmark.domain.tokens import is_usable, matches, parse_token, secret_hash
from chopmark.errors import RateLimited, Unauthenticated
from chopmark.server.exchange import Exchange
from chopmark.server.limits import Lockout, Rate
from chopmark.server.oidc import Issuer

__all__ = ["Everybody", "People", "TokenCallers", "callers_of"]

_KEPT_MAX = 10_000
_BURST_S = 2.0
_CHANGES = ("token.revoked", "member.set", "member.removed", "role.defined", "role.removed")
_NOBODY = secret_hash(b"")
_HINT = "Send a token: Authorization: Bearer cm_… (with the SDK and the command line: CHOPMARK_TOKEN)."


class Identities(Protocol):
    """What is asked of the registry; `chopmark.app.identities.Identities` answers."""

    def holder(self, token_id: str) -> Holder | None:
        """Who acts with a token."""
        ...

    def person(self, name: str, groups: Sequence[str], group_roles: Mapping[str, Iterable[tuple[str, str]]]) -> Actor:
        """Somebody whom an issuer vouches for."""
        ...

    def note_use(self, token_id: str) -> None:
        """Note that a token was used; returns at once."""
        ...


class People(Protocol):
    """A registry that knows its people; `chopmark.wiring.LocalTransport` does."""

    @property
    def identities(self) -> Identities:
        """Its tokens and people."""
        ...

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of this process."""
        ...


class Everybody:
    """Takes whoever asks for one actor: for a server that only this machine reaches.

    Parameters
    ----------
    actor
        Who everybody is.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def actor(self, exchange: Exchange) -> Actor:  # noqa: ARG002
        """That one."""
        return self._actor

    actor_at_once = actor


class _Kept(NamedTuple):
    holder: Holder
    since_s: float


class _KeptPerson(NamedTuple):
    actor: Actor
    since_s: float


class TokenCallers:
    """Tells callers by their bearer tokens.

    Parameters
    ----------
    people
        The registry that knows them.
    settings
        Limits.
    issuer
        Whose tokens are taken, too.
    clock, now
        The time; and seconds, going up.

    What is known of a token is kept for some seconds, so that a request costs no question of its own. In this process a change
    of tokens, members or roles is seen at once, in others when those seconds have passed.
    """

    def __init__(
        self,
        people: People,
        settings: Settings,
        issuer: Issuer | None = None,
        *,
        clock: Clock = system_clock,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identities = people.identities
        self._issuer = issuer
        self._group_roles = parse_group_roles(settings.oidc_group_roles)
        self._kept_s = settings.serve_token_cache_s
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._kept_people: OrderedDict[str, _KeptPerson] = OrderedDict()
        self._by_token = Rate(settings.serve_token_rate_per_s, _BURST_S * settings.serve_token_rate_per_s, now)
        self._by_address = Rate(settings.serve_address_rate_per_s, _BURST_S * settings.serve_address_rate_per_s, now)
        self._failures = Lockout(settings.serve_failures_max, now)
        for event in _CHANGES:
            people.on(event, self._forget)

    def actor(self, exchange: Exchange) -> Actor:
        """The actor of a request's bearer token.

        Raises
        ------
        Unauthenticated
            When there is none, or it is not known, expired or revoked: which of these is not said.
        RateLimited
            When its address, or it, asks too often, or was refused too often.
        """
        address = exchange.client
        _check_wait(self._by_address.take(address), "This address asks too often.")
        text = _bearer(exchange)
        parsed = parse_token(text)
        if parsed is not None:
            return self._by_api_token(parsed[0], parsed[1], address)
        if self._issuer is not None and text.count(".") == 2:  # noqa: PLR2004 - header, claims, signature
            return self._by_issuer(self._issuer, text, address)
        raise self._refused(address)

    def actor_at_once(self, exchange: Exchange) -> Actor | None:
        """The actor, when its token was seen lately; None when the registry or an issuer would have to be asked."""
        parsed = parse_token(_bearer_text(exchange))
        kept = self._fresh(parsed[0]) if parsed is not None else None
        if parsed is None or kept is None or not matches(parsed[1], kept.secret_hash):
            return None
        _check_wait(self._by_address.take(exchange.client), "This address asks too often.")
        return self._admitted(kept, parsed[0], exchange.client)

    def _by_api_token(self, token_id: str, secret: bytes, address: str) -> Actor:
        kept = self._fresh(token_id)
        if kept is None or not matches(secret, kept.secret_hash):
            kept = self._identities.holder(token_id)
            if not matches(secret, kept.secret_hash if kept is not None else _NOBODY) or kept is None:
                raise self._refused(address, token_id)
            self._keep(token_id, kept)
        return self._admitted(kept, token_id, address)

    def _admitted(self, kept: Holder, token_id: str, address: str) -> Actor:
        """The actor of a token whose secret is right."""
        if not is_usable(kept.token, self._clock()):
            raise self._refused(address, token_id)
        _check_wait(self._by_token.take(token_id), "This token asks too often.")
        self._identities.note_use(token_id)
        return kept.actor

    def _by_issuer(self, issuer: Issuer, text: str, address: str) -> Actor:
        try:
            person = issuer.person(text)
        except Unauthenticated:
            self._count_failure(address)
            raise
        _check_wait(self._by_token.take(f"person {person.name}"), "You ask too often.")
        key = digest_of(repr(person).encode())
        with self._lock:
            kept = self._kept_people.get(key)
        if kept is not None and self._now() - kept.since_s < self._kept_s:
            return kept.actor
        actor = self._identities.person(person.name, person.groups, self._group_roles)
        with self._lock:
            self._kept_people[key] = _KeptPerson(actor, self._now())
            _limit(self._kept_people)
        return actor

    def _fresh(self, token_id: str) -> Holder | None:
        with self._lock:
            kept = self._kept.get(token_id)
        return kept.holder if kept is not None and self._now() - kept.since_s < self._kept_s else None

    def _keep(self, token_id: str, holder: Holder) -> None:
        with self._lock:
            self._kept[token_id] = _Kept(holder, self._now())
            self._kept.move_to_end(token_id)
            _limit(self._kept)

    def _forget(self, _: AuditEvent) -> None:
        with self._lock:
            self._kept.clear()
            self._kept_people.clear()

    def _refused(self, address: str, token_id: str = "") -> Unauthenticated:
        self._count_failure(address, token_id)
        return Unauthenticated("The token is not known, or has expired, or was revoked.", hint=_HINT)

    def _count_failure(self, address: str, token_id: str = "") -> None:
        """Count a refusal. Whoever was refused again and again waits to be told so; a good token waits for nobody's wrong one.

        Raises
        ------
        RateLimited
            While the address, or the token from there, waits.
        """
        keys = (address, f"{token_id} {address}") if token_id else (address,)
        _check_wait(max(map(self._failures.wait_s, keys)), "Too many tokens were refused.")
        for key in keys:
            self._failures.failed(key)


def callers_of(people: People, settings: Settings, *, clock: Clock = system_clock) -> Everybody | TokenCallers:
    """Who is asked who they are, by the settings."""
    if settings.serve_auth == "none":
        return Everybody(Actor(settings.actor))
    issuer = None
    if settings.oidc_issuer:
        issuer = Issuer(
            settings.oidc_issuer,
            settings.oidc_audience,
            jwks_url=settings.oidc_jwks_url,
            name_claim=settings.oidc_name_claim,
            groups_claim=settings.oidc_groups_claim,
            now=time.monotonic,
        )
    return TokenCallers(people, settings, issuer, clock=clock)


def _bearer(exchange: Exchange) -> str:
    text = _bearer_text(exchange)
    if not text:
        raise Unauthenticated("The request does not say who sends it.", hint=_HINT)
    return text


def _bearer_text(exchange: Exchange) -> str:
    scheme, _, text = exchange.header("authorization").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _check_wait(seconds: float, what: str) -> None:
    if seconds > 0:
        after_s = max(1, math.ceil(seconds))
        raise RateLimited(what, hint=f"Try again in {after_s} s.", retry_after_s=after_s)


def _limit(kept: OrderedDict[str, _Kept] | OrderedDict[str, _KeptPerson]) -> None:
    while len(kept) > _KEPT_MAX:
        kept.popitem(last=False)

"""Who somebody is to the registry: asked by a server before it calls an op."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from chopmark.abc.catalog import Catalog
from chopmark.app.access import Holder, actor_of, holder_of
from chopmark.app.bytes_shown import KNOWN_FOR, hidden_bytes
from chopmark.base.clock import Clock
from chopmark.base.deferred import Deferred
from chopmark.domain.access import Actor
from chopmark.errors import ChopmarkError

__all__ = ["Identities"]

NOTED_AFTER = timedelta(minutes=1)
_WRITTEN_WITHIN_S = 5.0
_NOTED_MAX = 10_000


class Identities:
    """Tokens and people of a catalog.

    Parameters
    ----------
    catalog, clock
        Where they are kept, and the time.
    """

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[str, datetime] = {}
        self._waiting: dict[str, datetime] = {}
        self._writing = Deferred(self._write, _WRITTEN_WITHIN_S)

    def holder(self, token_id: str) -> Holder | None:
        """Who acts with a token."""
        with self._catalog.reading() as tx:
            return holder_of(tx, token_id)

    def person(self, name: str, groups: Sequence[str], group_roles: Mapping[str, Iterable[tuple[str, str]]]) -> Actor:
        """Somebody whom others vouch for, with the grants of their memberships and groups."""
        with self._catalog.reading() as tx:
            return actor_of(tx, name, groups, group_roles)

    def has_tokens(self) -> bool:
        """Whether any token was ever made and not removed since."""
        with self._catalog.reading() as tx:
            return bool(tx.tokens.list(limit=1))

    def hides_bytes(self, digest: str, actor: Actor) -> bool:
        """Whether a blob is to the actor as if it were not there."""
        if actor.sight is None:
            return False
        with self._catalog.reading() as tx:
            return bool(hidden_bytes(tx, actor, [digest], self._clock()))

    def note_put(self, digest: str, actor: Actor) -> None:
        """Let somebody know of the bytes that they put, who sees nothing else of them yet."""
        if actor.sight is None:
            return
        now = self._clock()
        with self._catalog.writing() as tx:
            tx.puts.remove(now - KNOWN_FOR)
            tx.puts.note(digest, actor.name, now)

    def note_use(self, token_id: str) -> None:
        """Note that a token was used: written soon, by another thread, and at most once a minute."""
        now = self._clock()
        with self._lock:
            last = self._noted.get(token_id)
            if last is not None and now - last < NOTED_AFTER:
                return
            if len(self._noted) >= _NOTED_MAX:
                self._noted.clear()
            self._noted[token_id] = self._waiting[token_id] = now
        self._writing.ask()

    def _write(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        with suppress(ChopmarkError), self._catalog.writing() as tx:  # a time that is lost does no harm
            tx.tokens.used(waiting)

    def flush(self) -> None:
        """Write what waits."""
        self._writing.flush()

    def close(self) -> None:
        """Write what waits, and end."""
        self._writing.close()

"""What the server asks of the parts behind it."""

from __future__ import annotations

from typing import Any, Protocol

from chopmark.domain.access import Actor
from chopmark.ops.requests import Request
from chopmark.server.exchange import Exchange

__all__ = ["Acting", "Callers"]


class Acting(Protocol):
    """What does ops on behalf of somebody; `chopmark.wiring.LocalTransport` does."""

    def act(
        self,
        request: Request,
        actor: Actor,
        *,
        key: str = "",
        dry_run: bool = False,
        expected: str = "",
        absent: bool = False,
    ) -> Any:
        """Do the op of a request as ``actor``; see `chopmark.app.dispatch.Dispatch`."""
        ...

    def act_at_once(self, request: Request, actor: Actor) -> Any:
        """Do the op of a request that only reads a few rows, if nothing need be waited for; None otherwise."""
        ...

    def hides_bytes(self, digest: str, actor: Actor) -> bool:
        """Whether a blob is to the actor as if it were not there."""
        ...

    def note_put(self, digest: str, actor: Actor) -> None:
        """Let somebody know of the bytes that they put."""
        ...


class Callers(Protocol):
    """Who sends a request."""

    def actor(self, exchange: Exchange) -> Actor:
        """The actor, by the request's headers.

        Raises
        ------
        Unauthenticated
            When it does not say who sends it, or says it wrongly.
        """
        ...

    def actor_at_once(self, exchange: Exchange) -> Actor | None:
        """The actor, when nothing need be waited for to know; raises as `actor`."""
        ...

"""Hints that the routing has changed: they make routers ask sooner, and nothing rests on them."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Hints"]


class Hints(Protocol):
    """Whoever waits is woken when somebody changed the routing.

    A hint may come late, twice, for nothing, or never: who waits asks again after a while in any case.
    """

    def tell(self) -> None:
        """Wake who waits. Called after a change was committed; where the database tells its listeners itself, that is enough."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait to be told, so long; whether one was, also between this wait and the one before.

        Returns
        -------
        bool
            True also when hints may have been missed, as after a connection that was lost. Never raises for a database that
            does not answer: then it waits, and returns False.
        """
        ...

    def close(self) -> None:
        """End; who waits returns soon, with False."""
        ...

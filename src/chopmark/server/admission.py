"""What every route shares: who asks, whether they may, and a thread to do it on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar, cast

from chopmark.domain.access import Actor, check_permission
from chopmark.server.acting import Callers
from chopmark.server.exchange import Exchange

__all__ = ["Admission", "settle"]

T = TypeVar("T")


class Admission:
    """Lets requests in, and has them worked on.

    Parameters
    ----------
    callers
        Who asks.
    pool
        Threads for what blocks.
    """

    def __init__(self, callers: Callers, pool: ThreadPoolExecutor) -> None:
        self._callers = callers
        self._pool = pool

    def known(self, exchange: Exchange) -> Actor:
        """Who asks; blocks."""
        actor = self._callers.actor(exchange)
        exchange.actor = actor.name
        return actor

    def known_at_once(self, exchange: Exchange) -> Actor | None:
        """Who asks, when nothing need be waited for to know."""
        actor = self._callers.actor_at_once(exchange)
        if actor is not None:
            exchange.actor = actor.name
        return actor

    def admitted(self, exchange: Exchange, permission: str) -> Actor:
        """Who asks, when they may at all; blocks.

        Raises
        ------
        Unauthenticated
            When it is not said, or wrongly.
        Denied
            When they may nowhere.
        """
        actor = self.known(exchange)
        check_permission(actor, permission, exchange.op)
        return actor

    def begin(self, work: Callable[[], T], ended: Callable[[T | None, BaseException | None], None]) -> None:
        """Have what blocks done on a thread, and be told on the event loop what it gave or raised.

        `run` costs two turns of the loop more: it carries the outcome from one future to another.
        """
        tell = asyncio.get_running_loop().call_soon_threadsafe

        def do() -> None:
            try:
                outcome: tuple[T | None, BaseException | None] = (work(), None)
            except BaseException as error:  # noqa: BLE001 - it is told to who waits for it
                outcome = (None, error)
            with suppress(RuntimeError):  # the loop has ended, and with it who waited
                tell(ended, *outcome)

        self._pool.submit(do)

    async def run(self, work: Callable[[], T]) -> T:
        """Do what blocks, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def settle(answered: asyncio.Future[T], found: T | None, error: BaseException | None) -> None:
    """Give a future what work gave or raised."""
    if error is not None:
        answered.set_exception(error)
    else:
        answered.set_result(cast("T", found))

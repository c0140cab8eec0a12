"""Turns, and versions that hang while they are loaded."""

from __future__ import annotations

import asyncio

from chopmark.gateway.turns import Turns
from tests.gateway.world import World, routing, settled, whole


def test_who_takes_too_long_keeps_no_other_waiting() -> None:
    async def tell() -> None:
        turns, ended, running = Turns(2, longest_s=0.1), asyncio.Event(), 0
        most = 0

        async def work(*, hangs: bool) -> None:
            nonlocal running, most
            async with turns.turn():
                running += not hangs
                most = max(most, running)
                await (ended.wait() if hangs else asyncio.sleep(0.01))
                running -= not hangs

        hanging = [asyncio.create_task(work(hangs=True)) for _ in range(3)]
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await asyncio.gather(*(work(hangs=False) for _ in range(10)))
        assert most <= 2
        ended.set()
        await asyncio.gather(*hanging)
        assert turns._places._value == 2

    asyncio.run(tell())


def test_nothing_is_loaded_any_more_once_all_is_let_go_of() -> None:
    async def tell() -> None:
        world, ended = World(), asyncio.Event()

        async def hang(number: int) -> None:  # noqa: ARG001
            await ended.wait()

        world.before_load = hang
        await world.take(routing(whole(3)))
        assert world.loads == [3]
        await world.holding.close()
        await settled()
        assert world.loads == [3]
        assert not world.holding._loading

    asyncio.run(tell())

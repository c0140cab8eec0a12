"""Shadows: asked beside the requests, compared, bounded, and nobody's concern."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from chopmark.domain.endpoints import EndpointConfig
from chopmark.domain.outcomes import Comparison
from chopmark.domain.traffic import SHADOW
from chopmark.gateway.protocols.asked import Asked
from chopmark.gateway.recording import TallyKey
from chopmark.gateway.shadows import Shadows, compared
from tests.gateway.world import World, pinned, routing, settled, whole

ASKED = Asked(np.zeros((2, 2)), 2)
ANSWER = {"output-0": np.array([3.0, 3.0])}


def _numbers(*values: float) -> dict[str, np.ndarray]:
    return {"output-0": np.array(values)}


def test_answers_are_compared_row_by_row() -> None:
    assert compared(_numbers(1, 2, 3), _numbers(1, 2.5, 2), 3) == Comparison(3, 1, -0.5, 1.5, 1.0)
    assert compared(_numbers(1, np.nan), _numbers(1 + 1e-12, np.nan), 2).agreed == 2
    words = {"label": np.array(["a", "b"], dtype=object)}
    assert compared(words, {"class": np.array(["a", "c"], dtype=object)}, 2) == Comparison(2, 1)
    assert compared(_numbers(1, 2), {"output-0": np.array([[1.0, 2.0], [2.0, 3.0]])}, 2) == Comparison(2, 0)
    assert compared(_numbers(1), _numbers(1) | {"more": np.array([1.0])}, 1) == Comparison(1, 0)


async def _copied(world: World, copies: int, config: EndpointConfig, weight: int = 10_000) -> Shadows:
    await world.take(routing(whole(3, shadows=[(9, weight)], config=config)))
    world.router.settle()
    shadows = Shadows()
    for _ in range(copies):
        shadows(world.router.routes["fraud-api"], ASKED, ANSWER, 10)
    return shadows


def test_a_shadow_is_asked_and_its_answers_are_counted_by_themselves() -> None:
    async def tell() -> None:
        world = World()
        shadows = await _copied(world, 5, EndpointConfig())
        for _ in range(5):
            await settled()
        counts = world.router.counted()[TallyKey(world.router.routes["fraud-api"].endpoint.id, pinned(9).id, SHADOW)]
        assert (counts.requests, counts.rows, counts.dropped) == (5, 10, 0)
        assert counts.compared == Comparison(10, 0, 60.0, 60.0, 6.0)
        await shadows.close()

    asyncio.run(tell())


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    async def tell() -> None:
        world = World()
        shadows = await _copied(world, 10, EndpointConfig(shadow_queue_max=3))
        for _ in range(5):
            await settled()
        (counts,) = world.router.counted().values()
        assert (counts.requests, counts.dropped) == (3, 7)
        await shadows.close()

    asyncio.run(tell())


def test_copies_are_sampled_as_requests_are_and_stay_through_the_next_table() -> None:
    async def tell() -> None:
        world = World()
        shadows = await _copied(world, 5, EndpointConfig(sample_share=1.0))
        for _ in range(5):
            await settled()
        (shadowing,) = world.router.routes["fraud-api"].shadows
        assert shadowing.samples is not None
        (first, *_) = shadowing.samples
        assert (len(shadowing.samples), first.rows, first.outputs["output-0"].tolist()) == (5, 2, [9.0, 9.0])
        assert world.router.routes["fraud-api"].samples is not shadowing.samples
        await world.take(routing(whole(3, shadows=[(9, 5_000)], config=EndpointConfig(sample_share=1.0)), generation=2))
        world.router.settle()
        (later,) = world.router.routes["fraud-api"].shadows
        assert later is not shadowing
        assert later.samples is shadowing.samples
        await shadows.close()

    asyncio.run(tell())


def test_a_shadow_gets_its_share() -> None:
    async def tell() -> None:
        world = World()
        shadows = await _copied(world, 1_000, EndpointConfig(shadow_queue_max=1_000), weight=2_500)
        for _ in range(60):
            await settled()
        (counts,) = world.router.counted().values()
        assert counts.requests == pytest.approx(250, abs=5)
        await shadows.close()

    asyncio.run(tell())


def test_a_shadow_that_raises_is_counted_and_the_next_copy_is_asked() -> None:
    async def tell() -> None:
        world = World()
        shadows = await _copied(world, 0, EndpointConfig())
        world.made[9].fault = RuntimeError("no")
        shadows(world.router.routes["fraud-api"], ASKED, ANSWER, 10)
        await settled()
        world.made[9].fault = None
        shadows(world.router.routes["fraud-api"], ASKED, ANSWER, 10)
        await settled()
        (counts,) = world.router.counted().values()
        assert (counts.requests, counts.errors, counts.compared.rows) == (2, {"model": 1}, 2)
        await shadows.close()

    asyncio.run(tell())

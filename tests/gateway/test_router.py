"""The router: a table is replaced as a whole once its versions are there, and never by an older one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from chopmark.domain.endpoints import EndpointConfig, RoutingMark
from chopmark.domain.traffic import WEIGHT_TOTAL
from chopmark.errors import IntegrityFailure
from tests.gateway.world import World, endpoint, routing, settled, whole, with_weights


def story(tell: Callable[[World], Awaitable[None]]) -> None:
    async def told() -> None:
        world = World()
        await tell(world)
        await world.holding.close()

    asyncio.run(told())


def is_closed(world: World, number: int) -> bool:
    return world.made[number].closed


def shadowed(world: World) -> list[int]:
    return [each.shadow.version.number for each in world.router.routes["fraud-api"].shadows]


def test_a_routing_is_dealt_by_once_its_versions_are_loaded() -> None:
    async def tell(world: World) -> None:
        let = asyncio.Event()

        async def wait(_: int) -> None:
            await let.wait()

        world.before_load = wait
        await world.take(routing(whole(3)))
        assert world.answers() == []
        assert [s.state for s in world.router.served()] == ["loading"]
        let.set()
        await settled()
        assert world.answers() == [3]
        assert [(s.state, s.generation) for s in world.router.served()] == [("serving", 1)]

    story(tell)


def test_while_the_next_version_is_loaded_the_one_before_answers() -> None:
    async def tell(world: World) -> None:
        await world.take(routing(whole(3)))
        let = asyncio.Event()

        async def wait(_: int) -> None:
            await let.wait()

        world.before_load = wait
        await world.take(routing(whole(4, 2), generation=2))
        assert world.answers() == [3]
        assert [(s.version, s.state) for s in world.router.served()] == [("fraud:3", "serving"), ("fraud:4", "loading")]
        let.set()
        await settled()
        assert world.answers() == [4]

    story(tell)


def test_a_version_that_cannot_be_loaded_changes_nothing_and_is_tried_again_later() -> None:
    async def tell(world: World) -> None:
        await world.take(routing(whole(3)))
        world.faults[4] = IntegrityFailure("bytes are missing", hint="restore them")
        await world.take(routing(whole(4, 2), generation=2))
        assert world.answers() == [3]
        failed = [s for s in world.router.served() if s.state == "failed"]
        assert [(s.version, s.why) for s in failed] == [("fraud:4", "bytes are missing restore them")]
        told = world.router.why_not_served(whole(4, 2))
        assert told.message == "fraud-api is not served: fraud:4 cannot be loaded."
        assert world.router.why_not_served(whole(5, 2)).message == "fraud-api is being loaded."
        for _ in range(5):
            world.router.settle()
            await settled()
        assert world.loads == [3, 4]  # not again at once
        del world.faults[4]
        world.seconds += 3
        world.router.settle()
        await settled()
        assert world.answers() == [4]

    story(tell)


@pytest.mark.parametrize(
    "split", [((3, WEIGHT_TOTAL), (4, 0)), ((4, 0), (3, WEIGHT_TOTAL)), ((3, 6_000), (4, 0), (5, 4_000))]
)
def test_who_has_no_traffic_and_cannot_be_loaded_keeps_no_other_from_being_served(split: Any) -> None:
    async def tell(world: World) -> None:
        world.faults[4] = IntegrityFailure("bytes are missing")
        await world.take(routing(endpoint(*split)))  # of a router that has just started: no table is there yet
        loaded = [number for number, _ in split if number != 4]
        assert world.answers() == loaded
        route = world.router.routes["fraud-api"]
        dealt = {route.serving[route.deal(f"user-{n}".encode())].variant.version.number for n in range(200)}
        assert dealt == set(loaded)
        told = {s.version: s.state for s in world.router.served()}
        assert told == {f"fraud:{n}": "failed" if n == 4 else "serving" for n, _ in split}
        del world.faults[4]
        world.seconds += 3
        world.router.settle()
        await settled()
        assert world.answers() == [number for number, _ in split]

    story(tell)


@pytest.mark.parametrize(("epoch", "generation"), [("a", 4), ("A", 9)])
def test_an_older_routing_is_refused_and_that_is_said(epoch: str, generation: int) -> None:
    async def tell(world: World) -> None:
        await world.take(routing(whole(3, 5), generation=5))
        assert not await world.take(routing(whole(2, generation), generation=generation, epoch=epoch))
        assert world.answers() == [3]
        assert "older" in world.router.note
        assert world.router.mark == RoutingMark("a", 5)

    story(tell)


def test_a_later_epoch_is_taken_whatever_its_generation() -> None:
    """The database was restored from a backup."""

    async def tell(world: World) -> None:
        await world.take(routing(whole(3, 5), generation=5))
        assert await world.take(routing(whole(2, 1), generation=1, epoch="b"))
        assert world.answers() == [2]

    story(tell)


def test_a_restored_endpoint_of_the_same_generation_is_dealt_by_anew() -> None:
    """Generations of two epochs are not compared: the same number may stand for another table."""

    async def tell(world: World) -> None:
        await world.take(routing(whole(3, 5), generation=5))
        await world.take(routing(whole(2, 5), generation=5, epoch="b"))
        assert world.answers() == [2]

    story(tell)


def test_weights_move_without_loading_anything() -> None:
    async def tell(world: World) -> None:
        first = endpoint((3, 9_000), (4, 1_000))
        await world.take(routing(first))
        await world.take(routing(with_weights(first, 5_000, 5_000, generation=2), generation=2))
        assert world.loads == [3, 4]
        assert [s.weight for s in world.router.served()] == [5_000, 5_000]

    story(tell)


def test_a_version_stays_loaded_for_the_way_back_and_then_goes() -> None:
    async def tell(world: World) -> None:
        config = EndpointConfig(kept_loaded_s=60)
        await world.take(routing(whole(3, 1, config=config)))
        await world.take(routing(whole(4, 2, config=config), generation=2))
        world.router.settle()
        world.seconds += 59
        world.router.settle()
        await settled()
        assert not is_closed(world, 3)
        world.seconds += 2
        world.router.settle()
        await settled()
        assert is_closed(world, 3)
        assert not is_closed(world, 4)

    story(tell)


def test_a_version_with_requests_in_flight_is_not_let_go_of() -> None:
    async def tell(world: World) -> None:
        config = EndpointConfig(kept_loaded_s=0)
        await world.take(routing(whole(3, 1, config=config)))
        held = world.router.routes["fraud-api"].serving[0].held
        held.in_flight = 1
        await world.take(routing(whole(4, 2, config=config), generation=2))
        for _ in range(3):
            world.seconds += 10
            world.router.settle()
            await settled()
        assert not is_closed(world, 3)
        held.in_flight = 0
        world.router.settle()
        await settled()
        assert is_closed(world, 3)

    story(tell)


def test_an_endpoint_that_is_gone_answers_no_more() -> None:
    async def tell(world: World) -> None:
        await world.take(routing(whole(3)))
        await world.take(routing(generation=2))
        assert world.answers() == []
        assert list(world.router.served()) == []

    story(tell)


def test_a_shadow_keeps_nobody_waiting_and_joins_when_it_is_loaded() -> None:
    async def tell(world: World) -> None:
        world.faults[9] = IntegrityFailure("broken")
        await world.take(routing(whole(3, shadows=[(9, 10_000)])))
        assert world.answers() == [3]
        assert shadowed(world) == []
        del world.faults[9]
        world.seconds += 5
        world.router.settle()
        await settled()
        world.router.settle()
        assert shadowed(world) == [9]

    story(tell)


def test_counts_outlive_a_table() -> None:
    """A request that began by the old table ends after the new one is in force."""

    async def tell(world: World) -> None:
        await world.take(routing(whole(3)))
        old = world.router.routes["fraud-api"].serving[0]
        await world.take(routing(whole(4, 2), generation=2))
        old.tally.answered(1_000, 1, 1, 1)
        (counts,) = world.router.counted().values()
        assert counts.requests == 1

    story(tell)


def test_since_when_it_serves_does_not_change_with_the_weights() -> None:
    async def tell(world: World) -> None:
        first = endpoint((3, 9_000), (4, 1_000))
        await world.take(routing(first))
        before = [s.since for s in world.router.served()]
        world.clock.advance(timedelta(hours=1))
        await world.take(routing(with_weights(first, 5_000, 5_000, generation=2), generation=2))
        assert [s.since for s in world.router.served()] == before

    story(tell)

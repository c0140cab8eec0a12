"""Feedback at the gateway: authenticated by the id, let in as a call of the endpoint is, kept until it was received."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from chopmark.base.clock import FakeClock
from chopmark.base.jsons import decode, encode
from chopmark.domain.endpoints import EndpointCaller, EndpointConfig
from chopmark.domain.feedback import Feedback
from chopmark.domain.request_ids import RequestIds
from chopmark.domain.tokens import secret_hash
from chopmark.errors import InvalidRequest, NotFound, QueueFull, Unauthenticated, Unavailable
from chopmark.gateway.entrance import Entrance
from chopmark.gateway.feedback import ITEMS_MAX, WAITING_MAX, TakingFeedback, WaitingFeedback
from tests.gateway.test_app import TOKEN, TOKEN_ID, TOKEN_SECRET
from tests.gateway.test_linking import FakeControl
from tests.gateway.test_linking import story as linked
from tests.gateway.world import NOW, SECRET, World, pinned, routing, settled, whole


def an_id(endpoint: Any, number: int = 3, secret: bytes = SECRET, sequence: int = 1) -> str:
    return RequestIds(secret, endpoint.id, pinned(number).id, 1, "stable").made(1_700_000_000_000, sequence)


class Taking:
    """A gateway's taker of feedback, over a routing."""

    def __init__(self, *endpoints: Any, asks: bool = False, callers: tuple[EndpointCaller, ...] = ()) -> None:
        self.world, self.waiting = World(), WaitingFeedback()
        entrance = Entrance(asks_callers=asks, clock=FakeClock())
        entrance.know(callers)
        self.world.router.routing = routing(*endpoints) if endpoints else None
        self.taking = TakingFeedback(self.world.router, entrance, self.waiting, FakeClock())

    def __call__(self, body: Any, **headers: str) -> Any:
        raw = body if isinstance(body, bytes) else encode(body)

        async def reads(_: int) -> bytes:
            return raw

        sent = {name.encode(): value.encode() for name, value in headers.items()}
        status, answered = asyncio.run(self.taking.take(sent, reads))
        return status, decode(answered.body, dict[str, Any])


def test_one_or_many_are_taken_with_the_time_at_which_they_came() -> None:
    endpoint = whole(3)
    taking = Taking(endpoint)
    assert taking({"request_id": an_id(endpoint), "label": "a"}) == (202, {"taken": 1})
    early = "2025-01-01T00:00:00Z"
    many = [{"request_id": an_id(endpoint, sequence=n), "correct": True, "at": early} for n in range(3)]
    assert taking(many) == (202, {"taken": 3})
    kept = taking.waiting.oldest(9)
    assert [each.at for each in kept[:1]] == [NOW]
    assert {each.at.isoformat() for each in kept[1:] if each.at} == {"2025-01-01T00:00:00+00:00"}
    taking.waiting.received(1)
    assert taking.waiting.oldest(1) == kept[1:2]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", InvalidRequest),
        (b"{", InvalidRequest),
        ({"label": "a"}, InvalidRequest),
        ({"request_id": "AAAA", "label": "a"}, InvalidRequest),
        ({"request_id": an_id(whole(3), secret=bytes(32)), "label": "a"}, InvalidRequest),
        ({"request_id": an_id(whole(3))}, InvalidRequest),
        ({"request_id": an_id(whole(3, name="gone")), "label": "a"}, NotFound),
        ([{"request_id": an_id(whole(3)), "label": "a"}, {"request_id": "x", "label": "a"}], InvalidRequest),
        ([{"request_id": an_id(whole(3)), "label": "a"}] * (ITEMS_MAX + 1), InvalidRequest),
        ({"request_id": an_id(whole(3)), "value": 1e999}, InvalidRequest),
        (b'{"request_id": "x", "value": NaN}', InvalidRequest),
    ],
)
def test_what_cannot_be_meant_is_refused_as_a_whole(body: Any, error: type[Exception]) -> None:
    taking = Taking(whole(3))
    with pytest.raises(error):
        taking(body)
    assert len(taking.waiting) == 0


@pytest.mark.parametrize(("at", "words"), [("2030-01-01T00:00:00Z", "future"), ("2023-11-14T00:00:00Z", "before the")])
def test_what_cannot_have_been_found_then_is_refused_and_the_item_is_named(at: str, words: str) -> None:
    endpoint = whole(3)
    taking = Taking(endpoint)
    wrong = {"request_id": an_id(endpoint), "correct": True, "at": at}
    with pytest.raises(InvalidRequest, match=words) as caught:
        taking(wrong)
    assert not caught.value.message.startswith("Item")
    with pytest.raises(InvalidRequest, match=f"Item 2: .*{words}"):
        taking([{**wrong, "at": None}, wrong])
    assert len(taking.waiting) == 0


def test_before_there_is_a_routing_and_when_there_is_no_room_it_is_to_be_sent_again() -> None:
    with pytest.raises(Unavailable):
        Taking()({"request_id": "x", "label": "a"})
    endpoint = whole(3)
    taking = Taking(endpoint)
    item = Feedback(request_id="x", label="a")
    taking.waiting.add([item] * (WAITING_MAX - 1))
    two = [{"request_id": an_id(endpoint), "label": "a"}] * 2
    with pytest.raises(QueueFull):
        taking(two)
    assert len(taking.waiting) == WAITING_MAX - 1
    assert taking(two[:1])[0] == 202


def test_who_may_not_call_the_endpoint_may_not_say_what_was_true() -> None:
    mine, other = whole(3), whole(3, name="risk-api")
    facts: dict[str, Any] = {"token": TOKEN_ID, "secret_hash": secret_hash(TOKEN_SECRET), "name": "shop"}
    said = {"request_id": an_id(mine), "label": "a"}
    taking = Taking(mine, other, asks=True, callers=(EndpointCaller(**facts, invoke=("default",)),))
    with pytest.raises(Unauthenticated):
        taking(said)
    with pytest.raises(Unauthenticated):
        taking({"request_id": an_id(whole(3, name="gone")), "label": "a"})
    assert taking(said, authorization=TOKEN)[0] == 202
    elsewhere = Taking(mine, asks=True, callers=(EndpointCaller(**facts, invoke=("risk",)),))
    with pytest.raises(NotFound):
        elsewhere(said, authorization=TOKEN)
    open_one = whole(3, config=EndpointConfig(access="anybody"))
    assert Taking(open_one, asks=True)({"request_id": an_id(open_one), "label": "a"})[0] == 202


def test_feedback_waits_for_a_control_plane_that_is_away_and_arrives_once() -> None:
    async def tell(world: World, control: FakeControl, link: Any) -> None:
        items = [Feedback(request_id=str(n), label="a") for n in range(2_500)]
        control.faults["report"] = Unavailable("away")
        link._feedback.add(items)
        assert not await link._report()
        assert len(link._feedback) == 2_500
        control.faults.clear()
        world.clock.advance(timedelta(seconds=1))
        while await link._report():
            await settled()
        assert control.feedback == items
        assert len(link._feedback) == 0

    linked(tell)

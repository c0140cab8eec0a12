"""``POST /feedback``: what turned out to be true of answers, taken here and passed on with the next report.

The request id is authenticated here, and says which endpoint answered; nothing is looked up, and the control plane may be away. What
waits for it is bounded: when there is no more room, callers are asked to send it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec
from msgspec import structs

from chopmark.base.clock import Clock
from chopmark.base.jsons import decode, encode
from chopmark.domain.feedback import Feedback, check_feedback, check_said_at, of_item
from chopmark.domain.request_ids import AnsweredBy, read_request_id
from chopmark.errors import InvalidRequest, NotFound, QueueFull, Unavailable
from chopmark.gateway.entrance import Entrance, Headers
from chopmark.gateway.protocols.asked import Answered
from chopmark.gateway.router import Router

__all__ = ["TakingFeedback", "WaitingFeedback"]

WAITING_MAX = 10_000
ITEMS_MAX = 1_000
_BODY_BYTES_MAX = 1 << 20
_JSON = b"application/json"


class Taken(msgspec.Struct, frozen=True):
    """The answer: how many were taken."""

    taken: int


class WaitingFeedback:
    """Feedback that was not received by the control plane yet, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Feedback] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, items: Sequence[Feedback]) -> None:
        """Keep all of them, or none.

        Raises
        ------
        QueueFull
            When so much waits that there is no room.
        """
        if len(self._waiting) + len(items) > WAITING_MAX:
            raise QueueFull("So much feedback waits for the control plane.", hint="Send it again later.")
        self._waiting.extend(items)

    def oldest(self, limit: int) -> list[Feedback]:
        """What is to be sent next."""
        return [self._waiting[place] for place in range(min(limit, len(self._waiting)))]

    def received(self, count: int) -> None:
        """Forget the oldest, which arrived."""
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft()


class TakingFeedback:
    """Takes feedback of who may call the endpoint that answered.

    Parameters
    ----------
    router
        Whose routing says what there is, and what ids are authenticated with.
    entrance
        Who may come in.
    waiting
        Where it goes.
    clock
        Where the time comes from.
    """

    def __init__(self, router: Router, entrance: Entrance, waiting: WaitingFeedback, clock: Clock) -> None:
        self._router = router
        self._entrance = entrance
        self._waiting = waiting
        self._clock = clock

    async def take(self, headers: Headers, reads: Callable[[int], Awaitable[bytes]]) -> tuple[int, Answered]:
        """Take one, or a list of them: all, or none.

        Raises
        ------
        ChopmarkError
            When one of them cannot be meant, or its answer was not given by an endpoint that the caller may call.
        """
        routing = self._router.routing
        if routing is None:
            raise Unavailable("This gateway has no routing yet: its control plane has not answered.")
        if not any(endpoint.config.access == "anybody" for endpoint in routing.endpoints):
            self._entrance.check_known(headers)
        items = _read(await reads(_BODY_BYTES_MAX))
        secret, now = bytes.fromhex(routing.secret), self._clock()
        endpoints = {endpoint.id: endpoint for endpoint in routing.endpoints}
        for number, each in enumerate(items, 1):
            try:
                answered = _checked(each, secret, now)
            except InvalidRequest as error:
                raise of_item(error, number, len(items)) from error
            endpoint = endpoints.get(answered.endpoint_id)
            if endpoint is None:
                self._entrance.check_known(headers)
                raise NotFound("The endpoint that gave this answer is not there any more.")
            self._entrance.caller(endpoint, headers)
        self._waiting.add([_said(each, now) for each in items])
        return 202, Answered(_JSON, (), encode(Taken(len(items))))


def _read(body: bytes) -> list[Feedback]:
    items = decode(body, list[Feedback]) if body.lstrip()[:1] == b"[" else [decode(body, Feedback)]
    if len(items) > ITEMS_MAX:
        raise InvalidRequest(f"{len(items):,} at once are too many.", hint=f"Send at most {ITEMS_MAX:,} at a time.")
    return items


def _checked(item: Feedback, secret: bytes, now: datetime) -> AnsweredBy:
    """What answered, once the feedback can be meant."""
    answered = read_request_id(check_feedback(item).request_id, secret)
    check_said_at(item, answered.at, now)
    return answered


def _said(item: Feedback, now: datetime) -> Feedback:
    """With the time at which it came, so that a report which is sent again says the same."""
    return item if item.at is not None else structs.replace(item, at=now)

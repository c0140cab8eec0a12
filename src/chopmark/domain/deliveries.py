"""Events on their way to webhooks: what a delivery is, and what may become of it; pure.

Nouns
-----
*Delivery*: one event for one webhook; known by its *message id*, which is made of both and is the same at each attempt.
*Attempt*: one time it was sent, and what came of it. *Answer*: what a receiver said. *Hold*: a pause of a whole webhook whose
receiver fails. *Turn*: for as long as one worker sends to one webhook; it has a lease and a fence, as a job has.

States
------
::

    queued ──→ delivered
      │  ↑          └──(replay)──→ queued
      │  └──(replay)── dead
      ↓                 ↑
    failed ──→ delivered │     its next attempt, after a pause
      └─────────────────┘     its last attempt failed, or the receiver is gone

What must stay true
-------------------
1. Every event that a webhook wants becomes one delivery, in the transaction that takes it from the outbox: (webhook, event) is
   unique, however many workers look.
2. At least once: a delivery is noted as delivered only after the receiver said so. A worker that vanishes in between leaves it to
   be sent again, with the same message id and the same body.
3. At one time one worker sends to a webhook. First attempts are made in the order of the events, one after the other. One that fails
   holds up none behind it, and so comes after them: the id of the event tells the order.
4. Nothing is silently given up: a delivery ends as ``delivered`` or as ``dead``, which stays in sight and can be replayed, until the log
   is trimmed.
5. A receiver that fails costs others nothing but a part of the workers' threads (`chosen`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import structs

from chopmark.domain.audit import AuditEvent
from chopmark.errors import Conflict, InvalidRequest

__all__ = [
    "ANSWER_BYTES_MAX",
    "ATTEMPTS_MAX",
    "BELIEVED_S",
    "HELD_MAX_S",
    "LEASE_MAX_S",
    "OPEN_DELIVERIES",
    "Answer",
    "Attempt",
    "Candidate",
    "Delivery",
    "DeliveryState",
    "MessageId",
    "attempted",
    "chosen",
    "cleaned",
    "delay_s",
    "held_until",
    "is_gone",
    "is_success",
    "message_id",
    "parse_message_id",
    "queued",
    "replayed",
    "retry_after_s",
]

DeliveryState = Literal["queued", "failed", "delivered", "dead"]

OPEN_DELIVERIES: tuple[DeliveryState, ...] = ("queued", "failed")
"""States in which it is sent again."""

ANSWER_BYTES_MAX = 1_024
"""So much of an answer's body is kept."""

DELAYS_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 21_600.0)
ATTEMPTS_MAX = len(DELAYS_S) + 1
HELD_MAX_S = 300.0
LEASE_MAX_S = 300.0
BELIEVED_S = 900.0
"""A lease or hold that ends later than so long from now was written before a clock was set back, and is none. Far longer than either
can be, so that no difference between two workers' clocks or settings makes one of them take what the other has."""

ASKED_PAUSE_MAX_S = 21_600.0
_FAILURES_BEFORE_HOLD = 3
_DOUBLINGS_MAX = 20
_ATTEMPTS_KEPT = 20
_GONE = 410
_BUSY = (429, 503)
_MESSAGE_ID = re.compile(r"msg_([0-9a-f]{32})_([1-9][0-9]{0,17})")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of sending something.

    Attributes
    ----------
    status
        Of HTTP, or of a mail server; 0 when there was no answer.
    error
        Why there was none, or why it is none.
    body
        How it begins.
    retry_after
        As the receiver wrote it.
    duration_ms
        How long it took.
    """

    status: int = 0
    error: str = ""
    body: str = ""
    retry_after: str = ""
    duration_ms: float = 0.0


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One time a delivery was sent."""

    at: datetime
    status: int = 0
    error: str = ""
    body: str = ""
    duration_ms: float = 0.0


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a webhook.

    Attributes
    ----------
    id
        What the receiver knows it by: the header ``webhook-id`` (`message_id`).
    webhook, seq
        To whom, and which event, by its number in the audit.
    event, target
        The event's name, and what it happened to.
    state
        ``queued``: to be sent for the first time, or again because somebody asked for it; ``failed``: waits for its next
        attempt; ``delivered``; ``dead``: given up.
    attempt
        How often it was sent since it was queued.
    due_at
        Of a failed one: not sent before.
    attempts
        What came of it each time, the last twenty.
    """

    id: str
    webhook: UUID
    seq: int
    event: str
    target: str
    state: DeliveryState = "queued"
    attempt: int = 0
    due_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    created_at: datetime
    ended_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<delivery {self.id} · {self.event} · {self.target} · {self.state} · attempt {self.attempt}>"


class MessageId(NamedTuple):
    """The parts of a message id."""

    webhook: UUID
    seq: int


def message_id(webhook: UUID, seq: int) -> str:
    """Id of the message that tells a webhook of an event: the same whoever sends it, however often."""
    return f"msg_{webhook.hex}_{seq}"


def parse_message_id(text: str) -> MessageId:
    """Webhook and event of a message id.

    Raises
    ------
    InvalidRequest
        When it is none.
    """
    found = _MESSAGE_ID.fullmatch(text)
    if found is None:
        raise InvalidRequest(
            "That is no id of a delivery.",
            hint="It is the header webhook-id; see ids with: chopmark webhook deliveries",
        )
    return MessageId(UUID(found[1]), int(found[2]))


def is_success(answer: Answer) -> bool:
    """Whether the receiver has it: a redirect is none, as nothing follows it."""
    return 200 <= answer.status < 300 and not answer.error  # noqa: PLR2004 - as HTTP says


def is_gone(answer: Answer) -> bool:
    """Whether the receiver says that it wants nothing any more."""
    return answer.status == _GONE


def cleaned(answer: Answer, secrets: Iterable[str]) -> Answer:
    """An answer as it may be kept: without what a receiver repeats of our secrets, and with nothing that no database takes."""

    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "…")
        return text.encode("utf-8", "replace").decode().replace("\0", "�")

    return structs.replace(answer, error=clean(answer.error), body=clean(answer.body))


def attempted(delivery: Delivery, answer: Answer, at: datetime, jitter: float) -> Delivery:
    """A delivery as an attempt leaves it.

    Parameters
    ----------
    answer, at
        What came of it, and when it was known.
    jitter
        From 0 to 1, drawn by the caller; see `delay_s`.
    """
    attempt = Attempt(at=at, status=answer.status, error=answer.error, body=answer.body, duration_ms=answer.duration_ms)
    tried = structs.replace(
        delivery,
        attempt=delivery.attempt + 1,
        attempts=(*delivery.attempts, attempt)[-_ATTEMPTS_KEPT:],
        due_at=None,
        ended_at=at,
    )
    if is_success(answer):
        return structs.replace(tried, state="delivered")
    if is_gone(answer) or tried.attempt >= ATTEMPTS_MAX:
        return structs.replace(tried, state="dead")
    pause_s = max(delay_s(tried.attempt, jitter), retry_after_s(answer.retry_after, at))
    return structs.replace(tried, state="failed", due_at=at + timedelta(seconds=pause_s), ended_at=None)


def queued(webhook: UUID, event: AuditEvent, now: datetime) -> Delivery:
    """An event that a webhook is to be told of."""
    return Delivery(
        id=message_id(webhook, event.seq),
        webhook=webhook,
        seq=event.seq,
        event=event.event,
        target=event.target,
        created_at=now,
    )


def replayed(delivery: Delivery) -> Delivery:
    """A delivery that is sent again from its first attempt, at once.

    Raises
    ------
    Conflict
        When it waits for an attempt already.
    """
    if delivery.state == "queued":
        raise Conflict(f"The delivery {delivery.id} is queued already.")
    return structs.replace(delivery, state="queued", attempt=0, due_at=None, ended_at=None)


def delay_s(attempt: int, jitter: float) -> float:
    """Seconds between a failed attempt and the next, shortened by up to a tenth.

    Parameters
    ----------
    attempt
        The one that failed, from 1.
    jitter
        From 0 to 1: of the tenth that is left to chance. What failed together does not all come back together.

    >>> [delay_s(n, 1.0) for n in range(1, ATTEMPTS_MAX)]
    [5.0, 300.0, 1800.0, 7200.0, 18000.0, 21600.0]
    """
    return DELAYS_S[min(attempt, len(DELAYS_S)) - 1] * (0.9 + 0.1 * jitter)


def retry_after_s(text: str, now: datetime) -> float:
    """Seconds that a receiver asks to be left alone, from 0 to six hours; 0 for what is no such wish.

    >>> from datetime import UTC, datetime
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> retry_after_s("120", noon), retry_after_s("Thu, 01 Jan 2026 12:01:00 GMT", noon), retry_after_s("soon", noon)
    (120.0, 60.0, 0.0)
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), ASKED_PAUSE_MAX_S)
    try:
        wished = parsedate_to_datetime(text)
        wait_s = (wished - now).total_seconds() if wished.tzinfo else 0.0
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), ASKED_PAUSE_MAX_S)


def held_until(failures: int, answer: Answer, at: datetime) -> datetime | None:
    """Until when a webhook is left alone, after so many attempts in a row that went wrong.

    From the third on five seconds, then ten … up to five minutes, so that an outage of the receiver uses up the attempts of few
    deliveries; and as long as it asks for when it says that it is busy, up to five minutes as well: one answer must not silence it
    for a day.
    """
    pause_s = 0.0
    if failures >= _FAILURES_BEFORE_HOLD:
        pause_s = min(HELD_MAX_S, DELAYS_S[0] * 2.0 ** min(failures - _FAILURES_BEFORE_HOLD, _DOUBLINGS_MAX))
    if answer.status in _BUSY:
        pause_s = max(pause_s, min(HELD_MAX_S, retry_after_s(answer.retry_after, at)))
    return at + timedelta(seconds=pause_s) if pause_s else None


class Candidate(NamedTuple):
    """A webhook for which something is due, and how it stands.

    Attributes
    ----------
    fence
        Goes up whenever a worker takes it; whoever has it writes with the fence that it got.
    """

    webhook: UUID
    failures: int
    fence: int


def chosen(candidates: Sequence[Candidate], failing: Collection[UUID], *, running: int, slots: int) -> list[Candidate]:
    """Webhooks that a worker begins to send to.

    Those that failed last time get at most half of its threads, so that receivers that hang do not hold up those that answer.

    Parameters
    ----------
    candidates
        In the order in which they should come.
    failing
        Those among the running ones that failed last time.
    running, slots
        How many are sent to now, and may be.
    """
    taken: list[Candidate] = []
    bad, free = len(failing), slots - running
    for each in candidates:
        if len(taken) >= free:
            break
        if each.failures:
            if bad >= max(1, slots // 2):
                continue
            bad += 1
        taken.append(each)
    return taken

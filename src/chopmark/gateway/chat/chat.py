"""A language model behind an endpoint: whoever of its targets can, answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from chopmark.domain.llm import TokenUsage, cost_usd, tokens_about
from chopmark.errors import ChopmarkError, ModelTimeout, QueueFull, Unavailable
from chopmark.gateway.chat.answered import ChatOutcome, OutcomeClass, Problem, Reply, refused
from chopmark.gateway.chat.asked import ChatRequest, read, sent_for, text_bytes
from chopmark.gateway.chat.events import DONE, Events, EventTooLong, event_of
from chopmark.gateway.chat.judging import UpstreamFailed, judged_broken, judged_status, judged_too_late, pause_s
from chopmark.gateway.chat.limits import ChatLimits
from chopmark.gateway.chat.outgoing import ClientGone, Outgoing
from chopmark.gateway.chat.relaying import Relayed
from chopmark.gateway.chat.targets import Target
from chopmark.gateway.chat.upstream import Upstream, UpstreamAnswer
from chopmark.gateway.telling import LOGGER

__all__ = ["Chat"]

_OK = 200
_EVENT_STREAM = "text/event-stream"
_TELLING_S = 5.0


class _Run:
    """A request on its way, and what is known of its answer so far."""

    def __init__(self, request: ChatRequest, reply: Reply) -> None:
        self.request = request
        self.out = Outgoing(reply)
        self.began_s = asyncio.get_running_loop().time()
        self.position = 0
        self.relayed: Relayed | None = None


class Chat:
    """Answers chat completions by a version of an LLM configuration.

    Parameters
    ----------
    targets
        Who is asked, in their order.
    upstream
        Connections to them.
    limits
        What they may take.
    jitter
        Within 0 and 1.

    Attributes
    ----------
    kind, words
        Where it runs; the same for people, with whom it asks.
    """

    kind: Literal["upstream"] = "upstream"

    def __init__(
        self,
        targets: Sequence[Target],
        upstream: Upstream,
        limits: ChatLimits,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.words = "upstream, " + ", then ".join(target.words for target in targets)
        self._targets = tuple(targets)
        self._upstream = upstream
        self._limits = limits
        self._jitter = jitter
        self._turns = asyncio.Semaphore(limits.at_once)
        self._taken = 0
        self._working = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._runs: set[asyncio.Task[ChatOutcome]] = set()

    read = staticmethod(read)

    @property
    def waiting(self) -> int:
        """Requests that wait or are worked on."""
        return self._taken

    @property
    def in_flight(self) -> int:
        """Requests that are worked on."""
        return self._working

    async def complete(self, request: ChatRequest, reply: Reply) -> ChatOutcome:
        """Answer a request, whatever becomes of it; nothing is raised for a provider's or a client's failure.

        When the client goes away, the provider's connection is closed at once.
        """
        run = _Run(request, reply)
        work = asyncio.create_task(self._work(run))
        gone = asyncio.create_task(reply.gone())
        self._runs.add(work)
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if run.out.has_ended:  # a server takes the end of an answer for the end of the client
                await asyncio.wait((work,))
            if not work.done():
                return self._outcome(run, "gone")
            return await self._broken_off(run) if work.cancelled() else work.result()
        except ClientGone:
            return self._outcome(run, "gone")
        finally:
            self._runs.discard(work)
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def close(self, drain_s: float) -> None:
        """Take no more; let end what was taken, for so many seconds at most; close all connections."""
        self._closing = True
        if self._taken:
            self._idle.clear()
            try:
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
            except TimeoutError:
                for work in list(self._runs):
                    work.cancel()
                await asyncio.gather(*self._runs, return_exceptions=True)
        await self._upstream.close()

    async def _work(self, run: _Run) -> ChatOutcome:
        try:
            async with self._turn(run):
                return self._outcome(run, await self._answer(run))
        except ChopmarkError as error:  # there is no turn for it
            status, answered = refused(error)
            await _told(run.out.refuse(status, answered.body, answered.headers))
            return self._outcome(run, "timeout" if isinstance(error, ModelTimeout) else "refused")
        except ClientGone:
            raise
        except Exception:  # noqa: BLE001 - a fault of ours; who asks gets an answer all the same
            LOGGER.exception("A request to %s failed", self._targets[run.position].words)
            await _told(run.out.problem(Problem(500, "The answer could not be made.", "model_failed")))
            return self._outcome(run, "model")

    async def _broken_off(self, run: _Run) -> ChatOutcome:
        """The version is let go of, and the request was not done in time."""
        if run.out.has_ended:
            return self._outcome(run, "answered")
        problem = Problem(503, "The version that answers was let go of. Send it again.", "unavailable")
        await _told(run.out.problem(problem))
        return self._outcome(run, "refused")

    @asynccontextmanager
    async def _turn(self, run: _Run) -> AsyncIterator[None]:
        if self._closing:
            raise Unavailable("This version is being let go of.", hint="Send it again.", retry_after_s=1)
        if self._taken >= self._limits.at_once + self._limits.queue_max:
            raise QueueFull(f"{self._taken:,} requests wait for this model.", hint="Try again in 1 s.", retry_after_s=1)
        self._taken += 1
        try:
            try:
                async with asyncio.timeout_at(run.began_s + self._targets[0].timeout_s):
                    await self._turns.acquire()
            except TimeoutError:
                raise ModelTimeout("Others were answered for so long that there is no time left.") from None
            self._working += 1
            try:
                yield
            finally:
                self._working -= 1
                self._turns.release()
        finally:
            self._taken -= 1
            if not self._taken:
                self._idle.set()

    async def _answer(self, run: _Run) -> OutcomeClass:
        """Ask one target after the other, until one answers, or the client has something of an answer already."""
        begin_s = run.began_s
        for position, target in enumerate(self._targets):
            run.position, run.relayed = position, None
            try:
                async with asyncio.timeout_at(begin_s + target.timeout_s):
                    await self._ask(run, target)
            except TimeoutError:
                failure = judged_too_late(target.provider.name, "answer", target.timeout_s)
            except UpstreamFailed as error:
                failure = error
            else:
                return "answered"
            if run.out.has_ended:  # the time was over when nothing was left to do but to wait for the connection
                return "answered"
            ends = position == len(self._targets) - 1 or run.out.has_started or not failure.may_fall_back
            if failure.status_class != "client":  # whose texts are nobody else's
                said = " ".join(failure.problem.message.split())
                LOGGER.warning("%s: %s%s", target.words, said, "" if ends else " The next one is asked.")
            if ends:
                await _told(run.out.problem(failure.problem))
                return failure.status_class
            begin_s = asyncio.get_running_loop().time()
        raise AssertionError("a chat without targets")

    async def _ask(self, run: _Run, target: Target) -> None:
        """Ask a target, and again while it may be, and only says that now is not the time."""
        body = sent_for(run.request, target.config)
        attempt = 0
        while True:
            try:
                return await self._once(run, target, body)
            except UpstreamFailed as failure:
                if run.out.has_started or not failure.may_repeat or attempt >= self._limits.retries_max:
                    raise
                wait_s = pause_s(attempt, failure.problem.retry_after_s, self._jitter())
                if wait_s is None:
                    raise
            attempt += 1
            await asyncio.sleep(wait_s)

    async def _once(self, run: _Run, target: Target, body: bytes) -> None:
        provider, request = target.provider, run.request
        run.relayed = relayed = Relayed(
            provider.name, provider.key, target.config.model, wants_usage=request.wants_usage
        )
        if request.stream:
            await self._stream(run, target, relayed, body)
            return
        async with self._upstream.ask(provider, body, stream=False) as answer:
            await _check(answer, target)
            said = await answer.whole(self._limits.answer_bytes_max)
            answered = relayed.whole(said)
        await run.out.whole(answered, relayed.model)

    async def _stream(self, run: _Run, target: Target, relayed: Relayed, body: bytes) -> None:
        """Send on the events of a stream as they come. Until the first of them the client is told nothing, and another may answer."""
        events = Events(self._limits.answer_bytes_max)
        name = target.provider.name
        try:
            async with asyncio.timeout(self._limits.first_piece_s) as first:
                async with self._upstream.ask(target.provider, body, stream=True) as answer:
                    await _check(answer, target)
                    if answer.content_type != _EVENT_STREAM:
                        raise judged_broken(name, "did not answer with a stream")
                    held = b""
                    while not relayed.is_finished:
                        piece = await answer.piece(self._limits.between_pieces_s)
                        passed, failure = relayed.passed_all(events.fed(piece) if piece else _end_of(relayed, name))
                        held += passed
                        if relayed.has_data and held and (failure is None or run.out.has_started):
                            first.reschedule(None)
                            await run.out.stream(held, relayed.model)
                            held = b""
                        if failure is not None:
                            raise failure
                        _check_held(held, self._limits.answer_bytes_max)
                    await run.out.end()
                    await answer.rest()
        except TimeoutError:
            raise judged_too_late(name, "begin its answer", self._limits.first_piece_s) from None
        except EventTooLong:
            raise judged_broken(name, "sent a piece that is longer than it may be") from None

    def _outcome(self, run: _Run, status_class: OutcomeClass) -> ChatOutcome:
        out, relayed = run.out, run.relayed
        told = ChatOutcome(status_class, out.status, response_bytes=out.sent_bytes)
        if relayed is None or not relayed.has_data:
            return told
        config = self._targets[run.position].config
        usage = relayed.usage or TokenUsage(
            tokens_about(text_bytes(run.request, config)), tokens_about(relayed.text_bytes), is_estimated=True
        )
        return told._replace(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            is_estimated=usage.is_estimated,
            cost_usd=cost_usd(config, usage),
            served_model=relayed.model,
            fell_back=run.position > 0,
        )


async def _check(answer: UpstreamAnswer, target: Target) -> None:
    """Go on with an answer that is one."""
    if answer.status != _OK:
        provider = target.provider
        raise judged_status(provider.name, answer.status, await answer.refusal(), answer.retry_after, provider.key)


def _check_held(held: bytes, size_bytes_max: int) -> None:
    """Refuse comments without end before a first word."""
    if len(held) > size_bytes_max:
        raise EventTooLong


def _end_of(relayed: Relayed, name: str) -> list[bytes]:
    """The mark of the end, where a stream just ends after the model said that it had; anywhere else it was cut off."""
    if not relayed.may_end:
        raise judged_broken(name, "ended its answer in the middle")
    return [event_of(DONE)]


async def _told(sending: Awaitable[None]) -> None:
    """Tell of an error to who takes it; a client that takes nothing keeps no turn."""
    try:
        async with asyncio.timeout(_TELLING_S):
            await sending
    except TimeoutError:
        raise ClientGone from None

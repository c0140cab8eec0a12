"""One thread for each version, which takes together what waits when it becomes free.

There is no timer: a lone request is worked on at once, and a crowd makes its own batches. What waits is bounded; a request that was
given up, or whose time is over, is left out before its turn. A batch that raises is asked again by halves, down to each request by
itself, so that one that cannot be answered harms no other.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from chopmark.abc.predicting import Layout
from chopmark.domain.endpoints import EndpointConfig
from chopmark.errors import ChopmarkError, ModelFailed, ModelTimeout, QueueFull, TimedOut, Unavailable
from chopmark.gateway.execution.batching import check_rows, joined, kind_of, parted
from chopmark.gateway.execution.failing import raised
from chopmark.gateway.execution.kinds import ExecutionKind, Host, Opened

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["Threaded"]

_RETRY_AFTER_S_MAX = 60
_WEIGHT_OF_LAST = 0.1
_KILLED_S = 2.0


class _Asked:
    """A request on its way through the thread."""

    __slots__ = ("future", "inputs", "outputs", "rows", "timeout_s")

    def __init__(
        self, inputs: Inputs, rows: int, outputs: Sequence[str], timeout_s: float, future: asyncio.Future[Outputs]
    ) -> None:
        self.inputs = inputs
        self.rows = rows
        self.outputs = tuple(outputs)
        self.timeout_s = timeout_s
        self.future = future


_Answer = tuple[_Asked, "Outputs | BaseException | None"]


class Threaded:
    """A model that is asked on a thread of its own, or by it in a process.

    Parameters
    ----------
    kind
        Where the model lives.
    ref
        What it is called in errors.
    host
        The model; used by the thread only, but for `kill`.
    config
        Limits.
    """

    now_rows_max = 0

    def __init__(self, kind: ExecutionKind, ref: str, host: Host, config: EndpointConfig) -> None:
        self.kind = kind
        self.words: str = kind
        self.note = ""
        self.layout = Layout(kind="tensors", inputs=())  # until it is opened
        self._ref = ref
        self._host = host
        self._queue_max = config.queue_max
        self._rows_max = config.batch_rows_max
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._request_s = 0.0
        self._closing = False
        self._empty = asyncio.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name=f"chopmark {ref}", daemon=True)
        self._opened: asyncio.Future[Opened] = self._loop.create_future()

    async def open(self) -> Opened:
        """Load the model on the thread, and try it.

        Raises
        ------
        Exception
            What loading raised; the thread has ended then.
        """
        self._thread.start()
        try:
            opened = await self._opened
        except asyncio.CancelledError:
            self._stop(kill=True)
            raise
        except Exception:
            self._thread.join()
            raise
        self.layout, self.note = opened.layout, opened.note
        self.words = f"{self.kind}, {opened.words}"
        if not opened.batches:
            self._rows_max = 0
            self.words += ", each request by itself"
        return opened

    @property
    def waiting(self) -> int:
        """Requests that wait or are worked on, those among them that were given up and not yet left out."""
        return self._taken

    def now(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:
        """Not here: the event loop would wait for the thread."""
        raise NotImplementedError

    async def run(self, inputs: Inputs, rows: int, outputs: Sequence[str], timeout_s: float) -> Outputs:
        """Answer when it is this request's turn; see `Execution.run`."""
        if self._closing:
            raise Unavailable(f"{self._ref} is being let go of.", hint="Send it again.", retry_after_s=1)
        if self._queue.qsize() >= self._queue_max:
            raise self._full()
        loop = self._loop
        future: asyncio.Future[Outputs] = loop.create_future()
        self._taken += 1
        self._queue.put(_Asked(inputs, rows, outputs, timeout_s, future))
        timer = loop.call_later(timeout_s, self._expire, future, timeout_s)
        try:
            return await future
        finally:
            timer.cancel()

    async def close(self, drain_s: float) -> None:
        """Take no more, end what was taken, and end the thread."""
        self._closing = True
        if self._taken:
            self._empty.clear()
            try:
                async with asyncio.timeout(drain_s):
                    await self._empty.wait()
            except TimeoutError:
                self._host.kill()
        self._stop(kill=False)
        try:
            async with asyncio.timeout(_KILLED_S if self._taken else None):
                await self._ended.wait()
        except TimeoutError:  # the model hangs in this process: the thread is left to it, and ends with the process
            return
        self._thread.join()

    def _stop(self, *, kill: bool) -> None:
        self._closing = True
        if kill:
            self._host.kill()
        self._queue.put(None)

    def _full(self) -> QueueFull:
        waiting = self._queue.qsize()
        after_s = min(_RETRY_AFTER_S_MAX, max(1, math.ceil(waiting * self._request_s)))
        msg = f"{waiting:,} requests wait for {self._ref}."
        return QueueFull(msg, hint=f"Try again in {after_s} s.", retry_after_s=after_s)

    def _expire(self, future: asyncio.Future[Outputs], timeout_s: float) -> None:
        if not future.done():
            future.set_exception(ModelTimeout(f"{self._ref} did not answer within {timeout_s:g} s."))

    # What follows is done on the thread, but for `_deliver`.

    def _work(self) -> None:
        try:
            opened = self._host.open()
        except BaseException as error:  # noqa: BLE001 - whatever loading raised is for whoever asked
            failure = error if isinstance(error, Exception) else raised(self._ref, error)
            self._host.close()
            self._tell(self._loading_ended, failure)
            return
        self._tell(self._loading_ended, opened)
        try:
            self._serve()
        finally:
            self._host.close()
            self._tell(self._ended.set)

    def _loading_ended(self, found: Opened | Exception) -> None:
        if isinstance(found, Exception):
            self._ended.set()
        if self._opened.cancelled():
            return
        if isinstance(found, Exception):
            self._opened.set_exception(found)
        else:
            self._opened.set_result(found)

    def _serve(self) -> None:
        held: _Asked | None = None
        while True:
            held, ends = self._turn(held)
            if ends:
                return
            self._rest()

    def _turn(self, held: _Asked | None) -> tuple[_Asked | None, bool]:
        """Answer what waits; what is left for the next turn, and whether the end was met. Nothing is kept while it waits."""
        first = held or self._queue.get()
        if first is None:
            return None, True
        batch, held, ends = self._batch(first)
        began = time.monotonic()
        for members in _alike(batch):
            for answers in self._answers(members):
                self._tell(self._deliver, answers)
        each_s = (time.monotonic() - began) / len(batch)
        self._request_s += _WEIGHT_OF_LAST * (each_s - self._request_s)
        return held, ends

    def _batch(self, first: _Asked) -> tuple[list[_Asked], _Asked | None, bool]:
        """The request with what waits behind it; one that would be too much, for the next turn; whether the end was met."""
        batch, rows = [first], first.rows
        while rows < self._rows_max and not self._queue.empty():
            following = self._queue.get_nowait()
            if following is None:
                return batch, None, True
            if not following.future.done():
                rows += following.rows
                if rows > self._rows_max:
                    return batch, following, False
            batch.append(following)
        return batch, None, False

    def _answers(self, members: list[_Asked]) -> Iterator[list[_Answer]]:
        """Answers as they come: for all at once; else for halves, and at last for whoever is to blame by itself."""
        parts = [members]
        while parts:
            part = parts.pop()
            live = [m for m in part if not m.future.done()]
            if len(live) < len(part):
                yield [(m, None) for m in part if m.future.done()]
            if len(live) == 1:
                yield [(live[0], self._answer(live[0]))]
            elif live:
                try:
                    yield self._answered(live)
                except TimedOut as error:  # their time is over too, and the next of them might be who caused it
                    yield [(m, ModelTimeout(error.message, hint=error.hint)) for m in live]
                except BaseException as error:  # noqa: BLE001 - each is asked again, and is told what it raises then
                    parts += _smaller(live, error)

    def _answered(self, several: list[_Asked]) -> list[_Answer]:
        limit_s = max(m.timeout_s for m in several)
        outputs = self._host.ask(joined([m.inputs for m in several]), several[0].outputs, limit_s)
        return list(zip(several, parted(outputs, [m.rows for m in several]), strict=True))

    def _answer(self, asked: _Asked) -> Outputs | BaseException | None:
        if asked.future.done():
            return None
        try:
            return check_rows(self._host.ask(asked.inputs, asked.outputs, asked.timeout_s), asked.rows)
        except BaseException as error:  # noqa: BLE001 - a model may raise SystemExit, which must not end the thread
            failure = raised(self._ref, error)
            if failure is not error:
                failure.__cause__ = error
            return failure

    def _rest(self) -> None:
        try:
            self._host.rest()
        except ChopmarkError:
            return  # who asks next is told

    def _tell(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop was closed, and nobody waits any more
            return

    def _deliver(self, answers: Sequence[_Answer]) -> None:
        self._taken -= len(answers)
        if not self._taken:
            self._empty.set()
        for asked, answer in answers:
            if asked.future.done():
                continue
            if isinstance(answer, BaseException):
                asked.future.set_exception(answer)
            elif answer is not None:
                asked.future.set_result(answer)


def _alike(batch: list[_Asked]) -> Iterator[list[_Asked]]:
    """Parts of a batch that can be put together, in the order of their first."""
    if len(batch) == 1:
        yield batch
        return
    groups: dict[object, list[_Asked]] = {}
    for asked in batch:
        groups.setdefault((asked.outputs, *kind_of(asked.inputs)), []).append(asked)
    yield from groups.values()


def _smaller(part: list[_Asked], error: BaseException) -> list[list[_Asked]]:
    """What is asked instead of a part that failed, the last first: halves, or each where a process ended of it."""
    if isinstance(error, ModelFailed) and error.details.get("ended"):
        return [[m] for m in reversed(part)]
    middle = len(part) // 2
    return [part[middle:], part[:middle]]

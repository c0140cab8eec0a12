"""Sampled requests and their answers, written to files for whoever asks later what was answered, and whether it would be again.

Nothing here is on the way of a request: once a second what was sampled anyway is taken, and a thread makes rows of it and, about once a minute,
files. What a file may not hold is left out of it before it is made. When the disk does not take a file, its rows are dropped, counted and told of.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.abc.predicting import Layout
from chopmark.abc.prediction_logs import LogBatch, LogFormat, LogRequest
from chopmark.base.clock import Clock
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.names import counted
from chopmark.domain.prediction_logs import INPUT, OUTPUT, LogAbout, unknown_columns
from chopmark.domain.request_ids import AnsweredBy, read_request_id
from chopmark.errors import ChopmarkError, InvalidRequest, Unsupported
from chopmark.gateway.log_directory import LogDirectory
from chopmark.gateway.router import Route, Router
from chopmark.gateway.samples import ROWS_MAX, Sample, Samples
from chopmark.gateway.telling import LOGGER

__all__ = ["FILE_ROWS_MAX", "PredictionLog"]

EVERY_S = 1.0
FILE_ROWS_MAX = 100_000
_OPEN_BYTES_MAX = 64 << 20
"""What waits for its file, of all endpoints; beyond it every file is closed."""

_ANSWERED_BY_MAX = 1_000
_LAST_S = 5.0
_SLOW = timedelta(seconds=10)


class _Key(NamedTuple):
    endpoint: UUID
    version: UUID


class _Known(NamedTuple):
    """A version that answers, or did a moment ago."""

    about: LogAbout
    layout: Layout


class _Taken(NamedTuple):
    """What was sampled of one endpoint since the last time."""

    endpoint: Endpoint
    secret: bytes
    samples: Sequence[Sample]


class _Open:
    """Rows that wait for their file."""

    def __init__(self, about: LogAbout, endpoint: Endpoint, began_at: datetime) -> None:
        self.about = about
        self.endpoint = endpoint
        self.began_at = began_at
        self.batches: list[LogBatch] = []
        self.requests = 0
        self.rows = 0
        self.size_bytes = 0

    def add(self, batch: LogBatch, requests: int, redacted: Sequence[str]) -> None:
        self.batches.append(batch)
        self.requests += requests
        self.rows += batch.num_rows
        self.size_bytes += batch.nbytes
        self.redact(redacted)

    def redact(self, names: Sequence[str]) -> None:
        """What was ever to be left out while it waited is."""
        new = [name for name in names if name not in self.about.redacted]
        if new:
            self.about = structs.replace(self.about, redacted=(*self.about.redacted, *new))


class PredictionLog:
    """Writes samples of the endpoints that ask for it.

    Parameters
    ----------
    router
        Whose samples.
    directory
        Where files go.
    form
        Makes rows and files.
    router_id
        As the files call the router.
    close_s
        How long rows wait for their file, in seconds: what a killed gateway loses.
    clock
        Where the time comes from.

    Attributes
    ----------
    written, lost
        Requests that are in files, and that should be and are not.
    """

    def __init__(
        self,
        router: Router,
        directory: LogDirectory,
        form: LogFormat,
        *,
        router_id: str,
        close_s: float,
        clock: Clock,
    ) -> None:
        self.written = 0
        self.lost = 0
        self._router = router
        self._directory = directory
        self._form = form
        self._router_id = router_id
        self._close = timedelta(seconds=close_s)
        self._clock = clock
        self._seen: dict[str, tuple[Samples, int]] = {}
        self._last: dict[str, _Taken] = {}
        self._known: dict[_Key, _Known] = {}
        self._open: dict[_Key, _Open] = {}
        self._fault = ""
        self._is_failing = False
        self._told: set[str] = set()
        self._turn = threading.Lock()
        self._since: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def note(self) -> str:
        """What people should know of it; empty when nothing was lost."""
        since = self._since
        if since is not None and self._clock() - since > _SLOW:
            return f"The disk of the prediction log does not answer since {since:%Y-%m-%d %H:%M:%S} UTC"
        if not self.lost:
            return ""
        why = f": {self._fault}" if self._fault else ""
        return f"The prediction log is without {counted(self.lost, 'sampled request')}{why}"

    async def start(self) -> None:
        """Write from now on, in the background."""
        self._task = asyncio.create_task(self._go())

    async def close(self) -> None:
        """Write what there is, and stop; a disk that hangs is not waited for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await self.write(is_last=True)

    async def write(self, *, is_last: bool = False) -> None:
        """Take what was sampled since the last time, and write the files whose time has come; all of them at last."""
        taken = self._taken()
        wanted = {route.endpoint.id: route.endpoint for route in self._router.routes.values() if _is_logged(route)}
        now = self._clock()
        self._since = self._since or now
        try:
            await self._apart(partial(self._written, taken, wanted, now, is_last))
        finally:
            self._since = None

    async def _apart(self, work: Callable[[], None]) -> None:
        """Work on a thread that no end of this process waits for, as it may hang in a disk; one piece after the other."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        def run() -> None:
            fault: BaseException | None = None
            with self._turn:
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 - told where it is awaited
                    fault = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, fault)

        threading.Thread(target=run, name="chopmark-log", daemon=True).start()
        await done

    async def _go(self) -> None:
        while True:
            try:
                await self.write()
            except Exception as error:  # noqa: BLE001 - a log that stops would look as if nobody asked any more
                self._tell(f"Samples could not be logged: {type(error).__name__}.")  # its words may hold values
            await asyncio.sleep(EVERY_S)

    # On the event loop

    def _taken(self) -> list[_Taken]:
        found = []
        routes = {ref: route for ref, route in self._router.routes.items() if route.samples is not None}
        for ref in [ref for ref in self._seen if ref not in routes]:
            found += self._rest(ref)
        for ref, route in routes.items():
            samples = route.samples
            if samples is None:
                continue
            before = self._seen.get(ref)
            if before is not None and before[0] is not samples:
                found += self._rest(ref)
                before = None
            since = before[1] if before is not None else 0
            self._seen[ref] = samples, samples.taken
            if not _is_logged(route):  # what was asked before somebody wants a log of it is not in it
                self._last.pop(ref, None)
                continue
            self._last[ref] = _Taken(route.endpoint, route.secret, ())
            found += self._new(route, samples, since)
        return found

    def _new(self, route: Route, samples: Samples, since: int) -> list[_Taken]:
        self._note_versions(route)
        why_not = self._why_not(route)
        if why_not:
            self._lose(samples.taken - since, why_not)
            return []
        new = samples.since(since)
        missed = samples.taken - since - len(new)
        self._lose(missed, f"{route.endpoint.ref} keeps too few samples for a second: raise its samples_max.")
        return [_Taken(route.endpoint, route.secret, new)] if new else []

    def _rest(self, ref: str) -> list[_Taken]:
        """What an endpoint kept before its samples were replaced, or it went."""
        samples, seen = self._seen.pop(ref)
        last = self._last.pop(ref, None)
        new = samples.since(seen) if last is not None else []
        return [last._replace(samples=new)] if last is not None and new else []

    def _note_versions(self, route: Route) -> None:
        for serving in route.serving:
            version, layout = serving.variant.version, serving.execution.layout
            about = LogAbout(
                endpoint=route.endpoint.ref,
                endpoint_id=route.endpoint.id,
                model=version.model,
                version=version.number,
                version_id=version.id,
                digest=version.digest,
                router=self._router_id,
                inputs=layout.inputs,
            )
            key = _Key(route.endpoint.id, version.id)
            self._known.pop(key, None)
            self._known[key] = _Known(about, layout)
        while len(self._known) > _ANSWERED_BY_MAX:
            del self._known[next(iter(self._known))]

    def _why_not(self, route: Route) -> str:
        """Why nothing of an endpoint may be written: a column to be left out that nobody has is perhaps a mistyped one."""
        layouts = [serving.execution.layout for serving in route.serving]
        known = {f"{INPUT}{field.name}" for layout in layouts for field in layout.inputs}
        known |= {f"{OUTPUT}{field.name}" for layout in layouts for field in (*layout.outputs, *layout.more)}
        unknown = unknown_columns(route.config.log_redact, known)
        if not unknown:
            return ""
        return f"log_redact of {route.endpoint.ref} names {unknown[0]}, which no version there has: nothing is logged."

    # On the thread

    def _written(self, taken: Sequence[_Taken], wanted: dict[UUID, Endpoint], now: datetime, is_last: bool) -> None:
        for each in taken:
            self._add(each, now)
        for key, waiting in list(self._open.items()):
            endpoint = wanted.get(key.endpoint)
            if endpoint is not None:
                waiting.redact(endpoint.config.log_redact)
            is_due = not timedelta(0) <= now - waiting.began_at < self._close
            is_over = endpoint is None or now.date() != waiting.began_at.date()
            if is_last or is_due or is_over or waiting.rows >= FILE_ROWS_MAX:
                self._put(key)
        if sum(waiting.size_bytes for waiting in self._open.values()) > _OPEN_BYTES_MAX:
            for key in list(self._open):
                self._put(key)
        try:
            if is_last:
                self._directory.close()
            else:
                self._directory.sit()
        except (OSError, ChopmarkError) as error:
            self._tell(_words(error))

    def _add(self, taken: _Taken, now: datetime) -> None:
        by_version: dict[UUID, list[LogRequest]] = {}
        for sample in taken.samples:
            try:
                said = read_request_id(sample.request_id, taken.secret)
            except InvalidRequest:  # the routing's secret was replaced meanwhile
                self._lose(1, "The secret of the routing was replaced.")
                continue
            by_version.setdefault(said.version_id, []).append(_request(sample, said))
        for version, requests in by_version.items():
            known = self._known.get(_Key(taken.endpoint.id, version))
            if known is None:
                self._lose(len(requests), "A version had gone before its samples were taken.")
                continue
            self._add_rows(taken.endpoint, known, requests, now)

    def _add_rows(self, endpoint: Endpoint, known: _Known, requests: Sequence[LogRequest], now: datetime) -> None:
        key = _Key(endpoint.id, known.about.version_id)
        try:
            batch = self._form.batch(known.about, requests, known.layout)
        except (Unsupported, MemoryError) as error:
            if len(requests) > 1:  # one that cannot be written takes no other with it
                for each in requests:
                    self._add_rows(endpoint, known, [each], now)
                return
            self._lose(len(requests), _words(error))
            return
        waiting = self._open.get(key)
        if waiting is None:
            waiting = self._open[key] = _Open(known.about, endpoint, now)
        waiting.add(batch, len(requests), endpoint.config.log_redact)

    def _put(self, key: _Key) -> None:
        waiting = self._open.pop(key)
        try:
            for data in self._form.files(waiting.about, waiting.batches):
                self._directory.put(waiting.endpoint.project, waiting.endpoint.name, waiting.began_at, data)
        except (OSError, ChopmarkError, MemoryError) as error:
            self._lose(waiting.requests, _words(error))
            self._is_failing = True
            return
        self.written += waiting.requests
        if self._is_failing:
            LOGGER.info("The prediction log is written again.")
            self._is_failing = False
            self._told.clear()

    def _lose(self, requests: int, why: str) -> None:
        if requests > 0:
            self.lost += requests
            self._tell(why)

    def _tell(self, why: str) -> None:
        """Say it once, until it is over."""
        self._fault = why
        if why not in self._told:
            self._told.add(why)
            LOGGER.warning("The prediction log: %s", why)


def _is_logged(route: Route) -> bool:
    return route.config.log and not route.is_chat


def _request(sample: Sample, said: AnsweredBy) -> LogRequest:
    kept = min(sample.rows, ROWS_MAX)
    return LogRequest(
        sample.at_ms,
        sample.request_id,
        said.variant,
        said.generation,
        sample.inputs,
        sample.outputs,
        kept,
        sample.rows,
    )


def _words(error: Exception) -> str:
    """Why, without anything that a request held: of the system's errors what they are, of ours what they say."""
    if isinstance(error, ChopmarkError):
        return error.message
    if isinstance(error, OSError):
        return f"The directory of the log cannot be written: {error.strerror or type(error).__name__}."
    return f"{type(error).__name__}."

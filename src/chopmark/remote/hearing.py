"""Hearing a server's events: one thread that follows them and calls who listens, from where it broke off."""

from __future__ import annotations

import logging
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from chopmark.base.calls import Caller
from chopmark.base.jsons import decode
from chopmark.domain.audit import AuditEvent
from chopmark.domain.cloud_events import CloudEvent
from chopmark.errors import ChopmarkError, ListenerFailed
from chopmark.ops.event_names import check_event, hearers
from chopmark.ops.http import PREFIX, check_reply

__all__ = ["Hearing", "read_events"]

Listener = Callable[[AuditEvent], None]

_PATH = f"{PREFIX}/events"
_PIECE_BYTES = 64 << 10
_PAUSE_S = 1.0
_LOGGER = logging.getLogger("chopmark")


def read_events(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Id and data of each event in the lines of a stream (HTML Living Standard, 9.2.6); comments are passed over."""
    last = ""
    data: list[bytes] = []
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                yield last, b"\n".join(data)
            data = []
        elif name == b"id":
            last = value.decode()
        elif name == b"data":
            data.append(value)


class Hearing:
    """Follows the events of a server while anybody listens.

    Parameters
    ----------
    caller
        The server.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._stream: Any = None
        self._last = ""

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of that name, or pattern, that happens from now on; returns what ends it.

        It is called from a thread of its own, some milliseconds after the change, whoever made it.

        Raises
        ------
        InvalidRequest
            When no event is called so.
        """
        check_event(event)
        with self._lock:
            if self._stream is None:
                self._stream = self._begin()
                threading.Thread(target=self._follow, name="chopmark-hearing", daemon=True).start()
            self._listeners[event].append(listener)

        def end() -> None:
            with suppress(ValueError):
                self._listeners[event].remove(listener)

        return end

    def close(self) -> None:
        """Hear no more."""
        self._closed.set()
        if self._stream is not None:
            with suppress(Exception):  # whatever state the socket is in
                self._stream.shutdown()
            with suppress(Exception):
                self._stream.close()

    def _begin(self, patient: Callable[[], bool] = lambda: True) -> Any:
        headers = {"accept": "text/event-stream"}
        if self._last:
            headers["last-event-id"] = self._last
        stream = self._caller.begin("GET", _PATH, headers=headers, patient=patient, preload=False)
        if stream.status != HTTPStatus.OK:
            check_reply(stream.status, stream.read(_PIECE_BYTES), self._caller.url)
        return stream

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                for last, data in read_events(_lines(self._stream)):
                    self._last = last  # before it is told: what a listener or an odd event does must not bring it again
                    self._tell(decode(data, CloudEvent).data)
            except Exception as error:  # noqa: BLE001 - broken off: begun again from where it broke
                if not self._closed.is_set():
                    _LOGGER.warning("Hearing the events of %s broke off, and begins again: %s", self._caller.url, error)
            while not self._closed.wait(_PAUSE_S):
                with suppress(ChopmarkError):
                    self._stream = self._begin(lambda: False)
                    break

    def _tell(self, event: AuditEvent) -> None:
        for listener in hearers(self._listeners, event.event):
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - one listener's fault is not the next one's
                said = f"A handler of {event.event} raised {type(error).__name__}: {error}"
                warnings.warn(said, ListenerFailed, stacklevel=2)


def _lines(stream: Any) -> Iterator[bytes]:
    rest = b""
    for piece in stream.stream(_PIECE_BYTES):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole

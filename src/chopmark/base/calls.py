"""Calls to a server over HTTP: connections kept open, safe calls repeated, errors told as ours."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode, urlsplit

from chopmark.base.tracing import trace_headers
from chopmark.errors import InvalidRequest, TimedOut, Unavailable

if TYPE_CHECKING:
    import urllib3

__all__ = ["Caller", "Reply", "is_this_machine"]

_LOGGER = logging.getLogger("chopmark")
_ATTEMPTS = 4
_PAUSE_S = 0.1  # doubled each time, of which a random part is waited
_PAUSE_LONGEST_S = 1.6
_PAUSE_MAX_S = 10.0  # that a server may ask for
_TOLD_AFTER_S = 1.0
_PASSING = frozenset((429, 502, 503, 504))
"""Statuses that say nothing about the call but that now is not the time."""


class Reply(NamedTuple):
    """What came back: status, headers with small names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Caller:
    """Calls one server.

    Parameters
    ----------
    url
        ``http://`` or ``https://``, with a path where the server is not at the root.
    token
        Sent as a bearer token; over plain HTTP to this machine only.
    timeout_s, connect_timeout_s
        Longest wait for a piece of an answer, and for a connection.
    retry_for_s
        How long a call that may be repeated is repeated, beyond the first few times, while the server refuses connections,
        breaks them off or says that now is not the time: as long as a restart takes. Who has waited in vain does not wait
        again until the server has answered.
    connections
        Most that are kept open.
    sleep, now_s
        How to wait before a call is repeated, and the time by which that is counted.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout_s: float = 60.0,
        connect_timeout_s: float = 10.0,
        retry_for_s: float = 10.0,
        connections: int = 8,
        sleep: Callable[[float], None] = time.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        import urllib3

        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise InvalidRequest(
                f"{parts.scheme}://{parts.hostname or ''} is no address of a server.", hint="Use https://host."
            )
        if token and parts.scheme == "http" and not is_this_machine(parts.hostname):
            msg = f"The token would pass to {parts.hostname} readable by everybody on the way."
            raise InvalidRequest(msg, hint="Use https://, or a tunnel to this machine.")
        self.url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        self._headers = {"user-agent": "chopmark", "accept-encoding": "identity"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        pool = urllib3.HTTPSConnectionPool if parts.scheme == "https" else urllib3.HTTPConnectionPool
        self._pool: urllib3.HTTPConnectionPool = pool(
            parts.hostname,
            parts.port,
            maxsize=connections,
            block=False,
            timeout=urllib3.Timeout(connect=connect_timeout_s, read=timeout_s),
        )
        self._retry_for_s = retry_for_s
        self._waited_in_vain = False
        self._sleep = sleep
        self._now_s = now_s

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        patient: Callable[[], bool] = lambda: True,
    ) -> Reply:
        """Send a request and read the whole answer.

        Parameters
        ----------
        method, path, query, body, headers
            The request; the path is percent-encoded.
        repeatable
            Whether it may be sent again when nobody knows what became of it: it reads, or carries an idempotency key. A call
            that did not reach the server is sent again in any case, a few times.
        patient
            Says, after the first few times, whether it is worth to go on for ``retry_for_s``.

        Raises
        ------
        Unavailable
            When the server does not answer, however often it was asked.
        TimedOut
            When the last answer did not come in time.
        """
        reply = self.begin(
            method, path, query=query, body=body, headers=headers, repeatable=repeatable, patient=patient
        )
        try:
            return Reply(reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.data)
        finally:
            reply.release_conn()

    def begin(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        patient: Callable[[], bool] = lambda: True,
        preload: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """Like `call`, and the answer's body may still be on its way; the caller releases the connection."""
        from urllib3.exceptions import HTTPError

        target = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        sent = {**self._headers, **trace_headers(), **(headers or {})}
        may_wait = repeatable and self._retry_for_s > 0 and not self._waited_in_vain
        repeats = _Repeats(self._retry_for_s, lambda: may_wait and patient(), self._now_s)
        while True:
            try:
                reply = self._pool.urlopen(
                    method,
                    target,
                    body=body or None,
                    headers=sent,
                    retries=False,
                    redirect=False,
                    preload_content=preload,
                )
            except (HTTPError, OSError) as error:
                pause_s = repeats.pause_s(lasts=_may_last(error)) if repeatable or _never_arrived(error) else None
                if pause_s is None:
                    self._waited_in_vain = self._waited_in_vain or repeats.went_on
                    raise _failure(error, self.url) from error
                what = "does not answer"
            else:
                asked_s = _asked_pause(reply.headers.get("retry-after", ""))
                is_passing = reply.status in _PASSING
                pause_s = repeats.pause_s(asked_s) if repeatable and is_passing else None
                if pause_s is None:
                    self._waited_in_vain = is_passing and (self._waited_in_vain or repeats.went_on)
                    return reply
                reply.drain_conn()
                reply.release_conn()
                what = f"answers with the status {reply.status}"
            if repeats.is_to_be_told():
                _LOGGER.warning("%s %s, and is asked again for up to %g s.", self.url, what, self._retry_for_s)
            self._sleep(pause_s)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def is_this_machine(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


class _Repeats:
    """When one call is sent again: a few times in any case, and for some time where waiting may help."""

    def __init__(self, for_s: float, goes_on: Callable[[], bool], now_s: Callable[[], float]) -> None:
        self._for_s = for_s
        self._goes_on = goes_on
        self._now_s = now_s
        self._begun_s = now_s()
        self._times = 0
        self.went_on = False
        self._was_told = False

    def pause_s(self, asked_s: float = 0.0, *, lasts: bool = True) -> float | None:
        """Seconds to wait before it is sent again; None when it is enough.

        ``asked_s`` is what the server asks for, ``lasts`` whether what failed may be well some seconds later.
        """
        longest_s = min(_PAUSE_LONGEST_S, _PAUSE_S * 2.0 ** min(self._times, 10))
        pause_s = asked_s or random.uniform(0, longest_s)  # noqa: S311 - no secret
        self._times += 1
        if self._times < _ATTEMPTS:
            return pause_s
        if self._times == _ATTEMPTS:
            self.went_on = lasts and self._goes_on()
        return pause_s if self.went_on and lasts and self._elapsed_s() + pause_s <= self._for_s else None

    def is_to_be_told(self) -> bool:
        """Whether whoever waits is told so now: once, when it takes longer than nobody notices."""
        told = self._was_told
        self._was_told = told or (self.went_on and self._elapsed_s() >= _TOLD_AFTER_S)
        return self._was_told and not told

    def _elapsed_s(self) -> float:
        return self._now_s() - self._begun_s


def _asked_pause(retry_after: str) -> float:
    return min(float(retry_after), _PAUSE_MAX_S) if retry_after.isdecimal() else 0.0


def _never_arrived(error: Exception) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return isinstance(error, (ConnectTimeoutError, NewConnectionError))


def _may_last(error: Exception) -> bool:
    """Whether it is what a server that restarts looks like: not a name that nobody knows, nor what took its time already."""
    from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError

    return isinstance(error, (NewConnectionError, ProtocolError)) and not isinstance(error, NameResolutionError)


def _failure(error: Exception, url: str) -> Unavailable:
    from urllib3.exceptions import ReadTimeoutError, SSLError

    if isinstance(error, ReadTimeoutError):
        return TimedOut(
            f"{url} did not answer in time.", hint="What was asked for may still happen: look before you repeat it."
        )
    if isinstance(error, SSLError):
        return Unavailable(
            f"{url} is not who its certificate says, or has none that is trusted.",
            hint="Check the address and the certificate.",
        )
    return Unavailable(
        f"{url} does not answer: {_told(error)}.",
        hint="Check the address, and that the server runs: curl " + url + "/healthz",
    )


def _told(error: Exception) -> str:
    return str(error).rpartition(": ")[2].strip()[:200] or type(error).__name__

"""Calls to a server over HTTP: connections kept open, safe calls repeated, errors told as ours."""

from __future__ import annotations

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

_ATTEMPTS = 4
_PAUSE_S = 0.1  # doubled each time, of which a random part is waited
_PAUSE_MAX_S = 10.0
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
    connections
        Most that are kept open.
    sleep
        How to wait before a call is repeated.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout_s: float = 60.0,
        connect_timeout_s: float = 10.0,
        connections: int = 8,
        sleep: Callable[[float], None] = time.sleep,
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
        self._sleep = sleep

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Reply:
        """Send a request and read the whole answer.

        Parameters
        ----------
        method, path, query, body, headers
            The request; the path is percent-encoded.
        repeatable
            Whether it may be sent again when nobody knows what became of it: it reads, or carries an idempotency key. A call
            that did not reach the server is sent again in any case.

        Raises
        ------
        Unavailable
            When the server does not answer, however often it was asked.
        TimedOut
            When the last answer did not come in time.
        """
        reply = self.begin(method, path, query=query, body=body, headers=headers, repeatable=repeatable)
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
        preload: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """Like `call`, and the answer's body may still be on its way; the caller releases the connection."""
        from urllib3.exceptions import HTTPError

        target = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        sent = {**self._headers, **trace_headers(), **(headers or {})}
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
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
                if last or not (repeatable or _never_arrived(error)):
                    raise _failure(error, self.url) from error
                self._sleep(_pause(attempt))
                continue
            if reply.status not in _PASSING or last or not repeatable:
                return reply
            pause = _asked_pause(reply.headers.get("retry-after", "")) or _pause(attempt)
            reply.drain_conn()
            reply.release_conn()
            self._sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def is_this_machine(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _pause(attempt: int) -> float:
    return random.uniform(0, _PAUSE_S * 2**attempt)  # noqa: S311 - no secret


def _asked_pause(retry_after: str) -> float:
    return min(float(retry_after), _PAUSE_MAX_S) if retry_after.isdecimal() else 0.0


def _never_arrived(error: Exception) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return isinstance(error, (ConnectTimeoutError, NewConnectionError))


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

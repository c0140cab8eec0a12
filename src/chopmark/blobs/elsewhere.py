"""Addresses that a server gives of its store: read and written with plain HTTP, and without our token."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chopmark.base.calls import is_this_machine
from chopmark.errors import Unavailable

if TYPE_CHECKING:
    import urllib3

__all__ = ["Elsewhere"]


class Elsewhere:
    """Reaches what servers point to.

    Parameters
    ----------
    server_url
        Who points: where it is reached by HTTPS, so is what it points to, or it is not followed.
    timeout_s, connect_timeout_s
        Longest wait for a piece of an answer, and for a connection: short, as the way past the server is only the quicker one.
    """

    def __init__(self, server_url: str, *, timeout_s: float = 60.0, connect_timeout_s: float = 5.0) -> None:
        self._is_protected = urlsplit(server_url).scheme == "https"
        self._timeouts = (connect_timeout_s, timeout_s)
        self._lock = threading.Lock()
        self._pool: urllib3.PoolManager | None = None

    def get(self, url: str, start: int, end: int) -> urllib3.BaseHTTPResponse:
        """A range of bytes, still on its way; the caller closes it.

        Raises
        ------
        Unavailable
            When it cannot be followed.
        """
        return self._sent("GET", url, {"range": f"bytes={start}-{end - 1}"}, None)

    def put(self, url: str, headers: Mapping[str, str], pieces: Iterable[bytes], size_bytes: int) -> None:
        """Send bytes.

        Raises
        ------
        Unavailable
            When it cannot be followed, or they are not taken.
        """
        reply = self._sent("PUT", url, {**headers, "content-length": str(size_bytes)}, pieces)
        try:
            if reply.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
                raise Unavailable(f"The store answers {reply.status}.")
        finally:
            reply.drain_conn()
            reply.release_conn()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._pool is not None:
                self._pool.clear()

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] | None
    ) -> urllib3.BaseHTTPResponse:
        import urllib3
        from urllib3.exceptions import HTTPError

        host = urlsplit(url).hostname or ""
        if urlsplit(url).scheme != "https" and (self._is_protected or not is_this_machine(host)):
            raise Unavailable(f"{host} would send bytes readable by everybody on the way.")
        with self._lock:
            if self._pool is None:
                connect_s, read_s = self._timeouts
                self._pool = urllib3.PoolManager(
                    retries=False, timeout=urllib3.Timeout(connect=connect_s, read=read_s), maxsize=8
                )
            pool = self._pool
        try:
            return pool.request(method, url, headers=dict(headers), body=body, redirect=False, preload_content=False)
        except (HTTPError, OSError) as error:
            raise Unavailable(f"{host} does not answer: {type(error).__name__}.") from None  # its text has the address

"""Asks providers over HTTP; the one module that knows aiohttp, imported when the first language model is loaded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp

from chopmark.base.wording import within_sentence
from chopmark.gateway.chat.judging import UpstreamFailed, judged_broken, judged_too_late, judged_unreachable
from chopmark.gateway.chat.limits import ChatLimits
from chopmark.gateway.chat.providers import Provider

__all__ = ["Upstream", "UpstreamAnswer"]

# Shorter than servers keep idle connections (uvicorn's and Node's 5 s), so that few requests meet one that is being closed.
_KEPT_OPEN_S = 3.0
_READ_AHEAD_BYTES = 64 * 1024
_REFUSAL_S = 2.0
_REFUSAL_BYTES_MAX = 64 * 1024
_REST_S = 0.2
_OK = 200


class UpstreamAnswer:
    """A provider's answer, whose body is read as it comes.

    Attributes
    ----------
    status, content_type, retry_after
        Of its head.
    """

    def __init__(self, name: str, response: aiohttp.ClientResponse) -> None:
        self._name = name
        self._response = response
        self.status = response.status
        self.content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.retry_after = response.headers.get("retry-after", "")[:100]

    async def piece(self, limit_s: float | None = None) -> bytes:
        """What has come since the last time; empty at the end.

        Raises
        ------
        UpstreamFailed
            When nothing comes in time, or the connection breaks.
        """
        try:
            async with asyncio.timeout(limit_s):
                return await self._response.content.readany()
        except TimeoutError:
            raise judged_too_late(self._name, "go on with its answer", limit_s or 0.0) from None
        except (aiohttp.ClientError, OSError):
            raise judged_broken(self._name, "broke off its answer") from None

    async def whole(self, size_bytes_max: int) -> bytes:
        """The whole body.

        Raises
        ------
        UpstreamFailed
            When it is longer than it may be, or as `piece`.
        """
        pieces, size_bytes = [], 0
        while piece := await self.piece():
            size_bytes += len(piece)
            if size_bytes > size_bytes_max:
                raise judged_broken(self._name, f"answered more than {size_bytes_max:,} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def refusal(self) -> bytes:
        """How the body of an error begins; a body that is late or broken is no further error."""
        found = b""
        try:
            async with asyncio.timeout(_REFUSAL_S):
                while len(found) < _REFUSAL_BYTES_MAX and (piece := await self.piece()):
                    found += piece
        except (TimeoutError, UpstreamFailed):
            pass
        return found[:_REFUSAL_BYTES_MAX]

    async def rest(self) -> None:
        """Take the end of a body that is expected to be over, so that its connection can be used again."""
        try:
            async with asyncio.timeout(_REST_S):
                while await self._response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, OSError):
            self._response.close()


class Upstream:
    """Connections to providers.

    Parameters
    ----------
    limits
        How long connecting may take.

    To be made on the event loop that uses it. Redirects are not followed, proxies and cookies not heeded.
    """

    def __init__(self, limits: ChatLimits) -> None:
        traced = aiohttp.TraceConfig()
        traced.on_connection_reuseconn.append(_note_reuse)
        self._connect_s = limits.connect_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_OPEN_S),
            timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[traced],
            auto_decompress=False,
            read_bufsize=_READ_AHEAD_BYTES,
            headers={"User-Agent": "chopmark", "Accept-Encoding": "identity", "Content-Type": "application/json"},
        )

    @asynccontextmanager
    async def ask(self, provider: Provider, body: bytes, *, stream: bool) -> AsyncIterator[UpstreamAnswer]:
        """Ask for a completion; the head of the answer has come. At the end what has not come of it is given up at once.

        Raises
        ------
        UpstreamFailed
            When there is no connection, or no answer of HTTP on it.
        """
        headers = {"Accept": "text/event-stream" if stream else "application/json"}
        if provider.key:
            headers["Authorization"] = f"Bearer {provider.key}"
        response = await self._answered(provider, body, headers)
        try:
            yield UpstreamAnswer(provider.name, response)
        finally:
            if not response.content.at_eof():
                response.close()
            response.release()

    async def _answered(self, provider: Provider, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        # Errors of aiohttp may hold the headers that were sent, and the key with them: none is passed on, or becomes a cause.
        seen = {"reused": False}
        name = provider.name
        try:
            response = await self._session.post(
                provider.completions_url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=seen
            )
        except aiohttp.ServerTimeoutError:
            raise judged_unreachable(name, f"no connection within {self._connect_s:g} s", may_repeat=False) from None
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
            raise judged_unreachable(name, "its certificate is not accepted", may_repeat=False) from None
        except aiohttp.ClientConnectorDNSError:
            raise judged_unreachable(name, "its host is not found", may_repeat=True) from None
        except aiohttp.ClientConnectorError as error:
            raise judged_unreachable(name, _in_words(error.os_error.errno), may_repeat=True) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # On a connection that was used before, what broke is most probably the connection, closed while it was idle.
            raise judged_broken(name, "closed the connection without an answer", may_repeat=seen["reused"]) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise judged_broken(name, "answered something that is no HTTP") from None
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", ""):
            response.close()
            raise judged_broken(name, "answered in an encoding that was not asked for")
        return response

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


async def _note_reuse(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    context.trace_request_ctx["reused"] = True


def _in_words(errno: int | None) -> str:
    """Why there is no connection, without the address, which is the operator's affair."""
    return within_sentence(os.strerror(errno)) if errno is not None and errno > 0 else "no connection"

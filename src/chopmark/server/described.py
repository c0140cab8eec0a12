"""The API's description as programs and as people read it: ``/openapi.json`` and ``/docs``."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple

from chopmark.base.encodings import packed, preferred
from chopmark.base.jsons import encode
from chopmark.ops.http import etag_of
from chopmark.server.exchange import Answer, Exchange

__all__ = ["PLACES", "Described"]

PLACES = ("/openapi.json", "/docs")


class _Drawn(NamedTuple):
    body: bytes
    headers: Mapping[str, str]
    packed: Mapping[str, bytes]


class Described:
    """Draws both when one is first asked for, and keeps them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drawn: dict[str, _Drawn] = {}

    def answer(self, exchange: Exchange) -> Answer:
        """What stands at one of `PLACES`; blocks for the first time."""
        with self._lock:
            if not self._drawn:
                self._drawn = _drawn()
        found = self._drawn[exchange.path]
        if found.headers["etag"] in exchange.header("if-none-match"):
            return Answer(304, found.headers, b"")
        encoding = preferred(exchange.header("accept-encoding"))
        if not encoding:
            return Answer(200, found.headers, found.body)
        return Answer(200, {**found.headers, "content-encoding": encoding}, found.packed[encoding])


def _drawn() -> dict[str, _Drawn]:
    from chopmark.server.docs import docs_page, policy_of
    from chopmark.server.openapi import described

    document = described()
    page = docs_page(document)
    safe = {
        "content-security-policy": policy_of(page),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return {
        "/openapi.json": _kept(encode(document), {"content-type": "application/json"}),
        "/docs": _kept(page.encode(), {"content-type": "text/html; charset=utf-8", **safe}),
    }


def _kept(body: bytes, headers: dict[str, str]) -> _Drawn:
    headers |= {"etag": etag_of(body), "cache-control": "no-cache", "vary": "accept-encoding"}
    return _Drawn(body, headers, {encoding: packed(body, encoding) for encoding in ("zstd", "gzip")})

"""Bytes over HTTP: blobs by their digest, and files of a version by their path.

A digest names the same bytes for ever, so an answer may be kept for ever; every client that knows ranges can go on where it
broke off.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import parse_qsl, quote

from chopmark.abc.blobs import BlobStat, BlobStore, GivesAddresses
from chopmark.base.digest import parse_digest
from chopmark.domain.access import Actor
from chopmark.domain.manifest import Manifest
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound, Unavailable
from chopmark.ops.http import PREFIX
from chopmark.ops.requests import GetManifest, GetVersion
from chopmark.server.acting import Acting
from chopmark.server.admission import Admission
from chopmark.server.answers import json_answer
from chopmark.server.exchange import Answer, Exchange
from chopmark.server.streams import Arriving
from chopmark.server.telemetry import LOGGER

__all__ = ["DIRECT_LIFETIME_S", "BlobRoutes", "Span", "read_range"]

DIRECT_LIFETIME_S = 300.0
"""For so long an address of the store is good."""

_PIECE_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_FOR_EVER = "private, max-age=31536000, immutable"


class Span(NamedTuple):
    """From a byte up to, and without, another."""

    start: int
    end: int


def read_range(header: str, size_bytes: int) -> Span | None:
    """The one range that a ``Range`` header asks for (RFC 9110, 14.2); None for the whole.

    What is no range of bytes, or several, is answered with the whole, as the RFC allows.

    Raises
    ------
    ValueError
        When it begins after the last byte.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        last = min(int(found[2]), size_bytes)
        span = Span(size_bytes - last, size_bytes)
    else:
        end = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
        if found[2] and int(found[2]) < int(found[1]):
            return None
        span = Span(int(found[1]), end)
    if span.start >= size_bytes or span.start >= span.end:
        raise ValueError(header)
    return span


class BlobRoutes:
    """What is served of bytes.

    Parameters
    ----------
    acting
        Does the ops that say which bytes a version has.
    store
        The bytes.
    door
        Who asks, and threads for bytes that go out, apart from those of the ops.
    bringing, bringing_max
        Threads for bytes that come, of which a slow client keeps one as long as it sends, and how many there are: who comes
        then waits, and holds no memory.
    direct
        What gives addresses of the store to who asks for one; None where all bytes pass through here.
    """

    def __init__(
        self,
        acting: Acting,
        store: BlobStore,
        door: Admission,
        bringing: Admission,
        bringing_max: int,
        direct: GivesAddresses | None = None,
    ) -> None:
        self._acting = acting
        self._store = store
        self._door = door
        self._bringing = bringing
        self._room = asyncio.Semaphore(bringing_max)
        self._direct = direct

    def rows(self) -> Iterable[tuple[str, str, Callable[[Exchange, dict[str, str]], Awaitable[None]]]]:
        """Method, path and what serves them."""
        return (
            ("GET", "/blobs/{digest}", self.get),
            ("PUT", "/blobs/{digest}", self.put),
            ("GET", "/blobs/{digest}/stat", self.stat),
            ("GET", "/versions/{ref}/files/{*path}", self.file),
            ("GET", "/resolve", self.resolve),
        )

    async def stat(self, exchange: Exchange, places: dict[str, str]) -> None:
        """What the store knows of a blob."""
        exchange.op = "blob.stat"

        def look() -> Answer:
            return json_answer(self._shown(places["digest"], self._door.admitted(exchange, "read")))

        await exchange.send(await self._door.run(look))

    async def get(self, exchange: Exchange, places: dict[str, str]) -> None:
        """A blob, or a range of it."""
        exchange.op = "blob.get"

        def look() -> BlobStat:
            return self._shown(places["digest"], self._door.admitted(exchange, "read"))

        await self._send_blob(exchange, await self._door.run(look), "")

    async def file(self, exchange: Exchange, places: dict[str, str]) -> None:
        """A file of a version by its path in the manifest."""
        exchange.op = "version.file"

        def look() -> BlobStat:
            actor = self._door.admitted(exchange, "read")
            manifest: Manifest = self._acting.act(GetManifest(ref=places["ref"]), actor)
            entry = next((f for f in manifest.files if f.path == places["path"]), None)
            if entry is None:
                having = ", ".join(f.path for f in manifest.files[:10])
                raise NotFound(f"{places['ref']} has no file {places['path'][:200]!r}.", hint=f"It has {having}.")
            return self._known(entry.digest)

        await self._send_blob(exchange, await self._door.run(look), places["path"].rpartition("/")[2])

    async def resolve(self, exchange: Exchange, places: dict[str, str]) -> None:  # noqa: ARG002
        """A reference's number, digest and addresses to download from, for callers without Python."""
        exchange.op = "version.resolve"

        def look() -> Answer:
            actor = self._door.admitted(exchange, "read")
            ref = _only_ref(exchange.query)
            version = self._acting.act(GetVersion(ref=ref), actor)
            manifest: Manifest = self._acting.act(GetManifest(ref=version.ref), actor)
            where = f"{PREFIX}/versions/{quote(version.ref, safe=':')}"
            files = [
                {
                    "path": f.path,
                    "role": f.role,
                    "size_bytes": f.size_bytes,
                    "digest": f.digest,
                    "href": f"{where}/files/{quote(f.path)}",
                }
                for f in manifest.files
            ]
            said = {
                "asked": ref,
                "ref": version.ref,
                "project": version.project,
                "model": version.model,
                "number": version.number,
                "semver": version.semver,
                "digest": version.digest,
                "stage": version.stage,
                "format": version.format,
                "href": where,
                "files": files,
            }
            return json_answer(said)

        await exchange.send(await self._door.run(look))

    async def put(self, exchange: Exchange, places: dict[str, str]) -> None:
        """Store a blob: the bytes are hashed as they come, and refused when they are not those of the digest."""
        exchange.op = "blob.put"
        actor: Actor = await self._door.run(lambda: self._door.admitted(exchange, "register"))
        digest = parse_digest(places["digest"])
        async with self._room:  # who waits has sent little yet: nothing is read of it meanwhile
            stored = await self._stored(exchange, digest)
        await self._door.run(lambda: self._acting.note_put(digest, actor))
        await exchange.send(json_answer(stored))

    async def _stored(self, exchange: Exchange, digest: str) -> BlobStat:
        """Bring a body to the store as it comes."""
        arriving = Arriving(asyncio.get_running_loop())
        source = cast("BinaryIO", arriving)  # a store only reads it
        storing = asyncio.ensure_future(self._bringing.run(lambda: self._store.put(source, expected=digest)))
        storing.add_done_callback(lambda _: arriving.leave())
        try:
            async for piece in exchange.pieces():
                if not await arriving.feed(piece):
                    break
            arriving.end()
        except BaseException:
            arriving.end("The client went away before it had sent its bytes.")
            await asyncio.wait([storing])
            storing.exception()
            raise
        return await storing

    def _shown(self, digest: str, actor: Actor) -> BlobStat:
        """A blob of a version that the actor may read, or that they put; others are as if they were not there."""
        if self._acting.hides_bytes(parse_digest(digest), actor):
            raise NotFound(f"The blob {digest} is not in the store.")
        return self._known(digest)

    def _known(self, digest: str) -> BlobStat:
        stat = self._store.stat(parse_digest(digest))
        if stat is None:
            raise NotFound(f"The blob {digest} is not in the store.")
        return stat

    def _address(self, digest: str) -> str:
        """Where the store itself gives a blob; empty where it does not, as with credentials that cannot sign."""
        if self._direct is None:
            return ""
        try:
            return self._direct.read_address(digest, DIRECT_LIFETIME_S)
        except ChopmarkError as error:
            LOGGER.warning("The store gives no address: %s", error.message)
            return ""

    async def _send_blob(self, exchange: Exchange, stat: BlobStat, name: str) -> None:
        headers = {
            "content-type": "application/octet-stream",
            "etag": f'"{stat.digest}"',
            "accept-ranges": "bytes",
            "cache-control": _FOR_EVER,
        }
        if name:
            headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
        if headers["etag"] in exchange.header("if-none-match"):
            await exchange.send(Answer(HTTPStatus.NOT_MODIFIED, headers, b""))
            return
        if exchange.method == "GET" and _asks_directly(exchange.query):
            address = await self._door.run(lambda: self._address(stat.digest))
            if address:  # as good as the bytes: it is kept nowhere, and no log of ours has it
                headers = {"location": address, "cache-control": "no-store"}
                await exchange.send(Answer(HTTPStatus.TEMPORARY_REDIRECT, headers, b""))
                return
        condition = exchange.header("if-range")
        asked = exchange.header("range") if condition in ("", headers["etag"]) else ""
        try:
            span = read_range(asked, stat.size_bytes)
        except ValueError:
            headers["content-range"] = f"bytes */{stat.size_bytes}"
            await exchange.send(Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, b""))
            return
        status = HTTPStatus.OK
        if span is not None:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{stat.size_bytes}"
        start, end = span or Span(0, stat.size_bytes)
        if exchange.method == "HEAD":
            await exchange.begin(status, headers, end - start)
            await exchange.piece(b"", more=False)
            return
        reader: BinaryIO = await self._door.run(
            lambda: self._store.open(stat.digest, offset=start, length=end - start, verify="changed")
        )
        try:
            await exchange.begin(status, headers, end - start)
            rest = end - start
            while rest and not exchange.is_gone():
                piece = await self._door.run(lambda: reader.read(_PIECE_BYTES))
                if not piece:
                    raise Unavailable(f"The blob {stat.digest} ended early.")
                rest -= len(piece)
                await exchange.piece(piece, more=rest > 0)
            if start == end:
                await exchange.piece(b"", more=False)
        finally:
            await self._door.run(reader.close)


def _asks_directly(query: str) -> bool:
    return ("direct", "true") in parse_qsl(query, keep_blank_values=True)


def _only_ref(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(pairs) != 1 or pairs[0][0] != "ref":
        raise InvalidRequest("This takes a reference and nothing else.", hint="GET /api/v1/resolve?ref=fraud@champion")
    return pairs[0][1]

"""Large blobs in parts: parts are blobs of their own, sent in any order, at once, and again after a break.

Nothing is kept of an upload but its parts, so any server can put them together, and a client that comes back asks which are
there. What is left of an upload that nobody finishes is collected as any blob that nobody refers to.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, BinaryIO

from chopmark.abc.blobs import BlobStat, BlobStore, GivesAddresses
from chopmark.base.clock import Clock, system_clock
from chopmark.base.digest import parse_digest
from chopmark.base.ids import random_bytes
from chopmark.base.jsons import decode
from chopmark.domain.access import Actor
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops.direct import DIRECT_BYTES_MAX, ArrivedUpload, DirectUpload, UploadAddress
from chopmark.ops.http import MissingBlobs, PartsOfBlob
from chopmark.server.acting import Acting
from chopmark.server.admission import Admission
from chopmark.server.answers import json_answer
from chopmark.server.blobs import DIRECT_LIFETIME_S
from chopmark.server.exchange import Answer, Exchange

__all__ = ["UploadRoutes"]

ASKED_MAX = 10_000
_BODY_BYTES_MAX = 1 << 20


class UploadRoutes:
    """What is served of uploads in parts.

    Parameters
    ----------
    acting
        Says which bytes the caller may know of.
    store
        The bytes.
    door
        Who asks, and threads for bytes on their way.
    direct
        What gives addresses of the store to who asks for one; None where all bytes pass through here.
    clock
        Where the time comes from.
    """

    def __init__(
        self,
        acting: Acting,
        store: BlobStore,
        door: Admission,
        direct: GivesAddresses | None = None,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._acting = acting
        self._store = store
        self._door = door
        self._direct = direct
        self._clock = clock

    def rows(self) -> Iterable[tuple[str, str, Callable[[Exchange, dict[str, str]], Awaitable[None]]]]:
        """Method, path and what serves them."""
        return (
            ("POST", "/blobs/missing", self.missing),
            ("POST", "/blobs/{digest}/assemble", self.assemble),
            ("POST", "/blobs/{digest}/address", self.address),
            ("POST", "/blobs/{digest}/arrived", self.arrived),
        )

    async def missing(self, exchange: Exchange, places: dict[str, str]) -> None:  # noqa: ARG002
        """Which of some blobs are not there, as far as the caller may know."""
        exchange.op = "blob.missing"
        actor = await self._door.run(lambda: self._door.admitted(exchange, "register"))
        body = await exchange.body(_BODY_BYTES_MAX)

        def look() -> Answer:
            digests = decode(body, MissingBlobs).digests
            if len(digests) > ASKED_MAX:
                raise InvalidRequest(f"{len(digests):,} blobs are asked for at once.", hint=f"Ask for {ASKED_MAX:,}.")
            return json_answer(MissingBlobs(tuple(d for d in digests if self._is_missing(parse_digest(d), actor))))

        await exchange.send(await self._door.run(look))

    async def assemble(self, exchange: Exchange, places: dict[str, str]) -> None:
        """Store the bytes of some blobs, one behind the other, as one blob."""
        exchange.op = "blob.assemble"
        actor = await self._door.run(lambda: self._door.admitted(exchange, "register"))
        body = await exchange.body(_BODY_BYTES_MAX)

        def store() -> Answer:
            digest = parse_digest(places["digest"])
            parts = decode(body, PartsOfBlob).parts
            missing = [part for part in parts if self._is_missing(parse_digest(part), actor)]
            if missing:
                raise Conflict(
                    f"{len(missing):,} of {len(parts):,} parts are not there.", hint="Send them, then repeat."
                )
            with io.BufferedReader(_Joined(self._store, parts), 1 << 20) as joined:
                stat: BlobStat = self._store.put(joined, expected=digest)
            self._acting.note_put(digest, actor)
            return json_answer(stat)

        await exchange.send(await self._door.run(store))

    async def address(self, exchange: Exchange, places: dict[str, str]) -> None:
        """Where the bytes of a blob may be brought, past this server."""
        exchange.op = "blob.address"
        await self._door.run(lambda: self._door.admitted(exchange, "register"))
        body = await exchange.body(_BODY_BYTES_MAX)

        def give() -> Answer:
            parse_digest(places["digest"])
            size_bytes = decode(body, DirectUpload).size_bytes
            giver = self._giver()
            if not 0 <= size_bytes <= DIRECT_BYTES_MAX:
                raise InvalidRequest(
                    f"{size_bytes:,} bytes are not brought in one part.", hint=f"The limit is {DIRECT_BYTES_MAX:,}."
                )
            upload = random_bytes(16).hex()
            url, headers = giver.write_address(upload, DIRECT_LIFETIME_S)
            until = self._clock() + timedelta(seconds=DIRECT_LIFETIME_S)
            return json_answer(UploadAddress(upload=upload, url=url, headers=dict(headers), expires_at=until))

        await exchange.send(await self._door.run(give))

    async def arrived(self, exchange: Exchange, places: dict[str, str]) -> None:
        """Make a blob of what was brought past this server; it counts when its bytes are those of the digest."""
        exchange.op = "blob.arrived"
        actor = await self._door.run(lambda: self._door.admitted(exchange, "register"))
        body = await exchange.body(_BODY_BYTES_MAX)

        def take() -> Answer:
            digest = parse_digest(places["digest"])
            said = decode(body, ArrivedUpload)
            stat = self._giver().take_upload(said.upload, digest, said.size_bytes)
            self._acting.note_put(digest, actor)
            return json_answer(stat)

        await exchange.send(await self._door.run(take))

    def _giver(self) -> GivesAddresses:
        if self._direct is None:
            raise NotFound(
                "This server gives no addresses of its store.",
                hint="Send the bytes to the server: PUT …/blobs/sha256:…",
            )
        return self._direct

    def _is_missing(self, digest: str, actor: Actor) -> bool:
        return self._acting.hides_bytes(digest, actor) or self._store.stat(digest) is None


class _Joined(io.RawIOBase):
    """Blobs one behind the other; each is opened when the one before it has ended."""

    def __init__(self, store: BlobStore, digests: Sequence[str]) -> None:
        self._store = store
        self._rest = list(digests)
        self._open: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while self._open is not None or self._rest:
            if self._open is None:
                self._open = self._store.open(self._rest.pop(0), verify="changed")
            piece = self._open.read(len(view))
            if piece:
                view[: len(piece)] = piece
                return len(piece)
            self._open.close()
            self._open = None
        return 0

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        super().close()

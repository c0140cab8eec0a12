"""Clients of a server that is killed again and again: they register, upload in one piece and in parts, and keep what was acknowledged."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import chopmark as cm
from chopmark.base.calls import Caller
from chopmark.base.digest import digest_of
from chopmark.base.jsons import decode, encode
from chopmark.errors import ChopmarkError
from chopmark.ops.http import PREFIX, MissingBlobs, PartsOfBlob, check_reply
from faults.contents import artifacts_of, metrics_of, model_of

__all__ = ["Acknowledged", "Client", "Parts", "Registering", "Uploading"]

PART_BYTES = 200_000
PARTS = 12
SHAPES = ("small",) * 8 + ("many",) * 4 + ("large",) * 3 + ("huge",)
"""As often as they stand here; the last is sent in parts when it breaks off."""


@dataclass
class Acknowledged:
    """What the clients of one registry were told.

    Attributes
    ----------
    versions
        Token → reference and digest.
    asked
        Tokens that registrations began with, acknowledged or not.
    blobs
        Digests of bytes that are stored.
    counts
        How often what was acknowledged, failed, and was under way at a kill.
    faults
        What a client saw that may never be.
    """

    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """One more."""
        with self.lock:
            self.counts[what] += 1


class Client(ABC):
    """Does one thing after the other on a thread, whatever becomes of each, while it may.

    Parameters
    ----------
    name
        Different for each client of a registry.
    told
        Where it says what it was told.
    """

    def __init__(self, name: str, told: Acknowledged) -> None:
        self.name = name
        self.told = told
        self.doing = ""
        self._may = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def go(self) -> None:
        """Go on: the server is there."""
        self._may.set()

    def pause(self) -> None:
        """Begin nothing more."""
        self._may.clear()

    def end(self) -> None:
        """End, after what is under way."""
        self._ended.set()
        self._may.set()
        self._thread.join(60)
        if self._thread.is_alive():
            self.told.faults.append(("hang", f"{self.name} waits for its server without end, in {self.doing}"))

    @abstractmethod
    def act(self, n: int) -> None:
        """The n-th thing it does."""

    def _live(self) -> None:
        n = 0
        while True:
            self._may.wait()
            if self._ended.is_set():
                return
            n += 1
            try:
                self.act(n)
            except ChopmarkError as error:
                self.told.count(f"{self.doing}_{error.code}")
                if error.code not in ("unavailable", "timed_out"):
                    self.told.faults.append(("error", f"{self.name} in {self.doing}: {type(error).__name__}: {error}"))
                self._ended.wait(0.05)
            except Exception as error:  # noqa: BLE001 - told as a finding
                self.told.faults.append(("error", f"{self.name} in {self.doing}: {type(error).__name__}: {error}"))
                self._ended.wait(0.5)
            finally:
                self.doing = ""


class Registering(Client):
    """Registers versions of one model, small and large."""

    def __init__(self, name: str, told: Acknowledged, registry: cm.Registry, spread: random.Random) -> None:
        self._registry = registry
        self._spread = spread
        super().__init__(name, told)

    def act(self, n: int) -> None:
        """Register a version, and know it when that was acknowledged."""
        token = f"{self.name}.{n}-{self._spread.choice(SHAPES)}"
        self.told.asked.add(token)
        self.doing = "register"
        version = self._registry.register(
            "fraud",
            model_of(token),
            metrics=metrics_of(token),
            params={"token": token},
            tags={"token": token},
            artifacts=artifacts_of(token),
        )
        with self.told.lock:
            self.told.versions[token] = (version.ref, version.digest)
        self.told.count("registered")


class Uploading(Client):
    """Puts bytes in one piece."""

    def __init__(self, name: str, told: Acknowledged, caller: Caller, spread: random.Random) -> None:
        self._caller = caller
        self._spread = spread
        super().__init__(name, told)

    def act(self, n: int) -> None:  # noqa: ARG002
        """Put bytes, and know them when that was acknowledged."""
        self.doing = "put"
        put(self._caller, self._spread.randbytes(self._spread.choice((2_000, 300_000, 6_000_000))), self.told)
        self.told.count("put")


class Parts(Client):
    """Puts bytes in parts, and goes on after a kill with those that are missing."""

    def __init__(self, name: str, told: Acknowledged, caller: Caller, spread: random.Random) -> None:
        self._caller = caller
        self._spread = spread
        self._parts: list[bytes] = []
        self._there: set[str] = set()
        super().__init__(name, told)

    def act(self, n: int) -> None:  # noqa: ARG002
        """One more round of an upload: ask what is missing, send it, have it put together."""
        if not self._parts:
            self._parts = [self._spread.randbytes(PART_BYTES) for _ in range(PARTS)]
        digests = tuple(map(digest_of, self._parts))
        self.doing = "ask"
        missing = set(decode(self._post(f"{PREFIX}/blobs/missing", MissingBlobs(digests)), MissingBlobs).digests)
        if forgotten := missing & self._there:
            self.told.faults.append(("lost", f"of parts that were acknowledged {len(forgotten)} are missing"))
        if self._there:
            self.told.count("uploads_gone_on")
        for part, digest in zip(self._parts, digests, strict=True):
            if digest in missing:
                self.doing = "part"
                put(self._caller, part, self.told)
                self._there.add(digest)
        self.doing = "assemble"
        whole = digest_of(b"".join(self._parts))
        self._post(f"{PREFIX}/blobs/{whole}/assemble", PartsOfBlob(digests))
        with self.told.lock:
            self.told.blobs.add(whole)
        self.told.count("assembled")
        self._parts, self._there = [], set()

    def _post(self, path: str, body: Any) -> bytes:
        reply = self._caller.call("POST", path, body=encode(body), headers={"content-type": "application/json"})
        check_reply(reply.status, reply.body, self._caller.url)
        return reply.body


def put(caller: Caller, data: bytes, told: Acknowledged) -> None:
    """Put a blob, and know it when that was acknowledged."""
    digest = digest_of(data)
    reply = caller.call("PUT", f"{PREFIX}/blobs/{digest}", body=data)
    check_reply(reply.status, reply.body, caller.url)
    with told.lock:
        told.blobs.add(digest)

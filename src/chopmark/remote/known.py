"""What a server said of the versions that were loaded, kept for when it does not answer.

::

    cache_dir/
      known/SCOPE/MODEL/ANSWER.json     one answer each; the mtime is when it was given

A scope is a server and who asks it, so nobody is told what somebody else was. Every answer carries a MAC whose key is the token: who
may write to the directory and has no token cannot make one. Anything can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from chopmark.base.clock import Clock
from chopmark.base.digest import PREFIX
from chopmark.base.ids import random_bytes
from chopmark.base.jsons import decode, encode
from chopmark.domain.refs import Ref, parse_ref
from chopmark.domain.versions import Version
from chopmark.errors import ChopmarkError, InvalidRequest
from chopmark.ops.requests import GetManifest, GetTrust, GetVersion, Request
from chopmark.ops.table import BY_REQUEST

__all__ = ["Known", "KnownAnswers", "is_moving"]

ANSWERS_MAX = 5_000
BYTES_MAX = 64 << 20
_ANSWER_BYTES_MAX = 4 << 20
_SWEPT_AFTER = 64
_WRITTEN_AGAIN_S = 60.0
_REMEMBERED_MAX = 4_096
_EXACT = ("number", "semver", "digest")
_AHEAD_MAX = timedelta(minutes=5)


class _Head(msgspec.Struct, frozen=True):
    at: datetime
    op: str
    ref: str


class Known(NamedTuple):
    """An answer that was given before, and when."""

    answer: Any
    at: datetime


class KnownAnswers:
    """Answers of one server to one caller, on the disk of this machine.

    What moves (an alias, a stage, the latest, a trust decision) is known for some time only; a version by its number, SemVer or
    digest as long as there is room.

    Parameters
    ----------
    directory
        The local cache.
    url, token
        The server, and who asks it.
    clock
        Where the time comes from.
    moving_for
        For so long after an answer what moves is known.
    """

    def __init__(self, directory: Path, url: str, token: str, *, clock: Clock, moving_for: timedelta) -> None:
        self._root = directory / "known"
        self._secret = token.encode()
        self._scope = self._root / _name(url, token)
        self._clock = clock
        self._moving_for = moving_for
        self._lock = threading.Lock()
        self._written: dict[Path, tuple[int, float]] = {}
        self._unswept = _SWEPT_AFTER  # so that the first write looks, too
        self._unswept_bytes = 0

    def remember(self, request: Request, answer: object) -> None:
        """Keep the answer to a request, if it is one that a load asks; a disk that does not take it is no failure."""
        place = self._place(request)
        if place is None or _is_deleted(answer):
            return
        body = encode(answer)
        told, now_s = hash(body), time.monotonic()
        with self._lock:
            before = self._written.get(place)
            if before is not None and before[0] == told and now_s - before[1] < _WRITTEN_AGAIN_S:
                return
            if len(self._written) >= _REMEMBERED_MAX:
                self._written.clear()
            self._written[place] = (told, now_s)
        if len(body) > _ANSWER_BYTES_MAX:
            return
        head = encode(_Head(self._clock(), BY_REQUEST[type(request)].name, request.ref))  # type: ignore[attr-defined]
        with suppress(OSError):
            self._write(place, head + b"\n" + body)

    def find(self, request: Request) -> Known | None:
        """What was answered to a request, when it still counts; None when nothing was, or too long ago."""
        place = self._place(request)
        if place is None:
            return None
        ref = parse_ref(request.ref)  # type: ignore[attr-defined]
        op = BY_REQUEST[type(request)]
        found = self._read(place, op.name, op.result)
        if found is None and isinstance(request, GetVersion) and ref.kind in _EXACT:
            found = self._version(place.parent, ref)
        if found is None or not self._counts(found, moves=is_moving(request)):
            return None
        return found

    def forget(self, request: Request) -> None:
        """Know no more of what a request was answered, nor of the version that this was, under any name."""
        place = self._place(request)
        if place is None:
            return
        ref = parse_ref(request.ref)  # type: ignore[attr-defined]
        named = self._read(place, BY_REQUEST[GetVersion].name, Version)
        gone = {named.answer.ref} if named is not None else set()
        for file in _files(place.parent):
            known = self._read(file, BY_REQUEST[GetVersion].name, Version)
            if known is not None and ref.kind in _EXACT and _is_meant(known.answer, ref):
                gone.add(known.answer.ref)
        self._remove([place, *(file for file in _files(place.parent) if self._tells_of(file, gone))])

    def forget_model(self, request: Request) -> None:
        """Know no more of the model that a request names."""
        model = _model_of(request)
        if model:
            self._remove(_files(self._scope / _name(model)))

    def forget_all(self) -> None:
        """Know nothing more of this server."""
        self._remove(_files(self._scope))

    def _tells_of(self, file: Path, refs: Collection[str]) -> bool:
        told = self._told(file)
        if told is None or told[0].ref in refs:
            return True
        return told[0].op == BY_REQUEST[GetVersion].name and decode(told[1], Version).ref in refs

    def _place(self, request: Request) -> Path | None:
        """Where the answer to a request is kept; None for one that no load asks."""
        match request:
            case GetVersion(deleted=False) | GetManifest() | GetTrust():
                model = _model_of(request)
                name = _name(type(request).__name__, request.ref)
                return self._scope / _name(model) / f"{name}.json" if model else None
            case _:
                return None

    def _counts(self, known: Known, *, moves: bool) -> bool:
        age = self._clock() - known.at
        return not moves or -_AHEAD_MAX <= age <= self._moving_for

    def _version(self, directory: Path, ref: Ref) -> Known | None:
        """The version of that number, SemVer or digest among all that were answered of a model, under whatever name."""
        known = (self._read(file, BY_REQUEST[GetVersion].name, Version) for file in _files(directory))
        meant = [each for each in known if each is not None and _is_meant(each.answer, ref)]
        if len({each.answer.id for each in meant}) != 1:
            return None
        return max(meant, key=lambda each: each.at)

    def _write(self, place: Path, told: bytes) -> None:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = place.with_name(f".{place.name}.{random_bytes(6).hex()}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._mac(told) + b"\n" + told)
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
        with self._lock:
            self._unswept += 1
            self._unswept_bytes += len(told)
            if self._unswept < _SWEPT_AFTER and self._unswept_bytes < _ANSWER_BYTES_MAX:
                return
            self._unswept = self._unswept_bytes = 0
        _sweep(self._root)

    def _read(self, place: Path, op: str, kind: type) -> Known | None:
        told = self._told(place)
        if told is None or told[0].op != op:
            return None
        try:
            return Known(decode(told[1], kind), told[0].at)
        except ChopmarkError:  # of another release
            return None

    def _told(self, place: Path) -> tuple[_Head, bytes] | None:
        """What a file says, if it was written by who has the token."""
        try:
            mac, _, told = place.read_bytes().partition(b"\n")
        except OSError:
            return None
        if not hmac.compare_digest(mac, self._mac(told)):
            return None
        head, _, body = told.partition(b"\n")
        return decode(head, _Head), body

    def _mac(self, told: bytes) -> bytes:
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest().encode()

    def _remove(self, files: Iterable[Path]) -> None:
        for file in list(files):
            with suppress(OSError):
                file.unlink()
            with self._lock:
                self._written.pop(file, None)


def is_moving(request: Request) -> bool:
    """Whether the answer to the same request may be another tomorrow: an alias moves, trust is taken back."""
    return isinstance(request, GetTrust) or parse_ref(request.ref).kind not in _EXACT  # type: ignore[attr-defined]


def _model_of(request: Request) -> str:
    """The model that a request names; empty when it names none."""
    texts = (str(getattr(request, name, "") or "") for name in ("model", "ref", "alias"))
    text = next(filter(None, texts), "")
    try:
        return str(parse_ref(text).model) if text else ""
    except InvalidRequest:
        return ""


def _is_meant(version: Version, ref: Ref) -> bool:
    match ref.kind:
        case "number":
            return version.number == int(ref.value)
        case "semver":
            return str(version.semver) == ref.value
        case _:
            return version.digest.removeprefix(PREFIX).startswith(ref.value.removeprefix(PREFIX))


def _is_deleted(answer: object) -> bool:
    return isinstance(answer, Version) and (answer.deleted_at is not None or answer.state != "ready")


def _name(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]


def _files(directory: Path) -> Iterator[Path]:
    """Answers below a directory."""
    yield from directory.rglob("*.json")


def _sweep(root: Path) -> None:
    """Remove the oldest answers, of whichever server, until what is left is within the limits."""
    found = []
    for file in root.rglob("*.json*"):
        with suppress(OSError):
            stat = file.stat()
            found.append((stat.st_mtime, stat.st_size, file))
    found.sort(key=lambda each: each[0], reverse=True)
    total = 0
    for kept, (_, size_bytes, file) in enumerate(found):
        total += size_bytes
        if kept >= ANSWERS_MAX or total > BYTES_MAX:
            with suppress(OSError):
                file.unlink()

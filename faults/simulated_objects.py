"""An object store that is simulated: what obstore's functions do, in memory, with faults at every request.

A request may be refused, may take effect although its answer is lost, may be repeated by the client and so done twice, may
be cut off in the middle (a store that shows cut uploads: a gateway over a file system), and a listing may be older than
what was just written. All of it is drawn from the schedule's seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from faults.simulated_turns import Turns

__all__ = ["FUNCTIONS", "Bucket", "Deletion", "Objects", "Stored", "Weather"]

T = TypeVar("T")
_Page = list[dict[str, Any]]
LATEST_POINTS = 100
TIMED_OUT = "simulated: operation timed out"


class Stored(NamedTuple):
    """An object."""

    data: bytes
    modified_at: datetime


class Deletion(NamedTuple):
    """An object that was deleted: by which process, what it was, and when that process had last asked for its age."""

    key: str
    process: str
    stored: Stored
    looked_at: datetime


class _Change(NamedTuple):
    at_point: int
    at: datetime
    key: str
    before: Stored | None
    is_put: bool


@dataclass
class Weather:
    """How probable each fault of a request is; zero is a fine day.

    Attributes
    ----------
    refused, answer_lost, doubled
        It does not reach the store; it is done and fails all the same; it is done twice, others coming between.
    torn, torn_repeated
        An upload is cut off and what came through is shown; how many of those the client's library repeats by itself.
    late
        It fails for the client, and is done by the store some time later.
    stale_listing, stale_points
        A listing leaves out some of what happened within so many points.
    kill
        The process dies instead.
    """

    refused: float = 0.0
    answer_lost: float = 0.0
    doubled: float = 0.0
    torn: float = 0.0
    torn_repeated: float = 0.0
    late: float = 0.0
    stale_listing: float = 0.0
    kill: float = 0.0
    stale_points: float = 30


@dataclass
class Bucket:
    """Objects by key, and how they came to be."""

    objects: dict[str, Stored] = field(default_factory=dict)
    changes: list[_Change] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    looked: dict[tuple[str, str], datetime] = field(default_factory=dict)
    served_stale: bool = False

    def written_until(self, key: str, until: datetime) -> datetime | None:
        """When a blob had last been put by then, itself or again; None when it was not there."""
        keys = (key, key + ".touched")
        return max((c.at for c in self.changes if c.is_put and c.key in keys and c.at <= until), default=None)


class Objects:
    """What `chopmark.blobs.objects.connect` gives, over a simulated bucket.

    Parameters
    ----------
    bucket, prefix
        Where; keys of callers are below the prefix.
    turns, rng, weather
        The schedule: whose turn it is, and what goes wrong.
    """

    def __init__(self, bucket: Bucket, prefix: str, turns: Turns, rng: random.Random, weather: Weather) -> None:
        self._bucket = bucket
        self._prefix = prefix.rstrip("/") + "/"
        self._turns = turns
        self._rng = rng
        self._weather = weather

    def put(self, path: str, file: Any, *, mode: Any = "overwrite", **_: object) -> dict[str, Any]:
        """As ``obstore.put``."""
        data = _content(file)
        key = self._prefix + path

        def effect() -> dict[str, Any]:
            if mode == "create" and key in self._bucket.objects:
                raise _error("AlreadyExistsError", f"{path} exists")
            self._store(key, data)
            return {"e_tag": None, "version": None}

        return self._request(f"put {path} ({len(data)} bytes, {mode})", effect, torn=self._torn(key, data))

    def head(self, path: str) -> dict[str, Any]:
        """As ``obstore.head``."""
        return self._request(f"head {path}", lambda: self._meta(self._prefix + path))

    def get(self, path: str, **_: object) -> _Result:
        """As ``obstore.get``."""
        return _Result(self._request(f"get {path}", lambda: self._found(self._prefix + path).data))

    def get_range(self, path: str, *, start: int, end: int | None = None, length: int | None = None) -> bytes:
        """As ``obstore.get_range``."""
        stop = end if end is not None else start + (length or 0)
        return self._request(f"get {path} {start}-{stop}", lambda: self._found(self._prefix + path).data[start:stop])

    def delete(self, paths: Any) -> None:
        """As ``obstore.delete``, which on S3 accepts what is not there."""
        for path in [paths] if isinstance(paths, str) else list(paths):
            self._request(f"delete {path}", lambda path=path: self._remove(self._prefix + path))  # type: ignore[misc]

    def list(self, prefix: str | None = None, *, chunk_size: int = 50, **_: object) -> Iterator[_Page]:
        """As ``obstore.list``: pages in order of keys, each as the store is when it is asked for."""
        folder = self._prefix + (prefix.rstrip("/") + "/" if prefix else "")
        last = ""
        while True:
            page = self._request(f"list {prefix or ''} after {last!r}", lambda last=last: self._page(folder, last))  # type: ignore[misc]
            page = page[:chunk_size]
            if not page:
                return
            last = page[-1]["path"]
            yield page
            if len(page) < chunk_size:
                return

    def _page(self, folder: str, last: str) -> _Page:
        objects = self._bucket.objects
        if self._weather.stale_listing and self._rng.random() < self._weather.stale_listing:
            objects = self._earlier()
        size = len(self._prefix)
        keys = sorted(k for k in objects if k.startswith(folder) and k[size:] > last)
        return [_meta(key[size:], objects[key]) for key in keys]

    def _earlier(self) -> dict[str, Stored]:
        """The objects with some of the last changes not shown yet."""
        shown = dict(self._bucket.objects)
        since = self._turns.points - self._weather.stale_points
        hidden: set[str] = set()
        for change in reversed(self._bucket.changes):
            if change.at_point < since:
                break
            if self._rng.random() < 0.5 or change.key in hidden:
                hidden.add(change.key)
                self._bucket.served_stale = True
                if change.before is None:
                    shown.pop(change.key, None)
                else:
                    shown[change.key] = change.before
        return shown

    def _request(self, what: str, effect: Callable[[], T], *, torn: Callable[[], None] | None = None) -> T:
        self._turns.point(what)
        weather, drawn = self._weather, self._rng.random()
        if self._turns.current is None:  # nothing goes wrong before and after a schedule
            return effect()
        if drawn < weather.kill:
            self._turns.kill()
        drawn -= weather.kill
        if drawn < weather.refused:
            raise self._failed(what, "does not reach the store")
        drawn -= weather.refused
        if drawn < weather.answer_lost:
            effect()
            raise self._failed(what, "is done, and its answer lost")
        drawn -= weather.answer_lost
        if drawn < weather.doubled:
            effect()
            self._turns.point(f"{what}, once more")
            return effect()
        drawn -= weather.doubled
        if drawn < weather.late:
            self._turns.later(self._rng.randint(1, LATEST_POINTS), effect)
            raise self._failed(what, "is on its way still")
        drawn -= weather.late
        if torn is not None and drawn < weather.torn:
            torn()
            if self._rng.random() < weather.torn_repeated:
                self._turns.point(f"{what}, once more after it was cut off")
                return effect()
            raise self._failed(what, "is cut off")
        return effect()

    def _failed(self, what: str, how: str) -> Exception:
        self._turns.tell(f"{what} {how}")
        return _error("GenericError", TIMED_OUT)

    def _torn(self, key: str, data: bytes) -> Callable[[], None] | None:
        """Only blobs: a store without atomic puts is out of what records are made for."""
        known = self._bucket.objects.get(key)
        if not data or "/blobs/" not in key or (known is not None and known.data == data):
            return None
        return lambda: self._store(key, data[: int(self._rng.random() * len(data))])

    def _store(self, key: str, data: bytes) -> None:
        self._note(key, is_put=True)
        self._bucket.objects[key] = Stored(data, self._turns.now)

    def _remove(self, key: str) -> None:
        known = self._bucket.objects.get(key)
        if known is None:
            return
        self._note(key, is_put=False)
        del self._bucket.objects[key]
        process = self._turns.current.process if self._turns.current else ""
        looked = self._bucket.looked.get((process, key + ".touched"), self._turns.now)
        self._bucket.deletions.append(Deletion(key, process, known, looked))

    def _note(self, key: str, *, is_put: bool) -> None:
        before = self._bucket.objects.get(key)
        self._bucket.changes.append(_Change(self._turns.points, self._turns.now, key, before, is_put))

    def _found(self, key: str) -> Stored:
        stored = self._bucket.objects.get(key)
        if stored is None:
            raise FileNotFoundError(f"simulated: {key} not found")
        return stored

    def _meta(self, key: str) -> dict[str, Any]:
        if self._turns.current is not None:
            self._bucket.looked[self._turns.current.process, key] = self._turns.now
        return _meta(key[len(self._prefix) :], self._found(key))


class _Result:
    """What ``obstore.get`` gives."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def bytes(self) -> bytes:
        """The content."""
        return self._data


def _meta(path: str, stored: Stored) -> dict[str, Any]:
    return {"path": path, "size": len(stored.data), "last_modified": stored.modified_at, "e_tag": None, "version": None}


def _content(file: Any) -> bytes:
    if isinstance(file, bytes | bytearray | memoryview):
        return bytes(file)
    if hasattr(file, "read"):
        return bytes(file.read())
    return b"".join(bytes(piece) for piece in file)


def _error(kind: str, text: str) -> Exception:
    from obstore import exceptions

    error: Exception = getattr(exceptions, kind)(text)
    return error


FUNCTIONS = ("put", "head", "get", "get_range", "delete", "list")
"""Functions of obstore that have a simulated twin, by name."""

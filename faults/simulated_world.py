"""The world of one schedule, and the seams by which the real code is put into it.

`installed` replaces, while it lasts: obstore's functions for simulated clients of a store; in `chopmark.wiring` what opens
stores, records and catalogs; threads of the product by the calling one; background work by a client of the schedule;
identifiers, pauses and jitter by the schedule's seed. Everything else is the product as it is.
"""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from unittest.mock import patch

import obstore
from msgspec import structs

from chopmark import wiring
from chopmark.app import recording
from chopmark.base.ids import uuid7
from chopmark.base.settings import Resolved, load_settings
from chopmark.blobs import remote
from chopmark.blobs.objects import Limits
from chopmark.blobs.records import ObjectRecords
from chopmark.blobs.remote import ObjectStore
from chopmark.sdk import draft, restoring
from chopmark.sdk.registry import Registry
from faults.simulated_catalog import DatabaseWeather, SimulatedCatalog
from faults.simulated_objects import FUNCTIONS, Bucket, Objects, Weather
from faults.simulated_turns import Threads, Turns

__all__ = ["MAIN", "World", "installed"]

MAIN = "main"
"""Name of the registry that the clients share."""

MULTIPART = 0.2
_RESOLVED = load_settings({"progress": "never", "url": "."}, environ={})


class World:
    """All that one schedule's clients share.

    Parameters
    ----------
    rng
        Of the schedule.
    threads
        To run clients in.
    staging
        A directory in memory for bytes on their way.
    told
        Takes each step as text.

    Attributes
    ----------
    skews
        How much each process's clock is ahead.
    """

    def __init__(
        self,
        rng: random.Random,
        threads: Threads,
        staging: Path,
        *,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.rng = rng
        self.turns = Turns(rng, threads, stay=rng.choice((0.3, 0.6, 0.9)), told=told)
        self.weather = Weather()
        self.database_weather = DatabaseWeather()
        self.bucket = Bucket()
        self.staging = staging
        # Where blobs of a few bytes go up in parts, as large ones do.
        self.limits = Limits(multipart_from_bytes=8, part_bytes=4) if rng.random() < MULTIPART else Limits()
        self.skews: dict[str, timedelta] = {}
        self._catalogs: dict[str, SimulatedCatalog] = {}
        self._recorders = 0

    def catalog(self, name: str) -> SimulatedCatalog:
        """The catalog of a registry, made when it is first opened."""
        found = self._catalogs.get(name)
        if found is None:
            found = self._catalogs[name] = SimulatedCatalog(self.turns, self.rng, self.database_weather)
        return found

    def clear_sky(self) -> None:
        """Let nothing go wrong from now on."""
        self.weather.__dict__.update(Weather().__dict__)
        self.database_weather.__dict__.update(DatabaseWeather().__dict__)

    def clock(self) -> datetime:
        """The time as the process that has the turn sees it."""
        fiber = self.turns.current
        return self.turns.now + self.skews.get(fiber.process if fiber else "", timedelta())

    def resolved(self, name: str, actor: str, *, store_url_of: str = "", **settings: Any) -> Resolved:
        """Settings of a registry in this world; its store is another's when ``store_url_of`` names that."""
        place = f"s3://{store_url_of or name}/r"
        changed = structs.replace(
            _RESOLVED.settings, database_url=f"simulated://{name}", store_url=place, actor=actor, **settings
        )
        return Resolved(changed, _RESOLVED.origins)

    def open(self, name: str, actor: str, **settings: Any) -> Registry:
        """Open a registry as `chopmark.open` does."""
        resolved = self.resolved(name, actor, **settings)
        return Registry(wiring.connect(resolved, clock=self.clock), resolved.settings)

    def restore(self, backup: str, name: str) -> Any:
        """Restore as `chopmark.restore` does."""
        return restoring.restore_registry(backup, name, clock=self.clock)

    # What replaces the parts of the product that reach the outside.

    def open_store(self, url: str, **_: object) -> ObjectStore:
        """In place of `chopmark.blobs.open_store`."""
        objects: Any = self._objects(url)
        return ObjectStore(objects, url, limits=self.limits, staging=self.staging)

    def open_records(self, url: str, **_: object) -> ObjectRecords:
        """In place of `chopmark.blobs.records.open_records`."""
        objects: Any = self._objects(url)
        return ObjectRecords(objects, url)

    def open_catalog(self, url: str, **_: object) -> SimulatedCatalog:
        """In place of `chopmark.catalog.open_catalog`."""
        return self.catalog(url.removeprefix("simulated://"))

    def new_id(self, now: datetime) -> uuid.UUID:
        """In place of `chopmark.base.ids.uuid7`."""
        return uuid7(now, self.rng.randbytes)

    def pause(self, seconds: float) -> None:
        """In place of `time.sleep`."""
        self.turns.now += timedelta(seconds=seconds)
        self.turns.point("pauses")

    def spawn(self, work: Callable[[], None]) -> None:
        """Let background work of the calling process be a client of its own."""
        fiber = self.turns.current
        if fiber is not None:
            self._recorders += 1
            self.turns.add(f"{fiber.process}'s background {self._recorders}", fiber.process, work)

    def _objects(self, url: str) -> Objects:
        prefix = url.removeprefix("s3://")
        return Objects(self.bucket, prefix, self.turns, self.rng, self.weather)


class _InBackground:
    """`chopmark.base.deferred.Deferred` whose turn comes when the schedule says so."""

    def __init__(self, world: World, action: Callable[[], None]) -> None:
        self._world = world
        self._action = action
        self._waits = False

    def ask(self) -> None:
        """Ask for the action."""
        if not self._waits:
            self._waits = True
            self._world.spawn(self.flush)

    def flush(self) -> None:
        """Do what waits."""
        if self._waits:
            self._waits = False
            self._action()

    def close(self) -> None:
        """Do what waits."""
        self.flush()


class _InTurn:
    """`concurrent.futures.ThreadPoolExecutor` in the calling thread: all that is submitted is done, then its errors told."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Do it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - told by the future, as a pool does
            future.set_exception(error)
        return future

    def map(self, work: Callable[..., Any], *values: Iterable[Any], **_: object) -> Iterator[Any]:
        """Do all now; the results in order."""
        futures = [self.submit(work, *each) for each in zip(*values, strict=False)]
        return (future.result() for future in futures)

    def shutdown(self, **_: object) -> None:
        """Nothing is left."""


@contextmanager
def installed(world: Callable[[], World]) -> Iterator[None]:
    """Put the product into simulated worlds while the block lasts; ``world`` says which one it is just now."""
    with ExitStack() as stack:
        for name in FUNCTIONS:
            stack.enter_context(patch.object(obstore, name, _either(getattr(obstore, name), name)))
        replaced: dict[str, Any] = {
            "open_store": lambda *given, **named: world().open_store(*given, **named),
            "open_records": lambda *given, **named: world().open_records(*given, **named),
            "open_catalog": lambda *given, **named: world().open_catalog(*given, **named),
            "uuid7": lambda *given: world().new_id(*given),
            "Deferred": lambda action, _: _InBackground(world(), action),
        }
        for name, substitute in replaced.items():
            stack.enter_context(patch.object(wiring, name, substitute))
        # For the whole block: two that restore in turns would undo a patch of their own in the wrong order.
        stack.enter_context(
            patch.object(restoring, "load_settings", lambda given: world().resolved(given["url"], "restorer"))
        )
        pauses = SimpleNamespace(sleep=lambda *given: world().pause(*given))
        jitter = SimpleNamespace(uniform=lambda low, high: world().rng.uniform(low, high))  # noqa: PLW0108 - each schedule has another world
        for module in (remote, draft):
            stack.enter_context(patch.object(module, "time", pauses))
            stack.enter_context(patch.object(module, "random", jitter))
        # Segments are put together after every few events, as after many in a long life.
        stack.enter_context(patch.object(recording, "EVENTS_MERGED", 4))
        for module in _users_of(ThreadPoolExecutor):
            stack.enter_context(patch.object(module, "ThreadPoolExecutor", _InTurn))
        yield


def _users_of(pool: type) -> list[Any]:
    modules: Mapping[str, Any] = dict(sys.modules)
    found = [module for name, module in modules.items() if name.startswith("chopmark.")]
    return [module for module in found if getattr(module, "ThreadPoolExecutor", None) is pool]


def _either(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(objects: Any, *given: Any, **named: Any) -> Any:
        if isinstance(objects, Objects):
            return getattr(objects, name)(*given, **named)
        return real(objects, *given, **named)

    return call

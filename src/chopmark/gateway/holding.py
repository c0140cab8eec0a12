"""Loaded versions: loaded once, shared, and let go some time after nobody is sent to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from chopmark.domain.endpoints import EndpointConfig
from chopmark.domain.traffic import PinnedVersion
from chopmark.errors import ChopmarkError
from chopmark.gateway.execution import Execution
from chopmark.gateway.telling import LOGGER

if TYPE_CHECKING:
    from chopmark.gateway.chat.chat import Chat

__all__ = ["Held", "HeldKey", "Holding", "Load", "key_of"]

Load = Callable[[PinnedVersion, EndpointConfig], Awaitable["Execution | Chat"]]
"""Loads a version, tries it on a sample, and gives what runs it; of a language model, what asks it."""

RETRY_FIRST_S, RETRY_MAX_S = 2.0, 300.0
DRAIN_S = 30.0


class HeldKey(NamedTuple):
    """A version, and how it is run."""

    version_id: UUID
    execution: str
    queue_max: int
    batch_rows_max: int
    memory_mib_max: int


def key_of(version: PinnedVersion, config: EndpointConfig) -> HeldKey:
    """Endpoints that run a version alike share it."""
    return HeldKey(version.id, config.execution, config.queue_max, config.batch_rows_max, config.memory_mib_max)


@dataclass(slots=True)
class Held:
    """A loaded version. ``in_flight`` counts the requests that it works on."""

    version: PinnedVersion
    running: Execution | Chat
    in_flight: int = 0
    kept_s: float = 0.0
    unneeded_since_s: float | None = None


@dataclass(slots=True)
class _Failure:
    why: str
    times: int
    again_s: float


@dataclass(slots=True)
class Holding:
    """What is loaded.

    Parameters
    ----------
    load
        How a version is loaded.
    now
        Seconds, going up.
    """

    load: Load
    now: Callable[[], float]
    _held: dict[HeldKey, Held] = field(default_factory=dict)
    _loading: dict[HeldKey, asyncio.Task[None]] = field(default_factory=dict)
    _failed: dict[HeldKey, _Failure] = field(default_factory=dict)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)
    _is_closed: bool = False

    def get(self, key: HeldKey) -> Held | None:
        """A version that is loaded; None while it is not."""
        return self._held.get(key)

    def works_on(self, version_id: UUID) -> bool:
        """Whether requests to a version have yet to end."""
        return any(held.in_flight for key, held in self._held.items() if key.version_id == version_id)

    def why_failed(self, key: HeldKey) -> str:
        """Why it could not be loaded the last time; empty when it was, or was not tried."""
        failure = self._failed.get(key)
        return failure.why if failure is not None else ""

    def want(self, version: PinnedVersion, config: EndpointConfig, done: Callable[[], None]) -> None:
        """Begin to load a version unless it is loaded, being loaded, or has just failed; ``done`` is called when that has ended."""
        if self._is_closed:
            return
        key = key_of(version, config)
        failure = self._failed.get(key)
        if key in self._held or key in self._loading or (failure is not None and self.now() < failure.again_s):
            return
        task = asyncio.get_running_loop().create_task(self._loaded(key, version, config, done))
        self._loading[key] = task

    async def _loaded(
        self, key: HeldKey, version: PinnedVersion, config: EndpointConfig, done: Callable[[], None]
    ) -> None:
        try:
            self._held[key] = Held(version, await self.load(version, config))
            self._failed.pop(key, None)
            LOGGER.info("Loaded %s: %s.", version.ref, self._held[key].running.words)
        except Exception as error:  # noqa: BLE001 - a model's own code may raise anything; it is told, and the others are served
            why = (
                f"{error.message} {error.hint}".strip()
                if isinstance(error, ChopmarkError)
                else f"{type(error).__name__}: {error}"
            )
            times = self._failed[key].times + 1 if key in self._failed else 1
            self._failed[key] = _Failure(why, times, self.now() + min(RETRY_FIRST_S * 2 ** (times - 1), RETRY_MAX_S))
            LOGGER.error("%s is not loaded: %s", version.ref, why)
        finally:
            self._loading.pop(key, None)
            done()

    def release(self, needed: Mapping[HeldKey, float]) -> None:
        """Let go of what nobody has needed for some time, and nobody waits for.

        Parameters
        ----------
        needed
            What the routing, and the tables in force, send to; and how many seconds each stays after that.
        """
        for key in [k for k in self._failed if k not in needed]:
            del self._failed[key]
        for key, held in list(self._held.items()):
            if key in needed:
                held.unneeded_since_s, held.kept_s = None, needed[key]
            elif held.unneeded_since_s is None:
                held.unneeded_since_s = self.now()
            elif held.in_flight == 0 and self.now() - held.unneeded_since_s >= held.kept_s:
                del self._held[key]
                self._close(held)

    def _close(self, held: Held) -> None:
        task = asyncio.get_running_loop().create_task(_closed(held))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Stop loading, and let go of everything once it has ended what it works on."""
        self._is_closed = True
        for task in list(self._loading.values()):
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        for held in self._held.values():
            self._close(held)
        self._held.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)


async def _closed(held: Held) -> None:
    LOGGER.info("Letting go of %s.", held.version.ref)
    with contextlib.suppress(Exception):
        await held.running.close(DRAIN_S)

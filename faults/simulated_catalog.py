"""A catalog whose transactions begin and end at points of a schedule, and may fail there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from chopmark.abc.catalog import Transaction
from chopmark.errors import Unavailable
from chopmark.testing.memory_catalog import MemoryCatalog
from faults.simulated_turns import Turns

__all__ = ["Commit", "DatabaseWeather", "SimulatedCatalog"]


@dataclass
class DatabaseWeather:
    """How probable it is that a commit is refused, that it is done and its answer lost, that its client is killed."""

    refused: float = 0.0
    answer_lost: float = 0.0
    kill: float = 0.0


@dataclass
class Commit:
    """A transaction that was committed: by which client, while it did what, and which events it added."""

    client: str
    doing: object
    first_event: int
    last_event: int


class SimulatedCatalog:
    """`chopmark.abc.catalog.Catalog`: the double of `chopmark.testing`, one for all clients of a schedule.

    Like SQLite it has one writer at a time, and readers that see one moment. A client that dies within a transaction
    leaves nothing of it; one that dies after the commit leaves all of it and knows of nothing.
    """

    def __init__(self, turns: Turns, rng: random.Random, weather: DatabaseWeather) -> None:
        self.inner = MemoryCatalog()
        self.commits: list[Commit] = []
        self.doing: dict[str, object] = {}
        self._turns = turns
        self._rng = rng
        self._weather = weather
        self._is_written = False

    def reading(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        self._turns.point("reads the catalog")
        return self.inner.reading()

    def reading_now(self) -> None:
        """See the interface: here everything is waited for."""
        return

    @contextmanager
    def _writing(self) -> Iterator[Transaction]:
        self._turns.point("wants to write")
        self._turns.wait_until(lambda: not self._is_written, "begins a transaction")
        self._is_written = True
        try:
            events = self.length()
            with self.inner.writing() as tx:
                yield tx
                self._before_commit()
            name = self._turns.current.name if self._turns.current else ""
            self.commits.append(Commit(name, self.doing.get(name), events + 1, self.length()))
            self._turns.tell(f"has committed, up to event {self.length()}")
            self._after_commit()
        finally:
            self._is_written = False

    def writing(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        return self._writing()

    def close(self) -> None:
        """The clients share it, and the next one opens it again."""

    def length(self) -> int:
        """Events of the audit so far."""
        return len(self.inner._state.audit)  # noqa: SLF001 - the double is open to its tests

    def _before_commit(self) -> None:
        self._turns.point("commits")
        drawn = self._rng.random() if self._turns.current else 1.0
        if drawn < self._weather.kill:
            self._turns.kill()
        if drawn < self._weather.kill + self._weather.refused:
            self._turns.tell("the commit is refused")
            raise Unavailable("simulated: the database does not answer.")

    def _after_commit(self) -> None:
        drawn = self._rng.random() if self._turns.current else 1.0
        if drawn < self._weather.kill:
            self._turns.kill()
        if drawn < self._weather.kill + self._weather.answer_lost:
            self._turns.tell("the answer of the commit is lost")
            raise Unavailable("simulated: the answer of the database was lost.")
        self._turns.point("has its answer")

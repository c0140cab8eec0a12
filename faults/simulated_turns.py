"""Who goes on: real synchronous code of several clients, one at a time, in an order that a seed decides.

Each client runs in a thread of its own and gives its turn away at every request to the object store and at the beginning
and end of every transaction. Between two such points nobody else runs, so a schedule is a list of choices and nothing else.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

__all__ = ["Deadlock", "Fiber", "Killed", "Threads", "Turns"]

POINTS_MAX = 20_000
"""So many in one schedule mean that clients keep each other busy and none comes to an end."""


class Killed(BaseException):
    """Ends a client as a kill does: no handler of the product catches it, and no effect follows it."""


class Deadlock(Exception):
    """Every client waits for another one, or none ever ends."""


class _Thread:
    """A thread that runs one piece of work after the other, when its turn comes."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.work: Callable[[], None] | None = None
        threading.Thread(target=self._loop, daemon=True, name="simulated").start()

    def _loop(self) -> None:
        while True:
            self.turn.acquire()
            if self.work is None:
                return
            self.work()


class Threads:
    """Threads that are used again by the next schedule: starting one costs more than a short schedule."""

    def __init__(self) -> None:
        self._free: list[_Thread] = []

    def take(self) -> _Thread:
        """A thread that waits for work."""
        return self._free.pop() if self._free else _Thread()

    def give(self, thread: _Thread) -> None:
        """Keep a thread whose work has ended."""
        self._free.append(thread)

    def close(self) -> None:
        """End those that are free."""
        for thread in self._free:
            thread.work = None
            thread.turn.release()
        self._free.clear()


class Fiber:
    """A client's thread of control.

    Attributes
    ----------
    name, process
        Of the client, and of the process that it dies with.
    """

    def __init__(self, name: str, process: str, thread: _Thread) -> None:
        self.name = name
        self.process = process
        self.thread = thread
        self.waits_for: Callable[[], bool] | None = None


class Turns:
    """Gives the turn to one client at a time.

    Parameters
    ----------
    rng
        Decides who goes on.
    threads
        To run clients in.
    stay
        Probability that whoever has the turn keeps it; the rest is shared evenly.
    told
        Takes each step as text, for a schedule that is run again to be read; None costs nothing.

    Attributes
    ----------
    now
        The simulated time; goes on by itself, a little at each point.
    points
        How many there were.
    """

    def __init__(
        self, rng: random.Random, threads: Threads, *, stay: float, told: Callable[[str], None] | None = None
    ) -> None:
        self._rng = rng
        self._threads = threads
        self._stay = stay
        self._told = told
        self._fibers: list[Fiber] = []
        self._main = threading.Lock()
        self._main.acquire()
        self._failure: BaseException | None = None
        self._late: list[tuple[int, Callable[[], object]]] = []
        self.killed: set[str] = set()
        self.current: Fiber | None = None
        self.points = 0
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def add(self, name: str, process: str, work: Callable[[], None]) -> None:
        """Let a client take part; from within another one too."""
        fiber = Fiber(name, process, self._threads.take())

        def run() -> None:
            try:
                if process not in self.killed:
                    work()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - raised by `run`, in the thread of whoever asked
                self._failure = self._failure or error
            finally:
                self._ended(fiber)

        fiber.thread.work = run
        self._fibers.append(fiber)

    def later(self, points: int, effect: Callable[[], object]) -> None:
        """Do something some points later, as nobody: what was on its way when its client gave up."""
        self._late.append((self.points + points, effect))

    def run(self) -> None:
        """Run all clients to their end, and what is on its way after them.

        Raises
        ------
        Deadlock
            When no one can go on, or nobody ends.
        """
        while self._fibers and self._failure is None:
            self._hand_over(None)
        self._arrive(POINTS_MAX * 2)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self.killed.update(fiber.process for fiber in self._fibers)
            while self._fibers:
                self._hand_over(None)
            raise failure

    def point(self, what: str) -> None:
        """Let others come between; who was killed meanwhile ends here.

        Without a client (before and after the schedule) it only moves the clock.
        """
        self.now += timedelta(milliseconds=1)
        fiber = self.current
        if fiber is None:
            return
        self.points += 1
        if self._late:
            self._arrive(self.points)
        if self.points > POINTS_MAX:
            self._failure = self._failure or Deadlock(f"no end after {POINTS_MAX:,} points")
            self.killed.update(each.process for each in self._fibers)
        if fiber.process not in self.killed and self._rng.random() >= self._stay:
            self._hand_over(fiber)
        if fiber.process in self.killed:
            self.tell("is dead")
            raise Killed
        self.tell(what)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Go on when something holds, as seen at this client's turn."""
        fiber = self.current
        if fiber is None:
            return
        while not condition():
            fiber.waits_for = condition
            self._hand_over(fiber)
            fiber.waits_for = None
            if fiber.process in self.killed:
                raise Killed
        self.tell(what)

    def kill(self) -> None:
        """Kill the process of whoever has the turn: it and its siblings end at their next point."""
        if self.current is not None:
            self.killed.add(self.current.process)
            self.tell("is killed")
            raise Killed

    def tell(self, what: str) -> None:
        """Tell of a step, when somebody listens."""
        if self._told is not None:
            self._told(f"{self.now:%d %H:%M:%S.%f} {self.current.name if self.current else 'checker'}: {what}")

    def _arrive(self, until: int) -> None:
        known, self.current = self.current, None
        for due, effect in [each for each in self._late if each[0] <= until]:
            self._late.remove((due, effect))
            with suppress(Exception):  # an answer that nobody hears
                effect()
        self.current = known

    def _hand_over(self, fiber: Fiber | None) -> None:
        chosen = self._choose()
        if chosen is None:
            self._failure = self._failure or Deadlock("every client waits for another one")
            self.killed.update(each.process for each in self._fibers)
            return
        if chosen is fiber:
            return
        self.current = chosen
        chosen.thread.turn.release()
        (self._main if fiber is None else fiber.thread.turn).acquire()
        if fiber is None:
            self.current = None

    def _choose(self) -> Fiber | None:
        able = [f for f in self._fibers if f.waits_for is None or f.process in self.killed or f.waits_for()]
        if not able:
            return None
        return able[0] if len(able) == 1 else able[int(self._rng.random() * len(able))]

    def _ended(self, fiber: Fiber) -> None:
        """Called in the fiber's thread; whoever is next is woken by the main thread, which keeps this simple."""
        self._fibers.remove(fiber)
        self._threads.give(fiber.thread)
        self._main.release()

"""Group commit: writers of one process that wait at the same time share one durable commit.

A commit waits for the disk; the work before it does not. So threads that wait for the writer run
one after the other inside the transaction that is open, each in a savepoint of its own. The last
of them, or the one that fills the group, commits for all. Nobody returns before that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from chopmark.errors import InvalidRequest, TimedOut, Unavailable

__all__ = ["Group", "GroupCommit", "Journal"]

MEMBERS_MAX = 64
DURATION_MAX_S = 0.05


class Journal(Protocol):
    """One connection's transaction, as the group drives it."""

    def begin(self, timeout_s: float) -> None:
        """Take the right to write, and open a transaction."""
        ...

    def savepoint(self) -> None:
        """Open a savepoint."""
        ...

    def release(self) -> None:
        """Keep what was done since the savepoint.

        Raises `Unavailable` when the database has given up the whole transaction.
        """
        ...

    def undo(self) -> None:
        """Undo what was done since the savepoint; raises as `release` does."""
        ...

    def commit(self) -> None:
        """Commit durably, and give the right to write back, also when it fails."""
        ...

    def abandon(self) -> None:
        """Roll the transaction back, and give the right to write back."""
        ...


class Group:
    """Those who share one commit."""

    __slots__ = ("began_s", "done", "failure", "members", "turns")

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.done = threading.Event()
        self.failure: Exception | None = None
        self.members = 0
        self.turns = 0


class _Ticket:
    """A thread's place in the queue."""

    __slots__ = ("called",)

    def __init__(self) -> None:
        self.called = threading.Event()


class GroupCommit:
    """Gives the writer to one thread at a time, in order of arrival.

    Parameters
    ----------
    journal
        Transaction of the writer's connection; used by the thread whose turn it is.
    timeout_s
        How long a thread waits for its turn, and its process for the right to write.
    monotonic
        Clock for the length of a group.
    """

    def __init__(
        self,
        journal: Journal,
        timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._is_busy = False
        self._owner: int | None = None
        self._group: Group | None = None
        self.commits = 0

    def enter(self) -> None:
        """Wait for the turn, and open a savepoint.

        Raises
        ------
        TimedOut
            When the turn did not come in time.
        InvalidRequest
            When this thread has the turn already.
        """
        self._wait_for_turn()
        try:
            if self._group is None:
                self._journal.begin(self._timeout_s)
                self._group = Group(self._monotonic())
            self._journal.savepoint()
        except BaseException:
            self._give_up()
            raise
        self._owner = threading.get_ident()

    def leave(self, *, succeeded: bool) -> None:
        """End the turn; when the block succeeded, return after the durable commit.

        Raises
        ------
        Unavailable
            When the commit failed: nothing of the group was stored.
        """
        self._owner = None
        group = self._group
        assert group is not None  # noqa: S101 - enter() made it
        try:
            if succeeded:
                self._journal.release()
            else:
                self._journal.undo()
        except Exception as error:
            self._fail(group, error)
            raise
        group.members += succeeded
        group.turns += 1
        if self._next_may_join(group):
            if succeeded:
                group.done.wait()
        else:
            self._finish(group)
        if succeeded and group.failure is not None:
            raise _not_stored(group.failure) from group.failure

    def _wait_for_turn(self) -> None:
        if self._owner == threading.get_ident():
            msg = "This thread is inside writing() already, and would wait for itself."
            raise InvalidRequest(msg, hint="Use the transaction that is open.")
        with self._mutex:
            if not self._is_busy:
                self._is_busy = True
                return
            ticket = _Ticket()
            self._queue.append(ticket)
        try:
            if ticket.called.wait(self._timeout_s) or not self._step_out(ticket):
                return
        except BaseException:  # interrupted: the turn must not be lost with this thread
            if not self._step_out(ticket):
                self._give_up()
            raise
        msg = f"Other threads have been writing for {self._timeout_s:g} seconds, which is the limit."
        hint = "Keep slow work out of writing(), or raise the lock timeout in the settings."
        raise TimedOut(msg, hint=hint, timeout_s=self._timeout_s)

    def _step_out(self, ticket: _Ticket) -> bool:
        """Leave the queue; False when the turn has come meanwhile."""
        with self._mutex:
            if ticket.called.is_set():
                return False
            self._queue.remove(ticket)
            return True

    def _next_may_join(self, group: Group) -> bool:
        is_full = group.turns >= MEMBERS_MAX or self._monotonic() - group.began_s >= DURATION_MAX_S
        with self._mutex:
            if is_full or not self._queue:
                return False
            self._queue.popleft().called.set()
            return True

    def _finish(self, group: Group) -> None:
        self._group = None
        try:
            if group.members:
                self._journal.commit()
                self.commits += 1
            else:
                self._journal.abandon()
        except Exception as error:  # noqa: BLE001 - told to every member of the group
            group.failure = error
        finally:
            group.done.set()
            self._pass_on()

    def _fail(self, group: Group, error: Exception) -> None:
        """The whole transaction is gone, and with it what the others of the group did."""
        self._group = None
        group.failure = error
        try:
            self._journal.abandon()
        finally:
            group.done.set()
            self._pass_on()

    def _give_up(self) -> None:
        """The turn came and could not be used."""
        group = self._group
        if group is None:
            self._pass_on()
        else:
            self._finish(group)

    def _pass_on(self) -> None:
        with self._mutex:
            if self._queue:
                self._queue.popleft().called.set()
            else:
                self._is_busy = False


def _not_stored(failure: Exception) -> Exception:
    if isinstance(failure, Unavailable):
        return type(failure)(failure.message, hint=failure.hint, **failure.details)
    msg = "The commit failed, and nothing was stored."
    return Unavailable(msg, hint="Look at the cause, then try again.")

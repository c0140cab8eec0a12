"""Group commit: writers of one process that wait at the same time share one durable commit.

A commit waits for the disk; the work before it does not. So threads that wait for the writer run
one after the other inside the transaction that is open, each in a savepoint of its own. The last
of them, or the one that fills the group, commits for all. Nobody returns before that.

A `KeyboardInterrupt` can come between any two lines. So every step is such that `abort` can tell
from what is there how far it got, and put it right.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from chopmark.errors import InvalidRequest, TimedOut, Unavailable

__all__ = ["Group", "GroupCommit", "Journal", "Turn"]

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
        """Roll back what transaction there is, and give the right to write back if it was taken."""
        ...

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open: it was neither stored nor rolled back."""
        ...

    def close(self) -> None:
        """Close the connection, and open it again at the next `begin`."""
        ...


class Group:
    """Those who share one commit."""

    __slots__ = ("began_s", "done", "failure", "is_ending", "members", "turns")

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.done = threading.Event()
        self.failure: Exception | None = None
        self.is_ending = False
        self.members = 0
        self.turns = 0


class Turn:
    """A block's place in the queue, and then its right to the connection.

    Parameters
    ----------
    is_alone
        It shares no transaction with those before it, and goes before all who wait.
    """

    __slots__ = ("called", "is_alone", "thread")

    def __init__(self, *, is_alone: bool = False) -> None:
        self.is_alone = is_alone
        self.called = threading.Event()
        self.thread = 0


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
        self._mutex = threading.RLock()
        self._queue: deque[Turn] = deque()
        self._turn: Turn | None = None
        self._group: Group | None = None
        self._is_closed = False
        self.commits = 0

    def enter(self, turn: Turn) -> None:
        """Wait for the turn, and open a savepoint.

        Raises
        ------
        TimedOut
            When the turn did not come in time.
        InvalidRequest
            When this thread has the turn already, or the catalog was closed.
        """
        try:
            self._wait(turn, self._timeout_s)
            self._check_open()
            if self._group is None:
                self._journal.abandon()  # what an interruption may have left
                self._journal.begin(self._timeout_s)
                self._group = Group(self._monotonic())
            self._journal.savepoint()
        except BaseException:
            self.abort(turn)
            raise

    def leave(self, turn: Turn, *, succeeded: bool) -> None:
        """End the turn; when the block succeeded, return after the durable commit.

        Raises
        ------
        Unavailable
            When the commit failed: nothing of the group was stored.
        """
        try:
            self._leave(succeeded)
        except BaseException:
            self.abort(turn)
            raise

    def take(self, turn: Turn, timeout_s: float) -> bool:
        """Take the turn without a transaction, until `abort`; False when it did not come in time."""
        try:
            self._wait(turn, timeout_s)
        except TimedOut:
            return False
        except BaseException:
            self.abort(turn)
            raise
        return True

    def is_inside(self) -> bool:
        """Whether this thread has the turn."""
        turn = self._turn
        return turn is not None and turn.thread == threading.get_ident()

    def abort(self, turn: Turn) -> None:
        """End a turn however far it got, with what it did since its savepoint undone.

        Does nothing when the turn has ended.
        """
        self._free_mutex()
        with self._mutex:
            if turn in self._queue:
                self._queue.remove(turn)
            holder = self._turn
            if holder is not turn:
                if holder is not None:
                    holder.called.set()  # passing the turn on may be what was interrupted
                return
        group = self._group
        if group is None:
            self._give_up()
        elif group.is_ending:
            if group.failure is None and self._journal.is_in_transaction():
                group.failure = Unavailable("The commit was interrupted, and nothing was stored.")
            self._fail(group, group.failure)
        else:
            self._undo(group)

    def refuse(self) -> None:
        """Refuse all who come or wait from now on.

        Raises
        ------
        InvalidRequest
            When this thread is inside.
        """
        if self.is_inside():
            msg = "This thread is inside writing(), and cannot close the catalog under itself."
            raise InvalidRequest(msg, hint="Leave the with block first.")
        with self._mutex:
            self._is_closed = True
            for waiting in self._queue:
                waiting.called.set()

    def close(self, timeout_s: float) -> None:
        """Refuse as `refuse` does, and close the journal after the last who is inside."""
        self.refuse()
        turn = Turn(is_alone=True)
        try:
            self.take(turn, timeout_s)
        finally:
            self.abort(turn)

    def _leave(self, succeeded: bool) -> None:
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

    def _wait(self, turn: Turn, timeout_s: float) -> None:
        if self.is_inside():
            msg = "This thread is inside writing() already, and would wait for itself."
            raise InvalidRequest(msg, hint="Use the transaction that is open.")
        turn.thread = threading.get_ident()
        with self._mutex:
            if self._turn is None:
                self._turn = turn
                return
            if turn.is_alone:
                self._queue.appendleft(turn)
            else:
                self._check_open()
                self._queue.append(turn)
        turn.called.wait(timeout_s)
        with self._mutex:
            if turn in self._queue:
                self._queue.remove(turn)
            if self._turn is turn:
                return
            if not turn.is_alone:
                self._check_open()
        msg = f"Other threads have been writing for {timeout_s:g} seconds, which is the limit."
        hint = "Keep slow work out of writing(), or raise the lock timeout in the settings."
        raise TimedOut(msg, hint=hint, timeout_s=timeout_s)

    def _check_open(self) -> None:
        if self._is_closed:
            msg = "The catalog was closed, and cannot be used any more."
            raise InvalidRequest(msg, hint="Open it again.")

    def _next_may_join(self, group: Group) -> bool:
        is_full = group.turns >= MEMBERS_MAX or self._monotonic() - group.began_s >= DURATION_MAX_S
        with self._mutex:
            if is_full or not self._queue or self._queue[0].is_alone:
                return False
            self._call_next()
            return True

    def _finish(self, group: Group) -> None:
        group.is_ending = True
        try:
            if group.members:
                self._journal.commit()
                self.commits += 1
            else:
                self._journal.abandon()
        except Exception as error:  # noqa: BLE001 - told to every member of the group
            group.failure = error
        self._end(group)

    def _undo(self, group: Group) -> None:
        try:
            self._journal.undo()
        except Exception as error:  # noqa: BLE001 - told to every member of the group
            self._fail(group, error)
        else:
            self._finish(group)

    def _fail(self, group: Group, error: Exception | None) -> None:
        """The whole transaction is gone, and with it what the others of the group did."""
        group.is_ending = True
        group.failure = error
        try:
            self._journal.abandon()
        finally:
            self._end(group)

    def _give_up(self) -> None:
        """The turn came and could not be used."""
        try:
            self._journal.abandon()
        finally:
            self._pass_on()

    def _end(self, group: Group) -> None:
        self._group = None
        group.done.set()
        self._pass_on()

    def _pass_on(self) -> None:
        with self._mutex:
            if self._queue:
                self._call_next()
                return
            if self._is_closed:
                self._journal.close()
            self._turn = None

    def _call_next(self) -> None:
        turn = self._queue[0]
        self._turn = turn
        self._queue.popleft()
        turn.called.set()

    def _free_mutex(self) -> None:
        """An interruption may have come before the end of a with block could give it back."""
        with suppress(RuntimeError):  # which is what the last one too many raises
            while True:
                self._mutex.release()


def _not_stored(failure: Exception) -> Exception:
    if isinstance(failure, Unavailable):
        return type(failure)(failure.message, hint=failure.hint, **failure.details)
    msg = "The commit failed, and nothing was stored."
    return Unavailable(msg, hint="Look at the cause, then try again.")

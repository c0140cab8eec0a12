"""Writers that wait together share one commit, and share its failure."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from chopmark.catalog.group_commit import DURATION_MAX_S, MEMBERS_MAX, GroupCommit, Turn
from chopmark.errors import ChopmarkError, InvalidRequest, TimedOut, Unavailable


class FakeJournal:
    """Writes down what it was told, and fails where a test wants it to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.is_open = False

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.failing:
            raise self.failing[call]

    def begin(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self._note("begin")
        self.is_open = True

    def savepoint(self) -> None:
        self._note("savepoint")

    def release(self) -> None:
        self._note("release")

    def undo(self) -> None:
        self._note("undo")

    def commit(self) -> None:
        self.is_open = False
        self._note("commit")

    def abandon(self) -> None:
        if self.is_open:
            self._note("abandon")
        self.is_open = False

    def is_in_transaction(self) -> bool:
        return self.is_open

    def close(self) -> None:
        self._note("close")


class Line:
    """A group commit whose queue a test fills before it lets the first writer end."""

    def __init__(self, timeout_s: float = 30.0, now: Callable[[], float] = lambda: 0.0) -> None:
        self.journal = FakeJournal()
        self.group = GroupCommit(self.journal, timeout_s, now)
        self.order: list[int] = []

    def write(self, number: int, *, succeeded: bool = True) -> None:
        turn = Turn()
        self.group.enter(turn)
        self.order.append(number)
        self.group.leave(turn, succeeded=succeeded)

    def run(self, count: int, failing: frozenset[int] = frozenset()) -> list[Future[None]]:
        """Let `count` writers queue up, in order, behind one that is inside; then let all go on."""
        with ThreadPoolExecutor(count + 1) as pool:
            turn = Turn()
            self.group.enter(turn)
            futures = []
            for number in range(count):
                futures.append(pool.submit(self.write, number, succeeded=number not in failing))
                while len(self.group._queue) <= number:
                    threading.Event().wait(0.001)
            self.leader: BaseException | None = None
            try:
                self.group.leave(turn, succeeded=True)
            except ChopmarkError as error:
                self.leader = error
        return futures


def errors(futures: list[Future[None]]) -> list[BaseException | None]:
    return [future.exception() for future in futures]


def test_one_writer_commits_for_itself() -> None:
    line = Line()
    line.write(1)
    line.write(2)
    assert line.journal.calls == ["begin", "savepoint", "release", "commit"] * 2


def test_those_who_wait_share_a_commit_in_order() -> None:
    line = Line()
    assert errors(line.run(5)) == [None] * 5
    assert line.order == list(range(5))
    assert line.journal.calls == ["begin", *["savepoint", "release"] * 6, "commit"]


def test_one_that_fails_is_undone_alone() -> None:
    line = Line()
    assert errors(line.run(3, failing=frozenset({1}))) == [None] * 3
    parts = ["savepoint", "release"] * 2 + ["savepoint", "undo"] + ["savepoint", "release"]
    assert line.journal.calls == ["begin", *parts, "commit"]


def test_a_group_of_failures_is_abandoned() -> None:
    line = Line()
    line.write(1, succeeded=False)
    assert line.journal.calls == ["begin", "savepoint", "undo", "abandon"]


@pytest.mark.parametrize("failure", [Unavailable("The disk is full.", hint="Make room."), OSError("no space")])
def test_a_commit_that_fails_fails_everybody(failure: Exception) -> None:
    line = Line()
    line.journal.failing["commit"] = failure
    told = [*errors(line.run(3)), line.leader]
    assert [type(error) for error in told] == [Unavailable] * 4
    assert {error.__cause__ for error in told if error} == {failure}
    assert line.journal.calls.count("commit") == 1
    line.journal.failing.clear()
    line.write(9)
    assert line.journal.calls[-4:] == ["begin", "savepoint", "release", "commit"]


def test_a_transaction_that_the_database_gave_up_is_lost_for_all() -> None:
    line = Line()
    turn = Turn()
    line.group.enter(turn)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(line.write, 1)
        while not line.group._queue:
            threading.Event().wait(0.001)
        line.journal.failing["release"] = Unavailable("SQLite gave up.")
        with pytest.raises(Unavailable):
            line.group.leave(turn, succeeded=True)
        assert isinstance(second.exception(), Unavailable)
    line.journal.failing.clear()
    line.write(3)
    assert line.journal.calls[-1] == "commit"


def test_a_begin_that_fails_passes_the_turn_on() -> None:
    line = Line()
    line.journal.failing["begin"] = TimedOut("Another process writes.")
    with pytest.raises(TimedOut):
        line.write(1)
    line.journal.failing.clear()
    line.write(2)
    assert line.order == [2]


def test_a_group_is_bounded_in_number() -> None:
    line = Line()
    line.run(MEMBERS_MAX + 3)
    assert line.journal.calls.count("commit") == 2
    assert line.journal.calls[: 2 * MEMBERS_MAX + 2].count("savepoint") == MEMBERS_MAX


def test_a_group_is_bounded_in_time() -> None:
    times = iter([0.0, DURATION_MAX_S, 1.0, 1.0, 1.0])
    line = Line(now=lambda: next(times))
    line.run(1)
    assert line.journal.calls == ["begin", "savepoint", "release", "commit"] * 2


def test_a_thread_that_is_inside_is_told_so() -> None:
    line = Line()
    turn = Turn()
    line.group.enter(turn)
    with pytest.raises(InvalidRequest):
        line.group.enter(Turn())
    line.group.leave(turn, succeeded=True)
    line.write(1)


def test_waiting_for_the_turn_has_a_limit() -> None:
    line = Line(timeout_s=0.01)
    turn = Turn()
    line.group.enter(turn)
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(line.write, 1).exception()
    assert isinstance(error, TimedOut)
    assert isinstance(error, ChopmarkError)
    assert "0.01 seconds" in error.message
    line.group.leave(turn, succeeded=True)
    line.write(2)
    assert line.order == [2]

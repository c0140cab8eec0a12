"""Work that may wait: done once for all who asked, and never lost at the end of a process."""

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest

from chopmark.base.deferred import Deferred


def test_what_is_asked_for_meanwhile_is_done_once() -> None:
    done = threading.Event()
    runs: list[int] = []

    def action() -> None:
        runs.append(1)
        done.set()

    deferred = Deferred(action, delay_s=0.05)
    for _ in range(100):
        deferred.ask()
    assert done.wait(60)
    deferred.close()
    assert len(runs) == 1


def test_closing_does_what_waits_and_nothing_when_nothing_does() -> None:
    runs: list[int] = []
    deferred = Deferred(lambda: runs.append(1), delay_s=60)
    deferred.close()
    assert runs == []
    deferred.ask()
    deferred.close()
    assert runs == [1]


def test_it_goes_on_after_it_was_closed_and_asked_again() -> None:
    done = threading.Event()
    deferred = Deferred(done.set, delay_s=0)
    deferred.ask()
    deferred.close()
    done.clear()
    deferred.ask()
    assert done.wait(60)
    deferred.close()


PROGRAM = """
from chopmark.base.deferred import Deferred
deferred = Deferred(lambda: print("done", flush=True), delay_s=60)
deferred.ask()
"""


def test_an_interpreter_that_ends_does_what_waits() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "done\n"


def test_the_child_of_a_fork_leaves_what_its_parent_asked_for_to_the_parent() -> None:
    runs: list[int] = []
    deferred = Deferred(lambda: runs.append(os.getpid()), delay_s=60)
    deferred.ask()
    child = os.fork()
    if child == 0:
        deferred.flush()
        os._exit(1 if runs else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    deferred.close()
    assert runs == [os.getpid()]


def test_it_does_not_keep_alive_what_nobody_else_holds() -> None:
    class Holder:
        def __init__(self) -> None:
            self.deferred = Deferred(self.act, delay_s=0)
            self.done = threading.Event()

        def act(self) -> None:
            self.done.set()

    holder = Holder()
    holder.deferred.ask()
    assert holder.done.wait(60)
    gone = weakref.ref(holder)
    del holder
    deadline = time.monotonic() + 60
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


def test_what_could_not_be_done_is_tried_again_without_being_asked() -> None:
    turns: list[float] = []
    worked = threading.Event()

    def action() -> bool:
        turns.append(time.monotonic())
        if len(turns) < 3:
            return False
        worked.set()
        return True

    deferred = Deferred(action, delay_s=0)
    deferred.ask()
    assert worked.wait(60)
    pauses = [later - earlier for earlier, later in itertools.pairwise(turns)]
    assert all(pause >= least for pause, least in zip(pauses, (0.2, 0.4), strict=True)), pauses
    assert deferred.flush()
    deferred.close()
    assert len(turns) == 3


def test_what_could_not_be_done_is_tried_with_the_next_request_and_at_the_end() -> None:
    turns: list[int] = []
    tried = threading.Event()

    def action() -> bool:
        turns.append(1)
        tried.set()
        return False

    deferred = Deferred(action, delay_s=0.02)
    for count in range(1, 4):  # each sooner than the pause, which would be 0.2 s and more
        tried.clear()
        deferred.ask()
        assert tried.wait(0.15 if count == 1 else 5)
    assert not deferred.flush()
    count = len(turns)
    deferred.close()
    assert len(turns) > count


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_action_does_not_end_its_turns() -> None:
    turns: list[int] = []
    worked = threading.Event()

    def action() -> None:
        turns.append(1)
        if len(turns) == 1:
            raise ZeroDivisionError
        worked.set()

    deferred = Deferred(action, delay_s=0)
    deferred.ask()
    deadline = time.monotonic() + 60
    while not worked.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)
        deferred.ask()
    assert worked.is_set()
    deferred.close()

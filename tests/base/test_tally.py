"""Counts handed over together: none lost, none twice, and nobody waits."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping

import pytest

from chopmark.base import tally as tallies
from chopmark.base.tally import Tally
from chopmark.errors import ChopmarkError, Unavailable


class Notebook:
    """Writes down what it is handed; refuses while ``is_away``."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.batches = 0
        self.told: list[ChopmarkError] = []
        self.is_away = False

    def hand_over(self, counts: Mapping[str, int]) -> None:
        if self.is_away:
            raise Unavailable("The database does not answer.")
        self.batches += 1
        self.counts.update(counts)


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


def tally_of(notebook: Notebook, delay_s: float = 60) -> Tally[str]:
    return Tally(notebook.hand_over, notebook.told.append, delay_s)


def test_many_counts_are_one_batch(notebook: Notebook) -> None:
    tally = tally_of(notebook)
    for _ in range(1_000):
        tally.add("a")
    tally.add("b", 5)
    assert notebook.batches == 0
    tally.flush()
    assert notebook.counts == {"a": 1_000, "b": 5}
    tally.close()
    assert notebook.batches == 1


def test_what_comes_after_the_delay_is_handed_over_by_itself(notebook: Notebook) -> None:
    done = threading.Event()

    def hand_over(counts: Mapping[str, int]) -> None:
        notebook.hand_over(counts)
        done.set()

    tally: Tally[str] = Tally(hand_over, notebook.told.append, 0.01)
    tally.add("a")
    assert done.wait(60)
    tally.close()
    assert notebook.counts == {"a": 1}


def test_what_was_refused_is_kept_and_told_once(notebook: Notebook) -> None:
    tally = tally_of(notebook)
    notebook.is_away = True
    for _ in range(3):
        tally.add("a")
        tally.flush()
    assert len(notebook.told) == 1
    notebook.is_away = False
    tally.add("b")
    tally.flush()
    assert notebook.counts == {"a": 3, "b": 1}


def test_what_was_refused_is_tried_again_at_the_end(notebook: Notebook) -> None:
    tally = tally_of(notebook)
    notebook.is_away = True
    tally.add("a")
    tally.flush()
    notebook.is_away = False
    tally.close()
    assert notebook.counts == {"a": 1}


def test_what_waits_is_bounded(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "KEYS_MAX", 3)
    tally = tally_of(notebook)
    for key in "abcdea":
        tally.add(key)
    tally.close()
    assert notebook.counts == {"a": 2, "b": 1, "c": 1}


def test_threads_lose_nothing(notebook: Notebook) -> None:
    tally = tally_of(notebook, delay_s=0)

    def count() -> None:
        for number in range(500):
            tally.add(f"key {number % 7}")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.close()
    assert sum(notebook.counts.values()) == 2_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_hands_over_its_own_counts_and_not_its_parents(notebook: Notebook) -> None:
    tally = tally_of(notebook)
    tally.add("parent")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        tally.add("child", 2)
        tally.close()
        os.write(writer, repr(sorted(notebook.counts.items())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1_000) == b"[('child', 2)]"
    os.close(reader)
    os.close(writer)
    tally.close()
    assert notebook.counts == {"parent": 1}


PROGRAM = """
from chopmark.base.tally import Tally
tally = Tally(lambda counts: print(counts, flush=True), print, delay_s=60)
tally.add("a")
"""


def test_the_end_of_the_interpreter_hands_over() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout == "{'a': 1}\n"


def _count_in_a_worker(queue: "multiprocessing.Queue[dict[str, int]]") -> None:
    Tally[str](lambda counts: queue.put(dict(counts)), print, delay_s=60).add("worker")


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
def test_the_end_of_a_worker_process_hands_over() -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[dict[str, int]] = context.Queue()
    worker = context.Process(target=_count_in_a_worker, args=(queue,))
    worker.start()
    assert queue.get(timeout=60) == {"worker": 1}
    worker.join()

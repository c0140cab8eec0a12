"""Closing a catalog that other threads use: they are told, and nothing breaks."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chopmark.catalog import open_catalog
from chopmark.errors import ChopmarkError, InvalidRequest
from chopmark.testing.catalog_records import Records

CLOSE_UNDER_THREADS = """
import itertools, sys, threading
from chopmark.catalog import open_catalog
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records
for round_ in range(8):
    catalog = open_catalog(sys.argv[1])
    started, told = threading.Barrier(5), []
    def use(thread):
        records = Records()
        try:
            for n in itertools.count():
                with catalog.writing() as tx:
                    tx.projects.insert(records.project(f"r{round_}t{thread}n{n}"))
                with catalog.reading() as tx:
                    tx.projects.list(limit=9)
                if n == 3:
                    started.wait()
        except InvalidRequest as error:
            told.append(error.message)
    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    catalog.close()
    for thread in threads:
        thread.join()
    print(len(told), *set(told))
"""

EXIT_UNDER_THREADS = """
import itertools, sys, threading
from chopmark.catalog import open_catalog
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records
catalog = open_catalog(sys.argv[1])
started = threading.Barrier(3)
def use(thread):
    records = Records()
    try:
        for n in itertools.count():
            with catalog.writing() as tx:
                tx.projects.insert(records.project(f"t{thread}n{n}"))
            if n == 3:
                started.wait()
    except InvalidRequest:
        pass
for n in range(2):
    threading.Thread(target=use, args=(n,), daemon=True).start()
started.wait()
print("end", flush=True)
"""


def run(program: str, path: Path) -> str:
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_threads_that_write_when_it_closes(tmp_path: Path) -> None:
    out = run(CLOSE_UNDER_THREADS, tmp_path / "catalog.db").splitlines()
    assert out == ["4 The catalog was closed, and cannot be used any more."] * 8


def test_the_process_ends_while_threads_write(tmp_path: Path) -> None:
    for _ in range(3):
        assert run(EXIT_UNDER_THREADS, tmp_path / f"catalog{_}.db") == "end\n"


def test_a_block_that_goes_on_for_longer_than_closing_waits(tmp_path: Path) -> None:
    catalog = open_catalog(str(tmp_path / "catalog.db"), lock_timeout_s=0.05)
    inside, go = threading.Event(), threading.Event()

    def write() -> None:
        with catalog.writing() as tx:
            inside.set()
            go.wait(60)
            tx.projects.insert(Records().project("kept"))

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait(60)
    catalog.close()
    with pytest.raises(InvalidRequest, match="was closed"), catalog.writing():
        pass
    go.set()
    thread.join()
    again = open_catalog(str(tmp_path / "catalog.db"))
    with again.reading() as tx:
        assert [project.name for project in tx.projects.list(limit=9)] == ["kept"]
    again.close()


def test_closing_inside_an_own_block_is_refused(tmp_path: Path) -> None:
    catalog = open_catalog(str(tmp_path / "catalog.db"))
    with catalog.writing() as tx:
        with pytest.raises(ChopmarkError, match="under itself"):
            catalog.close()
        tx.projects.insert(Records().project("kept"))
    with catalog.reading() as tx:
        assert len(tx.projects.list(limit=9)) == 1
    catalog.close()


def test_nothing_but_the_database_is_left_after_closing(tmp_path: Path) -> None:
    catalog = open_catalog(str(tmp_path / "catalog.db"))
    with catalog.writing() as tx:
        tx.projects.insert(Records().project("p"))
    with catalog.reading() as tx:
        assert tx.projects.list(limit=10)
    catalog.close()
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(("-wal", "-shm"))] == []

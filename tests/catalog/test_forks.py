"""A child of fork takes real locks, or refuses; nothing that anybody was told is stored is lost."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chopmark.abc.catalog import Catalog
from chopmark.base import forks
from chopmark.catalog import open_catalog
from chopmark.catalog.checking import sqlite_faults
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    catalog = open_catalog(str(path), lock_timeout_s=5)
    yield catalog
    catalog.close()


class Child:
    """A forked child that does a job when it is told to, and whose answer is its exit code."""

    def __init__(self, job: Callable[[], object]) -> None:
        told, self._tell = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:  # pragma: no cover - another process
            code = 1
            try:
                os.read(told, 1)
                job()
                code = 0
            except BaseException:  # noqa: BLE001 - told by the exit code
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)

    def run(self) -> int:
        os.write(self._tell, b"x")
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def add(catalog: Catalog, *names: str) -> None:
    for name in names:
        with catalog.writing() as tx:
            tx.projects.insert(Records().project(name))


def names_in(catalog: Catalog) -> list[str]:
    with catalog.reading() as tx:
        return [project.name for project in tx.projects.list(limit=99)]


def refused(job: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequest, match="forked while"):
        job()


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_a_child_stored_stays_when_its_parent_closes(path: Path, catalog: Catalog, is_closed: bool) -> None:
    add(catalog, "a-parent")
    assert names_in(catalog) == ["a-parent"]
    at_work, told = os.pipe(), os.pipe()

    def job() -> None:
        add(catalog, "b-child")
        os.write(at_work[1], b"x")
        os.read(told[0], 1)
        add(catalog, "c-child")
        assert names_in(catalog) == ["a-parent", "b-child", "c-child"]
        if is_closed:
            catalog.close()

    child = Child(job)
    os.write(child._tell, b"x")
    os.read(at_work[0], 1)
    catalog.close()
    os.write(told[1], b"x")
    assert child.run() == 0
    again = open_catalog(str(path))
    assert names_in(again) == ["a-parent", "b-child", "c-child"]
    again.close()
    assert sqlite_faults(path) == []


def test_parent_and_child_write_in_turn(catalog: Catalog) -> None:
    add(catalog, "a-parent")
    children = [Child(lambda n=n: add(catalog, *(f"child{n}-{i}" for i in range(9)))) for n in range(2)]  # type: ignore[misc]
    add(catalog, "b-parent")
    assert [child.run() for child in children] == [0, 0]
    add(catalog, "c-parent")
    assert len(names_in(catalog)) == 3 + 2 * 9


def test_a_fork_inside_a_block_that_reads(path: Path, catalog: Catalog) -> None:
    add(catalog, "parent")

    def job() -> None:
        refused(lambda: names_in(catalog))
        refused(lambda: add(catalog, "child"))
        refused(lambda: open_catalog(str(path)))

    with catalog.reading() as tx:
        child = Child(job)
        assert child.run() == 0
        assert len(tx.projects.list(limit=9)) == 1
    add(catalog, "parent again")
    assert len(names_in(catalog)) == 2


def test_a_fork_inside_a_block_that_writes(catalog: Catalog) -> None:
    def fork_inside() -> int:
        with catalog.writing() as tx:
            tx.projects.insert(Records().project("parent"))
            pid = os.fork()
            if pid == 0:  # pragma: no cover - another process
                with pytest.raises(InvalidRequest, match="has ended"):
                    tx.projects.insert(Records().project("child"))
        return pid

    try:
        pid = fork_inside()
    except InvalidRequest:  # pragma: no cover - the child, whose block ends with this
        os._exit(7)
    if pid == 0:  # pragma: no cover - the child, which should have been refused
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert names_in(catalog) == ["parent"]


def test_a_block_of_another_thread_is_waited_for(catalog: Catalog) -> None:
    inside, go = threading.Event(), threading.Event()

    def write() -> None:
        with catalog.writing() as tx:
            inside.set()
            go.wait(60)
            tx.projects.insert(Records().project("thread"))

    writer = threading.Thread(target=write)
    writer.start()
    inside.wait(60)
    threading.Timer(0.1, go.set).start()
    child = Child(lambda: add(catalog, "child"))
    assert child.run() == 0
    writer.join()
    assert names_in(catalog) == ["child", "thread"]


@pytest.mark.parametrize("kind", ["reading", "writing"])
def test_a_block_of_another_thread_that_does_not_end(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(forks, "WAIT_S", 0.05)
    add(catalog, "parent")
    inside, go = threading.Event(), threading.Event()

    def hold() -> None:
        with getattr(catalog, kind)():
            inside.set()
            go.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(60)
    child = Child(lambda: refused(lambda: add(catalog, "child")))
    assert child.run() == 0
    go.set()
    holder.join()
    add(catalog, "parent again")
    assert len(names_in(catalog)) == 2

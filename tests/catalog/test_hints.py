"""A change of the routing is heard soon, in this process and from others; what is not heard does no harm."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from chopmark.abc.catalog import Catalog
from chopmark.abc.hints import Hints
from chopmark.base.hints import ProcessHints
from chopmark.catalog import open_catalog, open_hints, upgrade_catalog
from chopmark.catalog.postgres_hints import PostgresHints
from chopmark.testing.catalog_fixtures import Stop, write_and_stop
from tests.backends.servers import free_ports

LONG_S = 20.0
QUIET_S = 0.3


def change(catalog: Catalog) -> None:
    with catalog.writing() as tx:
        tx.routing.advance()


def timed(call: Callable[[], bool]) -> tuple[bool, float]:
    began_s = time.monotonic()
    return call(), time.monotonic() - began_s


class TestInOneProcess:
    def test_who_waits_is_woken(self) -> None:
        hints = ProcessHints()
        threading.Timer(0.05, hints.tell).start()
        woken, after_s = timed(lambda: hints.wait(LONG_S))
        assert woken
        assert after_s < LONG_S / 2
        assert not hints.wait(0.0)

    def test_a_hint_between_two_waits_is_not_lost(self) -> None:
        hints = ProcessHints()
        hints.tell()
        hints.tell()
        assert hints.wait(0.0)
        assert not hints.wait(0.01)

    def test_each_that_waits_is_woken(self) -> None:
        hints = ProcessHints()
        woken: list[bool] = []
        threads = [threading.Thread(target=lambda: woken.append(hints.wait(LONG_S))) for _ in range(5)]
        for thread in threads:
            thread.start()
        while sum(thread.is_alive() for thread in threads) and not woken:
            time.sleep(0.05)
            hints.tell()
        for thread in threads:
            thread.join(LONG_S)
        assert woken == [True] * 5

    def test_who_waits_ends_with_it(self) -> None:
        hints = ProcessHints()
        threading.Timer(0.05, hints.close).start()
        woken, after_s = timed(lambda: hints.wait(LONG_S))
        assert not woken
        assert after_s < LONG_S / 2

    def test_a_file_has_those_of_the_process(self) -> None:
        assert isinstance(open_hints("sqlite:///x.db"), ProcessHints)


@pytest.fixture
def url(postgres_url: str) -> str:
    upgrade_catalog(postgres_url)
    return postgres_url


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    catalog = open_catalog(url)
    yield catalog
    catalog.close()


@pytest.fixture
def hints(url: str) -> Iterator[Hints]:
    hints = open_hints(url, connect_timeout_s=5.0)
    assert isinstance(hints, PostgresHints)
    assert hints.wait(0.0)  # it has just begun to listen, and may have missed something
    yield hints
    hints.close()


CHANGES = """
import sys, time
from chopmark.catalog import open_catalog
catalog = open_catalog(sys.argv[1])
print("ready", flush=True)
for _ in sys.stdin:
    with catalog.writing() as tx:
        tx.routing.advance()
    print(time.monotonic(), flush=True)
"""


def test_a_change_by_another_process_is_heard_at_once(url: str, hints: Hints) -> None:
    """Both read one clock; the median is what is promised, as the machine is shared."""
    command = [sys.executable, "-c", CHANGES, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        late_s = []
        for _ in range(15):
            other.stdin.write("change\n")
            assert hints.wait(LONG_S)
            heard_s = time.monotonic()
            late_s.append(heard_s - float(other.stdout.readline()))
        other.stdin.close()
    assert statistics.median(late_s) < 0.1
    assert max(late_s) < 1.0


def test_what_is_not_committed_is_not_told(catalog: Catalog, hints: Hints) -> None:
    with catalog.writing() as tx:
        tx.routing.advance()
        assert not hints.wait(QUIET_S)
    assert hints.wait(LONG_S)
    with pytest.raises(Stop):
        write_and_stop(catalog, lambda tx: tx.routing.advance())
    assert not hints.wait(QUIET_S)
    with catalog.writing() as tx:
        tx.routing.begin("ffff")
    assert hints.wait(LONG_S)


def test_several_changes_may_be_one_hint_and_none_is_left_over(catalog: Catalog, hints: Hints) -> None:
    for _ in range(5):
        change(catalog)
    while hints.wait(QUIET_S):
        pass
    change(catalog)
    assert hints.wait(LONG_S)


def test_a_lost_connection_is_made_again(url: str, catalog: Catalog, hints: Hints) -> None:
    """What was changed meanwhile is not told of, and so whoever waits is woken to look."""
    for _ in range(2):
        assert end_listeners(url) == 1
        change(catalog)
        woken, after_s = timed(lambda: hints.wait(LONG_S))
        assert woken
        assert after_s < 1.0
        while hints.wait(QUIET_S):
            pass
        change(catalog)
        assert hints.wait(LONG_S)


def end_listeners(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
        ).fetchall()
    return len(ended)


def test_other_tables_of_the_database_are_another_registry(url: str, hints: Hints) -> None:
    upgrade_catalog(url, schema="other", table_prefix="cm_")
    other = open_catalog(url, schema="other", table_prefix="cm_")
    its_hints = open_hints(url, schema="other", table_prefix="cm_", connect_timeout_s=5.0)
    assert its_hints.wait(0.0)
    change(other)
    assert its_hints.wait(LONG_S)
    assert not hints.wait(QUIET_S)
    its_hints.close()
    other.close()


def test_a_server_that_is_not_there_is_waited_for() -> None:
    """Without an error, and without being asked all the time."""
    (port,) = free_ports(1)
    hints = open_hints(f"postgresql://ann@127.0.0.1:{port}/x", connect_timeout_s=2.0)
    tries_began_s = time.process_time()
    for _ in range(4):
        woken, after_s = timed(lambda: hints.wait(QUIET_S))
        assert not woken
        assert after_s >= QUIET_S
    assert time.process_time() - tries_began_s < 1.0
    hints.close()


def test_who_waits_for_the_database_ends_with_it(hints: Hints) -> None:
    threading.Timer(0.05, hints.close).start()
    woken, after_s = timed(lambda: hints.wait(LONG_S))
    assert not woken
    assert after_s < LONG_S / 2
    assert not hints.wait(0.01)

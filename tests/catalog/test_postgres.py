"""What only PostgreSQL has to prove: connections that are refused, lost, used up or slow."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec
import psycopg
import pytest

from chopmark.catalog import open_catalog, postgres, upgrade_catalog
from chopmark.catalog.postgres import PostgresCatalog
from chopmark.errors import Conflict, InvalidRequest, TimedOut, Unavailable, Unsupported
from chopmark.testing.catalog_records import Records
from tests.backends.servers import free_ports


@pytest.fixture
def catalog(postgres_url: str) -> Iterator[PostgresCatalog]:
    upgrade_catalog(postgres_url)
    catalog = open_catalog(postgres_url, pool_size=3, pool_timeout_s=0.05, lock_timeout_s=0.1)
    assert isinstance(catalog, PostgresCatalog)
    yield catalog
    catalog.close()


def end_other_connections(url: str) -> None:
    """What a restart of the server does to those who are connected."""
    with psycopg.connect(url, autocommit=True) as connection:
        here = "datname = current_database() and pid <> pg_backend_pid()"
        connection.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {here}")


def test_nobody_listens_there() -> None:
    (port,) = free_ports(1)
    url = f"postgresql://ann:secret@127.0.0.1:{port}/registry"
    for attempt in (open_catalog, upgrade_catalog):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            attempt(url, connect_timeout_s=2)
        assert "secret" not in str(caught.value)
        assert str(port) in caught.value.message


@pytest.mark.parametrize("prefix", ["postgres://", "postgresql+psycopg://"])
def test_other_spellings_of_the_address(postgres_url: str, prefix: str) -> None:
    url = prefix + postgres_url.partition("://")[2]
    upgrade_catalog(url)
    open_catalog(url).close()


def test_an_address_that_cannot_be_read() -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        open_catalog("postgresql://host:not-a-port/x")


def test_a_connection_lost_inside_a_block(catalog: PostgresCatalog, postgres_url: str) -> None:
    def lose() -> None:
        with catalog.writing() as tx:
            tx.projects.insert(Records().project("lost"))
            end_other_connections(postgres_url)
            tx.projects.insert(Records().project("lost too"))

    with pytest.raises(Unavailable, match="does not answer"):
        lose()
    with catalog.reading() as tx:  # the next one gets a new connection
        assert tx.projects.list(limit=9) == []


def test_a_connection_lost_at_the_commit(catalog: PostgresCatalog, postgres_url: str) -> None:
    def lose() -> None:
        with catalog.writing() as tx:
            tx.projects.insert(Records().project("lost"))
            end_other_connections(postgres_url)

    with pytest.raises(Unavailable, match="while the change was being stored") as caught:
        lose()
    assert "may or may not" in caught.value.hint


def test_connections_lost_while_nobody_used_them(
    catalog: PostgresCatalog, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CHECKED_AFTER_S", 0.0)
    with catalog.writing() as tx:
        tx.projects.insert(Records().project("kept"))
    end_other_connections(postgres_url)
    with catalog.reading() as tx:
        assert tx.projects.get("kept") is not None


@pytest.mark.parametrize(("query", "idle"), [("", "15"), ("?keepalives_idle=99", "99")])
def test_a_server_that_goes_without_a_word_is_noticed_soon(postgres_catalog_url: str, query: str, idle: str) -> None:
    with closing(open_catalog(postgres_catalog_url + query)) as catalog:
        assert isinstance(catalog, PostgresCatalog)
        pooled = catalog.connect(is_writing=False)
        said = pooled.driver_connection.info.get_parameters()
        catalog.give_back(pooled)
    assert (said["keepalives_idle"], said["keepalives_count"], said["tcp_user_timeout"]) == (idle, "3", "30000")


def test_all_connections_in_use(catalog: PostgresCatalog) -> None:
    def use_one_more() -> None:
        with catalog.reading(), catalog.reading(), catalog.reading(), catalog.reading():
            pass

    with pytest.raises(TimedOut, match="were in use"):
        use_one_more()
    with catalog.reading(), catalog.reading(), catalog.reading():
        pass


def test_a_model_locked_by_another(catalog: PostgresCatalog) -> None:
    with catalog.writing() as tx:
        Records().add_model(tx)

    def lock() -> None:
        with catalog.writing() as tx:
            tx.models.lock("default", "fraud")

    with catalog.writing() as tx, ThreadPoolExecutor(1) as pool:
        tx.models.lock("default", "fraud")
        error = pool.submit(lock).exception()
    assert isinstance(error, TimedOut)
    lock()


def test_a_name_locked_by_another(catalog: PostgresCatalog) -> None:
    def lock(name: str) -> None:
        with catalog.writing() as tx:
            tx.lock(name)

    with catalog.writing() as tx, ThreadPoolExecutor(1) as pool:
        tx.lock("role:tester")
        pool.submit(lock, "role:other").result()
        error = pool.submit(lock, "role:tester").exception()
    assert isinstance(error, TimedOut)
    lock("role:tester")


def test_writers_that_wait_for_each_other(postgres_url: str) -> None:
    upgrade_catalog(postgres_url)
    catalog = open_catalog(postgres_url, lock_timeout_s=20)
    with catalog.writing() as tx:
        for name in ("a", "b"):
            Records().add_model(tx, name)
    barrier = threading.Barrier(2)

    def lock(first: str, second: str) -> None:
        with catalog.writing() as tx:
            tx.models.lock("default", first)
            barrier.wait()
            tx.models.lock("default", second)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(lock, *names) for names in ("ab", "ba")]
        errors = [future.exception() for future in futures]
    (error,) = [e for e in errors if e is not None]  # the server ends one of the two
    assert isinstance(error, Unavailable)
    assert "do it again" in error.hint
    catalog.close()


def test_a_statement_that_takes_too_long(catalog: PostgresCatalog) -> None:
    pooled = catalog.connect(is_writing=False)
    settings = [
        pooled.driver_connection.execute(f"show {name}").fetchone()[0] for name in ("lock_timeout", "statement_timeout")
    ]
    catalog.give_back(pooled)
    assert settings == ["100ms", "1min"]


def test_one_plan_of_a_statement_serves_all_values(catalog: PostgresCatalog) -> None:
    for is_writing in (False, True):
        pooled = catalog.connect(is_writing=is_writing)
        driver = pooled.driver_connection
        shown = [driver.execute(f"show {name}").fetchone()[0] for name in ("plan_cache_mode", "jit")]
        catalog.give_back(pooled)
        assert shown == ["force_generic_plan", "off"]
    for number in range(1, 6):
        with catalog.reading() as tx:
            tx.models.get("default", f"m{number}")
    pooled = catalog.connect(is_writing=False)
    asked = "select generic_plans, custom_plans from pg_prepared_statements where statement like '%models%'"
    (counts,) = pooled.driver_connection.execute(asked).fetchall()
    catalog.give_back(pooled)
    assert counts[0] > 0
    assert counts[1] == 0


def test_what_the_database_cannot_hold(catalog: PostgresCatalog) -> None:
    with pytest.raises(InvalidRequest, match="cannot hold"), catalog.writing() as tx:
        tx.projects.insert(Records().project("nul", description="a\0b"))
    with catalog.reading() as tx:
        assert tx.projects.get("nul") is None


def test_the_same_version_from_two_writers_at_once(catalog: PostgresCatalog) -> None:
    records = Records()
    with catalog.writing() as tx:
        model = records.add_model(tx)
    barrier = threading.Barrier(2)

    def register(_: int) -> bool:
        mine = Records()
        with catalog.writing() as tx:
            barrier.wait()
            try:
                mine.add_version(tx, msgspec.structs.replace(model), 1)
            except Conflict:
                return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(register, range(2))) == [False, True]


def test_a_forked_child_opens_its_own(catalog: PostgresCatalog) -> None:
    with catalog.writing() as tx:
        tx.projects.insert(Records().project("parent"))
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        code = 1
        try:
            with catalog.writing() as tx:
                tx.projects.insert(Records().project("child"))
            catalog.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with catalog.reading() as tx:
        assert [p.name for p in tx.projects.list(limit=9)] == ["child", "parent"]


WITHOUT_PSYCOPG = """
import sys
sys.modules["psycopg"] = None
from chopmark.catalog import open_catalog
from chopmark.errors import Unsupported
try:
    open_catalog("postgresql://localhost/registry")
except Unsupported as error:
    print(error.hint)
"""


def test_psycopg_is_an_extra() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PSYCOPG], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'chopmark[postgres]'"


def test_an_upgrade_waits_for_another_no_longer_than_its_limit(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("select pg_advisory_lock(%s)", (postgres.UPGRADE_LOCK,))
        with pytest.raises(TimedOut):
            upgrade_catalog(postgres_url, lock_timeout_s=0.05)
    upgrade_catalog(postgres_url, lock_timeout_s=5)


def test_a_database_of_another_encoding(postgres_url: str) -> None:
    name = f"latin_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template template0 encoding 'LATIN1' locale 'C'")
        try:
            with pytest.raises(Unsupported, match="LATIN1"):
                upgrade_catalog(f"{postgres_url.rpartition('/')[0]}/{name}")
        finally:
            connection.execute(f"drop database {name}")

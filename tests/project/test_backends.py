"""The services that other tests rely on: each one answers, and a missing one is never passed over in CI."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import obstore
import psycopg
import pytest
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError
from obstore.store import AzureStore, S3Store

from tests.backends.azure import AzureServer
from tests.backends.postgres import PostgresServer
from tests.backends.required import BACKENDS, VARIABLE, import_backend, require, required_backends
from tests.backends.s3 import S3Server

SUPERVISOR = Path(__file__).parents[1] / "backends" / "supervisor.py"


def test_a_missing_backend_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no azure: node is not there"):
        require("azure", "node is not there")


def test_a_missing_backend_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "postgres, azure")
    with pytest.raises(pytest.fail.Exception, match="azure is required here"):
        require("azure", "node is not there")
    with pytest.raises(pytest.skip.Exception):
        require("torch", "not installed")


def test_a_misspelt_backend_is_not_a_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="postgress"):
        require("postgress", "…")
    with pytest.raises(ValueError, match="azur"):
        required_backends("postgres,azur")
    monkeypatch.setenv(VARIABLE, ",".join(sorted(BACKENDS)))
    with pytest.raises(pytest.fail.Exception):
        import_backend("no_such_library_anywhere", "torch")


def test_postgres_gives_each_test_an_empty_database(postgres_url: str, postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("create table t (a int)")
        assert connection.execute("select count(*) from t").fetchone() == (0,)
        assert connection.info.server_version >= 140000
    with postgres_server.database() as other, psycopg.connect(other) as connection:
        tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
        assert tables == (0,)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_postgres_never_runs_as_root(postgres_server: PostgresServer, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("select pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    pid = int(row[0].split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert postgres_server.port == int(row[0].splitlines()[3])


def s3_store(server: S3Server, prefix: str) -> S3Store:
    return S3Store(
        server.bucket,
        prefix=prefix,
        endpoint=server.endpoint_url,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        region=server.region,
        client_options={"allow_http": True},
    )


@pytest.mark.parametrize("fixture", ["s3_server", "s3_double"])
def test_s3_servers_store_and_refuse_a_second_conditional_put(fixture: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(fixture)
    prefix = uuid4().hex
    store = s3_store(server, prefix)
    obstore.put(store, "a", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a", b"second", mode="create")
    assert bytes(obstore.get(store, "a").bytes()) == b"first"
    stored = server.client.get_object(Bucket=server.bucket, Key=f"{prefix}/a")["Body"].read()
    assert stored == b"first"


def test_s3_server_knows_its_user(s3_server: S3Server) -> None:
    intruder = S3Store(
        s3_server.bucket,
        endpoint=s3_server.endpoint_url,
        access_key_id=s3_server.access_key_id,
        secret_access_key="wrong",
        region=s3_server.region,
        client_options={"allow_http": True},
    )
    with pytest.raises(PermissionDeniedError):
        obstore.put(intruder, "a", b"x")


def test_azurite_stores_and_refuses_a_second_conditional_put(azurite_server: AzureServer) -> None:
    store = AzureStore(
        azurite_server.container,
        prefix=uuid4().hex,
        account_name=azurite_server.account,
        account_key=azurite_server.account_key,
        endpoint=azurite_server.endpoint_url,
        client_options={"allow_http": True},
    )
    obstore.put(store, "a", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "a", b"second", mode="create")
    assert bytes(obstore.get(store, "a").bytes()) == b"first"


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)
    return path.read_text().strip()


def test_a_server_ends_when_the_run_it_belongs_to_is_killed(tmp_path: Path) -> None:
    server_pid_file, supervisor_pid_file = tmp_path / "server.pid", tmp_path / "supervisor.pid"
    server = ["sh", "-c", f"echo $$ > '{server_pid_file}'; exec sleep 600"]
    with subprocess.Popen(["sleep", "600"]) as run:
        settings = [str(run.pid), str(int(signal.SIGKILL)), "-", str(supervisor_pid_file), str(tmp_path)]
        with subprocess.Popen([sys.executable, "-IS", str(SUPERVISOR), *settings, *server]) as supervisor:
            server_pid = int(wait_for(server_pid_file))
            os.kill(server_pid, 0)
            assert wait_for(supervisor_pid_file) == str(supervisor.pid)
            run.kill()
            run.wait()
            assert supervisor.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(server_pid, 0)
    assert not supervisor_pid_file.exists()

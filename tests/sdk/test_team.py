"""A team's registry: rows in PostgreSQL, bytes in an object store, several people at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.catalog import upgrade_catalog
from chopmark.errors import Denied, IntegrityFailure, Unavailable
from tests.backends.azure import AzureServer
from tests.backends.postgres import PostgresServer
from tests.backends.s3 import S3Server
from tests.sdk.life import live, seen

Opener = Callable[..., cm.Registry]


@pytest.fixture(params=["s3", "azure"])
def team(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opener]:
    """Opens the team's registry; credentials come from the environment, as in production."""
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3_server")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_access_key)
        place = {"store_url": f"s3://{s3.bucket}/{tmp_path.name}", "store_endpoint": s3.endpoint_url}
    else:
        azure: AzureServer = request.getfixturevalue("azurite_server")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", azure.account)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", azure.account_key)
        place = {"store_url": f"az://{azure.container}/{tmp_path.name}", "store_endpoint": azure.endpoint_url}
    opened: list[cm.Registry] = []

    def opener(**settings: str) -> cm.Registry:
        given: dict[str, Any] = {"cache_dir": str(tmp_path / "cache"), "actor": "ada", **place, **settings}
        opened.append(cm.open(database_url=postgres_url, **given))
        return opened[-1]

    yield opener
    for registry in opened:
        registry.close()


def test_a_database_without_tables_says_what_to_run(team: Opener) -> None:
    with pytest.raises(Unavailable, match="chopmark db upgrade"):
        team()


def test_what_one_registers_another_loads(team: Opener, postgres_url: str, tmp_path: Path) -> None:
    upgrade_catalog(postgres_url)
    ada, bob = team(), team(actor="bob", cache_dir=str(tmp_path / "bobs-cache"))
    version = ada.register("fraud", {"threshold": 0.5}, artifacts={"other/big.bin": b"x" * 3_000_000})
    ada.promote(version, "staging", reason="r")
    ada.alias("fraud@champion", version)
    assert bob.load("fraud@champion") == {"threshold": 0.5}
    assert bob.files.verify("fraud@champion").ok
    target = bob.files.download("fraud:1", tmp_path / "out")
    assert (target / "other/big.bin").stat().st_size == 3_000_000
    assert bob.audit.verify().fault == ""
    cached = [f for f in (tmp_path / "bobs-cache").rglob("*") if f.is_file() and f.stat().st_size > 2_000_000]
    assert cached
    for file in cached:  # what is wrong in the cache is fetched again
        file.chmod(0o644)
        file.write_bytes(b"y" * 3_000_000)
    assert bob.files.verify("fraud:1").ok


def test_a_shared_registry_is_nobodys_own(team: Opener, postgres_url: str) -> None:
    upgrade_catalog(postgres_url)
    ada = team()
    version = ada.register("set", {1, 2}, format="pickle")
    with pytest.raises(Denied, match="nobody has recorded trust"):
        ada.load(version)
    ada.trust.grant(version, reason="made it myself")
    assert ada.load(version) == {1, 2}


def test_many_at_once_get_numbers_of_their_own(team: Opener, postgres_url: str) -> None:
    upgrade_catalog(postgres_url)
    people = [team(actor=name) for name in ("ada", "bob", "eve")]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda i: people[i % 3].register("fraud", {"n": i}), range(18)))
    assert sorted(v.number for v in made) == list(range(1, 19))
    assert len({v.semver for v in made}) == 18
    assert people[0].audit.verify().fault == ""


def test_a_missing_blob_is_an_integrity_failure(team: Opener, postgres_url: str) -> None:
    upgrade_catalog(postgres_url)
    ada = team()
    version = ada.register("fraud", {"threshold": 0.5})
    ada._transport.store.delete(ada.files.list(version)[0].digest)
    with pytest.raises(IntegrityFailure):
        ada.load(version)
    assert "missing" in ada.files.verify(version).faults[0].reason


def test_a_teams_registry_is_rebuilt_backed_up_and_restored_anywhere(
    team: Opener, postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    upgrade_catalog(postgres_url)
    registry = team()
    live(registry)
    before = seen(registry)
    made = registry.storage.backup(tmp_path / "backup")
    settings: dict[str, Any] = {
        "store_url": registry.settings.store_url,
        "store_endpoint": registry.settings.store_endpoint,
        "cache_dir": str(tmp_path / "cache"),
    }
    in_store = f"{registry.settings.store_url}-backup"
    assert registry.storage.backup(in_store).head == made.head
    registry.close()
    with postgres_server.database() as fresh:
        upgrade_catalog(fresh)
        assert cm.rebuild(database_url=fresh, **settings).head == made.head
        with cm.open(database_url=fresh, **settings) as rebuilt:
            assert seen(rebuilt, without=("registry.rebuilt",)) == before
            assert rebuilt.load("fraud:1") == {"threshold": 0.7}
    assert cm.restore(tmp_path / "backup", tmp_path / "laptop").head == made.head
    restored: dict[str, Any] = {
        "store_endpoint": registry.settings.store_endpoint,
        "store_url": str(tmp_path / "other" / "blobs"),
    }
    assert cm.restore(in_store, tmp_path / "other", **restored).head == made.head
    for name in ("laptop", "other"):
        with cm.open(tmp_path / name) as copy:
            assert seen(copy, without=("registry.rebuilt",)) == before
            assert all(copy.files.verify(v).ok for v in copy.versions.each())

"""Collections where a team keeps its registry: rows in PostgreSQL, bytes in an object store behind a cache."""

import threading
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.catalog import upgrade_catalog
from tests.backends.s3 import S3Server


@pytest.fixture
def place(s3_server: S3Server, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    upgrade_catalog(postgres_url)
    return {
        "database_url": postgres_url,
        "store_url": f"s3://{s3_server.bucket}/{tmp_path.name}",
        "store_endpoint": s3_server.endpoint_url,
        "cache_dir": str(tmp_path / "cache"),
        "gc_grace_hours": 0,
        "purge_after_days": 0,
    }


def test_two_register_while_a_third_collects(place: dict[str, Any]) -> None:
    problems: list[BaseException] = []

    def live(name: str) -> None:
        try:
            with cm.open(**place, actor=name) as registry:
                for n in range(6):
                    version = registry.register(name, {"t": n % 2}, allow_twin=True)
                    if n % 2:
                        registry.versions.delete(version)
        except BaseException as problem:  # noqa: BLE001 - told by the test's thread
            problems.append(problem)

    threads = [threading.Thread(target=live, args=(name,)) for name in ("ada", "bob")]
    for thread in threads:
        thread.start()
    with cm.open(**place, actor="gc") as registry:
        while any(thread.is_alive() for thread in threads):
            registry.storage.collect()
        assert problems == []
        registry.storage.collect()
        assert {v.ref for v in registry.search()} == {f"{m}:{n}" for m in ("ada", "bob") for n in (1, 3, 5)}
        assert registry.storage.check().findings == ()
        assert registry.storage.totals().blobs == 1


def test_a_cached_copy_does_not_hide_a_lost_object(place: dict[str, Any], s3_server: S3Server) -> None:
    with cm.open(**place, actor="ada") as registry:
        version = registry.register("fraud", {"t": 1})
        registry.load(version)
        (file,) = registry.files.list(version)
        digits = file.digest.removeprefix("sha256:")
        prefix = place["store_url"].rpartition("/")[2]
        key = f"{prefix}/blobs/sha256/{digits[:2]}/{digits}"
        s3_server.client.put_object(Bucket=s3_server.bucket, Key=key, Body=b"!" * file.size_bytes)
        (finding,) = registry.storage.check().findings
        assert (finding.code, finding.where) == ("blob_corrupt", file.digest)
        s3_server.client.delete_object(Bucket=s3_server.bucket, Key=key)
        (finding,) = registry.storage.check(content=False).findings
        assert finding.code == "blob_missing"
        assert registry.load(version) == {"t": 1}, "from the cache"

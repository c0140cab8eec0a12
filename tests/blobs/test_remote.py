"""What the object store promises beyond the contract: requests, parts, conditional writes, errors, addresses."""

import contextlib
import io
import os
import random
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import AlreadyExistsError
from obstore.store import MemoryStore

from chopmark.base.digest import digest_of
from chopmark.blobs import LocalStore, open_store
from chopmark.blobs.cache import CachedStore
from chopmark.blobs.keys import Listed, in_order, key_of, touch_key_of
from chopmark.blobs.objects import Address, Limits, connect, parse_address
from chopmark.blobs.remote import ObjectStore
from chopmark.blobs.transfer import parts
from chopmark.errors import Denied, InvalidRequest, NotFound, TimedOut, Unavailable, Unsupported
from tests.backends.s3 import S3Server

DATA = b"some bytes"
DIGEST = digest_of(DATA)
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


def settings(server: S3Server) -> dict[str, Any]:
    return {
        "endpoint_url": server.endpoint_url,
        "options": {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key},
    }


def opened(server: S3Server, **more: Any) -> ObjectStore:
    store = open_store(f"s3://{server.bucket}/{uuid4().hex}", **settings(server), **more)
    assert isinstance(store, ObjectStore)
    return store


def facts(server: S3Server, store: ObjectStore, key: str) -> Any:
    """What an independent client sees."""
    prefix = store.place.split("/", 3)[3]
    return server.client.head_object(Bucket=server.bucket, Key=f"{prefix}/{key}")


# What is really in the bucket


def test_a_large_blob_goes_in_parts_and_comes_back(s3_server: S3Server, tmp_path: Path) -> None:
    data = random.Random(5).randbytes(70 << 20)
    source, target = tmp_path / "model.bin", tmp_path / "out"
    source.write_bytes(data)
    store = opened(s3_server, staging=tmp_path)
    told: list[int] = []
    stat = store.put(source, progress=told.append)
    assert stat.size_bytes == sum(told) == len(data)
    head = facts(s3_server, store, key_of(stat.digest))
    assert head["ETag"].strip('"').endswith("-9"), "nine parts of 8 MiB"
    assert head["ContentLength"] == len(data)
    store.fetch(stat.digest, target)
    assert target.read_bytes() == data
    with store.open(stat.digest, offset=len(data) - 5) as reader:
        assert reader.read() == data[-5:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "out"]


def test_a_blob_is_stored_as_it_is_under_its_digest(s3_double: S3Server) -> None:
    store = opened(s3_double)
    digest = store.put(io.BytesIO(DATA)).digest
    digits = digest.removeprefix("sha256:")
    assert key_of(digest) == f"blobs/sha256/{digits[:2]}/{digits}"
    assert facts(s3_double, store, key_of(digest))["ContentLength"] == len(DATA)


def test_a_second_put_uploads_nothing_and_says_when_it_was(
    s3_double: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(s3_double)
    store.put(io.BytesIO(DATA))
    uploaded: list[str] = []
    put = obstore.put

    def watch(objects: Any, key: str, data: Any, **more: Any) -> Any:
        uploaded.append(key)
        return put(objects, key, data, **more)

    monkeypatch.setattr(obstore, "put", watch)
    stat = store.put(io.BytesIO(DATA))
    assert uploaded == [touch_key_of(DIGEST)]
    assert stat.modified_at == facts(s3_double, store, touch_key_of(DIGEST))["LastModified"]
    store.delete(DIGEST)
    with pytest.raises(s3_double.client.exceptions.ClientError):
        facts(s3_double, store, touch_key_of(DIGEST))


def test_a_blob_that_appears_while_it_is_uploaded_is_not_replaced(
    s3_double: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(s3_double)
    store.put(io.BytesIO(DATA))
    head = ObjectStore._head
    looked: list[str] = []

    def too_early(self: ObjectStore, key: str) -> Any:
        looked.append(key)
        return None if len(looked) == 1 else head(self, key)

    monkeypatch.setattr(ObjectStore, "_head", too_early)
    stat = store.put(io.BytesIO(DATA))
    assert stat.modified_at == facts(s3_double, store, touch_key_of(DIGEST))["LastModified"]


def test_a_blob_that_was_cut_short_is_replaced_by_the_next_put(s3_double: S3Server) -> None:
    store = opened(s3_double)
    store.put(io.BytesIO(DATA))
    obstore.put(store._objects, key_of(DIGEST), DATA[:-1])
    assert store.put(io.BytesIO(DATA)).size_bytes == len(DATA)
    with store.open(DIGEST) as reader:
        assert reader.read() == DATA


# Conditional writes


def ignore_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older S3-compatible server does: it takes the request and overlooks its condition."""
    put = obstore.put

    def overlook(objects: Any, key: str, data: Any, *, mode: Any = None, **more: Any) -> Any:
        del mode
        return put(objects, key, data, **more)

    monkeypatch.setattr(obstore, "put", overlook)


def test_a_store_without_conditional_writes_is_refused(s3_double: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ignore_conditions(monkeypatch)
    with pytest.raises(Unsupported, match="two conditional writes to one key") as refused:
        opened(s3_double)
    assert "lock in the database" in refused.value.hint


def test_a_lock_takes_the_place_of_conditional_writes(s3_double: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ignore_conditions(monkeypatch)
    held: list[str] = []

    @contextlib.contextmanager
    def lock(name: str) -> Iterator[None]:
        held.append(name)
        yield
        held.append("released")

    store = opened(s3_double, lock=lock)
    store.put(io.BytesIO(DATA))
    assert held == [DIGEST, "released"]


@pytest.mark.parametrize("fixture", ["s3_server", "s3_double"])
def test_the_probe_leaves_nothing(fixture: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(fixture)
    store = opened(server)
    assert store.probe() is True
    prefix = store.place.split("/", 3)[3]
    assert server.client.list_objects_v2(Bucket=server.bucket, Prefix=prefix)["KeyCount"] == 0


# Errors


def test_wrong_credentials_are_denied(s3_server: S3Server) -> None:
    wrong = settings(s3_server) | {"options": {"access_key_id": "nobody", "secret_access_key": "wrong"}}
    with pytest.raises(Denied, match="refuses the credentials"):
        open_store(f"s3://{s3_server.bucket}/x", **wrong)


def test_a_bucket_that_is_not_there_is_not_found(s3_double: S3Server) -> None:
    with pytest.raises(NotFound, match="no-such-bucket") as failed:
        open_store("s3://no-such-bucket/x", **settings(s3_double))
    assert "bucket" in failed.value.hint


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


QUICK = Limits(timeout_s=0.3, connect_timeout_s=0.3, max_retries=1, retry_timeout_s=1)
KEYS = {"access_key_id": "a", "secret_access_key": "b"}


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="Could not write in s3://bucket"):
        open_store("s3://bucket", endpoint_url=f"http://127.0.0.1:{free_port()}", options=KEYS, limits=QUICK)


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        endpoint_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimedOut):
            open_store("s3://bucket", endpoint_url=endpoint_url, options=KEYS, limits=QUICK)
        assert time.monotonic() - started < 30, "limited, and not by the default of minutes"


def test_without_the_probe_nothing_is_asked_before_it_is_needed() -> None:
    endpoint_url = f"http://127.0.0.1:{free_port()}"
    store = open_store("s3://bucket", endpoint_url=endpoint_url, options=KEYS, limits=QUICK, probe=False)
    for ask in (store.stat, store.open, store.delete, lambda _digest: list(store.list())):
        with pytest.raises(Unavailable):
            ask(DIGEST)
    with pytest.raises(Unavailable):
        store.put(io.BytesIO(DATA))


@pytest.mark.parametrize(("url", "extra"), [("s3://b/p", "s3"), ("gs://b/p", "gcs"), ("az://b/p", "azure")])
def test_a_missing_library_is_named(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "obstore"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unsupported) as failed:
        open_store(url)
    assert failed.value.hint == f"pip install 'chopmark[{extra}]'"


# Addresses and settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", Address("s3", "bucket", "")),
        ("s3://bucket/", Address("s3", "bucket", "")),
        ("gs://bucket/a/b/", Address("gs", "bucket", "a/b")),
        ("az://container/models", Address("az", "container", "models")),
    ],
)
def test_addresses(url: str, expected: Address) -> None:
    assert parse_address(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "s3://",
        "s3:///key",
        "s3://key:secret@bucket/x",
        "s3://bucket:9000/x",
        "s3://bucket/x?endpoint=y",
        "s3://bucket/x#y",
        "s3://bucket/../x",
        "s3://bucket/a//b",
        "https://bucket.example/x",
    ],
)
def test_addresses_that_cannot_be_meant(url: str) -> None:
    with pytest.raises(InvalidRequest):
        open_store(url)


def test_plain_http_stays_on_this_machine() -> None:
    address = parse_address("s3://bucket")
    with pytest.raises(InvalidRequest, match="plain HTTP"):
        connect(address, Limits(), endpoint_url="http://s3.example:8333", options=KEYS)
    with pytest.raises(InvalidRequest, match="no endpoint"):
        connect(address, Limits(), endpoint_url="s3.example:8333", options=KEYS)
    for host in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        connect(address, Limits(), endpoint_url=f"http://{host}", options=KEYS)
    connect(address, Limits(), endpoint_url="http://s3.example:8333", options=KEYS, allow_http=True)


def test_options_are_obstores(tmp_path: Path) -> None:
    connect(parse_address("gs://bucket/prefix"), Limits(), options={"skip_signature": "true"})
    with pytest.raises(InvalidRequest, match="not usable"):
        connect(parse_address("s3://bucket"), Limits(), options={"acces_key": "typo"})
    with pytest.raises(Unsupported, match="as they are"):
        open_store("s3://bucket", compression="zstd")
    assert isinstance(open_store(tmp_path), LocalStore)
    assert isinstance(open_store(str(tmp_path)), LocalStore)


def test_a_cache_is_put_before_a_remote_store(s3_double: S3Server, tmp_path: Path) -> None:
    url = f"s3://{s3_double.bucket}/{uuid4().hex}"
    store = open_store(url, **settings(s3_double), cache_dir=tmp_path / "cache", cache_quota_bytes=100)
    assert isinstance(store, CachedStore)
    assert isinstance(store.remote, ObjectStore)
    assert store.quota_bytes == 100


def test_a_staging_directory_that_is_not_there_is_reported(s3_double: S3Server, tmp_path: Path) -> None:
    store = opened(s3_double, staging=tmp_path / "gone")
    with pytest.raises(Unavailable, match="Could not stage an upload"):
        store.put(io.BytesIO(DATA))


@pytest.mark.skipif(os.environ.get("AWS_ACCESS_KEY_ID") is not None, reason="the surroundings give credentials")
def test_credentials_may_come_from_the_environment(s3_double: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_double.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_double.secret_access_key)
    store = open_store(f"s3://{s3_double.bucket}/{uuid4().hex}", endpoint_url=s3_double.endpoint_url)
    assert store.put(io.BytesIO(DATA)).digest == DIGEST


# Pure parts


@given(st.integers(0, 10_000), st.integers(1, 3_000))
def test_parts_cover_everything_once(size_bytes: int, part_bytes: int) -> None:
    found = list(parts(size_bytes, part_bytes))
    assert [number for start, end in found for number in range(start, end)] == list(range(size_bytes))
    assert all(0 < end - start <= part_bytes for start, end in found)


@given(st.sets(st.integers(0, 10_000), max_size=30), st.randoms(use_true_random=False))
def test_a_listing_is_put_in_order_whatever_the_order_in_a_folder(numbers: set[int], shuffler: random.Random) -> None:
    digests = sorted(digest_of(b"%d" % number) for number in numbers)
    listing = [Listed(key_of(digest), 5, NOON) for digest in digests]
    listing += [Listed(touch_key_of(digest), 0, NOON + timedelta(hours=1)) for digest in digests[::2]]
    listing += [Listed("blobs/sha256/zz/notes", 1, NOON), Listed("blobs/sha256/00/0011", 1, NOON)]
    shuffler.shuffle(listing)
    listing.sort(key=lambda each: each.key[:15])
    found = list(in_order(listing, ""))
    assert [stat.digest for stat in found] == digests
    assert [stat.modified_at > NOON for stat in found] == [index % 2 == 0 for index in range(len(digests))]
    assert all(stat.size_bytes == 5 for stat in found)


def test_a_mark_without_its_blob_is_no_blob() -> None:
    assert list(in_order([Listed(touch_key_of(DIGEST), 0, NOON)], "")) == []


def test_a_listing_in_no_order_is_refused() -> None:
    keys = sorted(key_of(digest_of(b"%d" % number)) for number in range(5))
    with pytest.raises(Unavailable, match="in no order"):
        list(in_order([Listed(key, 1, NOON) for key in reversed(keys)], ""))


def test_an_upload_that_was_cut_off_and_shows_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As behind a gateway that shows half an object, where the client library repeats the request by itself."""
    objects = MemoryStore()
    store = ObjectStore(cast("Any", objects), "memory", staging=tmp_path)
    data = b"weights" * 1000
    real = obstore.put
    cut: list[str] = []

    def cutting(into: Any, key: str, value: Any, **how: Any) -> Any:
        if how.get("mode") == "create" and not cut:
            cut.append(key)
            real(into, key, data[:100])
            raise AlreadyExistsError("it was there when the request was repeated")
        return real(into, key, value, **how)

    monkeypatch.setattr(obstore, "put", cutting)
    stat = store.put(io.BytesIO(data))
    assert cut
    assert stat.size_bytes == len(data)
    with store.open(stat.digest) as reader:
        assert reader.read() == data

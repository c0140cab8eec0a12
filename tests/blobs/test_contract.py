"""One contract, every store."""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore
import pytest

from chopmark.abc.blobs import BlobStore
from chopmark.blobs import LocalStore, open_store
from chopmark.blobs.keys import key_of
from chopmark.blobs.objects import Limits, connect, parse_address
from chopmark.testing.blob_suite import BlobStoreSuite, Opener, SharedBlobStoreSuite, Tamper
from chopmark.testing.memory_blobs import MemoryStore
from tests.stored_bytes import change_stored

# Small parts: the contents of the suite then go in parts, too.
LIMITS = Limits(multipart_from_bytes=5 << 20, part_bytes=5 << 20)


class TestMemory(BlobStoreSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def tamper(self, store: MemoryStore) -> Tamper:
        def change_bytes(digest: str, change: Callable[[bytes], bytes]) -> None:
            store.blobs[digest] = change(store.blobs[digest])

        return change_bytes


def tamper_in(root: Path) -> Tamper:
    return functools.partial(change_stored, root)


class LocalSuite(SharedBlobStoreSuite):
    compression: Any

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return functools.partial(LocalStore, tmp_path / "store", compression=self.compression)

    @pytest.fixture
    def tamper(self, tmp_path: Path) -> Tamper:
        return tamper_in(tmp_path / "store")


class TestLocalPlain(LocalSuite):
    compression = "none"


class TestLocalCompressed(LocalSuite):
    compression = "zstd"


class RemoteSuite(SharedBlobStoreSuite):
    """A place of its own in a bucket for each test."""

    cached = False

    @pytest.fixture
    def settings(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        raise NotImplementedError

    @pytest.fixture
    def opener(self, settings: dict[str, Any], tmp_path: Path) -> Opener:
        cache: dict[str, Any] = {"cache_dir": tmp_path / "cache", "cache_quota_bytes": 8 << 20} if self.cached else {}
        return functools.partial(open_store, limits=LIMITS, **settings, **cache)

    @pytest.fixture
    def tamper(self, settings: dict[str, Any]) -> Tamper:
        facts = dict(settings)
        objects = connect(parse_address(facts.pop("url")), LIMITS, **facts)

        def change_object(digest: str, change: Callable[[bytes], bytes]) -> None:
            data = bytes(obstore.get(objects, key_of(digest)).bytes())
            obstore.put(objects, key_of(digest), change(data), use_multipart=False)

        return change_object


def s3_settings(server: Any) -> dict[str, Any]:
    return {
        "url": f"s3://{server.bucket}/{uuid4().hex}",
        "endpoint_url": server.endpoint_url,
        "options": {
            "access_key_id": server.access_key_id,
            "secret_access_key": server.secret_access_key,
            "region": server.region,
        },
    }


class S3Suite(RemoteSuite):
    """With entity tags that are MD5."""

    def test_what_somebody_wrote_over_is_repaired_by_the_original(self, store: BlobStore, tamper: Tamper) -> None:
        digest = store.put(io.BytesIO(b"the original")).digest
        tamper(digest, lambda data: data[::-1])
        assert store.put(io.BytesIO(b"the original")).digest == digest
        with store.open(digest) as reader:
            assert reader.read() == b"the original"


class TestSeaweedFS(S3Suite):
    @pytest.fixture
    def settings(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return s3_settings(request.getfixturevalue("s3_server"))


class TestMoto(S3Suite):
    @pytest.fixture
    def settings(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return s3_settings(request.getfixturevalue("s3_double"))


class TestCachedSeaweedFS(TestSeaweedFS):
    cached = True


class TestAzurite(RemoteSuite):
    @pytest.fixture
    def settings(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        server = request.getfixturevalue("azurite_server")
        return {
            "url": f"az://{server.container}/{uuid4().hex}",
            "endpoint_url": server.endpoint_url,
            "options": {"account_name": server.account, "account_key": server.account_key},
        }


class TestCachedLocal(SharedBlobStoreSuite):
    """The cache before something quick: every race of the suite, many more times a second."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return functools.partial(cached_local, tmp_path)

    @pytest.fixture
    def tamper(self, tmp_path: Path) -> Tamper:
        return tamper_in(tmp_path / "store")


def cached_local(directory: Path) -> BlobStore:
    from chopmark.blobs.cache import CachedStore

    return CachedStore(LocalStore(directory / "store"), directory / "cache", quota_bytes=1 << 20)

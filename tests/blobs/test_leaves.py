"""Leaf digests: the same from every store, verified in part, and a file that was verified is not hashed again."""

import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

import chopmark as cm
from chopmark.abc.blobs import BlobStore
from chopmark.base.digest import digest_of
from chopmark.base.leaves import LEAF_BYTES, LeafHasher, are_leaves, leaf_count, leaf_range
from chopmark.blobs import LocalStore, open_store, stored, verifying
from chopmark.blobs.cache import CachedStore
from chopmark.blobs.keys import key_of
from chopmark.blobs.objects import Limits, connect, parse_address
from chopmark.errors import IntegrityFailure, InvalidRequest
from chopmark.testing.memory_blobs import MemoryStore
from tests.stored_bytes import change_stored, place_of

NOISE = random.Random(3).randbytes(LEAF_BYTES * 2 + 12_345)
TEXT = b"".join(b"%08d;" % number for number in range(LEAF_BYTES // 6))
LEAVES = tuple(blake3(NOISE[at : at + LEAF_BYTES]).hexdigest() for at in range(0, len(NOISE), LEAF_BYTES))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# The hasher


@given(lengths=st.lists(st.integers(0, 9 << 20), max_size=6))
def test_leaves_do_not_depend_on_the_pieces(lengths: list[int]) -> None:
    data = NOISE[: sum(lengths)]
    hasher, at = LeafHasher(), 0
    for length in lengths:
        hasher.update(data[at : at + length])
        at += length
    leaves = hasher.leaves()
    assert len(leaves) == leaf_count(len(data))
    assert are_leaves(leaves, len(data))
    whole = len(data) // LEAF_BYTES
    assert leaves[:whole] == (LEAVES[:whole] if leaves else ())


@given(offset=st.integers(0, 90 << 20), length=st.none() | st.integers(0, 90 << 20), size=st.integers(1, 70 << 20))
def test_the_leaves_of_a_range_hold_it(offset: int, length: int | None, size: int) -> None:
    begin, end = leaf_range(offset, length, size)
    wanted_end = size if length is None else min(size, offset + length)
    assert begin % LEAF_BYTES == 0
    assert end % LEAF_BYTES == 0 or end == size
    assert 0 <= begin < end <= size
    assert begin <= min(offset, size)
    assert end >= wanted_end or wanted_end <= begin


# Every way of storing


@pytest.fixture(params=["file", "stream", "consumed"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[BlobStore, bytes], Any]:
    def put(store: BlobStore, data: bytes) -> Any:
        if request.param == "stream":
            return store.put(io.BytesIO(data))
        path = tmp_path / "source"
        path.write_bytes(data)
        return store.put(path, consume=request.param == "consumed")

    return put


@pytest.mark.parametrize("kind", ["plain", "zstd", "memory"])
@pytest.mark.parametrize("data", [NOISE, TEXT], ids=["noise", "text"])
def test_every_store_computes_the_same_leaves(way: Any, kind: str, data: bytes, root: Path) -> None:
    store = MemoryStore() if kind == "memory" else LocalStore(root, compression="zstd" if kind == "zstd" else "none")
    hasher = LeafHasher()
    hasher.update(data)
    stat = way(store, data)
    assert stat.digest == digest_of(data)
    assert stat.leaves == hasher.leaves() != ()
    found = store.stat(stat.digest)
    assert found is not None
    assert found.leaves == ()


def test_what_fits_into_one_leaf_has_none(root: Path) -> None:
    assert LocalStore(root).put(io.BytesIO(NOISE[:LEAF_BYTES])).leaves == ()


# Reading


@pytest.fixture
def store(root: Path) -> LocalStore:
    store = LocalStore(root)
    store.put(io.BytesIO(NOISE))
    return store


def test_a_range_asks_for_its_own_leaves_only(store: LocalStore, root: Path) -> None:
    digest = digest_of(NOISE)
    change_stored(root, digest, lambda data: flip(data, LEAF_BYTES + 5))
    for offset, length in ((0, 100), (LEAF_BYTES - 100, 100), (2 * LEAF_BYTES, None), (len(NOISE) + 5, 10)):
        with store.open(digest, offset=offset, length=length, leaves=LEAVES) as reader:
            assert reader.read() == NOISE[offset:][:length]
    for offset, length in ((0, LEAF_BYTES + 1), (LEAF_BYTES, 1), (LEAF_BYTES - 1, 2), (0, None)):
        with pytest.raises(IntegrityFailure, match="damaged"):
            store.open(digest, offset=offset, length=length, leaves=LEAVES)


def test_leaves_of_something_else_open_nothing(store: LocalStore) -> None:
    digest = digest_of(NOISE)
    for leaves in (LEAVES[:-1], (*LEAVES, LEAVES[0]), (LEAVES[0],) * 3, ("x",) * 3):
        with pytest.raises(IntegrityFailure):
            store.open(digest, leaves=leaves)


def test_a_fetch_verifies_the_leaves(store: LocalStore, root: Path, tmp_path: Path) -> None:
    told: list[int] = []
    store.fetch(digest_of(NOISE), tmp_path / "out", leaves=LEAVES, progress=told.append)
    assert (tmp_path / "out").read_bytes() == NOISE
    assert sum(told) == len(NOISE)
    change_stored(root, digest_of(NOISE), lambda data: flip(data, -3 % len(data)))
    with pytest.raises(IntegrityFailure):
        store.fetch(digest_of(NOISE), tmp_path / "out", leaves=LEAVES)
    assert (tmp_path / "out").read_bytes() == NOISE


# Remembering


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was hashed by which way."""
    calls: list[str] = []
    for module, name in ((verifying, "leaf_digest"), (verifying, "hash_file"), (stored, "digest_of")):
        real = getattr(module, name)

        def counting(*given: Any, real: Any = real, name: str = name) -> Any:
            calls.append(name)
            return real(*given)

        monkeypatch.setattr(module, name, counting)
    return calls


def settle(root: Path, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the file were written long ago."""
    path, _, _ = place_of(root, digest)
    later_s = path.stat().st_ctime + 60
    monkeypatch.setattr("time.time", lambda: later_s)


@pytest.mark.parametrize("size", [2 << 20, len(NOISE)])
def test_a_file_is_hashed_once_until_it_changes(
    root: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    data = NOISE[:size]
    digest = LocalStore(root).put(io.BytesIO(data)).digest
    settle(root, digest, monkeypatch)

    def read(**how: Any) -> int:
        hashed.clear()
        store = LocalStore(root)  # each as another process would
        with store.open(digest, **how) as reader:
            assert reader.read() == data
        store.close()
        return len(hashed)

    assert read(verify="changed") == 1
    assert read(verify="changed") == 0
    assert read(verify="always") == 1
    hashed.clear()
    LocalStore(root).fetch(digest, tmp_path / "out", verify="changed")
    assert (hashed, (tmp_path / "out").read_bytes()) == ([], data)
    path, _, _ = place_of(root, digest)
    seen = path.stat()
    change_stored(root, digest, lambda data: flip(data, 77))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    for ask in (
        lambda s: s.open(digest, verify="changed"),
        lambda s: s.fetch(digest, tmp_path / "o", verify="changed"),
    ):
        with pytest.raises(IntegrityFailure):
            ask(LocalStore(root))


def test_a_file_that_was_written_a_moment_ago_is_hashed_again(root: Path, hashed: list[str]) -> None:
    store = LocalStore(root)
    digest = store.put(io.BytesIO(NOISE[: 2 << 20])).digest
    for _ in range(2):
        hashed.clear()
        store.open(digest, verify="changed").close()
        assert hashed == ["digest_of"], "within two seconds a second change may not show in its times"


def test_a_part_that_was_verified_says_nothing_of_the_rest(
    store: LocalStore, root: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = digest_of(NOISE)
    settle(root, digest, monkeypatch)
    store.open(digest, offset=0, length=5, leaves=LEAVES, verify="changed").close()
    assert hashed == ["leaf_digest"]
    hashed.clear()
    store.open(digest, leaves=LEAVES, verify="changed").close()
    assert hashed == ["leaf_digest"] * 3


# Object stores


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> dict[str, Any]:
    server = request.getfixturevalue("s3_double")
    return {
        "url": f"s3://{server.bucket}/leaves",
        "endpoint_url": server.endpoint_url,
        "options": {
            "access_key_id": server.access_key_id,
            "secret_access_key": server.secret_access_key,
            "region": server.region,
        },
    }


def test_a_range_of_an_object_downloads_its_leaves_only(bucket: dict[str, Any], tmp_path: Path) -> None:
    import obstore

    remote = open_store(**bucket)
    stat = remote.put(io.BytesIO(NOISE))
    assert stat.leaves == LEAVES
    objects = connect(parse_address(bucket["url"]), Limits(), **{k: v for k, v in bucket.items() if k != "url"})
    obstore.put(objects, key_of(stat.digest), flip(NOISE, 10))
    for offset, length in ((LEAF_BYTES, 7), (LEAF_BYTES + 3, LEAF_BYTES), (2 * LEAF_BYTES + 1, None)):
        with remote.open(stat.digest, offset=offset, length=length, leaves=LEAVES) as reader:
            assert reader.read() == NOISE[offset:][:length]
            assert reader.seek(0) == 0
    for leaves in (LEAVES, ()):
        with pytest.raises(IntegrityFailure):
            remote.open(stat.digest, offset=5, length=7, leaves=leaves)
    remote.put(io.BytesIO(NOISE))
    obstore.put(objects, key_of(stat.digest), NOISE)
    cached = CachedStore(remote, tmp_path / "cache", 1 << 30)
    for _ in range(2):
        with cached.open(stat.digest, offset=3, length=9, leaves=LEAVES, verify="changed") as reader:
            assert reader.read() == NOISE[3:12]


# A registry


def test_a_registered_file_has_its_leaves_in_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(NOISE)
    with cm.open(tmp_path / "registry") as registry:
        version = registry.register("big", path=tmp_path / "weights.bin", artifacts={"card/README.md": b"# big"})
        card, weights = registry.files.list(version)
        assert (card.leaves, weights.leaves) == ((), LEAVES)
        with registry.files.open(version, weights.path, offset=LEAF_BYTES, length=4) as part:
            assert part.read() == NOISE[LEAF_BYTES:][:4]
        registry.files.export(version, tmp_path / "big.chopmark")
        assert registry.files.verify(version).ok
        with pytest.raises(InvalidRequest, match="no way to verify"):
            registry.load(version, verify="sometimes")  # type: ignore[arg-type]
        assert registry.load(version, verify="always") is not None
    with cm.open(tmp_path / "other") as registry:
        assert registry.files.import_file(tmp_path / "big.chopmark").digest == version.digest
        assert [file.leaves for file in registry.files.list("big")] == [(), LEAVES]

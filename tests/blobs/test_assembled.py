"""Safetensors files in parts: what they share is stored once, and a plain, whole file is always to be had."""

import functools
import io
import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save_file

import chopmark as cm
from chopmark.base.digest import digest_of
from chopmark.blobs import LocalStore
from chopmark.blobs.tensors import header_length, part_bounds
from chopmark.errors import IntegrityFailure, NotFound
from chopmark.testing.blob_suite import Opener, SharedBlobStoreSuite, Tamper
from tests.stored_bytes import change_stored

NOISE = np.random.default_rng(0).standard_normal((8, 300_000)).astype(np.float32)


def saved(path: Path, *, head: int = 0, **metadata: str) -> Path:
    """A model of eight large tensors and some small ones; only the head and the metadata differ."""
    tensors = {f"layer{n}.weight": row for n, row in enumerate(NOISE)}
    tensors |= {f"layer{n}.bias": np.full(50, n, np.float32) for n in range(8)}
    tensors["head"] = np.full(1000, head, np.float32)
    save_file(tensors, path, metadata)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root, tensors=True)


def used(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and "index.db" not in path.name)


class TestAssembled(SharedBlobStoreSuite):
    """The contract, with contents of which none is a safetensors file."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return functools.partial(LocalStore, tmp_path / "store", tensors=True)

    @pytest.fixture
    def tamper(self, tmp_path: Path) -> Tamper:
        return functools.partial(change_stored, tmp_path / "store")


# Where to cut


def test_a_file_of_the_library_is_cut_at_its_tensors(tmp_path: Path) -> None:
    data = saved(tmp_path / "m.safetensors").read_bytes()
    length = header_length(data[:9], len(data))
    assert length is not None
    bounds = part_bounds(data[8 : 8 + length], len(data))
    assert bounds is not None
    assert (bounds[:2], bounds[-1]) == ([0, 8 + length], len(data))
    assert bounds == sorted(bounds)
    large = {end - start for start, end in itertools.pairwise(bounds)}
    assert len(bounds) - 1 == 1 + 8 + 8, "the header, the small ones of each layer, and its large one"
    assert max(large) >= NOISE[0].nbytes


@given(data=st.binary(max_size=200))
def test_whatever_a_header_says_it_is_cut_well_or_not_at_all(data: bytes) -> None:
    bounds = part_bounds(data, 8 + len(data) + 100)
    assert bounds is None or (bounds[0], bounds[-1], bounds) == (0, 108 + len(data), sorted(set(bounds)))


@pytest.mark.parametrize(
    "spans",
    [[(0, 50)], [(0, 60), (50, 100)], [(10, 100)], [(0, 101)], [(0, -1)], [(60, 100), (0, 50)], [], ["x"], [(0, 1, 2)]],
)
def test_a_header_that_does_not_account_for_every_byte_is_none(spans: list[object]) -> None:
    header = json.dumps(
        {f"t{n}": {"dtype": "U8", "shape": [], "data_offsets": s} for n, s in enumerate(spans)}
    ).encode()
    assert part_bounds(header, 8 + len(header) + 100) is None
    assert part_bounds(b'{"a":' * 100_000, 10**7) is None


# Storing


def test_tensors_that_are_shared_are_stored_once(store: LocalStore, root: Path, tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{n}.safetensors", head=n, epoch=str(n)) for n in range(5)]
    stats = [store.put(file) for file in files]
    assert len({stat.digest for stat in stats}) == 5
    assert used(root) < 1.05 * files[0].stat().st_size
    assert [stat.digest for stat in store.list()] == sorted(stat.digest for stat in stats)
    for file, stat in zip(files, stats, strict=True):
        assert stat == store.stat(stat.digest)
        with store.open(stat.digest) as reader:
            assert reader.read() == file.read_bytes()
        with store.open(stat.digest, offset=1_000_000, length=10) as reader:
            assert reader.read() == file.read_bytes()[1_000_000:1_000_010]
        store.fetch(stat.digest, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == file.read_bytes()
        assert load((tmp_path / "out").read_bytes())["layer3.weight"].shape == (300_000,)


def test_a_part_goes_with_the_last_blob_that_is_made_of_it(store: LocalStore, root: Path, tmp_path: Path) -> None:
    first, second = (store.put(saved(tmp_path / f"{n}", head=n)).digest for n in range(2))
    assert store.delete(first)
    assert not store.delete(first)
    with pytest.raises(NotFound):
        store.open(first)
    with store.open(second) as reader:
        assert digest_of(reader.read()) == second
    assert store.delete(second)
    assert list(store._assembled._parts.list()) == []
    assert used(root) < 200_000, "what is left is the dead part of a small pack"


def test_a_damaged_or_lost_part_is_found_and_mended(store: LocalStore, root: Path, tmp_path: Path) -> None:
    file = saved(tmp_path / "m")
    digest = store.put(file).digest
    part = next(stat for stat in store._assembled._parts.list() if stat.size_bytes > 1_000_000).digest
    for damage in (
        lambda: change_stored(root / "parts", part, lambda data: data[:9] + b"?" + data[10:]),
        lambda: store._assembled._parts.delete(part),
    ):
        damage()
        for ask in (lambda: store.open(digest), lambda: store.fetch(digest, tmp_path / "out")):
            with pytest.raises(IntegrityFailure, match="parts"):
                ask()
        assert not (tmp_path / "out").exists()
        assert store.put(file).digest == digest
        store.open(digest).close()


def test_a_plan_that_names_other_parts_is_found(store: LocalStore, root: Path, tmp_path: Path) -> None:
    one, two = (store.put(saved(tmp_path / f"{n}", head=n)).digest for n in range(2))
    plans = [root / "assembled" / d[7:9] / d[9:] for d in (one, two)]
    plans[0].chmod(0o644)
    plans[0].write_bytes(plans[1].read_bytes())
    with pytest.raises(IntegrityFailure):
        store.open(one)
    plans[0].write_bytes(b"{")
    with pytest.raises(IntegrityFailure):
        store.stat(one)
    store.open(two).close()


def test_parts_of_a_put_that_was_cut_off_are_swept_after_their_grace(root: Path, tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    store = LocalStore(root, tensors=True, clock=lambda: now)
    kept = store.put(saved(tmp_path / "kept")).digest
    gone = store.put(saved(tmp_path / "gone", head=9)).digest
    (root / "assembled" / gone[7:9] / gone[9:]).unlink()  # as if it were killed before it came to this
    now += timedelta(hours=1)
    assert store.leftovers(now - timedelta(hours=2)) == []
    left = store.leftovers(now)
    assert [each.name.startswith("parts/sha256:") for each in left] == [True] * len(left) != []
    assert store.remove_leftovers(now) == left
    assert store.leftovers(now) == []
    store.open(kept).close()


def test_a_file_that_is_there_whole_stays_whole_and_other_files_do_too(root: Path, tmp_path: Path) -> None:
    file = saved(tmp_path / "m")
    digest = LocalStore(root).put(file).digest
    store = LocalStore(root, tensors=True)
    assert store.put(file).digest == digest
    other = tmp_path / "other"
    other.write_bytes(random.Random(1).randbytes(2 << 20))
    store.put(other)
    store.put(io.BytesIO(file.read_bytes() + b"x"))
    assert not (root / "assembled").exists()


# In a registry


def test_a_registry_with_the_layout_looks_like_any_other(tmp_path: Path) -> None:
    with cm.open(tmp_path / "registry", safetensors="tensors") as registry:
        for n in range(3):
            registry.register("llm", path=saved(tmp_path / "model.safetensors", head=n), params={"n": n})
        assert used(tmp_path / "registry" / "blobs") < 1.2 * (tmp_path / "model.safetensors").stat().st_size
        assert registry.load("llm:2")["head"][0] == 1
        assert registry.storage.check().ok
        registry.storage.backup(tmp_path / "backup")
        registry.files.export("llm:1", tmp_path / "llm.chopmark")
        registry.versions.delete("llm:3")
    cm.restore(tmp_path / "backup", tmp_path / "again")
    with cm.open(tmp_path / "again") as registry:
        assert registry.load("llm:3")["head"][0] == 2
    with cm.open(tmp_path / "registry") as registry:
        target = registry.files.download("llm:1", tmp_path / "out")
        (file,) = [path for path in target.rglob("*") if path.is_file()]
        assert load(file.read_bytes())["head"][0] == 0
        assert file.stat().st_size == registry.files.list("llm:1")[0].size_bytes

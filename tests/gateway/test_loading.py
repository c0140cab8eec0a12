"""What a gateway loads, where, and by whose leave."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from sklearn.linear_model import LogisticRegression

import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.domain.endpoints import EndpointConfig
from chopmark.domain.traffic import PinnedVersion
from chopmark.errors import Denied, IntegrityFailure, Unavailable
from chopmark.ops.requests import GetTrust, GetVersion, ListAudit
from chopmark.server import data_plane
from chopmark.server.data_plane import DataPlane, load_apart
from chopmark.server.provisions import Provisions, Taken, provisions_for, with_members
from chopmark.wiring import DATABASE_FILE, connect
from tests.gateway.conftest import rows

DATA = rows(60)
TRUTH = (DATA[:, 0] > 0).astype(int)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """``safe:1`` loads as it is, ``pickled:1`` runs code, ``both:1`` is an ensemble of them, ``calm:1`` one of ``safe:1``."""
    model = LogisticRegression().fit(DATA, TRUTH)
    with cm.open(tmp_path / "registry", actor="ada") as registry:
        registry.register("safe", model, example=DATA)
        registry.register("pickled", model, example=DATA, format="joblib")
        registry.register("calm", members=["safe:1"], combine="vote", example=DATA)
        registry.register("both", members=["safe:1", "pickled:1"], combine="vote", example=DATA)
    return tmp_path / "registry"


@contextmanager
def plane_of(directory: Path, *, asks_callers: bool = False, **settings: object) -> Iterator[tuple[DataPlane, Any]]:
    """A gateway over the registry of a directory, that nobody asks yet; and its transport."""
    resolved = load_settings({"url": str(directory), "actor": "ada", **settings}, environ={})
    transport = connect(resolved)
    yield DataPlane(transport, None, resolved.settings, address="here", asks_callers=asks_callers), transport
    transport.close()


def pinned(directory: Path, ref: str) -> PinnedVersion:
    with cm.open(directory) as registry:
        found = registry.get(ref)
    return PinnedVersion(id=found.id, model=found.model, number=found.number, digest=found.digest)


def loaded(plane: DataPlane, version: PinnedVersion, **config: Any) -> str:
    """Where a version came to run, and that it answers."""

    async def load() -> str:
        execution: Any = await plane._load(version, EndpointConfig(**config))
        answered = await execution.run(DATA[:3], 3, (), 30.0)
        kind: str = execution.kind
        await execution.close(5.0)
        assert [len(array) for array in answered.values()] == [3]
        return kind

    return asyncio.run(load())


def test_other_bytes_than_those_of_the_endpoint_are_not_loaded(directory: Path) -> None:
    version = pinned(directory, "safe:1")
    with plane_of(directory) as (plane, _):
        assert loaded(plane, version) in ("inline", "thread")
        with pytest.raises(IntegrityFailure, match=r"safe:1 is sha256:.*, and the endpoint was set to sha256:0000"):
            loaded(plane, structs.replace(version, digest="sha256:" + "0" * 64))


def test_a_version_that_has_no_room_is_not_loaded(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_plane, "available_bytes", lambda: 64 << 20)
    with plane_of(directory) as (plane, _), pytest.raises(Unavailable, match="safe:1 has"):
        loaded(plane, pinned(directory, "safe:1"))


def test_an_ensemble_runs_where_its_members_would(directory: Path) -> None:
    with plane_of(directory) as (plane, _):
        assert loaded(plane, pinned(directory, "calm:1")) != "process"
        assert loaded(plane, pinned(directory, "pickled:1")) == "process"
        assert loaded(plane, pinned(directory, "both:1")) == "process"
        assert loaded(plane, pinned(directory, "both:1"), execution="thread") == "thread"  # because somebody says so


def test_the_members_of_an_ensemble_take_room_too(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(data_plane, "check_memory", lambda ref, size_bytes, available: asked.append(size_bytes))  # noqa: ARG005
    with plane_of(directory) as (plane, transport):
        loaded(plane, pinned(directory, "both:1"))
        versions = with_members(transport, plane._looked_up(pinned(directory, "both:1"))[0])
    assert versions[0].ref == "both:1"
    assert {version.ref for version in versions[1:]} == {"safe:1", "pickled:1"}
    assert asked[0] == sum(version.size_bytes for version in versions) > versions[0].size_bytes


@pytest.mark.parametrize("ref", ["pickled:1", "both:1"])
@pytest.mark.parametrize("execution", ["auto", "process", "thread"])
def test_where_callers_need_tokens_code_runs_only_once_it_is_trusted_by_name(
    directory: Path, ref: str, execution: Any
) -> None:
    with plane_of(directory, asks_callers=True, trust="own_registry") as (plane, transport):
        with pytest.raises(Denied, match="pickled:1"):
            loaded(plane, pinned(directory, ref), execution=execution)
        assert transport.call(GetTrust(ref="pickled:1")).items == []
        assert loaded(plane, pinned(directory, "safe:1"), execution=execution)
    with cm.open(directory, actor="ada") as registry:
        registry.trust.grant("pickled:1", reason="looked at")
    with plane_of(directory, asks_callers=True, trust="own_registry") as (plane, _):
        assert loaded(plane, pinned(directory, ref), execution=execution) == execution.replace("auto", "process")


def test_where_nobody_is_asked_ones_own_registry_is_trusted_and_that_is_recorded(directory: Path) -> None:
    with plane_of(directory, trust="own_registry") as (plane, transport):
        assert loaded(plane, pinned(directory, "pickled:1")) == "process"
        (decision,) = transport.call(GetTrust(ref="pickled:1")).items
        assert decision.basis == "own_registry"
        loaded(plane, pinned(directory, "pickled:1"))
        assert len(transport.call(GetTrust(ref="pickled:1")).items) == 1


@pytest.mark.parametrize("ref", ["safe:1", "pickled:1", "both:1"])
def test_what_a_process_takes_along_is_enough(directory: Path, ref: str) -> None:
    """Nothing is left of the database when it loads."""
    with plane_of(directory) as (plane, transport):
        versions = plane._looked_up(pinned(directory, ref))
        taken = provisions_for(transport, plane._settings, versions)
    for file in directory.glob(f"{DATABASE_FILE}*"):
        file.unlink()
    arrived: Provisions = pickle.loads(pickle.dumps(taken))
    predictor = load_apart(arrived)
    (answered,) = predictor.predict(DATA).values()
    assert np.mean(np.asarray(answered) == TRUTH) > 0.9
    assert not list(directory.glob(f"{DATABASE_FILE}*"))


def test_bytes_that_changed_since_are_not_loaded(directory: Path) -> None:
    with plane_of(directory) as (plane, transport):
        versions = plane._looked_up(pinned(directory, "safe:1"))
        taken = provisions_for(transport, plane._settings, versions)
    changed = 0
    for file in (directory / "blobs").rglob("*"):
        if file.is_file() and file.suffix not in (".db", ".lock"):
            data = file.read_bytes()
            if b"PK\x03\x04" in data:
                file.chmod(0o644)
                file.write_bytes(data.replace(b"sklearn.linear_model", b"sklearn.linear_modem"))
                changed += 1
    assert changed
    with pytest.raises(IntegrityFailure):
        load_apart(taken)


def test_a_process_asks_the_registry_nothing_else(directory: Path) -> None:
    with plane_of(directory) as (plane, transport):
        taken = Taken(provisions_for(transport, plane._settings, plane._looked_up(pinned(directory, "safe:1"))))
    assert taken.call(GetTrust(ref="safe:1")).items == []
    for request in (GetVersion(ref="other:1"), GetTrust(ref="other:1"), ListAudit()):
        with pytest.raises(Unavailable, match=type(request).__name__):
            taken.call(request)
    taken.close()

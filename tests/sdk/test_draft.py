"""What a draft asks and leaves: a plan before bytes, none without any, and no file of its own."""

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest

from chopmark.errors import ChopmarkError, Conflict
from chopmark.ops.requests import PlanVersion, RegisterVersion, Request
from chopmark.sdk.registry import Registry
from chopmark.testing.registry import memory_registry


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def asked(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The types of the requests that the registry makes from now on."""
    kinds: list[type] = []
    call = registry._transport.call

    def noted(request: Request, **how: Any) -> Any:
        kinds.append(type(request))
        return call(request, **how)

    monkeypatch.setattr(registry._transport, "call", noted)
    return kinds


def refused(registry: Registry) -> None:
    with registry.draft("fraud") as draft:
        draft.add_model({"threshold": 0.8})
        draft.add_artifact("nowhere", b"x")


def test_bytes_are_planned_for_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = memory_registry()
    kinds = asked(registry, monkeypatch)
    registry.register("fraud", {"threshold": 0.7})
    registry.register("elsewhere", uri="s3://models/1", digest="sha256:" + "0" * 64)
    assert kinds == [PlanVersion, RegisterVersion, RegisterVersion]


def test_a_refusal_stores_no_bytes_with_files_and_leaves_no_version_without() -> None:
    registry = memory_registry()
    registry.register("fraud", {"threshold": 0.7}, semver="1.0.0")
    before = set(registry._transport.store.list())
    with pytest.raises(Conflict):
        registry.register("fraud", {"threshold": 0.8}, semver="1.0.0")
    with pytest.raises(Conflict):
        registry.register("fraud", uri="s3://models/1", digest="sha256:" + "0" * 64)
    assert set(registry._transport.store.list()) == before
    assert [v.number for v in registry.versions.list("fraud")] == [1]


def test_temporary_files_go_and_are_made_only_for_files(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    mkdtemp = tempfile.mkdtemp

    def noted(**options: Any) -> str:
        made.append(mkdtemp(**options))
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", noted)
    registry = memory_registry()
    registry.register("elsewhere", uri="s3://models/1", digest="sha256:" + "0" * 64)
    assert not made
    registry.register("fraud", {"threshold": 0.7}, artifacts={"explainer/notes.json": {"a": 1}, "card/x.md": b"x"})
    assert len(made) == 3
    with pytest.raises(ChopmarkError):
        refused(registry)
    assert list(scratch.iterdir()) == []


def test_what_was_registered_stays_so_when_its_temporary_files_cannot_be_removed(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("chopmark.sdk.draft.shutil.rmtree", failing)
    version = registry.register("fraud", {"threshold": 0.5})
    assert version.number == 1
    assert registry.load("fraud:1") == {"threshold": 0.5}

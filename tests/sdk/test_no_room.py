"""Where a version's files are made ready, there may be no room, or no access: told as any other refusal."""

import errno
import io
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.errors import InvalidRequest, Unavailable
from chopmark.sdk import files


@pytest.fixture
def no_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any, **named: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", f"/full/{named['prefix']}x")

    monkeypatch.setattr("chopmark.sdk.draft.tempfile.mkdtemp", full)


@pytest.mark.usefixtures("no_scratch")
@pytest.mark.parametrize(
    "asked",
    [
        {"model": {"t": 1}},
        {"config": {"model": "m", "provider": "p"}, "artifacts": {"other/a": b"bytes"}},
        {"config": {"model": "m", "provider": "p"}, "artifacts": {"other/a.json": {"t": 1}}},
    ],
)
def test_no_room_for_temporary_files_is_told(local: cm.Registry, asked: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="No space left") as told:
        local.register("fraud", **asked)
    assert told.value.hint == "Make room there, or point TMPDIR at another directory, then register again."
    assert list(local.versions.each()) == []


def test_a_file_that_cannot_be_looked_at_is_told(
    local: cm.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "one.bin").write_bytes(b"one")
    seen = Path.lstat

    def broken(path: Path) -> Any:
        if path.name == "one.bin":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return seen(path)

    monkeypatch.setattr(files.Path, "lstat", broken)
    with pytest.raises(InvalidRequest, match="Input/output error") as told:
        local.register("fraud", path=tmp_path / "files")
    assert told.value.hint


def test_what_vanishes_before_it_is_stored_has_no_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = files.Source("model/a", "weights", tmp_path / "a")
    assert source.size_bytes == 0

    def broken(_path: Path) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.Path, "stat", broken)
    assert source.size_bytes == 0


def test_a_file_that_cannot_be_closed_after_it_was_stored_is_no_refusal(
    local: cm.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unclosed(io.BytesIO):
        def close(self) -> None:
            super().close()
            raise OSError(errno.EIO, "Input/output error")

    opened = files.Path.open

    def open_unclosed(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = opened(path, mode, *arguments, **named)
        if mode != "rb" or path.name != "model.json":
            return file
        with file:
            return Unclosed(file.read())

    monkeypatch.setattr(files.Path, "open", open_unclosed)
    version = local.register("fraud", {"t": 1})
    monkeypatch.undo()
    assert local.load(version) == {"t": 1}

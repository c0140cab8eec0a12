"""Bad input gets a clear error and leaves nothing: no model, no event, no file."""

import math
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.domain.manifest import FileEntry, Manifest
from chopmark.errors import ChopmarkError, Conflict, IntegrityFailure, InvalidRequest, NotFound, Unavailable
from chopmark.ops.requests import RegisterVersion


def footprint(registry: cm.Registry) -> tuple[int, int, list[str]]:
    """How many models and events there are, and which files."""
    files = sorted(
        f"{p.name} {p.stat().st_size}" for p in (Path(registry.location) / "blobs").rglob("*") if p.is_file()
    )
    return len(registry.models.list(deleted=True)), len(registry.audit.list(limit=1000)), files


@pytest.mark.parametrize(
    "name",
    ["", " ", "..", "../x", "a/b/c", "a//b", "frаud", "a\0b", "x" * 1_000_000, "a:b", "a@b", "a#1", "\u202efraud", "-"],
)
def test_odd_names(local: cm.Registry, name: str) -> None:
    before = footprint(local)
    with pytest.raises(InvalidRequest) as caught:
        local.register(name, {"a": 1})
    assert len(str(caught.value)) < 500
    assert footprint(local) == before


@pytest.mark.parametrize(
    "facts",
    [
        {"metrics": {"f1": math.nan}},
        {"metrics": {"f1": math.inf}},
        {"metrics": {"f1": "high"}},
        {"metrics": {"": 1}},
        {"tags": {"a": 5}},
        {"tags": {"a": "\0"}},
        {"tags": {"": "x"}},
        {"semver": "1.0"},
        {"semver": "v1.0.0"},
        {"semver": "1.0.0", "bump": "major"},
        {"bump": "huge"},
        {"description": "a\0b"},
        {"description": "x" * 200_000},
        {"owner": "\ud800"},
        {"cost_per_request": math.nan},
        {"cost_per_request": -1},
        {"params": {"a": object()}},
        {"params": {"a": math.nan}},
        {"metadata": {"a": {1, 2}.__iter__()}},
        {"colour": "red"},
        {"artifacts": {"nonsense/x": b"1"}},
        {"artifacts": {"other/../../x": b"1"}},
        {"artifacts": {"other/con": b"1"}},
        {"artifacts": {"other": b"1"}},
        {"parents": {"loves": "fraud:1"}},
        {"parents": ["nobody:1"]},
        {"parents": ["not a ref"]},
        {"format": "onyx"},
        {"format": "onnx"},
    ],
)
def test_odd_facts(local: cm.Registry, facts: dict[str, Any]) -> None:
    before = footprint(local)
    with pytest.raises(ChopmarkError):
        local.register("fraud", {"a": 1}, **facts)
    assert footprint(local) == before


@pytest.mark.parametrize("given", [{}, {"model": 1, "path": "x"}, {"config": {}, "members": ["a"]}])
def test_exactly_one_thing_is_registered(local: cm.Registry, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="exactly one of"):
        local.register("fraud", **given)


@pytest.mark.parametrize("stage", ["", "Production", "prod", "live", "x" * 10_000])
def test_unknown_stages(local: cm.Registry, stage: str) -> None:
    version = local.register("fraud", {"a": 1})
    with pytest.raises(InvalidRequest, match="Stages are"):
        local.promote(version, stage, reason="r")


def test_symbolic_links_are_refused(local: cm.Registry, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "weights").symlink_to(tmp_path / "secret")
    linked = tmp_path / "linked"
    linked.symlink_to(directory, target_is_directory=True)
    for path in (tmp_path / "link", directory, linked):
        with pytest.raises(InvalidRequest, match="symbolic link"):
            local.register("fraud", path=path)
    with pytest.raises(InvalidRequest, match="symbolic link"):
        local.register("fraud", {"a": 1}, artifacts={"other": directory})
    assert footprint(local)[0] == 0


def test_pipes_and_empty_directories_are_refused(local: cm.Registry, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    for name in ("pipe", "empty"):
        with pytest.raises(InvalidRequest):
            local.register("fraud", path=tmp_path / name)
    with pytest.raises(NotFound, match="no file or directory"):
        local.register("fraud", path=tmp_path / "nothing")
    assert footprint(local)[0] == 0


def test_a_directory_that_vanishes(local: cm.Registry, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    for i in range(3):
        (directory / f"{i}.bin").write_bytes(bytes(100))
    draft = local.draft("fraud")
    draft.add_path(directory)
    shutil.rmtree(directory)
    with pytest.raises(NotFound):
        draft.register()
    draft.discard()
    assert footprint(local)[0] == 0


def test_a_manifest_that_climbs_out_is_refused_at_the_door(local: cm.Registry) -> None:
    entry = FileEntry("../../etc/passwd", "weights", 0, "sha256:" + "0" * 64)
    request = RegisterVersion(model="fraud", manifest=Manifest(kind="artifact", files=(entry,)))
    with pytest.raises(InvalidRequest, match=r"'\.\.'"):
        local._transport.call(request)


def test_a_manifest_whose_bytes_are_not_there_is_refused(local: cm.Registry) -> None:
    entry = FileEntry("model/x", "weights", 3, "sha256:" + "0" * 64)
    request = RegisterVersion(model="fraud", manifest=Manifest(kind="artifact", files=(entry,)))
    with pytest.raises(IntegrityFailure, match="is missing"):
        local._transport.call(request)
    assert footprint(local)[0] == 0


@pytest.mark.parametrize(
    "where",
    [
        "name = 'x' or 1 = 1",
        "name = 'x'; drop table versions",
        "tags.\"a'b\" = 'x'",
        "metrics.f1) or (1",
        "name ~ '%' -- ",
    ],
)
def test_injection_is_a_syntax_error_or_a_plain_text(local: cm.Registry, where: str) -> None:
    local.register("fraud", {"a": 1})
    try:
        found = local.search(where)
    except InvalidRequest:
        found = None
    assert not found
    assert local.get("fraud").number == 1


def test_values_are_bound_and_not_pasted(local: cm.Registry) -> None:
    nasty = "x' OR '1'='1"
    local.register("fraud", {"a": 1}, tags={"k": nasty})
    local.register("fraud", {"a": 2}, tags={"k": "plain"})
    assert [v.number for v in local.search(f'tags.k = "{nasty}"')] == [1]
    assert len(local.search('tags.k like "x\' OR%"')) == 1
    assert len(local.search('tags.k ~ "_"')) == 0  # no wildcard in "contains"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(InvalidRequest, match="not a directory"):
        cm.open(tmp_path / "file")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    # root may write anywhere, so a person without privileges tries; what is imported later, root may read only
    script = (
        "import os, sys\nfrom chopmark import errors, open\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: open(sys.argv[1])\nexcept errors.Unavailable as e: print('refused:', e)\n"
    )
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.owner() in (tmp_path.owner(), "root") and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    done = subprocess.run(
        [sys.executable, "-c", script, str(locked / "reg")], capture_output=True, text=True, check=True
    )
    assert "refused: The registry cannot be made at" in done.stdout
    assert list(locked.iterdir()) == []


def test_a_database_that_is_none(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    registry.mkdir()
    (registry / "chopmark.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(IntegrityFailure):
        cm.open(registry)


@pytest.mark.parametrize("url", ["https://", "https://ada:secret@registry.example", "postgresql://x/y", "ftp://x"])
def test_addresses_that_are_no_directory_are_told_apart(url: str) -> None:
    with pytest.raises(ChopmarkError) as caught:
        cm.open(url)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        cm.open(tmp_path, database_url="postgresql://ada:secret@127.0.0.1:1/none", connect_timeout_s=2)
    assert "secret" not in str(caught.value)


def test_a_file_that_changes_while_it_is_read(local: cm.Registry, tmp_path: Path) -> None:
    file = tmp_path / "growing.bin"
    file.write_bytes(bytes(9_000_000))
    script = f"f = open({str(file)!r}, 'ab', buffering=0)\nprint('go', flush=True)\nwhile True: f.write(b'x')"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            with pytest.raises(Conflict, match="chang"):
                local.register("fraud", path=file)
        finally:
            writer.kill()
    assert footprint(local) == (0, 0, [])

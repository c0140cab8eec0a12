"""Manifests: order, digest, and paths that cannot climb out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.base.jsons import canonical, decode
from chopmark.domain.manifest import FileEntry, Manifest, check_manifest, check_path, manifest_digest, sorted_files
from chopmark.errors import InvalidRequest

DIGEST = "sha256:" + "0" * 64


def entry(path: str) -> FileEntry:
    return FileEntry(path, "weights", 1, DIGEST)


@pytest.mark.parametrize("path", ["a", "model/model.skops", "a b/c-d_e.txt", "ü/é.bin", "a.b/.hidden"])
def test_usual_paths_are_accepted(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../x",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "C:x",
        "a\0b",
        "a\nb",
        "a\u202eb",
        "e\u0301",
        "con",
        "a/NUL.txt",
        "lpt1",
        "a.",
        "a ",
        "x" * 1001,
        "\ud800",
        ".",
        "..",
        "a:b",
        "a*.txt",
        "a?",
        "<a>",
        "CONIN$",
        "COM¹.x",
        "aux .txt",
        "a\u2028b",
    ],
)
def test_paths_that_could_do_harm_are_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        check_path(path)


@given(st.text(max_size=40))
def test_an_accepted_path_stays_inside(path: str) -> None:
    try:
        check_path(path)
    except InvalidRequest:
        return
    assert not path.startswith("/")
    assert all(part not in ("", ".", "..") for part in path.split("/"))


@pytest.mark.parametrize(
    "paths",
    [["b", "a"], ["a", "a"], ["a", "a/b"], ["A", "a"], ["x/A", "x/a"], []],
)
def test_manifests_that_are_not_well_formed_are_refused(paths: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        check_manifest(Manifest(kind="artifact", files=tuple(map(entry, paths))))


@pytest.mark.parametrize(
    "file",
    [
        FileEntry("a", "weights", -1, DIGEST),
        FileEntry("a", "weights", 1, "md5:0"),
        FileEntry("a", "weights", 1, DIGEST.upper()),
    ],
)
def test_entries_without_size_or_digest_are_refused(file: FileEntry) -> None:
    with pytest.raises(InvalidRequest):
        check_manifest(Manifest(kind="artifact", files=(file,)))


def test_the_digest_covers_everything_and_survives_json() -> None:
    one = Manifest(kind="artifact", format="raw", files=(entry("a"),), params={"b": 1, "a": [1, 2]})
    again = decode(canonical(one), Manifest)
    assert again == one
    assert manifest_digest(again) == manifest_digest(one)
    for change in (
        {"format": "skops"},
        {"params": {"b": 1.5}},
        {"files": (entry("b"),)},
        {"runs_code": True},
        {"untrusted": ("x",)},
    ):
        assert manifest_digest(msgspec.structs.replace(one, **change)) != manifest_digest(one)


def test_the_digest_of_a_manifest_is_fixed_for_ever() -> None:
    fixed = Manifest(kind="artifact", format="raw", files=(entry("model/a"),), params={"z": 1, "a": "é"})
    assert (
        canonical(fixed)
        == (
            '{"files":[{"digest":"' + DIGEST + '","path":"model/a","role":"weights","size_bytes":1}],'
            '"format":"raw","kind":"artifact","params":{"a":"é","z":1}}'
        ).encode()
    )
    assert manifest_digest(fixed) == "sha256:663a9f332344f747f690ca5dc8d4663e02ded2ff460e4be04a93dc059e4ab7ee"


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=10))
def test_files_are_in_the_order_of_their_bytes(paths: list[str]) -> None:
    try:
        files = sorted_files(map(entry, paths))
    except UnicodeEncodeError:
        return
    encoded = [f.path.encode() for f in files]
    assert encoded == sorted(encoded)

"""Paths and manifests against anything that could come out of a file or over a wire."""

import string
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from chopmark.base.jsons import canonical, decode
from chopmark.domain.manifest import FileEntry, Manifest, check_manifest, check_path, manifest_digest, sorted_files
from chopmark.errors import InvalidRequest

PIECES = (
    *("a", "B", "weights", "/", "//", ".", "..", "\\", ":", "C:", "con", "NUL.txt", " ", "é", "e\u0301", "\u202e"),
    *"*?<>|\0\n",
)

paths = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


def refusal(path: str) -> str:
    """What is wrong with a path; empty when nothing is."""
    try:
        check_path(path)
    except InvalidRequest as error:
        return error.message
    return ""


@given(paths)
@example("\ud800")
@example("a" * 1_001)
@example("a/" * 400 + "a")
def test_a_path_is_safe_or_refused(path: str) -> None:
    if message := refusal(path):
        assert len(message) < 500
        return
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert not set(path) & set('\\:*?"<>|\0\n')
    assert len(path.encode()) <= 1_000


def read(data: bytes) -> Manifest | InvalidRequest:
    try:
        manifest = decode(data, Manifest)
        check_manifest(manifest)
    except InvalidRequest as error:
        return error
    return manifest


@given(st.binary(max_size=60) | st.text(string.printable, max_size=60).map(str.encode))
@example(b"[" * 100_000)
@example(b'{"kind": "artifact", "files": [{"path": "\\ud800", "role": "weights", "size_bytes": 1, "digest": "x"}]}')
@example(b'{"kind": "artifact", "format": "\xff"}')
@example(b'{"kind": "artifact", "files": [{"path": "a", "role": "weights", "size_bytes": 1e400, "digest": "x"}]}')
def test_any_bytes_are_a_manifest_or_an_error(data: bytes) -> None:
    found = read(data)
    assert isinstance(found, InvalidRequest)  # no such bytes happen to be one
    assert found.message


GOOD: dict[str, Any] = {
    "kind": "artifact",
    "format": "raw",
    "files": [{"path": "a/b.bin", "role": "weights", "size_bytes": 3, "digest": "sha256:" + "a" * 64}],
    "params": {"depth": 3},
    "environment": {"framework": "scikit-learn"},
    "parents": [],
}


@given(st.sampled_from(Manifest.__struct_fields__), values)
def test_a_manifest_with_one_field_of_anything_is_whole_or_an_error(field: str, value: Any) -> None:
    found = read(msgspec.json.encode({**GOOD, field: value}))
    if isinstance(found, Manifest):
        assert decode(canonical(found), Manifest) == found


@given(st.sampled_from(FileEntry.__struct_fields__), values)
def test_a_file_with_one_field_of_anything_is_whole_or_an_error(field: str, value: Any) -> None:
    found = read(msgspec.json.encode({**GOOD, "files": [{**GOOD["files"][0], field: value}]}))
    if isinstance(found, Manifest):
        assert check_path(found.files[0].path) == found.files[0].path


names = st.lists(st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}){0,2}", fullmatch=True), max_size=6)


@given(names, st.permutations(range(6)))
def test_a_manifest_does_not_depend_on_the_order_its_files_were_found_in(found: list[str], order: list[int]) -> None:
    entries = [FileEntry(path, "weights", len(path), "sha256:" + "b" * 64) for path in dict.fromkeys(found)]
    shuffled = [entries[i] for i in order if i < len(entries)]
    one, other = (Manifest(kind="artifact", format="raw", files=sorted_files(files)) for files in (entries, shuffled))
    assert manifest_digest(one) == manifest_digest(other)
    assert decode(canonical(one), Manifest) == one

"""Semantic Versioning 2.0.0: the specification's own examples, and a sort key that agrees."""

from functools import cmp_to_key
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.semver import Range, SemVer, looks_like_semver
from chopmark.errors import InvalidRequest

# Item 11 of the specification, in ascending order.
SPECIFIED = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "2.0.0",
    "2.1.0",
    "2.1.1",
]


def test_precedence_is_the_specified() -> None:
    assert all(SemVer.parse(a) < SemVer.parse(b) for a, b in pairwise(SPECIFIED))
    assert [str(v) for v in sorted(map(SemVer.parse, reversed(SPECIFIED)))] == SPECIFIED


@pytest.mark.parametrize("text", ["1.2.3", "0.0.0", "1.0.0-0A.is.legal", "1.0.0+001", "10.20.30-a-b.1+x.y-z"])
def test_valid_versions_print_as_they_were(text: str) -> None:
    assert str(SemVer.parse(text)) == text
    assert looks_like_semver(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "01.2.3",
        "1.2.3-",
        "1.2.3+",
        "1.2.3-01",
        "1.2.3-a..b",
        "v1.2.3",
        "1.2.3 ",
        "1.2.٣",
        "a.b.c",
        "1.2.3-é",
        "9" * 200 + ".0.0",
    ],
)
def test_what_is_no_version_is_refused(text: str) -> None:
    assert not looks_like_semver(text)
    with pytest.raises(InvalidRequest, match="not a semantic version"):
        SemVer.parse(text)


@pytest.mark.parametrize(
    ("old", "level", "new"),
    [
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "major", "2.0.0"),
        ("2.0.0-rc.1", "major", "2.0.0"),
        ("2.0.0-rc.1", "patch", "2.0.0"),
        ("2.1.0-rc.1", "minor", "2.1.0"),
        ("2.1.0-rc.1", "major", "3.0.0"),
        ("2.1.1-rc.1", "minor", "2.2.0"),
        ("1.2.3+build", "patch", "1.2.4"),
    ],
)
def test_bump(old: str, level: str, new: str) -> None:
    assert str(SemVer.parse(old).bump(level)) == new  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("^1.4", ["1.4.0", "1.4.0+b", "1.99.0"], ["1.3.9", "2.0.0", "2.0.0-rc.1", "1.5.0-rc.1"]),
        ("^0.4", ["0.4.0", "0.4.9"], ["0.5.0", "1.0.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.0.0", "0.9.0"], ["1.0.0"]),
        ("^1", ["1.0.0", "1.9.9"], ["2.0.0", "0.9.0"]),
        ("~1.4.2", ["1.4.2", "1.4.9"], ["1.5.0", "1.4.1"]),
        ("~1.4", ["1.4.0"], ["1.5.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
    ],
)
def test_ranges(text: str, inside: list[str], outside: list[str]) -> None:
    wanted = Range.parse(text)
    assert all(SemVer.parse(v) in wanted for v in inside)
    assert not any(SemVer.parse(v) in wanted for v in outside)


identifiers = st.one_of(
    st.integers(0, 10**12).map(str),
    st.from_regex(r"[0-9]{0,3}[A-Za-z-][0-9A-Za-z-]{0,4}", fullmatch=True),
)
versions = st.builds(
    SemVer,
    st.integers(0, 10**20),
    st.integers(0, 30),
    st.integers(0, 30),
    st.lists(identifiers, max_size=3).map(".".join),
)


def specified_compare(a: SemVer, b: SemVer) -> int:
    """Item 11 of the specification, word by word, without the sort key."""
    for x, y in zip((a.major, a.minor, a.patch), (b.major, b.minor, b.patch), strict=True):
        if x != y:
            return -1 if x < y else 1
    if bool(a.prerelease) != bool(b.prerelease):
        return -1 if a.prerelease else 1
    left, right = a.prerelease.split("."), b.prerelease.split(".")
    for p, q in zip(left, right, strict=False):
        if p == q:
            continue
        if p.isdigit() and q.isdigit():
            return -1 if int(p) < int(q) else 1
        if p.isdigit() != q.isdigit():
            return -1 if p.isdigit() else 1
        return -1 if p < q else 1
    return (len(left) > len(right)) - (len(left) < len(right))


@given(st.lists(versions, min_size=2, max_size=12))
def test_the_sort_key_orders_as_specified(given_versions: list[SemVer]) -> None:
    by_key = sorted(given_versions, key=lambda v: v.sort_key.encode())
    by_specification = sorted(given_versions, key=cmp_to_key(specified_compare))
    assert [v.sort_key for v in by_key] == [v.sort_key for v in by_specification]


@given(versions)
def test_a_printed_version_reads_back(version: SemVer) -> None:
    assert SemVer.parse(str(version)) == version

"""SemVer against arbitrary text, and its precedence against the rules of semver.org written out once more."""

import re
import string
from collections.abc import Callable
from functools import cmp_to_key

from hypothesis import example, given
from hypothesis import strategies as st

from chopmark.domain.semver import Range, SemVer, looks_like_semver
from chopmark.errors import InvalidRequest

# The expression that semver.org suggests.
OFFICIAL = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?\Z",
    re.ASCII,
)

identifiers = st.integers(0, 10**20).map(str) | st.from_regex(r"[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,4}", fullmatch=True)
prereleases = st.just("") | st.lists(identifiers, min_size=1, max_size=3).map(".".join)
numbers = st.integers(0, 12) | st.integers(0, 10**12)
versions = st.builds(SemVer, numbers, numbers, numbers, prereleases, st.sampled_from(("", "b", "001.x-")))
near = st.lists(st.sampled_from((*"0123456789.-+aZ", "rc", "1.0.0", "01", " ", "٣", "\n")), max_size=10).map("".join)


def precedence(one: SemVer, other: SemVer) -> int:
    """Section 11 of semver.org, step by step: below 0, 0, above 0."""
    mine, theirs = ((v.major, v.minor, v.patch) for v in (one, other))
    if mine != theirs:
        return -1 if mine < theirs else 1
    if not one.prerelease or not other.prerelease:
        return bool(other.prerelease) - bool(one.prerelease)
    for left, right in zip(one.prerelease.split("."), other.prerelease.split("."), strict=False):
        if left == right:
            continue
        if left.isdigit() and right.isdigit():
            return -1 if int(left) < int(right) else 1
        if left.isdigit() != right.isdigit():
            return -1 if left.isdigit() else 1
        return -1 if left < right else 1
    return one.prerelease.count(".") - other.prerelease.count(".")


def written(read: Callable[[str], SemVer | Range], text: str) -> str:
    """What was read, as text; empty when it was refused."""
    try:
        found = read(text)
    except InvalidRequest:
        return ""
    return found.text if isinstance(found, Range) else str(found)


@given(st.text(max_size=30) | st.text(string.printable, max_size=30) | near | versions.map(str))
@example("1.0.0\n")
@example("9" * 101)
@example("1.0.0-" + "a" * 100)
def test_a_text_is_a_version_exactly_when_the_specification_says_so(text: str) -> None:
    is_version = OFFICIAL.match(text) is not None and len(text) <= 100
    assert looks_like_semver(text) == is_version
    assert written(SemVer.parse, text) == (text if is_version else "")
    assert written(Range.parse, text) in (text, "")


@given(versions)
def test_a_version_reads_back_from_its_text_and_from_its_key(version: SemVer) -> None:
    assert SemVer.parse(str(version)) == version
    without_build = SemVer(version.major, version.minor, version.patch, version.prerelease)
    assert SemVer.of_sort_key(version.sort_key) == without_build


@given(versions, versions)
def test_keys_are_in_the_order_of_precedence(one: SemVer, other: SemVer) -> None:
    expected = precedence(one, other)
    assert (one < other, one > other) == (expected < 0, expected > 0)
    assert (one.sort_key == other.sort_key) == (expected == 0)


@given(st.lists(versions, max_size=8))
def test_sorting_agrees(several: list[SemVer]) -> None:
    by_key = sorted(several, key=lambda v: v.sort_key)
    assert [precedence(a, b) for a, b in zip(by_key, sorted(several, key=cmp_to_key(precedence)), strict=True)] == [
        0
    ] * len(several)

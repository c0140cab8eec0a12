"""Semantic Versioning 2.0.0 (semver.org): parsing, precedence, ranges, and a key to sort by."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = ["FIRST", "Bump", "Range", "SemVer", "looks_like_semver"]

Bump = Literal["major", "minor", "patch"]

_IDENTIFIER = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)
_RANGE = re.compile(r"([\^~])(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?(?:\.(0|[1-9]\d*))?", re.ASCII)
LENGTH_MAX = 100


class SemVer(msgspec.Struct, frozen=True, eq=True):
    """One semantic version; compared by precedence, in which build metadata has no part.

    Attributes
    ----------
    major, minor, patch
        Whole numbers from zero.
    prerelease
        Dot-separated identifiers after ``-``, empty for a release.
    build
        Dot-separated identifiers after ``+``; kept, printed, ignored in comparisons.
    """

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> SemVer:
        """Read a version.

        Raises
        ------
        InvalidRequest
            When the text is not SemVer 2.0.0, or longer than 100 characters.
        """
        match = _SEMVER.fullmatch(text) if len(text) <= LENGTH_MAX else None
        if match is None:
            msg = f"{shown(text)} is not a semantic version."
            raise InvalidRequest(msg, hint="Write it like 1.4.2, 2.0.0-rc.1 or 1.0.0+build.5.")
        major, minor, patch, prerelease, build = match.groups()
        return cls(int(major), int(minor), int(patch), prerelease or "", build or "")

    @classmethod
    def of_sort_key(cls, key: str) -> SemVer:
        """The version whose `sort_key` this is; its build metadata is not in the key."""
        numbers: list[int] = []
        at = 0
        for _ in range(3):
            end = at + 3 + int(key[at : at + 3])
            numbers.append(int(key[at + 3 : end]))
            at = end
        identifiers = key[at + 1 :].split("!") if key[at] == "-" else []
        prerelease = ".".join(i[4:] if i.startswith("0") else i[1:] for i in identifiers)
        return cls(numbers[0], numbers[1], numbers[2], prerelease)

    def bump(self, level: Bump) -> SemVer:
        """The next release at that level; a pre-release is followed by the release it announced."""
        announced = {
            "patch": True,
            "minor": self.patch == 0,
            "major": self.patch == 0 and self.minor == 0,
        }
        if self.prerelease and announced[level]:
            return SemVer(self.major, self.minor, self.patch)
        if level == "major":
            return SemVer(self.major + 1, 0, 0)
        if level == "minor":
            return SemVer(self.major, self.minor + 1, 0)
        return SemVer(self.major, self.minor, self.patch + 1)

    @property
    def sort_key(self) -> str:
        """Text whose byte order is the order of precedence, so that a database can sort by it.

        Numbers are written with their length in front; a release ends in ``~``, which is above
        every character of a pre-release; a numeric identifier (``0``) is below others (``A``).
        """
        numbers = "".join(f"{len(str(n)):03d}{n}" for n in (self.major, self.minor, self.patch))
        if not self.prerelease:
            return numbers + "~"
        return numbers + "-" + "!".join(_identifier_key(i) for i in self.prerelease.split("."))

    def __str__(self) -> str:
        pre = f"-{self.prerelease}" if self.prerelease else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"

    def __lt__(self, other: SemVer) -> bool:
        return self.sort_key < other.sort_key

    def __le__(self, other: SemVer) -> bool:
        return self.sort_key <= other.sort_key

    def __gt__(self, other: SemVer) -> bool:
        return self.sort_key > other.sort_key

    def __ge__(self, other: SemVer) -> bool:
        return self.sort_key >= other.sort_key


def _identifier_key(identifier: str) -> str:
    if identifier.isdigit():
        return f"0{len(identifier):03d}{identifier}"
    return "A" + identifier


FIRST = SemVer(1, 0, 0)


class Range(msgspec.Struct, frozen=True):
    """A caret or tilde range of releases: ``low`` ≤ version < ``high``, no pre-releases.

    ``^1.4`` is 1.4.0 up to 2.0.0; ``^0.4`` up to 0.5.0 (before 1.0.0 a minor may break callers);
    ``~1.4.2`` is 1.4.2 up to 1.5.0; ``~1`` up to 2.0.0.
    """

    text: str
    low: SemVer
    high: SemVer

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range.

        Raises
        ------
        InvalidRequest
            When it is not ``^`` or ``~`` and one to three numbers.
        """
        match = _RANGE.fullmatch(text) if len(text) <= LENGTH_MAX else None
        if match is None:
            msg = f"{shown(text)} is not a version range."
            raise InvalidRequest(msg, hint="Write it like ^1.4 or ~1.4.2.")
        sign, *parts = match.groups()
        given = [int(p) for p in parts if p is not None]
        major, minor, patch = [*given, 0, 0][:3]
        low = SemVer(major, minor, patch)
        return cls(text, low, _upper(sign, given))

    def __contains__(self, version: SemVer) -> bool:
        return not version.prerelease and self.low <= version < self.high


def _upper(sign: str, given: list[int]) -> SemVer:
    # the caret keeps up to the first number that is not zero
    caret = next((i for i, n in enumerate(given) if n), len(given) - 1)
    kept = caret if sign == "^" else min(len(given) - 1, 1)
    fixed = [*given[:kept], given[kept] + 1, 0, 0]
    return SemVer(fixed[0], fixed[1], fixed[2])


def looks_like_semver(text: str) -> bool:
    """Whether the text is a whole semantic version."""
    return len(text) <= LENGTH_MAX and _SEMVER.fullmatch(text) is not None

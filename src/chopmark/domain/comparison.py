"""Versions side by side: which facts differ, by how much, and whether that is better.

A comparison is a list of rows, one for each fact, with one value for each version; numbers that are
metrics carry the change against a baseline. How it is made is in `chopmark.domain.side_by_side`; how
versions answer on data is in `chopmark.domain.agreement`.
"""

from __future__ import annotations

import math
import sys
from datetime import datetime
from typing import Any, Literal

import msgspec

from chopmark.domain.agreement import DataComparison
from chopmark.domain.metrics import Direction
from chopmark.domain.names import counted
from chopmark.domain.recommendation import Recommendation

__all__ = [
    "SECTIONS",
    "VERSIONS_MAX",
    "Change",
    "ComparedRow",
    "ComparedVersion",
    "FileChanges",
    "Section",
    "SignatureChanges",
    "VersionComparison",
    "change_of",
]

Section = Literal[
    "facts", "metrics", "evaluations", "params", "config", "signature", "tags", "files", "environment", "datasets"
]
SECTIONS: tuple[Section, ...] = Section.__args__  # type: ignore[attr-defined]

VERSIONS_MAX = 20
"""Versions that one comparison takes."""

Verdict = Literal["better", "worse", "same", "unknown"]


class Change(msgspec.Struct, frozen=True):
    """A number against the baseline's.

    Attributes
    ----------
    difference
        The number minus the baseline's.
    percent
        Of the baseline's absolute value; None where that is 0.
    verdict
        ``unknown`` when nobody knows whether more of it is better.
    """

    difference: float
    percent: float | None
    verdict: Verdict


class ComparedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of all versions.

    Attributes
    ----------
    section, key
        What is compared: ``("params", "max_depth")``.
    values
        In the order of the versions; None where a version has none.
    differs
        Whether any two are unlike.
    direction
        Whether more or less is better; None when that is not known, or it is no metric.
    changes
        Against the baseline, in the order of the versions; None for the baseline itself and where
        a number is missing. Empty for what is no metric.
    """

    section: Section
    key: str
    values: tuple[Any, ...]
    differs: bool
    direction: Direction | None = None
    changes: tuple[Change | None, ...] = ()


class ComparedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One of the versions that are compared."""

    ref: str
    semver: str
    digest: str
    stage: str
    aliases: tuple[str, ...]
    created_at: datetime
    created_by: str
    size_bytes: int


class SignatureChanges(msgspec.Struct, frozen=True):
    """How callers of the baseline fare with a version.

    Attributes
    ----------
    ref
        The version.
    breaking
        Why a caller would fail, in words; empty when none would.
    changed
        Names of inputs that came, went or changed.
    """

    ref: str
    breaking: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class FileChanges(msgspec.Struct, frozen=True):
    """Files of a version against the baseline's, by path.

    Attributes
    ----------
    ref
        The version.
    added, removed, changed
        Paths.
    shared_bytes, own_bytes
        Bytes of files with the same content in both (stored once), and of the others.
    """

    ref: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    shared_bytes: int = 0
    own_bytes: int = 0


class VersionComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Versions side by side.

    Attributes
    ----------
    versions
        In the order asked for.
    baseline
        Reference of the version that changes are counted from.
    rows
        By section, then in the order in which keys first appear.
    signatures, files
        Each version against the baseline, without the baseline.
    recommendation
        Which version to take and why, or why there is no clear winner.
    data
        How the versions answer on a data set, when one was given.
    """

    versions: tuple[ComparedVersion, ...]
    baseline: str
    rows: tuple[ComparedRow, ...]
    signatures: tuple[SignatureChanges, ...]
    files: tuple[FileChanges, ...]
    recommendation: Recommendation
    data: DataComparison | None = None

    @property
    def refs(self) -> tuple[str, ...]:
        """References of the versions."""
        return tuple(v.ref for v in self.versions)

    def section(self, name: Section) -> tuple[ComparedRow, ...]:
        """Rows of one section."""
        return tuple(row for row in self.rows if row.section == name)

    def row(self, section: Section, key: str) -> ComparedRow:
        """One row.

        Raises
        ------
        LookupError
            When there is none of that key.
        """
        for row in self.rows:
            if (row.section, row.key) == (section, key):
                return row
        msg = f"The comparison has no {section} {key!r}."
        raise LookupError(msg)

    def __repr__(self) -> str:
        differing = [row for row in self.rows if row.differs]
        by_section = {s: sum(row.section == s for row in differing) for s in SECTIONS}
        told = ", ".join(f"{s} {n}" for s, n in by_section.items() if n) or "none"
        return (
            f"<comparison of {', '.join(self.refs)} · {counted(len(differing), 'difference')}: {told}>\n"
            f"  {self.recommendation.sentence}"
        )


def change_of(value: float, base: float, direction: Direction | None) -> Change:
    """The change from one finite number to another; differences of rounding are ``same``."""
    difference = value - base
    percent = difference / abs(base) * 100 if base else None
    if percent is not None and not math.isfinite(percent):
        percent = None
    difference = max(-sys.float_info.max, min(sys.float_info.max, difference))  # JSON has no infinity
    if math.isclose(value, base, rel_tol=1e-12):
        return Change(difference, percent, "same")
    if direction is None:
        return Change(difference, percent, "unknown")
    return Change(difference, percent, "better" if (difference > 0) == (direction == "maximize") else "worse")

"""Versions side by side: which facts differ, by how much, and whether that is better.

A comparison is a list of rows, one for each fact, with one value for each version; numbers that are
metrics carry the change against a baseline. What is compared is what the registry recorded; how
versions answer on data is in `chopmark.domain.agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from chopmark.domain.agreement import DataComparison
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.manifest import FileEntry, Manifest
from chopmark.domain.metrics import Direction, direction_of
from chopmark.domain.names import counted
from chopmark.domain.recommendation import Recommendation
from chopmark.domain.signature import Field, breaking_changes, changed_features
from chopmark.domain.versions import Evaluation, Version

__all__ = [
    "SECTIONS",
    "VERSIONS_MAX",
    "Change",
    "ComparedRow",
    "ComparedVersion",
    "FileChanges",
    "Section",
    "SignatureChanges",
    "Subject",
    "VersionComparison",
    "change_of",
    "compare_versions",
    "shared_evaluations",
]

Section = Literal[
    "facts", "metrics", "evaluations", "params", "config", "signature", "tags", "files", "environment", "datasets"
]
SECTIONS: tuple[Section, ...] = Section.__args__  # type: ignore[attr-defined]

VERSIONS_MAX = 20
"""Versions that one comparison takes."""

Verdict = Literal["better", "worse", "same", "unknown"]

_DIGEST_SHOWN = 19  # "sha256:" and twelve digits


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


class Subject(msgspec.Struct, frozen=True):
    """What is known of one version: its record, manifest, and evaluations, newest first."""

    version: Version
    manifest: Manifest
    evaluations: Sequence[Evaluation] = ()


def compare_versions(
    subjects: Sequence[Subject],
    baseline: int,
    recommendation: Recommendation,
    directions: Mapping[str, Direction] | None = None,
) -> VersionComparison:
    """Put versions side by side.

    Parameters
    ----------
    subjects
        Two or more.
    baseline
        Position of the version that changes are counted from.
    recommendation
        What was concluded from the recorded metrics.
    directions
        Metric → whether more or less is better, before what its name says.
    """
    base = subjects[baseline]
    others = [s for s in subjects if s is not base]
    told = directions or {}
    rows = [
        *_plain_rows("facts", [_facts(s.version) for s in subjects]),
        *_metric_rows("metrics", [s.version.metrics for s in subjects], baseline, told),
        *_evaluation_rows(subjects, baseline, told),
        *_plain_rows("params", [s.version.params for s in subjects]),
        *_plain_rows("config", [s.version.config for s in subjects]),
        *_plain_rows("signature", [_fields(s.version) for s in subjects]),
        *_plain_rows("tags", [s.version.tags for s in subjects]),
        *_plain_rows("files", [_sizes(s) for s in subjects]),
        *_plain_rows("environment", [_environment(s.version) for s in subjects]),
        *_plain_rows("datasets", [_datasets(s.version) for s in subjects]),
    ]
    return VersionComparison(
        versions=tuple(_compared(s.version) for s in subjects),
        baseline=base.version.ref,
        rows=tuple(rows),
        signatures=tuple(_signature_changes(base.version, s.version) for s in others),
        files=tuple(_file_changes(base, s) for s in others),
        recommendation=recommendation,
    )


def _compared(version: Version) -> ComparedVersion:
    return ComparedVersion(
        ref=version.ref,
        semver=version.semver,
        digest=version.digest,
        stage=version.stage,
        aliases=version.aliases,
        created_at=version.created_at,
        created_by=version.created_by,
        size_bytes=version.size_bytes,
    )


def _plain_rows(section: Section, columns: Sequence[Mapping[str, Any]]) -> Iterable[ComparedRow]:
    for key in _keys(columns):
        values = tuple(column.get(key) for column in columns)
        yield ComparedRow(section=section, key=key, values=values, differs=_unlike(values))


def _keys(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for column in columns for key in column))


def _unlike(values: Sequence[Any]) -> bool:
    """Whether any two differ; 1 and True are not the same, 1 and 1.0 are."""

    def marked(value: Any) -> tuple[bool, Any]:
        return isinstance(value, bool), value

    return any(marked(value) != marked(values[0]) for value in values[1:])


def _metric_rows(
    section: Section, columns: Sequence[Mapping[str, float]], baseline: int, directions: Mapping[str, Direction]
) -> Iterable[ComparedRow]:
    for key in _keys(columns):
        yield _metric_row(section, key, key, [c.get(key) for c in columns], baseline, directions)


def _metric_row(
    section: Section,
    key: str,
    metric: str,
    values: Sequence[float | None],
    baseline: int,
    directions: Mapping[str, Direction],
) -> ComparedRow:
    direction = directions.get(metric) or direction_of(metric)
    base = values[baseline]
    return ComparedRow(
        section=section,
        key=key,
        values=tuple(values),
        differs=_unlike(values),
        direction=direction,
        changes=tuple(
            None if i == baseline or value is None or base is None else change_of(value, base, direction)
            for i, value in enumerate(values)
        ),
    )


def change_of(value: float, base: float, direction: Direction | None) -> Change:
    """The change from one finite number to another; differences of rounding are ``same``."""
    difference = value - base
    percent = difference / abs(base) * 100 if base else None
    if percent is not None and not math.isfinite(percent):
        percent = None
    if math.isclose(value, base, rel_tol=1e-12):
        return Change(difference, percent, "same")
    if direction is None:
        return Change(difference, percent, "unknown")
    return Change(difference, percent, "better" if (difference > 0) == (direction == "maximize") else "worse")


def shared_evaluations(subjects: Sequence[Subject]) -> dict[tuple[str, str, str], dict[int, Evaluation]]:
    """Latest evaluations on the same data: (name, digest or version, split) → position → evaluation.

    Only data that two or more of the versions were evaluated on. Data is the same when its digest
    is; where no digest was recorded, when name and version are.
    """
    found: dict[tuple[str, str, str], dict[int, Evaluation]] = {}
    names: dict[tuple[str, str], str] = {}
    for position, subject in enumerate(subjects):
        for evaluation in subject.evaluations:  # newest first: the first of a data set counts
            data = evaluation.dataset
            identity = data.digest or f"{data.uri or data.name} {data.version}".strip()
            name = names.setdefault((identity, data.split), data.name)
            found.setdefault((name, identity, data.split), {}).setdefault(position, evaluation)
    return {key: by_version for key, by_version in found.items() if len(by_version) > 1}


def _evaluation_rows(
    subjects: Sequence[Subject], baseline: int, directions: Mapping[str, Direction]
) -> Iterable[ComparedRow]:
    shared = shared_evaluations(subjects)
    labels = [_evaluation_label(name, split) for name, _, split in shared]
    for (name, identity, split), by_version in shared.items():
        label = _evaluation_label(name, split)
        if labels.count(label) > 1:  # two data sets of one name
            label += f" {identity[:_DIGEST_SHOWN]}"
        columns = [by_version[i].metrics if i in by_version else {} for i in range(len(subjects))]
        for metric in _keys(columns):
            values = [c.get(metric) for c in columns]
            if sum(value is not None for value in values) > 1:
                yield _metric_row("evaluations", f"{metric} on {label}", metric, values, baseline, directions)


def _evaluation_label(name: str, split: str) -> str:
    return f"{name} {split}".strip()


def _facts(version: Version) -> dict[str, Any]:
    git = version.git
    facts = {
        "stage": version.stage,
        "aliases": list(version.aliases),
        "state": version.state,
        "kind": version.kind,
        "format": version.format,
        "runs_code": version.runs_code,
        "task": version.task,
        "owner": version.owner,
        "team": version.team,
        "risk_tier": version.risk_tier,
        "cost_per_request": version.cost_per_request,
        "description": version.description,
        "parents": [f"{p.relation} {p.ref}" + (f" × {p.weight:g}" if p.weight else "") for p in version.parents],
        "run_id": version.run_id,
        "git_commit": git.commit if git else "",
    }
    return {key: value for key, value in facts.items() if value not in (None, "", [])}


def _fields(version: Version) -> dict[str, str]:
    if version.signature is None:
        return {}
    sides = (("input", version.signature.inputs), ("output", version.signature.outputs))
    return {f"{side} {field.name}": _typed(field) for side, fields in sides for field in fields}


def _typed(field: Field) -> str:
    shape = f"[{', '.join('any' if n < 0 else str(n) for n in field.shape)}]" if field.shape else ""
    return f"{field.dtype or field.type}{shape}" + (", may be missing" if field.nullable else "")


def _sizes(subject: Subject) -> dict[str, Any]:
    files = {f.path: f"{f.size_bytes:,} bytes {f.digest[:_DIGEST_SHOWN]}" for f in subject.manifest.files}
    return {"size_bytes": subject.version.size_bytes, "file_count": subject.version.file_count, **files}


def _environment(version: Version) -> dict[str, str]:
    environment = version.environment
    facts = {
        "framework": environment.framework,
        "framework_version": environment.framework_version,
        "python": environment.python,
        "platform": environment.platform,
        **{f"dependencies.{name}": v for name, v in sorted(environment.dependencies.items())},
    }
    return {key: value for key, value in facts.items() if value}


def _datasets(version: Version) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for data in version.datasets:
        found.setdefault(f"{data.relation} {data.split}".strip(), []).append(_dataset(data))
    return found


def _dataset(data: DatasetRef) -> str:
    rows = counted(data.row_count, "row") if data.row_count is not None else ""
    digest = data.digest[:_DIGEST_SHOWN]
    return " ".join(p for p in (data.name, data.version, rows, digest if digest != data.name else "") if p)


def _signature_changes(base: Version, version: Version) -> SignatureChanges:
    breaking = tuple(breaking_changes(base.signature, version.signature))
    return SignatureChanges(version.ref, breaking, tuple(changed_features(base.signature, version.signature)))


def _file_changes(base: Subject, other: Subject) -> FileChanges:
    before: dict[str, FileEntry] = {f.path: f for f in base.manifest.files}
    after: dict[str, FileEntry] = {f.path: f for f in other.manifest.files}
    stored = {f.digest for f in base.manifest.files}
    shared = sum(f.size_bytes for f in other.manifest.files if f.digest in stored)
    return FileChanges(
        other.version.ref,
        added=tuple(p for p in after if p not in before),
        removed=tuple(p for p in before if p not in after),
        changed=tuple(p for p in after if p in before and before[p].digest != after[p].digest),
        shared_bytes=shared,
        own_bytes=sum(f.size_bytes for f in other.manifest.files) - shared,
    )

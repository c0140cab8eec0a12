"""How a comparison is made of what the registry recorded: manifests, metrics, evaluations, facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from chopmark.domain.comparison import (
    ComparedRow,
    ComparedVersion,
    FileChanges,
    Section,
    SignatureChanges,
    VersionComparison,
    change_of,
)
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.manifest import FileEntry, Manifest
from chopmark.domain.metrics import Direction, direction_of
from chopmark.domain.names import counted
from chopmark.domain.recommendation import Recommendation
from chopmark.domain.signature import Field, breaking_changes, changed_features
from chopmark.domain.versions import Evaluation, Version

__all__ = ["Subject", "compare_versions", "shared_evaluations"]

FILE_ROWS_MAX = 1_000
"""Files that get a row of their own; of more, those that differ, and no more than that."""

_DIGEST_SHOWN = 19  # "sha256:" and twelve digits


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
        *_file_rows(subjects),
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
        "git_commit": git.commit[:12] if git else "",
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


def _file_rows(subjects: Sequence[Subject]) -> Iterable[ComparedRow]:
    totals = [{"size_bytes": s.version.size_bytes, "file_count": s.version.file_count} for s in subjects]
    yield from _plain_rows("files", totals)
    files = [{f.path: f"{f.size_bytes:,} bytes {f.digest[:_DIGEST_SHOWN]}" for f in s.manifest.files} for s in subjects]
    rows = list(_plain_rows("files", files))
    if len(rows) > FILE_ROWS_MAX:
        rows = [row for row in rows if row.differs][:FILE_ROWS_MAX]
    yield from rows


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

"""Rows into records and back: pure functions between the tables and the nouns of the domain."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec

from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder, encode
from chopmark.catalog.columns import HEAD_LENGTH
from chopmark.catalog.damage import row_of
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.manifest import Environment, Kind, Manifest, Member
from chopmark.domain.query import FieldName, field_values
from chopmark.domain.retention import Retention
from chopmark.domain.semver import SemVer
from chopmark.domain.signature import Signature
from chopmark.domain.versions import Deprecation, Git, Model, Origin, Project, ProjectRules, Version

__all__ = [
    "BOOLEAN",
    "NUMBER",
    "TEXT",
    "deprecation_text",
    "file_rows",
    "json_text",
    "kind_of",
    "metric_rows",
    "model_from_row",
    "model_row",
    "optional_us",
    "param_rows",
    "project_from_row",
    "project_row",
    "tag_rows",
    "version_from_row",
    "version_row",
    "word_rows",
]

Values = dict[str, Any]

BOOLEAN, NUMBER, TEXT = 0, 1, 2
"""Kinds of a parameter's value, in the order in which they sort."""


class VersionBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What never changes about a version, as one JSON text in its row."""

    semver: str
    digest: str
    kind: Kind
    state: Literal["pending", "ready", "failed"] = "ready"
    format: str = ""
    runs_code: bool = False
    untrusted: tuple[str, ...] = ()
    size_bytes: int = 0
    file_count: int = 0
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    config: dict[str, Any] = {}
    environment: Environment = Environment()
    signature: Signature | None = None
    parents: tuple[Member, ...] = ()
    datasets: tuple[DatasetRef, ...] = ()
    git: Git | None = None
    run_id: str = ""
    experiment_id: str = ""
    owner: str = ""
    team: str = ""
    task: str = ""
    risk_tier: str = ""
    compliance: tuple[str, ...] = ()
    business_value: str = ""
    cost_per_request: float | None = None
    metadata: dict[str, Any] = {}
    bump_reasons: tuple[str, ...] = ()
    origin: Origin | None = None
    created_by: str


_BODY_FIELDS = VersionBody.__struct_fields__
_decode_body = decoder(VersionBody)
_decode_texts = decoder(dict[str, str])
_decode_dict = decoder(dict[str, Any])
_decode_retention = decoder(Retention)
_decode_rules = decoder(ProjectRules)
_decode_deprecation = decoder(Deprecation)


def json_text(value: Any) -> str:
    """JSON of a value as text."""
    return encode(value).decode()


def deprecation_text(deprecation: Deprecation | None) -> str | None:
    """JSON of a deprecation, or None."""
    return None if deprecation is None else json_text(deprecation)


def optional_us(time: Any) -> int | None:
    """Microseconds of a time that may be missing."""
    return None if time is None else to_us(time)


def project_row(project: Project) -> Values:
    """Values of a project's columns."""
    return {
        "uid": project.id.bytes,
        "name": project.name,
        "description": project.description,
        "rules": json_text(project.rules),
        "created_us": to_us(project.created_at),
        "created_by": project.created_by,
    }


@row_of("a project", "bsssis")
def project_from_row(row: tuple[Any, ...]) -> Project:
    """A project of (uid, name, description, rules, created_us, created_by)."""
    uid, name, description, rules, created_us, created_by = row
    return Project(
        id=UUID(bytes=uid),
        name=name,
        description=description,
        rules=_decode_rules(rules),
        created_at=from_us(created_us),
        created_by=created_by,
    )


def model_row(model: Model) -> Values:
    """Values of a model's columns, with ``project`` for its key."""
    return {
        "uid": model.id.bytes,
        "project": model.project,
        "name": model.name,
        "kind": model.kind,
        "task": model.task,
        "owner": model.owner,
        "team": model.team,
        "description": model.description,
        "card": model.card,
        "tags": json_text(model.tags),
        "last_number": model.last_number,
        "retention": None if model.retention is None else json_text(model.retention),
        "created_us": to_us(model.created_at),
        "created_by": model.created_by,
        "updated_us": to_us(model.updated_at),
        "deleted_us": optional_us(model.deleted_at),
    }


@row_of("a model", "bsssssssssiSisiI")
def model_from_row(row: tuple[Any, ...]) -> Model:
    """A model of the columns that `names.model_columns` selects."""
    (
        uid, project, name, kind, task, owner, team, description, card, tags,
        last_number, retention, created_us, created_by, updated_us, deleted_us,
    ) = row  # fmt: skip
    return Model(
        id=UUID(bytes=uid),
        project=project,
        name=name,
        kind=kind,
        task=task,
        owner=owner,
        team=team,
        description=description,
        card=card,
        tags=_decode_texts(tags),
        last_number=last_number,
        retention=None if retention is None else _decode_retention(retention),
        created_at=from_us(created_us),
        created_by=created_by,
        updated_at=from_us(updated_us),
        deleted_at=None if deleted_us is None else from_us(deleted_us),
    )


def version_row(version: Version) -> Values:
    """Values of a version's columns, with ``model_uid`` for its keys."""
    semver = SemVer.parse(version.semver)
    body = VersionBody(**{name: getattr(version, name) for name in _BODY_FIELDS})
    return {
        "uid": version.id.bytes,
        "model_uid": version.model_id.bytes,
        "number": version.number,
        "semver": version.semver,
        "semver_key": semver.sort_key,
        "is_release": int(not semver.prerelease),
        "digest": version.digest,
        "kind": version.kind,
        "state": version.state,
        "stage": version.stage,
        "stage_since_us": to_us(version.stage_since),
        "format": version.format,
        "framework": version.environment.framework,
        "task": version.task,
        "owner": version.owner,
        "team": version.team,
        "run_id": version.run_id,
        "experiment_id": version.experiment_id,
        "risk_tier": version.risk_tier,
        "runs_code": int(version.runs_code),
        "size_bytes": version.size_bytes,
        "cost_per_request": version.cost_per_request,
        "created_us": to_us(version.created_at),
        "created_by": version.created_by,
        "updated_us": to_us(version.updated_at),
        "deleted_us": optional_us(version.deleted_at),
        "description": version.description,
        "tags": json_text(version.tags),
        "annotations": json_text(version.annotations),
        "deprecation": deprecation_text(version.deprecation),
        "body": json_text(body),
        "card": version.card,
    }


@row_of("a version", "bbssisiiiIsssSssS")
def version_from_row(row: tuple[Any, ...]) -> Version:
    """A version of the columns that `version_columns` selects."""
    (
        uid, model_uid, project, model, number, stage, stage_since_us, created_us, updated_us,
        deleted_us, description, tags, annotations, deprecation, body, card, aliases,
    ) = row  # fmt: skip
    rest = _decode_body(body)
    return Version(
        id=UUID(bytes=uid),
        model_id=UUID(bytes=model_uid),
        project=project,
        model=model,
        number=number,
        semver=rest.semver,
        digest=rest.digest,
        kind=rest.kind,
        state=rest.state,
        stage=stage,
        stage_since=from_us(stage_since_us),
        format=rest.format,
        runs_code=rest.runs_code,
        untrusted=rest.untrusted,
        size_bytes=rest.size_bytes,
        file_count=rest.file_count,
        metrics=rest.metrics,
        params=rest.params,
        config=rest.config,
        environment=rest.environment,
        signature=rest.signature,
        parents=rest.parents,
        datasets=rest.datasets,
        git=rest.git,
        run_id=rest.run_id,
        experiment_id=rest.experiment_id,
        owner=rest.owner,
        team=rest.team,
        task=rest.task,
        risk_tier=rest.risk_tier,
        compliance=rest.compliance,
        business_value=rest.business_value,
        cost_per_request=rest.cost_per_request,
        metadata=rest.metadata,
        bump_reasons=rest.bump_reasons,
        origin=rest.origin,
        created_at=from_us(created_us),
        created_by=rest.created_by,
        updated_at=from_us(updated_us),
        description=description,
        card=card,
        tags=_decode_texts(tags),
        aliases=tuple(sorted(aliases.split(","))) if aliases else (),
        annotations=_decode_dict(annotations),
        deprecation=None if deprecation is None else _decode_deprecation(deprecation),
        deleted_at=None if deleted_us is None else from_us(deleted_us),
    )


def metric_rows(version: Version, version_key: int) -> Iterator[Values]:
    """Rows of a version's metrics."""
    created_us = to_us(version.created_at)
    for key, value in version.metrics.items():
        yield {
            "key": key,
            "value": float(value),
            "created_us": created_us,
            "version_key": version_key,
        }


def tag_rows(tags: Mapping[str, str], version_key: int, created_us: int, stage: str) -> Iterator[Values]:
    """Rows of tags; an empty text is as good as none, for a search."""
    for key, value in tags.items():
        if value:
            yield {
                "key": key,
                "head": value[:HEAD_LENGTH],
                "created_us": created_us,
                "version_key": version_key,
                "stage": stage,
                "value": value,
            }


def word_rows(words: Iterable[str], version_key: int, created_us: int) -> Iterator[Values]:
    """Rows of words by which a version is found."""
    for word in sorted(words):  # side by side in the index
        yield {"word": word, "created_us": created_us, "version_key": version_key}


def param_rows(version: Version, version_key: int) -> Iterator[Values]:
    """Rows of the parameters that a search can compare: texts, numbers, truth values."""
    created_us = to_us(version.created_at)
    for key in version.params:
        for value in field_values(FieldName("params", key), version):
            if isinstance(value, float) and not math.isfinite(value):
                continue  # JSON has no such number: it is read back as null
            text = value if isinstance(value, str) else ""
            yield {
                "key": key,
                "kind": kind_of(value),
                "number": 0.0 if isinstance(value, str) else float(value),
                "head": text[:HEAD_LENGTH],
                "created_us": created_us,
                "version_key": version_key,
                "value": text,
            }


def kind_of(value: Any) -> int:
    """Kind of a value that a search compares."""
    if isinstance(value, bool):
        return BOOLEAN
    return TEXT if isinstance(value, str) else NUMBER


def file_rows(manifest: Manifest, version_key: int) -> list[Values]:
    """Rows that say which bytes a version needs and how many they are, each digest once."""
    sizes = {f.digest: f.size_bytes for f in manifest.files}
    return [{"digest": d, "version_key": version_key, "size_bytes": sizes[d]} for d in sorted(sizes)]

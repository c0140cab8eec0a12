"""The records of the registry: projects, models, versions and what is said about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from chopmark.domain.cards import html_card
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.manifest import Environment, Kind, Member
from chopmark.domain.names import counted
from chopmark.domain.refs import ModelRef
from chopmark.domain.retention import Retention
from chopmark.domain.signature import Signature

__all__ = [
    "Alias",
    "AliasMove",
    "Deprecation",
    "Evaluation",
    "Git",
    "Model",
    "Origin",
    "Project",
    "ProjectRules",
    "TrustDecision",
    "Version",
]


def _when(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


class ProjectRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a project asks of its versions.

    Attributes
    ----------
    required_fields
        Fields of a version that must not be empty at registration: any of `REQUIRABLE_FIELDS`.
    required_tags, required_metrics
        Keys that must be there at registration.
    one_production_version
        Whether a model may have only one version in production: a second is refused until the
        first has moved on.
    retention
        What its models keep, where a model says nothing itself; None keeps everything.
    """

    required_fields: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    required_metrics: tuple[str, ...] = ()
    one_production_version: bool = False
    retention: Retention | None = None


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace with rules."""

    id: UUID
    name: str
    description: str = ""
    rules: ProjectRules = ProjectRules()
    created_at: datetime
    created_by: str

    def __repr__(self) -> str:
        asked = [name for name in self.rules.__struct_fields__ if getattr(self.rules, name)]
        rules = f" · rules: {', '.join(asked)}" if asked else ""
        return f"<project {self.name}{rules} · since {_when(self.created_at)}>"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A registered name and what people say about it.

    Attributes
    ----------
    last_number
        Highest number ever given to one of its versions; numbers are never used again.
    retention
        Which versions are kept; None leaves it to the project.
    """

    id: UUID
    project: str
    name: str
    kind: Kind
    task: str = ""
    owner: str = ""
    team: str = ""
    description: str = ""
    card: str = ""
    tags: dict[str, str] = {}
    last_number: int = 0
    retention: Retention | None = None
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def ref(self) -> str:
        """``[project/]name``."""
        return str(ModelRef(self.project, self.name))

    def __repr__(self) -> str:
        about = " · ".join(t for t in (self.kind, self.task, self.owner, self.team) if t)
        gone = " · deleted" if self.deleted_at else ""
        return f"<model {self.ref} · {about}{gone} · last version {self.last_number}>"


class Git(msgspec.Struct, frozen=True, omit_defaults=True):
    """State of the working tree at registration."""

    commit: str = ""
    branch: str = ""
    dirty: bool = False


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a version that was imported comes from.

    Attributes
    ----------
    ref, digest
        What it was there.
    created_by, created_at
        Who registered it there, and when.
    exported_at
        When it was written to the file that it came in.
    """

    ref: str
    digest: str
    created_by: str
    created_at: datetime
    exported_at: datetime


class Deprecation(msgspec.Struct, frozen=True):
    """That a version should no longer be used from a day on, and what to use instead."""

    at: datetime
    reason: str
    successor: str = ""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable entry of a model, with what moves around it as of when it was read.

    Attributes
    ----------
    number
        1, 2, 3 … within the model; never used twice.
    digest
        SHA-256 of the manifest.
    semver
        Semantic version.
    state, stage
        Whether the bytes are all there; the governance position.
    runs_code, untrusted
        Whether loading runs code that the version brings, and type names to be trusted first.
    size_bytes, file_count
        Of the files in the manifest.
    metrics, params, environment, signature, config, parents, datasets, git
        As recorded at registration.
    cost_per_request
        In the currency the team uses.
    origin
        Where it was imported from; None when it was registered here.
    tags, description, card, annotations, aliases, deprecation
        As they are now.
    """

    id: UUID
    model_id: UUID
    project: str
    model: str
    number: int
    semver: str
    digest: str
    kind: Kind
    state: Literal["pending", "ready", "failed"] = "ready"
    stage: str = "development"
    stage_since: datetime
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
    created_at: datetime
    created_by: str
    updated_at: datetime
    description: str = ""
    card: str = ""
    tags: dict[str, str] = {}
    annotations: dict[str, Any] = {}
    aliases: tuple[str, ...] = ()
    deprecation: Deprecation | None = None
    deleted_at: datetime | None = None

    @property
    def ref(self) -> str:
        """``[project/]name:number``, which never means another version."""
        return f"{ModelRef(self.project, self.model)}:{self.number}"

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        framework = f"{self.environment.framework} {self.environment.framework_version}"
        facts = {
            "digest": self.digest,
            "stage": self.stage,
            "aliases": ", ".join(self.aliases),
            "format": self.format + (" — runs code on load" if self.runs_code else ""),
            "framework": framework,
            "size": f"{counted(self.size_bytes, 'byte')} in {counted(self.file_count, 'file')}",
            "metrics": ", ".join(f"{k} = {v:.4g}" for k, v in self.metrics.items()),
            "tags": ", ".join(f"{k} = {v}" for k, v in self.tags.items()),
            "made": f"{self.created_at:%Y-%m-%d %H:%M} UTC by {self.created_by}",
            "about": self.description,
        }
        return html_card(f"{self.ref} · {self.semver}", facts)

    def __repr__(self) -> str:
        marks = [self.stage, *(f"@{a}" for a in self.aliases)]
        if self.runs_code:
            marks.append("runs code on load")
        if self.state != "ready":
            marks.append(self.state)
        metrics = ", ".join(f"{k}={v:.4g}" for k, v in list(self.metrics.items())[:4])
        what = self.format or self.kind
        return (
            f"<{self.ref} · {self.semver} · {' · '.join(marks)}>\n"
            f"  {what}, {counted(self.file_count, 'file')}, {counted(self.size_bytes, 'byte')}, "
            f"{self.digest[:19]}{' · ' + metrics if metrics else ''}"
        )


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A movable pointer to a version; a protected one moves only with ``force``."""

    project: str
    model: str
    name: str
    number: int
    protected: bool = False
    updated_at: datetime
    updated_by: str

    @property
    def ref(self) -> str:
        """``[project/]name@alias``."""
        return f"{ModelRef(self.project, self.model)}@{self.name}"

    def __repr__(self) -> str:
        marks = " · protected" if self.protected else ""
        target = f"{ModelRef(self.project, self.model)}:{self.number}"
        return f"<{self.ref} → {target}{marks} · {_when(self.updated_at)} by {self.updated_by}>"


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an alias's history; ``number`` is None when it was removed."""

    project: str
    model: str
    name: str
    number: int | None
    previous: int | None
    actor: str
    at: datetime
    reason: str = ""

    def __repr__(self) -> str:
        model = ModelRef(self.project, self.model)
        before = f"{model}:{self.previous}" if self.previous else "nothing"
        after = f"{model}:{self.number}" if self.number else "nothing"
        reason = f": {self.reason}" if self.reason else ""
        return f"<@{self.name} {before} → {after} · {_when(self.at)} by {self.actor}{reason}>"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of a version on a named data set version and split."""

    id: UUID
    project: str
    model: str
    number: int
    dataset: DatasetRef
    metrics: dict[str, float]
    actor: str
    at: datetime
    comment: str = ""

    def __repr__(self) -> str:
        metrics = ", ".join(f"{k}={v:.4g}" for k, v in self.metrics.items())
        data = f"{self.dataset.name} {self.dataset.split}".strip()
        ref = f"{ModelRef(self.project, self.model)}:{self.number}"
        return f"<evaluation of {ref} on {data} · {_when(self.at)} by {self.actor}>\n  {metrics}"


class TrustDecision(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody let the code of these bytes run.

    Attributes
    ----------
    digest
        Manifest digest: the decision is about bytes, not about a name.
    names
        Type names that were let through; empty for a format that runs arbitrary code.
    basis
        ``person`` for a decision taken by somebody, ``own_registry`` when the setting took it,
        ``revoked`` for one that withdraws those before it.
    """

    digest: str
    names: tuple[str, ...] = ()
    basis: Literal["person", "own_registry", "revoked"] = "person"
    actor: str
    at: datetime
    reason: str = ""

    def __repr__(self) -> str:
        names = f" for {counted(len(self.names), 'name')}" if self.names else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"<{self.basis}{names} · {self.digest[:19]} · {_when(self.at)} by {self.actor}{reason}>"

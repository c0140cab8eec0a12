"""What every verb is asked with. References are texts in the grammar of `chopmark.domain.refs`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.audit import GENESIS
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.manifest import Kind, Manifest
from chopmark.domain.retention import Retention
from chopmark.domain.semver import Bump
from chopmark.domain.versions import Git, ProjectRules

__all__ = [
    "AliasAt",
    "AliasHistory",
    "ArchiveVersion",
    "BestVersion",
    "ConfigureProject",
    "CreateModel",
    "CreateProject",
    "DeleteModel",
    "DeleteVersion",
    "DeprecateVersion",
    "EvaluateVersion",
    "GetAlias",
    "GetManifest",
    "GetModel",
    "GetProject",
    "GetTrust",
    "GetVersion",
    "ListAliases",
    "ListAudit",
    "ListEvaluations",
    "ListModels",
    "ListProjects",
    "ListUses",
    "PlanVersion",
    "PromoteVersion",
    "PurgeModel",
    "PurgeVersion",
    "RegisterVersion",
    "RemoveAlias",
    "Request",
    "RestoreModel",
    "RestoreVersion",
    "RevokeTrust",
    "SearchVersions",
    "SetAlias",
    "StageAt",
    "StageHistory",
    "TrustVersion",
    "UpdateModel",
    "UpdateVersion",
    "VerifyAudit",
]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests."""


class CreateProject(Request, frozen=True, kw_only=True):
    """Make a project."""

    name: str
    description: str = ""
    rules: ProjectRules = ProjectRules()


class GetProject(Request, frozen=True, kw_only=True):
    """Look up a project."""

    name: str


class ListProjects(Request, frozen=True, kw_only=True):
    """A page of projects by name."""

    limit: int = PAGE_SIZE
    cursor: str = ""


class ConfigureProject(Request, frozen=True, kw_only=True):
    """Change a project's description or rules; what is UNSET stays."""

    name: str
    description: str | UnsetType = UNSET
    rules: ProjectRules | UnsetType = UNSET
    reason: str = ""


class CreateModel(Request, frozen=True, kw_only=True):
    """Make a model without a version yet."""

    model: str
    kind: Kind = "artifact"
    task: str = ""
    owner: str = ""
    team: str = ""
    description: str = ""
    card: str = ""
    tags: dict[str, str] = {}


class GetModel(Request, frozen=True, kw_only=True):
    """Look up a model; ``deleted`` finds a soft-deleted one too."""

    model: str
    deleted: bool = False


class ListModels(Request, frozen=True, kw_only=True):
    """A page of models by project and name: ``contains`` in the name, ``text`` as words anywhere."""

    project: str | None = None
    contains: str = ""
    text: str = ""
    deleted: bool = False
    limit: int = PAGE_SIZE
    cursor: str = ""


class UpdateModel(Request, frozen=True, kw_only=True):
    """Change what is said about a model; what is UNSET stays; ``tags`` are merged.

    ``retention`` is replaced as a whole; None leaves it to the project.
    """

    model: str
    task: str | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    team: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    card: str | UnsetType = UNSET
    tags: dict[str, str] = {}
    remove_tags: tuple[str, ...] = ()
    retention: Retention | UnsetType | None = UNSET
    reason: str = ""


class DeleteModel(Request, frozen=True, kw_only=True):
    """Soft-delete a model with its versions."""

    model: str
    reason: str = ""
    force: bool = False


class RestoreModel(Request, frozen=True, kw_only=True):
    """Bring a soft-deleted model back."""

    model: str
    reason: str = ""


class PurgeModel(Request, frozen=True, kw_only=True):
    """Remove the rows of a soft-deleted model and of its versions for good."""

    model: str
    reason: str
    force: bool = False


class RegisterVersion(Request, frozen=True, kw_only=True):
    """Add a version whose bytes are in the store already.

    Attributes
    ----------
    model
        ``[project/]name``; made when it is new.
    semver, bump
        One of them, or neither for ``auto``.
    allow_twin
        Make a new version although one with the same manifest exists.
    allow_breaking
        Accept a signature that breaks callers with a minor or patch bump.
    """

    model: str
    manifest: Manifest
    semver: str = ""
    bump: Bump | Literal["auto"] = "auto"
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    description: str = ""
    card: str = ""
    task: str = ""
    owner: str = ""
    team: str = ""
    risk_tier: str = ""
    compliance: tuple[str, ...] = ()
    business_value: str = ""
    cost_per_request: float | None = None
    run_id: str = ""
    experiment_id: str = ""
    datasets: tuple[DatasetRef, ...] = ()
    git: Git | None = None
    metadata: dict[str, Any] = {}
    allow_twin: bool = False
    allow_breaking: bool = False


class PlanVersion(RegisterVersion, frozen=True, kw_only=True):
    """Ask what a registration would do; the manifest's files are not looked at."""


class GetVersion(Request, frozen=True, kw_only=True):
    """Resolve a reference; ``deleted`` finds soft-deleted versions by number, SemVer or digest."""

    ref: str
    deleted: bool = False


class GetManifest(Request, frozen=True, kw_only=True):
    """The manifest of a version."""

    ref: str


class SearchVersions(Request, frozen=True, kw_only=True):
    """A page of versions that meet a filter (see `chopmark.domain.query`), and have all words of a text."""

    where: str = ""
    text: str = ""
    project: str | None = None
    model: str | None = None
    deleted: bool = False
    limit: int = PAGE_SIZE
    cursor: str = ""


class BestVersion(Request, frozen=True, kw_only=True):
    """The versions of a model with the best values of a metric, best first; without a direction its name tells."""

    model: str
    by: str
    where: str = ""
    direction: Literal["maximize", "minimize"] | None = None
    limit: int = 1


class UpdateVersion(Request, frozen=True, kw_only=True):
    """Change what is said about a version; what is UNSET stays; tags and annotations are merged.

    An annotation set to null is removed.
    """

    ref: str
    description: str | UnsetType = UNSET
    card: str | UnsetType = UNSET
    tags: dict[str, str] = {}
    remove_tags: tuple[str, ...] = ()
    annotations: dict[str, Any] = {}
    reason: str = ""


class PromoteVersion(Request, frozen=True, kw_only=True):
    """Move a version to another stage."""

    ref: str
    stage: str
    reason: str


class ArchiveVersion(Request, frozen=True, kw_only=True):
    """Move a version to ``archived``."""

    ref: str
    reason: str


class DeprecateVersion(Request, frozen=True, kw_only=True):
    """Say that a version should no longer be used from a day on, now when none is given.

    When the day has come, a version in production moves to ``deprecated``.
    """

    ref: str
    reason: str
    at: datetime | None = None
    successor: str = ""


class DeleteVersion(Request, frozen=True, kw_only=True):
    """Soft-delete a version."""

    ref: str
    reason: str = ""
    force: bool = False


class RestoreVersion(Request, frozen=True, kw_only=True):
    """Bring a soft-deleted version back."""

    ref: str
    reason: str = ""


class PurgeVersion(Request, frozen=True, kw_only=True):
    """Remove the rows of a soft-deleted version for good; its number is not given again."""

    ref: str
    reason: str
    force: bool = False


class ListUses(Request, frozen=True, kw_only=True):
    """Who uses a version: stages, aliases, other versions."""

    ref: str


class StageHistory(Request, frozen=True, kw_only=True):
    """Stage moves of a version, newest first."""

    ref: str
    limit: int = PAGE_SIZE


class StageAt(Request, frozen=True, kw_only=True):
    """The stage a version was in at a time."""

    ref: str
    at: datetime


class EvaluateVersion(Request, frozen=True, kw_only=True):
    """Record metrics of a version on a data set."""

    ref: str
    dataset: DatasetRef
    metrics: dict[str, float]
    comment: str = ""


class ListEvaluations(Request, frozen=True, kw_only=True):
    """Evaluations of a version, newest first."""

    ref: str
    limit: int = PAGE_SIZE


class SetAlias(Request, frozen=True, kw_only=True):
    """Point an alias (``model@alias``) to a version of the same model.

    ``protected`` sets or lifts protection; a protected alias moves only with ``force`` and a
    reason.
    """

    alias: str
    target: str
    reason: str = ""
    protected: bool | None = None
    force: bool = False


class RemoveAlias(Request, frozen=True, kw_only=True):
    """Remove an alias."""

    alias: str
    reason: str = ""
    force: bool = False


class GetAlias(Request, frozen=True, kw_only=True):
    """Look up an alias: where it points, since when, and whether it is protected."""

    alias: str


class ListAliases(Request, frozen=True, kw_only=True):
    """Aliases of a model."""

    model: str


class AliasHistory(Request, frozen=True, kw_only=True):
    """Moves of an alias, newest first."""

    alias: str
    limit: int = PAGE_SIZE


class AliasAt(Request, frozen=True, kw_only=True):
    """The version that an alias pointed to at a time."""

    alias: str
    at: datetime


class TrustVersion(Request, frozen=True, kw_only=True):
    """Let the code of a version run, or its named types be built."""

    ref: str
    names: tuple[str, ...] = ()
    reason: str = ""
    basis: Literal["person", "own_registry"] = "person"


class RevokeTrust(Request, frozen=True, kw_only=True):
    """Withdraw all trust in a version's bytes."""

    ref: str
    reason: str = ""


class GetTrust(Request, frozen=True, kw_only=True):
    """Trust decisions on a version's bytes, newest first."""

    ref: str


class ListAudit(Request, frozen=True, kw_only=True):
    """A page of the audit, oldest first."""

    target: str = ""
    event: str = ""
    newest_first: bool = False
    limit: int = PAGE_SIZE
    cursor: str = ""


class VerifyAudit(Request, frozen=True, kw_only=True):
    """Walk the whole chain; with ``size`` and ``head``, event ``size`` must have that hash."""

    size: int = 0
    head: str = GENESIS

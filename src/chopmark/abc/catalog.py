"""The interface of a catalog: the rows of the registry, read and written in transactions.

A transaction hands out one small surface per noun. Records go in and come out; integer keys,
tables and SQL stay inside. Models and versions are addressed by their ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec

from chopmark.abc.access import Members, Puts, Roles, Tokens
from chopmark.abc.checking import Rows
from chopmark.abc.collection import Collection
from chopmark.abc.experiments import Experiments, ExperimentUnits
from chopmark.abc.history import Audit, Events, IdempotencyKeys, Loads, Outbox, OutboxRow, Recorded, StoredAnswer
from chopmark.abc.jobs import Jobs, Schedules
from chopmark.abc.lineage import Datasets, Lineage, Records, Texts
from chopmark.abc.monitors import Alerts, Monitors
from chopmark.abc.outcomes import FeedbackRows, OutcomeTiers, ProfileCounts
from chopmark.abc.pointers import Aliases, Evaluations, Stages, Trust
from chopmark.abc.rollouts import Rollouts
from chopmark.abc.routing import Endpoints, Outcomes, Routers, RoutingMarks
from chopmark.abc.webhooks import Deliveries, Webhooks
from chopmark.domain.manifest import Manifest
from chopmark.domain.query import Query
from chopmark.domain.versions import (
    Deprecation,
    Model,
    Project,
    Version,
)
from chopmark.errors import Conflict

__all__ = [
    "Alerts",
    "Aliases",
    "Audit",
    "Catalog",
    "Collection",
    "Datasets",
    "Deliveries",
    "Endpoints",
    "Evaluations",
    "Events",
    "ExperimentUnits",
    "Experiments",
    "FeedbackRows",
    "Found",
    "IdempotencyKeys",
    "Jobs",
    "KeyedField",
    "Lineage",
    "Loads",
    "Manifests",
    "Members",
    "Models",
    "Monitors",
    "Outbox",
    "OutboxRow",
    "OutcomeTiers",
    "Outcomes",
    "ProfileCounts",
    "Projects",
    "Puts",
    "Recorded",
    "Records",
    "Release",
    "Roles",
    "Rollouts",
    "Routers",
    "RoutingMarks",
    "Rows",
    "Schedules",
    "Stages",
    "StoredAnswer",
    "Taken",
    "Texts",
    "Tokens",
    "Transaction",
    "Trust",
    "VersionChange",
    "Versions",
    "Webhooks",
]


KeyedField = Literal["metrics", "params", "tags"]


class Taken(Conflict):
    """A name, number or key was free when it was looked for and is taken now: somebody was quicker.

    The door begins such an op anew; it then sees what the other wrote.
    """


class Found(msgspec.Struct, frozen=True):
    """A page of a search.

    Attributes
    ----------
    versions
        In the order asked for.
    position
        Where to go on; None when there are no more. With it a page may hold fewer versions than were asked for, even none:
        a page looks at a limited number of rows.
    """

    versions: list[Version]
    position: list[Any] | None


class VersionChange(msgspec.Struct, frozen=True, kw_only=True):
    """What may change around a version; a field that is UNSET stays."""

    stage: str | msgspec.UnsetType = msgspec.UNSET
    stage_since: datetime | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    card: str | msgspec.UnsetType = msgspec.UNSET
    tags: Mapping[str, str] | msgspec.UnsetType = msgspec.UNSET
    annotations: Mapping[str, Any] | msgspec.UnsetType = msgspec.UNSET
    deprecation: Deprecation | msgspec.UnsetType | None = msgspec.UNSET
    deleted_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class Projects(Protocol):
    """Projects by name."""

    def get(self, name: str) -> Project | None:
        """The project, or None."""
        ...

    def lock(self, name: str) -> Project | None:
        """Like `get`, and no other transaction may change it now."""
        ...

    def list(self, *, after: str = "", among: Texts | None = None, limit: int) -> list[Project]:
        """Projects in order of their names, from the first after ``after``; with ``among`` only these."""
        ...

    def insert(self, project: Project) -> None:
        """Add one; `Taken` when the name is."""
        ...

    def update(self, project: Project) -> None:
        """Replace description and rules of the project with this id."""
        ...


class Models(Protocol):
    """Models by project and name."""

    def get(self, project: str, name: str, *, deleted: bool = False) -> Model | None:
        """The model, or None; a soft-deleted one only when ``deleted``."""
        ...

    def lock(self, project: str, name: str) -> Model | None:
        """Like `get` with ``deleted=True``, and no other transaction may change its versions now."""
        ...

    def list(
        self,
        *,
        project: str | None,
        contains: str = "",
        after: tuple[str, str] = ("", ""),
        among: Texts | None = None,
        limit: int,
        deleted: bool = False,
    ) -> list[Model]:
        """Models by (project, name) from the first after ``after``.

        ``contains`` is looked for within the name, ASCII letters in any case; ``among`` limits to these projects.
        """
        ...

    def insert(self, model: Model) -> None:
        """Add one; `Taken` when the name is in its project (soft-deleted ones count)."""
        ...

    def update(self, model: Model) -> None:
        """Replace what may change of the model with this id.

        That is task, owner, team, description, card, tags, last_number, retention, updated_at, deleted_at.
        """
        ...

    def purge(self, model_id: UUID) -> None:
        """Remove the model, its versions and all that hangs on them. History in the audit stays."""
        ...


class Release(NamedTuple):
    """A version as the next one is compared with it.

    Attributes
    ----------
    number, semver
        Of the version.
    manifest
        What it is made of; None when that is gone.
    """

    number: int
    semver: str
    manifest: Manifest | None


class Versions(Protocol):
    """Versions of models. Those soft-deleted are found only where it says so."""

    def insert(self, version: Version, manifest: Manifest) -> None:
        """Add a version with its manifest, files, metrics, params and tags.

        `Taken` when its number or its SemVer is in the model.
        """
        ...

    def by_id(self, version_id: UUID) -> Version | None:
        """Any version, soft-deleted too."""
        ...

    def by_number(self, model_id: UUID, number: int, *, deleted: bool = False) -> Version | None:
        """The version with that number."""
        ...

    def by_semver(self, model_id: UUID, semver: str, *, deleted: bool = False) -> Version | None:
        """The version with exactly that SemVer text."""
        ...

    def by_digest(self, model_id: UUID, prefix: str, *, deleted: bool = False, limit: int = 2) -> list[Version]:
        """Versions whose manifest digest starts so (``sha256:…``), newest first."""
        ...

    def latest(self, model_id: UUID) -> Version | None:
        """The ready version with the highest number that is not archived."""
        ...

    def highest_release(self, model_id: UUID) -> Release | None:
        """What the next one follows: the version with the highest SemVer precedence, soft-deleted and archived ones too."""
        ...

    def in_range(self, model_id: UUID, low_key: str, high_key: str) -> Version | None:
        """Highest ready release, not archived, with low ≤ `SemVer.sort_key` < high."""
        ...

    def in_stage(self, model_id: UUID, stage: str, *, limit: int = 100) -> list[Version]:
        """Versions in a stage, the one that entered last first."""
        ...

    def in_model(self, model_id: UUID, *, deleted: bool = False, limit: int) -> list[Version]:
        """Versions of a model, newest number first."""
        ...

    def search(
        self,
        query: Query,
        *,
        project: str | None = None,
        model_id: UUID | None = None,
        after: Sequence[Any] | None = None,
        among: Texts | None = None,
        limit: int,
        deleted: bool = False,
    ) -> Found:
        """A page of the versions that meet the query, exactly as `domain.query.matches` defines.

        Order: the query's terms (versions without the field last; under a key of ``params`` truth
        values before numbers before texts), then newest made first, then highest id first.
        ``deleted`` shows the soft-deleted ones only, ``among`` limits to these projects.
        `InvalidRequest` when ``after`` is no position of this order.
        """
        ...

    def has_key(self, field: KeyedField, key: str) -> bool:
        """Whether any version, soft-deleted too, has a value that a search compares under this key."""
        ...

    def keys(self, field: KeyedField, *, limit: int) -> list[str]:
        """Keys that versions have such values under, each once, in order: the first ``limit`` of them."""
        ...

    def update(self, version_id: UUID, change: VersionChange, at: datetime) -> None:
        """Apply a change and set ``updated_at``."""
        ...

    def purge(self, version_id: UUID) -> None:
        """Remove a version and what hangs on it: files, metrics, evaluations, edges, aliases."""
        ...

    def blob_users(self, digest: str, *, limit: int = 100) -> list[Version]:
        """Versions, soft-deleted too, with a file of this digest."""
        ...

    def referenced_blobs(self) -> Iterator[str]:
        """Digests of all files of all versions, soft-deleted too, sorted, each once."""
        ...


class Manifests(Protocol):
    """Manifests by their digest."""

    def get(self, digest: str) -> Manifest | None:
        """The manifest, or None."""
        ...


class Transaction(Protocol):
    """One consistent view, and one set of changes that happens whole or not at all.

    What belongs to a project, model or version that is not there raises `NotFound`; a change in a
    transaction that reads, and any use after its end, raises `InvalidRequest`. A `Conflict` or
    `NotFound` that the caller handles leaves the transaction usable.
    """

    @property
    def projects(self) -> Projects:
        """Projects by name."""
        ...

    @property
    def models(self) -> Models:
        """Models by project and name."""
        ...

    @property
    def versions(self) -> Versions:
        """Versions of models."""
        ...

    @property
    def manifests(self) -> Manifests:
        """Manifests by their digest."""
        ...

    @property
    def aliases(self) -> Aliases:
        """Where aliases point, and pointed."""
        ...

    @property
    def stages(self) -> Stages:
        """Moves between stages."""
        ...

    @property
    def evaluations(self) -> Evaluations:
        """Metrics of versions on data sets."""
        ...

    @property
    def lineage(self) -> Lineage:
        """Edges between versions, data sets and runs."""
        ...

    @property
    def datasets(self) -> Datasets:
        """Data sets by their node."""
        ...

    @property
    def trust(self) -> Trust:
        """Decisions on code."""
        ...

    @property
    def loads(self) -> Loads:
        """Loads by version and day."""
        ...

    @property
    def audit(self) -> Audit:
        """The chain of events."""
        ...

    @property
    def recorded(self) -> Recorded:
        """How far the audit is recorded beside the blobs."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Events that wait for delivery."""
        ...

    @property
    def idempotency(self) -> IdempotencyKeys:
        """First answers, by the keys of their calls."""
        ...

    @property
    def collection(self) -> Collection:
        """What may go, and the collector's lock."""
        ...

    @property
    def rows(self) -> Rows:
        """Rows as they are stored."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Tokens by their id."""
        ...

    @property
    def members(self) -> Members:
        """Who has which role where."""
        ...

    @property
    def roles(self) -> Roles:
        """Roles beside those that are always there."""
        ...

    @property
    def puts(self) -> Puts:
        """Who put which bytes lately."""
        ...

    @property
    def schedules(self) -> Schedules:
        """When what runs."""
        ...

    @property
    def jobs(self) -> Jobs:
        """The queue of jobs."""
        ...

    @property
    def webhooks(self) -> Webhooks:
        """Who is told of events."""
        ...

    @property
    def deliveries(self) -> Deliveries:
        """Events on their way to webhooks."""
        ...

    @property
    def endpoints(self) -> Endpoints:
        """What answers behind which name."""
        ...

    @property
    def experiments(self) -> Experiments:
        """What is compared, and what became of it."""
        ...

    @property
    def experiment_units(self) -> ExperimentUnits:
        """Who was shown what, and what was recorded of them."""
        ...

    @property
    def routing(self) -> RoutingMarks:
        """The mark of the newest routing."""
        ...

    @property
    def routers(self) -> Routers:
        """Routers as they last reported."""
        ...

    @property
    def outcomes(self) -> Outcomes:
        """What became of requests, minute by minute."""
        ...

    @property
    def outcome_tiers(self) -> OutcomeTiers:
        """The same by hour and by day, as it grows old."""
        ...

    @property
    def feedback(self) -> FeedbackRows:
        """What was said of answers."""
        ...

    @property
    def profile_counts(self) -> ProfileCounts:
        """What sampled requests looked like."""
        ...

    @property
    def monitors(self) -> Monitors:
        """What is watched."""
        ...

    @property
    def alerts(self) -> Alerts:
        """That monitors fired."""
        ...

    @property
    def rollouts(self) -> Rollouts:
        """Moves of endpoints from one version to another."""
        ...

    def lock(self, name: str) -> None:
        """Wait for other transactions that locked this name, and keep it until this one ends.

        For what no row stands for before it is made. Whoever reads after it sees what those others wrote.
        """
        ...


class Catalog(Protocol):
    """Rows of the registry.

    Promises: a `writing` block commits durably when it ends and changes nothing when it raises;
    a `reading` block sees one consistent state and refuses changes; threads and processes may
    use one catalog at once, and waiting writers are served in turn until the limit of the
    settings, then `TimedOut`. `Unavailable` when the database does not answer, and when its
    schema is not the one this code needs.
    """

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads."""
        ...

    def reading_now(self) -> AbstractContextManager[Transaction] | None:
        """A transaction that only reads and waits for nothing but this machine's disk; None where there is none just now.

        An event loop may read a few rows in it without keeping others waiting. What is given is entered, at once.
        """
        ...

    def writing(self) -> AbstractContextManager[Transaction]:
        """A transaction that writes."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...

"""The interface of a catalog: the rows of the registry, read and written in transactions.

A transaction hands out one small surface per noun. Records go in and come out; integer keys,
tables and SQL stay inside. Models and versions are addressed by their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from chopmark.abc.access import Members, Puts, Roles, Tokens
from chopmark.abc.checking import Rows
from chopmark.abc.collection import Collection
from chopmark.abc.jobs import Jobs, Schedules
from chopmark.abc.webhooks import Deliveries, Webhooks
from chopmark.domain.audit import AuditEvent
from chopmark.domain.datasets import DatasetRecord
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.lineage import Edge
from chopmark.domain.manifest import Manifest
from chopmark.domain.query import Query
from chopmark.domain.usage import LoadCount
from chopmark.domain.versions import (
    Alias,
    AliasMove,
    Deprecation,
    Evaluation,
    Model,
    Project,
    TrustDecision,
    Version,
)
from chopmark.errors import Conflict

__all__ = [
    "Aliases",
    "Audit",
    "Catalog",
    "Collection",
    "Datasets",
    "Deliveries",
    "Evaluations",
    "Found",
    "IdempotencyKeys",
    "Jobs",
    "KeyedField",
    "Lineage",
    "Loads",
    "Manifests",
    "Members",
    "Models",
    "Outbox",
    "OutboxRow",
    "Projects",
    "Puts",
    "Recorded",
    "Roles",
    "Rows",
    "Schedules",
    "Stages",
    "StoredAnswer",
    "Taken",
    "Tokens",
    "Transaction",
    "Trust",
    "VersionChange",
    "Versions",
    "Webhooks",
]


KeyedField = Literal["metrics", "params", "tags"]

Moves = list[AliasMove]  # inside the classes below, ``list`` is a method
Records = list[DatasetRecord]
Events = list[AuditEvent]
Texts = Sequence[str]


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


class StoredAnswer(msgspec.Struct, frozen=True):
    """The answer that a call with this idempotency key got the first time (JSON)."""

    request_digest: str
    answer: bytes
    at: datetime


class OutboxRow(msgspec.Struct, frozen=True):
    """An event that waits for delivery."""

    seq: int
    event: AuditEvent


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

    def highest_release(self, model_id: UUID) -> Version | None:
        """The version with the highest SemVer precedence, soft-deleted and archived ones too."""
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


class Aliases(Protocol):
    """Aliases and their history."""

    def get(self, model_id: UUID, name: str) -> Alias | None:
        """The alias, or None."""
        ...

    def version(self, model_id: UUID, name: str) -> Version | None:
        """The version an alias points to, in one statement."""
        ...

    def list(self, model_id: UUID) -> list[Alias]:
        """Aliases of a model by name."""
        ...

    def put(self, model_id: UUID, alias: Alias) -> None:
        """Set or move an alias."""
        ...

    def remove(self, model_id: UUID, name: str) -> None:
        """Remove an alias."""
        ...

    def record(self, model_id: UUID, move: AliasMove) -> None:
        """Add to the history."""
        ...

    def history(self, model_id: UUID, name: str = "", *, until: datetime | None = None, limit: int) -> Moves:
        """Moves of an alias (of all of the model without a name) not after ``until``, newest first."""
        ...


class Stages(Protocol):
    """History of stage moves."""

    def record(self, version_id: UUID, move: StageMove) -> None:
        """Add to the history."""
        ...

    def history(self, version_id: UUID, *, until: datetime | None = None, limit: int) -> list[StageMove]:
        """Moves of a version not after ``until``, newest first."""
        ...


class Evaluations(Protocol):
    """Evaluations of versions."""

    def insert(self, version_id: UUID, evaluation: Evaluation) -> None:
        """Add one."""
        ...

    def list(self, version_id: UUID, *, limit: int) -> list[Evaluation]:
        """Those of a version, newest first."""
        ...


class Lineage(Protocol):
    """Edges between versions, data sets and runs."""

    def insert(self, edges: Iterable[Edge]) -> None:
        """Add edges; one that is there already stays as it is."""
        ...

    def outgoing(self, source: str) -> list[Edge]:
        """Edges from a node, oldest first."""
        ...

    def incoming(self, target: str, relations: Sequence[str] = ()) -> list[Edge]:
        """Edges to a node, oldest first, of these relations (all when none are given)."""
        ...

    def remove(self, edge: Edge) -> bool:
        """Remove the edge with these ends and this relation; whether it was there."""
        ...

    def reach(
        self, node: str, *, upstream: bool, depth_max: int | None = None, among: Texts | None = None, limit: int
    ) -> list[Edge]:
        """Edges met on the way from a node to all it comes from, or to all that comes from it.

        Edges of the relations in `domain.lineage.FOLLOWED` are followed, at most ``depth_max``
        steps; those in ``SHOWN`` are met and not followed. Each edge once. Those of nearer nodes
        come first, so that a limit cuts off what is far. With ``among`` no edge that leads to a version of
        another project is met or followed.
        """
        ...

    def reaches(self, node: str, goal: str) -> bool:
        """Whether a node is or comes from another, over any number of steps."""
        ...

    def versions(self, nodes: Iterable[str]) -> list[Version]:
        """The versions among these nodes, soft-deleted too, in no order; nodes that are none are passed over."""
        ...

    def lock(self) -> None:
        """From now to the end of this transaction no other one gets this lock: ask, then link."""
        ...


class Datasets(Protocol):
    """Data sets that versions were trained or evaluated on, by their node."""

    def put(self, records: Iterable[DatasetRecord]) -> None:
        """Add records; one whose node is there already stays as it is."""
        ...

    def get(self, nodes: Iterable[str], *, among: Texts | None = None) -> Records:
        """Those of these nodes, in no order; nodes that are none are passed over.

        Here and below ``among`` limits to what a version of these projects was trained or evaluated on.
        """
        ...

    def named(self, name: str, *, among: Texts | None = None, limit: int) -> Records:
        """Those of exactly this name, newest first."""
        ...

    def starting(self, prefix: str, *, among: Texts | None = None, limit: int) -> Records:
        """Those whose node begins so, by node."""
        ...

    def list(
        self, *, contains: str = "", after: tuple[str, str] = ("", ""), among: Texts | None = None, limit: int
    ) -> Records:
        """By (name, node) from the first after ``after``; ``contains`` within the name, ASCII letters in any case."""
        ...


class Trust(Protocol):
    """Decisions to let code run, by manifest digest."""

    def get(self, digest: str) -> list[TrustDecision]:
        """Decisions on these bytes, newest first."""
        ...

    def insert(self, decision: TrustDecision) -> None:
        """Add one."""
        ...

    def remove(self, digest: str) -> int:
        """Withdraw all decisions on these bytes; how many there were."""
        ...


class Loads(Protocol):
    """How often versions were loaded, by day."""

    def add(self, counts: Mapping[tuple[UUID, date], int]) -> None:
        """Add to what was counted, by version and day; versions that are not there are passed over."""
        ...

    def list(
        self,
        model_id: UUID,
        *,
        number: int | None = None,
        since: date | None = None,
        until: date | None = None,
        after: tuple[date, int] | None = None,
        limit: int,
    ) -> list[LoadCount]:
        """Counts of a model, or of one of its versions, from ``since`` to ``until`` (both included).

        Newest day first, of one day the highest number first, after the day and number in ``after``.
        """
        ...

    def last_days(self, model_id: UUID) -> dict[UUID, date]:
        """The last day on which each version of a model was loaded; without those that never were."""
        ...


class Audit(Protocol):
    """The chain of events."""

    def append(self, event: AuditEvent) -> AuditEvent:
        """Give the event its ``seq``, ``previous`` and ``hash``, and add it.

        No other transaction can append before this one has ended: call it last.
        """
        ...

    def list(
        self,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        target: str = "",
        event: str = "",
        newest_first: bool = False,
        among: Texts | None = None,
        limit: int,
    ) -> list[AuditEvent]:
        """Events with seq > after_seq (and < before_seq); ``target`` and ``event`` exact.

        ``among`` limits to what happened in these projects (`chopmark.domain.sight.project_of`).
        """
        ...

    def about(self, targets: Texts, beginnings: Texts, *, after_seq: int = 0, limit: int) -> Events:
        """Events whose target is one of ``targets`` or begins with one of ``beginnings``, oldest first.

        None when both are empty. No beginning is empty.
        """
        ...

    def first_after(self, time: datetime) -> int | None:
        """``seq`` of the first event whose time is later; None when there is none."""
        ...

    def head(self) -> tuple[int, str]:
        """``seq`` and ``hash`` of the last event appended, kept beside the events.

        0 and `GENESIS` before the first. A chain that was cut off at its end ends elsewhere.
        """
        ...


class Recorded(Protocol):
    """How far the audit is recorded beside the blobs, and putting it back from there."""

    def position(self) -> int:
        """``seq`` of the last event that is recorded; 0 before the first."""
        ...

    def move(self, seq: int) -> None:
        """Note that events up to ``seq`` are recorded; a lower number than the one noted changes nothing."""
        ...

    def put_back(self, events: Iterable[AuditEvent]) -> None:
        """Make these events, as they were, the chain of a catalog that has none yet; noted as recorded.

        `Conflict` when there are events already.
        """
        ...


class Outbox(Protocol):
    """Events that wait for delivery, written with the change they tell of."""

    def add(self, event: AuditEvent) -> None:
        """Queue an event."""
        ...

    def pending(self, *, after_seq: int = 0, limit: int) -> list[OutboxRow]:
        """What waits, oldest first."""
        ...

    def remove(self, seqs: Iterable[int]) -> None:
        """Take out those that were handed over; others may have done so already."""
        ...


class IdempotencyKeys(Protocol):
    """Answers of calls that carried a key."""

    def get(self, actor: str, key: str) -> StoredAnswer | None:
        """The first answer, or None."""
        ...

    def put(self, actor: str, key: str, op: str, answer: StoredAnswer) -> None:
        """Keep an answer."""
        ...

    def expire(self, before: datetime, *, limit: int) -> int:
        """Forget answers that were given before a time, at most so many; how many."""
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

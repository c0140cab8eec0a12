"""What is stored of a catalog in memory, and one transaction's hold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from chopmark.abc.catalog import StoredAnswer
from chopmark.base.clock import system_clock
from chopmark.base.ids import random_bytes, uuid7
from chopmark.base.jsons import decode
from chopmark.domain.feedback import JudgedFeedback
from chopmark.domain.versions import Model, Version
from chopmark.errors import InvalidRequest, NotFound

__all__ = ["Routed", "Rows", "Scope", "State", "StoredMonitor", "Surface", "Turn", "first_of", "newest", "of_key"]


T = TypeVar("T")


Rows = list[tuple[Any, bytes]]


def first_of(values: Iterable[T]) -> T | None:
    """The first value; None when there is none."""
    return next(iter(values), None)


class Turn(NamedTuple):
    """Who sends to a webhook."""

    fence: int = 0
    until: datetime | None = None
    served: datetime | None = None


class StoredMonitor(NamedTuple):
    """A monitor and what is remembered of it, with its revision and when it is due."""

    body: bytes
    state: bytes
    revision: int
    due: datetime


class Routed(NamedTuple):
    """The routing's only row."""

    epoch: str
    generation: int
    secret: str


class State:
    """Everything that is stored."""

    def __init__(self) -> None:
        self.projects: dict[str, bytes] = {}
        self.models: dict[UUID, bytes] = {}
        self.versions: dict[UUID, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.files: dict[UUID, frozenset[str]] = {}
        self.aliases: dict[tuple[UUID, str], bytes] = {}
        self.alias_moves: Rows = []
        self.stage_moves: Rows = []
        self.evaluations: Rows = []
        self.edges: dict[tuple[str, str, str], bytes] = {}
        self.datasets: dict[str, bytes] = {}
        self.decisions: Rows = []
        self.loads: dict[tuple[UUID, date], int] = {}
        self.audit: list[bytes] = []
        self.outbox: dict[int, bytes] = {}
        self.outbox_seq = 0
        self.recorded_seq = 0
        self.generation = 0
        self.keys: dict[UUID, int] = {}
        self.tokens: dict[str, tuple[bytes, str]] = {}
        self.members: dict[tuple[str, str, str], bytes] = {}
        self.roles: dict[str, bytes] = {}
        self.puts: dict[tuple[str, str], datetime] = {}
        self.answers: dict[tuple[str, str], StoredAnswer] = {}
        self.schedules: dict[str, bytes] = {}
        self.jobs: dict[UUID, bytes] = {}
        self.webhooks: dict[UUID, tuple[bytes, str]] = {}
        self.turns: dict[UUID, Turn] = {}
        self.deliveries: dict[tuple[UUID, int], bytes] = {}
        self.endpoints: dict[UUID, bytes] = {}
        self.experiments: dict[UUID, bytes] = {}
        self.experiment_units: dict[tuple[UUID, bytes], tuple[int, int]] = {}
        self.experiment_outcomes: dict[tuple[UUID, int, bytes, bytes], tuple[int, float, float]] = {}
        self.routing = Routed(str(uuid7(system_clock())), 0, random_bytes(32).hex())
        self.routers: dict[str, tuple[datetime, bytes]] = {}
        self.outcomes: dict[tuple[UUID, datetime, UUID, str, str], bytes] = {}
        self.outcome_tiers: dict[tuple[str, datetime, UUID, UUID, str], bytes] = {}
        self.outcome_moves: dict[str, datetime] = {}
        self.feedback: dict[tuple[UUID, datetime, bytes], JudgedFeedback] = {}
        self.profile_counts: dict[tuple[UUID, datetime, UUID, str, str], bytes] = {}
        self.monitors: dict[UUID, StoredMonitor] = {}
        self.alerts: dict[UUID, bytes] = {}
        self.rollouts: dict[UUID, bytes] = {}
        self.rollout_events: dict[UUID, tuple[bytes, ...]] = {}

    def copy(self) -> State:
        """A state that can be changed without changing this one."""
        other = State()
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, dict | list) else value)
        return other


class Scope:
    """One transaction's state, until it ends."""

    def __init__(self, state: State, *, is_writing: bool) -> None:
        self._state: State | None = state
        self._is_writing = is_writing

    def end(self) -> None:
        """Refuse everything from now on."""
        self._state = None

    @property
    def read(self) -> State:
        """The state, to read."""
        if self._state is None:
            raise InvalidRequest("This transaction has ended.", hint="Work inside the with block.")
        return self._state

    @property
    def write(self) -> State:
        """The state, to change."""
        state = self.read
        if not self._is_writing:
            raise InvalidRequest("This transaction only reads.", hint="Open it with writing().")
        return state

    def model(self, model_id: UUID) -> Model:
        """The model with this id, to hang something on."""
        body = self.write.models.get(model_id)
        if body is None:
            raise NotFound(f"There is no model with the id {model_id}.")
        return decode(body, Model)

    def version(self, version_id: UUID) -> Version:
        """The version with this id, to change it or hang something on it."""
        body = self.write.versions.get(version_id)
        if body is None:
            raise NotFound(f"There is no version with the id {version_id}.")
        return decode(body, Version)


class Surface:
    """What the surfaces share: the scope they work in."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope


def of_key(rows: Rows, key: Any, kind: type[T]) -> list[T]:
    """Records of the rows with this key."""
    return [decode(body, kind) for k, body in rows if k == key]


def newest(records: list[T], time: Callable[[T], datetime], until: datetime | None = None) -> list[T]:
    """Those not after ``until``, newest first; of one time, the one that was added last."""
    found = [r for r in reversed(records) if until is None or time(r) <= until]
    return sorted(found, key=time, reverse=True)

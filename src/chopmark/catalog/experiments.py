"""Experiments in SQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, select, update

from chopmark.abc.catalog import Taken
from chopmark.abc.experiments import ExperimentList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.named_pages import named_page, named_page_values
from chopmark.catalog.records import json_text
from chopmark.catalog.sight import places_of
from chopmark.domain.experiment_status import ExperimentStatus
from chopmark.domain.experiments import Experiment, ExperimentPlan

__all__ = ["ExperimentStatements", "SqlExperiments"]

_ARCHIVED = "archived"


class _Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What may change and is never asked by, as one JSON text in its row."""

    description: str = ""
    ends_at: datetime
    ended_at: datetime | None = None
    ended_by: str = ""
    winner: str = ""
    final: ExperimentStatus | None = None


_read_body = decoder(_Body)
_read_plan = decoder(ExperimentPlan)
_MOVED = ("holds_uid", "state", "body")


class ExperimentStatements:
    """Statements on experiments, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.table = compiler.tables.experiments

    @cached_property
    def get(self) -> Prepared:
        """By ``project`` and ``name``."""
        return self.compiler(self._rows().where(self._is_named()))

    @cached_property
    def lock(self) -> Prepared:
        """The same, for this transaction alone."""
        return self.compiler(self._rows().where(self._is_named()).with_for_update())

    def list(self, *, in_project: bool, archived: bool, places: int) -> Prepared:
        """After ``after_project`` and ``after_name``, of ``project``, or of those in sight."""
        shape = ("experiments", in_project, archived, places)
        return self.compiler.shaped(shape, lambda: self._page(in_project, archived, places))

    @cached_property
    def on_endpoint(self) -> Prepared:
        """Of ``endpoint``, the last that began first."""
        c = self.table.c
        found = self._rows().where(c.endpoint_uid == bindparam("endpoint")).order_by(c.started_us.desc(), c.key.desc())
        return self.compiler(found.limit(bindparam("limit")))

    @cached_property
    def insert(self) -> Prepared:
        """Returns nothing when the name, the id or the endpoint is taken."""
        return self.compiler(self.compiler.insert_once(self.table).returning(self.table.c.key))

    @cached_property
    def put(self) -> Prepared:
        """What may change of ``experiment``."""
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _MOVED}
        return self.compiler(update(self.table).where(self.table.c.uid == bindparam("experiment")).values(**values))

    def _rows(self) -> Select[Any]:
        c = self.table.c
        return select(c.uid, c.project, c.name, c.endpoint_uid, c.state, c.plan, c.body, c.started_us, c.started_by)

    def _is_named(self) -> ColumnElement[bool]:
        c = self.table.c
        return and_(c.project == bindparam("project"), c.name == bindparam("name"))

    def _page(self, in_project: bool, archived: bool, places: int) -> Select[Any]:
        rows = self._rows() if archived else self._rows().where(self.table.c.state != _ARCHIVED)
        return named_page(rows, self.table, in_project=in_project, places=places)


class SqlExperiments:
    """`chopmark.abc.experiments.Experiments`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: ExperimentStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, project: str, name: str) -> Experiment | None:
        """See the interface."""
        return self._one(self._sql.get, project, name)

    def lock(self, project: str, name: str) -> Experiment | None:
        """See the interface."""
        self._run.check_writing()
        return self._one(self._sql.lock, project, name)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        archived: bool = False,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> ExperimentList:
        """See the interface."""
        values = named_page_values(project, among, after, limit)
        prepared = self._sql.list(in_project=project is not None, archived=archived, places=places_of(among))
        return [_experiment(row) for row in self._run.all(prepared, values)]

    def on_endpoint(self, endpoint_id: UUID, *, limit: int) -> ExperimentList:
        """See the interface."""
        values = {"endpoint": endpoint_id.bytes, "limit": limit}
        return [_experiment(row) for row in self._run.all(self._sql.on_endpoint, values)]

    def insert(self, experiment: Experiment) -> None:
        """See the interface."""
        values = {
            "uid": experiment.id.bytes,
            "project": experiment.project,
            "name": experiment.name,
            "endpoint_uid": None if experiment.endpoint_id is None else experiment.endpoint_id.bytes,
            "plan": json_text(experiment.plan),
            "started_us": to_us(experiment.started_at),
            "started_by": experiment.started_by,
            **_moved(experiment),
        }
        if self._run.add(self._sql.insert, values) is None:
            raise Taken(f"There is an experiment {experiment.ref} already, or one runs on its endpoint.")

    def put(self, experiment: Experiment) -> bool:
        """See the interface."""
        values = {f"new_{name}": value for name, value in _moved(experiment).items()}
        return self._run.change(self._sql.put, {"experiment": experiment.id.bytes, **values}) > 0

    def _one(self, prepared: Prepared, project: str, name: str) -> Experiment | None:
        row = self._run.one(prepared, {"project": project, "name": name})
        return None if row is None else _experiment(row)


def _moved(experiment: Experiment) -> dict[str, Any]:
    holds = experiment.endpoint_id if experiment.state == "running" else None
    return {
        "holds_uid": None if holds is None else holds.bytes,
        "state": experiment.state,
        "body": json_text(_Body(**{name: getattr(experiment, name) for name in _Body.__struct_fields__})),
    }


@row_of("an experiment", "bssBsssis")
def _experiment(row: tuple[Any, ...]) -> Experiment:
    uid, project, name, endpoint, state, plan, body, started_us, started_by = row
    said = _read_body(body)
    return Experiment(
        id=UUID(bytes=uid),
        project=project,
        name=name,
        endpoint_id=None if endpoint is None else UUID(bytes=endpoint),
        plan=_read_plan(plan),
        state=state,
        started_at=from_us(started_us),
        started_by=started_by,
        **{field: getattr(said, field) for field in _Body.__struct_fields__},
    )

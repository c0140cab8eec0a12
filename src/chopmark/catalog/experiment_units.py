"""Exposures and outcomes of units, and their sums, in SQL.

Each is written by one upsert whose result does not depend on the order in which rows come, nor on how often they do. Sums are taken by
the database, of rows in the order in which they lie: nothing is kept twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    null,
    or_,
    select,
)

from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.domain.experiment_units import (
    NOWHERE,
    SEEN_IN_TWO,
    ExposedUnits,
    ObservedTime,
    RecordedUnits,
    UnitExposure,
    UnitOutcome,
)

__all__ = ["ExperimentUnitStatements", "SqlExperimentUnits"]

_BATCHES = 1_000_000_000
"""More than an experiment can have."""


class ExperimentUnitStatements:
    """Statements on units of experiments, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.units = compiler.tables.experiment_units
        self.outcomes = compiler.tables.experiment_outcomes

    @cached_property
    def expose(self) -> Prepared:
        """Keeps the first time, and the variant unless there are two."""
        u = self.units
        insert: Any = self.compiler.insert(u)
        new = insert.excluded
        return self.compiler(
            insert.on_conflict_do_update(
                index_elements=["experiment_uid", "unit"],
                set_={
                    "variant": case((u.c.variant == new.variant, u.c.variant), else_=literal(SEEN_IN_TWO, Integer())),
                    "exposed_us": case((u.c.exposed_us < new.exposed_us, u.c.exposed_us), else_=new.exposed_us),
                },
                where=or_(
                    and_(u.c.variant != new.variant, u.c.variant != SEEN_IN_TWO), new.exposed_us < u.c.exposed_us
                ),
            )
        )

    @cached_property
    def record(self) -> Prepared:
        """Keeps the first by time and value."""
        o = self.outcomes
        insert: Any = self.compiler.insert(o)
        new = insert.excluded
        names = ("at_us", "y", "x")
        return self.compiler(
            insert.on_conflict_do_update(
                index_elements=["experiment_uid", "metric", "unit", "id"],
                set_={name: new[name] for name in names},
                where=_is_before([(new[name], o.c[name]) for name in names]),
            )
        )

    @cached_property
    def exposed(self) -> Prepared:
        """Of ``experiment``, before ``until_us``."""
        u = self.units.c
        place = self._place(u.variant, u.exposed_us).label("place")
        chosen = select(place, func.count()).where(
            u.experiment_uid == bindparam("experiment"), u.exposed_us < bindparam("until_us")
        )
        return self.compiler(chosen.group_by(place).order_by(place))

    @cached_property
    def sum_of(self) -> Prepared:
        """Of ``experiment`` and ``metric``: sums of units' totals."""
        return self._recorded(func.sum)

    @cached_property
    def any_of(self) -> Prepared:
        """The same, of units' largest values."""
        return self._recorded(func.max)

    @cached_property
    def forget(self) -> list[Prepared]:
        """All of ``experiment``, its units last."""
        return [
            self.compiler(delete(table).where(table.c.experiment_uid == bindparam("experiment")))
            for table in (self.outcomes, self.units)
        ]

    def _recorded(self, together: Any) -> Prepared:
        u, o = self.units.c, self.outcomes.c
        is_early = o.at_us < u.exposed_us
        is_late = o.at_us >= u.exposed_us + bindparam("window_us", type_=BigInteger())
        counts = and_(o.at_us >= u.exposed_us, o.at_us < u.exposed_us + bindparam("window_us", type_=BigInteger()))
        exposed = and_(
            u.experiment_uid == o.experiment_uid,
            u.unit == o.unit,
            u.exposed_us < bindparam("until_us", type_=BigInteger()),
        )
        unit = (
            select(
                func.coalesce(
                    self._place(func.min(u.variant), func.min(u.exposed_us)), literal(NOWHERE * _BATCHES, BigInteger())
                ).label("place"),
                together(case((counts, o.y), else_=null())).label("y"),
                func.sum(case((counts, o.x), else_=null())).label("x"),
                func.count().label("records"),
                func.sum(case((is_early, 1), else_=0)).label("early"),
                func.sum(case((is_late, 1), else_=0)).label("late"),
            )
            .select_from(self.outcomes.outerjoin(self.units, exposed))
            .where(o.experiment_uid == bindparam("experiment"), o.metric == bindparam("metric"))
            .group_by(o.unit)
            .subquery("unit")
        ).c
        sums = [unit.y, unit.x, unit.y * unit.y, unit.x * unit.x, unit.y * unit.x]
        return self.compiler(
            select(
                unit.place,
                func.count(unit.y),
                *(func.coalesce(func.sum(each), literal(0.0)) for each in sums),
                *(func.sum(each) for each in (unit.records, unit.early, unit.late)),
            )
            .group_by(unit.place)
            .order_by(unit.place)
        )

    def _place(self, variant: ColumnElement[Any], exposed_us: ColumnElement[Any]) -> ColumnElement[int]:
        """Variant and batch as one number: SQLite groups by sorting, and sorts one number in two thirds of the time of two."""
        since_us = exposed_us - bindparam("start_us", type_=BigInteger())
        batch = since_us // bindparam("batch_us", type_=BigInteger())
        whole = variant * literal(_BATCHES, BigInteger())
        return case((variant >= 0, whole + batch), else_=whole)


class SqlExperimentUnits:
    """`chopmark.abc.experiments.ExperimentUnits`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: ExperimentUnitStatements) -> None:
        self._run = run
        self._sql = statements

    def expose(self, experiment_id: UUID, exposures: Iterable[UnitExposure]) -> None:
        """See the interface."""
        uid = experiment_id.bytes
        self._run.change_each(
            self._sql.expose,
            ({"experiment_uid": uid, "unit": u, "variant": v, "exposed_us": at} for u, v, at in sorted(exposures)),
        )

    def record(self, experiment_id: UUID, outcomes: Iterable[UnitOutcome]) -> None:
        """See the interface."""
        uid = experiment_id.bytes
        self._run.change_each(
            self._sql.record,
            (
                {"experiment_uid": uid, "unit": unit, "metric": metric, "id": key, "at_us": at_us, "y": y, "x": x}
                for unit, metric, key, at_us, y, x in sorted(outcomes)
            ),
        )

    def exposed(self, experiment_id: UUID, time: ObservedTime) -> list[ExposedUnits]:
        """See the interface."""
        values = {"experiment": experiment_id.bytes, **_times(time)}
        rows = self._run.all(self._sql.exposed, values)
        return [ExposedUnits(place // _BATCHES, place % _BATCHES, units) for place, units in rows]

    def recorded(self, experiment_id: UUID, metric: int, time: ObservedTime, *, any_of: bool) -> list[RecordedUnits]:
        """See the interface."""
        values = {"experiment": experiment_id.bytes, "metric": metric, **_times(time)}
        prepared = self._sql.any_of if any_of else self._sql.sum_of
        return [_sums(row) for row in self._run.all(prepared, values)]

    def forget(self, experiment_id: UUID) -> int:
        """See the interface."""
        counts = [self._run.change(each, {"experiment": experiment_id.bytes}) for each in self._sql.forget]
        return counts[-1]


def _times(time: ObservedTime) -> dict[str, int]:
    return time._asdict()


def _sums(row: tuple[Any, ...]) -> RecordedUnits:
    place, units, *rest = row
    variant, batch = divmod(int(place), _BATCHES)
    y, x, yy, xx, yx, records, early, late = rest
    return RecordedUnits(
        variant, batch, units, float(y), float(x), float(yy), float(xx), float(yx), int(records), int(early), int(late)
    )


def _is_before(pairs: list[tuple[ColumnElement[Any], ColumnElement[Any]]]) -> ColumnElement[bool]:
    """Whether the first values are before the second, compared one after the other."""
    (new, old), *rest = pairs
    return or_(new < old, and_(new == old, _is_before(rest))) if rest else new < old

"""What was said of answers, and what sampled requests looked like, in SQL."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from msgspec import structs
from sqlalchemy import and_, bindparam, delete, func, or_, select, tuple_

from chopmark.abc.outcomes import ConfusedList, ConfusedVariant, ProfileList, ReportedProfile, TotalsList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder, encode
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.outcome_tiers import PACKED_LEVEL, unpacked, unpacked_first
from chopmark.domain.feedback import Confused, FeedbackTotals, JudgedFeedback, tie_of
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.errors import InvalidRequest
from chopmark.stats.column_counts import ColumnCounts
from chopmark.stats.profile import Counts

__all__ = ["FeedbackStatements", "ProfileStatements", "SqlFeedback", "SqlProfileCounts"]

_FEEDBACK_KEY = ("endpoint_uid", "asked_us", "request")
_PROFILE_KEY = ("endpoint_uid", "window_us", "version_uid", "variant", "router")

_read_counts = decoder(Counts)
_read_columns: Callable[[bytes | str], tuple[ColumnCounts, ...]] = decoder(tuple[ColumnCounts, ...])


class FeedbackStatements:
    """Statements on feedback, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def put(self) -> Prepared:
        """Adds, or replaces what was said before."""
        f = self.tables.feedback
        statement: Any = self.compiler.insert(f)
        new = statement.excluded
        is_newer = or_(f.c.said_us < new.said_us, and_(f.c.said_us == new.said_us, f.c.tie < new.tie))
        rest = {c.name: new[c.name] for c in f.c if c.name not in _FEEDBACK_KEY}
        return self.compiler(
            statement.on_conflict_do_update(index_elements=list(_FEEDBACK_KEY), set_=rest, where=is_newer)
        )

    @cached_property
    def totals(self) -> Prepared:
        """Sums of ``endpoint``, from ``since`` to before ``until``."""
        c = self.tables.feedback.c

        def sums(what: Any) -> Any:
            return func.coalesce(func.sum(what), 0.0)

        found = select(
            c.version_uid,
            c.variant,
            func.count(),
            func.count(c.is_right),
            func.coalesce(func.sum(c.is_right), 0),
            func.count(c.error),
            sums(c.error),
            sums(func.abs(c.error)),
            sums(c.error * c.error),
            func.coalesce(func.sum(c.is_number), 0),
            func.count(c.value),
            sums(c.value),
            func.coalesce(func.min(c.value), 0.0),
            func.coalesce(func.max(c.value), 0.0),
        ).where(*self._between())
        return self.compiler(found.group_by(c.version_uid, c.variant).order_by(c.version_uid, c.variant))

    @cached_property
    def confused(self) -> Prepared:
        """Pairs of ``endpoint``, from ``since`` to before ``until``."""
        c = self.tables.feedback.c
        count = func.count()
        by = (c.version_uid, c.variant, c.label, c.prediction)
        found = select(*by, count).where(*self._between(), c.label != "", c.prediction != "", c.is_number == 0)
        return self.compiler(found.group_by(*by).order_by(count.desc(), *by).limit(bindparam("limit")))

    @cached_property
    def remove(self) -> Prepared:
        """Up to ``limit`` of answers asked for before ``before``."""
        f = self.tables.feedback
        key = [f.c[name] for name in _FEEDBACK_KEY]
        old = select(*key).where(f.c.asked_us < bindparam("before")).limit(bindparam("limit"))
        return self.compiler(delete(f).where(tuple_(*key).in_(old)))

    def _between(self) -> tuple[Any, ...]:
        c = self.tables.feedback.c
        return (
            c.endpoint_uid == bindparam("endpoint"),
            c.asked_us >= bindparam("since"),
            c.asked_us < bindparam("until"),
        )


class SqlFeedback:
    """`chopmark.abc.outcomes.FeedbackRows`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: FeedbackStatements) -> None:
        self._run = run
        self._sql = statements

    def put(self, items: Iterable[JudgedFeedback]) -> None:
        """See the interface."""
        self._run.change_each(self._sql.put, map(_feedback_row, items))

    def totals(self, endpoint_id: UUID, *, since: datetime, until: datetime) -> TotalsList:
        """See the interface."""
        return [_totals(row) for row in self._run.all(self._sql.totals, _span(endpoint_id, since, until))]

    def confused(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ConfusedList:
        """See the interface."""
        values = {**_span(endpoint_id, since, until), "limit": limit}
        return [_confused(row) for row in self._run.all(self._sql.confused, values)]

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        return self._run.change(self._sql.remove, {"before": to_us(before), "limit": limit})


class ProfileStatements:
    """Statements on profiles by hour, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def put(self) -> Prepared:
        """Adds or replaces."""
        return self.compiler(self.compiler.upsert(self.tables.profile_counts, list(_PROFILE_KEY)))

    @cached_property
    def list(self) -> Prepared:
        """Of ``endpoint``, from ``since`` to before ``until``."""
        c = self.tables.profile_counts.c
        page = select(c.endpoint_uid, c.window_us, c.version_uid, c.variant, c.router, c.body).where(
            c.endpoint_uid == bindparam("endpoint"),
            c.window_us >= bindparam("since"),
            c.window_us < bindparam("until"),
        )
        page = page.order_by(c.window_us, c.version_uid, c.variant, c.router)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def remove(self) -> Prepared:
        """Up to ``limit`` that began before ``before``."""
        t = self.tables.profile_counts
        key = [t.c[name] for name in _PROFILE_KEY]
        old = select(*key).where(t.c.window_us < bindparam("before")).limit(bindparam("limit"))
        return self.compiler(delete(t).where(tuple_(*key).in_(old)))


class SqlProfileCounts:
    """`chopmark.abc.outcomes.ProfileCounts`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: ProfileStatements) -> None:
        self._run = run
        self._sql = statements

    def put(self, router: str, windows: Iterable[ProfileWindow]) -> None:
        """See the interface."""
        self._run.change_each(self._sql.put, (_profile_row(router, window) for window in windows))

    def list(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ProfileList:
        """See the interface."""
        values = {**_span(endpoint_id, since, until), "limit": limit}
        return [_profile(row) for row in self._run.all(self._sql.list, values)]

    def answers(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ProfileList:
        """See the interface."""
        values = {**_span(endpoint_id, since, until), "limit": limit}
        return [_answers(row) for row in self._run.all(self._sql.list, values)]

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        return self._run.change(self._sql.remove, {"before": to_us(before), "limit": limit})


def _span(endpoint_id: UUID, since: datetime, until: datetime) -> dict[str, Any]:
    return {"endpoint": endpoint_id.bytes, "since": to_us(since), "until": to_us(until)}


def _feedback_row(item: JudgedFeedback) -> dict[str, Any]:
    found = item.judged
    return {
        "endpoint_uid": item.endpoint.bytes,
        "asked_us": to_us(item.asked_at),
        "request": item.request,
        "version_uid": item.version.bytes,
        "variant": item.variant,
        "said_us": to_us(item.said_at),
        "tie": tie_of(found),
        "label": found.label,
        "prediction": found.prediction,
        "is_right": None if found.is_right is None else int(found.is_right),
        "error": found.error,
        "is_number": int(found.is_number),
        "value": found.value,
    }


def _profile_row(router: str, window: ProfileWindow) -> dict[str, Any]:
    return {
        "endpoint_uid": window.endpoint.bytes,
        "window_us": to_us(window.start),
        "version_uid": window.version.bytes,
        "variant": window.variant,
        "router": router,
        "body": _packed(window.counts),
    }


@row_of("feedback", "bsiiiifffiifff")
def _totals(row: tuple[Any, ...]) -> FeedbackTotals:
    version, variant, *numbers = row
    return FeedbackTotals(UUID(bytes=version), variant, *numbers)


@row_of("feedback", "bsssi")
def _confused(row: tuple[Any, ...]) -> ConfusedVariant:
    version, variant, label, prediction, count = row
    return ConfusedVariant(UUID(bytes=version), variant, Confused(label, prediction, count))


@row_of("a profile of requests", "bibssb")
def _profile(row: tuple[Any, ...]) -> ReportedProfile:
    counts, columns = _parts(row[-1])
    if columns:
        try:
            counts = structs.replace(counts, columns=_read_columns(unpacked(columns)))
        except InvalidRequest as error:  # they are not of these counts
            raise ValueError(error.message) from error
    return _reported(row, counts)


@row_of("a profile of requests", "bibssb")
def _answers(row: tuple[Any, ...]) -> ReportedProfile:
    counts, _ = _parts(row[-1])
    return _reported(row, structs.replace(counts, columns=()))


def _packed(counts: Counts) -> bytes:
    """Two streams: what the models answered, and the columns, which may be many and are not always read."""
    answers, columns = encode(structs.replace(counts, columns=())), encode(counts.columns)
    return zlib.compress(answers, PACKED_LEVEL) + zlib.compress(columns, PACKED_LEVEL)


def _parts(body: bytes) -> tuple[Counts, bytes]:
    """The counts without their columns, and these as they are packed; empty where they stand in the counts, as they did at first."""
    first, rest = unpacked_first(body)
    return _read_counts(first), rest


def _reported(row: tuple[Any, ...], counts: Counts) -> ReportedProfile:
    endpoint, window_us, version, variant, router, _ = row
    window = ProfileWindow(
        endpoint=UUID(bytes=endpoint),
        version=UUID(bytes=version),
        variant=variant,
        start=from_us(window_us),
        counts=counts,
    )
    return ReportedProfile(router, window)

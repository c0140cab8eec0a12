"""Orders in SQL, and going on after a position: what `domain.query.order_values` sorts by.

A search is ordered by its terms, versions without the field last, then by time of making, newest
first, then by id, highest first. Values under one key can be of several kinds (a parameter); then
truth values come before numbers, and numbers before texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Double, and_, bindparam, literal_column, or_
from sqlalchemy.sql.expression import FromClause

from chopmark.catalog.columns import WORD
from chopmark.catalog.filters import EMPTY, Slots, column_of, is_always_there, is_there
from chopmark.catalog.records import TEXT, kind_of
from chopmark.catalog.schema import Tables
from chopmark.domain.positions import check_position
from chopmark.domain.query import Order

__all__ = [
    "ZERO_DOUBLE",
    "Kinds",
    "SortKey",
    "Sorted",
    "Term",
    "after",
    "joined",
    "order_by",
    "place_of",
    "sort_keys",
    "terms_of",
    "timed",
]

Sorted = tuple[ColumnElement[Any], bool]
"""An expression, and whether it sorts downwards."""

Kinds = tuple[int | None, ...]
ZERO_DOUBLE: ColumnElement[float] = literal_column("0.0")


class Term(msgspec.Struct, frozen=True):
    """Shape of one term of an order; the key within ``metrics`` … is the parameter ``k{index}``."""

    field: str
    is_keyed: bool
    descending: bool


class SortKey(msgspec.Struct, frozen=True):
    """What a term sorts by.

    Attributes
    ----------
    term
        The term.
    values
        Expressions, compared one after the other.
    is_missing
        Whether a row has no value; None when every row has one.
    source
        The table that a keyed term's value is in, under an alias of its own.
    on
        How to join it.
    """

    term: Term
    values: tuple[Any, ...]
    is_missing: Any = None
    source: Any = None
    on: Any = None


def place_of(order: Sequence[Order], position: Sequence[Any], slots: Slots) -> Kinds:
    """Kinds of the values of a position (None: missing); the values go into ``slots``.

    Raises
    ------
    InvalidRequest
        When it is no position of this order.
    """
    *values, made_us, version_id = check_position(order, position)
    slots.values.update(after_us=made_us, after_uid=bytes.fromhex(version_id))
    for index, value in enumerate(values):
        if value is not None:
            slots.values[f"a{index}"] = int(value) if isinstance(value, bool) else value
    return tuple(None if v is None else kind_of(v) for v in values)


def terms_of(order: Iterable[Order], slots: Slots) -> tuple[Term, ...]:
    """Shapes of the terms; their keys go into ``slots``."""
    terms = []
    for index, each in enumerate(order):
        if each.field.key:
            slots.values[f"k{index}"] = each.field.key
        terms.append(Term(each.field.name, bool(each.field.key), each.descending))
    return tuple(terms)


def sort_keys(terms: Sequence[Term], tables: Tables) -> list[SortKey]:
    """What each term sorts by."""
    return [_sort_key(index, term, tables) for index, term in enumerate(terms)]


def _sort_key(index: int, term: Term, tables: Tables) -> SortKey:
    if not term.is_keyed:
        column = column_of(term.field, tables)
        if is_always_there(term.field):
            return SortKey(term, (column,))
        return SortKey(term, (column,), ~is_there(term.field, column))
    tables_by_field = {
        "metrics": tables.metrics,
        "tags": tables.tags,
        "params": tables.params,
    }
    source = tables_by_field[term.field].alias(f"o{index}")
    c = source.c
    values: tuple[Any, ...] = (c.value,)
    if term.field == "params":
        values = (c.kind, c.number, c.value)
    on = and_(
        c.version_key == tables.versions.c.key,
        c.key == bindparam(f"k{index}", type_=WORD),
    )
    return SortKey(term, values, c.version_key.is_(None), source, on)


def joined(source: FromClause, keys: Iterable[SortKey], *, inner: bool) -> FromClause:
    """The rows with the tables of keyed terms, of which the first must be there if ``inner``."""
    for index, key in enumerate(keys):
        if key.source is not None:
            is_outer = index > 0 or not inner
            source = source.join(key.source, key.on, isouter=is_outer)
    return source


def timed(key: SortKey, made: ColumnElement[Any]) -> SortKey:
    """The key, by this column when it sorts by the time of making."""
    return msgspec.structs.replace(key, values=(made,)) if key.term.field == "created_at" else key


def order_by(keys: Sequence[SortKey], made: ColumnElement[Any], uid: ColumnElement[Any]) -> list[Sorted]:
    """Expressions to sort by, with the time of making and the id at the end."""
    order: list[Sorted] = []
    for key in keys:
        if key.is_missing is not None:
            order.append((key.is_missing, False))
        order += [(value, key.term.descending) for value in key.values]
    if not _names_time(keys):
        order.append((made, True))
    return [*order, (uid, True)]


def _names_time(keys: Sequence[SortKey]) -> bool:
    return any(key.term.field == "created_at" for key in keys)


def after(
    keys: Sequence[SortKey],
    kinds: Kinds,
    made: ColumnElement[Any],
    uid: ColumnElement[Any],
    first: int = 0,
) -> ColumnElement[bool]:
    """That a row comes after the position.

    Parameters
    ----------
    keys, kinds
        What is sorted by, and the kinds of the position's values.
    made, uid
        Time of making and id of the row.
    first
        Index of the first key in the whole order, for the names of parameters.
    """
    made_value = bindparam("after_us", type_=made.type)
    rest: ColumnElement[bool] = uid < bindparam("after_uid", type_=uid.type)
    if not _names_time(keys):
        rest = and_(made <= made_value, or_(made < made_value, rest))
    for index in reversed(range(len(keys))):
        rest = _after(keys[index], f"a{index + first}", kinds[index], rest)
    return rest


def _after(key: SortKey, name: str, kind: int | None, rest: ColumnElement[bool]) -> ColumnElement[bool]:
    if kind is None:
        return and_(key.is_missing, rest)
    wanted = _wanted(key, name, kind)
    pairs = list(zip(key.values, wanted, strict=True))
    beyond = _beyond(pairs, key.term.descending)
    same = and_(*(have == want for have, want in pairs))
    later = or_(beyond, and_(same, rest))
    if key.is_missing is not None:
        return or_(key.is_missing, later)
    have, want = pairs[0]  # implied, and what an index can use
    return and_(have <= want if key.term.descending else have >= want, later)


def _wanted(key: SortKey, name: str, kind: int) -> list[ColumnElement[Any]]:
    if key.term.field != "params":
        (value,) = key.values
        return [bindparam(name, type_=value.type)]
    value = bindparam(name, type_=WORD if kind == TEXT else Double())
    parts: tuple[Any, Any] = (ZERO_DOUBLE, value) if kind == TEXT else (value, EMPTY)
    return [literal_column(str(kind)), *parts]


def _beyond(pairs: list[tuple[Any, Any]], descending: bool) -> ColumnElement[bool]:
    (have, want), *others = pairs
    beyond: ColumnElement[bool] = have < want if descending else have > want
    if not others:
        return beyond
    return or_(beyond, and_(have == want, _beyond(others, descending)))

"""Filters and orders in SQL, meaning exactly what `chopmark.domain.query.matches` means.

A condition is first parted into its shape, which is hashable and has names where values were, and
its values. Equal shapes share one compiled statement, and values reach the database only as bound
parameters. Every clause is true or false, never NULL, so that ``not`` turns it round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.schema import Column, Table
from sqlalchemy.types import TypeEngine

from chopmark.catalog.columns import HEAD_LENGTH, WORD
from chopmark.catalog.records import BOOLEAN, NUMBER, TEXT, kind_of
from chopmark.catalog.schema import Tables
from chopmark.domain.query import (
    And,
    Compare,
    Expr,
    FieldName,
    In,
    Not,
    Or,
    Present,
    Value,
    fold,
)
from chopmark.domain.words import Wanted, wanted_words

__all__ = [
    "Shape",
    "Slot",
    "Slots",
    "Test",
    "clause",
    "column_of",
    "compared",
    "field_here",
    "is_always_there",
    "is_there",
    "param_here",
    "place",
    "shape_of",
    "test",
    "word_here",
]


Columns = Any  # of a table or an alias
Condition = Callable[[Columns], ColumnElement[bool]]


class place(FunctionElement[int]):  # noqa: N801 - SQL functions are written small
    """Position of a text in another, from 1; 0 when it is not there."""

    name = "place"
    type = Integer()
    inherit_cache = True


@compiles(place, "sqlite")
def _instr(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(place, "postgresql")
def _strpos(element: Any, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


class Slot(msgspec.Struct, frozen=True):
    """Where a value goes: the parameter's name, and what is known of the value.

    ``is_short`` tells of a text that an index holds whole.
    """

    name: str
    kind: int
    is_integer: bool = False
    is_short: bool = False


class Test(msgspec.Struct, frozen=True):
    """One condition on one field; ``key`` names the parameter of a keyed field's key.

    Full text is one test per word: ``is_word``, or ``has_prefix`` from its first value to below the second.
    """

    field: str
    key: str
    op: str
    values: tuple[Slot, ...] = ()


class Every(msgspec.Struct, frozen=True):
    """All of them."""

    terms: tuple[Shape, ...]


class Either(msgspec.Struct, frozen=True):
    """Any of them."""

    terms: tuple[Shape, ...]


class Negation(msgspec.Struct, frozen=True):
    """Not that."""

    term: Shape


Shape = Test | Every | Either | Negation


class Slots:
    """Values by the names of their parameters: ``p0``, ``p1`` and so on."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, value: Any) -> str:
        """Keep a value; returns the name of its parameter."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return name

    def slot(self, value: Any, op: str = "=") -> Slot:
        """Keep a value that is compared."""
        kind = kind_of(value)
        if op == "~" and kind == TEXT:
            return Slot(self.add(fold(value)), kind)
        if op == "like" and kind == TEXT:
            return Slot(self.add(fold(value).replace("\\", "\\\\")), kind)
        stored = int(value) if kind == BOOLEAN else value
        is_short = isinstance(stored, str) and len(stored) < HEAD_LENGTH
        return Slot(self.add(stored), kind, isinstance(stored, int), is_short)


def shape_of(expr: Expr, slots: Slots) -> Shape:
    """Shape of a condition; its values go into ``slots``."""
    match expr:
        case Compare(FieldName("text"), _, value):
            tests = tuple(_word_test(each, slots) for each in wanted_words(str(value)))
            return tests[0] if len(tests) == 1 else Every(tests)
        case Compare(field, op, value):
            return _test(field, op, (value,), slots)
        case In(field, values):
            return _test(field, "in", values, slots)
        case Present(field):
            return _test(field, "=", (True,), slots) if field.type == "bool" else _test(field, "present", (), slots)
        case Not(term):
            return Negation(shape_of(term, slots))
        case And(terms):
            return Every(tuple(shape_of(t, slots) for t in terms))
        case Or(terms):
            return Either(tuple(shape_of(t, slots) for t in terms))


def _test(field: FieldName, op: str, values: Sequence[Value], slots: Slots) -> Test:
    key = slots.add(field.key) if field.key else ""
    return Test(field.name, key, op, tuple(slots.slot(v, op) for v in values))


def _word_test(wanted: Wanted, slots: Slots) -> Test:
    if not wanted.is_prefix:
        return Test("text", "", "is_word", (slots.slot(wanted.word),))
    # no word holds this character, and every character of a word is before it
    return Test("text", "", "has_prefix", (slots.slot(wanted.word), slots.slot(wanted.word + "\U0010ffff")))


def clause(shape: Shape, tables: Tables, key: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition on a row of versions (joined with models and projects).

    Parameters
    ----------
    shape, tables
        What is asked, of which tables.
    key
        The version's key, in the table that leads: what hangs on it is then looked up before its row is.
    """
    match shape:
        case Test():
            return test(shape, tables, key)
        case Every(terms):
            return and_(*(clause(t, tables, key) for t in terms))
        case Either(terms):
            return or_(*(clause(t, tables, key) for t in terms))
        case Negation(term):
            return not_(clause(term, tables, key))


EMPTY: ColumnElement[str] = literal_column("''")
ZERO: ColumnElement[int] = literal_column("0")

_COLUMNS: Mapping[str, str] = {"created_at": "created_us", "updated_at": "updated_us", "semver": "semver_key"}
_NUMBERS = frozenset(("number", "size_bytes", "cost_per_request", "created_at", "updated_at"))


def column_of(field: str, tables: Tables) -> Column[Any]:
    """The column that holds a field without key."""
    if field == "name":
        return tables.models.c.name
    if field == "project":
        return tables.projects.c.name
    return tables.versions.c[_COLUMNS.get(field, field)]


def kind_of_field(field: str) -> int:
    """Kind of all values of a field without key."""
    if field == "runs_code":
        return BOOLEAN
    return NUMBER if field in _NUMBERS else TEXT


def test(shape: Test, tables: Tables, key: ColumnElement[Any]) -> ColumnElement[bool]:
    """One condition."""
    match shape.field:
        case "metrics":
            return _of_version(tables.metrics, key, _keyed(shape, NUMBER))
        case "tags":
            return _of_version(tables.tags, key, _keyed(shape, TEXT))
        case "params":
            return _of_version(tables.params, key, _param(shape))
        case "text":
            return _of_version(tables.words, key, partial(word_here, shape))
        case "alias":
            return _of_version(tables.aliases, key, lambda c: compared(shape, c.name, TEXT))
        case field:
            return field_here(shape, column_of(field, tables))


def field_here(shape: Test, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """That the column of a field without key meets the test."""
    return and_(is_there(shape.field, column), compared(shape, column, kind_of_field(shape.field)))


def word_here(shape: Test, c: Columns) -> ColumnElement[bool]:
    """That a row of `version_words` has the word, or one that begins so."""
    word = c.word
    low, *high = (bindparam(slot.name, type_=WORD) for slot in shape.values)
    return and_(word >= low, word < high[0]) if high else word == low


def is_always_there(field: str) -> bool:
    """Whether every version has a value in this field without key."""
    return field != "cost_per_request" and kind_of_field(field) != TEXT


def is_there(field: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """That a field without key has a value: an empty text is none."""
    if field == "cost_per_request":
        return column.is_not(None)
    return column != EMPTY if kind_of_field(field) == TEXT else true()


def _of_version(table: Table, key: ColumnElement[Any], where: Condition) -> ColumnElement[bool]:
    """That the version has a row in the table that meets a condition on its columns.

    The offset keeps PostgreSQL from making a join of it, which reads all rows that meet the condition where those of a
    page's versions are wanted.
    """
    own = table.alias("own")  # the table may lead the outer query as well; here it is always a row of its own
    row: Select[Any] = (
        select(literal_column("1")).select_from(own).where(own.c.version_key == key, where(own.c)).offset(ZERO)
    )
    return row.correlate_except(own).exists()


def _keyed(shape: Test, kind: int) -> Condition:
    return lambda c: and_(c.key == bindparam(shape.key, type_=WORD), compared(shape, c.value, kind))


def _param(shape: Test) -> Condition:
    of_key = bindparam(shape.key, type_=WORD)
    return lambda c: and_(c.key == of_key, true() if shape.op == "present" else param_here(shape, c))


def param_here(shape: Test, c: Columns) -> ColumnElement[bool]:
    """That a row of `version_params` has a value that meets the test."""
    return or_(
        *(
            and_(
                c.kind == literal_column(str(kind)),
                compared(shape, c.value if kind == TEXT else c.number, kind),
            )
            for kind in sorted({slot.kind for slot in shape.values})
        )
    )


def compared(shape: Test, column: ColumnElement[Any], kind: int) -> ColumnElement[bool]:
    """Comparison of a column of this kind with those of the values that are of this kind."""
    if shape.op == "present":
        return true()
    slots = [slot for slot in shape.values if slot.kind == kind]
    if not slots:
        return false()
    if shape.op == "in":
        return column.in_([_parameter(slot, column) for slot in slots])
    (slot,) = slots
    value = _parameter(slot, column)
    if shape.op in ("~", "like"):
        return _contains(column, slot, like=shape.op == "like") if kind == TEXT else false()
    return column.op(_SQL_OPERATORS.get(shape.op, shape.op), is_comparison=True)(value)


_SQL_OPERATORS = {"!=": "<>"}


def _contains(column: ColumnElement[Any], slot: Slot, *, like: bool) -> ColumnElement[bool]:
    value = bindparam(slot.name, type_=WORD)
    folded = func.lower(column, type_=WORD)
    if like:
        return folded.like(value, escape="\\")
    return place(folded, value) > ZERO


def _parameter(slot: Slot, column: ColumnElement[Any]) -> ColumnElement[Any]:
    kind: TypeEngine[Any] = column.type
    if slot.kind == NUMBER and not slot.is_integer:
        kind = Double()
    return bindparam(slot.name, type_=kind)

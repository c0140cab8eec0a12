"""Queries written as text, which reads back as an equal query: for messages, and for searches that are kept."""

from __future__ import annotations

import re

from chopmark.base.clock import from_us
from chopmark.domain.query_tree import And, Compare, Expr, FieldName, In, Not, Or, Order, Present, Query, Value
from chopmark.domain.semver import SemVer

__all__ = ["query_text"]

_PLAIN_KEY = re.compile(r"[\w/@%+-]+(?:\.[\w/@%+-]+)*")


def query_text(query: Query) -> str:
    """The text of a query that `parse_query` gave; it gives an equal one again."""
    where = [] if query.where is None else [_expr(query.where)]
    order = [f"order by {', '.join(map(_term, query.order))}"] if query.order else []
    return " ".join([*where, *order])


def _expr(expr: Expr) -> str:
    match expr:
        case Compare(field, op, value):
            return f"{_field(field)} {op} {_value(field, value)}"
        case In(field, values):
            return f"{_field(field)} in ({', '.join(_value(field, v) for v in values)})"
        case Present(field):
            return _field(field)
        case Not(term):
            return f"not {_within(term, And, Or)}"
        case And(terms):
            return " and ".join(_within(term, And, Or) for term in terms)
        case Or(terms):
            return " or ".join(_within(term, Or) for term in terms)


def _within(expr: Expr, *bracketed: type) -> str:
    text = _expr(expr)
    return f"({text})" if isinstance(expr, bracketed) else text


def _term(term: Order) -> str:
    return f"{_field(term.field)} desc" if term.descending else _field(term.field)


def _field(field: FieldName) -> str:
    if not field.key:
        return field.name
    return f"{field.name}.{field.key}" if _PLAIN_KEY.fullmatch(field.key) else f'{field.name}."{field.key}"'


def _value(field: FieldName, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.type == "time":
        return _quoted(from_us(int(value)).isoformat())
    if field.type == "semver":
        return _quoted(str(SemVer.of_sort_key(str(value))))
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

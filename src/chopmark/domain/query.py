"""The filter language of searches: text in, a small tree out; errors point at the character.

    name ~ "fraud" and metrics.roc_auc >= 0.9 and tags.team = "risk" order by created_at desc

Grammar (words in any case)::

    query     = [or] ["order" "by" term {"," term}]
    or        = and {"or" and}
    and       = not {"and" not}
    not       = "not" not | "(" or ")" | condition
    condition = "text" "~" text
              | field [operator value | ["not"] "in" "(" value {"," value} ")" | ["not"] "like" text]
    operator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"
    term      = field ["asc" | "desc"]

A field alone asks whether it is there: ``tags.approved``; of ``runs_code``, whether it is true. ``~`` is "contains"; in ``like``, ``%``
stands for any text and ``_`` for one character; neither regards the case of ASCII letters. A comparison
with something that a version does not have is false, and so is its ``!=``;
``not`` turns either round. ``text ~ "isolation forest"`` asks for words, in name, description, tags and card together
(`chopmark.domain.words` says what a word is). A key with odd characters is quoted: ``metrics."f1 (macro)"``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from chopmark.base.clock import to_us
from chopmark.domain.query_parser import parse_query
from chopmark.domain.query_text import query_text
from chopmark.domain.query_tree import (
    FIELDS,
    KEYED,
    And,
    Compare,
    Expr,
    FieldName,
    In,
    Not,
    Or,
    Order,
    Present,
    Query,
    Value,
    both,
)
from chopmark.domain.semver import SemVer
from chopmark.domain.versions import Version
from chopmark.domain.words import meet, wanted_words, words_of

__all__ = [
    "FIELDS",
    "KEYED",
    "And",
    "Compare",
    "Expr",
    "FieldName",
    "In",
    "Not",
    "Or",
    "Order",
    "Present",
    "Query",
    "Value",
    "both",
    "field_values",
    "fold",
    "keys_in",
    "like_pattern",
    "matches",
    "order_values",
    "parse_query",
    "query_text",
    "text_condition",
]

_FOLD = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}


def fold(text: str) -> str:
    """The text with ASCII letters in lower case: what every database's ``lower`` agrees on."""
    return text.translate(_FOLD)


def like_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression that means what ``like`` means, for a folded text."""
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in fold(pattern))
    return re.compile("".join(parts), re.DOTALL)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda have, want: fold(want) in fold(have),
    "like": lambda have, want: like_pattern(want).fullmatch(fold(have)) is not None,
}


def field_values(field: FieldName, version: Version) -> list[Value]:
    """Values of a field as they are compared: none, one, or (aliases) several."""
    if field.key:
        return _comparable(_as_double(getattr(version, field.name).get(field.key)))
    if field.name == "alias":
        return list(version.aliases)
    return _comparable(_plain_value(field.name, version))


def _as_double(value: Any) -> Any:
    """Numbers under a key are doubles, as in every database; one that is too large is missing."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    try:
        return float(value)
    except OverflowError:
        return None


def _plain_value(name: str, version: Version) -> Any:
    match name:
        case "name":
            return version.model
        case "framework":
            return version.environment.framework
        case "semver":
            return SemVer.parse(version.semver).sort_key
        case "created_at" | "updated_at":
            return to_us(getattr(version, name))
        case _:
            return getattr(version, name)


def _comparable(value: Any) -> list[Value]:
    if isinstance(value, (str, bool, int, float)):
        return [value] if value != "" else []
    return []


def _same_kind(have: Value, want: Value) -> bool:
    if isinstance(have, bool) or isinstance(want, bool):
        return isinstance(have, bool) and isinstance(want, bool)
    return isinstance(have, str) == isinstance(want, str)


def matches(expr: Expr | None, version: Version) -> bool:
    """Whether a version meets the condition: what every catalog must agree with."""
    match expr:
        case None:
            return True
        case Compare(FieldName("text"), _, want):
            return meet(words_of(version), wanted_words(str(want)))
        case Compare(field, op, want):
            return _any(field_values(field, version), _OPERATORS[op], (want,))
        case In(field, values):
            return _any(field_values(field, version), operator.eq, values)
        case Present(field):
            there = field_values(field, version)
            return True in there if field.type == "bool" else bool(there)
        case Not(term):
            return not matches(term, version)
        case And(terms):
            return all(matches(t, version) for t in terms)
        case Or(terms):
            return any(matches(t, version) for t in terms)


def _any(
    having: Iterable[Value],
    compare: Callable[[Any, Any], bool],
    wanted: Iterable[Value],
) -> bool:
    wanted = tuple(wanted)
    return any(_same_kind(h, w) and compare(h, w) for h in having for w in wanted)


def order_values(order: Iterable[Order], version: Version) -> list[Value | None]:
    """Values to sort a version by, None where it has none."""
    return [next(iter(field_values(o.field, version)), None) for o in order]


def keys_in(expr: Expr | None) -> list[FieldName]:
    """Fields by key in a condition, each once, in order."""
    match expr:
        case Compare(field) | In(field) | Present(field):
            return [field] if field.key else []
        case Not(term):
            return keys_in(term)
        case And(terms) | Or(terms):
            return list(dict.fromkeys(field for term in terms for field in keys_in(term)))
        case None:
            return []


def text_condition(text: str) -> Expr:
    """The condition that a version has every word of a text, as ``text ~ "…"`` says it.

    Raises
    ------
    InvalidRequest
        When the text has no word, or too many.
    """
    wanted_words(text)
    return Compare(FieldName("text"), "~", text)

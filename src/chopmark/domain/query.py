"""The filter language of searches: text in, a small tree out; errors point at the character.

    name ~ "fraud" and metrics.roc_auc >= 0.9 and tags.team = "risk" order by created_at desc

Grammar (words in any case)::

    query     = [or] ["order" "by" term {"," term}]
    or        = and {"or" and}
    and       = not {"and" not}
    not       = "not" not | "(" or ")" | condition
    condition = field [operator value | ["not"] "in" "(" value {"," value} ")" | ["not"] "like" text]
    operator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"
    term      = field ["asc" | "desc"]

A field alone asks whether it is there: ``tags.approved``. ``~`` is "contains"; in ``like``, ``%``
stands for any text and ``_`` for one character; neither regards the case of ASCII letters. A comparison with something that a version does not have is false, and so is its ``!=``;
``not`` turns either round. A key with odd characters is quoted: ``metrics."f1 (macro)"``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from chopmark.base.clock import parse_time, to_us
from chopmark.domain.lifecycle import STAGES
from chopmark.domain.names import check_text, shown
from chopmark.domain.semver import SemVer
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest

__all__ = [
    "FIELDS",
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
    "both",
    "field_values",
    "fold",
    "like_pattern",
    "matches",
    "order_values",
    "parse_query",
]

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "~", "like"]
FieldType = Literal["text", "number", "time", "semver", "bool", "any"]

FIELDS: dict[str, FieldType] = {
    "project": "text",
    "name": "text",
    "number": "number",
    "semver": "semver",
    "digest": "text",
    "kind": "text",
    "state": "text",
    "stage": "text",
    "alias": "text",
    "format": "text",
    "framework": "text",
    "task": "text",
    "owner": "text",
    "team": "text",
    "description": "text",
    "run_id": "text",
    "experiment_id": "text",
    "risk_tier": "text",
    "created_by": "text",
    "created_at": "time",
    "updated_at": "time",
    "size_bytes": "number",
    "cost_per_request": "number",
    "runs_code": "bool",
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "stage": STAGES,
    "state": ("pending", "ready", "failed"),
    "kind": ("artifact", "llm_config", "ensemble", "external"),
}
KEYED: dict[str, FieldType] = {"metrics": "number", "params": "any", "tags": "text"}

TEXT_LENGTH_MAX = 10_000
DEPTH_MAX = 50
TERMS_MAX = 200


class FieldName(msgspec.Struct, frozen=True):
    """A field, and the key within ``metrics``, ``params`` or ``tags``."""

    name: str
    key: str = ""

    @property
    def type(self) -> FieldType:
        """What its values are."""
        return KEYED[self.name] if self.key else FIELDS[self.name]

    def __str__(self) -> str:
        return f"{self.name}.{self.key}" if self.key else self.name


Value = str | float | int | bool


class Compare(msgspec.Struct, frozen=True, tag=True):
    """``field operator value``; times are microseconds, a semver its sort key."""

    field: FieldName
    op: Operator
    value: Value


class In(msgspec.Struct, frozen=True, tag=True):
    """``field in (…)``."""

    field: FieldName
    values: tuple[Value, ...]


class Present(msgspec.Struct, frozen=True, tag=True):
    """The field has a value."""

    field: FieldName


class Not(msgspec.Struct, frozen=True, tag=True):
    """Negation."""

    term: Expr


class And(msgspec.Struct, frozen=True, tag=True):
    """All of them."""

    terms: tuple[Expr, ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """Any of them."""

    terms: tuple[Expr, ...]


Expr = Compare | In | Present | Not | And | Or


class Order(msgspec.Struct, frozen=True):
    """One term of an order; versions without the field come last either way."""

    field: FieldName
    descending: bool = False


class Query(msgspec.Struct, frozen=True):
    """A whole query."""

    where: Expr | None = None
    order: tuple[Order, ...] = ()


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<operator><=|>=|!=|<>|==|=|<|>|~)
    |(?P<mark>[(),])
    |(?P<word>[A-Za-z_][\w-]*(?:\.(?:[\w/@%+-]+|"[^"]*"))*)""",
    re.VERBOSE,
)
_ALIASES_OF_OPERATORS = {"<>": "!=", "==": "="}


def parse_query(text: str) -> Query:
    """Read a query.

    Raises
    ------
    InvalidRequest
        Pointing at the character where it stops making sense.
    """
    check_text(text, "filter", TEXT_LENGTH_MAX)
    return _Parser(text).query()


def _error(text: str, at: int, message: str) -> InvalidRequest:
    start = max(0, at - 40)
    line = text[start : at + 30].replace("\n", " ").replace("\t", " ")
    pointer = " " * (at - start) + "^"
    return InvalidRequest(
        f"The filter is not valid at character {at + 1}: {message}",
        hint=f"  {line}\n  {pointer}",
        at=at,
    )


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] in "\"'":
                raise _error(text, at, "this quotation mark is not closed.")
            raise _error(text, at, f"{shown(text[at])} means nothing here.")
        kind = str(match.lastgroup)
        if kind != "space":
            tokens.append(_Token(kind, match.group(), at))
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.position = 0
        self.terms = 0

    def query(self) -> Query:
        where = None
        if not self._is_end() and not self._at_word("order"):
            where = self._or(0)
        order: tuple[Order, ...] = ()
        if self._take_word("order"):
            self._expect_word("by")
            order = self._order()
        if not self._is_end():
            raise self._fault("'and', 'or' or the end was expected.")
        return Query(where, order)

    def _or(self, depth: int) -> Expr:
        if depth > DEPTH_MAX:
            raise self._fault(f"it is nested more than {DEPTH_MAX} deep.")
        terms = [self._and(depth)]
        while self._take_word("or"):
            terms.append(self._and(depth))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _and(self, depth: int) -> Expr:
        terms = [self._not(depth)]
        while self._take_word("and"):
            terms.append(self._not(depth))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _not(self, depth: int) -> Expr:
        if depth > DEPTH_MAX:
            raise self._fault(f"it is nested more than {DEPTH_MAX} deep.")
        if self._take_word("not"):
            return Not(self._not(depth + 1))
        if self._take_mark("("):
            inner = self._or(depth + 1)
            self._expect_mark(")")
            return inner
        return self._condition()

    def _condition(self) -> Expr:
        self.terms += 1
        if self.terms > TERMS_MAX:
            raise self._fault(f"it has more than {TERMS_MAX} conditions.")
        field = self._field()
        token = self._token
        if token.kind == "operator":
            self.position += 1
            op = _ALIASES_OF_OPERATORS.get(token.text, token.text)
            return self._comparison(field, op, token)
        negated = self._take_word("not")
        if self._take_word("in"):
            expr: Expr = In(field, self._values(field))
        elif self._at_word("like"):
            token = self._token
            self.position += 1
            expr = self._comparison(field, "like", token)
        elif negated:
            raise self._fault("'in' or 'like' was expected after 'not'.")
        else:
            expr = Present(field)
        return Not(expr) if negated else expr

    def _comparison(self, field: FieldName, op: str, token: _Token) -> Compare:
        if op in ("~", "like") and field.type not in ("text", "any"):
            raise _error(self.text, token.at, f"{field} is no text; {op!r} compares texts.")
        if field.type == "bool" and op not in ("=", "!="):
            raise _error(self.text, token.at, f"{field} is true or false; use '='.")
        at = self._token.at
        value = self._value(field, is_whole=op in ("=", "!="))
        if op in ("~", "like") and not isinstance(value, str):
            raise _error(self.text, at, f"{op!r} needs a text in quotation marks.")
        return Compare(field, op, value)  # type: ignore[arg-type]

    def _values(self, field: FieldName) -> tuple[Value, ...]:
        self._expect_mark("(")
        values = [self._value(field)]
        while self._take_mark(","):
            values.append(self._value(field))
        self._expect_mark(")")
        return tuple(values)

    def _field(self) -> FieldName:
        token = self._token
        if token.kind != "word":
            raise self._fault("a field was expected.")
        self.position += 1
        name, dot, key = token.text.partition(".")
        if name in KEYED:
            key = key[1:-1] if key.startswith('"') else key
            if not key:
                raise _error(self.text, token.at, f"write {name}.KEY.")
            return FieldName(name, key)
        if name not in FIELDS or dot:
            known = ", ".join([*FIELDS, *(f"{k}.KEY" for k in KEYED)])
            raise _error(self.text, token.at, f"there is no field {token.text!r} ({known}).")
        return FieldName(name)

    def _value(self, field: FieldName, *, is_whole: bool = True) -> Value:
        token = self._token
        if token.kind not in ("text", "number", "word"):
            raise self._fault("a value was expected.")
        self.position += 1
        try:
            value = _convert(token, field)
            if is_whole:
                _check_choice(field, value)
        except InvalidRequest as error:
            raise _error(self.text, token.at, error.message) from error
        return value

    def _order(self) -> tuple[Order, ...]:
        terms = [self._order_term()]
        while self._take_mark(","):
            terms.append(self._order_term())
        return tuple(terms)

    def _order_term(self) -> Order:
        at = self._token.at
        field = self._field()
        if field.name == "alias":
            raise _error(self.text, at, "a version can have many aliases; they give no order.")
        descending = self._take_word("desc")
        if not descending:
            self._take_word("asc")
        return Order(field, descending)

    @property
    def _token(self) -> _Token:
        return self.tokens[self.position]

    def _is_end(self) -> bool:
        return self._token.kind == "end"

    def _at_word(self, word: str) -> bool:
        return self._token.kind == "word" and self._token.text.lower() == word

    def _take_word(self, word: str) -> bool:
        if self._at_word(word):
            self.position += 1
            return True
        return False

    def _take_mark(self, mark: str) -> bool:
        if self._token.kind == "mark" and self._token.text == mark:
            self.position += 1
            return True
        return False

    def _expect_word(self, word: str) -> None:
        if not self._take_word(word):
            raise self._fault(f"{word!r} was expected.")

    def _expect_mark(self, mark: str) -> None:
        if not self._take_mark(mark):
            raise self._fault(f"{mark!r} was expected.")

    def _fault(self, message: str) -> InvalidRequest:
        return _error(self.text, self._token.at, message)


def _convert(token: _Token, field: FieldName) -> Value:
    raw = token.text
    text = re.sub(r"\\(.)", r"\1", raw[1:-1]) if token.kind == "text" else raw
    match field.type:
        case "number":
            if token.kind != "number":
                msg = f"{field} is a number; {raw} is not."
                raise InvalidRequest(msg)
            return _number(raw)
        case "time":
            return to_us(parse_time(text))
        case "semver":
            return SemVer.parse(text).sort_key
        case "bool":
            return _boolean(text, field)
        case "any":
            return _number(raw) if token.kind == "number" else _word_or_text(token, text)
        case "text":
            if token.kind != "text":
                msg = f'put quotation marks round the text: "{raw}".'
                raise InvalidRequest(msg)
            return text


def _check_choice(field: FieldName, value: Value) -> None:
    """Refuse a word that no version can have: a mistyped stage must not read as "nothing qualifies"."""
    choices = _CHOICES.get(field.name, ())
    if choices and value not in choices:
        msg = f"there is no {field} {shown(value)}; there are {', '.join(choices)}."
        raise InvalidRequest(msg)


def _number(raw: str) -> float | int:
    if re.fullmatch(r"[+-]?\d{1,15}", raw):
        return int(raw)
    number = float(raw)
    if number in (float("inf"), float("-inf")):
        msg = f"{raw} is too large."
        raise InvalidRequest(msg)
    return number


def _boolean(text: str, field: FieldName) -> bool:
    if text.lower() not in ("true", "false"):
        msg = f"{field} is true or false."
        raise InvalidRequest(msg)
    return text.lower() == "true"


def _word_or_text(token: _Token, text: str) -> Value:
    if token.kind == "text":
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    msg = f'put quotation marks round the text: "{text}".'
    raise InvalidRequest(msg)


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
        case Compare(field, op, want):
            return _any(field_values(field, version), _OPERATORS[op], (want,))
        case In(field, values):
            return _any(field_values(field, version), operator.eq, values)
        case Present(field):
            return bool(field_values(field, version))
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


def both(first: Expr | None, second: Expr) -> Expr:
    """The conjunction of two conditions, of which the first may be none."""
    return second if first is None else And((first, second))

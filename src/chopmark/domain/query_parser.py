"""Reading the filter language; errors point at the character. `chopmark.domain.query` describes it."""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches

import msgspec

from chopmark.base.clock import parse_time, to_us
from chopmark.domain.names import check_text, shown
from chopmark.domain.query_tree import (
    CHOICES,
    DEPTH_MAX,
    FIELDS,
    KEYED,
    TERMS_MAX,
    TEXT_LENGTH_MAX,
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
)
from chopmark.domain.semver import SemVer
from chopmark.domain.words import wanted_words
from chopmark.errors import InvalidRequest

__all__ = ["parse_query"]


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
    |(?P<word>[A-Za-z_][\w-]*(?:\."[^"]*"|(?:\.[\w/@%+-]+)+)?)""",
    re.VERBOSE,
)
_TOO_LONG = "Ask in several searches; many values of one field are shorter with 'in (…)'."
_ALIASES_OF_OPERATORS = {"<>": "!=", "==": "="}


def parse_query(text: str) -> Query:
    """Read a query.

    Raises
    ------
    InvalidRequest
        Pointing at the character where it stops making sense.
    """
    check_text(text, "filter", TEXT_LENGTH_MAX, hint=_TOO_LONG)
    return _Parser(text).query()


def _error(text: str, at: int, message: str) -> InvalidRequest:
    start = max(0, at - 40)
    line = "".join(c if c.isprintable() else " " for c in text[start : at + 30])
    pointer = " " * _columns(line[: at - start]) + "^"
    return InvalidRequest(
        f"The filter is not valid at character {at + 1}: {message}",
        hint=f"  {line}\n  {pointer}",
        at=at,
    )


def _columns(text: str) -> int:
    """Columns that a text takes on a terminal: wide characters two, those that join the one before none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me", "Cf") for c in text)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] in "\"'":
                raise _error(text, at, "this quotation mark is not closed.")
            if text[at] == "." and text[at + 1 : at + 2] == '"' and '"' not in text[at + 2 :]:
                raise _error(text, at + 1, "this quotation mark is not closed.")
            if text[at] == "." and text[at + 1 : at + 2] == "'":
                raise _error(text, at + 1, "a key with odd characters is written in double quotation marks.")
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
        if field.type == "words":
            return self._words(field, token)
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

    def _words(self, field: FieldName, token: _Token) -> Compare:
        if token.text != "~":
            raise self._fault(f'search it with ~, for example {field} ~ "isolation forest".')
        self.position += 1
        at = self._token.at
        value = str(self._value(field))
        try:
            self.terms += len(wanted_words(value)) - 1
        except InvalidRequest as error:
            raise _error(self.text, at, error.message) from error
        if self.terms > TERMS_MAX:
            raise _error(self.text, at, f"with these words it has more than {TERMS_MAX} conditions.")
        return Compare(field, "~", value)

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
            raise _error(self.text, token.at, _no_field(token.text, name))
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
        if field.type == "words":
            raise _error(self.text, at, "the words of a version give no order.")
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


def _no_field(written: str, name: str) -> str:
    """That there is no such field, those written alike before all that there are."""
    near = [f"{n}.KEY" if n in KEYED else n for n in get_close_matches(name.lower(), [*FIELDS, *KEYED], 3)]
    question = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"there is no field {written!r}.{question} There are {', '.join([*FIELDS, *(f'{k}.KEY' for k in KEYED)])}."


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
        case "text" | "words":
            if token.kind != "text":
                msg = f'put quotation marks round the text: "{raw}".'
                raise InvalidRequest(msg)
            return text


def _check_choice(field: FieldName, value: Value) -> None:
    """Refuse a word that no version can have: a mistyped stage must not read as "nothing qualifies"."""
    choices = CHOICES.get(field.name, ())
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

"""The filter parser against arbitrary text, and every query against the text that is written of it."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chopmark.domain.query import (
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
    parse_query,
    query_text,
)
from chopmark.domain.query_tree import CHOICES
from chopmark.domain.semver import SemVer
from chopmark.errors import InvalidRequest

PIECES = (
    *FIELDS, *("metrics.f1", 'metrics."f1 (macro)"', "params.x", "tags.a.b", "tags.", 'tags."', "metrics"),
    *("=", "!=", "<>", "==", "<", "<=", ">", ">=", "~", "!", "(", ")", ",", ".", "and", "or", "not", "in", "like", "order", "by"),
    *("asc", "desc", "1", "-2.5", "1e400", "0.", ".5", "1x", '"a"', "'b'", '"', "\\", '"\\"', "true", "2026-01-01", "\0", "é"),
    *('"2026-01-01"', '"0001-01-01T00:00:00+14:00"', '"1.2.3"', '"production"', '"fraud*"', '"--"', "#", ";", "\n"),
)  # fmt: skip

pieces = st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join)
anything = st.text(max_size=60) | st.text(string.printable, max_size=60) | pieces


def read(text: str) -> Query | InvalidRequest:
    try:
        return parse_query(text)
    except InvalidRequest as error:
        return error


@given(anything)
@example("(" * 60)
@example("not " * 60 + "name")
@example(" and ".join(["name"] * 201))
@example('text ~ "' + " ".join(map(str, range(51))) + '"')
@example('name = "\ud800"')
@example('created_at = "9999-12-31T23:59:59-14:00"')
@example('created_at > "0001-01-01T00:00:00+14:00"')
def test_a_text_is_a_query_or_an_error_at_a_character(text: str) -> None:
    found = read(text)
    if isinstance(found, Query):
        assert parse_query(query_text(found)) == found
    elif "at" in found.details:
        at = found.details["at"]
        assert 0 <= at <= len(text)
        assert f"character {at + 1}:" in found.message
        assert "^" in found.hint
    else:  # of the text as a whole: nothing in it was read
        assert "cannot be stored" in found.message


numbers = st.integers(-(10**15) + 1, 10**15 - 1) | st.floats(allow_nan=False, allow_infinity=False)
storable = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
keys = st.from_regex(r"[A-Za-z0-9_.:/@%+=()\[\] -]{1,12}", fullmatch=True)
semvers = st.builds(SemVer, *[st.integers(0, 10**6)] * 3, st.sampled_from(("", "rc.1", "0", "a.0.b-1", "10"))).map(
    lambda version: version.sort_key
)


def values(field: FieldName) -> st.SearchStrategy[str | float | int | bool]:
    match field.type:
        case "number":
            return numbers
        case "time":
            return st.integers(-(10**15), 10**16)
        case "semver":
            return semvers
        case "bool":
            return st.booleans()
        case "any":
            return st.booleans() | numbers | storable
        case "text" | "words":
            return storable


plain = st.sampled_from([FieldName(name) for name in FIELDS if name != "text"])
fields = plain | st.builds(FieldName, st.sampled_from(list(KEYED)), keys)


@st.composite
def conditions(draw: st.DrawFn) -> Expr:
    if draw(st.integers(0, 7)) == 0:
        return Compare(FieldName("text"), "~", draw(st.sampled_from(("isolation forest", "fraud*", '"é" \\ 1'))))
    field = draw(fields)
    wanted = st.sampled_from(CHOICES[field.name]) if field.name in CHOICES else values(field)
    form = draw(st.sampled_from(("present", "in", "compare")))
    if form == "present":
        return Present(field)
    if form == "in":
        return In(field, tuple(draw(st.lists(wanted, min_size=1, max_size=3))))
    value = draw(wanted)
    operators = ["=", "!="] if field.type == "bool" else ["=", "!=", "<", "<=", ">", ">="]
    if field.type in ("text", "any") and isinstance(value, str):
        operators += ["~", "like"]
    return Compare(field, draw(st.sampled_from(operators)), value)


def several(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[tuple[Expr, ...]]:
    return st.lists(inner, min_size=2, max_size=3).map(tuple)


exprs: st.SearchStrategy[Expr] = st.recursive(
    conditions(),
    lambda inner: st.builds(Not, inner) | st.builds(And, several(inner)) | st.builds(Or, several(inner)),
    max_leaves=8,
)
orders = st.lists(st.builds(Order, fields.filter(lambda f: f.name != "alias"), st.booleans()), max_size=3).map(tuple)


@given(st.builds(Query, st.none() | exprs, orders))
def test_a_query_reads_back_from_its_text(query: Query) -> None:
    assert parse_query(query_text(query)) == query


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        ('NOT (name="a" OR stage<>"staging") and tags."x y" ORDER BY number DESC, name asc',
         'not (name = "a" or stage != "staging") and tags."x y" order by number desc, name'),
        ('created_at >= "2026-03-01" and semver > "1.2.0-rc.1+b"',
         'created_at >= "2026-03-01T00:00:00+00:00" and semver > "1.2.0-rc.1"'),
        ("params.x not in (1, 1.5, 'a\"b', true)", 'not params.x in (1, 1.5, "a\\"b", true)'),
    ],
)  # fmt: skip
def test_how_a_query_is_written(text: str, written: str) -> None:
    assert query_text(parse_query(text)) == written


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('text ~ "--"', 7),
        ('name and text ~ ""', 16),
        ("text", 4),
        ('text = "a"', 5),
        ('text in ("a")', 5),
        ("text ~ word", 7),
        ("order by text", 9),
        ('metrics.a."b" > 1', 9),
    ],
)
def test_errors_about_words_point_at_the_character(text: str, at: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_query(text)
    assert caught.value.details["at"] == at

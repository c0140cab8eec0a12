"""The filter language: what it means, and that errors point at the character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.manifest import Environment
from chopmark.domain.query import FieldName, Order, matches, order_values, parse_query
from chopmark.errors import InvalidRequest
from tests.domain.records import NOON, a_version

VERSION = a_version(
    number=4,
    semver="1.4.0",
    stage="production",
    format="skops",
    owner="ada",
    metrics={"f1": 0.9, "f1 (macro)": 0.8},
    params={"depth": 3, "solver": "lbfgs", "warm": True},
    tags={"team": "Risk", "empty": ""},
    aliases=("champion", "eu"),
    environment=Environment(framework="scikit-learn"),
    description="Finds fraud in card payments",
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        'name = "fraud"',
        'name ~ "RAU"',
        'name like "fr%d" and name like "fra_d"',
        "number = 4 and number >= 4.0 and number in (1, 4)",
        "semver > '1.3.9' and semver < '2.0.0-rc.1'",
        'stage = "production" AND NOT stage = "archived"',
        'alias = "eu" and alias in ("x", "champion")',
        "metrics.f1 >= 0.9 and metrics.f1 < 1e3",
        'metrics."f1 (macro)" = 0.8',
        "params.depth = 3 and params.solver = 'lbfgs' and params.warm = true",
        'tags.team ~ "risk" and tags.team != "risk"',
        "tags.team and not tags.nothing",
        "not tags.empty",
        'framework = "scikit-learn"',
        "created_at > '2026-03-03' and created_at <= '2026-03-03T12:00Z'",
        "runs_code = false",
        "not runs_code",  # a truth alone asks whether it is true
        'tags.nothing = "x" or metrics.f1 > 0',
        '(name = "a" or name = "fraud") and (owner = "ada")',
        'owner not in ("bob") and owner not like "b%"',
        'description ~ "card"',
        r'name != "a\"b"',
    ],
)
def test_a_version_meets(text: str) -> None:
    assert matches(parse_query(text).where, VERSION)


@pytest.mark.parametrize(
    "text",
    [
        'name = "frau"',
        "metrics.recall < 1",
        "metrics.recall != 1",
        'tags.nothing != "x"',
        'params.depth = "3"',
        "params.solver > 3",
        "params.warm = 1",
        'owner = ""',
        'tags.empty = ""',
        'alias = "latest"',
        "number in (1, 2)",
        "runs_code",
        'task != "x"',
    ],
)
def test_a_version_does_not_meet(text: str) -> None:
    assert not matches(parse_query(text).where, VERSION)


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("nam = 'x'", 0, "no field 'nam'. Did you mean name? There are project, name,"),
        ("metric.f1 > 0", 0, "no field 'metric.f1'. Did you mean metrics.KEY? There are"),
        ("zzz = 1", 0, "no field 'zzz'. There are project,"),
        ('tags."a = 1', 5, "quotation mark is not closed"),
        ("tags.'a' = 1", 5, "double quotation marks"),
        ("name = ", 7, "a value was expected"),
        ("name = fraud", 7, "quotation marks"),
        ("name = 'x", 7, "not closed"),
        ("number = 'x'", 9, "is a number"),
        ("number ~ 'x'", 7, "no text"),
        ("name ~ 5", 7, "quotation marks"),
        ("metrics.f1 >> 1", 12, "a value was expected"),
        ("name = 'x' and", 14, "a field was expected"),
        ("name = 'x' name = 'y'", 11, "'and', 'or' or the end"),
        ("(name = 'x'", 11, "')' was expected"),
        ("name in 'x'", 8, "'(' was expected"),
        ("name in ()", 9, "a value was expected"),
        ("name not = 'x'", 9, "'in' or 'like'"),
        ("order created_at", 6, "'by' was expected"),
        ("order by alias", 9, "give no order"),
        ("created_at > 'yesterday'", 13, "is not a time"),
        ("semver > '1.2'", 9, "not a semantic version"),
        ("runs_code > true", 10, "true or false"),
        ("metrics > 1", 0, "write metrics.KEY"),
        ("name = 'x'; drop table versions", 10, "means nothing"),
        ("metrics.f1 > 1e999", 13, "too large"),
        ("name = 'x' -- comment", 11, "means nothing"),
    ],
)
def test_errors_point_at_the_character(text: str, at: int, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_query(text)
    assert caught.value.details["at"] == at
    assert says in caught.value.message
    *_, line, pointer = caught.value.hint.split("\n")
    assert pointer.index("^") - 2 == at or len(text) > 70
    assert line.strip()


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('tags.team = "日本" 1', 19),
        ('tags."日本 = 1', 5),
        ('name = "e\u0301" 1', 11),
        ('name = "\x1b[2J" 1', 14),
    ],
)
def test_the_pointer_stands_below_wide_characters(text: str, columns: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_query(text)
    line, pointer = caught.value.hint.split("\n")
    assert pointer.index("^") - 2 == columns
    assert line.isprintable()


def test_a_filter_that_is_too_long_is_told_how_to_be_shorter() -> None:
    with pytest.raises(InvalidRequest, match="limit is 10,000") as caught:
        parse_query("name = 'x' or " * 1_000)
    assert "in (…)" in caught.value.hint


def test_depth_and_length_have_limits() -> None:
    assert parse_query("(" * 40 + "name = 'x'" + ")" * 40) == parse_query("name = 'x'")
    for text in ["(" * 60 + "name = 'x'" + ")" * 60, "not " * 60 + "tags.a", "a" * 10_001]:
        with pytest.raises(InvalidRequest):
            parse_query(text)
    with pytest.raises(InvalidRequest, match="200 conditions"):
        parse_query(" or ".join(["tags.a"] * 201))


def test_order() -> None:
    query = parse_query('name = "x" ORDER BY metrics.f1 DESC, created_at, params.depth asc')
    assert query.order == (
        Order(FieldName("metrics", "f1"), descending=True),
        Order(FieldName("created_at")),
        Order(FieldName("params", "depth")),
    )
    assert order_values(query.order, VERSION) == [0.9, int(NOON.timestamp() * 1e6), 3]
    assert order_values(query.order, a_version()) == [None, int(NOON.timestamp() * 1e6), None]


@given(st.text(max_size=80))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    try:
        query = parse_query(text)
    except InvalidRequest as error:
        assert 0 <= error.details.get("at", 0) <= len(text)  # noqa: PT017 - the place is the point
        return
    assert matches(query.where, VERSION) in (True, False)


words = st.sampled_from(
    [
        "name",
        "metrics.f1",
        "tags.x",
        "=",
        "!=",
        "~",
        "<",
        "and",
        "or",
        "not",
        "(",
        ")",
        "in",
        "'x'",
        "5",
        "order",
        "by",
        "desc",
        ",",
        "like",
    ]
)


@given(st.lists(words, max_size=14).map(" ".join))
def test_any_words_of_the_language_are_a_query_or_refused(text: str) -> None:
    try:
        parse_query(text)
    except InvalidRequest as error:
        assert "character" in error.message  # noqa: PT017

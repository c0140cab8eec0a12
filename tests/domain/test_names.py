"""Names, keys, metrics and texts: what is accepted and how refusals read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.names import check_alias, check_key, check_metrics, check_name, check_tags, check_text, shown
from chopmark.errors import InvalidRequest


@pytest.mark.parametrize("name", ["fraud", "Fraud-2", "a", "7", "x.y_z-1", "a" * 128])
def test_acceptable_names(name: str) -> None:
    assert check_name(name, "model name") == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("a" * 129, "129 characters"),
        ("x" * 1_000_000, "1,000,000 characters"),
        ("../etc", "contains '..'"),
        ("a/b", "must be letters"),
        ("-a", "start and end"),
        ("a b", "must be letters"),
        ("frаud", "CYRILLIC SMALL LETTER A"),
        ("a\u202eb", "RIGHT-TO-LEFT OVERRIDE"),
        ("ａ", "FULLWIDTH"),
        (None, "is a NoneType"),
        (7, "is a int"),
    ],
)
def test_odd_names_are_refused_in_words(name: object, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name(name, "model name")  # type: ignore[arg-type]
    assert says in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("alias", ["latest", "Production", "archived", "7", "v7", "1.2.3", "2.0", "1-rc"])
def test_an_alias_cannot_be_mistaken(alias: str) -> None:
    with pytest.raises(InvalidRequest):
        check_alias(alias)


def test_metrics_become_floats_and_all_faults_are_told() -> None:
    assert check_metrics({"f1": 1, "roc_auc": "0.5"}) == {"f1": 1.0, "roc_auc": 0.5}
    with pytest.raises(InvalidRequest) as caught:
        check_metrics({"a": math.nan, "b": math.inf, "c": "x", "d": None, "ok": 1.0})
    for part in ("a is nan", "b is inf", "c is 'x'", "d is 'None'"):
        assert part in caught.value.message


@pytest.mark.parametrize("key", ["", " a", "a ", "a\n", "é", "x" * 201, 5, "a;b", "a'b"])
def test_odd_keys_are_refused(key: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_key(key, "tag")
    assert "spaces" in caught.value.hint
    assert "begins with a letter" in caught.value.hint


@pytest.mark.parametrize("key", ["f1", "f1 (macro)", "recall@10", "loss/train", "a.b", "_x", "p[0]", "50%"])
def test_usual_keys_are_accepted(key: str) -> None:
    assert check_key(key, "metric") == key


def test_tags_are_texts() -> None:
    assert check_tags({"team": "risk"}) == {"team": "risk"}
    with pytest.raises(InvalidRequest, match="Tags are texts"):
        check_tags({"n": 5})
    with pytest.raises(InvalidRequest, match="limit"):
        check_tags({"t": "x" * 5001})
    with pytest.raises(InvalidRequest, match="limit"):
        check_tags({f"t{i}": "" for i in range(2001)})


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x" * 100_001])
def test_texts_that_no_database_holds_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        check_text(text, "description")


@given(st.text())
def test_what_an_error_shows_is_printable_and_short(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) < 1000

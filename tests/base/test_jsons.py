"""What is wrong with values, in words and not in names of types."""

from datetime import date
from typing import Any, Literal

import msgspec
import pytest

from chopmark.base.jsons import decode, explained, pretty
from chopmark.errors import InvalidRequest


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    since: date | None = None
    count: int = 0
    names: tuple[str, ...] = ()
    directions: dict[str, Literal["maximize", "minimize"]] = {}
    direction: Literal["maximize", "minimize"] = "maximize"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"since": 5}, "since is a whole number; it may be a date such as 2026-03-01 or nothing"),
        ({"count": "x"}, "count is a text; it may be a whole number"),
        ({"names": ["a", 1]}, "names[1] is a whole number; it may be a text"),
        ({"directions": {"f1": "up"}}, "a value of directions is 'up'; it may be maximize, minimize"),
        ({"direction": "up"}, "direction is 'up'; it may be maximize, minimize"),
        ({"other": 1}, "object contains unknown field `other`"),
        ([], "the value is a list; it may be a mapping"),
    ],
)
def test_faults_are_told_in_words(given: object, words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(given, _Asked)
    assert explained(caught.value, _Asked) == words


def test_a_document_of_another_form_is_told_without_names_of_types() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"count": "x"}', _Asked)
    assert caught.value.message == (
        "What was read does not have the form it should: count is a text; it may be a whole number."
    )
    for nothing in (b"", b" \n"):
        with pytest.raises(InvalidRequest, match="it is empty"):
            decode(nothing, _Asked)
    with pytest.raises(InvalidRequest, match="truncated"):
        decode(b"{", _Asked)
    with pytest.raises(InvalidRequest, match=": JSON is malformed"):
        decode(b'{"count": tru}', _Asked)


def test_pretty_json_has_no_control_characters() -> None:
    assert pretty({"a": "\x1b\x7f\x9b"}) == '{\n  "a": "\\u001b\\u007f\\u009b"\n}'


@pytest.mark.parametrize("text", [b'{"a":' + b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_nested_without_end_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="nested"):
        decode(text, dict[str, Any])

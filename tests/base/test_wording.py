"""Sentences of others inside our own: acronyms stay what they are."""

import pytest

from chopmark.base.wording import within_sentence


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("JSON is malformed: invalid character (byte 5)", "JSON is malformed: invalid character (byte 5)"),
        ("Input data was truncated", "input data was truncated"),
        ("Invalid HTTP request received.", "invalid HTTP request received."),
        ("PostgreSQL does not answer", "PostgreSQL does not answer"),
        ("A year", "a year"),
        ("", ""),
        (" ", " "),
    ],
)
def test_only_ordinary_words_begin_small(said: str, words: str) -> None:
    assert within_sentence(said) == words

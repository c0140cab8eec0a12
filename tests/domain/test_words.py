"""How a text falls into words, and when words meet a version: the same in every back end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.query import matches, parse_query, text_condition
from chopmark.domain.words import (
    WANTED_MAX,
    WORD_LENGTH_MAX,
    WORDS_MAX,
    Wanted,
    indexed_words,
    meet,
    split_words,
    wanted_words,
    words_of,
)
from chopmark.errors import InvalidRequest
from tests.domain.records import a_version


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("isolation_forest-v2", ["isolation", "forest", "v2"]),
        ("R&D, 3.14!", ["r", "d", "3", "14"]),
        ("don't", ["don", "t"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("İstanbul", ["i", "stanbul"]),  # a dotted capital folds into i and a combining dot, which is no letter
        ("ﬁne ﬁ Ⅷ ① ㎏", ["fine", "fi", "viii", "1", "kg"]),
        ("ｆｒａｕｄ", ["fraud"]),
        ("cafe\u0301 caf\u00e9", ["café", "café"]),
        ("Ωμέγα ὈΔΥΣΣΕΎΣ", ["ωμέγα", "ὀδυσσεύσ"]),
        ("٣ год 2026", ["٣", "год", "2026"]),
        ("欺诈检测模型", ["欺诈检测模型"]),  # no spaces, so one word: found whole or by its beginning
        ("हिन्दी", ["ह", "न", "द"]),  # vowel signs are marks, not letters
        ("a\u00adb a\u200bb", ["a", "b", "a", "b"]),
        ("x" * 200, ["x" * WORD_LENGTH_MAX]),
        ("😀 -- ___", []),
    ],
)
def test_how_a_text_falls_into_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_what_a_search_asks_for() -> None:
    assert wanted_words("Fraud frau* FRAUD") == (Wanted("fraud"), Wanted("frau", is_prefix=True))
    assert wanted_words("a-b* *c") == (Wanted("a"), Wanted("b", is_prefix=True), Wanted("c"))
    assert wanted_words("x" * 100 + "*") == (Wanted("x" * WORD_LENGTH_MAX, is_prefix=True),)
    for text in ("", "--", "*", "😀", "_"):
        with pytest.raises(InvalidRequest, match="no word"):
            wanted_words(text)
    assert len(wanted_words(" ".join(map(str, range(WANTED_MAX))))) == WANTED_MAX
    with pytest.raises(InvalidRequest, match="at most 50 words"):
        wanted_words(" ".join(map(str, range(WANTED_MAX + 1))))


def test_a_long_card_is_found_by_its_first_words() -> None:
    card = " ".join(f"w{n}" for n in range(3_000))
    words = indexed_words("fraud", "about", card, {"team": "risk"})
    assert len(words) == len(set(words)) == WORDS_MAX
    assert words[:5] == ["fraud", "about", "team", "risk", "w0"]


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("forest ISOLATION", True),
        ("isol* risk 42", True),
        ("fraud", True),
        ("grösse", True),
        ("isol", False),
        ("forest nothing", False),
        ("forests*", False),
        ("skops", False),
    ],
)
def test_every_word_must_be_in_some_text(text: str, is_met: bool) -> None:
    version = a_version(description="An Isolation-Forest", card="# Größe 42", tags={"team": "risk"}, format="skops")
    assert matches(text_condition(text), version) == is_met
    assert matches(parse_query(f'text ~ "{text}"').where, version) == is_met
    assert matches(parse_query(f'not text ~ "{text}"').where, version) != is_met


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_version_is_found_by_each_of_its_words_however_written(description: str, card: str) -> None:
    version = a_version(description=description, card=card)
    for word in words_of(version):
        assert 0 < len(word) <= WORD_LENGTH_MAX
        assert meet(words_of(version), wanted_words(word))
        assert meet(words_of(version), wanted_words(word[:1] + "*"))
    assert set(split_words(description)) <= set(words_of(version))

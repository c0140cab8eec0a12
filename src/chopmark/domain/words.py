"""Full-text search, defined once: how a text falls into words, and when words meet a version.

Every back end keeps the words of a version that `words_of` gives, so that a search means the same
in all of them; no database's own tokenizer is asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

import msgspec

from chopmark.domain.names import check_text, shown
from chopmark.domain.versions import Model, Version
from chopmark.errors import InvalidRequest

__all__ = [
    "WANTED_MAX",
    "WORDS_MAX",
    "WORD_LENGTH_MAX",
    "Wanted",
    "indexed_words",
    "meet",
    "model_words",
    "split_words",
    "wanted_words",
    "words_of",
]

WORD_LENGTH_MAX = 64
"""Characters of a word that count; what follows is not looked at."""

WORDS_MAX = 2_000
_TEXT_LENGTH_MAX = 10_000
"""Different words of one version that are kept; a long card is searched by its first ones."""

WANTED_MAX = 50
"""Different words that one search can ask for."""

_WORD = re.compile(r"[^\W_]+")
_WANTED = re.compile(r"([^\W_]+)(\*?)")


class Wanted(msgspec.Struct, frozen=True):
    """One word that is looked for; as a prefix, every word that begins so is meant."""

    word: str
    is_prefix: bool = False


def split_words(text: str) -> list[str]:
    """Words of a text in order: runs of letters and digits, without regard to case or form.

    ``isolation_forest-v2`` has the words ``isolation``, ``forest`` and ``v2``.
    """
    return [word[:WORD_LENGTH_MAX] for word in _WORD.findall(_folded(text))]


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()  # the same, and most texts
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def wanted_words(text: str) -> tuple[Wanted, ...]:
    """Words that a search asks for, each once; ``frau*`` means every word that begins with it.

    Raises
    ------
    InvalidRequest
        When the text has no word, or more than `WANTED_MAX`.
    """
    check_text(text, "text to look for", _TEXT_LENGTH_MAX)
    found = (Wanted(word[:WORD_LENGTH_MAX], bool(star)) for word, star in _WANTED.findall(_folded(text)))
    wanted = tuple(dict.fromkeys(found))
    if not wanted:
        msg = f"{shown(text)} holds no word to look for."
        raise InvalidRequest(msg, hint="A word is a run of letters and digits.")
    if len(wanted) > WANTED_MAX:
        msg = f"A search asks for at most {WANTED_MAX} words, not {len(wanted)}."
        raise InvalidRequest(msg, hint="Ask for the rarest of them.")
    return wanted


def meet(words: Iterable[str], wanted: Iterable[Wanted]) -> bool:
    """Whether every wanted word is among the words."""
    there = set(words)
    return all(any(w.startswith(each.word) for w in there) if each.is_prefix else each.word in there for each in wanted)


def indexed_words(name: str, description: str, card: str, tags: Mapping[str, str]) -> list[str]:
    """Words by which a version is found, each once: of its name, description, tags and card, in this order."""
    return _words_in((name, description, *(part for pair in tags.items() for part in pair), card))


def _words_in(parts: Iterable[str]) -> list[str]:
    words = dict.fromkeys(word for part in parts for word in split_words(part))
    return list(words)[:WORDS_MAX]


def model_words(model: Model) -> list[str]:
    """Words by which a model is found, each once: of its name, description, tags, owner, team and card."""
    tags = (part for pair in model.tags.items() for part in pair)
    return _words_in((model.name, model.description, *tags, model.owner, model.team, model.card))


def words_of(version: Version) -> list[str]:
    """`indexed_words` of a version as it is now."""
    return indexed_words(version.model, version.description, version.card, version.tags)

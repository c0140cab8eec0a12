"""Sentences of others inside our own."""

from __future__ import annotations

__all__ = ["within_sentence"]


def within_sentence(text: str) -> str:
    """A sentence as it stands after a colon: its first letter is small, unless its first word is no ordinary one.

    >>> within_sentence("Bad day of month")
    'bad day of month'
    >>> within_sentence("JSON is malformed")
    'JSON is malformed'
    """
    word = text.split(maxsplit=1)[0] if text.split() else ""
    if any(letter.isupper() for letter in word[1:]):  # JSON, HTTP, SQLAlchemy
        return text
    return text[:1].lower() + text[1:]

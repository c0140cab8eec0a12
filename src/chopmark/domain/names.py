"""Which names are accepted, in one place: projects, models, aliases, keys of tags and metrics."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from chopmark.errors import InvalidRequest

__all__ = [
    "NAME_LENGTH_MAX",
    "check_alias",
    "check_key",
    "check_metrics",
    "check_name",
    "check_tags",
    "check_text",
    "counted",
    "example_of",
    "shown",
    "with_article",
]

NAME_LENGTH_MAX = 128
KEY_LENGTH_MAX = 200
TAG_VALUE_LENGTH_MAX = 5_000
TEXT_LENGTH_MAX = 100_000
ENTRIES_MAX = 2_000
_STORE_LONG_TEXTS = "Store long texts as an artifact, for example a card."

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:/ @%+()\[\]=-]*[A-Za-z0-9_)\]%])?")
_NUMBER_LIKE = re.compile(r"[vV]?\d+(?:\.\d+)*(?:[-+.].*)?")
RESERVED_ALIASES = frozenset(
    (
        "latest",
        "development",
        "staging",
        "canary",
        "production",
        "deprecated",
        "archived",
    )
)


def shown(text: object, limit: int = 60) -> str:
    """The text as an error shows it: quoted, shortened, with nothing invisible in it."""
    plain = str(text)
    cut = plain if len(plain) <= limit else plain[:limit] + "…"
    return ascii(cut) if not cut.isprintable() else repr(cut)


def counted(number: int, noun: str) -> str:
    """A number and its noun: ``1 file``, ``2 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def check_name(name: str, what: str) -> str:
    """Return the name of a project or model when it is acceptable.

    ASCII letters, digits, ``.``, ``_`` and ``-``; it starts and ends with a letter or digit, has
    no ``..`` and at most 128 characters. Anything wider invites names that look alike.

    Raises
    ------
    InvalidRequest
        Naming the first thing that is wrong.
    """
    return _checked(name, what, _name_fault(name))


def check_alias(alias: str) -> str:
    """Return an alias when it is a name that cannot be mistaken for a number, version or stage.

    Raises
    ------
    InvalidRequest
        When it can.
    """
    fault = _name_fault(alias)
    if not fault and alias.lower() in RESERVED_ALIASES:
        fault = "is a reserved word"
    if not fault and _NUMBER_LIKE.fullmatch(alias):
        fault = "looks like a number or a version"
    return _checked(alias, "alias", fault)


def _name_fault(name: object) -> str:
    if not isinstance(name, str):
        return f"is a {type(name).__name__}, not a text"
    if not name:
        return "is empty"
    if len(name) > NAME_LENGTH_MAX:
        return f"has {len(name):,} characters; the limit is {NAME_LENGTH_MAX}"
    if not name.isascii():
        odd = next(c for c in name if not c.isascii())
        return f"has the character {unicodedata.name(odd, ascii(odd))}; only ASCII is accepted"
    if ".." in name:
        return "contains '..'"
    if not _NAME.fullmatch(name):
        return "must be letters, digits, '.', '_' or '-', and start and end with a letter or digit"
    return ""


def _checked(name: str, what: str, fault: str) -> str:
    if fault:
        msg = f"The {what} {shown(name)} {fault}."
        hint = f"{with_article(what).capitalize()} that would do: '{example_of(what)}'."
        raise InvalidRequest(msg, hint=hint)
    return name


def with_article(noun: str) -> str:
    """``a model``, ``an endpoint``."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


_EXAMPLES = {"alias": "champion", "endpoint": "fraud-api", "experiment": "ranker-test", "monitor": "fraud-api-errors"}


def example_of(what: str) -> str:
    """A name that would do for what errors call so."""
    return _EXAMPLES.get(what.removesuffix(" name"), "fraud-detector")


def check_key(key: object, what: str) -> str:
    """Return the key of a tag, metric or parameter when it is acceptable.

    Raises
    ------
    InvalidRequest
        When it is empty, too long, or has characters that are not ASCII letters, digits or
        ``_ . : / @ % + - = ( ) [ ]`` and space; when it does not begin with a letter, digit or ``_``, or
        does not end with one of them or ``) ] %``.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key) or len(key) > KEY_LENGTH_MAX:
        msg = f"The {what} {shown(key)} is not acceptable."
        hint = (
            f"Use 1 to {KEY_LENGTH_MAX} ASCII letters, digits, spaces or any of _ . : / @ % + - = ( ) [ ]; "
            "it begins with a letter, digit or _, and ends with one of them or with ) ] %."
        )
        raise InvalidRequest(msg, hint=hint)
    return key


def check_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Tags as texts, each key and value checked.

    Raises
    ------
    InvalidRequest
        When a key is not acceptable, a value is not text or too long, or there are too many.
    """
    _check_count(tags, "tags")
    checked: dict[str, str] = {}
    for key, value in tags.items():
        check_key(key, "tag")
        if not isinstance(value, str):
            msg = f"The value of tag {shown(key)} is a {type(value).__name__}, not a text."
            raise InvalidRequest(msg, hint="Tags are texts; numbers belong in params or metrics.")
        checked[key] = check_text(value, f"value of tag {shown(key)}", TAG_VALUE_LENGTH_MAX)
    return checked


def check_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as finite floats, each key checked; every fault is in one error.

    Raises
    ------
    InvalidRequest
        When a key is not acceptable or a value is not a finite number.
    """
    _check_count(metrics, "metrics")
    checked: dict[str, float] = {}
    faults: list[str] = []
    for key, value in metrics.items():
        check_key(key, "metric")
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            faults.append(f"{key} is {shown(value)}")
            continue
        if math.isfinite(number):
            checked[key] = number
        else:
            faults.append(f"{key} is {number}")
    if faults:
        msg = "Metrics must be finite numbers: " + "; ".join(faults) + "."
        raise InvalidRequest(msg, hint="Leave out a metric that could not be computed.")
    return checked


def check_text(text: object, what: str, length_max: int = TEXT_LENGTH_MAX, hint: str = _STORE_LONG_TEXTS) -> str:
    """Return free text when it is text of acceptable length that a database can hold.

    Raises
    ------
    InvalidRequest
        When it is too long, or holds a NUL or half a surrogate pair.
    """
    if not isinstance(text, str):
        msg = f"The {what} is a {type(text).__name__}, not a text."
        raise InvalidRequest(msg)
    if len(text) > length_max:
        msg = f"The {what} has {len(text):,} characters; the limit is {length_max:,}."
        raise InvalidRequest(msg, hint=hint)
    if _UNSTORABLE.search(text):
        msg = f"The {what} holds a character that cannot be stored: {shown(text)}."
        raise InvalidRequest(msg)
    return text


def _check_count(entries: Mapping[str, Any], what: str) -> None:
    if len(entries) > ENTRIES_MAX:
        msg = f"There are {len(entries):,} {what}; the limit is {ENTRIES_MAX:,}."
        raise InvalidRequest(msg)

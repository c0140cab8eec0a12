"""JSON in one canonical form, so that equal values have equal bytes and equal digests.

Every value of a declared type is read through `decoder`, `decode` or `converted`, from whichever thread: see there why.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePath
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints, overload

import msgspec

from chopmark.base.wording import within_sentence
from chopmark.errors import InvalidRequest

__all__ = ["canonical", "converted", "decode", "decoder", "encode", "explained", "plain_values", "pretty", "unwrapped"]

VALUES_BYTES_MAX = 1_000_000

T = TypeVar("T")

_canonical = msgspec.json.Encoder(order="sorted", decimal_format="string")
_plain = msgspec.json.Encoder(decimal_format="string")
_CONTROLS = re.compile(r"[\x7f-\x9f]")

_decoders: dict[Any, Callable[[bytes | str], Any]] = {}
_learning = threading.RLock()


def canonical(value: Any) -> bytes:
    """Bytes of a value with sorted keys and no white space: what digests are taken of."""
    return _canonical.encode(value)


def encode(value: Any) -> bytes:
    """Bytes of a value, fields in the order of their declaration."""
    return _plain.encode(value)


def pretty(value: Any) -> str:
    """Text of a value, indented by two, for people: no control character stands in it but line ends."""
    text = msgspec.json.format(_plain.encode(value), indent=2).decode()
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # JSON itself lets these stand


@overload
def decoder(kind: type[T]) -> Callable[[bytes | str], T]: ...
@overload
def decoder(kind: UnionType) -> Callable[[bytes | str], Any]: ...
def decoder(kind: Any) -> Callable[[bytes | str], Any]:
    """What reads and validates JSON as ``kind``; any thread may ask for it and use it. Errors are msgspec's own.

    msgspec reads the annotations of a type and of all types within it when it first needs them, and marks each as read
    before it has read it all: a second thread that needs the type just then crashes the process (seen with 0.22, where
    four threads registered their first models at once). So one thread reads at a time, and what was read stays read.
    """
    known = _decoders.get(kind)
    if known is None:
        with _learning:
            known = _decoders.setdefault(kind, msgspec.json.Decoder(kind).decode)
    return known


def converted(value: Any, kind: type[T], *, strict: bool = True, kept: Collection[type] = ()) -> T:
    """A plain value as ``kind``, validated; errors are msgspec's own.

    Parameters
    ----------
    value
        Dictionaries, lists, texts and numbers.
    kind
        The type to make of it.
    strict
        Whether a text that looks like a number is none.
    kept
        Types of values that stand among the plain ones as they are.
    """
    decoder(kind)
    return msgspec.convert(value, kind, strict=strict, builtin_types=kept)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Read and validate JSON as ``kind``.

    Raises
    ------
    InvalidRequest
        When the text is not JSON or does not fit; the message names the place.
    """
    read = decoder(kind)
    try:
        return read(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said = _in_words(str(error)) if data.strip() else "it is empty"
        msg = f"What was read does not have the form it should: {said}."
        raise InvalidRequest(msg) from error
    except RecursionError as error:
        raise InvalidRequest("What was read is nested more deeply than is read.", hint="Nest it less.") from error


def explained(error: Exception, kind: type) -> str:
    """What msgspec says is wrong; for a word that is none of a field's choices, with the choices."""
    found = re.search(r"Invalid enum value (.+) - at `\$\.(\w+)((?:\[[^\]]*\])*)`", str(error))
    hints = get_type_hints(kind) if found else {}
    if found is None or found[2] not in hints:
        return _in_words(str(error))
    what = f"a value of {found[2]}" if found[3] else found[2]
    return f"{what} is {found[1]}; it may be " + ", ".join(_choices(hints[found[2]]))


_TYPE_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "a mapping",
    "date": "a date such as 2026-03-01",
    "datetime": "a time such as 2026-03-01T12:30:00Z",
    "uuid": "an id",
    "bytes": "bytes",
}
_PLACE = re.compile(r"^(.*?) - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)
_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?(.*)", re.DOTALL)


def _in_words(said: str) -> str:
    """What msgspec says, without its names of types: ``since is a text; it may be a date such as … or nothing``."""
    placed = _PLACE.match(said)
    what, place = (placed[1], placed[2]) if placed else (said, "")
    place = place.replace("[...]", "").strip(".") or "the value"
    expected = _EXPECTED.fullmatch(what)
    if expected is None:
        return within_sentence(what) + (f", in {place}" if placed else "")
    may_be, got, rest = expected.groups()
    is_a = f"{place} is {_type_words(got)}; it" if got else place
    return f"{is_a} may be {_type_words(may_be)}{rest}"


def _type_words(types: str) -> str:
    return " or ".join(_TYPE_WORDS.get(each, each) for each in types.split(" | "))


def _choices(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    return [choice for part in get_args(hint) for choice in _choices(part)]


def unwrapped(value: Any) -> Any:
    """The plain value in a numpy scalar, a path or a subclass of text; for encoders that meet one.

    Raises
    ------
    TypeError
        For anything else.
    """
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    if isinstance(value, (str, PurePath)):
        return str(value)
    msg = f"{type(value).__name__} is no JSON value"
    raise TypeError(msg)


def plain_values(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A mapping as JSON holds it: finite numbers, texts, lists, dictionaries, at most 1 MB.

    Raises
    ------
    InvalidRequest
        When there is anything that JSON or a database cannot hold, or too much.
    """
    if isinstance(values, dict) and not values:
        return {}
    hint = "Pass finite numbers, texts, lists and dictionaries."
    try:
        text = json.dumps(dict(values), allow_nan=False, default=unwrapped, ensure_ascii=False)
        size_bytes = len(text.encode())
        plain: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:  # half a surrogate pair is a ValueError
        msg = f"The {what} hold something that JSON cannot: {error}."
        raise InvalidRequest(msg, hint=hint) from error
    if size_bytes > VALUES_BYTES_MAX:
        msg = f"The {what} take {size_bytes:,} bytes; the limit is {VALUES_BYTES_MAX:,}."
        raise InvalidRequest(msg, hint="Store large values as an artifact.")
    if "\\u0000" in text:
        msg = f"The {what} hold a NUL character, which databases cannot."
        raise InvalidRequest(msg)
    return plain

"""Whether front matter that a person wrote can be YAML: faults that every parser refuses, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

__all__ = ["front_matter_fault"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f]")
_SPECIAL_START = "\"'?!&*[]{}|>%@`,"
_ENTRY = re.compile(r"(.+?):(?:[ \t]+(.*))?$")
_NESTED_ENTRY = re.compile(r"[ ]+[\w-]+:(?: |$)")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_QUOTED = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')(?P<rest>.*)""")
_CLOSING = {"[": "]", "{": "}", '"': '"', "'": "'"}


def front_matter_fault(front: str) -> str:
    """What is certainly wrong with front matter, and where; empty where nothing is found.

    Looked at are control characters, and lines that begin at the margin: each must be ``key: value``, a comment, or
    an item below a key without a value, and what stands behind a key must be a value. What is nested is hardly
    looked into, and nothing behind quotes or brackets over several lines.
    """
    found = _CONTROL.search(front)
    if found:
        return f"line {front.count(chr(10), 0, found.start()) + 1} has a control character"
    lines = front.split("\n")
    above = ""  # the value of the last key at the margin
    for at, line in enumerate(lines):
        bare = _COMMENT.sub("", line).rstrip()
        if not bare:
            continue
        if line[0] in " \t":
            if above and above[0] not in _SPECIAL_START and _NESTED_ENTRY.match(bare):
                return f"line {at + 1} is a key below a key that has a value already"
            continue
        if bare == "-" or line.startswith("- "):
            if above or not at:
                return f"line {at + 1} is an item below no key"
            continue
        entry = _ENTRY.match(bare)
        if entry is None:
            return (
                ""
                if line[0] in _SPECIAL_START or line.startswith("...")
                else f"line {at + 1} is not of the form 'key: value'"
            )
        if entry[1][0] in _SPECIAL_START:
            return ""
        above = (entry[2] or "").strip()
        fault = _value_fault(above, islice(lines, at + 1, None))
        if fault:
            return f"line {at + 1} {fault}"
        if _goes_on(above):
            return ""
    return ""


def _value_fault(value: str, below: Iterable[str]) -> str:
    first = value[:1]
    if first in ("@", "`", "%", ",", "]", "}") and first:
        return f"begins its value with {first}, which only a text in quotation marks may"
    if value.startswith("- "):
        return "has an item behind its key"
    if first in _CLOSING and first:
        quoted = _QUOTED.fullmatch(value)
        if quoted and quoted["rest"].strip():
            return "goes on behind the closing quotation mark"
        if _CLOSING[first] not in value[1:] and not any(_CLOSING[first] in line for line in below):
            return f"opens {first} and never closes it"
        return ""
    if first not in _SPECIAL_START and (": " in value or value.endswith(":")):
        return "has a second colon: a value with one is put in quotation marks"
    return ""


def _goes_on(value: str) -> bool:
    """Whether a value may reach over the following lines, at the margin too."""
    if value[:1] in ("'", '"'):
        return _QUOTED.fullmatch(value) is None
    return value[:1] in ("[", "{", "!", "&", "*", "?")

"""YAML of plain values, as front matter needs it: written so that every parser reads the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chopmark.base.jsons import encode

__all__ = ["yaml_text"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
# Words that some version of YAML takes for something else than a text.
_SPOKEN_FOR = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"))
_ESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def yaml_text(values: Mapping[str, Any]) -> str:
    """Lines of YAML: texts, numbers, truth values, lists and mappings of them, nothing empty."""
    return "".join(_mapping(values, ""))


def _mapping(values: Mapping[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        name = f"{indent}{_text(key)}:"
        if isinstance(value, Mapping):
            lines += [f"{name}\n", *_mapping(value, indent + "  ")]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines += [f"{name}\n", *_items(value, indent)]
        else:
            lines.append(f"{name} {_scalar(value)}\n")
    return lines


def _items(values: Sequence[Any], indent: str) -> list[str]:
    lines: list[str] = []
    for value in values:
        if isinstance(value, Mapping):
            inside = _mapping(value, indent + "  ")
            lines += [f"{indent}- {inside[0].removeprefix(indent + '  ')}", *inside[1:]]
        else:
            lines.append(f"{indent}- {_scalar(value)}\n")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 takes an exponent for one only behind a point.
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    return str(value) if isinstance(value, int) else _text(str(value))


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _SPOKEN_FOR:
        return text
    quoted = encode(text).decode()
    return _ESCAPED.sub(lambda c: f"\\u{ord(c[0]):04x}", quoted)

"""Standard streams as a shell may hand them over: closed, or in an encoding that lacks characters."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import TextIO

__all__ = ["make_usable"]

_ESCAPES = "chopmark-escapes"


def make_usable() -> None:
    r"""Make standard streams ones that every answer can be written to.

    A stream that is closed (``>&-``) swallows what is written to it, and its number is taken, so that no file
    of the registry is opened under it. A character that a stream's encoding lacks is written as ``\uXXXX``,
    with surrogate pairs: what is JSON stays the same JSON.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, and so this one
    codecs.register_error(_ESCAPES, _escaped)
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    sys.stdout = _lenient(sys.stdout)
    sys.stderr = _lenient(sys.stderr)


def _lenient(stream: TextIO | None) -> TextIO:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ESCAPES)
    return stream


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end

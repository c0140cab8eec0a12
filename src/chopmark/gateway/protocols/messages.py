"""What the Open Inference Protocol sends, as JSON has it; what is not known of it is left aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

__all__ = ["AnsweredTensor", "BinaryWanted", "SentRequest", "SentTensor", "WantedOutput"]


class SentTensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor of a request: its elements are ``data``, or so many bytes after the JSON as a parameter says."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class WantedOutput(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class SentRequest(msgspec.Struct, frozen=True):
    """A request; what is not known of it is left aside."""

    inputs: list[SentTensor]
    outputs: list[WantedOutput] | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


class BinaryWanted(NamedTuple):
    """Which outputs are wanted as bytes: those that are named, and all others or not."""

    named: Mapping[str, bool]
    others: bool


class AnsweredTensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tensor of an answer."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: list[Any] | None = None
    parameters: dict[str, int] | None = None

"""A provider's answer on its way to the client: read for what it used and who served, changed as little as possible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from chopmark.base.jsons import decoder, encode
from chopmark.domain.llm import TokenUsage
from chopmark.gateway.chat.events import DONE, data_of, event_of
from chopmark.gateway.chat.judging import UpstreamFailed, judged_broken, judged_reported

__all__ = ["Relayed"]

_USAGE = "usage"
_USAGE_WORD = b'"usage"'
_NOT_TEXT = frozenset(("role", "id", "type"))
_TOKENS_MAX = 1_000_000_000

_read = decoder(object)
_read_raw = decoder(dict[str, Raw])


class Relayed:
    """One answer, as it goes by.

    Parameters
    ----------
    provider, key
        Who answers, and what of theirs must not be shown.
    model
        What was asked for; stands for the model's name where the answer has none.
    wants_usage
        Whether the client is to see the tokens used in a stream.

    Attributes
    ----------
    model
        Which model served, as the provider says.
    usage
        Tokens, where the provider said.
    text_bytes
        Length of the texts that came.
    has_data
        Whether anything of the answer itself came.
    is_finished
        Whether all of it did.
    may_end
        Whether the model said that it had ended, so that a stream without the mark of the end may end here.
    """

    def __init__(self, provider: str, key: str, model: str, *, wants_usage: bool) -> None:
        self._provider = provider
        self._key = key
        self._wants_usage = wants_usage
        self.model = model
        self.usage: TokenUsage | None = None
        self.text_bytes = 0
        self.has_data = False
        self.is_finished = False
        self.may_end = False

    def whole(self, body: bytes) -> bytes:
        """What the client gets of an answer in one piece.

        Raises
        ------
        UpstreamFailed
            When it is none.
        """
        value = self._value(body)
        choices = value.get("choices")
        if not isinstance(choices, list):
            raise judged_broken(self._provider, "answered something else than a completion")
        self._note(value, "message")
        self.has_data = self.is_finished = True
        return body if self._says_model(value) else self._with_model(body)

    def passed(self, event: bytes) -> bytes:
        """What the client gets of an event of a stream; maybe nothing.

        Raises
        ------
        UpstreamFailed
            When it reports an error, or is no piece of a completion.
        """
        data = data_of(event)
        if data is None:
            return event
        if data.strip() == DONE:
            self.has_data = self.is_finished = True
            return event
        value = self._value(data)
        self._note(value, "delta")
        self.has_data = True
        drops_usage = not self._wants_usage and _USAGE_WORD in data and _USAGE in value
        if drops_usage and value[_USAGE] is not None and value.get("choices") == []:
            return b""
        if not self._says_model(value):
            data = self._with_model(data)
        elif not drops_usage:
            return event
        return event_of(_without_usage(data) if drops_usage else data)

    def passed_all(self, events: Iterable[bytes]) -> tuple[bytes, UpstreamFailed | None]:
        """What the client gets of several events, and the failure that ends them, if one does."""
        passed: list[bytes] = []
        for event in events:
            try:
                passed.append(self.passed(event))
            except UpstreamFailed as failure:
                return b"".join(passed), failure
        return b"".join(passed), None

    def _value(self, data: bytes) -> dict[str, Any]:
        try:
            value = _read(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise judged_broken(self._provider, "answered something that is no JSON") from None
        if not isinstance(value, dict):
            raise judged_broken(self._provider, "answered something else than a completion")
        if value.get("error"):
            raise judged_reported(self._provider, value["error"], self._key)
        return value

    def _note(self, value: dict[str, Any], part: str) -> None:
        if self._says_model(value):
            self.model = value["model"]
        if isinstance(value.get(_USAGE), dict):
            self.usage = _usage_in(value[_USAGE]) or self.usage
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            self.may_end = self.may_end or isinstance(choice.get("finish_reason"), str)
            if isinstance(choice.get(part), dict):
                self.text_bytes += _text_bytes(choice[part])

    @staticmethod
    def _says_model(value: dict[str, Any]) -> bool:
        model = value.get("model")
        return isinstance(model, str) and model != ""

    def _with_model(self, data: bytes) -> bytes:
        return encode({**_read_raw(data), "model": self.model})


def _without_usage(data: bytes) -> bytes:
    fields = _read_raw(data)
    fields.pop(_USAGE, None)
    return encode(fields)


def _usage_in(said: dict[str, Any]) -> TokenUsage | None:
    counts = [said.get("prompt_tokens"), said.get("completion_tokens", 0)]
    numbers = [n for n in counts if isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= _TOKENS_MAX]
    return TokenUsage(numbers[0], numbers[1]) if len(numbers) == len(counts) else None


def _text_bytes(part: dict[str, Any]) -> int:
    """Length of what a model wrote: text, thoughts, and arguments of tools."""
    size_bytes = 0
    for name, value in part.items():
        if name in _NOT_TEXT:
            continue
        if isinstance(value, str):
            size_bytes += len(value.encode("utf-8", "replace"))
        elif isinstance(value, dict):
            size_bytes += _text_bytes(value)
        elif isinstance(value, list):
            size_bytes += sum(_text_bytes(each) for each in value if isinstance(each, dict))
    return size_bytes

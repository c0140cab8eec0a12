"""What a client of chat completions sends, and what its model's provider is sent for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Raw

from chopmark.base.jsons import decode, decoder, encode
from chopmark.domain.llm import LlmConfig
from chopmark.errors import InvalidRequest

__all__ = ["OURS", "ChatRequest", "check_params", "read", "sent_for", "text_bytes"]

OURS = ("model", "messages", "stream")
"""Fields that a configuration's ``params`` may not set: they are the request's, or the configuration has a field for them."""

_LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")
"""Two names of one limit, of which providers take one at a time."""

_STREAM_OPTIONS = "stream_options"
_USAGE = "include_usage"


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: Any = None


class _Form(msgspec.Struct, frozen=True):
    model: str
    messages: list[Raw]
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None


class _Roles(msgspec.Struct, frozen=True):
    messages: Annotated[list[_Message], Meta(min_length=1)]


class ChatRequest(NamedTuple):
    """A request for a chat completion.

    Attributes
    ----------
    model
        The endpoint that is asked.
    stream
        Whether the answer is wanted in pieces, as it comes.
    wants_usage
        Whether the stream is to end with the tokens that were used.
    stream_options
        As they were sent.
    fields
        All of the body's fields, as they were sent.
    """

    model: str
    stream: bool
    wants_usage: bool
    stream_options: Mapping[str, Any] | None
    fields: Mapping[str, Raw]


def read(body: bytes) -> ChatRequest:
    """Read a request as far as the gateway has to understand it; what else is wrong with it, the model's provider says.

    Raises
    ------
    InvalidRequest
        When it is no JSON, or names no model, or has no messages with roles.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: {error.reason} at byte {error.start:,}.") from None
    form = decode(body, _Form)
    if not form.messages:
        raise InvalidRequest("There are no messages.", hint='Send at least one: {"role": "user", "content": "…"}.')
    decode(body, _Roles)
    options = form.stream_options
    wants_usage = options is not None and options.get(_USAGE) is True
    return ChatRequest(form.model, form.stream is True, wants_usage, options, decode(body, dict[str, Raw]))


def check_params(config: LlmConfig) -> None:
    """Refuse a configuration whose ``params`` set what is not theirs to set.

    Raises
    ------
    InvalidRequest
        Which.
    """
    wrong = [name for name in OURS if name in config.params]
    if wrong:
        msg = f"The configuration's params hold {', '.join(wrong)}, which a request says."
        raise InvalidRequest(msg, hint="Register a version of the configuration without them.")
    options = config.params.get(_STREAM_OPTIONS)
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("The configuration's stream_options are no mapping.", hint="Use null to send none.")


def sent_for(request: ChatRequest, config: LlmConfig) -> bytes:
    """The body that the provider is sent.

    The configuration's sampling, length and ``params`` stand where the request says nothing, its model always, and its system prompt
    before all messages. Where the answer is streamed, the tokens used are asked for.
    """
    fields: dict[str, Any] = {**_defaults(config), **request.fields}
    if any(name in request.fields for name in _LENGTH_FIELDS):
        for name in _LENGTH_FIELDS:
            if name not in request.fields:
                fields.pop(name, None)
    fields["model"] = config.model
    fields["messages"] = _with_prompt(request.fields["messages"], config.system_prompt)
    if request.stream:
        fields.pop(_STREAM_OPTIONS, None)
        options = _stream_options(request, config)
        if options:
            fields[_STREAM_OPTIONS] = options
    return encode(fields)


def _defaults(config: LlmConfig) -> dict[str, Any]:
    named = {"temperature": config.temperature, "top_p": config.top_p, "max_tokens": config.max_tokens}
    params = {name: value for name, value in config.params.items() if name != _STREAM_OPTIONS}
    return {**params, **{name: value for name, value in named.items() if value is not None}}


def _with_prompt(messages: Raw, prompt: str) -> Raw:
    """The messages with the configuration's prompt first, and otherwise byte for byte as they were sent."""
    if not prompt:
        return messages
    first = encode({"role": "system", "content": prompt})
    return Raw(b"[" + first + b"," + bytes(messages).lstrip()[1:])


def _stream_options(request: ChatRequest, config: LlmConfig) -> dict[str, Any]:
    sent = dict(request.stream_options or {})
    if _STREAM_OPTIONS in config.params:
        return {**(config.params[_STREAM_OPTIONS] or {}), **sent}
    return {**sent, _USAGE: True}


_messages = decoder(list[_Message])


def text_bytes(request: ChatRequest, config: LlmConfig) -> int:
    """Length of all texts that were asked with, for a guess at their tokens; of pictures and sounds nothing."""
    size_bytes = len(config.system_prompt.encode())
    for message in _messages(bytes(request.fields["messages"])):
        parts = message.content if isinstance(message.content, list) else [{"text": message.content}]
        texts = (part.get("text") for part in parts if isinstance(part, dict))
        size_bytes += sum(len(text.encode("utf-8", "replace")) for text in texts if isinstance(text, str))
    return size_bytes

"""Language models behind endpoints: ``/v1/chat/completions`` is asked of providers that speak OpenAI's protocol.

`asked` reads a request and makes what its provider is sent, `relaying` reads the answer as it goes by, `judging` decides what a failure
means, all without I/O. `chat` asks, `upstream` is HTTP, `outgoing` and `replies` are the client's side. `targets` and `providers` say who
is asked, and where they are.
"""

from __future__ import annotations

from chopmark.gateway.chat.answered import ChatOutcome, Reply, refused
from chopmark.gateway.chat.asked import ChatRequest, read
from chopmark.gateway.chat.limits import ChatLimits
from chopmark.gateway.chat.listing import listed, listed_one
from chopmark.gateway.chat.opening import open_chat
from chopmark.gateway.chat.providers import Provider, providers_of
from chopmark.gateway.chat.replies import SentReply

__all__ = [
    "ChatLimits",
    "ChatOutcome",
    "ChatRequest",
    "Provider",
    "Reply",
    "SentReply",
    "listed",
    "listed_one",
    "open_chat",
    "providers_of",
    "read",
    "refused",
]

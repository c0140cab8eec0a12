"""What a client of chat completions gets: an answer in pieces, or an error as OpenAI's clients read it."""

from __future__ import annotations

from math import ceil
from typing import Literal, NamedTuple, Protocol

from chopmark.base.jsons import encode
from chopmark.errors import ChopmarkError
from chopmark.gateway.protocols.asked import Answered
from chopmark.ops.http import status_of

__all__ = ["JSON", "ChatOutcome", "Headers", "OutcomeClass", "Problem", "Reply", "refused"]

JSON = b"application/json"
Headers = tuple[tuple[bytes, bytes], ...]
OutcomeClass = Literal["answered", "client", "model", "timeout", "refused", "gone"]

RETRY_AFTER_S = 1

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_SERVERS_OWN = 500
_SAID_WHEN_TO_TRY_AGAIN = (429, 503)


class Reply(Protocol):
    """Where an answer goes. Each call returns when what was sent before has gone far enough for more."""

    async def start(self, status: int, content_type: bytes, headers: Headers) -> None:
        """Begin the answer, once."""
        ...

    async def piece(self, piece: bytes) -> None:
        """Send a piece of its body."""
        ...

    async def end(self) -> None:
        """End it."""
        ...

    async def gone(self) -> None:
        """Return when the client has gone away."""
        ...


class ChatOutcome(NamedTuple):
    """What became of a request.

    Attributes
    ----------
    status_class
        ``answered``; ``client``, when the provider refused what was asked; ``model``, when it failed; ``timeout``; ``refused``, when too
        many were waiting, or the provider could not be reached or had too much to do; ``gone``, when the client went away before the
        answer had ended.
    status
        What the client was told, 0 for nothing.
    input_tokens, output_tokens, is_estimated
        As the provider says; otherwise guessed.
    cost_usd
        By the configured prices, None where there are none.
    served_model
        The model that really answered, as its provider calls it; empty when none did.
    fell_back
        Whether it was not the one that is asked first.
    response_bytes
        Of the body that was sent.
    """

    status_class: OutcomeClass
    status: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    served_model: str = ""
    fell_back: bool = False
    is_estimated: bool = False
    response_bytes: int = 0


class Problem(NamedTuple):
    """An error as OpenAI's clients read it.

    Attributes
    ----------
    status
        Of HTTP.
    message, code, param
        What happened; what programs know it by; which field of the request it concerns.
    type
        OpenAI's word for errors of this kind; made of the status when empty.
    retry_after_s
        When to try again.
    """

    status: int
    message: str
    code: str | None
    param: str | None = None
    type: str = ""
    retry_after_s: float | None = None

    @property
    def body(self) -> bytes:
        """As JSON."""
        kind = self.type or _TYPES.get(
            self.status, "server_error" if self.status >= _SERVERS_OWN else "invalid_request_error"
        )
        return encode({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})

    @property
    def headers(self) -> Headers:
        """When to try again."""
        if self.retry_after_s is None and self.status not in _SAID_WHEN_TO_TRY_AGAIN:
            return ()
        after_s = RETRY_AFTER_S if self.retry_after_s is None else self.retry_after_s
        return ((b"retry-after", b"%d" % max(1, ceil(after_s))),)


def refused(error: ChopmarkError) -> tuple[int, Answered]:
    """The answer to a request that the gateway itself refuses."""
    words = f"{error.message} {error.hint}".strip()
    problem = Problem(
        status_of(error),
        words,
        error.code,
        error.details.get("param"),
        retry_after_s=error.details.get("retry_after_s"),
    )
    headers = problem.headers
    if problem.status == 401:  # noqa: PLR2004
        headers = (*headers, (b"www-authenticate", b'Bearer realm="chopmark"'))
    return problem.status, Answered(JSON, headers, problem.body)

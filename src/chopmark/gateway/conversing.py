"""``/v1``: endpoints of language models, as OpenAI's clients ask them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from chopmark.domain.outcomes import Spending
from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound, TooLarge, Unavailable
from chopmark.gateway.callers import Caller
from chopmark.gateway.chat import ChatOutcome, SentReply, listed, listed_one, read, refused
from chopmark.gateway.entrance import Entrance, Headers
from chopmark.gateway.protocols.asked import Answered
from chopmark.gateway.router import Route, Router, Serving
from chopmark.gateway.telling import LOGGER

if TYPE_CHECKING:
    from chopmark.gateway.chat.chat import Chat
    from chopmark.gateway.chat.replies import Receive, Send

__all__ = ["COMPLETIONS", "PREFIX", "Conversing"]

PREFIX = "/v1/"
COMPLETIONS = "/v1/chat/completions"

_MODELS = "/v1/models"
_BODY_BYTES_MAX = 16 << 20
_NS_PER_MS = 1_000_000
_JSON = b"application/json"


class Conversing:
    """Answers what is asked below ``/v1``.

    Parameters
    ----------
    router
        What it deals by.
    entrance
        Who may come in, and who answers them.
    """

    def __init__(self, router: Router, entrance: Entrance) -> None:
        self._router = router
        self._entrance = entrance

    async def complete(
        self,
        headers: Headers,
        reads: Callable[[int], Awaitable[bytes]],
        receive: Receive,
        send: Send,
        sequence: int,
    ) -> None:
        """Answer a request for a completion.

        Raises
        ------
        ChopmarkError
            When it is refused before anything was sent.
        """
        if not self._has_open_ones():
            self._entrance.check_known(headers)  # which endpoint is meant stands in the body
        body = await reads(_BODY_BYTES_MAX)
        begun_ns = time.perf_counter_ns()
        request = read(body)
        route, caller = self._route(request.model, headers)
        if len(body) > route.config.body_bytes_max:
            raise TooLarge(
                f"The body is longer than {route.config.body_bytes_max:,} bytes.", hint="Send less at a time."
            )
        serving, has_key = self._entrance.dealt(route, headers, body, caller, sequence=sequence)
        request_id = serving.ids.made(time.time_ns() // _NS_PER_MS, sequence)
        reply = SentReply(receive, send, (*serving.head, (b"x-chopmark-request-id", request_id.encode())))
        serving.held.in_flight += 1
        try:
            outcome = await cast("Chat", serving.held.running).complete(request, reply)
        finally:
            serving.held.in_flight -= 1
        _record(serving, outcome, time.perf_counter_ns() - begun_ns, len(body), has_key=has_key)

    def tell(self, path: str, headers: Headers) -> tuple[int, Answered]:
        """The models that there are, or one.

        Raises
        ------
        ChopmarkError
            When there is nothing to tell.
        """
        if path == _MODELS:
            return 200, Answered(_JSON, (), listed(route.endpoint for route in self._seen(headers)))
        if path.startswith(_MODELS + "/"):
            route, _ = self._route(path.removeprefix(_MODELS + "/"), headers)
            return 200, Answered(_JSON, (), listed_one(route.endpoint))
        raise NotFound(f"There is nothing at {path[:200]}.", hint=f"Completions are asked for at {COMPLETIONS}.")

    def refused(self, error: Exception, path: str) -> tuple[int, Answered]:
        """The answer to what is refused, as OpenAI's clients read it."""
        if not isinstance(error, ChopmarkError):
            LOGGER.exception("A request to %s failed", path, exc_info=error)
            error = Unavailable("The answer could not be made.", hint="The gateway's log says more.")
        return refused(error)

    def _seen(self, headers: Headers) -> list[Route]:
        found = []
        for route in self._router.routes.values():
            try:
                self._entrance.caller(route.endpoint, headers)
            except ChopmarkError:
                continue
            if route.is_chat:
                found.append(route)
        return found

    def _has_open_ones(self) -> bool:
        return any(route.is_chat and route.config.access == "anybody" for route in self._router.routes.values())

    def _route(self, model: str, headers: Headers) -> tuple[Route, Caller]:
        """The endpoint that is meant, and who asks; of one that they may not call they learn nothing."""
        ref = model.removeprefix(f"{DEFAULT_PROJECT}/")
        route = self._router.routes.get(ref)
        routing = self._router.routing
        if route is None:
            if routing is None:
                raise Unavailable("This gateway has no routing yet: its control plane has not answered.")
            loading = next((endpoint for endpoint in routing.endpoints if endpoint.ref == ref), None)
            if loading is not None:
                self._entrance.caller(loading, headers)
                raise self._router.why_not_served(loading)
            self._entrance.check_known(headers)
            msg = f"There is no endpoint {ref[:200]} that you may call."
            raise NotFound(msg, hint=f"See them at {_MODELS}.", param="model")
        caller = self._entrance.caller(route.endpoint, headers)
        if not route.is_chat:
            raise InvalidRequest(f"{ref} is no language model.", hint=f"Ask it at /predict/{ref}.", param="model")
        return route, caller


def _record(serving: Serving, outcome: ChatOutcome, took_ns: int, request_bytes: int, *, has_key: bool) -> None:
    tally = serving.tally
    match outcome.status_class:
        case "answered":
            tally.answered(took_ns, 1, request_bytes, outcome.response_bytes, has_key=has_key)
        case "gone":
            tally.failed("client", request_bytes)
        case failure:
            tally.failed(failure, request_bytes)
    if outcome.input_tokens or outcome.output_tokens:
        spent = Spending(
            outcome.input_tokens, outcome.output_tokens, outcome.cost_usd or 0.0, 1 if outcome.fell_back else 0
        )
        tally.spent(spent)

"""What a gateway answers beside predictions: whether it is well, what its endpoints take, and why there is no prediction."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from chopmark.base.jsons import encode
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound, Unavailable
from chopmark.gateway.protocols import metadata
from chopmark.gateway.protocols.asked import Answered
from chopmark.gateway.protocols.description import described
from chopmark.gateway.protocols.errors import not_allowed, refused
from chopmark.gateway.protocols.metadata import Indexed
from chopmark.gateway.protocols.predictions import answered_samples
from chopmark.gateway.router import Route, Router

__all__ = ["FEEDBACK", "About", "Rights"]

FEEDBACK = "/feedback"
"""Where what turned out to be true is sent; see `chopmark.gateway.feedback`."""

Check = Callable[[Endpoint], None]

Told = tuple[int, Answered]
Reads = Callable[[], Awaitable[bytes]]

_NAME = r"(?P<name>[^/]+(?:/[^/]+)?)"
_MODEL = re.compile(rf"/v2/models/{_NAME}(?:/versions/(?P<number>[^/]+))?")
_READY = re.compile(rf"{_MODEL.pattern}/ready")
_PREDICTS = tuple(
    re.compile(pattern)
    for pattern in (rf"{_MODEL.pattern}/infer", rf"/predict/{_NAME}", rf"/endpoints/{_NAME}/invocations")
)
_SAMPLES = re.compile(rf"/endpoints/{_NAME}/samples")
_JSON = b"application/json"
_GET, _POST = ("GET", "HEAD"), ("POST",)
_TOLD = frozenset(("/v2", "/v2/health/live", "/v2/health/ready", "/v2/openapi.json", "/ping"))
_INDEXES = frozenset(("/v2/models", "/v2/repository/index"))


class Rights(NamedTuple):
    """What whoever asks may know.

    Attributes
    ----------
    known
        Raises a `ChopmarkError` when they are nobody who may call anything.
    sees, governs
        Raise one when they may not know of an endpoint; when they may not see what others asked it.
    """

    known: Callable[[], None]
    sees: Check
    governs: Check


class About:
    """Answers what is no prediction.

    Parameters
    ----------
    router
        What is told of.
    release
        Of the package.
    """

    def __init__(self, router: Router, release: str) -> None:
        self._router = router
        self._release = release

    async def answer(self, method: str, path: str, reads: Reads, rights: Rights) -> Told:
        """The answer, and its status.

        Raises
        ------
        ChopmarkError
            When there is none.
        """
        allowed = _methods_of(path.rstrip("/"))
        if allowed and method not in allowed:
            return not_allowed(method, allowed)
        sees = rights.sees
        match path.rstrip("/"):
            case "/v2":
                return 200, metadata.server_metadata(self._release)
            case "/v2/health/live" | "/ping":
                return metadata.live(is_live=True)
            case "/v2/health/ready":
                return metadata.ready(self._is_ready())
            case "/v2/models" | "/v2/repository/index":
                body = await reads() if method == "POST" else b""
                lines = self._lines(sees)
                return 200, metadata.repository_index(lines, ready_only=metadata.wants_ready_only(body))
            case "/v2/openapi.json":
                names = [line.name for line in self._lines(sees)]
                return 200, Answered(_JSON, (), encode(described(self._release, sorted(set(names)))))
            case "/invocations":
                raise NotFound(
                    "This path names no endpoint, and there is not exactly one.",
                    hint="Send it to /endpoints/{endpoint}/invocations.",
                )
            case _:
                return self._of_one(method, path, rights)

    def _of_one(self, method: str, path: str, rights: Rights) -> Told:
        found = _SAMPLES.fullmatch(path)
        if found is not None and method in _GET:
            return 200, self._samples(self._route(found["name"], rights, rights.governs))
        found = _READY.fullmatch(path)
        if found is not None:
            return metadata.model_ready(found["name"], self._serves(found["name"], found["number"], rights))
        for pattern in _PREDICTS:
            found = pattern.fullmatch(path)
            if found is not None:
                raise self._why_not(found["name"], rights)
        found = _MODEL.fullmatch(path)
        if found is None or method not in _GET:
            raise NotFound(f"There is nothing at {path[:200]}.", hint="Endpoints are at /v2/models/{endpoint}.")
        route = self._route(found["name"], rights)
        if route.is_chat:
            raise InvalidRequest(f"{route.endpoint.ref} is a language model.", hint="Ask it at /v1/chat/completions.")
        serving = route.serving[0] if found["number"] is None else route.by_number.get(found["number"])
        if serving is None:
            raise NotFound(f"{route.endpoint.ref} does not serve the version {found['number']}.")
        return 200, metadata.model_metadata(route.endpoint.ref, list(route.by_number), serving.execution.layout)

    def _samples(self, route: Route) -> Answered:
        if route.samples is None:
            raise NotFound(f"Of {route.endpoint.ref} no samples are kept.", hint="Set its sample_share above 0.")
        return answered_samples(route.samples, route.samples.gone)

    def _route(self, name: str, rights: Rights, check: Check | None = None) -> Route:
        route = self._router.routes.get(name.removeprefix(f"{DEFAULT_PROJECT}/"))
        if route is None:
            raise self._why_not(name, rights)
        (check or rights.sees)(route.endpoint)
        return route

    def _serves(self, name: str, number: str | None, rights: Rights) -> bool:
        try:
            route = self._route(name, rights)
        except Unavailable:
            return False
        if number is not None and number not in route.by_number:
            raise NotFound(f"{route.endpoint.ref} does not serve the version {number}.")
        return True

    def _why_not(self, name: str, rights: Rights) -> ChopmarkError:
        """Why a request for a prediction gets none, when its path leads nowhere."""
        ref = name.removeprefix(f"{DEFAULT_PROJECT}/")
        route = self._router.routes.get(ref)
        if route is not None:
            rights.sees(route.endpoint)
            if route.is_chat:
                return InvalidRequest(f"{ref} is a language model.", hint="Ask it at /v1/chat/completions.")
            return NotFound(f"{ref} does not serve that version.", hint=f"It serves {', '.join(route.by_number)}.")
        routing = self._router.routing
        if routing is None:
            return Unavailable("This gateway has no routing yet: its control plane has not answered.")
        loading = next((endpoint for endpoint in routing.endpoints if endpoint.ref == ref), None)
        if loading is None:
            rights.known()  # else who has no token would learn what there is
        else:
            rights.sees(loading)
            return self._router.why_not_served(loading)
        return NotFound(
            f"There is no endpoint {ref[:200]} that you may call.", hint="See them with: chopmark endpoint list"
        )

    def _is_ready(self) -> bool:
        routing = self._router.routing
        return routing is not None and all(endpoint.ref in self._router.routes for endpoint in routing.endpoints)

    def _lines(self, sees: Check) -> Iterator[Indexed]:
        for ref, route in sorted(self._router.routes.items()):
            try:
                sees(route.endpoint)
            except ChopmarkError:
                continue
            for serving in route.serving:
                yield Indexed(ref, str(serving.variant.version.number), "READY")

    @staticmethod
    def refused(error: ChopmarkError) -> Told:
        """The answer to a question that has none."""
        return refused(error)


def _methods_of(path: str) -> tuple[str, ...]:
    """Methods that a path takes; none where it leads nowhere."""
    if path in ("/invocations", FEEDBACK) or any(pattern.fullmatch(path) for pattern in _PREDICTS):
        return _POST
    if path in _INDEXES:
        return (*_GET, *_POST)
    is_told = path in _TOLD or any(pattern.fullmatch(path) for pattern in (_READY, _SAMPLES, _MODEL))
    return _GET if is_told else ()

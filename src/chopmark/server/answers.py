"""What ops answer, as HTTP answers; pure."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, urlencode

from msgspec import structs

from chopmark.base.encodings import PACKED_FROM_BYTES, packed, preferred
from chopmark.base.jsons import encode
from chopmark.domain.versions import Model, Project
from chopmark.errors import ChopmarkError, IntegrityFailure, Unauthenticated, Unavailable
from chopmark.ops.http import PREFIX, Problem, etag_of, is_created, problem_of
from chopmark.ops.results import Registered
from chopmark.ops.table import Op
from chopmark.server.exchange import Answer, Exchange

__all__ = ["answer_of", "failure_of", "json_answer", "refusal"]

_JSON = "application/json"
_PROBLEM = "application/problem+json"
RETRY_AFTER_S = 1
_BRINGING_BYTES = frozenset(("blob.put", "blob.assemble", "blob.arrived", "version.register", "version.import"))
"""Where bytes that are not what they should be are the fault of who sent or named them, and none of the server's."""


def answer_of(op: Op, found: object, exchange: Exchange) -> Answer:
    """The answer to a call that went well."""
    body = encode(found)
    headers = {"content-type": _JSON, "vary": "accept-encoding", "cache-control": "private, no-cache"}
    if op.method == "GET":
        headers["etag"] = etag_of(body)
        if _is_known(exchange.header("if-none-match"), headers["etag"]):
            return Answer(304, headers, b"")
        cursor = getattr(found, "cursor", "")
        if cursor:
            headers["link"] = f'<{_next_page(exchange, cursor)}>; rel="next"'
    status = 200
    if is_created(op) and not (isinstance(found, Registered) and not found.created):
        status = 201
        place = _place(found)
        if place:
            headers["location"] = PREFIX + place
    if len(body) >= PACKED_FROM_BYTES and (encoding := preferred(exchange.header("accept-encoding"))):
        body = packed(body, encoding)
        headers["content-encoding"] = encoding
    return Answer(status, headers, body)


def json_answer(value: object) -> Answer:
    """The answer of a route that is no op's."""
    return Answer(200, {"content-type": _JSON, "cache-control": "private, no-cache"}, encode(value))


def failure_of(error: ChopmarkError, exchange: Exchange) -> Answer:
    """The answer to a call that was refused or failed."""
    problem = problem_of(error, exchange.request_id)
    if isinstance(error, IntegrityFailure) and exchange.op in _BRINGING_BYTES:
        problem = structs.replace(problem, status=HTTPStatus.UNPROCESSABLE_ENTITY.value)
    headers = {"content-type": _PROBLEM, "cache-control": "no-store"}
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(error.details.get("retry_after_s", RETRY_AFTER_S))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="chopmark"'
    return Answer(problem.status, headers, encode(problem))


def refusal(exchange: Exchange, methods: Collection[str]) -> Answer:
    """The answer to a method that is none of a path's; to OPTIONS, which those are."""
    allowed = {*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())}
    headers = {"allow": ", ".join(sorted(allowed)), "cache-control": "no-store"}
    if exchange.method == "OPTIONS":
        return Answer(204, headers, b"")
    problem = Problem(
        type="about:blank",
        title="method not allowed",
        status=405,
        detail=f"{exchange.method} is not for {exchange.place[:200]}.",
        code="invalid_request",
        hint=f"It takes {headers['allow']}.",
        request_id=exchange.request_id,
    )
    return Answer(405, headers | {"content-type": _PROBLEM}, encode(problem))


def _place(found: object) -> str:
    """Path of what was made, below the prefix; empty where it has none."""
    match found:
        case Registered(version=version):
            return f"/versions/{quote(version.ref, safe=':')}"
        case Model():
            return f"/models/{quote(found.ref, safe='')}"
        case Project():
            return f"/projects/{quote(found.name, safe='')}"
        case _:
            return ""


def _is_known(if_none_match: str, etag: str) -> bool:
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return etag in known or "*" in known


def _next_page(exchange: Exchange, cursor: str) -> str:
    rest = [pair for pair in parse_qsl(exchange.query, keep_blank_values=True) if pair[0] != "cursor"]
    return f"{PREFIX}{exchange.path}?{urlencode([*rest, ('cursor', cursor)])}"

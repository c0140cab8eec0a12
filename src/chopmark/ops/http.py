"""Requests and errors as HTTP carries them; both ends use this, so that neither can read what the other does not write.

The path names what is asked about. For GET and DELETE the query says the rest, as many proxies drop a body there; for the
other methods a body of JSON does. What has its default is left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple, get_origin, get_type_hints
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from chopmark.base.jsons import converted, decode, encode, explained
from chopmark.errors import ChopmarkError, Denied, InvalidRequest, Unavailable, from_code
from chopmark.ops.requests import Request
from chopmark.ops.results import Registered
from chopmark.ops.table import Op

__all__ = [
    "PREFIX",
    "HttpCall",
    "MissingBlobs",
    "PartsOfBlob",
    "Problem",
    "check_reply",
    "error_of",
    "etag_of",
    "from_http",
    "in_query",
    "is_created",
    "path_fields",
    "problem_of",
    "status_of",
    "statuses_of",
    "time_fields",
    "to_http",
]

PREFIX = "/api/v1"

_PLACE = re.compile(r"{(\w+)}")
_TIME = re.compile(r"[0-9]{4}-")


class HttpCall(NamedTuple):
    """A request on its way: the path is below `PREFIX` and percent-encoded, the body is JSON."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as it is sent (RFC 9457, with members of our own).

    Attributes
    ----------
    type, title, status, detail
        As in the RFC; ``detail`` says what happened and why.
    code
        Stable, one for each class of `chopmark.errors`.
    hint
        What to do next.
    request_id
        By which the server's log knows the request.
    details
        Facts for programs.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    request_id: str = ""
    details: dict[str, Any] = {}


class MissingBlobs(msgspec.Struct, frozen=True):
    """Digests that are asked about, and those of them that are not there."""

    digests: tuple[str, ...]


class PartsOfBlob(msgspec.Struct, frozen=True):
    """Digests of the blobs that make a blob, one behind the other."""

    parts: tuple[str, ...]


_STATUS = {
    "invalid_request": 400,
    "unauthenticated": 401,
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "precondition_failed": 412,
    "too_large": 413,
    "unsupported_media": 415,
    "gate_refused": 422,
    "rate_limited": 429,
    "integrity_failure": 500,
    "model_failed": 500,
    "unsupported": 501,
    "unavailable": 503,
    "queue_full": 503,
    "timed_out": 504,
    "model_timeout": 504,
}


def etag_of(body: bytes) -> str:
    """The strong entity tag of an answer's bytes, before they are packed."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def status_of(error: ChopmarkError) -> int:
    """Status of HTTP for an error; that of the nearest class above it for one that is not known here."""
    codes = (getattr(kind, "code", "") for kind in type(error).__mro__)
    return next((_STATUS[code] for code in codes if code in _STATUS), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_of(error: ChopmarkError, request_id: str = "") -> Problem:
    """An error as it is sent."""
    plain = decode(encode(error.details), dict[str, Any])
    return Problem(
        type=f"urn:chopmark:{error.code}",
        title=error.code.replace("_", " "),
        status=status_of(error),
        detail=error.message,
        code=error.code,
        hint=error.hint,
        request_id=request_id,
        details=plain,
    )


def error_of(problem: Problem) -> ChopmarkError:
    """The error that a problem tells of."""
    return from_code(problem.code)(problem.detail, hint=problem.hint, **problem.details)


def check_reply(status: int, body: bytes, where: str) -> None:
    """Raise the error that an answer tells of; one of ours when something on the way answered instead of the server."""
    if status >= HTTPStatus.BAD_REQUEST:
        raise _failure_in(status, body, where)


def _failure_in(status: int, body: bytes, where: str) -> ChopmarkError:
    try:
        return error_of(decode(body, Problem))
    except InvalidRequest:
        msg = f"{where} answered with the status {status} and no word of Chopmark's."
        hint = "Check the address: another server or a proxy may answer there."
        kind = Denied if status in (401, 403, 407) else Unavailable
        return kind(msg, hint=hint, status=status)


def is_created(op: Op) -> bool:
    """Whether what it answers may be a thing that was not there before."""
    return op.method == "POST" and (op.event or "").endswith((".created", ".registered", ".imported"))


def statuses_of(op: Op) -> tuple[int, ...]:
    """Statuses of the answers to calls that go well."""
    if op.result is Registered:
        return (HTTPStatus.OK, HTTPStatus.CREATED)
    return (HTTPStatus.CREATED,) if is_created(op) else (HTTPStatus.OK,)


def path_fields(op: Op) -> tuple[str, ...]:
    """Fields of the request that stand in the path, in its order."""
    return tuple(_PLACE.findall(op.path))


def in_query(op: Op) -> bool:
    """Whether what is not in the path stands in the query."""
    return op.method in ("GET", "DELETE")


def to_http(op: Op, request: Request) -> HttpCall:
    """A request as it is sent."""
    plain = msgspec.to_builtins(request)
    defaults = _defaults(op.request)
    places = {name: str(plain.pop(name)) for name in path_fields(op)}
    path = _PLACE.sub(lambda found: quote(places[found[1]], safe=":@^~"), op.path)
    said = {
        name: value
        for name, value in plain.items()
        if getattr(request, name) is not UNSET and (name not in defaults or getattr(request, name) != defaults[name])
    }
    if not in_query(op):
        return HttpCall(op.method, path, (), encode(said))
    return HttpCall(op.method, path, tuple(_pairs(said, _kinds(op.request))), b"")


def from_http(op: Op, places: Mapping[str, str], query: Sequence[tuple[str, str]], body: bytes) -> Request:
    """The request that was sent.

    Parameters
    ----------
    op
        Which one.
    places
        What stood in the path, decoded.
    query
        Names and texts of the query, decoded, in order.
    body
        JSON, or nothing.

    Raises
    ------
    InvalidRequest
        When something is unknown, missing, said twice, or not of its type.
    """
    if in_query(op):
        if body:
            raise InvalidRequest(
                f"{op.method} {op.path} takes no body.", hint="Say it in the query: " + ", ".join(_kinds(op.request))
            )
        said = _said(query, _kinds(op.request), op)
    else:
        if query:
            raise InvalidRequest(
                f"{op.method} {op.path} knows no {query[0][0]!r} in the query.", hint="Say it in the body, as JSON."
            )
        said = decode(body, dict[str, Any]) if body else {}
    twice = next((name for name in places if name in said), None)
    if twice is not None:
        raise InvalidRequest(f"{twice} stands in the path.", hint="Leave it out of the query and the body.")
    said.update(places)
    if "\0" in "".join(places.values()) or (b"\\u0000" in body and _holds_nul(said)) or "\0" in _all(query):
        raise InvalidRequest(f"{op.method} {op.path} holds the character NUL, which is kept nowhere.")
    if in_query(op):
        said = dict.fromkeys(_lists(op.request), ()) | said
        for name in time_fields(op.request) & said.keys():  # or else 0.5 would be a time in 1970
            if not _TIME.match(said[name]) and said[name] != "null":
                raise InvalidRequest(f"{name} is no time.", hint="Write it like 2026-11-22T12:00:00Z.")
    try:
        return converted(said, op.request, strict=not in_query(op))
    except (msgspec.ValidationError, RecursionError) as error:
        msg = f"The request of {op.name} is not valid: {explained(error, op.request)}."
        raise InvalidRequest(msg) from error


@cache
def _defaults(kind: type[Request]) -> dict[str, Any]:
    fields = msgspec.structs.fields(kind)
    made = {f.name: f.default_factory() for f in fields if f.default_factory is not msgspec.NODEFAULT}
    return {f.name: f.default for f in fields if f.default is not msgspec.NODEFAULT} | made


def _all(query: Sequence[tuple[str, str]]) -> str:
    return "".join(name + text for name, text in query)


def _holds_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


@cache
def time_fields(kind: type[Request]) -> frozenset[str]:
    """Fields that are times."""
    return frozenset(name for name, hint in get_type_hints(kind).items() if hint in (datetime, datetime | None))


@cache
def _lists(kind: type[Request]) -> tuple[str, ...]:
    """Lists that have to be said: in a query, where nothing is said of an empty one, it is said by that."""
    return tuple(name for name, how in _kinds(kind).items() if how == "many" and name not in _defaults(kind))


@cache
def _kinds(kind: type[Request]) -> dict[str, str]:
    """How each field stands in a query: ``one`` text, ``many`` of one name, or ``json``."""
    return {name: _kind(hint) for name, hint in get_type_hints(kind).items()}


def _kind(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (tuple, list):
        return "many"
    return "json" if origin is dict or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)) else "one"


def _pairs(said: Mapping[str, Any], kinds: Mapping[str, str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in said.items():
        if kinds[name] == "many":
            pairs += [(name, _text(each)) for each in value]
        else:
            pairs.append((name, encode(value).decode() if kinds[name] == "json" else _text(value)))
    return pairs


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, str) else encode(value).decode()


def _said(query: Sequence[tuple[str, str]], kinds: Mapping[str, str], op: Op) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, text in query:
        if kinds.get(name) == "many":
            said.setdefault(name, []).append(text)
        elif name in said:
            raise InvalidRequest(f"{name} is said twice in the query of {op.method} {op.path}.", hint="Say it once.")
        else:
            said[name] = decode(text, dict[str, Any]) if kinds.get(name) == "json" else text
    return said

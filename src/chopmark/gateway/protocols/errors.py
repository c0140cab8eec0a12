"""Errors as answers: a status, and what the protocol writes."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from math import ceil

import msgspec

from chopmark.base.jsons import encode
from chopmark.errors import ChopmarkError, InvalidRequest
from chopmark.gateway.protocols.asked import Answered
from chopmark.gateway.protocols.json_bodies import JSON
from chopmark.ops.http import status_of

__all__ = ["not_allowed", "refused", "refused_as_mlflow"]

RETRY_AFTER_S = 1
_TO_BE_SENT_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

# MLflow's own codes, which its clients know; any other status is an internal error to them.
_MLFLOW_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "INVALID_STATE",
    413: "REQUEST_LIMIT_EXCEEDED",
    415: "BAD_REQUEST",
    429: "REQUEST_LIMIT_EXCEEDED",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "TEMPORARILY_UNAVAILABLE",
}


class _Error(msgspec.Struct, frozen=True, omit_defaults=True):
    error: str
    code: str
    hint: str = ""


class _MlflowError(msgspec.Struct, frozen=True, omit_defaults=True):
    error_code: str
    message: str
    hint: str = ""


def refused(error: ChopmarkError) -> tuple[int, Answered]:
    """The answer to a request that is refused or failed: ``{"error", "code", "hint"}``."""
    return _answered(error, encode(_Error(error.message, error.code, error.hint)))


def refused_as_mlflow(error: ChopmarkError) -> tuple[int, Answered]:
    """The same as MLflow writes it: ``{"error_code", "message"}``."""
    known = _MLFLOW_CODES.get(status_of(error), "INTERNAL_ERROR")
    return _answered(error, encode(_MlflowError(known, error.message, error.hint)))


def not_allowed(method: str, allowed: Sequence[str]) -> tuple[int, Answered]:
    """The answer to a method that is none of a path's; to OPTIONS, which those are."""
    allow = ", ".join(sorted({*allowed, "OPTIONS"}))
    headers = ((b"allow", allow.encode()),)
    if method == "OPTIONS":
        return 200, Answered(JSON, headers, b"")
    told = _Error(f"{method[:20]} is not for this path.", InvalidRequest.code, f"It takes {allow}.")
    return 405, Answered(JSON, headers, encode(told))


def _answered(error: ChopmarkError, body: bytes) -> tuple[int, Answered]:
    status = status_of(error)
    headers: list[tuple[bytes, bytes]] = []
    if status in _TO_BE_SENT_AGAIN:
        retry_after_s = error.details.get("retry_after_s", RETRY_AFTER_S)
        headers.append((b"retry-after", b"%d" % max(1, ceil(retry_after_s))))
    elif status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="chopmark"'))
    return status, Answered(JSON, tuple(headers), body)

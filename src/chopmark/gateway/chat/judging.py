"""What it means that a model's provider did not answer as it should: what the client is told, and whether anybody is asked again."""

from __future__ import annotations

from typing import Any

import msgspec

from chopmark.base.jsons import decoder
from chopmark.gateway.chat.answered import OutcomeClass, Problem

__all__ = [
    "UpstreamFailed",
    "judged_broken",
    "judged_reported",
    "judged_status",
    "judged_too_late",
    "judged_unreachable",
    "pause_s",
]

MESSAGE_LENGTH_MAX = 2_000
PAUSE_FIRST_S, PAUSE_MAX_S = 0.25, 5.0

_CLIENTS = frozenset((400, 404, 413, 422))
_REPEATED = frozenset((429, 502, 503, 504))
_REFUSALS_OF_US = frozenset((401, 403))
_RATE_LIMITED, _BAD_GATEWAY, _UNAVAILABLE, _TIMEOUT = 429, 502, 503, 504

_read = decoder(object)


class UpstreamFailed(Exception):
    """A provider did not answer as it should.

    Parameters
    ----------
    problem
        What the client is told, if nobody else answers.
    status_class
        As what it counts.
    may_repeat
        Whether the same model may be asked again.
    may_fall_back
        Whether the next one may be asked.

    No message or cause of it comes from what was sent or received unseen: that could hold a key.
    """

    def __init__(
        self, problem: Problem, status_class: OutcomeClass, *, may_repeat: bool = False, may_fall_back: bool = True
    ) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.status_class: OutcomeClass = status_class
        self.may_repeat = may_repeat
        self.may_fall_back = may_fall_back


def judged_status(name: str, status: int, body: bytes, retry_after: str, key: str) -> UpstreamFailed:
    """What a status that is no success means.

    Parameters
    ----------
    name
        The provider's.
    status, body, retry_after
        Of its answer; the body as far as it was read.
    key
        What must not be shown, should the body repeat it.
    """
    if status in _CLIENTS:
        return UpstreamFailed(_passed_on(name, status, body, key), "client", may_fall_back=False)
    if status in _REFUSALS_OF_US:
        words = f"{name} does not let the gateway in ({status}): its key is missing, wrong or without rights."
        return UpstreamFailed(Problem(_BAD_GATEWAY, words, "upstream_denied"), "model")
    after_s = _seconds(retry_after)
    if status == _RATE_LIMITED:
        problem = Problem(status, f"{name} is asked too often.", "rate_limited", retry_after_s=after_s)
        return UpstreamFailed(problem, "refused", may_repeat=True)
    told = status if status in (_UNAVAILABLE, _TIMEOUT) else _BAD_GATEWAY
    problem = Problem(told, f"{name} answered {status}.", "upstream_failed", retry_after_s=after_s)
    status_class: OutcomeClass = {_UNAVAILABLE: "refused", _TIMEOUT: "timeout"}.get(told, "model")  # type: ignore[assignment]
    return UpstreamFailed(problem, status_class, may_repeat=status in _REPEATED)


def judged_unreachable(name: str, why: str, *, may_repeat: bool) -> UpstreamFailed:
    """There is no connection, so that nothing was asked."""
    return UpstreamFailed(
        Problem(_UNAVAILABLE, f"{name} cannot be reached: {why}.", "upstream_unavailable"),
        "refused",
        may_repeat=may_repeat,
    )


def judged_too_late(name: str, what: str, limit_s: float) -> UpstreamFailed:
    """Something did not come in time. It may be worked on still, so the same model is not asked again."""
    words = f"{name} did not {what} within {limit_s:g} s."
    return UpstreamFailed(Problem(_TIMEOUT, words, "upstream_timeout"), "timeout")


def judged_broken(name: str, what: str, *, may_repeat: bool = False) -> UpstreamFailed:
    """An answer came, and is none, or only half of one."""
    words = f"{name} {what}."
    return UpstreamFailed(Problem(_BAD_GATEWAY, words, "upstream_broken"), "model", may_repeat=may_repeat)


def judged_reported(name: str, error: object, key: str) -> UpstreamFailed:
    """A provider that said that all was well reports an error within the answer."""
    said = error.get("message") if isinstance(error, dict) else error
    words = f"{name} ended its answer with an error: {_shown(said, key)}" if isinstance(said, str) else None
    return UpstreamFailed(
        Problem(_BAD_GATEWAY, words or f"{name} ended its answer with an error.", "upstream_failed"), "model"
    )


def pause_s(attempt: int, retry_after_s: float | None, jitter: float) -> float | None:
    """How long to wait before a model is asked again; None when it wants to be left alone for longer than anybody would wait.

    Parameters
    ----------
    attempt
        How often it was asked again before.
    retry_after_s
        What it says itself.
    jitter
        Within 0 and 1: those who failed together do not come again together.
    """
    if retry_after_s is not None and retry_after_s > PAUSE_MAX_S:
        return None
    most_s = min(PAUSE_FIRST_S * 2.0**attempt, PAUSE_MAX_S)
    return (retry_after_s or 0.0) + most_s * (0.5 + jitter / 2)


def _passed_on(name: str, status: int, body: bytes, key: str) -> Problem:
    """The provider's words for a client's mistake, in OpenAI's form whatever its own is."""
    said = _error_in(body)
    message = said.get("message")
    words = _shown(message, key) if isinstance(message, str) and message else f"{name} refused the request ({status})."
    code, param, kind = said.get("code"), said.get("param"), said.get("type")
    return Problem(
        status,
        words,
        _shown(code, key) if isinstance(code, str) else None,
        _shown(param, key) if isinstance(param, str) else None,
        _shown(kind, key) if isinstance(kind, str) else "",
    )


def _error_in(body: bytes) -> dict[str, Any]:
    """OpenAI's ``{"error": {…}}``; also an error that stands by itself, and ``detail``, as frameworks have it."""
    try:
        value = _read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    error = value.get("error", value)
    if isinstance(error, str):
        return {"message": error}
    if not isinstance(error, dict):
        return {}
    if "message" not in error and "detail" in error:
        detail = error["detail"]
        return {"message": detail if isinstance(detail, str) else msgspec.json.encode(detail).decode()}
    return error


def _shown(text: str, key: str) -> str:
    masked = text.replace(key, "…") if key else text
    return masked if len(masked) <= MESSAGE_LENGTH_MAX else masked[:MESSAGE_LENGTH_MAX] + "…"


def _seconds(retry_after: str) -> float | None:
    """Seconds; a date, which nobody of these sends, counts as nothing."""
    try:
        after_s = float(retry_after)
    except ValueError:
        return None
    return after_s if 0 <= after_s <= 86_400 else None  # noqa: PLR2004 - a day; also what is no number

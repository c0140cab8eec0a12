"""Going on without a server that does not answer: what it said before of the versions that were loaded."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

from chopmark.errors import (
    Denied,
    IntegrityFailure,
    NotFound,
    OfflineAnswer,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from chopmark.ops.requests import GetManifest, Request
from chopmark.ops.table import BY_REQUEST
from chopmark.remote.known import Known, KnownAnswers, is_moving

__all__ = ["Remembering"]

_AWAY_FOR_S = 5.0
_CALLER = 7  # frames between the warning and the user's own line


class Remembering:
    """Asks a server, and remembers for when it does not answer.

    Parameters
    ----------
    known
        What it said before.
    where
        Its address, for people.
    """

    def __init__(self, known: KnownAnswers, where: str) -> None:
        self._known = known
        self._where = where
        self._away_until_s = 0.0
        self._away: Unavailable | None = None

    def asked(self, request: Request, ask: Callable[[Callable[[], bool]], Any]) -> Any:
        """The server's answer, or, of what a load asks, the one it gave before.

        A server that has not answered is not asked about what is known for some seconds, so that a load waits for it once;
        nor is it waited for, as one that restarts is, where something is known: ``ask`` is given what says whether to wait.

        Raises
        ------
        Unavailable
            When it does not answer, and nothing that counts is known.
        """
        writes = BY_REQUEST[type(request)].writes
        if not writes and self._away is not None and time.monotonic() < self._away_until_s:
            known = self._known.find(request)
            if known is not None:
                return self._told(request, known, self._away)
        try:
            answer = ask(lambda: writes or self._known.find(request) is None)
        except RateLimited:
            raise
        except Unavailable as error:
            self._away, self._away_until_s = error, time.monotonic() + _AWAY_FOR_S
            known = None if writes else self._known.find(request)
            if known is None:
                raise
            return self._told(request, known, error)
        except Unauthenticated:
            self._known.forget_all()
            raise
        except Denied:
            self._known.forget_model(request)
            raise
        except (NotFound, IntegrityFailure):
            self._known.forget(request)
            raise
        self._away = None
        self._learn(request, answer, writes=writes)
        return answer

    def _learn(self, request: Request, answer: object, *, writes: bool) -> None:
        if not writes:
            self._known.remember(request, answer)
        elif BY_REQUEST[type(request)].name != "version.register":  # it changes nothing of what was loaded
            self._known.forget_model(request)

    def _told(self, request: Request, known: Known, error: Unavailable) -> Any:
        if not isinstance(request, GetManifest) or is_moving(request):  # that of a version never changes
            what = request.ref  # type: ignore[attr-defined]
            msg = f"{error.message} What it said of {what} at {known.at:%Y-%m-%d %H:%M:%S} UTC is used."
            warnings.warn(msg, OfflineAnswer, stacklevel=_CALLER)
        return known.answer

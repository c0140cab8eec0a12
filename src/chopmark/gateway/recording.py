"""What requests come to, counted as they end: constant work for each, and totals of minutes for the reports."""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple
from uuid import UUID

from chopmark.domain.outcomes import Comparison, Spending

__all__ = ["Counts", "ErrorClass", "Tally", "TallyKey"]

ErrorClass = Literal["unreadable", "client", "model", "timeout", "refused"]

RATE_SECONDS = 10

_MANTISSA_BITS = 6
_MANTISSA = (1 << _MANTISSA_BITS) - 1
_ONE = (64 << _MANTISSA_BITS) + 1
"""The bin of 1 in `chopmark.stats.sketch`."""

_NEVER_NS = 1 << 62


class TallyKey(NamedTuple):
    """What is counted by itself."""

    endpoint_id: UUID
    version_id: UUID
    variant: str


class Counts(NamedTuple):
    """What a tally came to between two looks at it.

    Attributes
    ----------
    requests, rows, errors, without_key
        Requests that ended, rows of those that were answered, those that failed by their class, and those that said not for whom
        they asked.
    request_bytes, response_bytes
        Of their bodies.
    bins, least_ns, greatest_ns
        Latencies of those that were answered, in nanoseconds, by bins of `chopmark.stats.sketch`.
    dropped, compared
        Of a shadow: copies that it never got, and how its answers compare.
    spent
        Of a language model.
    """

    requests: int
    rows: int
    errors: dict[str, int]
    without_key: int
    request_bytes: int
    response_bytes: int
    bins: dict[int, int]
    least_ns: int
    greatest_ns: int
    dropped: int
    compared: Comparison
    spent: Spending


class Tally:
    """Counts the requests of one variant.

    Everything here happens on the event loop of the gateway; nothing is locked.
    """

    __slots__ = (
        "_bins",
        "_compared",
        "_dropped",
        "_errors",
        "_greatest_ns",
        "_least_ns",
        "_rates",
        "_request_bytes",
        "_requests",
        "_response_bytes",
        "_rows",
        "_spent",
        "_without_key",
    )

    def __init__(self) -> None:
        self._rates: deque[int] = deque(maxlen=RATE_SECONDS)
        self._begin()

    def _begin(self) -> None:
        self._requests = self._rows = self._without_key = self._request_bytes = self._response_bytes = 0
        self._least_ns, self._greatest_ns = _NEVER_NS, 0
        self._bins: dict[int, int] = {}
        self._errors: dict[str, int] = {}
        self._dropped = 0
        self._compared = Comparison()
        self._spent = Spending()

    def answered(
        self, took_ns: int, rows: int, request_bytes: int, response_bytes: int, *, has_key: bool = True
    ) -> None:
        """Count an answer, and how long it took: more than nothing."""
        self._requests += 1
        self._rows += rows
        self._request_bytes += request_bytes
        self._response_bytes += response_bytes
        if not has_key:
            self._without_key += 1
        power = took_ns.bit_length() - 1
        shift = power - _MANTISSA_BITS
        part = (took_ns >> shift if shift >= 0 else took_ns << -shift) & _MANTISSA
        place = (power << _MANTISSA_BITS) + part + _ONE
        bins = self._bins
        bins[place] = bins.get(place, 0) + 1
        self._greatest_ns = max(self._greatest_ns, took_ns)
        self._least_ns = min(self._least_ns, took_ns)

    def failed(self, what: ErrorClass, request_bytes: int) -> None:
        """Count a request that got no prediction."""
        self._requests += 1
        self._request_bytes += request_bytes
        self._errors[what] = self._errors.get(what, 0) + 1

    def dropped(self) -> None:
        """Count a copy that a shadow never got."""
        self._dropped += 1

    def compared(self, compared: Comparison) -> None:
        """Add what a shadow's answer was beside the one that was given."""
        self._compared += compared

    def spent(self, spent: Spending) -> None:
        """Add what a language model took."""
        self._spent += spent

    def taken(self) -> Counts:
        """What it came to since the last time, once a second; counting begins anew."""
        counts = Counts(
            self._requests,
            self._rows,
            self._errors,
            self._without_key,
            self._request_bytes,
            self._response_bytes,
            self._bins,
            self._least_ns,
            self._greatest_ns,
            self._dropped,
            self._compared,
            self._spent,
        )
        self._rates.append(self._requests)
        self._begin()
        return counts

    @property
    def requests_per_s(self) -> float:
        """Over the last seconds that were taken, at most ten."""
        return sum(self._rates) / len(self._rates) if self._rates else 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing came in that time, nor since."""
        return not self._requests and not any(self._rates)

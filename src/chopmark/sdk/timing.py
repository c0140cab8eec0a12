"""How long calls take, measured side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chopmark.domain.agreement import Latency
from chopmark.stats.moments import Moments

__all__ = ["time_in_turns"]

CALLS = 30
CALLS_LEAST = 3
BUDGET_S = 3.0


def time_in_turns(calls: Sequence[Callable[[], object]], batch_rows: int, timer: Callable[[], float]) -> list[Latency]:
    """Time calls in turns, so that whatever else the machine does meets all of them alike.

    Parameters
    ----------
    calls
        Each answers a batch; each is called once untimed, then up to 30 times: fewer, but at
        least 3 times, when 3 seconds for each have passed.
    batch_rows
        Rows of the batch.
    timer
        Seconds, for example `time.perf_counter`.
    """
    for call in calls:
        call()
    taken_ms: list[list[float]] = [[] for _ in calls]
    end = timer() + BUDGET_S * len(calls)
    for turn in range(CALLS):
        if turn >= CALLS_LEAST and timer() > end:
            break
        for position, call in enumerate(calls):
            started = timer()
            call()
            taken_ms[position].append((timer() - started) * 1_000)
    return [_latency(taken, batch_rows) for taken in taken_ms]


def _latency(taken_ms: Sequence[float], batch_rows: int) -> Latency:
    moments = Moments.of(taken_ms)
    return Latency(
        batch_rows=batch_rows,
        calls=moments.count,
        mean_ms=moments.mean,
        deviation_ms=moments.standard_deviation or 0.0,
        p95_ms=_percentile(sorted(taken_ms), 0.95),
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest, as numpy does."""
    place = (len(ordered) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

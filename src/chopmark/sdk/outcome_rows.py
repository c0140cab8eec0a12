"""Rows of requests into what became of them minute by minute: one pass of numpy over columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import fields

from chopmark.domain.names import shown
from chopmark.domain.outcomes import ErrorCounts, MetricSums, Spending
from chopmark.errors import InvalidRequest
from chopmark.ops.outcomes import RecordedMinute
from chopmark.sdk.outcome_values import checked_time
from chopmark.stats.sketch import QuantileSketch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["minutes_of_rows"]

NS_PER_MS = 1e6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ERRORS = tuple(field.name for field in fields(ErrorCounts))


def minutes_of_rows(
    now: datetime,
    *,
    at: Any = None,
    latency_ms: Any = None,
    error: Any = None,
    cost_usd: Any = None,
    metrics: Mapping[str, Any] | None = None,
) -> list[RecordedMinute]:
    """What became of requests, one a row, minute by minute.

    Parameters
    ----------
    now
        When rows happened that say no time.
    at
        When each was asked: datetimes, numpy's datetime64, or seconds since 1970; or one time for all.
    latency_ms
        How long each took; where a request failed it is passed over, and may be missing (NaN).
    error
        Whether each failed (then it is the model's fault), or by whose fault: ``client``, ``model``, ``timeout``, ``refused``, ``unreadable``; empty
        (or None) when it did not.
    cost_usd
        What each cost.
    metrics
        What else was measured, by name; missing values (NaN) are passed over.

    Raises
    ------
    InvalidRequest
        When columns are not of one length, or hold what they cannot.
    """
    columns = _columns(
        {"latency_ms": latency_ms, "cost_usd": cost_usd, **{f"metric {k}": v for k, v in (metrics or {}).items()}}
    )
    faults = None if error is None else _faults(error)
    times = None if at is None or isinstance(at, datetime) else _minutes(at)
    rows = _length({**columns, "error": faults, "at": times})
    if times is None:
        moment = now if at is None else checked_time(at)
        return [_minute(moment, columns, faults, slice(None), rows)] if rows else []
    return [_minute(start, columns, faults, part, count) for start, part, count in _parts(times)]


def _columns(given: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    import numpy as np

    found = {}
    for name, values in given.items():
        if values is None:
            continue
        try:
            array = np.asarray(values)
            if array.dtype.kind not in "biuf":
                array = np.asarray([np.nan if each is None else float(each) for each in values])
            numbers = np.ascontiguousarray(array, dtype=np.float64)
        except (TypeError, ValueError) as failure:
            raise InvalidRequest(f"{name} holds what is no number.") from failure
        if numbers.ndim != 1:
            raise InvalidRequest(f"{name} has the shape {numbers.shape}; it takes a value a row.")
        if np.isinf(numbers).any():
            raise InvalidRequest(f"{name} holds what is not finite.", hint="Leave missing values as NaN.")
        found[name] = numbers
    return found


def _faults(error: Any) -> NDArray[np.int8]:
    """By row: -1 when it did not fail, else the place of who is at fault."""
    import numpy as np

    array = np.asarray(error)
    if array.ndim != 1:
        raise InvalidRequest(f"error has the shape {array.shape}; it takes a value a row.")
    if array.dtype.kind == "b":
        return np.where(array, _ERRORS.index("model"), -1).astype(np.int8)
    names = array.astype(str)
    found = np.full(len(names), -2, dtype=np.int8)
    found[(names == "") | (names == "None") | (names == "nan")] = -1
    for place, name in enumerate(_ERRORS):
        found[names == name] = place
    wrong = np.flatnonzero(found == -2)  # noqa: PLR2004
    if wrong.size:
        msg = f"{shown(names[wrong[0]])} is no kind of error."
        raise InvalidRequest(msg, hint=f"Say {', '.join(_ERRORS)}, or nothing where there was none.")
    return found


def _minutes(at: Any) -> NDArray[np.int64]:
    """Minutes since 1970."""
    import numpy as np

    array = np.asarray(at)
    if array.dtype.kind == "O":
        array = np.asarray([checked_time(each).timestamp() for each in array])
    if array.ndim != 1:
        raise InvalidRequest(f"at has the shape {array.shape}; it takes a time a row, or one for all.")
    if array.dtype.kind == "M":
        if np.isnat(array).any():
            raise InvalidRequest("at holds what is no time.")
        minutes: NDArray[np.int64] = array.astype("datetime64[m]").astype(np.int64)
        return minutes
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all() or not (np.abs(array) < 1e11).all():  # noqa: PLR2004
        raise InvalidRequest("at holds what is no time.", hint="Give datetimes, or seconds since 1970.")
    whole: NDArray[np.int64] = np.floor_divide(array, 60).astype(np.int64)
    return whole


def _length(columns: Mapping[str, Any]) -> int:
    lengths = {name: len(values) for name, values in columns.items() if values is not None}
    if not lengths:
        raise InvalidRequest("There are no rows.", hint="Give at least one of at, latency_ms, error and metrics.")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {count:,}" for name, count in lengths.items())
        raise InvalidRequest(f"Columns have other numbers of rows: {told}.")
    return next(iter(lengths.values()))


def _parts(times: NDArray[np.int64]) -> Iterator[tuple[datetime, Any, int]]:
    """Each minute, the places of its rows, and how many they are."""
    import numpy as np

    if not times.size:
        return
    steps = np.diff(times)
    if (steps >= 0).all():  # as they happen, mostly
        ends = [*np.flatnonzero(steps) + 1, len(times)]
        begin = 0
        for end in map(int, ends):
            yield _time(int(times[begin])), slice(begin, end), end - begin
            begin = end
        return
    order = np.argsort(times, kind="stable")
    for start, part, count in _parts(times[order]):
        yield start, order[part], count


def _time(minute: int) -> datetime:
    return _EPOCH + timedelta(minutes=minute)


def _minute(
    at: datetime, columns: Mapping[str, NDArray[np.float64]], faults: NDArray[np.int8] | None, part: Any, count: int
) -> RecordedMinute:
    """What the rows of one minute come to."""
    import numpy as np

    errors = ErrorCounts()
    failed = None
    if faults is not None:
        mine = faults[part]
        failed = mine >= 0
        errors = ErrorCounts(*np.bincount(mine[failed], minlength=len(_ERRORS)).tolist())
    latency = QuantileSketch()
    if "latency_ms" in columns:
        took = columns["latency_ms"][part]
        if failed is not None:
            took = took[~failed]
        latency = QuantileSketch.of(_present(took) * NS_PER_MS)
        if latency.bins and latency.least < 0:
            raise InvalidRequest("A latency is less than nothing.")
    cost = columns.get("cost_usd")
    return RecordedMinute(
        at=at,
        requests=count,
        rows=count - errors.total,
        errors=errors,
        latency=latency,
        spent=Spending() if cost is None else Spending(cost_usd=float(np.nansum(cost[part]))),
        metrics={
            name.removeprefix("metric "): sums
            for name, values in columns.items()
            if name.startswith("metric ") and (sums := _sums(_present(values[part]))).count
        },
    )


def _present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def _sums(values: NDArray[np.float64]) -> MetricSums:
    if not values.size:
        return MetricSums()
    return MetricSums(
        int(values.size), float(values.sum()), float(values @ values), float(values.min()), float(values.max())
    )

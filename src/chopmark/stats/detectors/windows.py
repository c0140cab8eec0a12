"""Detectors that keep a window of values: ADWIN, of a length that adapts, and KSWIN, of a fixed one."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats import kolmogorov_smirnov
from chopmark.stats.checks import check_between, check_whole
from chopmark.stats.detectors.base import Detector

__all__ = ["Adwin", "Kswin"]

_BUCKETS_MAX = 1_000
_LARGEST_COUNT = 2**53
_KSWIN_WINDOW_MAX = 10_000
_KSWIN_DISTANCE_LEAST = 0.1
_KSWIN_EXACT_PRODUCT_MAX = 10**6
_WORD = (1 << 64) - 1

Bucket = tuple[float, float]
"""Sum of the values, and their squared deviations from their mean."""


class Adwin(Detector, frozen=True, kw_only=True, tag="adwin"):
    """Change of the mean within a window that holds everything since the last change, in buckets of 1, 2, 4 … values.

    Parameters
    ----------
    delta
        Error that a check may have; above 0, below 1.
    clock
        Values between two checks.
    max_buckets
        Of each size; more of them cost time and see changes nearer to where they were.
    min_window_length
        Values that each of the two parts compared needs.
    grace_period
        Width of the window up to which there is no check.
    definition
        ``frouros``: each part needs one value more, the bound takes two values less of it, and there is no cut after the newest
        bucket of a row.

    Attributes
    ----------
    ticks
        Values since the start or the last change.
    origin
        The first value since then. All sums are of what values lie above it: of equal ones, however large, nothing is left that
        rounding could make a change of.
    width, total, m2
        Of the window: values, the sum of their distances from the origin, and their squared deviations from the mean.
    rows
        Row i holds buckets of 2ⁱ values, the oldest first.

    Notes
    -----
    The two parts differ when |μ₀ − μ₁| > √(2/m · σ² · ln(2 ln(W)/δ)) + 2/(3m) · ln(2 ln(W)/δ), 1/m = 1/n₀ + 1/n₁: Bifet & Gavaldà
    (2007), "Learning from time-changing data with adaptive windowing", SDM, eq. 3.1, with the corrected sizes of part that river
    uses. The oldest buckets are dropped until no two parts differ, and the detector then starts anew, as in river.

    Examples
    --------
    >>> Adwin().observe_all([0.0] * 500 + [1.0] * 100)[1]
    (511,)
    """

    delta: float = 0.002
    clock: int = 32
    max_buckets: int = 5
    min_window_length: int = 5
    grace_period: int = 10
    definition: Literal["river", "frouros"] = "river"
    ticks: int = 0
    origin: float = 0.0
    width: int = 0
    total: float = 0.0
    m2: float = 0.0
    rows: tuple[tuple[Bucket, ...], ...] = ()

    def __post_init__(self) -> None:
        check_between("delta", self.delta, 1e-300, 1 - 1e-12)
        check_whole("clock", self.clock, 1, _LARGEST_COUNT)
        check_whole("max_buckets", self.max_buckets, 1, _BUCKETS_MAX)
        check_whole("min_window_length", self.min_window_length, 1, _LARGEST_COUNT)
        check_whole("grace_period", self.grace_period, 0, _LARGEST_COUNT)

    @property
    def mean(self) -> float:
        """Of the values in the window; 0 when it is empty."""
        return self.origin + self.total / self.width if self.width else 0.0

    @property
    def variance(self) -> float:
        """Of the values in the window, by their number; 0 when it is empty."""
        return self.m2 / self.width if self.width else 0.0

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        window = _Window(self)
        ticks, detected = self.ticks, self.detected
        for index, value in enumerate(values):
            if detected:
                window, ticks = _Window(type(self)()), 0
            window.insert(float(value), self.max_buckets)
            ticks += 1
            detected = (
                ticks % self.clock == 0
                and window.width > max(1, self.grace_period)
                and window.shrink(self.delta, self.min_window_length, strict=self.definition == "frouros")
            )
            if detected:
                detections.append(index)
        rows = tuple(map(tuple, window.rows))
        after = msgspec.structs.replace(
            self,
            detected=detected,
            ticks=ticks,
            origin=window.origin,
            width=window.width,
            total=window.total,
            m2=window.m2,
            rows=rows,
        )
        return after, detections


class _Window:
    """The window while values go in: what `Adwin` holds, in lists."""

    def __init__(self, state: Adwin) -> None:
        self.origin, self.width, self.total, self.m2 = state.origin, state.width, state.total, state.m2
        self.rows: list[list[Bucket]] = [list(row) for row in state.rows] or [[]]

    def insert(self, value: float, max_buckets: int) -> None:
        if not self.width:
            self.origin = value
        value -= self.origin
        if self.width:
            away = value - self.total / self.width
            self.m2 += self.width * away * away / (self.width + 1)
        self.width += 1
        self.total += value
        self.rows[0].append((value, 0.0))
        size = 1
        for level, row in enumerate(self.rows):
            if len(row) <= max_buckets:
                return
            (first, first_m2), (second, second_m2) = row[:2]
            apart = first / size - second / size
            merged = (first + second, first_m2 + second_m2 + size * size * apart * apart / (2 * size))
            del row[:2]
            size *= 2
            if level + 1 == len(self.rows):
                self.rows.append([])
            self.rows[level + 1].append(merged)

    def shrink(self, delta: float, least: int, *, strict: bool) -> bool:
        """Drop the oldest buckets while some two parts differ; whether there were such parts."""
        shrunk = False
        while self._differs(delta, least, strict=strict):
            shrunk = True
            self._drop_oldest()
        return shrunk

    def _differs(self, delta: float, least: int, *, strict: bool) -> bool:
        if self.width < 2:  # noqa: PLR2004
            return False
        log_term = math.log(2 * math.log(self.width) / delta)
        variance = self.m2 / self.width
        needed, spared = (least + 1, least + 1) if strict else (least, least - 1)
        old_n, old_total = 0, 0.0
        new_n, new_total = self.width, self.total
        for level in range(len(self.rows) - 1, -1, -1):
            row = self.rows[level]
            for bucket_total, _ in row[:-1] if strict else row:
                old_n, new_n = old_n + (1 << level), new_n - (1 << level)
                old_total, new_total = old_total + bucket_total, new_total - bucket_total
                if old_n >= needed and new_n >= needed:
                    inverse = _inverse(old_n - spared) + _inverse(new_n - spared)
                    bound = math.sqrt(max(0.0, 2 * inverse * variance * log_term)) + 2 / 3 * log_term * inverse
                    if abs(old_total / old_n - new_total / new_n) > bound:
                        return True
        return False

    def _drop_oldest(self) -> None:
        total, m2 = self.rows[-1].pop(0)
        size = 1 << (len(self.rows) - 1)
        self.width -= size
        self.total -= total
        apart = total / size - self.total / self.width
        self.m2 -= m2 + size * self.width * apart * apart / (size + self.width)
        while len(self.rows) > 1 and not self.rows[-1]:
            self.rows.pop()


def _inverse(n: int) -> float:
    return 1 / n if n else math.inf


class Kswin(Detector, frozen=True, kw_only=True, tag="kswin"):
    """Change of the distribution: the newest values of a window against the older ones, by Kolmogorov and Smirnov.

    Parameters
    ----------
    alpha
        Error of one comparison. There is one at each value, so that false alarms come more often than that.
    window_size, stat_size
        Values kept, and how many of them are the newest.
    seed
        None compares with all the older values, which leaves nothing to chance. With a number, ``stat_size`` of them are drawn at
        each step, as in the paper; the draws depend on the seed and on ``n`` only.

    Attributes
    ----------
    n
        Values since the start or the last change.
    window
        The last of them, the oldest first.

    Notes
    -----
    A change shows when the exact p-value is at most alpha and the distance above 0.1. Raab, Heusinger & Schleif (2020), "Reactive
    soft prototype computing for concept drift streams", Neurocomputing 416, sec. 3.1. River draws by Python's generator, so
    that its detections differ from those here by chance.
    """

    alpha: float = 0.005
    window_size: int = 100
    stat_size: int = 30
    seed: int | None = None
    n: int = 0
    window: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_between("alpha", self.alpha, 0.0, 1.0)
        check_whole("window_size", self.window_size, 2, _KSWIN_WINDOW_MAX)
        check_whole("stat_size", self.stat_size, 1, self.window_size - 1)
        if self.seed is not None and self._older_n < self.stat_size:
            raise InvalidRequest(
                f"{self.stat_size} of {self._older_n} older values cannot be drawn.",
                hint="Make window_size at least twice stat_size, or leave out the seed.",
            )

    @property
    def _older_n(self) -> int:
        return self.window_size - self.stat_size

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        n, window, detected = self.n, list(self.window), self.detected
        compared = self._older_n if self.seed is None else self.stat_size
        for index, value in enumerate(values):
            if detected:
                n, window = 0, []
            n += 1
            window.append(float(value))
            del window[: -self.window_size]
            detected = False
            if len(window) == self.window_size:
                older, newest = window[: self._older_n], window[self._older_n :]
                if self.seed is not None:
                    older = _drawn(older, self.stat_size, self.seed, n)
                detected = _distance(older, newest) >= _critical_distance(self.alpha, compared, self.stat_size)
            if detected:
                detections.append(index)
        return msgspec.structs.replace(self, detected=detected, n=n, window=tuple(window)), detections


def _distance(first: list[float], second: list[float]) -> int:
    """Greatest difference of the empirical distribution functions, times both sizes: a whole number."""
    ours, theirs = sorted(first), sorted(second)
    n, m = len(ours), len(theirs)
    greatest = i = j = 0
    while i < n and j < m:
        value = min(ours[i], theirs[j])
        while i < n and ours[i] == value:
            i += 1
        while j < m and theirs[j] == value:
            j += 1
        greatest = max(greatest, abs(i * m - j * n))
    return greatest


@lru_cache(maxsize=64)
def _critical_distance(alpha: float, n: int, m: int) -> int:
    """Least distance, times both sizes, that shows a change; n·m + 1 when none does."""
    p_value = kolmogorov_smirnov.exact_p if n * m <= _KSWIN_EXACT_PRODUCT_MAX else kolmogorov_smirnov.asymptotic_p
    least = bisect_left(range(n * m + 1), -alpha, key=lambda distance: -p_value(distance / (n * m), n, m))
    return max(least, math.floor(_KSWIN_DISTANCE_LEAST * n * m + 1e-9) + 1)


def _drawn(values: list[float], count: int, seed: int, n: int) -> list[float]:
    """Some of the values, without putting back, by the first steps of a Fisher–Yates shuffle."""
    pool, word = list(values), _mixed(_mixed(seed & _WORD) + n)
    for place in range(count):
        word = _mixed(word + place)
        other = place + word % (len(pool) - place)
        pool[place], pool[other] = pool[other], pool[place]
    return pool[:count]


def _mixed(word: int) -> int:
    """SplitMix64 (Steele, Lea & Flood 2014)."""
    word = (word + 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)

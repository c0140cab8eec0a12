"""Detectors of mistakes by bounds that hold for every rate: HDDM with a plain and with a weighted mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self, TypeVar

import msgspec

from chopmark.stats.checks import check_between
from chopmark.stats.detectors.base import MistakeDetector

__all__ = ["HddmA", "HddmW", "Weighted"]

_LEAST_CONFIDENCE = 1e-300
_HddmW = TypeVar("_HddmW", bound="HddmW")


class HddmA(MistakeDetector, frozen=True, kw_only=True, tag="hddm_a"):
    """More mistakes since some point than before it, by Hoeffding's bound.

    Parameters
    ----------
    drift_confidence, warning_confidence
        Error that a single comparison may have; above 0, at most 1.
    two_sided_test
        Whether fewer mistakes are a change too.

    Attributes
    ----------
    n, rate
        Values since the start or the last change, and the share of mistakes.
    low_n, low_rate, high_n, high_rate
        The same at the cut points: where the rate with its bound was lowest, and highest.

    Notes
    -----
    Frías-Blanco et al. (2015), "Online and non-parametric drift detection methods based on Hoeffding's bounds", IEEE TKDE 27(3),
    corollary 1 and algorithm A.
    """

    drift_confidence: float = 0.001
    warning_confidence: float = 0.005
    two_sided_test: bool = False
    n: int = 0
    rate: float = 0.0
    low_n: int = 0
    low_rate: float = 0.0
    high_n: int = 0
    high_rate: float = 0.0

    def __post_init__(self) -> None:
        check_between("drift_confidence", self.drift_confidence, _LEAST_CONFIDENCE, 1.0)
        check_between("warning_confidence", self.warning_confidence, _LEAST_CONFIDENCE, 1.0)

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        n, rate, low_n, low, high_n, high = (
            self.n,
            self.rate,
            self.low_n,
            self.low_rate,
            self.high_n,
            self.high_rate,
        )
        detected, warning = self.detected, self.warning
        log_drift, log_bound = math.log(2.0 / self.drift_confidence), math.log(1.0 / self.drift_confidence)
        log_warning = math.log(2.0 / self.warning_confidence)
        for index, value in enumerate(values):
            if detected:
                n, rate, low_n, low, high_n, high = 0, 0.0, 0, 0.0, 0, 0.0
            n += 1
            rate += (1.0 / n) * (value - rate)
            bound = math.sqrt(1.0 / (2 * n) * log_bound)
            if not low_n or low + math.sqrt(1.0 / (2 * low_n) * log_bound) >= rate + bound:
                low_n, low = n, rate
            if not high_n or high - math.sqrt(1.0 / (2 * high_n) * log_bound) <= rate - bound:
                high_n, high = n, rate
            risen = self._exceeds(rate - low, low_n, n, log_drift)
            fallen = self.two_sided_test and self._exceeds(high - rate, high_n, n, log_drift)
            detected = risen or fallen
            warning = not risen and self._exceeds(rate - low, low_n, n, log_warning)
            if self.two_sided_test and not fallen:
                warning = warning or self._exceeds(high - rate, high_n, n, log_warning)
            if detected:
                detections.append(index)
        after = msgspec.structs.replace(
            self,
            detected=detected,
            warning=warning,
            n=n,
            rate=rate,
            low_n=low_n,
            low_rate=low,
            high_n=high_n,
            high_rate=high,
        )
        return after, detections

    @staticmethod
    def _exceeds(difference: float, cut_n: int, n: int, log_confidence: float) -> bool:
        if cut_n == n:
            return False
        share = (n - cut_n) / cut_n * (1.0 / n)
        return difference >= math.sqrt(share / 2 * log_confidence)


class Weighted(msgspec.Struct, frozen=True):
    """Exponentially weighted mean, and the sum of squared weights that its bound needs; `seen` once it has a value."""

    mean: float = 0.0
    squares: float = 1.0
    seen: bool = False

    def given(self, value: float, weight: float) -> Self:
        """After one more value."""
        mean = weight * value + (1.0 - weight) * self.mean if self.seen else float(value)
        return type(self)(mean, weight * weight + (1 - weight) ** 2 * self.squares, seen=True)


class HddmW(MistakeDetector, frozen=True, kw_only=True, tag="hddm_w"):
    """More mistakes of late than before, by McDiarmid's bound on weighted means; for slow changes.

    Parameters
    ----------
    drift_confidence, warning_confidence
        Error that a single comparison may have; above 0, at most 1.
    lambda_val
        Weight of the newest value, from 0 to 1.
    two_sided_test
        Whether fewer mistakes are a change too.

    Attributes
    ----------
    total
        Weighted mean of all values since the start or the last change.
    before_rise, since_rise, before_fall, since_fall
        The same up to the cut points, and since.
    low, high
        Least upper and greatest lower bound of the total so far, at the cut points.

    Notes
    -----
    Frías-Blanco et al. (2015), "Online and non-parametric drift detection methods based on Hoeffding's bounds", IEEE TKDE 27(3),
    corollary 4 and algorithm W.
    """

    drift_confidence: float = 0.001
    warning_confidence: float = 0.005
    lambda_val: float = 0.05
    two_sided_test: bool = False
    total: Weighted = Weighted()
    before_rise: Weighted = Weighted()
    since_rise: Weighted = Weighted()
    before_fall: Weighted = Weighted()
    since_fall: Weighted = Weighted()
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        check_between("drift_confidence", self.drift_confidence, _LEAST_CONFIDENCE, 1.0)
        check_between("warning_confidence", self.warning_confidence, _LEAST_CONFIDENCE, 1.0)
        check_between("lambda_val", self.lambda_val, 0.0, 1.0)

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        state, nothing = self, Weighted()
        anew: dict[str, Any] = {"low": None, "high": None}
        anew |= dict.fromkeys(("total", "before_rise", "since_rise", "before_fall", "since_fall"), nothing)
        for index, value in enumerate(values):
            if state.detected:
                state = msgspec.structs.replace(state, **anew)
            state = _given(state, value)
            if state.detected:
                detections.append(index)
        return state, detections


def _given(state: _HddmW, value: float) -> _HddmW:
    weight = state.lambda_val
    total = state.total.given(value, weight)
    bound = math.sqrt(total.squares * math.log(1 / state.drift_confidence) / 2)
    low, before_rise, since_rise = state.low, state.before_rise, state.since_rise
    if low is None or total.mean + bound < low:
        low, before_rise, since_rise = total.mean + bound, total, Weighted()
    else:
        since_rise = since_rise.given(value, weight)
    high, before_fall, since_fall = state.high, state.before_fall, state.since_fall
    if high is None or total.mean - bound > high:
        high, before_fall, since_fall = total.mean - bound, total, Weighted()
    else:
        since_fall = since_fall.given(value, weight)
    risen = _higher(since_rise, before_rise, state.drift_confidence)
    fallen = state.two_sided_test and _higher(before_fall, since_fall, state.drift_confidence)
    warning = not risen and _higher(since_rise, before_rise, state.warning_confidence)
    if state.two_sided_test and not fallen:
        warning = warning or _higher(before_fall, since_fall, state.warning_confidence)
    return msgspec.structs.replace(
        state,
        detected=risen or fallen,
        warning=warning,
        total=total,
        before_rise=before_rise,
        since_rise=since_rise,
        before_fall=before_fall,
        since_fall=since_fall,
        low=low,
        high=high,
    )


def _higher(one: Weighted, other: Weighted, confidence: float) -> bool:
    if not (one.seen and other.seen):
        return False
    return one.mean - other.mean > math.sqrt((one.squares + other.squares) * math.log(1 / confidence) / 2)

"""Detectors of mistakes by normal approximation: DDM of their rate, EDDM of the distance between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self, TypeVar

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_between, check_count, check_number
from chopmark.stats.detectors.base import MistakeDetector

__all__ = ["Ddm", "Eddm"]

_Eddm = TypeVar("_Eddm", bound="Eddm")


class Ddm(MistakeDetector, frozen=True, kw_only=True, tag="ddm"):
    """More mistakes than at the best time so far, in standard errors.

    Parameters
    ----------
    warm_start
        Values up to which nothing is said.
    warning_threshold, drift_threshold
        Standard errors above the best rate.

    Attributes
    ----------
    n, rate
        Values since the start or the last change, and the share of mistakes.
    best_rate, best_error
        Rate and standard error where their sum was least.

    Notes
    -----
    A change shows when p + s > p_min + 3·s_min, s = √(p(1 − p)/n): Gama, Medas, Castillo & Rodrigues (2004), "Learning with
    drift detection", SBIA, sec. 3.

    Examples
    --------
    >>> Ddm().observe_all(([0] * 9 + [1]) * 20 + [1] * 20)[1]
    (207,)
    """

    warm_start: int = 30
    warning_threshold: float = 2.0
    drift_threshold: float = 3.0
    n: int = 0
    rate: float = 0.0
    best_rate: float | None = None
    best_error: float | None = None

    def __post_init__(self) -> None:
        check_count("warm_start", self.warm_start)
        check_number("warning_threshold", self.warning_threshold, least=0.0)
        check_number("drift_threshold", self.drift_threshold, least=0.0)

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        n, rate, best_rate, best_error = self.n, self.rate, self.best_rate, self.best_error
        detected, warning = self.detected, self.warning
        for index, value in enumerate(values):
            if detected:
                n, rate, best_rate, best_error, detected, warning = 0, 0.0, None, None, False, False
            n += 1
            rate += (1.0 / n) * (value - rate)
            if n <= self.warm_start:
                continue
            error = math.sqrt(max(0.0, rate * (1 - rate) / n))
            if best_rate is None or best_error is None or rate + error <= best_rate + best_error:
                best_rate, best_error = rate, error
            detected = rate + error > best_rate + self.drift_threshold * best_error
            warning = not detected and rate + error > best_rate + self.warning_threshold * best_error
            if detected:
                detections.append(index)
        after = msgspec.structs.replace(
            self, detected=detected, warning=warning, n=n, rate=rate, best_rate=best_rate, best_error=best_error
        )
        return after, detections


class Eddm(MistakeDetector, frozen=True, kw_only=True, tag="eddm"):
    """Mistakes that follow each other more closely than at the best time so far; for slow changes.

    Parameters
    ----------
    warm_start
        Values, and mistakes, up to which nothing is said.
    alpha, beta
        Shares of the greatest distance below which there is a warning, a change; beta ≤ alpha.

    Attributes
    ----------
    n, mistakes, last_mistake
        Values and mistakes since the start or the last change, and the position (from 1) of the last one.
    mean_distance, m2_distance
        Mean of the distances between mistakes and their squared deviations from it, in values.
    greatest
        The greatest mean + 2·deviation.

    Notes
    -----
    A change shows when (p′ + 2s′)/(p′ + 2s′)_max < β: Baena-García et al. (2006), "Early drift detection method", IWKDDS, sec. 3.
    It has no stated rate of false alarms, and gives many.
    """

    warm_start: int = 30
    alpha: float = 0.95
    beta: float = 0.9
    n: int = 0
    mistakes: int = 0
    last_mistake: int = 0
    mean_distance: float = 0.0
    m2_distance: float = 0.0
    greatest: float | None = None

    def __post_init__(self) -> None:
        check_count("warm_start", self.warm_start)
        check_between("alpha", self.alpha, 0.0, 1.0)
        check_between("beta", self.beta, 0.0, 1.0)
        if self.beta > self.alpha:
            raise InvalidRequest("beta is above alpha.", hint="A change needs more than a warning: beta ≤ alpha.")

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        state = self
        n, detected = self.n, self.detected
        for index, value in enumerate(values):
            if detected:
                state, n, detected = type(self)(warm_start=self.warm_start, alpha=self.alpha, beta=self.beta), 0, False
            n += 1
            if value:
                state = _mistaken(state, n)
                detected = state.detected
                if detected:
                    detections.append(index)
        return msgspec.structs.replace(state, n=n), detections


def _mistaken(state: _Eddm, n: int) -> _Eddm:
    """After a mistake at position n: distances change only then."""
    mistakes, distance, warning, detected = state.mistakes + 1, n - state.last_mistake, state.warning, False
    mean = state.mean_distance + (1.0 / mistakes) * (distance - state.mean_distance)
    m2 = state.m2_distance + (distance - state.mean_distance) * (distance - mean)
    greatest = state.greatest
    if n > state.warm_start:
        spread = math.sqrt(m2 / (mistakes - 1)) if mistakes > 1 else 0.0
        height = mean + 2 * spread
        if greatest is None or height > greatest:
            greatest = height
        elif mistakes > state.warm_start:
            level = height / greatest
            detected = level < state.beta
            warning = level < state.alpha if not detected else warning
    return msgspec.structs.replace(
        state,
        detected=detected,
        warning=warning,
        n=n,
        mistakes=mistakes,
        last_mistake=n,
        mean_distance=mean,
        m2_distance=m2,
        greatest=greatest,
    )

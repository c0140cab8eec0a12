"""Detectors that sum how far values lie from their mean: Page–Hinkley and CUSUM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import msgspec

from chopmark.stats.checks import check_between, check_count, check_number
from chopmark.stats.detectors.base import LARGEST, Detector

__all__ = ["Cusum", "PageHinkley"]

_NO_PEAK = -1.0  # river's highest sum before there was one


class PageHinkley(Detector, frozen=True, kw_only=True, tag="page_hinkley"):
    """Change of the mean, by the faded sum of deviations from the running mean.

    Parameters
    ----------
    min_instances
        Values before which nothing is detected.
    delta
        Deviation that is forgiven at each value, in the values' units.
    threshold
        Height above its lowest point (or depth below its highest) at which the sum shows a change, in the values' units: the default is
        for values between 0 and 1. With ``delta`` half their standard deviation and 20 of it as the threshold, normal values cross it by chance
        about once in 15,000.
    alpha
        Share of the sum that is kept from one value to the next.
    mode
        Whether the mean may have gone ``up``, ``down`` or either.
    definition
        ``frouros``: the sum itself is held against the threshold, upwards only, whatever the mode.

    Attributes
    ----------
    n, mean
        Values since the start or the last change, and their mean.
    rise, fall
        The two sums.
    lowest, highest
        Of ``rise`` and of ``fall``.

    Notes
    -----
    With mₜ the running mean, Sₜ = α·Sₜ₋₁ + (xₜ − mₜ ∓ δ); a change shows when Sₜ − min S, or max S − Sₜ, is above the threshold.
    Page (1954), "Continuous inspection schemes", Biometrika 41: 100–115.

    Examples
    --------
    >>> PageHinkley(threshold=5.0).observe_all([0.0] * 100 + [1.0] * 20)[1]
    (105,)
    """

    min_instances: int = 30
    delta: float = 0.005
    threshold: float = 50.0
    alpha: float = 0.9999
    mode: Literal["up", "down", "both"] = "both"
    definition: Literal["river", "frouros"] = "river"
    n: int = 0
    mean: float = 0.0
    rise: float = 0.0
    fall: float = 0.0
    lowest: float | None = None
    highest: float = _NO_PEAK

    def __post_init__(self) -> None:
        check_count("min_instances", self.min_instances)
        check_between("delta", self.delta, -LARGEST, LARGEST)
        check_number("threshold", self.threshold, least=0.0)
        check_between("alpha", self.alpha, 0.0, 1.0)

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        up, down, delta, alpha = self.mode != "down", self.mode != "up", self.delta, self.alpha
        from_start = self.definition == "frouros"
        n, mean, rise, fall, lowest, highest = self.n, self.mean, self.rise, self.fall, self.lowest, self.highest
        detected = self.detected
        for index, value in enumerate(values):
            if detected:
                n, mean, rise, fall, lowest, highest = 0, 0.0, 0.0, 0.0, None, _NO_PEAK
            n += 1
            mean += (value - mean) / n if from_start else (value - mean) * (1.0 / n)
            away = value - mean
            if from_start:
                rise = alpha * rise + (away - delta)
                detected = n >= self.min_instances and rise > self.threshold
            else:
                rise = alpha * rise + away - delta
                fall = alpha * fall + away + delta
                lowest = rise if lowest is None or rise < lowest else lowest
                highest = max(fall, highest)
                detected = n >= self.min_instances and (
                    (up and rise - lowest > self.threshold) or (down and highest - fall > self.threshold)
                )
            if detected:
                detections.append(index)
        after = msgspec.structs.replace(
            self, detected=detected, n=n, mean=mean, rise=rise, fall=fall, lowest=lowest, highest=highest
        )
        return after, detections


class Cusum(Detector, frozen=True, kw_only=True, tag="cusum"):
    """Rise of the mean, by the sum of deviations from the running mean, which never goes below 0.

    Parameters
    ----------
    min_instances
        Values before which nothing is detected.
    delta
        Deviation that is forgiven at each value, in the values' units.
    threshold
        Height of the sum that shows a change, in the values' units: the default is for values between 0 and 1.

    Attributes
    ----------
    n, mean
        Values since the start or the last change, and their mean.
    total
        The sum.

    Notes
    -----
    Sₜ = max(0, Sₜ₋₁ + xₜ − mₜ − δ), Page (1954), sec. 2, with the running mean mₜ in place of a target, as frouros has it.
    """

    min_instances: int = 30
    delta: float = 0.005
    threshold: float = 50.0
    n: int = 0
    mean: float = 0.0
    total: float = 0.0

    def __post_init__(self) -> None:
        check_count("min_instances", self.min_instances)
        check_between("delta", self.delta, -LARGEST, LARGEST)
        check_number("threshold", self.threshold, least=0.0)

    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        detections: list[int] = []
        n, mean, total, detected = self.n, self.mean, self.total, self.detected
        for index, value in enumerate(values):
            if detected:
                n, mean, total = 0, 0.0, 0.0
            n += 1
            mean += (value - mean) / n
            total = max(0.0, total + (value - mean) - self.delta)
            detected = n >= self.min_instances and total > self.threshold
            if detected:
                detections.append(index)
        return msgspec.structs.replace(self, detected=detected, n=n, mean=mean, total=total), detections

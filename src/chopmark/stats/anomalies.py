"""Unusual values of a metric: what is usual at this time of its season, and alarms at a rate that was said beforehand.

A `MetricBaseline` is made from the metric's history. Each phase of the season (an hour of the day, of the week) has its own centre and
spread, a robust one, drawn towards all phases' as far as the phases do not differ by more than chance. How far a value lies from its
centre, in spreads, is held against limits beyond which a chosen number of values a day is expected. The limits come from the tail of
the history itself, each value judged by a baseline that was made without it, so that heavy tails and few cycles widen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats import robust_season, tails
from chopmark.stats.checks import check_between, check_count, check_number
from chopmark.stats.results import Flag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MetricBaseline", "Reading", "false_alarms_per_day"]

_VALUES_LEAST = 50
_FOLDS = 12
_CYCLES_ENOUGH = 12
_EXPONENT_OF_NONE, _EXPONENTS = -3.0, 4.0
_RATE_MOST = 0.1  # of the values that may be false alarms
_LARGEST = 1e100

Direction = Literal["up", "down", "both"]


def false_alarms_per_day(sensitivity: float) -> float:
    """Expected false alarms a day at a sensitivity from 0 to 1: 10^(4·sensitivity − 3).

    Examples
    --------
    >>> [round(false_alarms_per_day(s), 3) for s in (0.0, 0.5, 0.75, 1.0)]
    [0.001, 0.1, 1.0, 10.0]
    """
    check_between("sensitivity", sensitivity, 0, 1, hint="Give a number from 0 (calm) to 1 (touchy).")
    return float(10 ** (_EXPONENTS * sensitivity + _EXPONENT_OF_NONE))


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One value against what is usual.

    Attributes
    ----------
    value, expected
        What it is and the centre of its phase, in units of the metric.
    low, high
        Beyond them it is unusual; None on a side that is not watched.
    score
        Distance from the centre in spreads of the phase, negative below it.
    anomaly
        ``high``, ``low`` or ``none``.
    """

    value: float
    expected: float
    low: float | None
    high: float | None
    score: float
    anomaly: Literal["none", "high", "low"]


class MetricBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """What is usual for a metric in each phase of its season, and how far from it is unusual.

    Baselines do not add up: medians and tails of two histories do not tell those of both, so there is no ``+``. Make one of the whole history
    of one metric as it is read (a rate over all replicas, say), and make it anew as the history grows.

    Attributes
    ----------
    n
        Values of the history.
    samples_per_day
        How often the metric is read.
    alarms_per_day
        Expected false alarms among so many readings, while nothing changes.
    centers, spreads
        Of each phase, in units of the metric; spreads are comparable to standard deviations.
    low, high
        Limits of the score; None on a side that is not watched.
    flags
        ``approximate`` when fewer than one alarm was to be expected in the whole history, so that the limits lie beyond what was
        seen, or a phase has fewer than 12 values, where there are fewer false alarms than stated, down to a fifth; ``no_variance`` when the history is one value throughout, any other being an anomaly then.
    """

    n: int
    samples_per_day: float
    alarms_per_day: float
    centers: tuple[float, ...]
    spreads: tuple[float, ...]
    low: float | None
    high: float | None
    flags: tuple[Flag, ...] = ()

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        phases: ArrayLike | None = None,
        *,
        samples_per_day: float,
        phase_count: int = 1,
        sensitivity: float = 0.5,
        direction: Direction = "both",
    ) -> Self:
        """Baseline of a history.

        Parameters
        ----------
        values
            Shape (n,), n ≥ 50, finite, oldest first, in units of the metric. Leave out times of known incidents.
        phases
            Shape (n,): phase of each value, from 0 to ``phase_count`` − 1, each at least three times; in turn from 0 when None.
        samples_per_day
            How often the metric is read.
        phase_count
            Phases of a season, such as 24 or 168 for hours of the day or week; 1 for none.
        sensitivity
            From 0 to 1: `false_alarms_per_day`.
        direction
            What is unusual: high values, low ones, or both, which share the alarms.

        Raises
        ------
        InvalidRequest
            When something cannot be, the history is too short, or more than a tenth of all readings would be alarms.

        Notes
        -----
        Centres are medians and spreads 1.4826 medians of absolute deviations, drawn together by the method of moments of empirical
        Bayes (Morris 1983, "Parametric empirical Bayes inference", JASA 78: 47–55). Limits are a quantile of the scores, from a
        generalised Pareto distribution of the largest (Hosking & Wallis 1987, "Parameter and quantile estimation for the generalized
        Pareto distribution", Technometrics 29: 339–349, by probability-weighted moments).
        """
        import numpy as np

        history, seasons = _history(values, phases, phase_count)
        check_number("samples_per_day", samples_per_day)
        if direction not in {"up", "down", "both"}:
            raise InvalidRequest(f"direction is {direction!r}.", hint="Use one of: up, down, both.")
        alarms = false_alarms_per_day(sensitivity)
        if samples_per_day <= 0 or alarms / samples_per_day > _RATE_MOST:
            raise InvalidRequest(
                f"{alarms:g} alarms a day are too many for {samples_per_day:g} readings.",
                hint="Give a lower sensitivity, or read the metric more often.",
            )
        rate = alarms / samples_per_day / (2 if direction == "both" else 1)
        profile = robust_season.fit(history, seasons, phase_count)
        scores = _scores_without_oneself(history, seasons, phase_count)
        flags: list[Flag] = []
        if np.ptp(history) == 0:
            flags.append("no_variance")
        if rate * history.size < 1 or np.bincount(seasons, minlength=phase_count).min() < _CYCLES_ENOUGH:
            flags.append("approximate")
        return cls(
            n=history.size,
            samples_per_day=float(samples_per_day),
            alarms_per_day=alarms,
            centers=tuple(profile.centers.tolist()),
            spreads=tuple(profile.spreads.tolist()),
            low=None if direction == "up" else -max(0.0, tails.upper_quantile(-scores, rate)),
            high=None if direction == "down" else max(0.0, tails.upper_quantile(scores, rate)),
            flags=tuple(flags),
        )

    def check(self, value: float, phase: int = 0) -> Reading:
        """One value against the baseline.

        Parameters
        ----------
        value
            Finite, in units of the metric.
        phase
            Of the season, from 0.

        Raises
        ------
        InvalidRequest
            When the value is not finite or there is no such phase.
        """
        check_number("value", value)
        check_count("phase", phase)
        if phase >= len(self.centers):
            raise InvalidRequest(f"phase is {phase!r}.", hint=f"Give a whole number from 0 to {len(self.centers) - 1}.")
        center, spread = self.centers[phase], self.spreads[phase]
        score = max(-_LARGEST, min(_LARGEST, (value - center) / spread))
        above = self.high is not None and score > self.high
        below = self.low is not None and score < self.low
        return Reading(
            value=float(value),
            expected=center,
            low=None if self.low is None else center + self.low * spread,
            high=None if self.high is None else center + self.high * spread,
            score=score,
            anomaly="high" if above else "low" if below else "none",
        )

    def check_all(self, values: Sequence[float] | ArrayLike, phases: ArrayLike | None = None) -> NDArray[np.int64]:
        """Many values against the baseline: 1 for too high, −1 for too low, 0 for usual ones; shapes (n,)."""
        import numpy as np

        numbers, seasons = _numbered(values, phases, len(self.centers))
        scores = (numbers - np.asarray(self.centers)[seasons]) / np.asarray(self.spreads)[seasons]
        above = scores > (np.inf if self.high is None else self.high)
        below = scores < (-np.inf if self.low is None else self.low)
        return np.asarray(above.astype(np.int64) - below.astype(np.int64))


def _scores_without_oneself(
    history: NDArray[np.float64], phases: NDArray[np.intp], phase_count: int
) -> NDArray[np.float64]:
    """Score of each value by a baseline of the others: some cycles by the others."""
    import numpy as np

    occurrence = robust_season.occurrences(phases, phase_count)
    folds = min(_FOLDS, int(np.bincount(phases, minlength=phase_count).min()))
    scores = np.empty_like(history)
    for k in range(folds):
        judged = occurrence % folds == k
        profile = robust_season.fit(history[~judged], phases[~judged], phase_count)
        scores[judged] = (history[judged] - profile.centers[phases[judged]]) / profile.spreads[phases[judged]]
    return scores


def _history(
    values: ArrayLike, phases: ArrayLike | None, phase_count: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    import numpy as np

    check_count("phase_count", phase_count)
    if phase_count < 1:
        raise InvalidRequest(f"phase_count is {phase_count!r}.", hint="Give a whole number, 1 or more.")
    history, seasons = _numbered(values, phases, phase_count)
    if history.size < _VALUES_LEAST:
        raise InvalidRequest(
            f"A history of {history.size} values is too short.",
            hint=f"Give at least {_VALUES_LEAST}, better many days.",
        )
    if np.bincount(seasons, minlength=phase_count).min() < robust_season.LEAST_OF_PHASE:
        raise InvalidRequest(
            f"A phase has fewer than {robust_season.LEAST_OF_PHASE} values.",
            hint="Give more cycles of history, or fewer phases.",
        )
    return history, seasons


def _numbered(values: Any, phases: ArrayLike | None, phase_count: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    import numpy as np

    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biuf" or not np.isfinite(numbers).all() or (np.abs(numbers) > _LARGEST).any():
        raise InvalidRequest(
            "A value is not a finite number.", hint=f"Drop missing ones; sizes may go up to {_LARGEST:g}."
        )
    history = numbers.astype(np.float64).reshape(-1)
    if phases is None:
        return history, np.arange(history.size) % phase_count
    seasons = np.asarray(phases).reshape(-1)
    if (
        seasons.dtype.kind not in "iu"
        or seasons.shape != history.shape
        or (seasons.size and not 0 <= int(seasons.min()) <= int(seasons.max()) < phase_count)
    ):
        raise InvalidRequest(
            "Phases do not fit the values.", hint=f"Give one whole number from 0 to {phase_count - 1} for each value."
        )
    return history, seasons.astype(np.intp)

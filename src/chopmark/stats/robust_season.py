"""Centre and spread of each phase of a season, robust, and drawn together as far as the phases differ by chance only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LEAST_OF_PHASE", "Profile", "fit", "occurrences"]

LEAST_OF_PHASE = 3
_MAD_TO_DEVIATION = 1.482602218505602
_VARIANCE_OF_MEDIAN = math.pi / 2  # by that of a mean of as many normal values
_VARIANCE_OF_LOG_MAD = 1.3603  # times 1/n, for normal values
_MEAN_ABSOLUTE_TO_DEVIATION = math.sqrt(math.pi / 2)
_LEAST_SPREAD = 1e-9  # by the largest size of a centre, where nothing varies


class Profile(NamedTuple):
    """Centre and spread of each phase, shapes (phases,); spreads are above 0."""

    centers: NDArray[np.float64]
    spreads: NDArray[np.float64]


def fit(values: NDArray[np.float64], phases: NDArray[np.intp], phase_count: int) -> Profile:
    """Profile of values, shape (n,), in their phases, each of which holds at least one."""
    import numpy as np

    counts = np.bincount(phases, minlength=phase_count)
    medians = _medians(values, phases, counts)
    away = np.abs(values - medians[phases])
    # Deviations from a median of few are too small; n/(n - 1) is what the mean of squares would need.
    spread = _deviation(away) * math.sqrt(float(values.size) / max(1.0, values.size - phase_count))
    centers = _drawn_together(medians, spread * spread * _VARIANCE_OF_MEDIAN / counts)
    away = np.abs(values - centers[phases])
    overall = _deviation(away)
    floor = _LEAST_SPREAD * max(1.0, float(np.abs(centers).max())) if overall == 0 else overall * 1e-3
    own = np.maximum(_medians(away, phases, counts) * _MAD_TO_DEVIATION, floor)
    spreads = np.exp(_drawn_together(np.log(own), _VARIANCE_OF_LOG_MAD / counts))
    return Profile(centers, np.maximum(spreads, floor))


def occurrences(phases: NDArray[np.intp], phase_count: int) -> NDArray[np.intp]:
    """How many values of the same phase came before each, shape (n,)."""
    import numpy as np

    order = np.argsort(phases, kind="stable")
    counts = np.bincount(phases, minlength=phase_count)
    found = np.empty_like(order)
    found[order] = np.arange(order.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return found


def _medians(values: NDArray[np.float64], phases: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    import numpy as np

    ordered = values[np.lexsort((values, phases))]
    starts = np.cumsum(counts) - counts
    return np.asarray(ordered[starts + (counts - 1) // 2] / 2 + ordered[starts + counts // 2] / 2)


def _deviation(away: NDArray[np.float64]) -> float:
    """From absolute deviations: by their median, or by their mean where more than half are 0."""
    import numpy as np

    median = float(np.median(away))
    return median * _MAD_TO_DEVIATION if median > 0 else float(away.mean()) * _MEAN_ABSOLUTE_TO_DEVIATION


def _drawn_together(values: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values drawn to their mean by the share of their variance that their errors (variances) explain."""
    import numpy as np

    if values.size == 1:
        return values
    middle = float(values.mean())
    between = max(0.0, float(values.var(ddof=1)) - float(errors.mean()))
    own = np.divide(between, between + errors, out=np.ones_like(values), where=between + errors > 0)
    return np.asarray(middle + own * (values - middle))

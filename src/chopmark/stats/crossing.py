"""How likely a statistic that is looked at several times leaves its bounds, and at which look.

With independent increments the statistics of K looks are normal, with mean ``drift * sqrt(t_k)``, variance 1 and covariance
``sqrt(t_j / t_k)`` for j < k, where t is the information as a share of the planned one. The density of the statistic among what
has not left yet follows from that of the look before by one integral: Armitage, McPherson and Rowe (1969), "Repeated significance
tests on accumulating data", JRSS A 132(2); Jennison and Turnbull (2000), "Group Sequential Methods with Applications to Clinical
Trials", eq. 8.5 and 19.5 to 19.7. The integral is taken by Gauss-Legendre panels no wider than the narrowest feature, instead of
their Simpson rule; it is exact to about 1e-13.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FARTHEST_Z",
    "GROWTH_LEAST",
    "LEAST_TAIL",
    "LOOKS_MOST",
    "Continuing",
    "Crossing",
    "check_information",
    "check_looks",
    "crossing",
    "legendre",
]

LOOKS_MOST = 20
"""Looks that one plan may hold."""

GROWTH_LEAST = 0.001
"""Share by which the information must have grown since the look before: less is the same data again."""

FARTHEST_Z = 37.0
"""Bound of a look at which next to nothing may be spent; beyond it the normal tail is less than the smallest number there is."""

LEAST_TAIL = 1e-300
"""A probability below this one counts as none."""

_REACH = 9.0  # standard deviations on either side that are integrated over; 2e-19 lies outside
_PANEL_SDS = 5.0  # width of a panel, in standard deviations of its narrowest feature
_PANEL_NODES = 16


class Crossing(msgspec.Struct, frozen=True):
    """Probability of leaving for the first time at each look, upwards and downwards.

    Attributes
    ----------
    above, below
        One for each look; together with what never leaves they add up to 1.
    """

    above: tuple[float, ...]
    below: tuple[float, ...]


class Continuing:
    """What has not left its bounds at the looks so far: a density on nodes. `stay` gives that of the next look.

    Parameters
    ----------
    drift
        Mean of the statistic at full information (0 under the null hypothesis).
    """

    __slots__ = ("_drift", "_information", "_mass", "_nodes")

    def __init__(self, drift: float = 0.0) -> None:
        self._drift = drift
        self._information = 0.0
        self._nodes: NDArray[np.float64] | None = None  # of the statistic at the last look; None before the first
        self._mass: NDArray[np.float64] | None = None  # probability at each node

    def above(self, information: float, bound: float) -> float:
        """Probability of staying so far and being above the bound at a look with this information."""
        return self._beyond(information, bound, 1.0)

    def below(self, information: float, bound: float) -> float:
        """Probability of staying so far and being below the bound at a look with this information."""
        return self._beyond(information, bound, -1.0)

    def stay(self, information: float, low: float, high: float, following: float | None = None) -> Continuing:
        """What stays between two bounds at a look; ``following`` is the information of the look after it, if there is one."""
        import numpy as np

        step = information - self._information
        narrowest = min(1.0, math.sqrt(step / information))
        if following is not None:
            narrowest = min(narrowest, math.sqrt((following - information) / information))
        centre = self._drift * math.sqrt(information)
        nodes, weights = _panels(max(low, centre - _REACH), min(high, centre + _REACH), _PANEL_SDS * narrowest)
        stayed = Continuing(self._drift)
        stayed._information, stayed._nodes = information, nodes
        if self._nodes is None or self._mass is None:
            stayed._mass = weights * np.exp(-0.5 * np.square(nodes - centre)) / math.sqrt(2 * math.pi)
            return stayed
        scale = math.sqrt(information / step)
        reached = (self._nodes * math.sqrt(self._information) + self._drift * step) / math.sqrt(step)
        kernel = np.subtract.outer(nodes * scale, reached)
        np.multiply(kernel, kernel, out=kernel)
        kernel *= -0.5
        np.exp(kernel, out=kernel)
        stayed._mass = weights * (kernel @ self._mass) * (scale / math.sqrt(2 * math.pi))
        return stayed

    def _beyond(self, information: float, bound: float, sign: float) -> float:
        from scipy.special import ndtr

        if self._nodes is None or self._mass is None:
            return float(ndtr(sign * (self._drift * math.sqrt(information) - bound)))
        step = information - self._information
        ahead = self._nodes * math.sqrt(self._information) + self._drift * step - bound * math.sqrt(information)
        return float(self._mass @ ndtr(sign * ahead / math.sqrt(step)))


def crossing(
    information: Sequence[float], low: Sequence[float], high: Sequence[float], *, drift: float = 0.0
) -> Crossing:
    """Probabilities of leaving between two bounds, look by look.

    Parameters
    ----------
    information
        Shares of the planned information, rising, at most 20.
    low, high
        Bounds of the statistic at each look (z scale), as many as looks; ``low[k] <= high[k]``. Infinite ones bound nothing.
    drift
        Mean of the statistic at full information.

    Raises
    ------
    InvalidRequest
        When the information does not rise, there are too many looks, or bounds do not fit.

    Examples
    --------
    >>> twice = crossing([0.5, 1.0], [-1.96, -1.96], [1.96, 1.96])
    >>> round(sum(twice.above) + sum(twice.below), 4)  # what two looks at 5 % do
    0.0831
    """
    check_information(information)
    check_number("drift", drift)
    if not len(low) == len(high) == len(information):
        raise InvalidRequest("There are not as many bounds as looks.", hint="Give one lower and one upper a look.")
    if not all(a <= b for a, b in zip(low, high, strict=True)):
        raise InvalidRequest("A lower bound is above the upper one, or is no number.", hint="Give bounds in order.")
    state = Continuing(drift)
    above, below = [], []
    for k, share in enumerate(information):
        above.append(state.above(share, high[k]))
        below.append(state.below(share, low[k]))
        if k + 1 < len(information):
            state = state.stay(share, low[k], high[k], information[k + 1])
    return Crossing(tuple(above), tuple(below))


def check_information(information: Sequence[float]) -> None:
    """Raise `InvalidRequest` unless these are 1 to 20 positive numbers, each above the one before by 0.1 % or more."""
    check_looks(len(information))
    before = 0.0
    for share in information:
        check_number("information", share)
        if share <= 0 or share < before * (1 + GROWTH_LEAST):
            raise InvalidRequest(
                f"Information of {share:g} after {before:g} tells nothing new.",
                hint="Information is a share of the planned one, above 0, and rises by 0.1 % or more from look to look.",
            )
        before = share


def check_looks(count: int) -> None:
    """Raise `InvalidRequest` unless there are 1 to 20 looks."""
    if not 1 <= count <= LOOKS_MOST:
        raise InvalidRequest(
            f"{count} looks cannot be planned.",
            hint=f"Plan 1 to {LOOKS_MOST}; to look at every record, use a sequential test.",
        )


def _panels(low: float, high: float, widest: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss-Legendre panels between two ends; none when nothing lies between."""
    import numpy as np

    if high <= low:
        return np.empty(0), np.empty(0)
    count = math.ceil((high - low) / widest)
    points, weights = legendre(_PANEL_NODES)
    half = (high - low) / count / 2
    centres = low + half * (2 * np.arange(count) + 1)
    nodes: NDArray[np.float64] = (centres[:, None] + half * points).reshape(-1)
    return nodes, np.tile(weights * half, count)


@cache
def legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss and Legendre on [-1, 1]; they cost more than most integrals taken with them."""
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss(count)
    for array in (points, weights):
        array.setflags(write=False)  # they are shared
    return points, weights

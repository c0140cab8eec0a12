"""What it costs to look early at a test that is not made for it."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["peeking_error"]

_LOOKS_MAX = 1_000
_NODES_A_UNIT = 3.0
_NODES_LEAST = 48
_DEVIATIONS_MAX = 9.0  # of a single step: what lies beyond has a chance below 1e-18


@cache
def _quadrature(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights on [-1, 1], of few different sizes, since they take longer than their use."""
    from numpy.polynomial.legendre import leggauss

    return leggauss(size * _NODES_LEAST)


def peeking_error(alpha: float, looks: int) -> float:
    """Chance that an ordinary two-sided z test is significant at one of its looks, while there is no difference.

    Parameters
    ----------
    alpha
        Of each single look.
    looks
        How many, at equal distances; at most 1,000.

    Returns
    -------
    float
        In the normal limit, to about ten digits.

    Raises
    ------
    InvalidRequest
        When there are no looks or too many.

    Notes
    -----
    Armitage, McPherson and Rowe (1969), "Repeated significance tests on accumulating data", Journal of the Royal Statistical Society A
    132(2): the density of the sum over the paths that have not crossed c·√k is carried from look to look,
    f(s) = ∫ f(u)·φ(s - u) du, here by Gauss–Legendre quadrature.

    Examples
    --------
    >>> round(peeking_error(0.05, 1), 3), round(peeking_error(0.05, 20), 3)
    (0.05, 0.248)
    """
    import numpy as np
    from scipy.special import ndtri

    check_share("alpha", alpha)
    check_count("looks", looks)
    if not 1 <= looks <= _LOOKS_MAX:
        raise InvalidRequest(
            f"{looks:,} looks are too few or too many.", hint=f"Give a number from 1 to {_LOOKS_MAX:,}."
        )
    critical = -float(ndtri(alpha / 2))
    if looks == 1:
        return alpha
    nodes, weights, mass = np.zeros(1), np.ones(1), np.ones(1)  # all at 0 before the first look
    for k in range(1, looks + 1):
        end = min(critical * math.sqrt(k), k * _DEVIATIONS_MAX)
        nodes_before, mass = nodes, mass * weights
        unit, unit_weights = _quadrature(math.ceil(_NODES_A_UNIT * 2 * end / _NODES_LEAST) + 1)
        nodes, weights = end * unit, end * unit_weights
        steps = nodes[:, None] - nodes_before
        mass = np.exp(-0.5 * steps * steps) @ mass / math.sqrt(2 * math.pi)
    return float(1.0 - weights @ mass)

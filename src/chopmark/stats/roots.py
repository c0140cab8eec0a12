"""Where a function of one number is 0."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["find_root"]

_PRECISION = 1e-13
_PRECISION_RELATIVE = 1e-14


def find_root(function: Callable[[float], float], low: float, high: float, *, precision: float = _PRECISION) -> float:
    """Where a continuous function that changes its sign between two ends is 0.

    Parameters
    ----------
    function
        Its signs at the two ends differ, or it is 0 at one of them.
    low, high
        The ends.
    precision
        How far from the root the answer may be, besides a part in 10¹⁴ of it.

    Raises
    ------
    ValueError
        When the signs do not differ: ends are for the caller to choose.

    Notes
    -----
    Brent (1973), "Algorithms for Minimization without Derivatives", chapter 4.

    Examples
    --------
    >>> round(find_root(lambda x: x * x - 2, 0.0, 2.0), 12)
    1.414213562373
    """
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=precision, rtol=_PRECISION_RELATIVE))

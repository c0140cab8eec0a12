"""How to share traffic among arms with a rate each: the better an arm may be, the more it gets.

Shares are computed, not drawn: what Thompson sampling would give in the long run, so that an allocation can be explained and
repeated. An adaptive allocation is for earning while learning; the arms' rates measured under it do not carry the error
guarantees of an experiment with fixed shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chopmark.errors import InvalidRequest
from chopmark.stats.bayes import BetaPrior
from chopmark.stats.beta_quadrature import Shape, cdf, density, grid, posterior
from chopmark.stats.checks import check_number
from chopmark.stats.summaries import Proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ARMS_MAX", "probability_best", "thompson_shares", "top_two_shares"]

ARMS_MAX = 100
_SUM_PRECISION = 1e-6
_ROUNDING = 1e-12  # of floors that take everything
_UNIFORM = BetaPrior()


def probability_best(
    arms: Sequence[Proportion], *, prior: BetaPrior = _UNIFORM, lower_is_better: bool = False
) -> tuple[float, ...]:
    """Probability of each arm that its rate is the highest of all.

    Parameters
    ----------
    arms
        Successes of trials, 1 to `ARMS_MAX` arms; without any trials, the prior speaks.
    prior
        Of every arm's rate.
    lower_is_better
        Ask for the lowest rate instead.

    Returns
    -------
    tuple of float
        Within 10⁻⁶, in the order of the arms; they sum to 1.

    Raises
    ------
    InvalidRequest
        When there are no arms or too many, or one has more than 10¹² trials.

    Notes
    -----
    P(i is best) = ∫ f_i·∏_{j≠i} F_j dx, by quadrature. Scott (2010), "A modern Bayesian look at the multi-armed bandit", Applied
    Stochastic Models in Business and Industry 26, section 3.

    Examples
    --------
    >>> [round(share, 3) for share in probability_best([Proportion(90, 100), Proportion(95, 100), Proportion(80, 100)])]
    [0.096, 0.904, 0.0]
    """
    import numpy as np

    if not 0 < len(arms) <= ARMS_MAX:
        raise InvalidRequest(f"{len(arms)} arms cannot be compared.", hint=f"Give 1 to {ARMS_MAX} arms.")
    shapes = [posterior(arm, prior.a, prior.b) for arm in arms]
    if lower_is_better:
        shapes = [Shape(shape.b, shape.a) for shape in shapes]  # the arm whose rate of failures is the highest
    nodes = grid(shapes)
    others_below = _products_of_others(np.array([cdf(shape, nodes.x, nodes.y) for shape in shapes]))
    found = [float((density(shape, nodes) * below).sum()) for shape, below in zip(shapes, others_below, strict=True)]
    return _normalised(found)


def _products_of_others(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product of all rows but each; shape (rows, columns) in and out. By products from both sides, since a row may hold 0."""
    import numpy as np

    ones = np.ones((1, rows.shape[1]))
    before = np.concatenate([ones, np.cumprod(rows[:-1], axis=0)])
    after = np.concatenate([np.cumprod(rows[:0:-1], axis=0)[::-1], ones])
    product: NDArray[np.float64] = before * after
    return product


def thompson_shares(probabilities: Sequence[float], *, floor: float = 0.0) -> tuple[float, ...]:
    """Traffic of each arm by its probability to be the best.

    Parameters
    ----------
    probabilities
        From `probability_best`.
    floor
        What every arm gets at least, from 0 to one share of as many as there are arms. The rest goes by probability.

    Returns
    -------
    tuple of float
        Shares, which sum to 1.

    Raises
    ------
    InvalidRequest
        When these are no probabilities, or the floors sum to more than 1.

    Notes
    -----
    Thompson (1933), "On the likelihood that one unknown probability exceeds another", Biometrika 25, in the form of Scott (2010).

    Examples
    --------
    >>> thompson_shares([0.75, 0.25], floor=0.25)
    (0.625, 0.375)
    """
    return _with_floor(_checked(probabilities), floor)


def top_two_shares(probabilities: Sequence[float], *, best: float = 0.5, floor: float = 0.0) -> tuple[float, ...]:
    """Traffic by top-two Thompson sampling, which tries the rivals of the best arm more often and so finds out sooner.

    Parameters
    ----------
    probabilities
        From `probability_best`.
    best
        How often the arm drawn first is used; otherwise draws go on until another arm comes. From above 0 to 1.
    floor
        What every arm gets at least.

    Returns
    -------
    tuple of float
        Shares, which sum to 1.

    Raises
    ------
    InvalidRequest
        When these are no probabilities, ``best`` is no share, or the floors sum to more than 1.

    Notes
    -----
    Russo (2020), "Simple Bayesian algorithms for best-arm identification", Operations Research 68(6), section 3:
    share of i = p_i·(β + (1 - β)·Σ_{j≠i} p_j/(1 - p_j)).

    Examples
    --------
    >>> top_two_shares([0.9, 0.1])
    (0.5, 0.5)
    """
    check_number("best", best, least=0.0)
    if not 0 < best <= 1:
        raise InvalidRequest(f"best is {best!r}.", hint="Give a share above 0, at most 1, such as 0.5.")
    chances = _checked(probabilities)
    if len(chances) == 1:
        return (1.0,)
    return _with_floor(
        _normalised([best * p + (1 - best) * q for p, q in zip(chances, _second(chances), strict=True)]), floor
    )


def _second(chances: tuple[float, ...]) -> list[float]:
    """Probability of each arm to be the next one drawn that is not the first: Σ_{j≠i} p_j·p_i/(1 - p_j)."""
    shares = [0.0] * len(chances)
    for first, chance in enumerate(chances):
        rest = sum(chances[:first]) + sum(chances[first + 1 :])  # 1 - p would have no digits left when p is nearly 1
        for other, rival in enumerate(chances):
            if other != first:
                # When nothing is left for the others, no draw ever ends: they are equal rivals.
                shares[other] += chance * (rival / rest if rest > 0 else 1 / (len(chances) - 1))
    return shares


def _checked(probabilities: Sequence[float]) -> tuple[float, ...]:
    for chance in probabilities:
        check_number("a probability", chance, least=0.0)
    total = sum(probabilities)
    if not abs(total - 1) < _SUM_PRECISION:
        raise InvalidRequest(f"These probabilities sum to {total:g}.", hint="Give what `probability_best` answered.")
    return _normalised(probabilities)


def _with_floor(shares: tuple[float, ...], floor: float) -> tuple[float, ...]:
    check_number("floor", floor, least=0.0)
    left = 1 - floor * len(shares)
    if left < -_ROUNDING:
        raise InvalidRequest(
            f"{len(shares)} arms cannot have {floor:g} each.", hint=f"Give a floor of at most 1/{len(shares)}."
        )
    return _normalised([floor + max(0.0, left) * share for share in shares])


def _normalised(shares: Sequence[float]) -> tuple[float, ...]:
    total = sum(shares)
    return tuple(share / total for share in shares)

"""Integrals over Beta distributions, precise from a handful of trials to billions of them.

Everything is computed at Gauss–Legendre nodes in the logit of the rate, t = ln(x/(1 - x)), in panels that end at quantiles of
every distribution involved, so that a narrow one beside a wide one is resolved. A density is taken relative to its mode on that
scale, where the terms that grow with the number of trials cancel before they are rounded, and normalised by its own quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number
from chopmark.stats.summaries import Proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LEAST_RATE",
    "Grid",
    "Shape",
    "cdf",
    "density",
    "grid",
    "logits",
    "narrowest",
    "nodes_between",
    "panel_quantiles",
    "posterior",
]

LEAST_RATE = 1e-300
"""What a rate of 0 is taken for where its logarithm is needed."""

_ORDER = 20
_TAIL = 1e-14
_LEVELS = (_TAIL, 1e-10, 1e-7, 1e-5, 1e-3, 0.02, 0.1, 0.3, 0.5)
_WIDE = (
    0.0,
    1.0,
    2.0,
    3.5,
    5.0,
    7.0,
    10.0,
    15.0,
    22.0,
    32.0,
)  # further ends of panels, for distributions over many doublings
_LEAST_SHAPE = 0.05  # below, most of the mass may lie below the least number a double can hold
_MIDDLE = 0.5  # up to it a rate is the more precise of the two, from it on its rest is
_GREATEST_SHAPES = 1e12  # above, distribution functions lose their sixth digit


class Shape(NamedTuple):
    """Parameters of a Beta distribution: as many successes and failures (not whole numbers) as it knows of."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Expected rate."""
        return self.a / (self.a + self.b)


class Grid(NamedTuple):
    """Nodes of a quadrature, shape (nodes,) each: logit, rate x, 1 - x without its rounding, and weights in the logit."""

    t: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    weights: NDArray[np.float64]


def posterior(counts: Proportion, a: float, b: float) -> Shape:
    """Beta distribution of a rate after some trials, when it was Beta(a, b) before them.

    Raises
    ------
    InvalidRequest
        When a prior's parameter is not above 0, the posterior has one below 0.05, or they sum up to more than 10¹².
    """
    for name, value in (("a", a), ("b", b)):
        check_number(f"the prior's {name}", value, least=0.0)
    shape = Shape(a + counts.successes, b + counts.failures)
    if min(a, b) == 0 or min(shape) < _LEAST_SHAPE:
        raise InvalidRequest(
            f"A Beta({a:g}, {b:g}) prior says next to nothing of a rate when all trials went one way.",
            hint=f"Give both parameters at least {_LEAST_SHAPE:g}; 1 and 1 for a uniform prior.",
        )
    if sum(shape) > _GREATEST_SHAPES:
        raise InvalidRequest(
            f"{counts.n:,} trials are more than this is exact for.",
            hint="Use `bayes.normal_effect`, which has no such limit.",
        )
    return shape


def grid(shapes: Sequence[Shape]) -> Grid:
    """Nodes for integrals of products of the densities and distribution functions of some shapes."""
    import numpy as np

    ends = np.concatenate([logits(*panel_quantiles(shape)) for shape in shapes])
    return nodes_between(ends, narrowest(shapes))


def narrowest(shapes: Sequence[Shape]) -> float:
    """As narrow as a panel need be: about half a standard deviation of the narrowest distribution, in the logit."""
    return min(math.sqrt(1 / shape.a + 1 / shape.b) for shape in shapes) / 2


def nodes_between(ends: NDArray[np.float64], apart: float) -> Grid:
    """Nodes in panels from the least to the greatest of some logits, leaving out ends that are closer than needed to others."""
    import numpy as np

    wide = np.array([*(-end for end in _WIDE), *_WIDE[1:]])
    first, last = float(ends.min()), float(ends.max())
    inner = np.unique(np.concatenate([ends, wide[(wide > first) & (wide < last)]]))
    kept = [first]
    for end in inner.tolist():
        if end - kept[-1] >= apart:
            kept.append(end)
    if kept[-1] < last:
        kept.append(last)
    panels = np.array(kept)
    places, weights = np.polynomial.legendre.leggauss(_ORDER)
    half = np.diff(panels)[:, None] / 2
    t = ((panels[:-1, None] + half) + half * places).reshape(-1)
    shrunk = np.exp(-np.abs(t))
    smaller = shrunk / (1 + shrunk)
    larger = 1 / (1 + shrunk)
    x, y = np.where(t < 0, smaller, larger), np.where(t < 0, larger, smaller)
    return Grid(t, x, y, (half * weights).reshape(-1))


def panel_quantiles(shape: Shape) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates x at the levels where panels end, and 1 - x: shape (levels,), ascending in x."""
    import numpy as np
    from scipy import special

    low, high = np.array(_LEVELS), np.array(_LEVELS[-2::-1])
    x = np.concatenate([special.betaincinv(*shape, low), special.betainccinv(*shape, high)])
    y = np.concatenate([special.betainccinv(shape.b, shape.a, low), special.betaincinv(shape.b, shape.a, high)])
    return x, y


def logits(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(x/y), with y = 1 - x known by itself."""
    import numpy as np

    found: NDArray[np.float64] = np.log(np.maximum(x, LEAST_RATE)) - np.log(np.maximum(y, LEAST_RATE))
    return found


def cdf(shape: Shape, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(rate ≤ x), with y = 1 - x known by itself so that nothing is lost near 1; both may lie outside 0 to 1."""
    import numpy as np
    from scipy import special

    below: NDArray[np.float64] = np.where(
        x <= _MIDDLE,
        special.betainc(shape.a, shape.b, np.clip(x, 0.0, 1.0)),
        special.betaincc(shape.b, shape.a, np.clip(y, 0.0, 1.0)),
    )
    return below


def density(shape: Shape, nodes: Grid) -> NDArray[np.float64]:
    """Weight of each node under a distribution: sums to 1.

    ln f(t) - ln f(m) = -a·ln(1 + (1 - p)(e⁻ᵈ - 1)) - b·ln(1 + p(eᵈ - 1)), with d = t - m, at the mode m = ln(a/b), p = a/(a + b).
    """
    import numpy as np

    a, b = shape
    distance = nodes.t - (math.log(a) - math.log(b))
    with np.errstate(over="ignore"):  # far away e^d is infinite, and the density 0
        falling = a * np.log1p(b / (a + b) * np.expm1(-distance))
        rising = b * np.log1p(a / (a + b) * np.expm1(distance))
        weighted: NDArray[np.float64] = np.exp(-(falling + rising)) * nodes.weights
    weighted /= weighted.sum()
    return weighted

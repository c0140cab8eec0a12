"""Distribution of the difference, or of the ratio, of two independent rates that are Beta distributed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from chopmark.stats.beta_quadrature import (
    LEAST_RATE,
    Shape,
    cdf,
    density,
    logits,
    narrowest,
    nodes_between,
    panel_quantiles,
)
from chopmark.stats.roots import find_root

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
    """Rates x and 1 - x, the latter known by itself."""

    Move: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], Pair]

__all__ = ["EffectOfRates", "difference_of", "ratio_of"]

_TAIL = 1e-16
_PRECISION = 1e-11  # of a quantile, relative to the range


class EffectOfRates(NamedTuple):
    """Distribution of T - C, or of ln(T/C), of two independent rates: its function, and where that is as good as 0 and as 1."""

    below: Callable[[float], float]
    least: float
    greatest: float

    def quantile(self, level: float) -> float:
        """Where the function reaches a level: by the normal scores of both, in which it is nearly straight."""
        from scipy import special

        wanted = float(special.ndtri(level))

        def off(at: float) -> float:
            return float(special.ndtri(min(max(self.below(at), _TAIL), 1 - _TAIL))) - wanted

        if off(self.least) >= 0:
            return self.least
        if off(self.greatest) <= 0:
            return self.greatest
        return find_root(off, self.least, self.greatest, precision=_PRECISION * (self.greatest - self.least))


def difference_of(control: Shape, treatment: Shape) -> EffectOfRates:
    """Distribution of T - C, by that of T at each rate of C moved."""
    (x_c, _), (x_t, y_t) = panel_quantiles(control), panel_quantiles(treatment)

    def below(shift: float) -> float:
        return _share_below(control, treatment, lambda x, y: (x + shift, y - shift), (x_t - shift, y_t + shift))

    return EffectOfRates(below, max(-1.0, float(x_t[0] - x_c[-1])), min(1.0, float(x_t[-1] - x_c[0])))


def ratio_of(control: Shape, treatment: Shape) -> EffectOfRates:
    """Distribution of ln(T/C), by that of T at each rate of C multiplied."""
    import numpy as np

    (x_c, _), (x_t, y_t) = panel_quantiles(control), panel_quantiles(treatment)

    def below(log_ratio: float) -> float:
        ratio, less_one = math.exp(log_ratio), math.expm1(log_ratio)
        ends = (x_t / ratio, (y_t + less_one) / ratio)
        return _share_below(control, treatment, lambda x, y: (x * ratio, y * ratio - less_one), ends)

    log_c, log_t = (np.log(np.maximum(x, LEAST_RATE)) for x in (x_c, x_t))
    return EffectOfRates(below, float(log_t[0] - log_c[-1]), float(log_t[-1] - log_c[0]))


def _share_below(control: Shape, treatment: Shape, moved: Move, ends: Pair) -> float:
    """P(T ≤ move(C)): the distribution of T at each rate of C, moved; panels end where those of C and, moved back, of T do."""
    import numpy as np

    own = logits(*panel_quantiles(control))
    others = logits(*ends)
    others = others[(others > own[0]) & (others < own[-1])]
    # All but coinciding ends are kept: where the distribution of T begins, or ends, it has a kink that no panel may hold.
    nodes = nodes_between(np.concatenate([own, others]), 1e-3 * narrowest([control, treatment]))
    weights = density(control, nodes)
    heavy = weights > _TAIL * weights.max()
    return float(weights[heavy] @ cdf(treatment, *moved(nodes.x[heavy], nodes.y[heavy])))

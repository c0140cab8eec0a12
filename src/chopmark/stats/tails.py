"""Quantiles far out: by the values themselves while there are enough beyond, by a generalised Pareto distribution of the largest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["upper_quantile"]

_TAIL_SHARE = 0.03
_TAIL_LEAST, _TAIL_MOST = 20, 1_000
_TAIL_SHARE_MOST = 0.2
_SHAPE_LEAST, _SHAPE_MOST = -0.5, 0.7
_SHAPE_NONE = 1e-6


def upper_quantile(values: NDArray[np.float64], rate: float) -> float:
    """Value that a share ``rate`` of such values lies above.

    Parameters
    ----------
    values
        Shape (n,), finite.
    rate
        Above 0 and below 1.

    Notes
    -----
    The largest values less a level u follow a generalised Pareto distribution (Pickands 1975). With a₀ their mean excess and a₁ its
    mean weighted by 1 − F, the shape is ξ = 2 − a₀/(a₀ − 2a₁) and the scale σ = 2a₀a₁/(a₀ − 2a₁): Hosking & Wallis (1987), eq. 5.
    """
    import numpy as np

    ordered = np.sort(values)
    n = ordered.size
    most = min(_TAIL_MOST, max(1, int(_TAIL_SHARE_MOST * n)))
    beyond = min(most, max(_TAIL_LEAST, round(_TAIL_SHARE * n)))
    if rate * n >= beyond:
        return float(np.quantile(ordered, 1 - rate))
    level = float(ordered[n - beyond - 1])
    excess = ordered[n - beyond :] - level
    mean = float(excess.mean())
    weighted = float(((1 - (np.arange(1, beyond + 1) - 0.35) / beyond) @ excess) / beyond)
    if mean <= 0:
        return level
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else _SHAPE_LEAST
    shape = min(_SHAPE_MOST, max(_SHAPE_LEAST, shape))
    scale = mean * (1 - shape)
    share = rate * n / beyond
    if abs(shape) < _SHAPE_NONE:  # the exponential distribution, its limit
        return level - scale * float(np.log(share))
    return level + scale / shape * (float(share**-shape) - 1)

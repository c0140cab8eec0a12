"""The e-variables of the Bernoulli e-process: arithmetic on arrays, the same for one experiment and for thousands.

A record is an arm, drawn with a known share π for treatment, and an outcome. An alternative is a pair of success rates t0, t1
whose log odds differ by δ and whose mean over the arms, π·t1 + (1-π)·t0, is the baseline b. Against "both arms have the rate b"
its likelihood ratio is t1/b for a success in treatment, t0/b in control, (1-t1)/(1-b) and (1-t0)/(1-b) for failures. Over the
random arm the mean of each pair is 1, whatever the outcome is. So the product over records has expectation 1 however outcomes
come about, and its mixture over δ is a test martingale: Turner, Ly and Grünwald (2024), "Generic E-variables for exact sequential
k-sample tests that allow for optional stopping", Journal of Statistical Planning and Inference 230, section 2, with the arm
drawn instead of blocked; by Ville's inequality it exceeds 1/α at any look with a probability of at most α.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "EFFECTS",
    "Counts",
    "batch_log_e",
    "log_odds_ratios",
    "log_ratios",
    "log_weights",
]

_STRENGTHS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
_WEIGHTS = (0.6, 1.0, 1.5, 1.5, 1.5, 1.0, 0.6, 0.3)
EFFECTS = 2 * len(_STRENGTHS)
"""How many alternatives are mixed."""


class Counts(NamedTuple):
    """Records of a batch by arm and outcome: numbers, or arrays of shape (experiments,)."""

    control_successes: Any
    control_failures: Any
    treatment_successes: Any
    treatment_failures: Any


@cache
def log_odds_ratios() -> NDArray[np.float64]:
    """Shape (16,): the log odds ratios of treatment to control that are mixed, ascending."""
    import numpy as np

    strengths = np.array(_STRENGTHS)
    return np.concatenate([-strengths[::-1], strengths])


@cache
def log_weights() -> NDArray[np.float64]:
    """Shape (16,): logarithms of their weights, which sum to 1."""
    import numpy as np

    weights = np.array(_WEIGHTS)
    both = np.concatenate([weights[::-1], weights])
    logs: NDArray[np.float64] = np.log(both / both.sum())
    return logs


@cache
def _effects() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shape (2, 16): log odds ratios of success and of failure, and the odds ratios less 1."""
    import numpy as np

    effects = np.stack([log_odds_ratios(), -log_odds_ratios()])
    return effects, np.expm1(effects)


def log_ratios(rate: Any, failure_rate: Any, share: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of the likelihood ratios of one record in control and in treatment, each of shape (…, 2, 16).

    The last axis but one is success, failure.

    Parameters
    ----------
    rate, failure_rate
        The baseline and 1 minus it, numbers or shape (experiments,): both, since near 1 the difference would lose its digits.
    share
        Share of treatment, a number or shape (experiments,).

    Notes
    -----
    t0 solves (1-π)(r-1)·t0² + (1 + (π-b)(r-1))·t0 - b = 0 with r = exp(δ), which is π·t1 + (1-π)·t0 = b with
    t1 = r·t0 / (1 + (r-1)·t0). Of its roots one lies between 0 and 1, and t0 = 2b / (B + √(B² + 4Ab)) loses no digits
    however small b is. Failures are the same with the other rates and 1/r.
    """
    import numpy as np

    effects, more = _effects()
    rates = np.array((rate, failure_rate), dtype=np.float64).T[..., None]
    shares = np.asarray(share, dtype=np.float64)[..., None, None]
    linear = 1.0 + (shares - rates) * more
    ratio = 2.0 / (linear + np.sqrt(linear * linear + 4.0 * (1.0 - shares) * more * rates))
    control = np.log(ratio)
    return control, control + effects - np.log1p(more * rates * ratio)


def batch_log_e(counts: Counts, rate: Any, failure_rate: Any, share: Any) -> NDArray[np.float64]:
    """Logarithm of a batch's e-value for each alternative, shape (…, 16).

    Parameters
    ----------
    counts
        Records of the batch.
    rate, failure_rate, share
        As for `log_ratios`; chosen without regard to the arms of the batch.
    """
    import numpy as np

    control, treatment = log_ratios(rate, failure_rate, share)
    by_control = np.array(counts[:2], dtype=np.float64).T[..., None]
    by_treatment = np.array(counts[2:], dtype=np.float64).T[..., None]
    total: NDArray[np.float64] = (by_control * control + by_treatment * treatment).sum(axis=-2)
    return total

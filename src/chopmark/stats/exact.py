"""Exact tests of two proportions, for arms too small for the z test. Treatment against control.

- `fisher_test`: Fisher (1935), "The logic of inductive inference", Journal of the Royal Statistical Society 98(1); given the number of
  successes of both arms together, and so the most careful of the three.
- `barnard_test`: Barnard (1945), "A new test for 2 × 2 tables", Nature 156; the pooled z as the order of the tables, the largest chance
  over all rates that both arms may share.
- `boschloo_test`: Boschloo (1970), "Raised conditional level of significance for the 2 × 2-table when testing the equality of two
  probabilities", Statistica Neerlandica 24(1); Fisher's one-sided p-value as the order. Never less powerful than Fisher's.

The two-sided value of Fisher and Barnard counts all tables at least as extreme; that of Boschloo is twice the smaller one-sided one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.proportions import difference
from chopmark.stats.results import Flag
from chopmark.stats.summaries import Proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Region = NDArray[np.bool_]

__all__ = [
    "BARNARD_TRIALS_MAX",
    "FISHER_TRIALS_MAX",
    "ExactTest",
    "barnard_test",
    "boschloo_test",
    "fisher_test",
    "largest_chance",
]

BARNARD_TRIALS_MAX = 1_000
"""Trials of both arms together up to which Barnard's and Boschloo's tests are offered: time and memory grow with their square."""

FISHER_TRIALS_MAX = 10_000_000
"""The same for Fisher's test, which grows with the trials."""

# Tables whose order differs by less are as extreme as each other: rounding tells them apart, not the data.
_TIE = 1e-7
_TIE_OF_Z = 1e-9
_POINTS_LEAST = 256
_POINTS_PER_ROOT = 32
_PEAKS = 4
_ZOOMS = 3
_ZOOM_POINTS = 41


class ExactTest(msgspec.Struct, frozen=True, kw_only=True):
    """P-values of an exact test.

    Attributes
    ----------
    estimate
        Difference of the rates, treatment minus control.
    p_value
        Two-sided.
    p_greater, p_less
        One-sided: that the treatment's rate is larger, smaller.
    flags
        ``no_data``, or ``all_equal`` when all trials end alike: every p is 1.
    """

    estimate: float
    p_value: float
    p_greater: float
    p_less: float
    flags: tuple[Flag, ...] = ()


def fisher_test(control: Proportion, treatment: Proportion) -> ExactTest:
    """Test that two rates are equal, given the successes of both arms together.

    Parameters
    ----------
    control, treatment
        Successes and trials, at most `FISHER_TRIALS_MAX` together.

    Returns
    -------
    ExactTest
        The two-sided value adds up all tables that are no more likely than the one seen.

    Raises
    ------
    InvalidRequest
        When there are more trials.

    Examples
    --------
    >>> round(fisher_test(Proportion(4, 10), Proportion(4, 23)).p_value, 4)
    0.2054
    """
    import numpy as np

    degenerate = _degenerate(control, treatment, FISHER_TRIALS_MAX)
    if degenerate:
        return degenerate
    first, chances = _hypergeometric(control, treatment)
    seen = treatment.successes - first
    as_unlikely = chances <= chances[seen] * (1 + _TIE)
    return ExactTest(
        estimate=difference(control, treatment),
        p_value=_chance(np.sum(chances[as_unlikely])),
        p_greater=_chance(np.sum(chances[seen:])),
        p_less=_chance(np.sum(chances[: seen + 1])),
    )


def barnard_test(control: Proportion, treatment: Proportion) -> ExactTest:
    """Test that two rates are equal, whatever the rate: tables in the order of the pooled z.

    Parameters
    ----------
    control, treatment
        Successes and trials, at most `BARNARD_TRIALS_MAX` together.

    Raises
    ------
    InvalidRequest
        When there are more trials.

    Examples
    --------
    >>> round(barnard_test(Proportion(4, 10), Proportion(4, 23)).p_value, 3)
    0.217
    """
    import numpy as np

    degenerate = _degenerate(control, treatment, BARNARD_TRIALS_MAX)
    if degenerate:
        return degenerate
    z = _pooled_z(control.n, treatment.n)
    seen = float(z[control.successes, treatment.successes])
    regions = (np.abs(z) >= abs(seen) - _TIE_OF_Z, z >= seen - _TIE_OF_Z, z <= seen + _TIE_OF_Z)
    two_sided, greater, less = (largest_chance(control.n, treatment.n, region) for region in regions)
    return ExactTest(estimate=difference(control, treatment), p_value=two_sided, p_greater=greater, p_less=less)


def boschloo_test(control: Proportion, treatment: Proportion) -> ExactTest:
    """Test that two rates are equal, whatever the rate: tables in the order of Fisher's one-sided p-value.

    Takes and refuses what `barnard_test` does.

    >>> round(boschloo_test(Proportion(4, 10), Proportion(4, 23)).p_value, 3)
    0.207
    """
    degenerate = _degenerate(control, treatment, BARNARD_TRIALS_MAX)
    if degenerate:
        return degenerate
    at = control.successes, treatment.successes
    greater, less = (
        largest_chance(control.n, treatment.n, order <= order[at] * (1 + _TIE))
        for order in _fisher_of_all(control.n, treatment.n)
    )
    return ExactTest(
        estimate=difference(control, treatment),
        p_value=min(1.0, 2 * min(greater, less)),
        p_greater=greater,
        p_less=less,
    )


def _degenerate(control: Proportion, treatment: Proportion, trials_max: int) -> ExactTest | None:
    both = control + treatment
    if both.n > trials_max:
        raise InvalidRequest(
            f"{both.n:,} trials are too many for this exact test, which takes {trials_max:,}.",
            hint="Use `chopmark.stats.proportions.z_test`, which agrees with it for so many.",
        )
    if control.n and treatment.n and both.successes and both.failures:
        return None
    flag: Flag = "all_equal" if control.n and treatment.n else "no_data"
    return ExactTest(estimate=0.0, p_value=1.0, p_greater=1.0, p_less=1.0, flags=(flag,))


def _hypergeometric(control: Proportion, treatment: Proportion) -> tuple[int, Floats]:
    """Smallest number of the treatment's successes given those of both, and the chances from it upwards.

    From the ratios of neighbours, and normalised: logarithms of factorials would lose the digits of large ones.
    """
    import numpy as np

    successes = control.successes + treatment.successes
    first, last = max(0, successes - control.n), min(treatment.n, successes)
    k = np.arange(first, last, dtype=np.float64)
    ratios = (treatment.n - k) * (successes - k) / ((k + 1) * (control.n - successes + k + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    chances = np.exp(logs - logs.max())
    return first, chances / chances.sum()


def _pooled_z(control_n: int, treatment_n: int) -> Floats:
    """The z of each table, shape (control_n + 1, treatment_n + 1); 0 where all trials end alike."""
    import numpy as np

    c, t = np.arange(control_n + 1.0)[:, None], np.arange(treatment_n + 1.0)[None, :]
    successes, total = c + t, control_n + treatment_n
    spread = successes * (total - successes)
    gaps = t * control_n - c * treatment_n  # whole numbers, so that equal rates give 0 and nothing else
    z: Floats = np.where(spread > 0, gaps / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)
    z *= (total / (control_n * treatment_n)) ** 0.5
    return z


def _fisher_of_all(control_n: int, treatment_n: int) -> tuple[Floats, Floats]:
    """Fisher's one-sided p-values of each table, that the treatment's rate is larger and smaller; shape as in `_pooled_z`."""
    import numpy as np

    greater = np.zeros((control_n + 1, treatment_n + 1))
    less = np.zeros_like(greater)
    for successes in range(control_n + treatment_n + 1):
        treated = min(successes, treatment_n)
        first, chances = _hypergeometric(Proportion(successes - treated, control_n), Proportion(treated, treatment_n))
        t = np.arange(first, first + len(chances))
        less[successes - t, t] = np.cumsum(chances)
        greater[successes - t, t] = np.cumsum(chances[::-1])[::-1]
    return greater, less


def largest_chance(control_n: int, treatment_n: int, region: Region) -> float:
    """The largest chance of a region of tables, shape (control_n + 1, treatment_n + 1), over all rates that both arms may share.

    The chance is Σ a(s) πˢ (1 - π)ᴺ⁻ˢ over the successes s of both arms. It is looked at from rate to rate, evenly in arcsin √π, where
    it bends alike everywhere, then ever closer around the highest points.
    """
    import numpy as np
    from scipy.special import gammaln

    total = control_n + treatment_n

    def log_choose(n: int) -> Floats:
        k = np.arange(n + 1.0)
        logs: Floats = gammaln(n + 1.0) - gammaln(k + 1) - gammaln(n - k + 1)
        return logs

    # Shares of the tables with s successes that lie in the region, by the hypergeometric distribution, and the binomial of s.
    ways = log_choose(control_n)[:, None] + log_choose(treatment_n)[None, :]
    successes = np.add.outer(np.arange(control_n + 1), np.arange(treatment_n + 1))
    shares = np.exp(ways - log_choose(total)[successes]) * region
    shares_by_sum = np.minimum(1.0, np.bincount(successes.reshape(-1), weights=shares.reshape(-1), minlength=total + 1))
    s = np.arange(total + 1.0)

    def chances(angles: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            log_rate, log_rest = 2 * np.log(np.sin(angles))[:, None], 2 * np.log(np.cos(angles))[:, None]
            logs = np.where(s > 0, s * log_rate, 0.0) + np.where(s < total, (total - s) * log_rest, 0.0)
        found: Floats = np.exp(logs + log_choose(total)) @ shares_by_sum
        return found

    count = max(_POINTS_LEAST, round(_POINTS_PER_ROOT * total**0.5))
    angles = np.linspace(0.0, np.pi / 2, count)
    found = chances(angles)
    best = float(found.max())
    walled = np.concatenate([[-1.0], found, [-1.0]])
    peaks = np.flatnonzero((found >= walled[:-2]) & (found >= walled[2:]))
    for peak in peaks[np.argsort(found[peaks])[::-1][:_PEAKS]]:
        middle, width = float(angles[peak]), float(angles[1])
        for _ in range(_ZOOMS):
            near = np.clip(np.linspace(middle - width, middle + width, _ZOOM_POINTS), 0.0, np.pi / 2)
            values = chances(near)
            middle, width = float(near[values.argmax()]), width * 2 / (_ZOOM_POINTS - 1)
            best = max(best, float(values.max()))
    return _chance(best)


def _chance(value: float | np.float64) -> float:
    return min(1.0, float(value))

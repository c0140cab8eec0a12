"""Two success rates compared at every look: the Bernoulli e-process under random assignment, and what it leaves possible.

The arithmetic and its papers are in `ratios` (the test) and `difference` (the interval).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from chopmark.stats.checks import check_between, check_share
from chopmark.stats.results import Flag, Interval
from chopmark.stats.sequential.difference import DifferenceSums, without_zero
from chopmark.stats.sequential.mixtures import p_of
from chopmark.stats.sequential.ratios import (
    EFFECTS,
    Counts,
    batch_log_e,
    log_weights,
)
from chopmark.stats.summaries import Proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["BernoulliEProcess", "bernoulli_p_values"]

_SEED_RECORDS = 20  # a seeded baseline counts like so many records


class BernoulliEProcess(msgspec.Struct, frozen=True):
    """Whether two success rates differ, valid at every look, for any rate, drifting or not, and any canary share.

    It rests on one thing: each record went to treatment with the share that is given, whatever its outcome would be.

    Parameters
    ----------
    treatment_share
        Of the records that are assigned to either arm, the share that treatment gets, between 0 and 1.
    alpha
        The chance of ever deciding while there is no difference, over all looks together.
    baseline
        Success rate to expect, such as that of the validation at registration; a wrong one costs power, never validity.

    Attributes
    ----------
    control, treatment
        Everything observed so far.
    p_value
        The least 1/E of all looks, at most 1; it never rises.

    Raises
    ------
    InvalidRequest
        When a share, alpha or the baseline is not a number between 0 and 1.

    Notes
    -----
    E is the weighted mean over log odds ratios of ±0.1 … ±2 of the product of likelihood ratios (equation in `ratios`); 1/E falls below α
    with a probability of at most α (Ville). The baseline of a batch is the success rate seen before it. Without any, the
    first batch takes its own, of both arms together: given the outcomes the arms are still a fair draw, so this stays exact.

    Batches matter: each gets the baseline that was known before it, so other batches of the same records give a slightly
    different E, each of them valid. Within a batch order does not matter, and replicas' parts of a batch are added first.

    While an arm is empty or all outcomes are alike nothing is decided: p stays 1.

    Examples
    --------
    >>> test = BernoulliEProcess(0.5, baseline=0.95)
    >>> test = test.observe(Proportion(1_900, 2_000), Proportion(1_952, 2_000))
    >>> test.decided, round(test.p_value, 5)
    (True, 0.00054)
    >>> round(test.interval.low, 3), round(test.interval.high, 3)
    (0.007, 0.045)
    """

    treatment_share: float
    alpha: float = 0.05
    baseline: float | None = None
    control: Proportion = Proportion()
    treatment: Proportion = Proportion()
    p_value: float = 1.0
    log_e_by_effect: tuple[float, ...] = (0.0,) * EFFECTS
    """Logarithm of E for each alternative."""
    differences: DifferenceSums = DifferenceSums()
    """What the interval is made of."""
    side: int = 0
    """Where the evidence was when the test decided: 1 when treatment succeeds more often, -1 when less."""
    decided_n: int = 0
    """Records of both arms when the test decided."""

    def __post_init__(self) -> None:
        check_share("treatment_share", self.treatment_share)
        check_share("alpha", self.alpha)
        if self.baseline is not None:
            check_between("baseline", self.baseline, 0, 1)

    def observe(self, control: Proportion, treatment: Proportion, treatment_share: float | None = None) -> Self:
        """The next value, after one more batch.

        Parameters
        ----------
        control, treatment
            Of the batch only, not cumulative: the records of both arms of one period.
        treatment_share
            The share in force during this batch, when it was not the usual one, as while a rollout is ramped up. A batch must not
            mix shares.

        Raises
        ------
        InvalidRequest
            When the share is not between 0 and 1. The value at hand stays as it is.
        """
        share = self.treatment_share if treatment_share is None else treatment_share
        check_share("treatment_share", share)
        if not control.n + treatment.n:
            return self
        counts = Counts(control.successes, control.failures, treatment.successes, treatment.failures)
        before = self.control + self.treatment
        now = before + control + treatment
        known = before if before.n or self.baseline is not None else now
        rate, failure_rate = _baseline(known.successes, known.n, self.baseline)
        log_e = self._by_effect() + batch_log_e(counts, rate, failure_rate, share)
        p_value, side, decided_n = self.p_value, self.side, self.decided_n
        by_control, by_treatment = self.control + control, self.treatment + treatment
        if 0 < now.successes < now.n and by_control.n and by_treatment.n:
            p_value = min(p_value, p_of(float(_mixed(log_e))))
        if p_value <= self.alpha and not side:
            side, decided_n = _side(log_e), now.n
        return msgspec.structs.replace(
            self,
            control=by_control,
            treatment=by_treatment,
            p_value=p_value,
            log_e_by_effect=tuple(log_e.tolist()),
            differences=self.differences.add(control, treatment, share, rate, failure_rate),
            side=side,
            decided_n=decided_n,
        )

    @property
    def decided(self) -> bool:
        """Whether p ever reached alpha."""
        return self.p_value <= self.alpha

    @property
    def log_e(self) -> float:
        """Logarithm of E now, which may be less than it once was; e-values of independent experiments multiply."""
        return float(_mixed(self._by_effect()))

    @property
    def interval(self) -> Interval:
        """Where the mean difference of the success rates so far is (treatment minus control), at confidence 1 - alpha.

        A confidence sequence: with that confidence it holds at all looks together. It is of this look, so it may widen again, and
        follows a difference that changes. Until the test decides it has 0 in it; then no more, unless what it decided `has_gone`:
        where the sums alone do not rule 0 out, it ends there (``excludes_zero``). See `difference.DifferenceSums` for its sums and
        papers.
        """
        interval = self.differences.interval(self.alpha)
        if not self.decided:
            return Interval(min(0.0, interval.low), max(0.0, interval.high))
        return interval if self.has_gone else without_zero(interval, self.side, self.differences.estimate)

    @property
    def has_gone(self) -> bool:
        """Whether the test decided, and all records so far no longer show what it saw.

        That there was a difference stays decided, at the error rate alpha. But 0 is in the interval of the sums again, and the
        estimate changed sides or E is below 1: the bet has lost all it had won, as it seldom does while a difference stays.
        """
        if not self.decided or 0.0 not in self.differences.interval(self.alpha):
            return False
        return self.log_e < 0 or self.differences.estimate * self.side <= 0

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What makes the answer a weak one: ``no_data`` in an arm, outcomes that are ``all_equal``, or a difference ``gone``."""
        seen = self.control + self.treatment
        if not self.control.n or not self.treatment.n:
            return ("no_data",)
        if self.has_gone:
            return ("gone",)
        return ("all_equal",) if seen.successes in (0, seen.n) else ()

    def _by_effect(self) -> NDArray[np.float64]:
        import numpy as np

        return np.array(self.log_e_by_effect)


def bernoulli_p_values(
    control_successes: ArrayLike,
    control_n: ArrayLike,
    treatment_successes: ArrayLike,
    treatment_n: ArrayLike,
    treatment_share: ArrayLike,
    baseline: float | None = None,
) -> NDArray[np.float64]:
    """`BernoulliEProcess.p_value` after each batch of many experiments at once, by the same arithmetic.

    Parameters
    ----------
    control_successes, control_n, treatment_successes, treatment_n
        Counts of each batch, shape (experiments, batches).
    treatment_share
        A number, or one for each batch, broadcast to that shape.
    baseline
        As for `BernoulliEProcess`.

    Returns
    -------
    numpy.ndarray
        Shape (experiments, batches).
    """
    import numpy as np

    ones, trials = np.asarray(control_successes), np.asarray(control_n)
    others, other_trials = np.asarray(treatment_successes), np.asarray(treatment_n)
    shares = np.broadcast_to(np.asarray(treatment_share, dtype=np.float64), ones.shape)
    log_e = np.zeros((len(ones), EFFECTS))
    p_value, p_values = np.ones(len(ones)), np.ones(ones.shape)
    successes, n, in_control, in_treatment = np.zeros((4, len(ones)))
    for k in range(ones.shape[1]):
        own, size = ones[:, k] + others[:, k], trials[:, k] + other_trials[:, k]
        known, known_n = successes, n
        if baseline is None:
            known, known_n = np.where(n > 0, successes, own), np.where(n > 0, n, size)
        counts = Counts(ones[:, k], trials[:, k] - ones[:, k], others[:, k], other_trials[:, k] - others[:, k])
        log_e = log_e + batch_log_e(counts, *_baseline(known, known_n, baseline), shares[:, k])
        successes, n = successes + own, n + size
        in_control, in_treatment = in_control + trials[:, k], in_treatment + other_trials[:, k]
        p_now = np.exp(np.minimum(0.0, -_mixed(log_e)))
        says = (successes > 0) & (successes < n) & (in_control > 0) & (in_treatment > 0)
        p_value = np.where(says, np.minimum(p_value, p_now), p_value)
        p_values[:, k] = p_value
    return p_values


def _mixed(log_e: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of E from those of the alternatives, shape (…, 16): of their weighted sum."""
    import numpy as np

    mixed: NDArray[np.float64] = np.logaddexp.reduce(log_e + log_weights(), axis=-1)
    return mixed


def _side(log_e: NDArray[np.float64]) -> int:
    import numpy as np

    below, above = np.logaddexp.reduce((log_e + log_weights()).reshape(2, -1), axis=-1)
    return 1 if above > below else -1


def _baseline(successes: Any, n: Any, seed: float | None) -> tuple[Any, Any]:
    """Success and failure rate to expect, from the successes of n records; never 0."""
    if seed is not None:
        successes, n = successes + _SEED_RECORDS * seed, n + _SEED_RECORDS
    return (successes + 0.5) / (n + 1.0), (n - successes + 0.5) / (n + 1.0)

"""Which arm events fall to, at every look: the share of events, and the check of the sample ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_positive, check_share, check_shares
from chopmark.stats.results import Flag
from chopmark.stats.sequential.mixtures import p_of
from chopmark.stats.summaries import Exposures

__all__ = ["EventShare", "share_log_e"]


def share_log_e(counts: Sequence[int], shares: Sequence[float], concentration: float) -> float:
    """Logarithm of the e-value against "each event falls to variant i with probability shares[i]".

    Parameters
    ----------
    counts, shares
        One for each variant; shares sum to 1.
    concentration
        How many events the prior counts for: the larger, the smaller the deviations it is made for.

    Notes
    -----
    Lindon and Malek (2022), "Anytime-valid inference for multinomial count data", NeurIPS 35, eq. 4: with a Dirichlet prior of
    parameters kπ, E = B(kπ + counts) / B(kπ) / Π πᵢ^countᵢ, where B is the multivariate beta function.
    """
    from scipy.special import betaln

    log_e = -sum(count * math.log(share) for count, share in zip(counts, shares, strict=True) if count)
    events_left, prior_left = sum(counts), concentration
    # The multivariate beta function as a product of ordinary ones, which lose fewer digits than factorials do.
    for count, share in zip(counts[:-1], shares[:-1], strict=True):
        events_left, prior_left = events_left - count, prior_left - concentration * share
        prior = concentration * share
        log_e += float(betaln(prior + count, prior_left + events_left) - betaln(prior, prior_left))
    return log_e


class EventShare(msgspec.Struct, frozen=True):
    """Whether events fall to the variants by the shares they were given; exact at every look, for two variants or more.

    Of exposures it is the sequential check of the sample ratio. Of failures, or of any other event that is counted, it compares
    the variants' rates under random assignment, whatever the rate and its drift.

    Parameters
    ----------
    shares
        Variant → share of the assignment; they sum to 1.
    alpha
        The chance of ever deciding while the shares are right, over all looks together.
    concentration
        See `share_log_e`; 100 suits deviations of some percentage points at shares of a half.

    Attributes
    ----------
    counts
        Events since the shares last changed; ``log_e_before`` is what the periods before them gave.
    p_value
        The least 1/E of all looks, at most 1.

    Raises
    ------
    InvalidRequest
        When the shares are fewer than two, not between 0 and 1, or do not sum to 1.

    Notes
    -----
    Counts under the same shares are only added up, so that batches do not matter but for the looks there were.

    Examples
    --------
    >>> check = EventShare({"control": 0.5, "treatment": 0.5})
    >>> check = check.observe(Exposures({"control": 5_000, "treatment": 4_700}))
    >>> check.decided, round(check.p_value, 3)
    (False, 0.1)
    """

    shares: Mapping[str, float]
    alpha: float = 0.05
    concentration: float = 100.0
    counts: Exposures = Exposures()
    log_e_before: float = 0.0
    p_value: float = 1.0
    events: int = 0

    def __post_init__(self) -> None:
        check_shares(self.shares)
        check_share("alpha", self.alpha)
        check_positive("concentration", self.concentration)

    def observe(self, events: Exposures, shares: Mapping[str, float] | None = None) -> Self:
        """The next value, after one more batch of events: of the batch only, not cumulative.

        Parameters
        ----------
        events
            Counts by variant.
        shares
            The shares in force during this batch and from now on, when they have changed. The evidence so far is kept (e-values of
            consecutive periods multiply).

        Raises
        ------
        InvalidRequest
            When a variant has no share, or the shares are not ones.
        """
        value = self if shares is None or dict(shares) == dict(self.shares) else self._with(shares)
        if unknown := sorted(events.counts.keys() - value.shares.keys()):
            raise InvalidRequest(
                f"There is no share for {', '.join(unknown)}.", hint=f"Variants are {', '.join(sorted(value.shares))}."
            )
        value = msgspec.structs.replace(value, counts=value.counts + events, events=self.events + events.total)
        return msgspec.structs.replace(value, p_value=min(self.p_value, p_of(value.log_e)))

    @property
    def log_e(self) -> float:
        """Logarithm of E now."""
        variants = sorted(self.shares)
        counts = [self.counts.counts.get(v, 0) for v in variants]
        return self.log_e_before + share_log_e(counts, [self.shares[v] for v in variants], self.concentration)

    @property
    def decided(self) -> bool:
        """Whether p ever reached alpha: the shares are not what they should be."""
        return self.p_value <= self.alpha

    @property
    def flags(self) -> tuple[Flag, ...]:
        """``no_data`` while there were no events."""
        return () if self.events else ("no_data",)

    def _with(self, shares: Mapping[str, float]) -> Self:
        return msgspec.structs.replace(self, shares=dict(shares), counts=Exposures(), log_e_before=self.log_e)

"""Tests that stay right however often one looks at them, and may be stopped at any look.

`BernoulliEProcess` compares two success rates, `MeanSequence` two means, `EventShare` the shares of events (also the check of the
sample ratio). They are frozen values: ``observe`` takes a batch and answers the next value. `mixtures` has the tests of a
single state that other tools use, and `peeking_error` what looking costs a test that is not made for it.
"""

from __future__ import annotations

from chopmark.stats.sequential.bernoulli import BernoulliEProcess, bernoulli_p_values
from chopmark.stats.sequential.means import MeanSequence, mean_p_values
from chopmark.stats.sequential.mixtures import (
    AlwaysValid,
    asymptotic_sequence,
    beta_binomial_boundary,
    beta_binomial_log_mixture,
    msprt,
    normal_mixture_boundary,
    normal_mixture_log_e,
)
from chopmark.stats.sequential.peeking import peeking_error
from chopmark.stats.sequential.shares import EventShare, share_log_e

__all__ = [
    "AlwaysValid",
    "BernoulliEProcess",
    "EventShare",
    "MeanSequence",
    "asymptotic_sequence",
    "bernoulli_p_values",
    "beta_binomial_boundary",
    "beta_binomial_log_mixture",
    "mean_p_values",
    "msprt",
    "normal_mixture_boundary",
    "normal_mixture_log_e",
    "peeking_error",
    "share_log_e",
]

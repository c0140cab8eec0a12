"""Reference cases of posteriors: `bayes_beta_binomial`, `bayes_normal_effect`, `bandit_prob_best`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chopmark.stats import bandits, bayes
from chopmark.stats.summaries import Mean, Proportion

__all__ = ["METHODS"]


def _bayes_beta_binomial(case: Mapping[str, Any]) -> dict[str, Any]:
    found = bayes.beta_binomial(_rate(case["control"]), _rate(case["treatment"]), prior=_beta_prior(case))
    return {
        "prob_treatment_better": found.chance_to_win,
        "expected_loss_if_ship_treatment": found.expected_loss_treatment,
        "expected_loss_if_keep_control": found.expected_loss_control,
    }


def _bayes_normal_effect(case: Mapping[str, Any]) -> dict[str, Any]:
    prior = case.get("prior")
    found = bayes.normal_effect(
        _arm(case["control"]),
        _arm(case["treatment"]),
        prior=None if prior is None else bayes.EffectPrior(prior["mean"], prior["variance"], prior["scale"]),
        scale=case["effect_scale"],
        lower_is_better=case["lower_is_better"],
    )
    return {
        "chance_to_win": found.chance_to_win,
        "posterior_mean": found.estimate,
        "posterior_sd": found.standard_deviation,
        "credible_interval_95": [found.interval.low, found.interval.high],
        "risk_control": found.expected_loss_control,
        "risk_treatment": found.expected_loss_treatment,
    }


def _bandit_prob_best(case: Mapping[str, Any]) -> dict[str, Any]:
    return {"prob_best": list(bandits.probability_best([_rate(arm) for arm in case["arms"]], prior=_beta_prior(case)))}


def _beta_prior(case: Mapping[str, Any]) -> bayes.BetaPrior:
    prior = case.get("prior")
    return bayes.BetaPrior() if prior is None else bayes.BetaPrior(prior["a"], prior["b"])


def _rate(arm: Mapping[str, Any]) -> Proportion:
    return Proportion(arm["successes"], arm["n"])


def _arm(arm: Mapping[str, Any]) -> Proportion | Mean:
    return _rate(arm) if "successes" in arm else Mean.from_deviation(arm["n"], arm["mean"], arm["sd"])


METHODS = {
    "bayes_beta_binomial": _bayes_beta_binomial,
    "bayes_normal_effect": _bayes_normal_effect,
    "bandit_prob_best": _bandit_prob_best,
}

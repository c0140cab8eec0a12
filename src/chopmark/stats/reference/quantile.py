"""Reference cases of quantiles: `quantile_ci`, `quantile_difference`, `sequential_quantile_test`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chopmark.stats import quantiles, sequential_quantiles

__all__ = ["METHODS"]


def _quantile_ci(case: Mapping[str, Any]) -> dict[str, Any]:
    found = quantiles.estimate(case["values"], case["quantile"], confidence=case["confidence_level"])
    ends = (found.interval.low, found.interval.high)
    return {
        "linear_interpolated_quantile": found.value,
        "order_statistic_ci": [end if math.isfinite(end) else None for end in ends],
    }


def _quantile_difference(case: Mapping[str, Any]) -> dict[str, Any]:
    effect = quantiles.quantile_difference(_summary(case["control"]), _summary(case["treatment"]))
    return {
        "effect": effect.estimate,
        "se": effect.standard_error,
        "p_two_sided": effect.p_value,
        "ci95": [effect.interval.low, effect.interval.high],
    }


def _summary(arm: Mapping[str, Any]) -> quantiles.QuantileSummary:
    return quantiles.QuantileSummary(
        n=arm["n"],
        value=arm["quantile_hat"],
        at_lower_rank=arm["quantile_at_lower_rank"],
        at_upper_rank=arm["quantile_at_upper_rank"],
    )


def _sequential_quantile_test(case: Mapping[str, Any]) -> dict[str, Any]:
    found = sequential_quantiles.sequential_test(
        case["values_a"], case["values_b"], case["quantile"], planned_n=case["t_opt"], alpha=case["alpha_opt"]
    )
    return {"always_valid_p": found.p_value}


METHODS = {
    "quantile_ci": _quantile_ci,
    "quantile_difference": _quantile_difference,
    "sequential_quantile_test": _sequential_quantile_test,
}

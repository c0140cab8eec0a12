"""Reference methods of fixed-horizon tests, and of the summaries they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from chopmark.errors import InvalidRequest
from chopmark.stats import exact, margins, means, multiplicity, proportions, proportions_compat, ratio_check, stratified
from chopmark.stats.results import Effect, Interval
from chopmark.stats.summaries import Cuped, Exposures, Mean, Proportion, Ratio

__all__ = ["METHODS"]

_ALPHA = 0.05

Case = Mapping[str, Any]
Answer = dict[str, Any]


def _ztest_two_proportions(case: Case) -> Answer:
    control, treatment = _proportions(case)
    effect = proportions.z_test(control, treatment)
    return {**_tested(effect, "z"), "pooled_rate": (control + treatment).rate}


def _ci_two_proportions(case: Case) -> Answer:
    """The file's score interval is that of statsmodels, which is not quite Miettinen and Nurminen's, and fails for some."""
    arms, confidence = _proportions(case), case.get("confidence_level", 0.95)
    methods = {
        "wald": proportions.wald_interval,
        "agresti_caffo": proportions.agresti_caffo_interval,
        "newcombe_hybrid_score": proportions.newcombe_interval,
        "miettinen_nurminen_score": proportions_compat.statsmodels_score_interval,
    }
    found = {name: method(*arms, confidence=confidence) for name, method in methods.items()}
    return {name: _ends(interval) for name, interval in found.items() if interval is not None}


def _ttest_welch(case: Case) -> Answer:
    control, treatment = _mean(case, "control"), _mean(case, "treatment")
    effect = means.welch_test(control, treatment, confidence=case.get("confidence_level", 0.95))
    found = {**_tested(effect, "t"), "df": effect.degrees_of_freedom, "ci": _ends(effect.interval)}
    if "control_values" in case:
        del found["p_treatment_greater"], found["p_treatment_less"]
    return found


def _ratio_metric_delta_method(case: Case) -> Answer:
    control, treatment = (_ratio(case[arm]) for arm in ("control", "treatment"))
    return {
        "ratio_control": control.ratio,
        "ratio_treatment": treatment.ratio,
        "variance_control": means.ratio_variance(control),
        "absolute": _summed(means.ratio_test(control, treatment)),
        "relative": _summed(means.ratio_test(control, treatment, is_relative=True)),
    }


def _cuped(case: Case) -> Answer:
    control, treatment = (
        Cuped.from_sums(a["n"], a["y_sum"], a["x_sum"], a["y_sum_sq"], a["x_sum_sq"], a["xy_sum"])
        for a in (case["control"], case["treatment"])
    )
    found = means.cuped_test(control, treatment)
    return {
        **_summed(found.effect),
        "theta": found.theta,
        "unadjusted_effect": found.unadjusted.estimate,
        "unadjusted_se": found.unadjusted.standard_error,
        "variance_reduction": found.variance_reduction,
    }


def _stratified(case: Case) -> Answer:
    strata = [_proportions(stratum) for stratum in case["strata"]]
    odds, effect = stratified.cmh_test(strata), stratified.post_stratified_difference(strata)
    return {
        "cmh_statistic": odds.statistic,
        "cmh_p": odds.p_value,
        "mh_odds_ratio": odds.odds_ratio,
        "mh_odds_ratio_ci95": _ends(odds.interval),
        "post_stratified_difference": effect.estimate,
        "post_stratified_se": effect.standard_error,
    }


def _exact_small_sample(case: Case) -> Answer:
    """The file's Barnard is that of SciPy, which loses ties; see `proportions_compat`."""
    arms = _proportions(case)
    return {
        "fisher_p": exact.fisher_test(*arms).p_value,
        "barnard_p": proportions_compat.scipy_barnard_p(*arms),
        "boschloo_p": exact.boschloo_test(*arms).p_value,
    }


def _noninferiority(case: Case) -> Answer:
    from scipy.special import ndtr

    margin, alpha = case["margin_absolute"], case.get("alpha", _ALPHA)
    is_higher_better = "lower is better" not in case["metric"]
    if case["metric"].startswith("mean"):
        control, treatment = _mean(case, "control"), _mean(case, "treatment")
        both = margins.equivalence(control, treatment, margin, alpha=alpha)
        worse, other = (both.not_below, both.not_above) if is_higher_better else (both.not_above, both.not_below)
        return {
            "non_inferiority": {"t": worse.statistic, "p": worse.p_value},
            ("upper" if is_higher_better else "lower") + "_side_equivalence": {
                "t": other.statistic,
                "p": other.p_value,
            },
            "tost_p": both.p_value,
            "df": worse.degrees_of_freedom,
        }
    arms = _proportions(case)
    wald = margins.noninferiority(*arms, margin, is_higher_better=is_higher_better, alpha=alpha, method="wald")
    # The file's score test is that of statsmodels; see `proportions_compat`.
    tested = -margin if is_higher_better else margin
    z = proportions_compat.statsmodels_score_statistic(*arms, tested, is_corrected=False)
    score = {} if z is None else {"z": z, "p": float(ndtr(-z if is_higher_better else z))}
    return {
        "wald": {"z": wald.statistic, "p": wald.p_value},
        "farrington_manning_score": score,
        f"wald_{'lower' if is_higher_better else 'upper'}_bound_95_one_sided": wald.bound,
        "non_inferior_wald_0_05": wald.is_met,
    }


def _multiplicity(case: Case) -> Answer:
    names = ("bonferroni", "holm", "hommel", "hochberg", "benjamini_hochberg", "benjamini_yekutieli")
    adjusted = {name: getattr(multiplicity, name)(case["p_values"]) for name in names}
    alpha = case.get("alpha", _ALPHA)
    return {name: {"adjusted": ps, "reject_at_0_05": [p <= alpha for p in ps]} for name, ps in adjusted.items()}


def _srm_chisquare(case: Case) -> Answer:
    observed = {str(i): count for i, count in enumerate(case["observed"])}
    weights = {str(i): weight for i, weight in enumerate(case["expected_weights"])}
    found = ratio_check.sample_ratio_test(Exposures(observed), weights)
    return {
        "chi2": found.statistic,
        "df": found.degrees_of_freedom,
        "p": found.p_value,
        "srm_at_0_01": found.is_mismatch(0.01),
        "srm_at_0_001": found.is_mismatch(0.001),
    }


def _streaming_moments(case: Case) -> Answer:
    values: Sequence[float] = case["values"]
    if case.get("rule") == "first value then alternating pair":
        values = [values[0], *([values[1], values[2]] * case["repeat_pair"])]
    cuts = [0, *case.get("merge_cut_points", range(0, len(values), 7)), len(values)]
    whole = Mean()
    for start, end in reversed(list(pairwise(sorted(cuts)))):
        whole += Mean.of(values[start:end])
    found = {"mean": whole.mean, "sd": whole.standard_deviation}
    if "rule" in case:
        return found
    return {"n": whole.n, "mean": whole.mean, "m2": whole.m2, "variance_ddof1": whole.variance}


def _edge_case_policy(case: Case) -> Answer:
    """What degenerate data are answered; counts that cannot be raise, as they do everywhere."""
    if case["metric"] == "record":
        return _record(float(case["value"]))
    if case["metric"] == "mean":
        effect = means.welch_test(_mean(case, "control"), _mean(case, "treatment"))
        return _decided(effect)
    arms = _proportions(case)
    return {**_decided(proportions.z_test(*arms)), "newcombe_ci95": _ends(proportions.newcombe_interval(*arms))}


def _record(value: float) -> Answer:
    seen = before = Mean.of([1.0, 2.0])
    try:
        seen += Mean.of([value])
        is_rejected = False
    except InvalidRequest:
        is_rejected = True
    return {"rejected": is_rejected, "counts_unchanged": seen == before}


def _decided(effect: Effect) -> Answer:
    is_significant = effect.p_value < _ALPHA
    better = "treatment" if effect.estimate > 0 else "control"
    return {
        "p_two_sided": effect.p_value,
        "significant": is_significant,
        "winner": better if is_significant else None,
        "effect": effect.estimate,
    }


def _tested(effect: Effect, statistic: str) -> Answer:
    return {
        statistic: effect.statistic,
        "p_two_sided": effect.p_value,
        "p_treatment_greater": effect.p_greater,
        "p_treatment_less": effect.p_less,
        "effect": effect.estimate,
    }


def _summed(effect: Effect) -> Answer:
    return {
        "effect": effect.estimate,
        "se": effect.standard_error,
        "df": effect.degrees_of_freedom,
        "p_two_sided": effect.p_value,
        "ci95": _ends(effect.interval),
    }


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _proportions(case: Case) -> tuple[Proportion, Proportion]:
    control, treatment = (Proportion(case[arm]["successes"], case[arm]["n"]) for arm in ("control", "treatment"))
    return control, treatment


def _mean(case: Case, arm: str) -> Mean:
    if f"{arm}_values" in case:
        return Mean.of(case[f"{arm}_values"])
    return Mean.from_deviation(case[arm]["n"], case[arm]["mean"], case[arm]["sd"])


def _ratio(arm: Mapping[str, Any]) -> Ratio:
    sums = ("num_sum", "den_sum", "num_sum_sq", "den_sum_sq", "num_den_sum_prod")
    return Ratio.from_sums(arm["units"], *(arm[name] for name in sums))


METHODS: dict[str, Callable[[Case], Answer]] = {
    "ztest_two_proportions": _ztest_two_proportions,
    "ci_two_proportions": _ci_two_proportions,
    "ttest_welch": _ttest_welch,
    "ratio_metric_delta_method": _ratio_metric_delta_method,
    "cuped": _cuped,
    "stratified": _stratified,
    "exact_small_sample": _exact_small_sample,
    "noninferiority": _noninferiority,
    "multiplicity": _multiplicity,
    "srm_chisquare": _srm_chisquare,
    "streaming_moments": _streaming_moments,
    "edge_case_policy": _edge_case_policy,
}

"""Cases that no file holds, of the same methods: what is answered is what an oracle computes from the conventions, or what must hold of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chopmark.errors import InvalidRequest
from chopmark.stats.reference import compute
from tests.reference import oracles

Case = dict[str, Any]
EXPERIMENTS = Path(__file__).parent / "experiments"
ROUNDS = 60

# As the files state them; looser ones where the file states looser ones.
TOLERANCES: dict[str, dict[str, float]] = {
    "anytime_binomial_share": {"rel": 1e-9, "abs": 1e-9},
    "bandit_prob_best": {"rel": 0, "abs": 1e-6},
    "bayes_beta_binomial": {"rel": 0, "abs": 1e-6},
    "conditional_power": {"rel": 0, "abs": 1e-8},
    "power_ttest": {"rel": 1e-5, "abs": 1e-7},
    "exact_small_sample": {"rel": 5e-3, "abs": 1e-9},
    "sample_size_two_proportions_fleiss": {"rel": 1e-4, "abs": 1e-6},
    "power_two_proportions_arcsine": {"rel": 1e-6, "abs": 3e-5},  # effects are found to 1e-5, as those of the file were
}
USUAL = {"rel": 1e-6, "abs": 1e-9}


def differences(found: Any, wanted: Any, tolerance: dict[str, float], where: str = "") -> Iterator[str]:
    """Where an answer is not what was wanted; keys that are not wanted are passed over."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if not key.startswith("_"):
                yield from differences(found[key], value, tolerance, f"{where}.{key}")
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted), where
        for i, value in enumerate(wanted):
            yield from differences(found[i], value, tolerance, f"{where}[{i}]")
    elif isinstance(wanted, (bool, str, type(None))):
        if found != wanted:
            yield f"{where}: {found!r}, not {wanted!r}"
    elif not math.isclose(found, wanted, rel_tol=tolerance["rel"], abs_tol=tolerance["abs"]):
        yield f"{where}: {found!r}, not {wanted!r}"


def has_numbers_only(answer: Any) -> bool:
    """Whether no NaN is in it, nor an infinite number."""
    try:
        json.dumps(answer, allow_nan=False)
    except ValueError:
        return False
    return True


def expected_keys(method: str) -> set[frozenset[str]]:
    """Which keys cases of a file expect together."""
    return {frozenset(case["expected"]) for case in json.loads((EXPERIMENTS / f"{method}.json").read_text())["cases"]}


def checked(method: str, case: Case, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = compute(method, json.loads(json.dumps(case)))
    wanted = getattr(oracles, method)(case) if wanted is None else wanted
    assert has_numbers_only(answer), (case, answer)
    assert any(keys <= set(answer) for keys in expected_keys(method)), (case, answer)
    off = list(differences(answer, wanted, TOLERANCES.get(method, USUAL)))
    assert off == [], (case, off)
    return answer


# Cases


def size(draw: np.random.Generator, least: int = 1, most: int = 10_000_000) -> int:
    """From tiny to huge."""
    return int(math.exp(draw.uniform(math.log(least), math.log(most + 1))))


def arm(draw: np.random.Generator, least: int = 1, most: int = 10_000_000, *, inner: bool = False) -> Case:
    """Successes of n, often none, few, or all; of an inner one neither none nor all."""
    n = size(draw, max(least, 2 if inner else 1), most)
    rate = draw.choice([0.0, 1.0, draw.random(), 10 ** draw.uniform(-6, -1), 1 - 10 ** draw.uniform(-6, -1)])
    successes = int(draw.binomial(n, rate))
    return {"successes": min(max(successes, 1), n - 1) if inner else successes, "n": n}


def arms(draw: np.random.Generator, least: int = 1, most: int = 10_000_000, *, inner: bool = False) -> Case:
    return {name: arm(draw, least, most, inner=inner) for name in ("control", "treatment")}


def moments(draw: np.random.Generator, scale: float) -> Case:
    n = size(draw, 2)
    return {"n": n, "mean": scale * float(draw.normal()), "sd": scale * float(draw.lognormal())}


def means(draw: np.random.Generator) -> Case:
    scale = float(10 ** draw.uniform(-6, 6))
    return {name: moments(draw, scale) for name in ("control", "treatment")}


def level(draw: np.random.Generator) -> float:
    return float(draw.choice([0.8, 0.9, 0.95, 0.99, 0.999]))


def small_alpha(draw: np.random.Generator) -> float:
    return float(draw.choice([0.001, 0.01, 0.025, 0.05, 0.1]))


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    "ztest_two_proportions": arms,
    "ci_two_proportions": lambda draw: {**arms(draw), "confidence_level": level(draw)},
    "ttest_welch": lambda draw: {**means(draw), "confidence_level": level(draw)},
    "stratified": lambda draw: {"strata": [arms(draw, 5, inner=True) for _ in range(int(draw.integers(1, 9)))]},
    "noninferiority": lambda draw: (
        {
            "metric": "proportion, higher is better",
            **arms(draw, inner=True),
            "margin_absolute": float(draw.choice([0.001, 0.01, 0.05])),
            "alpha": 0.05,
        }
        if draw.random() < 0.5
        else {
            "metric": "mean, lower is better (latency or cost)",
            **means(draw),
            "margin_absolute": float(draw.lognormal()),
            "alpha": small_alpha(draw),
        }
    ),
    "multiplicity": lambda draw: {
        "p_values": [
            float(draw.choice([0.0, 1.0, 0.02, draw.random(), draw.random() ** 6])) for _ in range(draw.integers(1, 9))
        ],
        "alpha": 0.05,
    },
    "srm_chisquare": lambda draw: {
        "observed": [int(n) for n in draw.integers(1, size(draw, 2), int(draw.integers(2, 7)))],
        "expected_weights": [],
    },
    "anytime_binomial_share": lambda draw: {
        "null_share_treatment": float(draw.choice([0.01, 0.1, 0.5, 0.9, 0.999])),
        "events_treatment": int(draw.choice([0, 1, size(draw, 1, 1_000_000)])),
        "events_control": int(draw.choice([0, 1, size(draw, 1, 1_000_000)])),
        "prior_concentration": float(10 ** draw.uniform(-1, 4)),
    },
    "asymptotic_confidence_sequence": lambda draw: (
        {"metric": "mean", **means(draw), "alpha": small_alpha(draw), "tuning_sample_size_total": float(size(draw, 10))}
        if draw.random() < 0.5
        else {
            "metric": "proportion (variance p(1-p))",
            **arms(draw, inner=True),
            "alpha": small_alpha(draw),
            "tuning_sample_size_total": float(size(draw, 10)),
        }
    ),
    "bandit_prob_best": lambda draw: {
        "prior": {"a": 1, "b": 1},
        "arms": [arm(draw, 1, 20_000) for _ in range(int(draw.integers(2, 6)))],
    },
    "bayes_beta_binomial": lambda draw: {"prior": {"a": 1, "b": int(draw.integers(1, 4))}, **arms(draw, 1, 500)},
    "bayes_normal_effect": lambda draw: {
        **arms(draw, 5, inner=True),
        "effect_scale": str(draw.choice(["absolute", "relative"])),
        "lower_is_better": bool(draw.random() < 0.5),
        "prior": None
        if draw.random() < 0.5
        else {"mean": float(draw.normal(0, 0.1)), "variance": float(draw.lognormal(-5)), "scale": "relative"},
    },
    "conditional_power": lambda draw: {
        "information_fraction": float(draw.choice([0.01, 0.99, draw.uniform(0.02, 0.98)])),
        "z_observed": float(draw.normal(0, 2.5)),
        "alpha_one_sided": small_alpha(draw),
        "design_power": float(draw.choice([0.5, 0.8, 0.99])),
        "design": "single final look at z > z_{1-alpha}",
    },
    "msprt_two_proportions": lambda draw: {
        **arms(draw, inner=True),
        "mixing_sd_tau": float(10 ** draw.uniform(-3, 0)),
        "alpha": small_alpha(draw),
        "variance": "unpooled p(1-p)/n",
    },
    "normal_mixture_boundary": lambda draw: {
        "intrinsic_time_v": float(10 ** draw.uniform(-1, 6)),
        "alpha": small_alpha(draw),
        "v_opt": float(10 ** draw.uniform(0, 5)),
        "alpha_opt": small_alpha(draw),
        "one_sided": bool(draw.random() < 0.5),
        "martingale_s": float(draw.normal(0, 100)),
    },
    "power_ttest": lambda draw: {
        "cohen_d": float(draw.choice([0.05, 0.1, 0.2, 0.5, 1.0])),
        "alpha": small_alpha(draw),
        "power": float(draw.choice([0.5, 0.8, 0.9, 0.99])),
        "ratio_treatment_to_control": float(draw.choice([0.05, 0.5, 1.0, 3.0])),
        "n_control_for_power": size(draw, 10, 100_000),
    },
    "power_two_proportions_arcsine": lambda draw: {
        **dict(zip(("baseline_rate", "target_rate"), map(float, draw.uniform(0.001, 0.999, 2)), strict=True)),
        "alpha": small_alpha(draw),
        "power": float(draw.choice([0.5, 0.8, 0.9, 0.99])),
        "ratio_treatment_to_control": float(draw.choice([0.05, 0.5, 1.0, 3.0])),
        "n_control_for_power": size(draw, 10, 1_000_000),
    },
    "sample_size_two_proportions_fleiss": lambda draw: {
        **dict(zip(("p1", "p2"), map(float, draw.uniform(0.01, 0.99, 2)), strict=True)),
        "power": float(draw.choice([0.5, 0.8, 0.9, 0.99])),
        "alpha": small_alpha(draw),
        "sided": int(draw.integers(1, 3)),
    },
    "quantile_ci": lambda draw: {
        "values": [round(float(v), 2) for v in draw.lognormal(3, 1, int(draw.integers(60, 400)))],
        "quantile": float(draw.choice([0.1, 0.5, 0.75, 0.9])),
        "confidence_level": float(draw.choice([0.8, 0.9, 0.95])),
    },
    "quantile_difference": lambda draw: {
        **{
            name: {
                "n": size(draw, 100),
                "quantile_hat": float(low + wide / 2),
                "quantile_at_lower_rank": float(low),
                "quantile_at_upper_rank": float(low + wide),
            }
            for name in ("control", "treatment")
            for low, wide in [(draw.normal(100, 20), draw.lognormal())]
        },
        "quantile": float(draw.choice([0.5, 0.9, 0.95, 0.99])),
    },
    "bucketing_hash_vectors": lambda draw: {
        "salt_or_experiment": "".join(chr(c) for c in draw.integers(33, 0x250, int(draw.integers(1, 20)))),
        "unit_id": "".join(chr(c) for c in draw.integers(33, 0x2FF, int(draw.integers(1, 40)))),
    },
}


def cases(method: str, count: int = ROUNDS) -> Iterator[Case]:
    draw = np.random.default_rng(list(method.encode()))
    for _ in range(count):
        case = CASES[method](draw)
        if method == "srm_chisquare":
            case["expected_weights"] = [float(w) for w in draw.uniform(0.01, 5, len(case["observed"]))]
        yield case


SLOW = {"bandit_prob_best": 15, "bayes_beta_binomial": 15, "power_ttest": 10}


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("method", CASES)
def test_an_unseen_case_is_answered_as_the_oracle_does(method: str) -> None:
    for case in cases(method, SLOW.get(method, ROUNDS)):
        checked(method, case)


def test_exact_tests_of_small_tables() -> None:
    draw = np.random.default_rng(8)
    for _ in range(12):
        case = arms(draw, 1, 30)
        wanted = oracles.exact_small_sample(case)
        if not all(map(math.isfinite, wanted.values())):
            wanted = {"fisher_p": wanted["fisher_p"]}
        checked("exact_small_sample", case, wanted)


def test_ratios_and_adjusted_means_from_the_units_themselves() -> None:
    draw = np.random.default_rng(9)
    for _ in range(ROUNDS):
        sizes, scale = (size(draw, 3, 5_000), size(draw, 3, 5_000)), float(10 ** draw.uniform(-4, 4))
        x = [draw.poisson(4, n) + 1.0 for n in sizes]
        y = [scale * (x[i] * draw.random(sizes[i]) + draw.exponential(1, sizes[i])) for i in (0, 1)]
        units = list(zip(y, x, strict=True))
        ratio, cuped = (
            {name: summed(names, *pair) for name, pair in zip(("control", "treatment"), units, strict=True)}
            for names in (
                ("units", "num_sum", "num_sum_sq", "den_sum", "den_sum_sq", "num_den_sum_prod"),
                ("n", "y_sum", "y_sum_sq", "x_sum", "x_sum_sq", "xy_sum"),
            )
        )
        checked("ratio_metric_delta_method", ratio, oracles.of_ratio(*units))
        checked("cuped", cuped, oracles.of_cuped(*units))


def summed(names: tuple[str, ...], y: Any, x: Any) -> Case:
    sums = (len(y), *map(float, (y.sum(), (y * y).sum(), x.sum(), (x * x).sum(), (x * y).sum())))
    return dict(zip(names, sums, strict=True))


@pytest.mark.parametrize("shift", [0.0, 1e6, -1e9])
def test_moments_of_any_cuts(shift: float) -> None:
    draw = np.random.default_rng(10)
    for _ in range(20):
        values = (draw.normal(0, 1, int(draw.integers(3, 300))) + shift).tolist()
        cuts = sorted(int(c) for c in draw.integers(1, len(values), int(draw.integers(1, 6))))
        mean = math.fsum(values) / len(values)
        m2 = math.fsum((v - mean) ** 2 for v in values)
        wanted = {"n": len(values), "mean": mean, "m2": m2, "variance_ddof1": m2 / (len(values) - 1)}
        checked("streaming_moments", {"values": values, "merge_cut_points": cuts}, wanted)


# Group sequential designs: the crossing probabilities of their bounds, by the multivariate normal distribution

SPENDING = {
    "lan_demets_obrien_fleming": [{}],
    "lan_demets_pocock": [{}],
    "kim_demets_power": [{"rho": 1}, {"rho": 2.5}],
    "hwang_shih_decani": [{"gamma": -4}, {"gamma": 1}],
}


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("rule", SPENDING)
def test_bounds_spend_what_they_say(rule: str, sided: int) -> None:
    draw = np.random.default_rng(sided)
    for parameters in SPENDING[rule]:
        looks = int(draw.integers(1, 5))
        times = [*sorted(float(t) for t in draw.uniform(0.15, 0.9, looks - 1)), 1.0]
        alpha = small_alpha(draw)
        case = {
            "spending_function": rule,
            "parameters": parameters,
            "alpha": alpha,
            "sided": sided,
            "information_rates": times,
        }
        answer = checked("gst_alpha_spending", case, {})
        bounds, spent = answer["critical_values"], answer["cumulative_alpha_spent"]
        assert spent[-1] == pytest.approx(alpha, abs=1e-7)
        for k in range(1, looks + 1):
            known = [9.0 if bound is None else bound for bound in bounds[:k]]
            assert oracles.crossed(times[:k], known, sided) == pytest.approx(spent[k - 1], abs=2e-5)


@pytest.mark.parametrize("looks", [2, 3])
@pytest.mark.parametrize("rule", ["pocock", "obrien_fleming"])
def test_classic_bounds_keep_the_error(rule: str, looks: int) -> None:
    for alpha, sided in [(0.01, 2), (0.1, 1)]:
        case = {"boundary": rule, "alpha": alpha, "sided": sided, "looks": looks, "information": "equally spaced"}
        answer = checked("gst_classic_boundaries", case, {})
        times, bounds = [(k + 1) / looks for k in range(looks)], answer["critical_values"]
        assert oracles.crossed(times, bounds, sided) == pytest.approx(alpha, abs=2e-5)
        assert bounds[-1] == pytest.approx(answer["final_constant"], abs=1e-9)
        assert bounds == pytest.approx([bounds[-1] * (1 if rule == "pocock" else math.sqrt(1 / t)) for t in times])
        for power in ("0_80", "0_90"):
            wanted = float(power.replace("_", "."))
            single = oracles.norm.ppf(1 - alpha / sided) + oracles.norm.ppf(wanted)
            drift = single * math.sqrt(answer[f"inflation_factor_power_{power}"])
            assert oracles.crossed(times, bounds, 1, drift) == pytest.approx(wanted, abs=1e-3)


def test_futility_spends_its_error_and_leaves_the_upper_bounds() -> None:
    draw = np.random.default_rng(11)
    for upper in ("lan_demets_obrien_fleming", "lan_demets_pocock"):
        for lower in ("lan_demets_obrien_fleming", "lan_demets_pocock"):
            times = [float(draw.uniform(0.2, 0.5)), float(draw.uniform(0.6, 0.9)), 1.0]
            case: Case = {
                "alpha_spending": upper,
                "beta_spending": lower,
                "binding": False,
                "alpha": 0.025,
                "beta": float(draw.choice([0.1, 0.2])),
                "sided": 1,
                "information_rates": times,
            }
            answer = checked("gst_futility_beta_spending", case, {})
            plain: Case = {
                "spending_function": upper,
                "parameters": {},
                "alpha": 0.025,
                "sided": 1,
                "information_rates": times,
            }
            assert answer["critical_values"] == pytest.approx(compute("gst_alpha_spending", plain)["critical_values"])
            assert answer["cumulative_beta_spent"][-1] == pytest.approx(case["beta"], abs=1e-4)
            assert answer["futility_bounds"] == sorted(answer["futility_bounds"])
            assert answer["inflation_factor"] > 1
            assert 0 < answer["asn_ratio_h0"] <= answer["inflation_factor"]
            assert 0 < answer["asn_ratio_h1"] <= answer["inflation_factor"]
            # Falling below the first futility bound spends what is to be spent by then.
            single = oracles.norm.ppf(0.975) + oracles.norm.ppf(1 - case["beta"])
            drift = single * math.sqrt(answer["inflation_factor"])
            below = oracles.norm.cdf(answer["futility_bounds"][0] - math.sqrt(times[0]) * drift)
            assert below == pytest.approx(answer["cumulative_beta_spent"][0], abs=1e-3)


def test_looking_often_without_a_correction() -> None:
    for alpha in (0.01, 0.05, 0.2):
        for looks in (1, 2, 3, 4):
            answer = checked("naive_peeking_type1", {"alpha_nominal": alpha, "looks": looks}, {})
            times = [(k + 1) / looks for k in range(looks)]
            bound = float(oracles.norm.ppf(1 - alpha / 2))
            assert answer["type1_error"] == pytest.approx(oracles.crossed(times, [bound] * looks, 2), abs=5e-5)


# Boundaries by mixtures, and tests whose oracle is what must hold of them


def test_the_beta_binomial_boundary_is_where_its_mixture_reaches_one_over_alpha() -> None:
    draw = np.random.default_rng(12)
    for _ in range(ROUNDS):
        share = float(draw.choice([0.1, 0.3, 0.5, 0.8]))
        v = float(10 ** draw.uniform(1, 4))
        n = v / (share * (1 - share))
        case = {
            "s": float(draw.uniform(-0.5, 0.5) * min(share, 1 - share) * n),
            "v": v,
            "g": share,
            "h": 1 - share,
            "v_opt": float(10 ** draw.uniform(1, 4)),
            "alpha": small_alpha(draw),
            "alpha_opt": small_alpha(draw),
        }
        wanted = oracles.beta_binomial_mixture_boundary(case)
        answer = checked("beta_binomial_mixture_boundary", case, wanted)
        boundary = answer["boundary_two_sided"]
        if boundary is not None and boundary < (1 - share) * n:
            reached = float(wanted["_log_mixture"](oracles.mp.mpf(boundary)))
            assert reached == pytest.approx(-math.log(case["alpha"]), rel=1e-4), case
        assert answer["log_mixture_one_sided"] <= answer["log_mixture_two_sided"] + 20


def test_equal_quantiles_are_told_apart_by_no_order_and_no_scale() -> None:
    draw = np.random.default_rng(13)
    for _ in range(8):
        n = int(draw.integers(50, 1_500))
        a, b = (np.round(draw.lognormal(3, 0.5, n) * k, 3) for k in (1.0, float(draw.choice([1.0, 1.6]))))
        case = {
            "values_a": a.tolist(),
            "values_b": b.tolist(),
            "quantile": float(draw.choice([0.5, 0.9])),
            "t_opt": 800,
            "alpha_opt": 0.05,
        }
        p = checked("sequential_quantile_test", case, {})["always_valid_p"]
        assert 0 <= p <= 1
        swapped = {**case, "values_a": case["values_b"], "values_b": case["values_a"]}
        scaled = {**case, "values_a": (a * 8).tolist(), "values_b": (b * 8).tolist()}
        backwards = {**case, "values_a": case["values_a"][::-1]}
        for other in (swapped, scaled, backwards):
            assert compute("sequential_quantile_test", other)["always_valid_p"] == pytest.approx(p, rel=1e-5, abs=1e-9)
    same = {**case, "values_b": case["values_a"]}
    assert compute("sequential_quantile_test", same)["always_valid_p"] == 1.0


def test_swapped_arms_give_the_mirrored_answer() -> None:
    draw = np.random.default_rng(14)
    for _ in range(ROUNDS):
        case = {**arms(draw), "confidence_level": level(draw)}
        swapped = {**case, "control": case["treatment"], "treatment": case["control"]}
        first, second = (compute("ci_two_proportions", each) for each in (case, swapped))
        for name in (
            "wald",
            "agresti_caffo",
            "newcombe_hybrid_score",
        ):  # the other library's score interval is not symmetric
            assert first[name] == pytest.approx([-second[name][1], -second[name][0]]), (name, case)
        first, second = (compute("ztest_two_proportions", each) for each in (case, swapped))
        assert first["p_two_sided"] == pytest.approx(second["p_two_sided"])
        assert first["z"] == pytest.approx(-second["z"])


@pytest.mark.parametrize("n", [1, 2, 50, 10_000_000])
@pytest.mark.parametrize("rate", [0, 1])
def test_what_does_not_vary_decides_nothing(n: int, rate: int) -> None:
    both = {"successes": n * rate, "n": n}
    answer = compute("edge_case_policy", {"metric": "proportion", "control": both, "treatment": both})
    assert has_numbers_only(answer)
    assert (answer["p_two_sided"], answer["significant"], answer["winner"], answer["effect"]) == (1.0, False, None, 0.0)
    low, high = answer["newcombe_ci95"]
    assert low == pytest.approx(-high)
    constant = {"n": n, "mean": 5.0 * rate, "sd": 0.0}
    answer = compute("edge_case_policy", {"metric": "mean", "control": constant, "treatment": constant})
    assert (answer["p_two_sided"], answer["significant"]) == (1.0, False)


@pytest.mark.parametrize(
    "case",
    [
        {"metric": "proportion", "control": {"successes": 3, "n": 2}, "treatment": {"successes": 1, "n": 2}},
        {"metric": "proportion", "control": {"successes": -1, "n": 2}, "treatment": {"successes": 1, "n": 2}},
        {"metric": "proportion", "control": {"successes": 1, "n": -2}, "treatment": {"successes": 1, "n": 2}},
        {
            "metric": "mean",
            "control": {"n": 5, "mean": math.nan, "sd": 1.0},
            "treatment": {"n": 5, "mean": 0.0, "sd": 1.0},
        },
        {"metric": "mean", "control": {"n": 5, "mean": 0.0, "sd": -1.0}, "treatment": {"n": 5, "mean": 0.0, "sd": 1.0}},
    ],
)
def test_what_cannot_be_is_refused(case: Case) -> None:
    with pytest.raises(InvalidRequest):
        compute("edge_case_policy", case)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_record_that_is_no_number_changes_nothing(value: str) -> None:
    assert compute("edge_case_policy", {"metric": "record", "value": value}) == {
        "rejected": True,
        "counts_unchanged": True,
    }

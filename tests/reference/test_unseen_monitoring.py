"""Cases that no file holds, of the kinds in the monitoring files: drift against SciPy, alerts against a simulator that counts minutes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from chopmark.stats.reference import compute
from chopmark.stats.reference.drift import made

Case = dict[str, Any]

NUMERIC: list[tuple[list[Any], list[Any]]] = [
    (["normal", 1, 1_000, 0.0, 1.0], ["normal", 2, 1_000, 0.0, 1.0]),
    (["normal", 1, 3_000, 1e6, 1e-3], ["normal", 2, 700, 1e6, 2e-3]),
    (["lognormal", 3, 400, 0.0, 2.0], ["lognormal", 4, 5_000, 0.1, 2.0]),
    (["student3", 5, 2_000, 1.0], ["student3", 6, 2_000, 1.5]),
    (["zero_exp", 7, 1_200, 0.6, 3.0], ["zero_exp", 8, 1_300, 0.5, 3.0]),
    (["poisson", 9, 800, 0.3], ["poisson", 10, 900, 4.0]),
    (["round_gamma", 11, 1_500, 2.0, 1.0], ["round_gamma", 12, 1_500, 2.0, 1.2]),
    (["normal_nan", 13, 1_100, 0.0, 1.0, 0.3], ["normal_nan", 14, 1_100, 0.0, 1.0, 0.05]),
    (["const_mix", 0, 600, 1.0, 5.0, 7], ["const_mix", 0, 500, 1.0, 5.0, 3]),
    (["list", 0, 12, [1, 2, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]], ["list", 0, 3, [0, 2, 400]]),
]
LEVELS: list[tuple[list[Any], list[Any]]] = [
    (["cat", 1, 1_000, [1, 1]], ["cat", 2, 1_000, [1, 1.3]]),
    (["cat", 3, 50_000, [5, 3, 1, 1e-3]], ["cat", 4, 300, [5, 3, 1, 0.2]]),
    (["cat", 5, 600, [1, 2, 3, 4, 0]], ["cat", 6, 600, [0, 2, 3, 4, 1]]),
    (["zipf", 7, 2_000, 40, 1.0], ["zipf", 8, 3_000, 40, 4.0]),
]


def numbers_only(answer: Any) -> bool:
    try:
        json.dumps(answer, allow_nan=False)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("given", NUMERIC, ids=lambda g: g[0][0])
@pytest.mark.parametrize("is_swapped", [False, True])
def test_numbers_are_compared_as_scipy_does(given: tuple[list[Any], list[Any]], *, is_swapped: bool) -> None:
    case = dict(zip(("reference", "current"), given[::-1] if is_swapped else given, strict=True))
    a, b = (made(case[side])[~np.isnan(made(case[side]))] for side in ("reference", "current"))
    answer = compute("numeric", case)
    assert numbers_only(answer)
    found = answer["scipy"]
    for method, key in (("asymp", "ks_2samp_asymp"), ("exact", "ks_2samp_exact")):
        if key in found:
            wanted = stats.ks_2samp(a, b, method=method)
            assert found[key]["statistic"] == pytest.approx(wanted.statistic, rel=1e-9)
            assert found[key]["pvalue"] == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-300)
    assert found["wasserstein_distance"] == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9)
    assert found["energy_distance"] == pytest.approx(stats.energy_distance(a, b), rel=1e-6, abs=1e-9)
    cramer = stats.cramervonmises_2samp(a, b, method="asymptotic")
    assert found["cramervonmises_2samp_asymp"]["statistic"] == pytest.approx(cramer.statistic, rel=1e-9)
    assert found["cramervonmises_2samp_asymp"]["pvalue"] == pytest.approx(cramer.pvalue, rel=1e-6, abs=1e-12)
    ranked = stats.mannwhitneyu(a, b, method="asymptotic")
    assert found["mannwhitneyu_asymp"]["pvalue"] == pytest.approx(ranked.pvalue, rel=1e-6, abs=1e-300)
    for bins in (10, 20):
        edges = np.unique(np.quantile(a, np.arange(1, bins) / bins))
        counted = found[f"refbins{bins}"]
        assert counted["edges"] == pytest.approx(edges.tolist())
        ours, theirs = (np.histogram(values, [-np.inf, *edges, np.inf])[0] for values in (a, b))
        # The last bin of a histogram holds its upper end, which is infinite here, so that all are half open.
        assert (counted["ref_counts"], counted["cur_counts"]) == (ours.tolist(), theirs.tolist())
        assert_divergences(counted, ours, theirs)


def assert_divergences(found: Case, ours: Any, theirs: Any) -> None:
    p, q = ours / ours.sum(), theirs / theirs.sum()
    low, high = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    assert found["psi"] == pytest.approx(((high - low) * np.log(high / low)).sum(), rel=1e-9, abs=1e-12)
    middle = (p + q) / 2
    js = (stats.entropy(p, middle, base=2) + stats.entropy(q, middle, base=2)) / 2
    assert found["js_distance_base2"] == pytest.approx(math.sqrt(max(js, 0)), rel=1e-6, abs=1e-7)
    assert found["hellinger"] == pytest.approx(math.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2), rel=1e-9)
    assert found["tvd"] == pytest.approx(np.abs(p - q).sum() / 2, rel=1e-9)


@pytest.mark.parametrize("given", LEVELS, ids=lambda g: f"{g[0][0]}-{g[0][2]}")
@pytest.mark.parametrize("is_swapped", [False, True])
def test_levels_are_compared_as_scipy_does(given: tuple[list[Any], list[Any]], *, is_swapped: bool) -> None:
    case = dict(zip(("reference", "current"), given[::-1] if is_swapped else given, strict=True))
    a, b = (made(case[side]) for side in ("reference", "current"))
    levels = sorted({*a.tolist(), *b.tolist()})
    table = np.array([[(side == level).sum() for level in levels] for side in (a, b)])
    answer = compute("categorical", case)
    assert numbers_only(answer)
    found = answer["scipy"]
    assert found["levels"] == levels
    assert (found["ref_counts"], found["cur_counts"]) == (table[0].tolist(), table[1].tolist())
    for key, options in (
        ("chi2", {"correction": False}),
        ("chi2_default_yates_for_2x2", {}),
        ("g_test", {"correction": False, "lambda_": "log-likelihood"}),
    ):
        wanted = stats.chi2_contingency(table, **options)
        assert found[key]["statistic"] == pytest.approx(wanted.statistic, rel=1e-9)
        assert found[key]["pvalue"] == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-300)
        assert found[key]["dof"] == wanted.dof
    assert_divergences(found, table[0], table[1])


def intervals(firing: list[bool]) -> list[list[int]]:
    found: list[list[int]] = []
    for minute, fires in enumerate(firing):
        if fires and minute and firing[minute - 1]:
            found[-1][1] = minute
        elif fires:
            found.append([minute, minute])
    return found


def runs(values: list[Any]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for value in values:
        if found and found[-1][0] == value:
            found[-1][1] += 1
        else:
            found.append([value, 1])
    return found


def simulated(holds: list[bool], wait: int, keep: int) -> list[bool]:
    """By minutes in a row, without a state: pending since the first true one, and clear since the first false one."""
    firing, is_firing, trues, falses = [], False, 0, 0
    for true in holds:
        trues, falses = (trues + 1, 0) if true else (0, falses + 1)
        if is_firing and not true:
            is_firing = falses <= keep  # the first false minute is the one from which is counted
            trues = 0
        elif not is_firing:
            is_firing = trues > wait
        firing.append(is_firing)
    return firing


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_thresholds_fire_at_the_minutes_of_the_simulator(operator: str) -> None:
    draw = np.random.default_rng(list(operator.encode()))
    compare = {
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "==": np.equal,
        "!=": np.not_equal,
    }
    for _ in range(60):
        wait, keep = int(draw.choice([0, 1, 3, 10])), int(draw.choice([0, 0, 1, 4, 15]))
        values = np.repeat(draw.integers(0, 4, 80) / 2, draw.integers(1, 9, 80))[:300].tolist()
        case = {
            "op": operator,
            "threshold": 1.0,
            "for_minutes": wait,
            "keep_firing_for_minutes": keep,
            "values_rle": runs(values),
            "minutes": len(values),
        }
        wanted = simulated([bool(compare[operator](v, 1.0)) for v in values], wait, keep)
        assert compute("threshold", case) == {"firing": intervals(wanted)}, case


def test_burn_rates_fire_at_the_minutes_of_the_simulator() -> None:
    pairs: list[dict[str, Any]] = [
        {"name": "page", "factor": 14.37, "long_minutes": 60, "short_minutes": 5},
        {"name": "ticket", "factor": 3.07, "long_minutes": 180, "short_minutes": 15},
    ]
    draw = np.random.default_rng(3)
    fired = 0
    for objective in (0.9, 0.99, 0.999):
        for _ in range(3):
            minutes = 700
            total = np.repeat(draw.integers(0, 500, 14), 50)
            share = np.repeat(draw.choice([0.0, 1 - objective, 0.05, 0.3, 1.0], 70), 10)
            errors = np.floor(total * share).astype(int)
            wanted: dict[str, list[list[int]]] = {}
            for pair in pairs:
                burns = []
                for window in (pair["long_minutes"], pair["short_minutes"]):
                    failed, all_of = (np.convolve(x, np.ones(window))[:minutes] for x in (errors, total))
                    burns.append(np.divide(failed, all_of, out=np.zeros(minutes), where=all_of > 0) / (1 - objective))
                # A burn rate that is the factor but for rounding may be on either side of it.
                assert all(np.abs(b / pair["factor"] - 1).min() > 1e-12 for b in burns)
                wanted[pair["name"]] = intervals([bool((b > pair["factor"]).item()) for b in np.minimum(*burns)])
            case = {
                "objective": objective,
                "errors_rle": runs(errors.tolist()),
                "total_rle": runs(total.tolist()),
                "minutes": minutes,
                "burn_pairs": pairs,
            }
            assert compute("burn_rate", case) == {"firing": wanted}
            fired += sum(map(len, wanted.values()))
    assert fired > 10

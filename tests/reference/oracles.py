"""What reference methods should answer, written once more from the conventions of their files: by SciPy, mpmath and raw values.

Nothing here calls the package. Each oracle takes a case's input and gives some of the keys of the answer, those it can know.
"""

import hashlib
import math
from itertools import pairwise
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
from scipy import integrate, optimize, stats

Case = dict[str, Any]
Answer = dict[str, Any]

norm = stats.norm


def _arms(case: Case) -> tuple[int, int, int, int]:
    c, t = case["control"], case["treatment"]
    return c["successes"], c["n"], t["successes"], t["n"]


def ztest_two_proportions(case: Case) -> Answer:
    a, n, b, m = _arms(case)
    pooled = (a + b) / (n + m)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = (b / m - a / n) / error if error else 0.0
    if not error:
        return {"z": 0.0, "p_two_sided": 1.0, "effect": b / m - a / n, "pooled_rate": pooled}
    return {
        "z": z,
        "p_two_sided": 2 * norm.sf(abs(z)),
        "p_treatment_greater": norm.sf(z),
        "p_treatment_less": norm.cdf(z),
        "effect": b / m - a / n,
        "pooled_rate": pooled,
    }


def _wilson(x: int, n: int, z: float) -> tuple[float, float]:
    middle, reach = (x + z * z / 2) / (n + z * z), z / (n + z * z) * math.sqrt(x * (n - x) / n + z * z / 4)
    return middle - reach, middle + reach


def ci_two_proportions(case: Case) -> Answer:
    a, n, b, m = _arms(case)
    z = norm.ppf(0.5 + case["confidence_level"] / 2)
    p, q = a / n, b / m
    low0, high0 = _wilson(a, n, z)
    low1, high1 = _wilson(b, m, z)
    reach = z * math.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    pa, qa = (a + 1) / (n + 2), (b + 1) / (m + 2)
    wider = z * math.sqrt(pa * (1 - pa) / (n + 2) + qa * (1 - qa) / (m + 2))
    return {
        "wald": [q - p - reach, q - p + reach],
        "agresti_caffo": [qa - pa - wider, qa - pa + wider],
        "newcombe_hybrid_score": [
            q - p - math.hypot(q - low1, high0 - p),
            q - p + math.hypot(high1 - q, p - low0),
        ],
    }


def ttest_welch(case: Case) -> Answer:
    c, t = (case[arm] for arm in ("control", "treatment"))
    found = stats.ttest_ind_from_stats(t["mean"], t["sd"], t["n"], c["mean"], c["sd"], c["n"], equal_var=False)
    parts = c["sd"] ** 2 / c["n"], t["sd"] ** 2 / t["n"]
    df = sum(parts) ** 2 / (parts[0] ** 2 / (c["n"] - 1) + parts[1] ** 2 / (t["n"] - 1))
    reach = stats.t.ppf(0.5 + case["confidence_level"] / 2, df) * math.sqrt(sum(parts))
    effect = t["mean"] - c["mean"]
    return {
        "t": found.statistic,
        "df": df,
        "p_two_sided": found.pvalue,
        "p_treatment_greater": stats.t.sf(found.statistic, df),
        "p_treatment_less": stats.t.cdf(found.statistic, df),
        "effect": effect,
        "ci": [effect - reach, effect + reach],
    }


def _welch(mean0: float, var0: float, n0: int, mean1: float, var1: float, n1: int) -> Answer:
    parts = var0 / n0, var1 / n1
    se, df = math.sqrt(sum(parts)), sum(parts) ** 2 / (parts[0] ** 2 / (n0 - 1) + parts[1] ** 2 / (n1 - 1))
    effect, reach = mean1 - mean0, stats.t.ppf(0.975, df) * se
    return {
        "effect": effect,
        "se": se,
        "df": df,
        "p_two_sided": 2 * stats.t.sf(abs(effect) / se, df),
        "ci95": [effect - reach, effect + reach],
    }


def of_ratio(control: Any, treatment: Any) -> Answer:
    """From the units themselves, arrays of numerator and denominator."""
    (r0, v0, n0), (r1, v1, n1) = (
        (y.sum() / x.sum(), np.var(y - y.sum() / x.sum() * x, ddof=1) / x.mean() ** 2, len(y))
        for y, x in (control, treatment)
    )
    return {
        "ratio_control": r0,
        "ratio_treatment": r1,
        "variance_control": v0,
        "absolute": _welch(r0, v0, n0, r1, v1, n1),
        "relative": {
            "effect": r1 / r0 - 1,
            "se": math.sqrt(v1 / n1 / r0**2 + v0 / n0 * r1**2 / r0**4),
        },
    }


def of_cuped(control: Any, treatment: Any) -> Answer:
    """From the units themselves, arrays of outcome and of what was known before."""
    y, x = (np.concatenate([control[i], treatment[i]]) for i in (0, 1))
    theta = np.cov(y, x, ddof=0)[0, 1] / np.var(x)
    (m0, v0, n0), (m1, v1, n1) = (
        (np.mean(y - theta * x), np.var(y - theta * x, ddof=1), len(y)) for y, x in (control, treatment)
    )
    plain = stats.ttest_ind(treatment[0], control[0], equal_var=False)
    unadjusted = plain.confidence_interval(0.95)
    se = (unadjusted.high - unadjusted.low) / 2 / stats.t.ppf(0.975, plain.df)
    adjusted = _welch(m0, v0, n0, m1, v1, n1)
    return {
        "theta": theta,
        **adjusted,
        "unadjusted_effect": treatment[0].mean() - control[0].mean(),
        "unadjusted_se": se,
        "variance_reduction": 1 - (adjusted["se"] / se) ** 2,
    }


def stratified(case: Case) -> Answer:
    a, n, b, m = np.array([_arms(each) for each in case["strata"]], dtype=float).T
    total = n + m
    expected = m * (a + b) / total
    variance = n * m * (a + b) * (total - a - b) / (total**2 * (total - 1))
    statistic = (b - expected).sum() ** 2 / variance.sum()
    top, bottom = (b * (n - a) / total).sum(), (a * (m - b) / total).sum()
    weight, p, q = total / total.sum(), a / n, b / m
    return {
        "cmh_statistic": statistic,
        "cmh_p": stats.chi2.sf(statistic, 1),
        "mh_odds_ratio": top / bottom,
        "post_stratified_difference": (weight * (q - p)).sum(),
        "post_stratified_se": math.sqrt((weight**2 * (p * (1 - p) / n + q * (1 - q) / m)).sum()),
    }


def exact_small_sample(case: Case) -> Answer:
    a, n, b, m = _arms(case)
    table = [[a, b], [n - a, m - b]]
    return {
        "fisher_p": stats.fisher_exact([[a, n - a], [b, m - b]])[1],
        "barnard_p": stats.barnard_exact(table).pvalue,
        "boschloo_p": stats.boschloo_exact(table).pvalue,
    }


def noninferiority(case: Case) -> Answer:
    margin = case["margin_absolute"]
    if case["metric"].startswith("mean"):
        c, t = (case[arm] for arm in ("control", "treatment"))
        base = _welch(c["mean"], c["sd"] ** 2, c["n"], t["mean"], t["sd"] ** 2, t["n"])
        above, below = (base["effect"] - margin) / base["se"], (base["effect"] + margin) / base["se"]
        first, second = stats.t.cdf(above, base["df"]), stats.t.sf(below, base["df"])
        return {
            "non_inferiority": {"t": above, "p": first},
            "lower_side_equivalence": {"t": below, "p": second},
            "tost_p": max(first, second),
            "df": base["df"],
        }
    a, n, b, m = _arms(case)
    p, q = a / n, b / m
    se = math.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    z = (q - p + margin) / se
    return {
        "wald": {"z": z, "p": norm.sf(z)},
        "wald_lower_bound_95_one_sided": q - p - norm.ppf(0.95) * se,
        "non_inferior_wald_0_05": bool(norm.sf(z) <= case["alpha"]),
    }


def multiplicity(case: Case) -> Answer:
    p = np.array(case["p_values"])
    m = len(p)
    up = {i: sorted(p)[i] for i in range(m)}
    rank = {value: k for k, value in up.items()}  # of ties the last, which step-up methods take
    hommel = [max(_simes([*subset]) for subset in _holding(p, i)) for i in range(m)]
    return {
        "bonferroni": {"adjusted": np.minimum(1, p * m).tolist()},
        "holm": {
            "adjusted": [min(1.0, max((m - sorted(p).index(w)) * w for w in p if w <= v)) for v in p],
        },
        "hochberg": {"adjusted": [min(1.0, *((m - rank[w]) * w for w in p if w >= v)) for v in p]},
        "hommel": {"adjusted": hommel},
        "benjamini_hochberg": {"adjusted": stats.false_discovery_control(p).tolist()},
        "benjamini_yekutieli": {"adjusted": stats.false_discovery_control(p, method="by").tolist()},
    }


def _holding(p: Any, i: int) -> Any:
    """Every subset with the i-th: Hommel's is closed testing by Simes."""
    others = [p[j] for j in range(len(p)) if j != i]
    for bits in range(2 ** len(others)):
        yield [p[i], *(v for j, v in enumerate(others) if bits >> j & 1)]


def _simes(values: list[float]) -> float:
    ordered = sorted(values)
    return min(1.0, *(len(ordered) * v / (k + 1) for k, v in enumerate(ordered)))


def srm_chisquare(case: Case) -> Answer:
    observed, weights = np.array(case["observed"]), np.array(case["expected_weights"])
    found = stats.chisquare(observed, observed.sum() * weights / weights.sum())
    return {
        "chi2": found.statistic,
        "df": len(observed) - 1,
        "p": found.pvalue,
        "srm_at_0_01": bool(found.pvalue < 0.01),
        "srm_at_0_001": bool(found.pvalue < 0.001),
    }


def anytime_binomial_share(case: Case) -> Answer:
    share, k = mp.mpf(case["null_share_treatment"]), mp.mpf(case["prior_concentration"])
    a, b = case["events_treatment"], case["events_control"]
    log_e = _log_beta(k * share + a, k * (1 - share) + b) - _log_beta(k * share, k * (1 - share))
    log_e -= a * mp.log(share) + b * mp.log(1 - share)
    return {"log_e_value": float(log_e), "always_valid_p_single": float(min(mp.mpf(1), mp.exp(-log_e)))}


def _log_beta(a: Any, b: Any) -> Any:
    with mp.workdps(40):
        return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(mp.mpf(a) + b)


def asymptotic_confidence_sequence(case: Case) -> Answer:
    c, t, alpha = case["control"], case["treatment"], case["alpha"]
    if case["metric"] == "mean":
        effect, se = t["mean"] - c["mean"], math.sqrt(c["sd"] ** 2 / c["n"] + t["sd"] ** 2 / t["n"])
    else:
        p, q = c["successes"] / c["n"], t["successes"] / t["n"]
        effect, se = q - p, math.sqrt(p * (1 - p) / c["n"] + q * (1 - q) / t["n"])
    wide = -2 * math.log(alpha)
    rho = math.sqrt((wide + math.log(1 + wide)) / case["tuning_sample_size_total"])
    scaled = (c["n"] + t["n"]) * rho**2
    half = se * math.sqrt((1 + 1 / scaled) * (math.log(scaled + 1) + wide))
    log_e = (effect / se) ** 2 / 2 * scaled / (1 + scaled) - math.log(1 + scaled) / 2
    return {
        "effect": effect,
        "rho": rho,
        "half_width": half,
        "ci_always_valid": [effect - half, effect + half],
        "p_always_valid": min(1.0, math.exp(-log_e)) if log_e < 700 else 0.0,
    }


def bandit_prob_best(case: Case) -> Answer:
    betas = [
        stats.beta(arm["successes"] + case["prior"]["a"], arm["n"] - arm["successes"] + case["prior"]["b"])
        for arm in case["arms"]
    ]
    # Between quantiles of each arm, so that no peak falls between the points.
    ends = sorted({0.0, 1.0, *(float(b.ppf(q)) for b in betas for q in (1e-12, 0.01, 0.5, 0.99, 1 - 1e-12))})
    best = [
        sum(
            integrate.quad(
                lambda x, i=i: betas[i].pdf(x) * math.prod(b.cdf(x) for j, b in enumerate(betas) if j != i),
                low,
                high,
                epsabs=1e-9,
            )[0]
            for low, high in pairwise(ends)
        )
        for i in range(len(betas))
    ]
    return {"prob_best": best}


def bayes_beta_binomial(case: Case) -> Answer:
    a, n, b, m = _arms(case)
    prior = case["prior"]
    with mp.workdps(30):
        control, treatment = ((mp.mpf(x) + prior["a"], mp.mpf(size - x) + prior["b"]) for x, size in ((a, n), (b, m)))

        def better(first: Any, second: Any) -> Any:
            """P(first > second), where the first of first's parameters is whole: Miller's sum."""
            return sum(
                mp.exp(
                    _log_beta(second[0] + i, first[1] + second[1])
                    - mp.log(first[1] + i)
                    - _log_beta(1 + i, first[1])
                    - _log_beta(*second)
                )
                for i in range(int(first[0]))
            )

        def loss(shipped: Any, other: Any) -> Any:
            """E max(other − shipped, 0)."""
            up = [
                arm[0] / (arm[0] + arm[1]) * better((other[0] + k, other[1]), (shipped[0] + (1 - k), shipped[1]))
                for k, arm in ((1, other), (0, shipped))
            ]
            return up[0] - up[1]

        return {
            "prob_treatment_better": float(better(treatment, control)),
            "expected_loss_if_ship_treatment": float(loss(treatment, control)),
            "expected_loss_if_keep_control": float(loss(control, treatment)),
        }


def bayes_normal_effect(case: Case) -> Answer:
    a, n, b, m = _arms(case)
    p, q = a / n, b / m
    v0, v1 = p * (1 - p) / n, q * (1 - q) / m
    effect, variance, scale = q - p, v0 + v1, abs(p)
    if case["effect_scale"] == "relative":
        effect, variance, scale = (q - p) / abs(p), v1 / p**2 + v0 * q**2 / p**4, 1.0
    mean, precision = effect, 1 / variance
    if case["prior"] is not None:
        own = 1 / (case["prior"]["variance"] * scale**2)
        precision = 1 / variance + own
        mean = (effect / variance + case["prior"]["mean"] * scale * own) / precision
    sd = math.sqrt(1 / precision)
    above = mean * norm.cdf(mean / sd) + sd * norm.pdf(mean / sd)
    below = above - mean
    lower = case["lower_is_better"]
    return {
        "chance_to_win": norm.cdf(-mean / sd) if lower else norm.cdf(mean / sd),
        "posterior_mean": mean,
        "posterior_sd": sd,
        "credible_interval_95": [mean - norm.ppf(0.975) * sd, mean + norm.ppf(0.975) * sd],
        "risk_treatment": above if lower else below,
        "risk_control": below if lower else above,
    }


def beta_binomial_mixture_boundary(case: Case) -> Answer:
    s, v, g, h = (mp.mpf(case[name]) for name in ("s", "v", "g", "h"))
    wide = 2 * math.log(1 / case["alpha_opt"])
    r = case["v_opt"] / (wide + math.log(1 + wide)) - g * h

    def log_mixture(at: Any) -> Any:
        n = v / (g * h)
        a = at + g * n
        b = n - a
        return _log_beta(r / h + a, r / g + b) - _log_beta(r / h, r / g) - a * mp.log(g) - b * mp.log(h)

    return {"log_mixture_two_sided": float(log_mixture(s)), "_log_mixture": log_mixture}


def conditional_power(case: Case) -> Answer:
    t, z, alpha = case["information_fraction"], case["z_observed"], case["alpha_one_sided"]
    critical, drift = norm.ppf(1 - alpha), norm.ppf(1 - alpha) + norm.ppf(case["design_power"])
    b = z * math.sqrt(t)

    def power(theta: float) -> float:
        return float(norm.sf((critical - b - theta * (1 - t)) / math.sqrt(1 - t)))

    return {
        "b_value": b,
        "conditional_power_design_effect": power(drift),
        "conditional_power_current_trend": power(z / math.sqrt(t)),
        "conditional_power_null": power(0.0),
        "predictive_power_flat_prior": float(norm.cdf((z - math.sqrt(t) * critical) / math.sqrt(1 - t))),
    }


def crossed(times: list[float], bounds: list[float], sided: int, drift: float = 0.0) -> float:
    """Chance that a Brownian motion's z statistic reaches a bound at one of the looks, by the multivariate normal distribution."""
    t = np.array(times)
    inside = stats.multivariate_normal(
        np.sqrt(t) * drift,
        np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t)),
        allow_singular=True,
        maxpts=2_000_000,
        abseps=1e-7,
        seed=1,
    )
    low = None if sided == 1 else -np.array(bounds)
    return 1 - float(inside.cdf(np.array(bounds), lower_limit=low))


def msprt_two_proportions(case: Case) -> Answer:
    a, n, b, m = _arms(case)
    p, q, tau = a / n, b / m, case["mixing_sd_tau"]
    v, d = p * (1 - p) / n + q * (1 - q) / m, q - p
    log_lambda = math.log(v / (v + tau**2)) / 2 + tau**2 * d**2 / (2 * v * (v + tau**2))
    half = math.sqrt(v * (v + tau**2) / tau**2 * (2 * math.log(1 / case["alpha"]) + math.log((v + tau**2) / v)))
    return {
        "log_lambda": log_lambda,
        "always_valid_p_single": min(1.0, math.exp(-min(log_lambda, 740))),
        "ci_always_valid": [d - half, d + half],
    }


def normal_mixture_boundary(case: Case) -> Answer:
    v, alpha, s = case["intrinsic_time_v"], case["alpha"], case["martingale_s"]
    wide = 2 * math.log(1 / (2 * case["alpha_opt"] if case["one_sided"] else case["alpha_opt"]))
    rho = case["v_opt"] / (wide + math.log(1 + wide))

    def log_mixture(at: float) -> float:
        if case["one_sided"]:
            return (
                0.5 * math.log(4 * rho / (v + rho))
                + at**2 / (2 * (v + rho))
                + float(norm.logcdf(at / math.sqrt(v + rho)))
            )
        return 0.5 * math.log(rho / (v + rho)) + at**2 / (2 * (v + rho))

    top = 20 * math.sqrt((v + rho) * (math.log((v + rho) / rho) + 2 * math.log(1 / alpha) + 1))
    boundary = optimize.brentq(lambda at: log_mixture(at) + math.log(alpha), 0 if not case["one_sided"] else -top, top)
    return {
        "boundary": boundary,
        "log_mixture": log_mixture(s),
        "always_valid_p": min(1.0, math.exp(-min(log_mixture(s), 700))),
    }


def power_ttest(case: Case) -> Answer:
    def power(d: float, n: float) -> float:
        m = n * case["ratio_treatment_to_control"]
        df, off = n + m - 2, d * math.sqrt(n * m / (n + m))
        reach = stats.t.ppf(1 - case["alpha"] / 2, df)
        # Over the deviation that is estimated, for SciPy's noncentral t gives no number at many degrees of freedom.
        spread = stats.chi(df, scale=1 / math.sqrt(df))
        low, high = (float(spread.ppf(q)) for q in (1e-13, 1 - 1e-13))
        return float(
            integrate.quad(
                lambda s: spread.pdf(s) * (norm.sf(reach * s - off) + norm.cdf(-reach * s - off)),
                low,
                high,
                epsabs=1e-12,
            )[0]
        )

    at = case["n_control_for_power"]
    top = 10.0
    while power(case["cohen_d"], top) < case["power"]:
        top *= 2
    needed = optimize.brentq(lambda n: power(case["cohen_d"], n) - case["power"], 2.0, top, xtol=1e-9, rtol=1e-13)
    return {
        "n_control_required": needed,
        "n_control_ceil": math.ceil(needed),
        "power_at_n": power(case["cohen_d"], at),
        "mde_d_at_n": optimize.brentq(lambda d: power(d, at) - case["power"], 1e-9, 50.0, xtol=1e-12),
    }


def power_two_proportions_arcsine(case: Case) -> Answer:
    def power(h: float, n: float) -> float:
        z, off = norm.ppf(1 - case["alpha"] / 2), h / math.sqrt(1 / n + 1 / (n * case["ratio_treatment_to_control"]))
        return float(norm.sf(z - off) + norm.cdf(-z - off))

    h = 2 * math.asin(math.sqrt(case["target_rate"])) - 2 * math.asin(math.sqrt(case["baseline_rate"]))
    at = case["n_control_for_power"]
    needed = optimize.brentq(lambda n: power(h, n) - case["power"], 1e-6, 1e12, xtol=1e-9, rtol=1e-13)
    least = optimize.brentq(lambda x: power(x, at) - case["power"], 1e-9, 20.0, xtol=1e-13)
    turned = math.asin(math.sqrt(case["baseline_rate"])) + least / 2
    return {
        "effect_size_h": h,
        "n_control_required": needed,
        "power_at_n": power(h, at),
        "mde_h_at_n": least,
        "mde_target_rate_upward": math.sin(turned) ** 2 if turned <= math.pi / 2 else None,
    }


def sample_size_two_proportions_fleiss(case: Case) -> Answer:
    p, q, sided = case["p1"], case["p2"], case["sided"]
    za, zb, middle, d = norm.ppf(1 - case["alpha"] / sided), norm.ppf(case["power"]), (p + q) / 2, abs(q - p)
    n = ((za * math.sqrt(2 * middle * (1 - middle)) + zb * math.sqrt(p * (1 - p) + q * (1 - q))) / d) ** 2
    reach = (d * math.sqrt(2_000) - za * math.sqrt(2 * middle * (1 - middle))) / math.sqrt(p * (1 - p) + q * (1 - q))
    return {
        "n_per_arm_uncorrected": n,
        "n_per_arm_fleiss_continuity_corrected": n / 4 * (1 + math.sqrt(1 + 4 / (n * d))) ** 2,
        "power_at_n_2000": norm.cdf(reach),
    }


def quantile_ci(case: Case) -> Answer:
    values, q = case["values"], case["quantile"]
    found = stats.quantile_test(values, q=0.0, p=q).confidence_interval(case["confidence_level"])
    known = {"linear_interpolated_quantile": float(np.quantile(values, q))}
    ends = [float(found.low), float(found.high)]
    return known if any(map(math.isnan, ends)) else {**known, "order_statistic_ci": ends}


def quantile_difference(case: Case) -> Answer:
    z, sides = norm.ppf(0.975), []
    for arm in (case["control"], case["treatment"]):
        spread = (arm["quantile_at_upper_rank"] - arm["quantile_at_lower_rank"]) / 2 / z
        sides += [arm["quantile_hat"], spread**2 * (arm["n"] - 1), arm["n"]]
    found = _welch(*sides)
    del found["df"]
    return found


def bucketing_hash_vectors(case: Case) -> Answer:
    salt, unit = case["salt_or_experiment"], case["unit_id"]
    top = int.from_bytes(hashlib.blake2b(salt.encode() + b"\0" + unit.encode(), digest_size=8).digest(), "big")
    dark = int(hashlib.sha1(f"{salt}.salt0.{unit}".encode(), usedforsecurity=False).hexdigest()[:15], 16)
    v1 = _fnv1a(unit + salt) % 1_000 / 1_000
    v2 = _fnv1a(str(_fnv1a(salt + unit))) % 10_000 / 10_000
    return {
        "growthbook_v1": v1,
        "growthbook_v2": v2,
        "launchdarkly_bucket": dark / 0xFFFFFFFFFFFFFFF,
        "blake2b_8_u64_big_endian": str(top),
    }


def _fnv1a(text: str) -> int:
    found = 0x811C9DC5
    for byte in text.encode():
        found = (found ^ byte) * 0x01000193 % 2**32
    return found

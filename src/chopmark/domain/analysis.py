"""What the checks of a rollout's step say of its candidate, from totals of requests; pure.

Verdicts
--------
``fail``: a test at the check's level says so, or a gauge was beyond its threshold so many times in a row. ``no_data``: fewer
requests than are wanted, or a gauge that is missing, late or no number (but one that can never be known is inconclusive). ``inconclusive``: enough requests, and still an estimate
beyond the threshold, or evidence against the candidate within a tenth of deciding. ``pass``: none of these.

Levels
------
Each test of each check in each step has its own share of the plan's alpha, so that by the union bound a candidate that keeps the
thresholds and is no worse than the stable version fails in at most alpha of all plans. Every test may be looked at after every
request (Ville's inequality), so the number of looks does not matter. A fifth is for thresholds, in all steps alike. Of the rest
half is for the comparisons of the first step, where a bad version shows at the smallest weight, half for those of the others.

- *Against a threshold*: a Beta mixture over all rates beyond it, by the step's totals (`beta_binomial_log_mixture`, one-sided). A
  percentile above a limit is a share of slower requests above the rest.
- *Against the stable version*: the e-process that bets on the arm of each failure and each success (`BernoulliEProcess`), by the
  half of its bets that the candidate is worse. Each batch was dealt by the step's share: what came while a router lagged is left out.
  Latency is compared as the share slower than the stable version's percentile, frozen before the first batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from msgspec import structs

from chopmark.domain.monitors import is_drift
from chopmark.domain.rollout_plans import Check, PlanStep, RolloutPlan
from chopmark.domain.rollout_totals import ArmTotals
from chopmark.domain.rollouts import CheckState, CheckVerdict, Evidence
from chopmark.domain.traffic import WEIGHT_TOTAL
from chopmark.stats.sequential import BernoulliEProcess, beta_binomial_log_mixture
from chopmark.stats.sequential.ratios import EFFECTS, log_weights
from chopmark.stats.summaries import Proportion

__all__ = ["begun", "comparison_level", "evidence_of", "judged", "rebased", "step_at", "threshold_level", "verdict_of"]

LIMIT_REQUESTS_MIN = 500
"""Requests of the stable version before its percentile is frozen as what latencies are compared with."""

_TUNED_REQUESTS = 200
_FOR_THRESHOLDS = 0.2
_FOR_FIRST = 0.5
_NEAR = 10.0
"""Evidence within this factor of deciding against the candidate passes nothing."""

_BASELINE_REQUESTS_MIN = 20
_WORST_FIRST: tuple[CheckVerdict, ...] = ("fail", "no_data", "inconclusive", "pass")


def step_at(plan: RolloutPlan, place: int) -> PlanStep:
    """The step of an index; the baking after the last."""
    return plan.steps[place] if place < len(plan.steps) else plan.bake


def threshold_level(plan: RolloutPlan) -> float:
    """The share of alpha of each test against a threshold."""
    tests = sum(map(_has_threshold_test, plan.checks)) * (len(plan.steps) + 1)
    return plan.alpha * _FOR_THRESHOLDS / max(tests, 1)


def comparison_level(plan: RolloutPlan, place: int) -> float:
    """The share of alpha of each comparison with the stable version in a step."""
    compared = [n for n, step in enumerate(plan.steps) if 0 < step.weight < WEIGHT_TOTAL]
    checks = max(sum(check.versus_stable for check in plan.checks), 1)
    each = plan.alpha * (1 - _FOR_THRESHOLDS) / checks
    if len(compared) < 2:  # noqa: PLR2004 - nothing to share with
        return each
    return each * _FOR_FIRST if place == compared[0] else each * (1 - _FOR_FIRST) / (len(compared) - 1)


def begun(plan: RolloutPlan, stable: ArmTotals, candidate: ArmTotals) -> tuple[CheckState, ...]:
    """The checks of a step whose weight was just confirmed: what came before is not counted."""
    return tuple(_begun(plan, check, stable, candidate) for check in plan.checks)


def rebased(
    plan: RolloutPlan, states: Iterable[CheckState], stable: ArmTotals, candidate: ArmTotals
) -> tuple[CheckState, ...]:
    """The checks once all routers deal alike again: what came meanwhile is compared with nothing."""
    return tuple(
        structs.replace(
            state,
            seen_stable=_bad(check, stable, state.limit) or state.seen_stable,
            seen=_bad(check, candidate, state.limit) or state.seen,
        )
        for check, state in zip(plan.checks, states, strict=True)
    )


def judged(
    plan: RolloutPlan,
    place: int,
    states: Iterable[CheckState],
    stable: ArmTotals,
    candidate: ArmTotals,
    now: datetime,
    *,
    is_steady: bool = True,
) -> tuple[CheckState, ...]:
    """The checks after one more look; with the same totals nothing changes.

    Parameters
    ----------
    place
        Index of the step that is held; that after the last is the baking.
    now
        By the database's clock; only a gauge's age depends on it.
    is_steady
        Whether all live routers deal by the step's weight; otherwise nothing is compared.
    """
    step = step_at(plan, place)
    levels = threshold_level(plan), comparison_level(plan, place)
    pairs = zip(plan.checks, states, strict=True)
    return tuple(_judged(plan, c, s, step, stable, candidate, now, levels, is_steady=is_steady) for c, s in pairs)


def verdict_of(states: Iterable[CheckState], step: PlanStep, arrived: int) -> CheckVerdict:
    """All checks together: the worst of them; without any, whether enough requests arrived.

    Parameters
    ----------
    arrived
        Requests of the candidate in this step.
    """
    verdicts = {state.verdict for state in states}
    if arrived < step.samples_min:
        verdicts.add("no_data")
    return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), "pass")


def evidence_of(states: Iterable[CheckState], *verdicts: CheckVerdict) -> tuple[Evidence, ...]:
    """What those checks say that have one of the verdicts; of all when none is named."""
    return tuple(
        Evidence(check=s.name, verdict=s.verdict, words=s.evidence)
        for s in states
        if s.evidence and (not verdicts or s.verdict in verdicts)
    )


def _begun(plan: RolloutPlan, check: Check, stable: ArmTotals, candidate: ArmTotals) -> CheckState:
    state = CheckState(name=check.name, base=_threshold_counts(plan, check, candidate) or Proportion())
    if check.kind == "latency" and check.versus_stable:
        return _with_limit(check, state, stable, candidate)
    return structs.replace(
        state, seen_stable=_bad(check, stable, None) or Proportion(), seen=_bad(check, candidate, None) or Proportion()
    )


def _with_limit(check: Check, state: CheckState, stable: ArmTotals, candidate: ArmTotals) -> CheckState:
    if stable.latency.count < LIMIT_REQUESTS_MIN:
        return state
    limit = stable.latency.quantile(check.percentile)
    return structs.replace(
        state, limit=limit, seen_stable=stable.latency.above(limit), seen=candidate.latency.above(limit)
    )


def _judged(
    plan: RolloutPlan,
    check: Check,
    state: CheckState,
    step: PlanStep,
    stable: ArmTotals,
    candidate: ArmTotals,
    now: datetime,
    levels: tuple[float, float],
    *,
    is_steady: bool,
) -> CheckState:
    least = step.samples_min if check.samples_min is None else check.samples_min
    if check.kind == "gauge":
        return _gauged(check, state, candidate, now)
    found: list[tuple[CheckVerdict, str]] = []
    if _has_threshold_test(check):
        found.append(_against_threshold(plan, check, state, candidate, least, levels[0]))
    if _is_compared(check, step):
        if is_steady:
            state = _fed(check, state, step, stable, candidate, levels[1])
        found.append(_against_stable(check, state, least, levels[1]))
    if not found:
        return structs.replace(state, verdict="pass", evidence="")
    verdict, words = min(found, key=lambda each: _WORST_FIRST.index(each[0]))
    return structs.replace(state, verdict=verdict, evidence=words)


def _has_threshold_test(check: Check) -> bool:
    return check.threshold is not None and check.kind != "gauge"


def _is_compared(check: Check, step: PlanStep) -> bool:
    return check.versus_stable and 0 < step.weight < WEIGHT_TOTAL


def _against_threshold(
    plan: RolloutPlan, check: Check, state: CheckState, candidate: ArmTotals, least: int, level: float
) -> tuple[CheckVerdict, str]:
    counts = _since(_threshold_counts(plan, check, candidate), state.base)
    if counts is None:
        return "no_data", f"{check.name}: the totals went back"
    if not counts.n:
        return ("pass" if not least else "no_data"), f"{check.name}: no requests"
    share = _threshold_share(check)
    excess = counts.successes - share * counts.n
    log_e = beta_binomial_log_mixture(
        excess,
        share * (1 - share) * counts.n,
        share,
        share * (1 - share) * _TUNED_REQUESTS,
        alpha_opt=level,
        one_sided=True,
    )
    words = (
        f"{check.name}: {_what(check)} in {counts.successes:,} of {counts.n:,} requests ({counts.successes / counts.n:.2%}), "
        f"at most {share:.4g} is allowed; one-sided beta-binomial mixture, E = {_e(log_e)} of {1 / level:,.0f}"
    )
    if log_e >= -math.log(level) and excess > 0:
        return "fail", words
    if counts.n < least:
        return "no_data", f"{words}; {least:,} requests are wanted"
    return ("inconclusive" if excess > 0 else "pass"), words


def _against_stable(check: Check, state: CheckState, least: int, level: float) -> tuple[CheckVerdict, str]:
    test = state.test
    if test is None or not test.control.n or not test.treatment.n:
        return ("pass" if not least else "no_data"), f"{check.name}: nothing to compare with stable yet"
    log_e = _log_e_worse(test)
    words = (
        f"{check.name}: {_what(check, versus=True)} in {_said(test.treatment)} of the candidate's requests and {_said(test.control)} "
        f"of the stable version's; Bernoulli e-process, E = {_e(log_e)} of {1 / level:,.0f}"
    )
    if log_e >= -math.log(level):
        return "fail", words
    if test.treatment.n < least:
        return "no_data", f"{words}; {least:,} requests are wanted"
    return ("inconclusive" if log_e >= -math.log(level * _NEAR) else "pass"), words


def _log_e_worse(test: BernoulliEProcess) -> float:
    """Logarithm of E by the bets that the candidate's share of bad requests is higher; they are half of all, and so count double."""
    seen = test.control + test.treatment
    if seen.successes in (0, seen.n):
        return 0.0
    half = EFFECTS // 2
    logs = [e + float(w) for e, w in zip(test.log_e_by_effect[half:], log_weights()[half:], strict=True)]
    most = max(logs)
    return most + math.log(2.0 * sum(math.exp(each - most) for each in logs))


def _fed(
    check: Check, state: CheckState, step: PlanStep, stable: ArmTotals, candidate: ArmTotals, level: float
) -> CheckState:
    """The comparison after what came since the last look."""
    if check.kind == "latency" and state.limit is None:
        return _with_limit(check, state, stable, candidate)
    now_stable, now = _bad(check, stable, state.limit), _bad(check, candidate, state.limit)
    control, treatment = _since(now_stable, state.seen_stable), _since(now, state.seen)
    if control is None or treatment is None or now is None or now_stable is None or not control.n + treatment.n:
        return state
    test = state.test or BernoulliEProcess(step.weight / WEIGHT_TOTAL, level, _baseline(state.seen_stable))
    return structs.replace(state, seen_stable=now_stable, seen=now, test=test.observe(control, treatment))


def _baseline(before: Proportion) -> float | None:
    """What the stable version's rate was before the step; it costs power when it is wrong, never validity."""
    if before.n < _BASELINE_REQUESTS_MIN:
        return None
    return (before.successes + 0.5) / (before.n + 1.0)


def _gauged(check: Check, state: CheckState, candidate: ArmTotals, now: datetime) -> CheckState:
    gauge = state.last if is_drift(check.measured) else candidate.gauges.get(check.measured)
    if gauge is None or gauge.value is None or not math.isfinite(gauge.value):
        is_unknowable = gauge is not None and gauge.is_unknowable
        why = (gauge.why if gauge is not None else "") or "no number"
        verdict: CheckVerdict = "inconclusive" if is_unknowable else "no_data"
        return structs.replace(state, verdict=verdict, evidence=f"{check.name}: {why}")
    threshold = check.threshold or 0.0
    if state.sampled_at is None or gauge.at > state.sampled_at:
        is_beyond = gauge.value > threshold if check.better == "lower" else gauge.value < threshold
        state = structs.replace(state, sampled_at=gauge.at, beyond=state.beyond + 1 if is_beyond else 0)
    words = f"{check.name}: {gauge.value:.6g}, {'at most' if check.better == 'lower' else 'at least'} {threshold:.6g} is allowed"
    if state.beyond >= check.failures_max:
        return structs.replace(state, verdict="fail", evidence=f"{words}; {state.beyond} times in a row")
    if abs((now - gauge.at).total_seconds()) > check.age_max_s:
        return structs.replace(state, verdict="no_data", evidence=f"{check.name}: its number is too old")
    return structs.replace(state, verdict="inconclusive" if state.beyond else "pass", evidence=words)


def _threshold_counts(plan: RolloutPlan, check: Check, arm: ArmTotals) -> Proportion | None:
    """Requests that were bad by the threshold, of all.

    What one version refuses as the client's mistake another may answer, so it counts against success. Where both are asked beside each
    other the comparison sees that; by a threshold it would be the candidate's fault whatever callers send.
    """
    if check.kind == "success" and check.versus_stable and any(0 < step.weight < WEIGHT_TOTAL for step in plan.steps):
        return arm.errors
    if check.kind == "latency":
        return arm.latency.above((check.threshold or 0.0) * 1e9)
    return _bad(check, arm, None)


def _threshold_share(check: Check) -> float:
    """The greatest share of bad requests that is allowed."""
    if check.kind == "latency":
        return 1.0 - check.percentile
    threshold = check.threshold or 0.0
    return threshold if check.better == "lower" else 1.0 - threshold


def _bad(check: Check, arm: ArmTotals, limit: float | None) -> Proportion | None:
    """Requests that were bad, of all; None when nothing says so."""
    match check.kind:
        case "errors":
            return arm.errors
        case "success":
            return arm.failures
        case "latency":
            return arm.latency.above(limit) if limit is not None else None
        case _:
            events = arm.events.get(check.measured)
            if events is None or check.better == "lower":
                return events
            return Proportion(events.n - events.successes, events.n)


def _since(counts: Proportion | None, before: Proportion) -> Proportion | None:
    """What came since; None when totals went back, as those of a lagging or a restored database do."""
    if counts is None:
        return Proportion() if not before.n else None
    bad, n = counts.successes - before.successes, counts.n - before.n
    return Proportion(bad, n) if 0 <= bad <= n else None


def _what(check: Check, *, versus: bool = False) -> str:
    if check.kind == "latency":
        return "slower than stable's percentile" if versus else f"slower than {check.threshold:g} s"
    return {"errors": "errors", "success": "no answer"}.get(check.kind, f"bad {check.measured}")


def _said(counts: Proportion) -> str:
    return f"{counts.successes:,} of {counts.n:,} ({counts.successes / counts.n:.2%})"


def _e(log_e: float) -> str:
    return f"{math.exp(min(log_e, 700.0)):.3g}"

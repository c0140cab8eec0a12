"""How an endpoint is to be moved from one version to another: steps, holds, checks, gates, and when nothing may move; pure.

A plan is laid down before and does not change. What it makes of an endpoint is decided in `chopmark.domain.rollout_steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chopmark.domain.monitors import check_threshold, is_drift
from chopmark.domain.names import check_name
from chopmark.domain.rollout_shares import Strategy, check_kinds, check_shares
from chopmark.domain.traffic import WEIGHT_TOTAL, weight_of
from chopmark.errors import InvalidRequest

__all__ = [
    "ALPHA",
    "DEFAULT_CHECKS",
    "Check",
    "FreezeWindow",
    "PlanStep",
    "RolloutPlan",
    "Strategy",
    "check_deadline",
    "check_plan",
    "frozen_until",
    "plan_for",
]

ALPHA = 0.01
"""The chance that a candidate which is no worse is rolled back, over a whole plan."""

STEPS_MAX = 100
CHECKS_MAX = 50

_HOLD_S = 600.0
_SAMPLES = 100
_DAY_MINUTES = 24 * 60
_YEAR_S = 366 * 86_400.0

Seconds = Annotated[float, Meta(ge=0, le=_YEAR_S)]
Weight = Annotated[int, Meta(ge=0, le=WEIGHT_TOTAL)]
Samples = Annotated[int, Meta(ge=0, le=10**9)]


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked of a candidate: a metric against a fixed threshold, against the stable version, or both.

    Attributes
    ----------
    name
        Once in a plan.
    kind
        ``errors``: requests that the model did not answer, was too late for or refused, of those that could be answered;
        ``success``: requests that were answered, of all; ``latency``: a percentile; ``events``: a recorded yes or no of each request
        or label; ``gauge``: one number for the version, such as drift or cost, which has no test against stable.
    metric
        Which events or gauge; the check's name when it is empty. ``drift``, ``drift.COLUMN`` and ``drift.predictions`` are how far
        sampled requests of the candidate are from its profile, as multiples of what is material.
    threshold
        At most (``better`` lower) or at least this: a share for rates, seconds for a latency. None: there is no fixed threshold.
    better
        Which way is good; errors and latency always lower, success always higher.
    versus_stable
        Whether a candidate that is significantly worse than the stable version fails.
    percentile
        Of a latency.
    samples_min
        Requests of the candidate below which nothing passes; None: the step's.
    age_max_s
        How old a gauge may be before it counts as missing.
    failures_max
        Samples of a gauge beyond the threshold, one after another, at which it fails.
    """

    name: str
    kind: Literal["errors", "success", "latency", "events", "gauge"]
    metric: str = ""
    threshold: float | None = None
    better: Literal["lower", "higher"] = "lower"
    versus_stable: bool = False
    percentile: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    samples_min: Samples | None = None
    age_max_s: Seconds = 300.0
    failures_max: Annotated[int, Meta(ge=1, le=1_000)] = 3

    @property
    def measured(self) -> str:
        """Name of the events or the gauge."""
        return self.metric or self.name


DEFAULT_CHECKS = (
    Check(name="error_rate", kind="errors", threshold=0.10, versus_stable=True),
    Check(name="latency_p95", kind="latency", threshold=10.0, versus_stable=True),
    Check(name="success_rate", kind="success", threshold=0.95, better="higher", versus_stable=True),
)


class PlanStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A weight to hold.

    Attributes
    ----------
    weight
        Of the candidate, of `WEIGHT_TOTAL`.
    hold_s
        How long, from when every live router confirmed it.
    samples_min
        Requests of the candidate that are waited for; with 0 no verdict is waited for, and a failed check aborts all the same.
    mirror
        The share of requests that is copied to the candidate as a shadow; the weight is 0 then.
    gate
        The name of an approval that a person gives before the next step; empty for none.
    is_experiment
        Whether the step ends by the decision of an experiment.
    """

    weight: Weight
    hold_s: Seconds = _HOLD_S
    samples_min: Samples = _SAMPLES
    mirror: Weight = 0
    gate: str = ""
    is_experiment: bool = False


class FreezeWindow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When nothing is raised: from one time to another, or every week; aborting goes on.

    Attributes
    ----------
    starts_at, ends_at
        Of a single window.
    weekdays
        Of a weekly one, 0 for Monday, in UTC.
    start_minute, end_minute
        Of the day; an end that is not after the start lies on the next day.
    reason
        What people are told.
    """

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    weekdays: tuple[Annotated[int, Meta(ge=0, le=6)], ...] = ()
    start_minute: Annotated[int, Meta(ge=0, lt=_DAY_MINUTES)] = 0
    end_minute: Annotated[int, Meta(ge=0, le=_DAY_MINUTES)] = _DAY_MINUTES
    reason: str = ""


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is laid down before a rollout.

    Attributes
    ----------
    strategy
        What it is called; the steps say what is done.
    steps
        Weights, none of them below the one before.
    bake
        How long the promoted version is watched, and by how many requests, before the rollout is completed.
    checks
        Asked in every step.
    alpha
        The chance that a candidate which is no worse is rolled back by the tests of all checks in all steps together.
    deadline_s
        From its start; a rollout that is not promoted by then is rolled back. 0: none.
    freezes
        When nothing is raised.
    rollback_window_s
        How long the version that lost its traffic stays loaded after the end.
    copies_within_s
        How long a shadow may get no copy before an alert tells of it, from when the routers confirmed its step; 0: none does.
    """

    strategy: Strategy = "canary"
    steps: tuple[PlanStep, ...]
    bake: PlanStep = PlanStep(weight=WEIGHT_TOTAL)
    checks: tuple[Check, ...] = DEFAULT_CHECKS
    alpha: Annotated[float, Meta(gt=0, lt=1)] = ALPHA
    deadline_s: Seconds = 3 * 86_400.0
    freezes: tuple[FreezeWindow, ...] = ()
    rollback_window_s: Seconds = 3_600.0
    copies_within_s: Seconds = 300.0

    def __repr__(self) -> str:
        return f"<{self.strategy} {' → '.join(f'{100 * s.weight / WEIGHT_TOTAL:g} %' for s in self.steps)}>"


def plan_for(
    strategy: Strategy = "canary",
    *,
    percents: Sequence[float] = (),
    hold_s: float | None = None,
    checks: Sequence[Check] | None = None,
) -> RolloutPlan:
    """The plan that a strategy means when little else is said.

    Parameters
    ----------
    percents
        Shares of a canary's steps, or the share of an A/B test or a shadow.
    hold_s
        Of each step.
    checks
        Instead of the usual ones.

    Raises
    ------
    InvalidRequest
        When no such plan can be.

    Examples
    --------
    >>> plan_for()
    <canary 10 % → 20 % → 30 % → 40 % → 50 % → 60 % → 70 % → 80 % → 90 % → 100 %>
    >>> plan_for("canary", percents=[5, 100], hold_s=60)
    <canary 5 % → 100 %>
    >>> plan_for("blue-green").steps[0].gate
    'switch'
    """
    shares = check_shares(strategy, percents)
    hold = _HOLD_S if hold_s is None else hold_s
    asked = (
        DEFAULT_CHECKS
        if checks is None
        else check_kinds(checks, Check, "checks", "Check(name='errors', kind='errors')")
    )
    if strategy == "shadow" and checks is None:
        asked = tuple(msgspec.structs.replace(check, versus_stable=False) for check in asked)
    quiet = PlanStep(weight=WEIGHT_TOTAL, hold_s=0.0, samples_min=0)
    bake = PlanStep(weight=WEIGHT_TOTAL, hold_s=hold, samples_min=0 if strategy == "replace" else _SAMPLES)
    steps: tuple[PlanStep, ...]
    match strategy:
        case "canary":
            steps = tuple(PlanStep(weight=weight_of(share), hold_s=hold) for share in shares or range(10, 101, 10))
        case "replace":
            steps = (quiet,)
        case "blue-green":
            steps = (PlanStep(weight=0, hold_s=0.0, samples_min=0, gate="switch"), quiet)
        case "ab":
            share = weight_of(shares[0] if shares else 50)
            steps = (PlanStep(weight=share, hold_s=hold, is_experiment=True),)
        case "shadow":
            mirror = weight_of(shares[0] if shares else 100)
            steps = (PlanStep(weight=0, hold_s=hold, mirror=mirror, gate="promote"), quiet)
    return check_plan(RolloutPlan(strategy=strategy, steps=steps, bake=bake, checks=asked))


def check_plan(plan: RolloutPlan) -> RolloutPlan:
    """The plan, once it can be meant.

    Raises
    ------
    InvalidRequest
        When weights go down, a name comes twice, a check asks nothing, or a window has no end.
    """
    if not 1 <= len(plan.steps) <= STEPS_MAX:
        raise InvalidRequest(f"A rollout has 1 to {STEPS_MAX} steps, not {len(plan.steps)}.")
    weights = [step.weight for step in plan.steps]
    if weights != sorted(weights):
        raise InvalidRequest("The weights of a rollout's steps never go down.", hint="The way back is an abort.")
    for step in (*plan.steps, plan.bake):
        if step.mirror and step.weight:
            raise InvalidRequest(
                "A step that mirrors has the weight 0: a version cannot answer and be a shadow at once."
            )
        if step.gate:
            check_name(step.gate, "gate")
    if plan.bake.weight != WEIGHT_TOTAL or plan.bake.gate or plan.bake.mirror:
        raise InvalidRequest("What is baked has all of the traffic, and no gate.")
    _check_checks(plan)
    for window in plan.freezes:
        is_single = window.starts_at is not None and window.ends_at is not None and window.starts_at < window.ends_at
        if not (is_single or (window.weekdays and window.starts_at is None and window.ends_at is None)):
            raise InvalidRequest("A freeze has a beginning before its end, or days of the week.")
    return plan


def check_deadline(plan: RolloutPlan) -> RolloutPlan:
    """The plan, unless it would be rolled back for its deadline however well the candidate does.

    Raises
    ------
    InvalidRequest
        When its steps are held for longer than its deadline.
    """
    held_s = sum(step.hold_s for step in plan.steps)
    if 0 < plan.deadline_s < held_s:
        msg = f"The steps are held for {held_s:g} s together, and the deadline is after {plan.deadline_s:g} s."
        raise InvalidRequest(msg, hint="Give a longer deadline, or hold each step for less.")
    return plan


def _check_checks(plan: RolloutPlan) -> None:
    if len(plan.checks) > CHECKS_MAX:
        raise InvalidRequest(f"A rollout has at most {CHECKS_MAX} checks, not {len(plan.checks)}.")
    names = [check.name for check in plan.checks]
    has_mirror = any(step.mirror for step in plan.steps)
    for check in plan.checks:
        check_name(check.name, "check")
        if names.count(check.name) > 1:
            raise InvalidRequest(f"Two checks are named {check.name}.", hint="Name each once.")
        if check.threshold is None and not check.versus_stable:
            raise InvalidRequest(
                f"The check {check.name} asks nothing.", hint="Give a threshold, or compare with stable."
            )
        if check.versus_stable and (check.kind == "gauge" or has_mirror):
            why = "a gauge is one number" if check.kind == "gauge" else "a shadow's requests were not dealt by lot"
            msg = f"The check {check.name} cannot be compared with the stable version: {why}."
            raise InvalidRequest(msg, hint="Give it a threshold.")
        if check.better != "lower" and check.kind in {"errors", "latency"}:
            raise InvalidRequest(f"Of {check.name} less is better.")
        if check.better != "higher" and check.kind == "success":
            raise InvalidRequest(f"Of {check.name} more is better.", hint='Say better="higher".')
        if is_drift(check.measured):
            _check_drift(check)
        _check_threshold(check)


def _check_threshold(check: Check) -> None:
    if check.threshold is None or check.kind == "gauge":
        return
    if check.kind == "latency":
        if check.threshold <= 0:
            raise InvalidRequest(f"The latency of {check.name} must be above 0 s.")
    elif not 0 < check.threshold < 1:
        raise InvalidRequest(f"The threshold of {check.name} is a share between 0 and 1, not {check.threshold:g}.")


def _check_drift(check: Check) -> None:
    if check.kind != "gauge" or check.better != "lower":
        msg = f"{check.measured} is a gauge, of which less is better."
        raise InvalidRequest(msg, hint=f"Say Check(name={check.name!r}, kind='gauge', threshold=1.0).")
    check_threshold(check.measured, "threshold", check.threshold or 0.0)


def frozen_until(windows: Sequence[FreezeWindow], now: datetime) -> tuple[datetime, str] | None:
    """Until when nothing may be raised and why; None when it may.

    Examples
    --------
    >>> friday = FreezeWindow(weekdays=(4,), start_minute=18 * 60, end_minute=8 * 60, reason="weekend")
    >>> frozen_until([friday], datetime(2026, 5, 1, 20, tzinfo=UTC))[0].isoformat()
    '2026-05-02T08:00:00+00:00'
    """
    found = [(end, window.reason) for window in windows if (end := _end_of(window, now)) is not None]
    return max(found, default=None)


def _end_of(window: FreezeWindow, now: datetime) -> datetime | None:
    if window.starts_at is not None and window.ends_at is not None:
        return window.ends_at if window.starts_at <= now < window.ends_at else None
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    length = window.end_minute - window.start_minute
    minutes = length if length > 0 else length + _DAY_MINUTES
    for day in (today, today - timedelta(days=1)):
        start = day + timedelta(minutes=window.start_minute)
        if day.weekday() in window.weekdays and start <= now < start + timedelta(minutes=minutes):
            return start + timedelta(minutes=minutes)
    return None

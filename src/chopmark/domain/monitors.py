"""Monitors: standing checks of what an endpoint or a version does, and what is to happen when one fires; pure.

Nouns
-----
monitor
    What is watched (an endpoint, one variant of it, or a version by any reference), a metric, a rule and an action.
rule
    A threshold, how fast an error budget burns, or what is unusual for the time of the day.
standing
    How a monitor stood when it was last evaluated.

What is sampled is in `chopmark.domain.monitor_samples`, how a monitor moves on in `monitor_steps`, and what becomes of an alert in
`alert_log`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.domain.alert_rules import NoData, Operator, Phase, Severity, ThresholdRule
from chopmark.domain.alert_words import duration_words
from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.job_kinds import check_arguments
from chopmark.domain.names import check_name, check_text, shown
from chopmark.domain.refs import ModelRef, parse_model, parse_ref
from chopmark.errors import InvalidRequest
from chopmark.stats.anomalies import false_alarms_per_day
from chopmark.stats.checks import check_between, check_number

__all__ = [
    "ACTIONS",
    "DRIFT",
    "ESTIMATED",
    "LABELLED",
    "METRICS",
    "MINUTES_MAX",
    "SHARES",
    "Action",
    "ActionKind",
    "AnomalyWatch",
    "BurnRateWatch",
    "Monitor",
    "MonitorRule",
    "Standing",
    "ThresholdWatch",
    "check_monitor",
    "check_threshold",
    "default_name",
    "is_drift",
    "is_sampled",
    "metric_words",
    "parse_monitor",
    "standing_word",
    "watched",
]

METRICS: dict[str, str] = {
    "error_rate": "the error rate",
    "success_rate": "the success rate",
    "latency_ms_p50": "the median latency in ms",
    "latency_ms_p95": "the 95th percentile of latency in ms",
    "latency_ms_p99": "the 99th percentile of latency in ms",
    "requests_per_second": "the number of requests a second",
    "cost_usd": "the cost in USD",
    "accuracy": "the share of right answers",
    "mean_absolute_error": "the mean absolute error",
    "drift": "the drift of requests",
    "estimated_accuracy": "the estimated accuracy",
}
"""What every endpoint is counted by, and what sentences call it. Recorded metrics are named ``metrics.NAME``, the drift of one column
``drift.COLUMN``, and that of the answers ``drift.predictions``."""

DRIFT = "drift"
PREDICTIONS = "predictions"

ESTIMATED = "estimated_accuracy"
"""What is expected of sampled answers by their scores, and not measured: see `chopmark.stats.estimated_accuracy`."""

LABELLED = frozenset(("accuracy", "mean_absolute_error"))
"""Metrics of answers whose truth was told since: of those asked for in the minutes of a sample, as far as it is known by now."""

SHARES = frozenset(("error_rate", "success_rate", "accuracy", ESTIMATED))
"""Metrics that lie from 0 to 1."""

RECORDED = "metrics."
MINUTES_MAX = 1_440

SAMPLED_MINUTES_MIN = 60
"""Sampled requests are counted by hour, so that a shorter sample would be of a whole hour all the same."""

ActionKind = Literal["alert", "pause", "rollback", "job"]
ACTIONS: tuple[ActionKind, ...] = get_args(ActionKind)

_NAME_LENGTH_MAX = 128
_METRIC_LENGTH_MAX = 200
_ALARMS_SHARE_MAX = 0.1
_PERCENT = 100

Seconds = Annotated[float, Meta(ge=0, le=31_622_400)]
Requests = Annotated[int, Meta(ge=0, le=2**62)]


class ThresholdWatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="threshold", tag_field="kind"):
    """Fires while the metric lies beyond a threshold; see `chopmark.domain.alert_rules.ThresholdRule`.

    Attributes
    ----------
    operator, threshold
        The condition.
    resolve_threshold
        Compared instead while it fires; None for the same.
    for_s
        How long it must hold.
    keep_firing_for_s
        How long it must not hold before it resolves.
    requests_min
        Fewer requests in a sample say nothing.
    no_data, no_data_after_s
        What missing data means, and after how long.
    """

    operator: Operator = ">"
    threshold: float
    resolve_threshold: float | None = None
    for_s: Seconds = 0.0
    keep_firing_for_s: Seconds = 0.0
    requests_min: Requests = 0
    no_data: NoData = "keep"
    no_data_after_s: Seconds = 300.0


class BurnRateWatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="burn_rate", tag_field="kind"):
    """Fires while the error budget of an objective burns too fast, over a long and a short window at once.

    Four pairs of windows, each with an alert of its own; the severity of an alert is that of its windows.

    Attributes
    ----------
    objective
        Share of requests that must succeed, such as 0.999.
    requests_min
        Requests that the long window must hold.
    """

    objective: float
    requests_min: Requests = 0


class AnomalyWatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="anomaly", tag_field="kind"):
    """Fires while the metric is unusual for the time of the day, by its own history of two days.

    Attributes
    ----------
    sensitivity
        From 0 to 1: 10^(4·sensitivity − 3) false alarms a day are expected; 0.5 is one in ten days.
    direction
        What is unusual: high values (``up``), low ones (``down``), or both.
    for_s, requests_min
        As for a threshold.
    """

    sensitivity: Annotated[float, Meta(ge=0, le=1)] = 0.5
    direction: Literal["up", "down", "both"] = "both"
    for_s: Seconds = 0.0
    requests_min: Requests = 0


MonitorRule = ThresholdWatch | BurnRateWatch | AnomalyWatch


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happens when a monitor fires, beside that people are told.

    Attributes
    ----------
    kind
        ``alert``: nothing more; ``pause``: a rollout of the endpoint pauses; ``rollback``: a rollout of the endpoint is rolled back, and
        without one the endpoint goes back to what answered before; ``job``: a job is queued.
    job, arguments
        Kind of work, and what it is told.
    cooldown_s
        How long after an automatic rollback the endpoint is not rolled back again.
    """

    kind: ActionKind = "alert"
    job: str = ""
    arguments: dict[str, Any] = {}
    cooldown_s: Seconds = 1_800.0


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a monitor stood when it was last evaluated.

    Attributes
    ----------
    phase
        ``ok``, ``pending`` (the condition holds, and not for long enough) or ``firing``. ``ok`` is also what does not fire for want of
        data, or because it cannot be evaluated: see ``value`` and ``why``, or `standing_word`.
    at
        End of the last minute that was judged.
    value, events
        The last sample, and how many requests it rests on.
    why
        Why it cannot be evaluated; empty when it can.
    """

    phase: Phase = "ok"
    at: datetime | None = None
    value: float | None = None
    events: int | None = None
    why: str = ""


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """A standing check.

    Attributes
    ----------
    project, name
        By which it is called.
    on
        What is watched: an endpoint (``[project/]name``), or a version by any reference (``fraud@champion``).
    variant
        Only this variant of the endpoint; empty for all that answer.
    metric
        One of `METRICS`, ``drift.COLUMN``, or ``metrics.NAME`` for the mean of a recorded metric.
    minutes
        How many minutes a sample sums up.
    rule, severity, action
        When it fires, how bad that is, and what happens.
    enabled
        Whether it is evaluated.
    silenced_until
        People are not told before; alerts and actions go on.
    standing
        How it stood last.
    """

    id: UUID
    project: str
    name: str
    on: str
    variant: str = ""
    metric: str
    minutes: int = 1
    rule: MonitorRule
    severity: Severity = "warning"
    action: Action = Action()
    description: str = ""
    enabled: bool = True
    silenced_until: datetime | None = None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    standing: Standing = Standing()

    @property
    def ref(self) -> str:
        """``[project/]name``."""
        return str(ModelRef(self.project, self.name))

    def __repr__(self) -> str:
        state = standing_word(self.standing, self.rule) if self.enabled else "disabled"
        does = f" · {self.action.kind}" if self.action.kind != "alert" else ""
        return f"<monitor {self.ref} · {self.on} {rule_words(self)} · {self.severity}{does} · {state}>"


def parse_monitor(text: str, project: str = "default") -> ModelRef:
    """``[project/]name`` of a monitor.

    Raises
    ------
    InvalidRequest
        When it is none.
    """
    return parse_model(text, project, "monitor")


def watched(on: str) -> Literal["endpoint", "version"]:
    """Whether a text means an endpoint or a version: a version's has a selector.

    >>> watched("risk/fraud-api"), watched("fraud@champion")
    ('endpoint', 'version')
    """
    return "version" if any(mark in on for mark in ":@#") else "endpoint"


def default_name(on: str, metric: str) -> str:
    """What a monitor is called that was given no name.

    >>> default_name("risk/fraud-api", "error_rate"), default_name("fraud@champion", "latency_ms_p95")
    ('fraud-api.error_rate', 'fraud.champion.latency_ms_p95')
    """
    plain = on.rpartition("/")[2]
    for mark in ":@#^":
        plain = plain.replace(mark, ".")
    return f"{plain}.{metric.removeprefix(RECORDED)}".replace("..", ".")[:_NAME_LENGTH_MAX]


def is_drift(metric: str) -> bool:
    """Whether a metric says how far sampled requests have drifted from what a version's profile knows.

    >>> is_drift("drift.amount"), is_drift("metrics.drift")
    (True, False)
    """
    return metric == DRIFT or metric.startswith(f"{DRIFT}.")


def is_sampled(metric: str) -> bool:
    """Whether a metric is that of sampled requests, which are counted by hour and held against profiles: of drift, or estimated.

    >>> is_sampled("estimated_accuracy"), is_sampled("drift"), is_sampled("accuracy")
    (True, True, False)
    """
    return metric == ESTIMATED or is_drift(metric)


def metric_words(metric: str) -> str:
    """What sentences call a metric."""
    if metric.startswith(f"{DRIFT}."):
        column = metric.removeprefix(f"{DRIFT}.")
        return "the drift of the answers" if column == PREDICTIONS else f"the drift of {column}"
    return METRICS.get(metric) or f"the mean of {metric.removeprefix(RECORDED)}"


def rule_words(monitor: Monitor) -> str:
    """Its condition in a few words."""
    rule = monitor.rule
    match rule:
        case ThresholdWatch():
            held = f" for {duration_words(rule.for_s)}" if rule.for_s else ""
            return f"{monitor.metric} {rule.operator} {rule.threshold:g}{held}"
        case BurnRateWatch():
            return f"burns its budget of {1 - rule.objective:.6g}"
        case AnomalyWatch():
            return f"{monitor.metric} is unusual"


def standing_word(standing: Standing, rule: MonitorRule) -> str:
    """How a monitor stands, as people are told: its phase, or, where that is ``ok`` for want of anything to judge, what is wanting.

    >>> rule = ThresholdWatch(threshold=0.1)
    >>> standing_word(Standing(), rule), standing_word(Standing(why="The profile has no column 'agee'."), rule)
    ('not evaluated yet', 'not known')
    """
    if standing.phase != "ok":
        return standing.phase
    if standing.why:
        return "not known"
    if standing.at is None:
        return "not evaluated yet"
    is_silence_well = isinstance(rule, ThresholdWatch) and rule.no_data == "ok"
    return "without data" if standing.value is None and not is_silence_well else "ok"


def check_monitor(monitor: Monitor, metrics: Iterable[str] = METRICS) -> Monitor:
    """The monitor, once it can be meant.

    Raises
    ------
    InvalidRequest
        When its name, what it watches, its metric, rule or action cannot be.
    """
    check_name(monitor.name, "monitor")
    check_text(monitor.description, "description")
    check_text(monitor.variant, "variant", _NAME_LENGTH_MAX)
    project = _project_watched(monitor)
    if project != monitor.project:
        msg = f"{monitor.on} is in the project {project}, and the monitor in {monitor.project}."
        raise InvalidRequest(msg, hint=f"Call it {project}/{monitor.name}.")
    _check_metric(monitor, frozenset(metrics))
    if not 1 <= monitor.minutes <= MINUTES_MAX:
        raise InvalidRequest(f"A sample sums up 1 to {MINUTES_MAX:,} minutes, not {monitor.minutes:,}.")
    _check_rule(monitor)
    _check_action(monitor)
    return monitor


def _project_watched(monitor: Monitor) -> str:
    if watched(monitor.on) == "endpoint":
        return parse_endpoint(monitor.on).project
    if monitor.variant:
        raise InvalidRequest("A version has no variants.", hint="Watch the endpoint to watch one of its variants.")
    return parse_ref(monitor.on).model.project


def _check_metric(monitor: Monitor, known: frozenset[str]) -> None:
    metric = check_text(monitor.metric, "metric", _METRIC_LENGTH_MAX)
    is_named = any(metric.startswith(prefix) and metric != prefix for prefix in (RECORDED, f"{DRIFT}."))
    if metric not in known and not is_named:
        hint = f"There is {', '.join(sorted(known))}; drift.COLUMN, and metrics.NAME for what you record."
        raise InvalidRequest(f"There is no metric {shown(metric)}.", hint=hint)
    if metric in LABELLED and not isinstance(monitor.rule, ThresholdWatch):
        raise InvalidRequest(f"{metric} is held against a threshold only: labels come late, and few of them.")
    if is_sampled(metric):
        if not isinstance(monitor.rule, ThresholdWatch):
            why = "1 is what is material" if is_drift(metric) else "it moves by the hour"
            raise InvalidRequest(f"{metric} is held against a threshold only: {why}.")
        if watched(monitor.on) != "endpoint":
            what = "Drift" if is_drift(metric) else "Estimated accuracy"
            raise InvalidRequest(
                f"{what} is that of an endpoint's requests.", hint="Watch the endpoint, or a variant of it."
            )
        if monitor.minutes < SAMPLED_MINUTES_MIN:
            msg = f"A sample of {metric} sums up {SAMPLED_MINUTES_MIN} minutes or more, not {monitor.minutes}: counts are by hour."
            raise InvalidRequest(msg, hint=f"Give {SAMPLED_MINUTES_MIN} minutes or more.")
    if isinstance(monitor.rule, BurnRateWatch) and (metric != "error_rate" or monitor.minutes != 1):
        raise InvalidRequest(
            "An error budget is about error_rate, minute by minute.",
            hint="Leave the metric and the minutes out, or give a threshold.",
        )


def _check_rule(monitor: Monitor) -> None:
    match monitor.rule:
        case ThresholdWatch():
            threshold_rule(monitor)
            check_threshold(monitor.metric, "threshold", monitor.rule.threshold)
            if monitor.rule.resolve_threshold is not None:
                check_threshold(monitor.metric, "resolve_threshold", monitor.rule.resolve_threshold)
        case BurnRateWatch(objective=objective):
            check_between("objective", objective, 0, 1, hint="Give one such as 0.999.")
            if objective in (0, 1):
                raise InvalidRequest(f"An objective of {objective:g} leaves no budget.", hint="Give one such as 0.999.")
        case AnomalyWatch(sensitivity=sensitivity):
            alarms, readings = false_alarms_per_day(sensitivity), MINUTES_MAX / monitor.minutes
            if alarms / readings > _ALARMS_SHARE_MAX:
                raise InvalidRequest(
                    f"{alarms:g} false alarms a day are too many for {readings:g} readings.",
                    hint="Give a lower sensitivity, or fewer minutes.",
                )


def check_threshold(metric: str, name: str, threshold: float) -> None:
    """Raise `InvalidRequest` when a metric can never lie beyond a threshold, or always does: that watches nothing.

    What callers record may be any number; everything else is counted, and is not less than nothing.
    """
    check_number(name, threshold)
    if metric in SHARES and not 0 <= threshold <= 1:
        as_share = f", such as {threshold / 100:g} for {threshold:g} %" if 1 < threshold <= _PERCENT else ""
        raise InvalidRequest(f"{name} of {metric} is {threshold:g}.", hint=f"It is a share: give 0 to 1{as_share}.")
    if threshold < 0 and not metric.startswith(RECORDED):
        raise InvalidRequest(f"{name} of {metric} is {threshold:g}.", hint="It is never below 0: give 0 or more.")


def threshold_rule(monitor: Monitor) -> ThresholdRule:
    """The rule that `chopmark.domain.alerts.advance` goes by, of a monitor with a threshold or for what is unusual."""
    rule = monitor.rule
    if isinstance(rule, ThresholdWatch):
        return ThresholdRule(
            name=monitor.ref,
            metric=metric_words(monitor.metric),
            operator=rule.operator,
            threshold=rule.threshold,
            resolve_threshold=rule.resolve_threshold,
            severity=monitor.severity,
            for_seconds=rule.for_s,
            keep_firing_for_seconds=rule.keep_firing_for_s,
            events_min=rule.requests_min,
            no_data=rule.no_data,
            no_data_after_seconds=max(rule.no_data_after_s, 60.0 * monitor.minutes + 60.0),
        )
    if isinstance(rule, AnomalyWatch):
        return ThresholdRule(
            name=monitor.ref,
            metric=metric_words(monitor.metric),
            operator="!=",
            threshold=0.0,
            severity=monitor.severity,
            for_seconds=rule.for_s,
            events_min=rule.requests_min,
        )
    raise TypeError(type(rule).__name__)


def _check_action(monitor: Monitor) -> None:
    action = monitor.action
    if action.kind == "job":
        check_arguments(action.job, action.arguments)
    elif action.job or action.arguments:
        raise InvalidRequest(f"The action {action.kind} runs no job.", hint="Say action='job'.")
    if action.kind in ("pause", "rollback") and watched(monitor.on) != "endpoint":
        raise InvalidRequest(
            f"Only an endpoint can {'be rolled back' if action.kind == 'rollback' else 'have a rollout that pauses'}.",
            hint="Watch the endpoint that the version answers behind.",
        )

"""``registry.monitors``: standing checks of what endpoints and versions do, and what happens when one fires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from chopmark.base.jsons import converted
from chopmark.domain.alert_rules import NoData, Severity
from chopmark.domain.durations import Duration, seconds_of
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.monitors import (
    LABELLED,
    SAMPLED_MINUTES_MIN,
    Action,
    ActionKind,
    AnomalyWatch,
    BurnRateWatch,
    Monitor,
    MonitorRule,
    ThresholdWatch,
    default_name,
    is_sampled,
    parse_monitor,
    watched,
)
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest
from chopmark.ops import monitors as q
from chopmark.ops.monitors import Evaluated, MonitorTrial
from chopmark.ops.results import Done
from chopmark.sdk.live_drift import drift_for
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Surface, checked_mapping
from chopmark.stats.checks import check_between, check_number

__all__ = ["Duration", "MonitorReference", "Monitors", "monitor_name", "seconds_of"]

MonitorReference = str | Monitor
_ANOMALY_MINUTES = 5
_LABELLED_MINUTES = 1_440


class Monitors(Surface):
    """Verbs about monitors. Workers evaluate them each minute: `chopmark serve`, or `chopmark worker` beside it."""

    def create(
        self,
        on: str | Endpoint | Version,
        *,
        metric: str = "error_rate",
        above: float | None = None,
        below: float | None = None,
        objective: float | None = None,
        unusual: float | Literal[True] | None = None,
        direction: Literal["up", "down", "both"] = "both",
        for_: Duration = 0.0,
        minutes: int | None = None,
        resolve_at: float | None = None,
        requests_min: int = 0,
        no_data: NoData = "keep",
        severity: Severity = "warning",
        action: ActionKind | Mapping[str, Any] | Action = "alert",
        variant: str = "",
        name: str = "",
        description: str = "",
        reason: str = "",
    ) -> Monitor:
        """Watch a metric; it judges what happens from now on, minute by minute.

        Parameters
        ----------
        on
            An endpoint, or a version by any reference: what ``fraud@champion`` means is looked up each minute.
        metric
            ``error_rate``, ``success_rate``, ``latency_ms_p50``, ``latency_ms_p95``, ``latency_ms_p99``, ``requests_per_second``,
            ``cost_usd``, or ``metrics.NAME`` for the mean of what callers record; ``accuracy`` and ``mean_absolute_error`` of answers whose
            truth was told since (`Feedback`); ``estimated_accuracy`` where labels lack, by the scores of sampled answers; ``drift``, ``drift.COLUMN`` or ``drift.predictions`` of sampled requests, as a multiple of
            what is material.
        above, below, objective, unusual
            Exactly one of them. ``above`` or ``below``: a threshold. ``objective``: the share of requests that must succeed, such as 0.999; it
            fires while its error budget burns too fast over a long and a short window at once. ``unusual``: what differs from what is
            usual at this time of the day; from 0 (calm) to 1 (touchy), True for 0.5, which expects one false alarm in ten days.
        direction
            Which unusual values count.
        for_
            How long it must hold before it fires: seconds, or ``"5m"``.
        minutes
            How many minutes a sample sums up; 1, 5 for what is unusual, 60 (the least) for drift and what is estimated, and a day for what needs
            the truth.
        resolve_at
            Where it resolves, so that a value at the threshold does not flap.
        requests_min
            Fewer requests in a sample say nothing.
        no_data
            What five minutes without data mean: ``keep`` what is, ``ok``, or ``alerting``.
        severity
            ``info``, ``warning`` or ``critical``; the windows of an objective have their own.
        action
            ``alert``; ``pause`` or ``rollback``: of the endpoint's rollout, and without one ``rollback`` takes the endpoint back to what answered
            before; ``{"kind": "job", "job": "backup", "arguments": {…}}``.
        variant
            Only this variant of the endpoint.
        name
            ``[project/]name``; made from what is watched unless given.

        Raises
        ------
        InvalidRequest
            When something of it cannot be meant.
        NotFound
            When there is nothing of that name to watch.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> made = registry.endpoints.create("fraud-api", registry.register("fraud", {"threshold": 0.7}))
        >>> registry.monitors.create(made, metric="error_rate", above=0.05, for_="5m", severity="critical", action="rollback")
        <monitor fraud-api.error_rate · fraud-api error_rate > 0.05 for 5 min · critical · rollback · not evaluated yet>
        """
        place = self._on(on)
        rule = _rule(above, below, objective, unusual, direction, for_, resolve_at, requests_min, no_data)
        request = q.CreateMonitor(
            monitor=str(parse_monitor(name, self._settings.project)) if name else _called(place, metric, rule),
            on=place,
            variant=variant,
            metric=metric,
            minutes=_usual_minutes(metric, rule) if minutes is None else minutes,
            rule=rule,
            severity=severity,
            action=_action(action),
            description=description,
            reason=reason,
        )
        made: Monitor = self._call(request)
        return made

    def get(self, monitor: MonitorReference) -> Monitor:
        """A monitor, and how it stood when it was last evaluated."""
        found: Monitor = self._call(q.GetMonitor(monitor=monitor_name(monitor, self._settings.project)))
        return found

    def list(self, project: str | None = None, *, limit: int = 50, cursor: str = "") -> Page[Monitor]:
        """Monitors of a project, or of all that one sees, by project and name, a page at a time."""
        page: q.MonitorPage = self._call(q.ListMonitors(project=project, limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def enable(self, monitor: MonitorReference, *, reason: str = "") -> Monitor:
        """Have a monitor evaluated again, from now on."""
        name = monitor_name(monitor, self._settings.project)
        changed: Monitor = self._call(q.EnableMonitor(monitor=name, reason=reason))
        return changed

    def disable(self, monitor: MonitorReference, *, reason: str = "") -> Monitor:
        """Have a monitor evaluated no more; what fires is resolved."""
        name = monitor_name(monitor, self._settings.project)
        changed: Monitor = self._call(q.DisableMonitor(monitor=name, reason=reason))
        return changed

    def delete(self, monitor: MonitorReference, *, reason: str = "") -> Done:
        """Remove a monitor; its alerts are resolved, and stay in the history until they are old."""
        name = monitor_name(monitor, self._settings.project)
        done: Done = self._call(q.DeleteMonitor(monitor=name, reason=reason))
        return done

    def test(self, monitor: MonitorReference, *, minutes: int = 60) -> MonitorTrial:
        """What a monitor would have made of each of the last minutes, as if it had begun then; nothing is changed.

        Labels and sampled requests count as far as they are known by now. Drift is measured by `evaluate` only.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> made = registry.endpoints.create("fraud-api", registry.register("fraud", {"threshold": 0.7}))
        >>> monitor = registry.monitors.create(made, metric="requests_per_second", below=1)
        >>> [sample.value for sample in registry.monitors.test(monitor, minutes=2).samples]
        [0.0, 0.0]
        """
        name = monitor_name(monitor, self._settings.project)
        found: MonitorTrial = self._call(q.TryMonitor(monitor=name, minutes=minutes))
        return found

    def evaluate(self, monitor: MonitorReference) -> Evaluated:
        """Judge the minutes that have settled since it was last evaluated; workers do this by themselves."""
        seen = self.get(monitor)
        drift = drift_for(self._transport, self._settings, seen)
        found: Evaluated = self._call(q.EvaluateMonitor(monitor=seen.ref, drift=drift))
        return found

    def _on(self, on: object) -> str:
        if isinstance(on, Endpoint):
            return on.ref
        if isinstance(on, Version):
            return self._ref(on)
        if not isinstance(on, str):
            raise InvalidRequest(f"An endpoint or a version is watched, not a {type(on).__name__}.")
        return self._ref(on) if watched(on) == "version" else str(parse_endpoint(on, self._settings.project))


def monitor_name(monitor: object, project: str) -> str:
    """``[project/]name`` of a monitor that is given in any way."""
    if isinstance(monitor, Monitor):
        return monitor.ref
    if not isinstance(monitor, str):
        raise InvalidRequest(f"A monitor is a text such as 'fraud-api.error_rate', not a {type(monitor).__name__}.")
    return str(parse_monitor(monitor, project))


def _usual_minutes(metric: str, rule: MonitorRule) -> int:
    """How many minutes a sample sums up: labels are few, and come late; samples are counted by hour; noise is not unusual."""
    if metric in LABELLED:
        return _LABELLED_MINUTES
    if is_sampled(metric):
        return SAMPLED_MINUTES_MIN
    return _ANOMALY_MINUTES if isinstance(rule, AnomalyWatch) else 1


def _called(place: str, metric: str, rule: MonitorRule) -> str:
    project, sep, _ = place.rpartition("/")
    word = {BurnRateWatch: "budget", AnomalyWatch: f"{metric}.unusual"}.get(type(rule), metric)
    return f"{project}{sep}{default_name(place, word)}"


def _rule(
    above: float | None,
    below: float | None,
    objective: float | None,
    unusual: float | Literal[True] | None,
    direction: Literal["up", "down", "both"],
    for_: Duration,
    resolve_at: float | None,
    requests_min: int,
    no_data: NoData,
) -> MonitorRule:
    given = {"above": above, "below": below, "objective": objective, "unusual": unusual}
    said = [name for name, value in given.items() if value is not None and value is not False]
    if len(said) != 1:
        msg = f"A monitor takes exactly one of {', '.join(given)}; it got {', '.join(said) or 'none'}."
        raise InvalidRequest(msg, hint="For example: above=0.05.")
    held_s = seconds_of(for_, "for_")
    for name, value in {"threshold": above if above is not None else below, "resolve_threshold": resolve_at}.items():
        if value is not None:
            check_number(name, value)  # before JSON makes nothing of what is no number
    if objective is not None:
        check_between("objective", objective, 0, 1, hint="Give one such as 0.999.")
        if held_s or resolve_at is not None:
            raise InvalidRequest("The windows of an objective say how long.", hint="Leave for_ and resolve_at out.")
        return BurnRateWatch(objective=objective, requests_min=requests_min)
    if unusual is not None and unusual is not False:
        sensitivity = 0.5 if unusual is True else unusual
        check_between("sensitivity", sensitivity, 0, 1, hint="Give a number from 0 (calm) to 1 (touchy).")
        return AnomalyWatch(sensitivity=sensitivity, direction=direction, for_s=held_s, requests_min=requests_min)
    return ThresholdWatch(
        operator=">" if above is not None else "<",
        threshold=float(above if above is not None else below or 0.0),
        resolve_threshold=resolve_at,
        for_s=held_s,
        requests_min=requests_min,
        no_data=no_data,
    )


def _action(action: ActionKind | Mapping[str, Any] | Action) -> Action:
    if isinstance(action, Action):
        return action
    said: dict[str, Any] = {"kind": action} if isinstance(action, str) else dict(checked_mapping(action, "action"))
    if "cooldown" in said:
        said["cooldown_s"] = seconds_of(said.pop("cooldown"), "cooldown")
    try:
        return converted(said, Action)
    except msgspec.ValidationError as error:
        hint = "There is alert, pause, rollback and job."
        raise InvalidRequest(f"The action is not valid: {error}.", hint=hint) from error

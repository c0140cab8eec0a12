"""What others have to say to a rollout: an experiment's decision, measured numbers, recorded events. Plain functions, called at each look.

Each is given the transaction in which the rollout is looked at; whatever they read is of the same moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from chopmark.abc.catalog import Transaction
from chopmark.app.experiment_units import Decision, decision_of
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.monitors import is_drift
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.rollout_totals import Gauge
from chopmark.domain.rollouts import Rollout
from chopmark.domain.traffic import SHADOW
from chopmark.stats.summaries import Proportion

__all__ = ["Decision", "events_of", "experiment_decision", "gauges_of"]

_AHEAD = timedelta(minutes=2)
"""Routers know the time by their own clocks."""


def experiment_decision(tx: Transaction, rollout: Rollout, endpoint: Endpoint, now: datetime) -> Decision:
    """What the experiment on the endpoint decided of the candidate, while a step waits for it."""
    steps = rollout.plan.steps
    if rollout.state != "progressing" or not steps[min(rollout.step, len(steps) - 1)].is_experiment:
        return ""
    return decision_of(tx, endpoint.id, rollout.candidate.id, now)


def gauges_of(window: OutcomeWindow | None, newest: datetime | None) -> Mapping[str, Gauge]:
    """Numbers of a version that follow from its recorded minutes, one sample a minute.

    ``agreement``, ``score_shift``: of a shadow's answers with those that were given; ``cost_usd``: of a request; the mean of
    each metric that callers recorded, by its name, unless it is one by which drift is measured.

    Parameters
    ----------
    window
        All its minutes together.
    newest
        When the newest of them began.
    """
    if window is None or newest is None:
        return {}
    found: dict[str, Gauge] = {}
    if window.compared.rows:
        found["agreement"] = Gauge(window.compared.agreed / window.compared.rows, newest)
        found["score_shift"] = Gauge(window.compared.shift_abs_sum / window.compared.rows, newest)
    if window.spent.cost_usd and window.requests:
        found["cost_usd"] = Gauge(window.spent.cost_usd / window.requests, newest)
    metrics = {
        name: Gauge(sums.mean, newest) for name, sums in window.metrics.items() if sums.count and not is_drift(name)
    }
    return {**metrics, **found}


def events_of(
    tx: Transaction, rollout: Rollout, now: datetime
) -> tuple[Mapping[str, Proportion], Mapping[str, Proportion]]:
    """Recorded yes or no of requests: of the stable version, and of the candidate.

    ``right``: answers that feedback says were right, of those that it judges and that were asked for since the rollout began.
    """
    is_asked = any(check.kind == "events" for check in rollout.plan.checks)
    if not is_asked or rollout.started_at is None or rollout.stable is None:
        return {}, {}
    judged: defaultdict[UUID, Proportion] = defaultdict(Proportion)
    for each in tx.feedback.totals(rollout.endpoint, since=rollout.started_at, until=now + _AHEAD):
        if each.variant != SHADOW:
            judged[each.version] += Proportion(each.right, each.judged)
    found = [
        {"right": judged[version.id]} if judged[version.id].n else {} for version in (rollout.stable, rollout.candidate)
    ]
    return found[0], found[1]

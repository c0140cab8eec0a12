"""Drift as a check of a rollout: when it is measured, of which requests, and what is taken of it; pure.

A check of the kind ``gauge`` may name ``drift`` (whatever drifted most), ``drift.COLUMN`` or ``drift.predictions``: how far sampled
requests of the step are from what the candidate was made from, as a multiple of what is material. Profiles are files, so it is measured
before a look and handed in with its time; between two measurements the check remembers the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import structs

from chopmark.domain.alerts import SKEW_SECONDS
from chopmark.domain.manifest import Manifest
from chopmark.domain.monitors import is_drift
from chopmark.domain.rollout_plans import RolloutPlan
from chopmark.domain.rollout_totals import Gauge
from chopmark.domain.rollouts import Rollout
from chopmark.domain.traffic import SHADOW
from chopmark.errors import InvalidRequest

__all__ = ["check_measurable", "drift_metrics", "due_metrics", "measured_variant", "of_this_step", "remembering"]

_EVERY = timedelta(minutes=1)
_SKEW = timedelta(seconds=SKEW_SECONDS)


def drift_metrics(plan: RolloutPlan) -> tuple[str, ...]:
    """What the checks of a plan call the drift that they ask for, each once."""
    return tuple(dict.fromkeys(check.measured for check in plan.checks if is_drift(check.measured)))


def due_metrics(rollout: Rollout, now: datetime) -> tuple[str, ...]:
    """What is to be measured now: all that the plan asks for, once a minute while requests are watched; empty when nothing is.

    Parameters
    ----------
    now
        By the database's clock.
    """
    metrics = drift_metrics(rollout.plan)
    is_watched = rollout.state in {"progressing", "baking"} and rollout.confirmed_at is not None
    is_ahead = (
        rollout.at is not None and rollout.at > now + _SKEW
    )  # the clock was set back, and the row has yet to go along
    if not metrics or not is_watched or is_ahead:
        return ()
    states = [s for c, s in zip(rollout.plan.checks, rollout.checks, strict=False) if is_drift(c.measured)]
    if all(state.last is not None and abs(now - state.last.at) < _EVERY for state in states):
        return ()
    return metrics


def measured_variant(rollout: Rollout) -> str:
    """Under which name samples of the candidate are counted now: those of copies while it is a shadow; else empty, for all others."""
    mirrors = rollout.state == "progressing" and rollout.plan.steps[rollout.step].mirror
    return SHADOW if mirrors else ""


def remembering(rollout: Rollout, gauges: Mapping[str, Gauge]) -> Rollout:
    """The row with what was measured just now, whatever else becomes of it: so that it is not measured again at once.

    Parameters
    ----------
    gauges
        Of the candidate, as they were handed in.
    """
    new = of_this_step(rollout, gauges)
    if not new:
        return rollout
    checks = tuple(
        structs.replace(state, last=new.get(check.measured, state.last))
        for check, state in zip(rollout.plan.checks, rollout.checks, strict=True)
    )
    return structs.replace(rollout, checks=checks)


def of_this_step(rollout: Rollout, gauges: Mapping[str, Gauge]) -> dict[str, Gauge]:
    """Those of what was measured that the plan asks for and that are of the step that is held now, whatever clocks say."""
    since = rollout.confirmed_at
    if since is None or not rollout.checks:
        return {}
    asked, step = drift_metrics(rollout.plan), (rollout.place, since)
    return {name: gauge for name, gauge in gauges.items() if name in asked and (gauge.place, gauge.since) == step}


def check_measurable(
    plan: RolloutPlan, ref: str, manifest: Manifest | None, endpoint: str, sample_share: float
) -> None:
    """Refuse a plan that asks for drift that can never be measured.

    Parameters
    ----------
    ref, manifest
        Of the candidate.
    endpoint, sample_share
        Its name, and the share of its requests that are sampled.

    Raises
    ------
    InvalidRequest
        When the candidate has no profile of its data, or several, or nothing is sampled.
    """
    metrics = drift_metrics(plan)
    if not metrics or manifest is None:
        return
    profiles = sum(file.role == "profile" and file.path.endswith(".json") for file in manifest.files)
    if profiles != 1:
        has = "no profile of its data" if not profiles else f"{profiles} profiles of data"
        raise InvalidRequest(
            f"The plan asks for {metrics[0]}, and {ref} has {has}: how far requests drift from it is never known.",
            hint="Register it with one data set of rows (dataset=frame), or leave the check out.",
        )
    if not sample_share:
        raise InvalidRequest(
            f"The plan asks for {metrics[0]}, and {endpoint} samples no requests.",
            hint=f"Have some sampled: chopmark endpoint update {endpoint} --config sample_share=0.1",
        )

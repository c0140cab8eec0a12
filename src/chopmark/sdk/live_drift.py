"""Live drift: what sampled requests look like, held against the profiles of the versions that answered."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from chopmark.base.settings import Settings
from chopmark.domain.live_drift import LiveDrift, MeasuredDrift, measured_drift
from chopmark.domain.monitors import Monitor, is_drift
from chopmark.domain.profile_windows import counted_profile
from chopmark.domain.rollout_drift import measured_variant
from chopmark.domain.rollout_totals import Gauge
from chopmark.domain.rollouts import Rollout
from chopmark.domain.traffic import SHADOW
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound, Unavailable
from chopmark.ops.outcomes import Sampled, SampledVariant, ShowSampled
from chopmark.sdk.profiles import Profiles
from chopmark.sdk.transport import Transport

if TYPE_CHECKING:
    from chopmark.formats.profiles import DatasetProfile

__all__ = ["candidate_drift", "drift_for", "live_drift"]


def live_drift(transport: Transport, settings: Settings, endpoint: str, over_s: float) -> tuple[LiveDrift, ...]:
    """By variant, the one with most rows first; a version without a profile, or with another than was counted by, is left out."""
    sampled: Sampled = transport.call(ShowSampled(endpoint=endpoint, over_s=over_s))
    profiles = Profiles(transport, settings)
    found = []
    for each in sampled.variants:
        with suppress(NotFound, InvalidRequest):
            found.append(_drifted(profiles.get(each.version), each))
    return tuple(found)


def _drifted(profile: DatasetProfile, sampled: SampledVariant) -> LiveDrift:
    """Samples beside the profile in whose bins they were counted.

    Raises
    ------
    InvalidRequest
        When they were counted in those of another.
    """
    from chopmark.stats.drift import check_drift

    names = {column.name for column in sampled.counts.columns}
    part = counted_profile(profile, names, with_scores=sampled.counts.scores is not None)
    report = check_drift(part, sampled.counts)
    return LiveDrift(version=sampled.version, variant=sampled.variant, since=sampled.since, report=report)


def candidate_drift(
    transport: Transport, settings: Settings, rollout: Rollout, metrics: Collection[str], at: datetime
) -> dict[str, Gauge]:
    """How far sampled requests of a rollout's candidate have drifted in the step that is held, for its checks, by metric.

    Whatever goes wrong is said where the number would be: a look goes on without it.

    Parameters
    ----------
    rollout
        Whose step was confirmed.
    at
        Now, by the database's clock.
    """
    place = at, rollout.place, rollout.confirmed_at
    over_s = max((at - (rollout.confirmed_at or at)).total_seconds(), 1.0)
    try:
        profile = Profiles(transport, settings).get(rollout.candidate.ref)
        sampled: Sampled = transport.call(ShowSampled(endpoint=rollout.endpoint_ref, over_s=over_s))
        found = []
        for each in sampled.variants:
            if each.version == rollout.candidate.ref:
                with suppress(InvalidRequest):
                    found.append(_drifted(profile, each))
    except ImportError:
        why = "drift is measured with numpy and scipy, which the worker does not have"
        return dict.fromkeys(metrics, Gauge(None, *place, why))
    except (NotFound, InvalidRequest) as error:
        return dict.fromkeys(metrics, Gauge(None, *place, error.message, is_unknowable=True))
    except ChopmarkError as error:
        return dict.fromkeys(metrics, Gauge(None, *place, error.message))
    variant = measured_variant(rollout)
    if not any((each.variant == SHADOW) == (variant == SHADOW) for each in found):
        what = "copies" if variant == SHADOW else "requests"
        why = f"no {what} of {rollout.candidate.ref} were sampled in this step"
        return dict.fromkeys(metrics, Gauge(None, *place, why))
    measured = {metric: measured_drift(metric, variant, found) for metric in metrics}
    return {
        metric: Gauge(each.severity, *place, each.why, is_unknowable=each.is_unknowable)
        for metric, each in measured.items()
    }


def drift_for(transport: Transport, settings: Settings, monitor: Monitor) -> MeasuredDrift | None:
    """How far requests have drifted, for the evaluation of a monitor of that; None of another monitor.

    It is measured before, and not within the transaction: profiles are files.
    """
    if not is_drift(monitor.metric):
        return None
    try:
        found = live_drift(transport, settings, monitor.on, 60.0 * monitor.minutes)
    except ImportError:
        return MeasuredDrift(why="Drift is measured with numpy and scipy, which are not installed here.")
    except Unavailable:
        raise  # soon it may be known
    except ChopmarkError as error:
        return MeasuredDrift(why=error.message)
    return measured_drift(monitor.metric, monitor.variant, found)

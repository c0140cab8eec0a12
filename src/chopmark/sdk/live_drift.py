"""Live drift: what sampled requests look like, held against the profiles of the versions that answered."""

from __future__ import annotations

from chopmark.base.settings import Settings
from chopmark.domain.live_drift import LiveDrift, MeasuredDrift, measured_drift
from chopmark.domain.monitors import Monitor, is_drift
from chopmark.domain.profile_windows import counted_profile
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound, Unavailable
from chopmark.ops.outcomes import Sampled, ShowSampled
from chopmark.sdk.profiles import Profiles
from chopmark.sdk.transport import Transport

__all__ = ["drift_for", "live_drift"]


def live_drift(transport: Transport, settings: Settings, endpoint: str, over_s: float) -> tuple[LiveDrift, ...]:
    """By variant, the one with most rows first; a version without a profile, or with another than was counted by, is left out."""
    from chopmark.stats.drift import check_drift

    sampled: Sampled = transport.call(ShowSampled(endpoint=endpoint, over_s=over_s))
    profiles = Profiles(transport, settings)
    found = []
    for each in sampled.variants:
        names = {column.name for column in each.counts.columns}
        try:
            profile = counted_profile(profiles.get(each.version), names, with_scores=each.counts.scores is not None)
            report = check_drift(profile, each.counts)
        except (NotFound, InvalidRequest):
            continue
        found.append(LiveDrift(version=each.version, variant=each.variant, since=each.since, report=report))
    return tuple(found)


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

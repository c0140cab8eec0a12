"""Reference cases of alerts, webhooks and schedules, for `chopmark.stats.reference`.

`threshold` and `burn_rate` are played minute by minute, as a worker would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, repeat
from typing import Any

from chopmark.domain.alerts import AlertState, Sample, ThresholdRule, advance
from chopmark.domain.burn_rates import (
    BURN_WINDOWS,
    BurnRateRule,
    BurnRateState,
    BurnWindows,
    MinuteCount,
    advance_burn_rates,
)
from chopmark.domain.cron import next_times, zone_of
from chopmark.domain.webhooks import sign

__all__ = ["METHODS"]

_START = datetime(2026, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_TIMES = 5


def _threshold(case: Mapping[str, Any]) -> dict[str, Any]:
    rule = ThresholdRule(
        name="reference",
        operator=case["op"],
        threshold=float(case["threshold"]),
        for_seconds=60.0 * case["for_minutes"],
        keep_firing_for_seconds=60.0 * case["keep_firing_for_minutes"],
        no_data="ok",
        no_data_after_seconds=0.0,
    )
    state, firing = AlertState(), []
    for minute, value in zip(range(case["minutes"]), _spread(case["values_rle"]), strict=False):
        now = _START + minute * _MINUTE
        state, _ = advance(rule, state, Sample(now, value), now)
        firing.append(state.phase == "firing")
    return {"firing": _intervals(firing)}


def _burn_rate(case: Mapping[str, Any]) -> dict[str, Any]:
    windows = tuple(
        BurnWindows(p["name"], float(p["factor"]), p["long_minutes"], p["short_minutes"])
        for p in case.get("burn_pairs", ())
    )
    rule = BurnRateRule(name="reference", objective=case["objective"], windows=windows or BURN_WINDOWS)
    state = BurnRateState()
    firing: dict[str, list[bool]] = {pair.name: [] for pair in rule.windows}
    counts = zip(range(case["minutes"]), _spread(case["errors_rle"]), _spread(case["total_rle"]), strict=False)
    for minute, errors, total in counts:
        now = _START + minute * _MINUTE
        state, _ = advance_burn_rates(rule, state, MinuteCount(now, errors, total), now)
        for name, alert in state.alerts.items():
            firing[name].append(alert.phase == "firing")
    return {"firing": {name: _intervals(minutes) for name, minutes in firing.items()}}


def _webhook(case: Mapping[str, Any]) -> dict[str, Any]:
    return {"signature": sign(case["secret"], case["id"], case["timestamp"], case["body"])}


def _cron(case: Mapping[str, Any]) -> dict[str, Any]:
    """Without an offset of its own the start is local time of the case's zone."""
    after = datetime.fromisoformat(case["after"])
    if after.tzinfo is None:
        after = after.replace(tzinfo=zone_of(case["zone"]))
    count = len(case.get("next", ())) or _TIMES
    times = next_times(case["expression"], after, case["zone"], count)
    return {"next": [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in times]}


def _spread(runs: Iterable[Sequence[Any]]) -> Iterator[Any]:
    """Values of runs, each a value and how often it comes."""
    return chain.from_iterable(repeat(value, count) for value, count in runs)


def _intervals(firing: Iterable[bool]) -> list[list[int]]:
    """First and last minute of each stretch that fires."""
    runs = ([minute for minute, _ in run] for fires, run in groupby(enumerate(firing), lambda m: m[1]) if fires)
    return [[run[0], run[-1]] for run in runs]


METHODS = {"threshold": _threshold, "burn_rate": _burn_rate, "webhook": _webhook, "cron": _cron}

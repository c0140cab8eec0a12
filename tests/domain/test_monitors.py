"""Monitors: what they sample, how they move on, and which way back there is."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chopmark.domain.alert_log import CHANGES_MAX, AlertChange, acknowledged, noted, opened, resolved
from chopmark.domain.alert_rules import AlertEvent
from chopmark.domain.audit import AuditEvent
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.feedback import FeedbackTotals
from chopmark.domain.monitor_samples import counts_by_minute, labelled_sample, samples
from chopmark.domain.monitor_steps import SETTLE, MonitorState, due_at, span, standing_of, stepped
from chopmark.domain.monitors import (
    Action,
    AnomalyWatch,
    BurnRateWatch,
    Monitor,
    MonitorRule,
    ThresholdWatch,
    check_monitor,
    default_name,
)
from chopmark.domain.outcomes import ErrorCounts, MetricSums, OutcomeWindow, Spending
from chopmark.domain.traffic import PinnedVersion, Variant
from chopmark.domain.way_back import ROLLED_BACK, before_now, refusal
from chopmark.errors import Conflict, InvalidRequest
from chopmark.stats.sketch import QuantileSketch
from chopmark.testing.catalog_monitors import an_alert

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ENDPOINT, FIRST, SECOND = UUID(int=1), UUID(int=2), UUID(int=3)


def a_monitor(rule: MonitorRule | None = None, **changes: Any) -> Monitor:
    whole = Monitor(
        id=UUID(int=9),
        project="default",
        name="watch",
        on="fraud-api",
        metric="error_rate",
        rule=rule or ThresholdWatch(threshold=0.1),
        created_at=NOON,
        created_by="ada",
        updated_at=NOON,
        updated_by="ada",
    )
    return structs.replace(whole, **changes)


def a_window(minute: int, requests: int = 10, failed: int = 0, **changes: Any) -> OutcomeWindow:
    whole = OutcomeWindow(
        endpoint=ENDPOINT,
        version=FIRST,
        variant="stable",
        start=NOON + minute * MINUTE,
        requests=requests,
        errors=ErrorCounts(model=failed),
    )
    return structs.replace(whole, **changes)


def walked(
    monitor: Monitor, windows: Sequence[OutcomeWindow], looks: Sequence[datetime], state: MonitorState | None = None
) -> tuple[MonitorState, list[tuple[str, AlertEvent]]]:
    """The monitor after looks at these times, each of which sees what it asks for."""
    state = state or MonitorState(until=NOON)
    events: list[tuple[str, AlertEvent]] = []
    for now in looks:
        while (over := span(monitor, state, now)) is not None:
            seen = [w for w in windows if over.read_from <= w.start < over.until]
            state, new = stepped(monitor, state, seen, over, now)
            events += new
    return state, events


def value_of(metric: str, windows: Sequence[OutcomeWindow], **changes: Any) -> float | None:
    monitor = a_monitor(metric=metric, **changes)
    return next(samples(monitor, counts_by_minute(monitor, windows), NOON, NOON + MINUTE)).value


# What is sampled


def test_each_metric_of_a_minute() -> None:
    window = a_window(
        0,
        requests=10,
        errors=ErrorCounts(client=2, model=1, timeout=1),
        latency=QuantileSketch.of([n * 1e6 for n in range(1, 101)]),
        spent=Spending(cost_usd=0.5),
        metrics={"score": MetricSums.of_one(2.0) + MetricSums.of_one(4.0)},
    )
    assert value_of("error_rate", [window]) == 2 / 8, "a client's mistakes are nobody's errors"
    assert value_of("success_rate", [window]) == 6 / 10
    assert value_of("requests_per_second", [window]) == 10 / 60
    assert value_of("cost_usd", [window]) == 0.5
    assert value_of("metrics.score", [window]) == 3.0
    assert value_of("latency_ms_p50", [window]) == pytest.approx(50.0, rel=0.02)
    assert value_of("latency_ms_p99", [window]) == pytest.approx(99.0, rel=0.02)


def test_nothing_is_no_share_and_no_requests() -> None:
    for metric in ("error_rate", "success_rate", "latency_ms_p95", "metrics.score"):
        assert value_of(metric, []) is None
        assert value_of(metric, [a_window(0, requests=0)]) is None
    assert value_of("requests_per_second", []) == 0.0
    assert value_of("cost_usd", []) == 0.0


def test_shadows_count_for_who_watches_them() -> None:
    answer, copy = a_window(0, failed=1), a_window(0, failed=10, variant="shadow", version=SECOND)
    candidate = a_window(0, failed=5, variant="candidate", version=SECOND)
    assert value_of("error_rate", [answer, copy]) == 0.1
    assert value_of("error_rate", [answer, copy], variant="shadow") == 1.0
    assert value_of("error_rate", [answer, copy, candidate]) == 0.3
    assert value_of("error_rate", [answer, copy, candidate], variant="candidate") == 0.5


counted = st.builds(
    lambda minute, requests, failed, variant, latencies: a_window(
        minute,
        requests=requests,
        failed=min(failed, requests),
        variant=variant,
        latency=QuantileSketch.of([float(each) for each in latencies]) if latencies else QuantileSketch(),
    ),
    st.integers(0, 11),
    st.integers(0, 50),
    st.integers(0, 50),
    st.sampled_from(["stable", "candidate", "shadow"]),
    st.lists(st.integers(1, 10**9), max_size=4),
)


@settings(max_examples=150, deadline=None)
@given(
    windows=st.lists(counted, max_size=25),
    chance=st.randoms(),
    minutes=st.integers(1, 5),
    metric=st.sampled_from(["error_rate", "requests_per_second", "latency_ms_p95"]),
)
def test_a_sample_sums_up_its_minutes_in_any_order(
    windows: list[OutcomeWindow], chance: Any, minutes: int, metric: str
) -> None:
    monitor = a_monitor(metric=metric, minutes=minutes)
    mixed = list(windows)
    chance.shuffle(mixed)
    since, until = NOON + 5 * MINUTE, NOON + 12 * MINUTE
    found = list(samples(monitor, counts_by_minute(monitor, mixed), since, until))
    assert [s.at for s in found] == [since + n * MINUTE for n in range(1, 8)]
    for sample in found:
        own = [w for w in windows if sample.at - minutes * MINUTE <= w.start < sample.at and w.variant != "shadow"]
        requests, failed = sum(w.requests for w in own), sum(w.errors.model for w in own)
        if metric == "error_rate":
            assert sample.value == (failed / requests if requests else None)
        elif metric == "requests_per_second":
            assert sample.value == pytest.approx(requests / 60 / minutes)
        else:
            together = sum((w.latency for w in own), QuantileSketch())
            assert sample.value == (together.quantile(0.95) / 1e6 if together.count else None)


def test_what_needs_the_truth() -> None:
    def totals(variant: str, judged: int, right: int, numbers: int = 0, off: float = 0.0) -> FeedbackTotals:
        return FeedbackTotals(FIRST, variant, judged, judged, right, numbers, 0, off, 0, 0, 0, 0, 0, 0)

    said = [totals("stable", 8, 6, 2, 3.0), totals("candidate", 2, 0)]
    accuracy = a_monitor(metric="accuracy")
    assert labelled_sample(accuracy, said, NOON).value == 0.6
    assert labelled_sample(structs.replace(accuracy, variant="stable"), said, NOON).value == 0.75
    assert labelled_sample(a_monitor(metric="mean_absolute_error"), said, NOON).value == 1.5
    assert labelled_sample(accuracy, [], NOON).value is None


# How a monitor moves on


def test_a_minute_is_judged_once_it_has_settled() -> None:
    monitor, state = a_monitor(), MonitorState(until=NOON)
    assert due_at(state) == NOON + MINUTE + SETTLE
    assert span(monitor, state, due_at(state) - timedelta(seconds=1)) is None
    over = span(monitor, state, due_at(state))
    assert over == (NOON, NOON, NOON + MINUTE)
    after = stepped(monitor, state, [], over, due_at(state)).state
    assert span(monitor, after, due_at(state)) is None
    assert due_at(after) == NOON + 2 * MINUTE + SETTLE


def test_errors_rise_and_fall() -> None:
    monitor = a_monitor(ThresholdWatch(threshold=0.1, for_s=120), severity="critical")
    rates = [0, 0, 5, 5, 5, 5, 0, 0]
    windows = [a_window(n, failed=failed) for n, failed in enumerate(rates)]
    state, events = walked(monitor, windows, [NOON + timedelta(minutes=9)])
    assert [(label, e.kind, e.at) for label, e in events] == [
        ("", "pending", NOON + 3 * MINUTE),
        ("", "firing", NOON + 5 * MINUTE),
        ("", "resolved", NOON + 7 * MINUTE),
    ]
    assert events[1][1].severity == "critical"
    standing = standing_of(state)
    assert (standing.phase, standing.value, standing.events) == ("ok", 0.0, 10)


rules = st.sampled_from([
    ThresholdWatch(threshold=0.2),
    ThresholdWatch(threshold=0.2, for_s=180, keep_firing_for_s=120, resolve_threshold=0.1),
    ThresholdWatch(threshold=0.5, operator="<", no_data="alerting", no_data_after_s=120, requests_min=5),
    ThresholdWatch(threshold=0.2, no_data="ok", for_s=60),
    BurnRateWatch(objective=0.9),
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    rule=rules,
    failed=st.lists(st.one_of(st.none(), st.integers(0, 10)), min_size=5, max_size=40),
    gaps=st.lists(st.integers(1, 900), max_size=30),
)
def test_it_does_not_matter_when_somebody_looks(rule: MonitorRule, failed: list[int | None], gaps: list[int]) -> None:
    """A worker that was away, was killed, or looks too often comes to the same alerts at the same minutes."""
    monitor = a_monitor(rule)
    windows = [a_window(n, failed=bad) for n, bad in enumerate(failed) if bad is not None]
    end = NOON + len(failed) * MINUTE + SETTLE
    looks, now = [], NOON
    for gap in gaps:
        now = min(now + timedelta(seconds=gap), end)
        looks.append(now)
    each_minute = [NOON + (n + 1) * MINUTE + SETTLE for n in range(len(failed))]
    one, events = walked(monitor, windows, each_minute)
    other, same = walked(monitor, windows, [*looks, end, end])
    assert same == events
    assert standing_of(other) == standing_of(one)
    assert other.until == one.until == NOON + len(failed) * MINUTE


def test_a_step_that_is_repeated_gives_the_same() -> None:
    monitor, state = a_monitor(), MonitorState(until=NOON)
    windows, now = [a_window(n, failed=9) for n in range(5)], NOON + timedelta(minutes=6)
    over = span(monitor, state, now)
    assert over is not None
    assert stepped(monitor, state, windows, over, now) == stepped(monitor, state, windows, over, now)


def test_a_budget_that_burns_has_an_alert_for_each_pair_of_windows() -> None:
    monitor = a_monitor(BurnRateWatch(objective=0.99))
    windows = [a_window(n, requests=100, failed=20 if 60 <= n < 75 else 0) for n in range(180)]
    state, events = walked(monitor, windows, [NOON + timedelta(minutes=181)])
    fast = [(e.kind, (e.at - NOON) // MINUTE) for label, e in events if label == "page_fast"]
    assert [kind for kind, _ in fast] == []  # 20 % of 15 minutes are not 14.4 times the budget of an hour
    worse = [a_window(n, requests=100, failed=100 if 60 <= n < 75 else 0) for n in range(180)]
    state, events = walked(monitor, worse, [NOON + timedelta(minutes=181)])
    fast = [(e.kind, (e.at - NOON) // MINUTE) for label, e in events if label == "page_fast"]
    assert fast == [("firing", 68), ("resolved", 79)]
    assert standing_of(state).at == NOON + timedelta(minutes=180)


def test_late_minutes_count_against_a_budget() -> None:
    monitor = a_monitor(BurnRateWatch(objective=0.99))
    early = [a_window(n, requests=100, failed=100) for n in range(15) if n not in (13, 14)]
    state, _ = walked(monitor, early, [NOON + timedelta(minutes=16)])
    late = [*early, a_window(13, requests=100, failed=100), a_window(14, requests=100, failed=100)]
    state, _ = walked(monitor, late, [NOON + timedelta(minutes=17)], state)
    counts = state.burn.counts
    assert counts is not None
    assert sum(counts.errors) == 1_500


def usual(minute: int) -> int:
    """So many requests as are usual in a minute: more by day, and never the same."""
    hour = (NOON + minute * MINUTE).hour
    return 600 + 400 * (8 <= hour < 20) + (minute * 7919) % 37


def test_what_is_unusual_for_the_time_of_the_day() -> None:
    monitor = a_monitor(AnomalyWatch(sensitivity=0.5), metric="requests_per_second", minutes=5)
    days = 48 * 60
    windows = [a_window(n, requests=usual(n)) for n in range(days + 120)]
    begin = MonitorState(until=NOON + days * MINUTE)
    looks = [NOON + (days + n) * MINUTE + SETTLE for n in range(1, 121)]
    state, events = walked(monitor, windows, looks, begin)
    assert state.baseline is not None
    assert len(state.baseline.centers) == 24
    assert events == []
    dark = [w if w.start < NOON + (days + 60) * MINUTE else structs.replace(w, requests=600) for w in windows]
    state, events = walked(monitor, dark, looks, begin)
    ((label, event),) = events
    assert (label, event.kind, event.at) == ("", "firing", NOON + (days + 65) * MINUTE)
    assert event.value == 10.0
    assert "is unusual" in event.message
    assert standing_of(state).phase == "firing"


def test_what_is_usual_is_not_known_at_once() -> None:
    monitor = a_monitor(AnomalyWatch(), metric="requests_per_second", minutes=5)
    fresh = [a_window(n, requests=10) for n in range(10)]
    monitored = structs.replace(monitor, metric="error_rate")
    state, events = walked(monitored, fresh, [NOON + timedelta(minutes=11)])
    assert events == []
    assert "not known yet" in standing_of(state).why
    assert state.until == NOON + timedelta(minutes=10)


def test_a_clock_that_is_set_back_keeps_nobody_from_looking() -> None:
    monitor = a_monitor()
    ahead, _ = walked(monitor, [], [NOON + timedelta(hours=5)])
    back = NOON + timedelta(minutes=30)
    windows = [a_window(n, failed=9) for n in range(60)]
    state, events = walked(monitor, windows, [back, back + 2 * MINUTE], ahead)
    assert state.until <= back + 2 * MINUTE
    assert [e.kind for _, e in events] == ["firing"]


def test_who_was_away_for_long_begins_hours_ago() -> None:
    monitor = a_monitor()
    over = span(monitor, MonitorState(until=NOON - timedelta(days=30)), NOON)
    assert over is not None
    assert over.since == NOON - timedelta(hours=6)
    assert over.until < NOON
    wide = structs.replace(monitor, minutes=1_440)
    over = span(wide, MonitorState(until=NOON - timedelta(days=30)), NOON)
    assert over is not None
    assert (over.until - over.since) / MINUTE * 1_440 <= 20_000


# What cannot be meant


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"metric": "errors"}, "no metric"),
        ({"metric": "metrics."}, "no metric"),
        ({"minutes": 0}, "1 to 1,440 minutes"),
        ({"metric": "estimated_accuracy", "minutes": 59}, "60 minutes or more, not 59: counts are by hour"),
        ({"metric": "drift", "minutes": 5}, "60 minutes or more"),
        ({"metric": "drift.age"}, "60 minutes or more"),
        ({"name": "-x"}, "monitor"),
        ({"on": "other/fraud-api"}, "in the project other"),
        ({"on": "fraud:3", "variant": "stable"}, "no variants"),
        ({"on": "fraud:3", "action": Action(kind="rollback")}, "Only an endpoint"),
        ({"on": "fraud:3", "action": Action(kind="pause")}, "Only an endpoint"),
        ({"action": Action(kind="job", job="nothing")}, "no kind of work"),
        ({"action": Action(kind="alert", job="expiry")}, "runs no job"),
        ({"rule": BurnRateWatch(objective=1.0)}, "no budget"),
        ({"rule": BurnRateWatch(objective=0.9), "metric": "cost_usd"}, "about error_rate"),
        ({"rule": AnomalyWatch(), "metric": "accuracy"}, "threshold only"),
        ({"rule": AnomalyWatch(sensitivity=1.0), "minutes": 60}, "too many"),
        ({"rule": ThresholdWatch(threshold=math.nan)}, "threshold"),
        ({"rule": ThresholdWatch(threshold=0.1, resolve_threshold=0.2)}, "cannot resolve"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        check_monitor(a_monitor(**changes))


def test_what_can_be_meant() -> None:
    for changes in (
        {},
        {"on": "fraud@champion", "metric": "metrics.score"},
        {"rule": BurnRateWatch(objective=0.999)},
        {"rule": AnomalyWatch(sensitivity=1.0), "minutes": 5},
        {"metric": "estimated_accuracy", "minutes": 60},
        {"metric": "drift.predictions", "minutes": 60},
        {"action": Action(kind="rollback")},
        {"action": Action(kind="job", job="expiry", arguments={"key_days": 3})},
    ):
        monitor = a_monitor(**changes)
        assert check_monitor(monitor) == monitor
    assert default_name("fraud:^1.4", "cost_usd") == "fraud.1.4.cost_usd"


# Alerts


def test_an_alert_is_looked_after_and_ends() -> None:
    event = AlertEvent(rule="x", kind="firing", severity="critical", at=NOON, since=NOON - MINUTE, message="bad")
    alert = opened(a_monitor(), "", event, UUID(int=7), NOON, endpoint=(ENDPOINT, 4))
    assert (alert.state, alert.generation, alert.is_told, alert.severity) == ("open", 4, True, "critical")
    mine = acknowledged(alert, "bob", "I look", NOON)
    assert (mine.state, mine.acknowledged_by) == ("acknowledged", "bob")
    assert acknowledged(mine, "bob", "", NOON) == mine, "said twice is said once"
    over = resolved(acknowledged(mine, "cy", "", NOON), "good", NOON + MINUTE)
    assert [c.what for c in over.changes] == ["fired", "acknowledged", "acknowledged", "resolved"]
    with pytest.raises(Conflict):
        acknowledged(over, "ada", "", NOON)


def test_a_history_is_bounded_and_keeps_its_beginning() -> None:
    alert = an_alert(changes=())
    for n in range(3 * CHANGES_MAX):
        alert = noted(alert, AlertChange(at=NOON, what="acknowledged", text=str(n)))
    assert len(alert.changes) == CHANGES_MAX
    assert (alert.changes[0].text, alert.changes[-1].text) == ("0", "299")


# The way back


def an_endpoint(*shares: tuple[int, int], generation: int = 3) -> Endpoint:
    """With versions by number, and their weights."""
    variants = tuple(
        Variant(
            name=f"v{number}",
            version=PinnedVersion(id=UUID(int=number), model="fraud", number=number, digest=f"sha256:{number}"),
            weight=weight,
        )
        for number, weight in shares
    )
    said: dict[str, Any] = {"created_at": NOON, "created_by": "ada", "updated_at": NOON, "updated_by": "ada"}
    return Endpoint(id=ENDPOINT, project="default", name="fraud-api", variants=variants, generation=generation, **said)


def split(before: dict[int, int], event: str = "endpoint.split") -> AuditEvent:
    told = [{"version": f"fraud:{n}", "digest": f"sha256:{n}", "weight": weight} for n, weight in before.items()]
    return AuditEvent(
        seq=1,
        id=UUID(int=1),
        at=NOON,
        actor="ada",
        event=event,
        target="fraud-api",
        data={"before": {"variants": told}},
    )


def back(endpoint: Endpoint, *newest_first: AuditEvent) -> list[str]:
    return [each.version for each in before_now(endpoint, newest_first)]


def test_the_way_back_is_to_what_answered_before() -> None:
    now = an_endpoint((3, 10_000))
    assert back(now, split({2: 10_000}), split({1: 10_000})) == ["fraud:2", "fraud:1"]
    assert back(now, split({3: 9_000, 2: 1_000}), split({2: 9_000, 3: 1_000}), split({2: 10_000})) == ["fraud:2"]
    assert back(now, split({3: 10_000}), split({})) == []
    assert back(now) == []


def test_of_several_that_share_the_traffic_one_may_be_the_way_back() -> None:
    assert back(an_endpoint((1, 9_000), (2, 1_000)), split({1: 10_000})) == ["fraud:1"]
    assert back(an_endpoint((2, 9_000), (1, 1_000)), split({1: 9_000, 2: 1_000}), split({1: 10_000})) == ["fraud:1"]


def test_what_a_rollback_left_is_not_gone_back_to() -> None:
    """3 was left for 2; when 2 is bad too, the way is to 1, and never to 3 again."""
    told = [split({3: 10_000}, ROLLED_BACK), split({3: 10_000}), split({2: 10_000}), split({1: 10_000})]
    assert back(an_endpoint((2, 10_000)), *told) == ["fraud:1"]


@pytest.mark.parametrize(
    ("alert", "endpoint", "last", "why"),
    [
        ({}, an_endpoint((1, 10_000)), None, ""),
        ({}, an_endpoint((1, 10_000)), NOON - timedelta(minutes=31), ""),
        ({"state": "resolved"}, an_endpoint((1, 10_000)), None, "is resolved"),
        ({}, None, None, "was deleted"),
        ({"generation": 2}, an_endpoint((1, 10_000)), None, "was changed since"),
        ({}, an_endpoint((1, 10_000)), NOON - timedelta(minutes=29), "lasts for another 1 min"),
    ],
)
def test_the_guard(alert: dict[str, Any], endpoint: Endpoint | None, last: datetime | None, why: str) -> None:
    found = refusal(an_alert(**{"generation": 3, **alert}), endpoint, last, 1_800.0, NOON)
    assert why in found
    assert bool(found) == bool(why)

"""Outcomes that are recorded from outside, told by variant and over time, and moved into hours and days as they grow old."""

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from msgspec import structs

import chopmark as cm
from chopmark.app.outcome_folding import fold_a_part
from chopmark.app.outcome_reading import windows_between
from chopmark.base.clock import FakeClock
from chopmark.domain.access import Actor
from chopmark.domain.endpoints import RouterReport, RoutingMark
from chopmark.domain.outcomes import ErrorCounts, MetricSums, OutcomeWindow, Spending
from chopmark.errors import Denied, InvalidRequest, NotFound, Unavailable
from chopmark.ops.endpoints import ReportRouter
from chopmark.ops.jobs import ExpireRegistry
from chopmark.ops.outcomes import FoldOutcomes, RecordedMinute, RecordOutcomes
from chopmark.stats.sketch import QuantileSketch
from chopmark.testing.registry import memory_registry, memory_transport
from tests.registries import in_process, over_http

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MS = 1e6
ONE = {"m": MetricSums.of_one(1.0)}


@pytest.fixture
def clock() -> FakeClock:
    """Stands still at half past a minute."""
    return FakeClock(NOW)


@pytest.fixture(autouse=True)
def _same_time(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chopmark.sdk.outcomes.system_clock", clock)


@pytest.fixture(params=["memory", "sqlite", "http"])
def timed(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """A registry whose time is the clock's; PostgreSQL has a clock of its own, which stands still for nobody."""
    if request.param == "http":
        with over_http(tmp_path, clock) as opened:
            yield opened
    else:
        with in_process(request.param, request, tmp_path, clock) as opened:
            yield opened


@pytest.fixture(params=["memory", "sqlite"])
def near(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """The same without a server between."""
    with in_process(request.param, request, tmp_path, clock) as opened:
        yield opened


def models(registry: cm.Registry) -> list[cm.Version]:
    return [registry.register("fraud", {"n": n}) for n in range(2)]


def window(endpoint: UUID, version: UUID, start: datetime, requests: int = 10, **more: Any) -> OutcomeWindow:
    took = QuantileSketch.of([float(n + 1) * MS for n in range(requests)])
    fields: dict[str, Any] = {"variant": "stable", "requests": requests, "rows": requests, "latency": took, **more}
    return OutcomeWindow(endpoint=endpoint, version=version, start=start, **fields)


def reported(*windows: OutcomeWindow, router: str = "r1") -> ReportRouter:
    return ReportRouter(report=RouterReport(id=router, mark=RoutingMark(), started_at=NOW), outcomes=windows)


def test_what_is_recorded_of_a_model_is_told_by_version(timed: cm.Registry) -> None:
    first, second = models(timed)
    record = timed.outcomes.record
    assert record(first, latency_ms=4.0, cost_usd=0.5, metrics={"clicks": 2.0}).requests == 1
    record(first, latency_ms=[6.0, 8.0], requests=3, errors={"timeout": 1}, metrics={"clicks": 4.0})
    record(second, requests=2, errors=1, variant="blue")
    record(second, errors="client", at=NOW - 10 * MINUTE)
    found = timed.outcomes.summary(model="fraud")
    assert (found.of, found.since, found.until) == (
        "fraud",
        NOW.replace(second=0) - HOUR,
        NOW.replace(second=0) + MINUTE,
    )
    a, b, c = found.variants
    assert (a.version, a.variant, a.requests, a.rows) == ("fraud:1", "elsewhere", 4, 3)
    assert (a.success_rate, a.error_rate, a.errors) == (0.75, 0.25, ErrorCounts(timeout=1))
    assert a.requests_per_s == pytest.approx(4 / 3630)
    assert a.latency_ms_p50 == pytest.approx(6.0, rel=0.01)
    assert a.latency_ms_max == 8.0
    assert a.cost_usd == 0.5
    assert (a.metrics["clicks"].count, a.metrics["clicks"].mean, a.metrics["clicks"].greatest) == (2, 3.0, 4.0)
    assert a.metrics["clicks"].standard_deviation == pytest.approx(2**0.5)
    assert (b.version, b.variant, b.requests, b.error_rate) == ("fraud:2", "blue", 2, 0.5)
    assert (c.version, c.variant, c.success_rate, c.error_rate) == ("fraud:2", "elsewhere", 0.0, None)
    (_, together) = timed.outcomes.summary(model="fraud", by="version").variants
    assert (together.variant, together.requests, together.errors) == ("", 3, ErrorCounts(client=1, model=1))
    assert [v.version for v in timed.outcomes.summary(model="fraud", over="5m").variants] == ["fraud:1", "fraud:2"]


def test_of_an_endpoint_the_variant_is_known_by_the_version(near: cm.Registry) -> None:
    first, second = models(near)
    endpoint = near.endpoints.create("api", {first: 90, second: 10})
    near.outcomes.record(second, endpoint=endpoint, latency_ms=1.0)
    near.outcomes.record(second, endpoint="api", variant="stable")
    found = {(v.version, v.variant): v.requests for v in near.outcomes.summary(endpoint).variants}
    assert found == {("fraud:2", "candidate"): 1, ("fraud:2", "stable"): 1}
    other = near.register("fraud", {"n": 9})
    with pytest.raises(InvalidRequest, match="api has no variant of fraud:3"):
        near.outcomes.record(other, endpoint="api")
    with pytest.raises(NotFound, match="no endpoint 'none'"):
        near.outcomes.record(first, endpoint="none")
    with pytest.raises(InvalidRequest, match="one of them"):
        near.outcomes.summary()
    with pytest.raises(InvalidRequest, match="one of them"):
        near.outcomes.summary("api", model="fraud")


def rows(count: int, seed: int = 7) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "at": NOW.timestamp() - rng.uniform(0, 3 * 3_600, count),
        "latency_ms": rng.lognormal(1, 0.5, count),
        "error": rng.choice(["", "", "", "model", "timeout"], count),
        "cost_usd": rng.uniform(0, 0.01, count),
        "metrics": {"clicks": np.where(rng.uniform(size=count) < 0.1, np.nan, rng.normal(5, 2, count))},
    }


def test_a_batch_is_what_its_rows_are_one_by_one(local: cm.Registry) -> None:
    first, second = models(local)
    data = rows(300)
    assert local.outcomes.record_batch(first, **data).requests == 300
    for n in range(300):
        error = str(data["error"][n])
        clicks = data["metrics"]["clicks"][n]
        local.outcomes.record(
            second,
            at=datetime.fromtimestamp(data["at"][n], UTC),
            errors=error or 0,  # type: ignore[arg-type] # one of the words
            latency_ms=None if error else float(data["latency_ms"][n]),
            cost_usd=float(data["cost_usd"][n]),
            metrics={} if np.isnan(clicks) else {"clicks": float(clicks)},
        )
    a, b = local.outcomes.summary(model="fraud", over="4h").variants
    assert (a.requests, a.errors, a.latency_ms_p95) == (b.requests, b.errors, b.latency_ms_p95)
    assert a.errors.total == int((data["error"] != "").sum())
    assert a.cost_usd == pytest.approx(b.cost_usd)
    assert a.metrics["clicks"].count == b.metrics["clicks"].count == int((~np.isnan(data["metrics"]["clicks"])).sum())
    assert a.metrics["clicks"].mean == pytest.approx(b.metrics["clicks"].mean)
    minutes = [
        local.outcomes.trend(model="fraud", over="4h", every=every).points for every in ("minute", "hour", "day")
    ]
    assert [sum(p.outcome.requests for p in points) for points in minutes] == [600] * 3
    assert [len({p.start for p in points}) for points in minutes[1:]] == [3, 1]


@pytest.mark.parametrize("order", ["as they came", "late", "shuffled"])
def test_a_source_that_reports_twice_counts_once_in_any_order(local: cm.Registry, order: str) -> None:
    first, _ = models(local)
    data = rows(200)
    parts = [{name: column[n::4] for name, column in data.items() if name != "metrics"} for n in range(4)]
    sources: list[tuple[str, dict[str, Any]]] = [
        (f"s{n}", {**part, "metrics": {"clicks": data["metrics"]["clicks"][n::4]}}) for n, part in enumerate(parts)
    ]
    calls = sources + sources[:3]
    if order == "late":
        calls = calls[::-1]
    elif order == "shuffled":
        Random(3).shuffle(calls)
    for source, part in calls:
        local.outcomes.record_batch(first, **part, source=source)
    (found,) = local.outcomes.summary(model="fraud", over="4h").variants
    assert found.requests == 200
    assert found.errors.total == int((data["error"] != "").sum())
    assert found.metrics["clicks"].mean == pytest.approx(float(np.nanmean(data["metrics"]["clicks"])))


def test_after_a_report_that_may_have_been_lost_what_follows_still_counts(local: cm.Registry) -> None:
    first, _ = models(local)
    local.outcomes.record(first)
    real = local.outcomes._transport

    class Lost:
        """Does what it is asked, and the answer never comes."""

        def call(self, request: Any, **more: Any) -> Any:
            real.call(request, **more)
            raise Unavailable("The server does not answer.")

    local.outcomes._transport = Lost()  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        local.outcomes.record(first, requests=5)
    local.outcomes._transport = real
    local.outcomes.record(first, requests=2)
    assert local.outcomes.summary(model="fraud").variants[0].requests == 1 + 5 + 2


def test_the_child_of_a_fork_is_another_source(local: cm.Registry) -> None:
    first, _ = models(local)
    local.outcomes.record(first, requests=5)
    child = os.fork()
    if child == 0:
        try:
            local.outcomes.record(first, requests=2)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent tells
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    local.outcomes.record(first, requests=1)
    assert local.outcomes.summary(model="fraud").variants[0].requests == 8


def test_minutes_of_long_ago_and_of_the_future_are_refused(local: cm.Registry) -> None:
    first, _ = models(local)
    at = [NOW - 49 * HOUR, NOW - 47 * HOUR, NOW, NOW + 2 * HOUR]
    receipt = local.outcomes.record_batch(first, at=at)
    assert (receipt.requests, receipt.refused) == (2, 2)
    assert local.outcomes.summary(model="fraud", over="30d").variants[0].requests == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "no rows"),
        ({"latency_ms": [1.0], "error": ["", ""]}, "latency_ms 1, error 2"),
        ({"latency_ms": [float("inf")]}, "not finite"),
        ({"latency_ms": [-1.0]}, "less than nothing"),
        ({"latency_ms": ["x"]}, "no number"),
        ({"error": ["odd"]}, "'odd' is no kind of error"),
        ({"at": [float("nan")]}, "no time"),
        ({"at": datetime(2026, 3, 2), "latency_ms": [1.0]}, "no time with a zone"),  # noqa: DTZ001
        ({"metrics": {"": [1.0]}}, "no name"),
        ({"latency_ms": [[1.0]]}, "a value a row"),
    ],
)
def test_rows_that_cannot_be_meant_are_refused(local: cm.Registry, arguments: dict[str, Any], told: str) -> None:
    first, _ = models(local)
    with pytest.raises(InvalidRequest, match=told):
        local.outcomes.record_batch(first, **arguments)
    assert local.outcomes.summary(model="fraud").variants == ()


def test_more_failures_than_requests_are_refused(registry: cm.Registry) -> None:
    first, _ = models(registry)
    with pytest.raises(InvalidRequest, match="2 failed"):
        registry.outcomes.record(first, errors=2)
    with pytest.raises(InvalidRequest, match="took a time"):
        registry.outcomes.record(first, errors=1, latency_ms=3.0)
    call = registry._transport.call
    minute = RecordedMinute(at=NOW, requests=1)
    with pytest.raises(InvalidRequest, match="comes twice"):
        call(RecordOutcomes(ref="fraud:1", source="s", minutes=(minute, minute)))
    with pytest.raises(InvalidRequest, match="no time zone"):
        call(RecordOutcomes(ref="fraud:1", source="s", minutes=(RecordedMinute(at=NOW.replace(tzinfo=None)),)))
    many = {f"m{n}": MetricSums(1, 1.0, 1.0, 1.0, 1.0) for n in range(51)}
    with pytest.raises(InvalidRequest, match="51 metrics are too many"):
        call(RecordOutcomes(ref="fraud:1", source="s", minutes=(RecordedMinute(at=NOW, requests=1, metrics=many),)))


def test_versions_are_compared_wherever_they_answer(local: cm.Registry) -> None:
    first, second = models(local)
    local.endpoints.create("api", {first: 50, second: 50})
    local.outcomes.record(first, requests=1_000, errors=100, endpoint="api")
    local.outcomes.record(second, requests=600, errors=6, endpoint="api", metrics={"clicks": 1.0})
    local.outcomes.record(second, requests=400, errors=4, metrics={"clicks": 2.0})
    found = local.outcomes.compare(first, second)
    assert (found.baseline.requests, found.candidate.requests) == (1_000, 1_000)
    success = next(d for d in found.differences if d.metric == "success_rate")
    assert (success.baseline, success.candidate) == (0.9, 0.99)
    assert success.p_value is not None
    assert success.p_value < 1e-6
    assert success.low is not None
    assert success.high is not None
    assert success.low < 0.09 < success.high
    assert "clicks" not in {d.metric for d in found.differences}  # the other has none
    here = local.outcomes.compare(first, second, endpoint="api")
    assert here.candidate.requests == 600
    assert local.outcomes.compare(first, second, over="1s").baseline.requests == 1_000  # whole minutes
    with pytest.raises(InvalidRequest, match="compared with itself"):
        local.outcomes.compare(first, "fraud:1")


def filled(registry: cm.Registry, minutes: int = 600) -> tuple[UUID, UUID]:
    """Minutes of two routers over fifty days, the last of them now; none is refused, as nothing was moved yet."""
    first, _ = models(registry)
    endpoint = registry.endpoints.create("api", first)
    chance = Random(5)
    for router in ("r1", "r2"):
        windows = [
            window(
                endpoint.id,
                first.id,
                NOW.replace(second=0) - chance.randrange(50 * 24 * 60) * MINUTE,
                chance.randint(1, 9),
                errors=ErrorCounts(model=1),
                metrics={"m": MetricSums.of_one(chance.random())},
                spent=Spending(cost_usd=chance.random()),
            )
            for _ in range(minutes // 2)
        ]
        registry._transport.call(
            reported(*windows, window(endpoint.id, first.id, NOW.replace(second=0)), router=router)
        )
    return endpoint.id, first.id


def kept(registry: cm.Registry, endpoint: UUID) -> list[OutcomeWindow]:
    with registry._transport._dispatch.catalog.reading() as tx:
        return list(windows_between(tx, endpoint, NOW - 60 * DAY, NOW + DAY))


def counted(windows: list[OutcomeWindow]) -> tuple[Any, ...]:
    total = windows[0]
    for each in windows[1:]:
        total += each
    cost, metrics = total.spent.cost_usd, total.metrics["m"].total
    return (
        total.requests,
        total.rows,
        total.errors,
        total.latency,
        round(cost, 9),
        round(metrics, 9),
        total.metrics["m"].count,
    )


def test_moving_outcomes_changes_no_sum_in_however_many_parts(near: cm.Registry) -> None:
    endpoint, _ = filled(near)
    before = kept(near, endpoint)
    catalog = near._transport._dispatch.catalog
    counts = {"minutes": 0, "hours": 0}
    for part in range(500):
        with catalog.writing() as tx:
            done = fold_a_part(tx, NOW, limit=37)
        counts = {name: counts[name] + getattr(done, name) for name in counts}
        if part in (0, 3):
            assert counted(kept(near, endpoint)) == counted(before)
        if not done.more:
            break
    after = kept(near, endpoint)
    assert counted(after) == counted(before)
    assert counts["minutes"] > 400
    assert counts["hours"] > 100
    assert len(after) < len(before)
    with catalog.reading() as tx:
        assert tx.outcomes.oldest(before=NOW - 49 * HOUR, limit=1) == []
        assert tx.outcome_tiers.oldest("hour", before=NOW - 37 * DAY, limit=1) == []
        assert tx.outcome_tiers.oldest("day", before=NOW, limit=1)
    with catalog.writing() as tx:
        assert not any((fold_a_part(tx, NOW).minutes, fold_a_part(tx, NOW).hours))


def test_parts_and_whole_give_the_same_rows_bit_by_bit(clock: FakeClock) -> None:
    found = []
    for limit in (11, 100_000):
        with memory_registry(clock=clock) as registry:
            endpoint, _ = filled(registry, 300)
            while True:
                with registry._transport._dispatch.catalog.writing() as tx:
                    if not fold_a_part(tx, NOW, limit=limit).more:
                        break
            anonymous = {"endpoint": UUID(int=0), "version": UUID(int=0)}
            found.append([structs.replace(each, **anonymous) for each in kept(registry, endpoint)])
    assert found[0] == found[1]


def test_a_report_about_a_minute_that_was_moved_counts_no_second_time(near: cm.Registry) -> None:
    first, _ = models(near)
    endpoint = near.endpoints.create("api", first)
    old = window(endpoint.id, first.id, NOW.replace(second=0) - 60 * HOUR)
    young = window(endpoint.id, first.id, NOW.replace(second=0))
    for _ in range(2):
        near._transport.call(reported(old, young))
    assert near._transport.call(FoldOutcomes()).minutes == 1
    for _ in range(2):
        near._transport.call(reported(old, young))
        near._transport.call(FoldOutcomes())
    assert near.outcomes.summary("api", over="7d").variants[0].requests == 20
    days = near.outcomes.trend("api", over="7d", every="day").points
    assert [(p.start, p.outcome.requests) for p in days] == [
        (datetime(2026, 2, 28, tzinfo=UTC), 10),
        (datetime(2026, 3, 2, tzinfo=UTC), 10),
    ]


def test_what_expires_is_moved_not_lost(local: cm.Registry) -> None:
    endpoint, _ = filled(local)
    before = counted(kept(local, endpoint))
    while local._transport.call(ExpireRegistry()).more:
        pass
    assert counted(kept(local, endpoint)) == before


def test_days_are_forgotten_after_four_hundred(local: cm.Registry, clock: FakeClock) -> None:
    endpoint, _ = filled(local)
    clock.advance(timedelta(days=401))
    while local._transport.call(FoldOutcomes()).more:
        pass
    clock.advance(timedelta(days=60))
    while local._transport.call(FoldOutcomes()).more:
        pass
    with local._transport._dispatch.catalog.reading() as tx:
        assert list(windows_between(tx, endpoint, NOW - 60 * DAY, NOW + DAY)) == []


def test_trends_know_how_long_each_grain_is_kept(local: cm.Registry) -> None:
    first, _ = models(local)
    local.outcomes.record(first)
    with pytest.raises(InvalidRequest, match="Minutes are kept for 2 days"):
        local.outcomes.trend(model="fraud", over="7d", every="minute")
    with pytest.raises(InvalidRequest, match="Hours are kept for 35 days"):
        local.outcomes.trend(model="fraud", over="40d")
    assert len(local.outcomes.trend(model="fraud", over="400d", every="day").points) == 1
    for wrong in ("", "1y", "-1h", 0, "401d"):
        with pytest.raises(InvalidRequest, match=r"no (span|length)"):
            local.outcomes.summary(model="fraud", over=wrong)


def test_recording_asks_for_its_permission_where_it_counts(clock: FakeClock) -> None:
    settings = cm.Settings(actor="root")
    transport = memory_transport(settings, clock=clock)
    root = cm.Registry(transport, settings)
    for project in ("risk", "other"):
        root.projects.create(project)
        root.register(f"{project}/fraud", {"p": project})
        root.endpoints.create(f"{project}/api", f"{project}/fraud:1")
    minutes = (RecordedMinute(at=NOW, requests=1),)

    def record(actor: Actor, ref: str, endpoint: str = "") -> Any:
        return transport.act(RecordOutcomes(ref=ref, endpoint=endpoint, source="s", minutes=minutes), actor)

    ada = Actor("ada", "viewer", grants={"risk": frozenset({"read", "record"}), "other": frozenset({"read"})})
    assert record(ada, "risk/fraud:1").requests == 1
    with pytest.raises(Denied, match="'record'"):
        record(ada, "other/fraud:1")
    with pytest.raises(Denied, match="'record'"):
        record(ada, "risk/fraud:1", "other/api")
    transport.close()


class Killed(Exception):
    """Ends a transaction."""


def test_a_move_that_is_broken_off_changes_nothing(own: cm.Registry) -> None:
    catalog = own._transport._dispatch.catalog
    endpoint, version = UUID(int=1), UUID(int=2)
    start = NOW.replace(second=0)
    with catalog.writing() as tx:
        tx.outcomes.put("r1", [window(endpoint, version, start - n * 10 * HOUR, metrics=ONE) for n in range(100)])
    before = kept(own, endpoint)

    def move_and_stop() -> None:
        with catalog.writing() as tx:
            assert fold_a_part(tx, NOW, limit=30).minutes >= 5
            raise Killed

    for _ in range(3):
        now = kept(own, endpoint)
        with pytest.raises(Killed):
            move_and_stop()
        assert kept(own, endpoint) == now
        with catalog.writing() as tx:
            fold_a_part(tx, NOW, limit=30)
    assert counted(kept(own, endpoint)) == counted(before)


def test_movers_and_reporters_at_once_lose_nothing_and_double_nothing(own: cm.Registry) -> None:
    """Routers go on replacing minutes that are just being moved; what they said last before the move counts."""
    catalog = own._transport._dispatch.catalog
    endpoint, version = UUID(int=1), UUID(int=2)
    start, faults = NOW.replace(second=0, minute=0), list[BaseException]()
    said = {f"r{n}": dict[datetime, int]() for n in range(2)}

    def report(router: str) -> None:
        chance = Random(router)
        try:
            for turn in range(60):
                at = start + (turn // 2 + chance.randrange(60)) * MINUTE
                with catalog.writing() as tx:
                    if at >= tx.outcome_tiers.moved_to("minute"):
                        requests = said[router].get(at, 0) + 1
                        tx.outcomes.put(router, [window(endpoint, version, at, requests, metrics=ONE)])
                        said[router][at] = requests
        except BaseException as error:  # noqa: BLE001 - told below
            faults.append(error)

    def move() -> None:
        try:
            for turn in range(40):
                with catalog.writing() as tx:
                    fold_a_part(tx, start + 48 * HOUR + turn * 3 * MINUTE, limit=5)
        except BaseException as error:  # noqa: BLE001 - told below
            faults.append(error)

    with catalog.writing() as tx:  # whoever comes first, there is something to move and to replace
        for router, minutes in said.items():
            minutes.update({start + n * MINUTE: 1 for n in range(20)})
            tx.outcomes.put(router, [window(endpoint, version, at, 1, metrics=ONE) for at in minutes])
    threads = [threading.Thread(target=report, args=(router,)) for router in said]
    threads += [threading.Thread(target=move) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    for _ in range(60):
        with catalog.writing() as tx:
            fold_a_part(tx, start + 96 * HOUR, limit=5)
    with catalog.reading() as tx:
        assert tx.outcomes.oldest(before=start + DAY, limit=1) == []
        found = list(windows_between(tx, endpoint, start, start + DAY))
    assert sum(each.requests for each in found) == sum(sum(minutes.values()) for minutes in said.values())
    assert sum(len(minutes) for minutes in said.values()) > 30


def test_nothing_is_moved_while_somebody_adds_to_it(own: cm.Registry) -> None:
    catalog = own._transport._dispatch.catalog
    endpoint, version, start = UUID(int=1), UUID(int=2), NOW.replace(second=0, minute=0)
    moved = threading.Event()

    def move() -> None:
        with catalog.writing() as tx:
            fold_a_part(tx, start + 72 * HOUR)
        moved.set()

    mover = threading.Thread(target=move)
    with catalog.writing() as tx:
        assert tx.outcome_tiers.moved_to("minute") < start
        mover.start()
        assert not moved.wait(0.5)
        tx.outcomes.put("r1", [window(endpoint, version, start, metrics=ONE)])
    mover.join(30)
    assert moved.is_set()
    with catalog.reading() as tx:
        assert tx.outcomes.oldest(before=start + DAY, limit=1) == []
        assert [each.requests for each in windows_between(tx, endpoint, start, start + DAY)] == [10]


def test_copies_for_a_shadow_are_no_requests_of_its_version(near: cm.Registry) -> None:
    first, second = models(near)
    endpoint = near.endpoints.create("api", first, shadows=second)
    here: dict[str, Any] = {"endpoint": endpoint, "variant": "shadow"}
    near.outcomes.record(second, requests=5, **here)
    near.outcomes.record(second, requests=2, endpoint="api", variant="candidate")
    near.outcomes.record(second, requests=1, endpoint="api", variant="candidate-2")
    found = {(v.version, v.variant): v.requests for v in near.outcomes.summary("api", by="version").variants}
    assert found == {("fraud:2", ""): 3, ("fraud:2", "shadow"): 5}
    assert near.outcomes.compare(first, second).candidate.requests == 3


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"cost_usd": NAN}, "cost_usd is nan"),
        ({"cost_usd": INF}, "cost_usd is inf"),
        ({"cost_usd": -1.0}, r"cost_usd is -1\.0"),
        ({"cost_usd": "1"}, "cost_usd is '1'"),
        ({"cost_usd": 1.7e308}, "cost_usd"),
        ({"latency_ms": "12"}, "latency_ms is '12'"),
        ({"latency_ms": -5}, r"latency_ms is -5\.0"),
        ({"latency_ms": [3.0, NAN], "requests": 2}, "latency_ms is nan"),
        ({"latency_ms": {"a": 1}}, "latency_ms is {'a': 1}"),
        ({"requests": 2**62}, "requests is 4,611"),
        ({"requests": "2"}, "requests is '2'"),
        ({"errors": {"model": "1"}}, "errors by model is '1'"),
        ({"at": "2026-11-22"}, "'2026-11-22' is no time with a zone"),
        ({"at": datetime(2026, 3, 2)}, "no time with a zone"),  # noqa: DTZ001 - what is refused
        ({"metrics": {"a": "x"}}, "metrics 'a' is 'x'"),
        ({"metrics": {"a": NAN}}, "metrics 'a' is nan"),
        ({"metrics": {"a": 1.2e154}}, "'a' is too large"),
        ({"metrics": {1: 1.0}}, "1 is no name"),
        ({"metrics": [1]}, "metrics"),
    ],
)
def test_what_is_no_number_is_refused_in_the_same_words_everywhere(
    timed: cm.Registry, said: dict[str, Any], words: str
) -> None:
    first, _ = models(timed)
    timed.outcomes.record(first)
    for source in ("", "mine"):
        with pytest.raises(InvalidRequest, match=words):
            timed.outcomes.record(first, **said, source=source)
    (kept_one,) = timed.outcomes.summary(model="fraud").variants
    assert kept_one.requests == 1


def test_numbers_of_arrays_are_numbers(near: cm.Registry) -> None:
    first, _ = models(near)
    near.outcomes.record(first, latency_ms=np.float32(2.0), cost_usd=np.float32(0.5), metrics={"a": np.int64(3)})  # type: ignore[arg-type, dict-item]
    near.outcomes.record(first, requests=2, latency_ms=np.asarray([4.0, 6.0]))  # type: ignore[arg-type]
    (found,) = near.outcomes.summary(model="fraud").variants
    assert (found.requests, found.latency_ms_max, found.cost_usd, found.metrics["a"].mean) == (3, 6.0, 0.5, 3.0)


def test_outcomes_that_do_not_add_up_keep_no_others_from_being_moved(
    near: cm.Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """As catalogs may hold them that were written before such counts were refused."""
    first, second = models(near)
    endpoint = near.endpoints.create("api", {first: 50, second: 50})
    old = (NOW - 50 * HOUR).replace(minute=0, second=0)
    catalog = near._transport._dispatch.catalog
    huge = [structs.replace(window(endpoint.id, first.id, old, 1), requests=2**62)]
    with catalog.writing() as tx:
        tx.outcomes.put("a", huge)
        tx.outcomes.put("b", huge)
        tx.outcomes.put("a", [window(endpoint.id, second.id, old)])
        tx.outcomes.put("a", [window(endpoint.id, first.id, old + HOUR)])
    with catalog.writing() as tx:
        assert fold_a_part(tx, NOW).minutes == 4
    assert caplog.text.count("do not add up") == 1
    assert str(second.id) not in caplog.text
    with catalog.reading() as tx:
        moved = tx.outcome_tiers.list(endpoint.id, "hour", since=old, until=NOW, limit=10)
        assert sorted(each.requests for each in moved) == [10, 10, 2**62]
        assert tx.outcomes.oldest(before=NOW, limit=1) == []

"""What turned out to be true joins the version and variant that answered, however late, doubled or disordered it comes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.access import Actor
from chopmark.domain.endpoints import Endpoint, RouterReport, RoutingMark
from chopmark.domain.feedback import Confused, Feedback
from chopmark.domain.outcomes import ErrorCounts, OutcomeWindow
from chopmark.domain.request_ids import RequestIds
from chopmark.errors import Denied, InvalidRequest, NotFound
from chopmark.ops.endpoints import GetRouting, ReportRouter
from chopmark.ops.outcomes import FoldOutcomes, RecordFeedback
from chopmark.testing.registry import memory_transport
from tests.registries import in_process, over_http

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
_SEQUENCE = count(1)


@pytest.fixture
def clock() -> FakeClock:
    """Stands still at half past a minute."""
    return FakeClock(NOW)


@pytest.fixture(autouse=True)
def _same_time(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chopmark.sdk.outcomes.system_clock", clock)


@pytest.fixture(params=["memory", "sqlite", "http"])
def timed(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """A registry whose time is the clock's; PostgreSQL has one of its own."""
    if request.param == "http":
        with over_http(tmp_path, clock) as opened:
            yield opened
    else:
        with in_process(request.param, request, tmp_path, clock) as opened:
            yield opened


def an_endpoint(registry: cm.Registry) -> Endpoint:
    first, second = (registry.register("fraud", {"n": n}) for n in range(2))
    return registry.endpoints.create("api", {first: 50, second: 50})


def ids(registry: cm.Registry, endpoint: Endpoint, variant: int = 0, at: datetime = NOW) -> Iterator[str]:
    """Ids that a router gives, of requests that are counted."""
    routing = registry._transport.call(GetRouting()).routing
    one = endpoint.variants[variant]
    made = RequestIds(bytes.fromhex(routing.secret), endpoint.id, one.version.id, endpoint.generation, one.name)
    while True:
        yield made.made(int(at.timestamp() * 1_000), next(_SEQUENCE))


def asked(registry: cm.Registry, requests: int, variant: str = "stable", version: str = "fraud:1") -> None:
    registry.outcomes.record(version, requests=requests, endpoint="api", variant=variant)


def labels(registry: cm.Registry, variant: int = 0, **more: Any) -> Any:
    found = registry.outcomes.summary("api", **more).variants
    name = ("stable", "candidate")[variant]
    return next(v.labels for v in found if v.variant in (name, ""))


def test_accuracy_is_of_what_is_known_and_coverage_says_how_much_that_is(timed: cm.Registry) -> None:
    endpoint = an_endpoint(timed)
    asked(timed, 40)
    asked(timed, 10, "candidate", "fraud:2")
    stable, candidate = ids(timed, endpoint), ids(timed, endpoint, 1)
    for label, prediction, times in (
        ("fraud", "fraud", 4),
        ("fine", "fine", 12),
        ("fraud", "fine", 3),
        ("fine", "fraud", 1),
    ):
        for _ in range(times):
            timed.feedback.record(next(stable), label=label, prediction=prediction)
    timed.feedback.record(next(candidate), correct=False, value=-3.5)
    timed.feedback.record(next(candidate), value=1.5)
    found = labels(timed)
    assert (found.labels, found.coverage, found.judged, found.accuracy) == (20, 0.5, 20, 0.8)
    assert found.confusion == (
        Confused("fine", "fine", 12),
        Confused("fraud", "fraud", 4),
        Confused("fraud", "fine", 3),
        Confused("fine", "fraud", 1),
    )
    other = labels(timed, 1)
    assert (other.labels, other.coverage, other.judged, other.accuracy) == (2, 0.2, 1, 0.0)
    assert (other.value_count, other.value_mean, other.value_least, other.value_greatest) == (2, -1.0, -3.5, 1.5)
    by_version = {v.version: v.labels for v in timed.outcomes.summary("api", by="version").variants}
    assert by_version["fraud:1"] == found
    compared = {d.metric: d for d in timed.outcomes.compare("fraud:1", "fraud:2").differences}
    assert (compared["accuracy"].baseline, compared["accuracy"].candidate) == (0.8, 0.0)


def test_of_numbers_errors_are_told_and_no_accuracy(timed: cm.Registry) -> None:
    endpoint = an_endpoint(timed)
    asked(timed, 4)
    stable = ids(timed, endpoint)
    for label, prediction in ((10.5, 12.5), (3, 2), (4.0, 4.0), (8, 8.5)):
        timed.feedback.record(next(stable), label=label, prediction=prediction)
    found = labels(timed)
    assert (found.labels, found.accuracy, found.judged, found.confusion) == (4, None, 0, ())
    assert found.mean_abs_error == pytest.approx((2 + 1 + 0 + 0.5) / 4)
    assert found.root_mean_squared_error == pytest.approx(((4 + 1 + 0 + 0.25) / 4) ** 0.5)
    assert found.mean_error == pytest.approx((2 - 1 + 0 + 0.5) / 4)


@pytest.mark.parametrize("seed", range(4))
def test_late_doubled_and_disordered_labels_come_to_the_same(local: cm.Registry, clock: FakeClock, seed: int) -> None:
    endpoint = an_endpoint(local)
    asked(local, 30)
    made = ids(local, endpoint)
    told = [
        Feedback(
            request_id=request_id,
            label="a",
            prediction="a" if (n % 2 if change == 2 else change) else "b",
            at=NOW + timedelta(seconds=change),
        )
        for n, request_id in zip(range(30), made, strict=False)
        for change in range(3)  # the last truth is that odd ones were right
    ]
    clock.advance(timedelta(hours=1))
    mixed = told + told[::2]
    Random(seed).shuffle(mixed)
    for first in range(0, len(mixed), 7):
        local.feedback.record_batch(mixed[first : first + 7])
    found = labels(local, over="2h")
    assert (found.labels, found.coverage, found.accuracy) == (30, 1.0, 0.5)


def test_coverage_is_of_the_requests_that_were_answered(timed: cm.Registry) -> None:
    endpoint = an_endpoint(timed)
    asked(timed, 10)
    failed = OutcomeWindow(
        endpoint=endpoint.id,
        version=endpoint.variants[0].version.id,
        variant="stable",
        start=NOW.replace(second=0),
        requests=30,
        errors=ErrorCounts(model=10, unreadable=20),
    )
    report = RouterReport(id="r", mark=RoutingMark(), started_at=NOW)
    timed._transport.call(ReportRouter(report=report, outcomes=(failed,)))
    made = ids(timed, endpoint)
    for _ in range(5):
        timed.feedback.record(next(made), correct=True)
    one = timed.outcomes.summary("api").variants[0]
    assert (one.requests, one.success_rate, labels(timed).coverage) == (40, 0.5, 0.5)
    beside = timed.outcomes.compare("fraud:1", "fraud:2").baseline.labels
    assert beside is not None
    assert beside.coverage == 0.5


def test_what_was_found_before_the_answer_or_in_the_future_is_refused(timed: cm.Registry, clock: FakeClock) -> None:
    endpoint = an_endpoint(timed)
    asked(timed, 1)
    request_id = next(ids(timed, endpoint))
    for at, words in ((NOW + timedelta(days=9_999), "in the future"), (NOW - timedelta(days=1), "before the request")):
        with pytest.raises(InvalidRequest, match=words):
            timed.feedback.record(request_id, correct=False, at=at)
    assert labels(timed) is None
    timed.feedback.record(request_id, correct=False, at=NOW + timedelta(minutes=4))
    clock.advance(timedelta(seconds=1))
    timed.feedback.record(request_id, correct=True)
    assert labels(timed).accuracy == 1.0, "a clock that is ahead a little does not win either"


def test_truth_of_the_future_that_a_router_passes_on_counts_as_of_now_and_can_be_corrected(
    local: cm.Registry, clock: FakeClock
) -> None:
    endpoint = an_endpoint(local)
    asked(local, 1)
    request_id = next(ids(local, endpoint))
    ahead = Feedback(request_id=request_id, correct=False, at=NOW + timedelta(days=9_999))
    report = RouterReport(id="r", mark=RoutingMark(), started_at=NOW)
    local._transport.call(ReportRouter(report=report, feedback=(ahead,)))
    clock.advance(timedelta(seconds=1))
    local.feedback.record(request_id, correct=True)
    assert labels(local).accuracy == 1.0


def test_a_batch_says_which_is_refused_however_many_there_are(timed: cm.Registry) -> None:
    made = ids(timed, an_endpoint(timed))
    items = [Feedback(request_id=next(made), correct=True) for _ in range(1_002)]
    items[1_001] = Feedback(request_id="AAAA", correct=True)
    with pytest.raises(InvalidRequest, match="Item 1,002: This is no request id") as caught:
        timed.feedback.record_batch(items)
    assert caught.value.details["item"] == 1_002


@pytest.mark.parametrize(
    ("feedback", "error", "told"),
    [
        ({"label": "a", "request_id": "AAAA"}, InvalidRequest, "no request id"),
        ({"label": "a", "request_id": ""}, InvalidRequest, "no request id"),
        ({}, InvalidRequest, "says nothing"),
        ({"prediction": "a"}, InvalidRequest, "says nothing"),
        ({"value": float("nan")}, InvalidRequest, "not finite"),
        ({"label": float("inf")}, InvalidRequest, "not finite"),
        ({"label": 2**60}, InvalidRequest, "too large"),
        ({"label": "x" * 500}, InvalidRequest, "label"),
        ({"label": "a", "at": datetime(2026, 3, 2)}, InvalidRequest, "no time zone"),  # noqa: DTZ001
    ],
)
def test_feedback_that_cannot_be_meant_is_refused(
    local: cm.Registry, feedback: dict[str, Any], error: type[Exception], told: str
) -> None:
    endpoint = an_endpoint(local)
    asked(local, 1)
    good = next(ids(local, endpoint))
    items = [Feedback(request_id=good, label="a"), Feedback(**{"request_id": good, **feedback})]
    with pytest.raises(error, match=told):
        local._transport.call(RecordFeedback(items=tuple(items)))
    assert labels(local) is None


def test_an_id_of_another_registry_is_none(local: cm.Registry) -> None:
    endpoint = an_endpoint(local)
    one = endpoint.variants[0]
    forged = RequestIds(bytes(32), endpoint.id, one.version.id, endpoint.generation, one.name).made(1, 1)
    with pytest.raises(InvalidRequest, match="no request id"):
        local.feedback.record(forged, label="a")


def test_too_late_is_refused_and_old_labels_are_forgotten(local: cm.Registry, clock: FakeClock) -> None:
    endpoint = an_endpoint(local)
    old = next(ids(local, endpoint, at=NOW - timedelta(days=91)))
    with pytest.raises(InvalidRequest, match="more than 90 days"):
        local.feedback.record(old, label="a")
    local.feedback.record(next(ids(local, endpoint)), label="a")
    clock.advance(timedelta(days=91))
    assert local._transport.call(FoldOutcomes()).labels == 1


def test_what_routers_pass_on_is_kept_and_what_they_cannot_know_is_passed_over(local: cm.Registry) -> None:
    endpoint = an_endpoint(local)
    asked(local, 2)
    good = Feedback(request_id=next(ids(local, endpoint)), label="a", prediction="a", at=NOW)
    bad = Feedback(request_id="AAAA", label="a")
    report = RouterReport(id="r", mark=RoutingMark(), started_at=NOW)
    for _ in range(2):
        local._transport.call(ReportRouter(report=report, feedback=(bad, good)))
    assert (labels(local).labels, labels(local).coverage) == (1, 0.5)


def test_who_may_not_invoke_in_the_project_may_not_say(clock: FakeClock) -> None:
    settings = cm.Settings(actor="root")
    transport = memory_transport(settings, clock=clock)
    root = cm.Registry(transport, settings)
    root.projects.create("risk")
    root.register("risk/fraud", {"n": 1})
    endpoint = root.endpoints.create("risk/api", "risk/fraud:1")
    items = (Feedback(request_id=next(ids(root, endpoint)), label="a"),)

    def say(**grants: frozenset[str]) -> Any:
        return transport.act(RecordFeedback(items=items), Actor("ada", "viewer", grants=grants))

    assert say(risk=frozenset({"read", "invoke"})).taken == 1
    with pytest.raises(Denied, match="'invoke'"):
        say(risk=frozenset({"read"}))
    with pytest.raises(Denied, match="'invoke'"):
        say(risk=frozenset({"read"}), other=frozenset({"read", "invoke"}))
    with pytest.raises(NotFound):
        say(other=frozenset({"read", "invoke"}))
    transport.close()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("what", ["label", "value"])
def test_what_is_no_number_is_refused_in_the_same_words_everywhere(
    timed: cm.Registry, what: str, number: float
) -> None:
    endpoint = an_endpoint(timed)
    said: dict[str, Any] = {"correct": True, what: number}
    with pytest.raises(InvalidRequest, match="A number in feedback is not finite"):
        timed.feedback.record(next(ids(timed, endpoint)), **said)

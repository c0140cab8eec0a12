"""Events sent to a real receiver: signed, in order, tried again, given up, replayed; and nobody held up by another."""

import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.deliveries import ATTEMPTS_MAX, DELAYS_S, Candidate
from chopmark.domain.webhooks import verify
from chopmark.testing.registry import memory_registry
from tests.receivers import Receiver, drips, floods, hangs, in_turn, receiving, resets, says
from tests.workers.couriers import QUICK, Post, forward, wait_for


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def post(receiver: Receiver, clock: FakeClock) -> Iterator[Post]:
    """In memory, with a clock that stands."""
    with memory_registry(actor="ada", clock=clock, **QUICK) as registry:
        yield Post(registry, receiver, clock)


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Of a registry on a database, with its own clock; a receiver that answers late on a busy machine has not failed."""
    found: dict[str, Any] = {"url": tmp_path / "registry", "actor": "ada", **QUICK, "webhook_timeout_s": 20.0}
    if request.param == "postgres":
        found["database_url"] = request.getfixturevalue("postgres_catalog_url")
    return found


@pytest.fixture
def disk(settings: dict[str, Any], receiver: Receiver) -> Iterator[Post]:
    with cm.open(**settings) as registry:
        yield Post(registry, receiver)


def test_what_comes_is_signed_and_is_what_hearers_of_events_hear(post: Post) -> None:
    made = post.webhook()
    version = post.happen()
    post.carry()
    *_, created, registered = post.receiver.at("/")
    assert registered.event["type"] == "chopmark.version.registered"
    assert registered.event["subject"] == version.ref == "fraud:1"
    assert registered.event["specversion"] == "1.0"
    assert registered.event["data"]["event"] == "version.registered"
    assert registered.headers["content-type"].startswith("application/cloudevents+json")
    assert int(registered.event["id"]) == int(created.event["id"]) + 1
    for heard in (created, registered):
        assert verify([made.secret], heard.headers, heard.body, post.clock.now) == heard.id
        assert heard.id == f"msg_{made.webhook.id.hex}_{heard.event['id']}"
    assert set(post.states(made)) == {"delivered"}
    last = post.deliveries(made)[-1]
    assert (last.attempt, last.attempts[0].status, last.id) == (1, 204, registered.id)


def test_what_happened_before_is_not_told(post: Post) -> None:
    post.happen()
    made = post.webhook()
    post.happen()
    post.carry()
    assert [h.event["type"] for h in post.receiver.heard] == ["chopmark.version.registered"]
    assert post.states(made) == ["delivered"]


def test_only_what_is_wanted_is_told(post: Post) -> None:
    post.registry.projects.create("risk")
    post.webhook("/promoted", events=["version.promoted"])
    post.webhook("/versions", events=["version.*"], model="fraud")
    post.webhook("/risk", project="risk")
    post.webhook("/all", project="*")
    version = post.happen()
    post.happen("risk/fraud")
    post.happen("other")
    post.registry.promote(version, "staging", reason="r")
    post.registry.access.set_member("bob", "viewer", project="risk")
    post.registry.access.set_member("eve", "viewer", project="*")
    post.carry()

    def told(path: str) -> list[str]:
        return [f"{h.event['type'].removeprefix('chopmark.')} {h.event['subject']}" for h in post.receiver.at(path)]

    assert told("/promoted") == ["version.promoted fraud:1"]
    assert told("/versions") == ["version.registered fraud:1", "version.promoted fraud:1"]
    assert told("/risk") == ["model.created risk/fraud", "version.registered risk/fraud:1", "member.set risk"]
    everything = told("/all")
    assert {"member.set *", "member.set risk", "version.registered other:1", "model.created fraud"} <= set(everything)


def test_a_link_into_another_project_is_not_told(post: Post) -> None:
    post.registry.projects.create("risk")
    post.happen("risk/fraud")
    post.happen()
    post.webhook("/risk", project="risk")
    post.registry.lineage.link("risk/fraud:1", "derived_from", "fraud:1", reason="r")
    post.happen("risk/fraud")
    post.carry()
    assert [h.event["type"] for h in post.receiver.at("/risk")] == ["chopmark.version.registered"]


def test_retries_follow_the_schedule_and_end_dead(post: Post, clock: FakeClock) -> None:
    post.receiver.behaves["/"] = says(500, b"out of order")
    made = post.webhook(events=["version.*"])
    post.happen()
    courier = post.carry()
    waited: list[float] = []
    for _ in DELAYS_S:
        (delivery,) = post.deliveries(made)
        assert delivery.state == "failed"
        assert delivery.due_at is not None
        waited.append((delivery.due_at - clock.now).total_seconds())
        forward(clock, waited[-1] - 1)
        post.carry(courier)
        assert len(post.receiver.heard) == delivery.attempt, "it came too early"
        forward(clock, 301)  # beyond any hold
        post.carry(courier)
    (dead,) = post.deliveries(made)
    assert (dead.state, dead.attempt, len(dead.attempts)) == ("dead", ATTEMPTS_MAX, ATTEMPTS_MAX)
    assert all(0.9 * delay <= wait <= delay for wait, delay in zip(waited, DELAYS_S, strict=True))
    assert {a.status for a in dead.attempts} == {500}
    assert dead.attempts[0].body == "out of order"
    assert set(post.receiver.ids()) == {dead.id}
    assert len({h.body for h in post.receiver.heard}) == 1
    assert len({h.headers["webhook-signature"] for h in post.receiver.heard}) == ATTEMPTS_MAX, "by the time of each"
    forward(clock, 90_000)
    post.carry(courier)
    assert len(post.receiver.heard) == ATTEMPTS_MAX
    post.receiver.behaves["/"] = says(200)
    post.registry.webhooks.replay(dead, reason="mended")
    post.carry(courier)
    (replayed,) = post.deliveries(made)
    assert (replayed.state, replayed.attempt, len(replayed.attempts)) == ("delivered", 1, ATTEMPTS_MAX + 1)
    assert post.receiver.ids() == [dead.id] * (ATTEMPTS_MAX + 1)


def test_a_wish_to_be_left_alone_is_heeded_within_bounds(post: Post, clock: FakeClock) -> None:
    post.receiver.behaves["/"] = in_turn(says(429, retry_after="120"), says(503, retry_after="99999999"), says(200))
    made = post.webhook(events=["version.*"])
    post.happen()
    courier = post.carry()
    assert post.deliveries(made)[0].due_at == clock.now + timedelta(seconds=120)
    assert post.now(made).held_until == clock.now + timedelta(seconds=120)
    post.happen()
    post.carry(courier)
    assert len(post.receiver.heard) == 1, "it asked to be left alone"
    forward(clock, 120)
    post.carry(courier)
    first, second = post.deliveries(made)
    assert {first.state, second.state} == {"failed", "queued"}
    late = max(d.due_at for d in (first, second) if d.due_at)
    assert late == clock.now + timedelta(hours=6)
    assert post.now(made).held_until == clock.now + timedelta(minutes=5)


def test_gone_disables(post: Post, clock: FakeClock) -> None:
    post.receiver.behaves["/"] = says(410)
    made = post.webhook(events=["version.*"])
    post.happen()
    post.happen()
    courier = post.carry()
    now = post.now(made)
    assert (now.state, "410" in now.why) == ("disabled", True)
    assert post.states(made) == ["dead", "queued"]
    assert len(post.receiver.heard) == 1
    (event,) = post.registry.audit.list(event="webhook.updated")
    assert (event.actor, event.data["after"]["state"]) == ("chopmark:delivery", "disabled")
    post.happen()
    forward(clock, 1_000)
    post.carry(courier)
    assert len(post.deliveries(made)) == 2, "who is disabled hears nothing"
    post.receiver.behaves["/"] = says(200)
    post.registry.webhooks.resume(made.webhook)
    post.carry(courier)
    assert post.states(made) == ["dead", "delivered"]


def test_what_happens_in_a_pause_is_kept(post: Post) -> None:
    made = post.webhook(events=["version.*"])
    post.registry.webhooks.pause(made.webhook, reason="moving")
    versions = [post.happen() for _ in range(3)]
    courier = post.carry()
    assert post.receiver.heard == []
    assert post.now(made).why == "moving"
    post.registry.webhooks.resume(made.webhook)
    post.carry(courier)
    assert [h.event["subject"] for h in post.receiver.heard] == [v.ref for v in versions]


@pytest.mark.parametrize(
    "behaviour",
    [hangs(), drips(), drips(b"HTTP/1.1 200 OK\r\nx: "), resets, says(302, location="http://127.0.0.1:1/")],
    ids=["hangs", "drips", "drips headers", "resets", "redirects"],
)
def test_one_that_fails_holds_up_none_behind_it(post: Post, clock: FakeClock, behaviour: Any) -> None:
    """The second event is told although the first is not; the first comes later, with the id it had."""
    post.receiver.behaves["/"] = in_turn(behaviour, says(200))
    made = post.webhook(events=["version.*"])
    post.happen()
    post.happen()
    courier = post.carry()
    assert post.states(made) == ["failed", "delivered"]
    forward(clock, 10)
    post.carry(courier)
    assert post.states(made) == ["delivered", "delivered"]
    first, second, again = post.receiver.seqs()
    assert first == again < second


def test_a_flood_is_an_answer(post: Post) -> None:
    post.receiver.behaves["/"] = floods(1_000_000_000)
    made = post.webhook(events=["version.*"])
    post.happen()
    post.carry()
    (delivery,) = post.deliveries(made)
    assert (delivery.state, len(delivery.attempts[0].body)) == ("delivered", 1_024)


@pytest.mark.slow
def test_an_outage_of_hours_costs_few_deliveries_their_attempts(post: Post, clock: FakeClock) -> None:
    """While the receiver fails, the webhook is held; when it is back, all that waited comes."""
    post.receiver.behaves["/"] = says(500)
    made = post.webhook(events=["version.*"])
    for _ in range(200):
        post.happen()
    courier = post.courier()
    for _ in range(8 * 60):
        post.carry(courier)
        forward(clock, 60)
    attempts = len(post.receiver.heard)
    assert attempts < 110, "it was held five minutes at a time"
    assert set(post.states(made)) <= {"queued", "failed"}
    assert post.now(made).failures == attempts
    post.receiver.behaves["/"] = says(200)
    for _ in range(10 * 60):
        post.carry(courier)
        forward(clock, 60)
    assert set(post.states(made)) == {"delivered"}
    assert post.now(made).failures == 0


def test_a_clock_that_is_set_back_stops_nothing(post: Post, clock: FakeClock) -> None:
    post.receiver.behaves["/"] = in_turn(says(500), says(500), says(500), says(200))
    made = post.webhook(events=["version.*"])
    for _ in range(4):
        post.happen()
    courier = post.carry()
    assert post.now(made).held_until is not None
    forward(clock, -86_400)
    post.happen()
    post.carry(courier)
    states = Counter(post.states(made))
    assert states["delivered"] == 2, states
    assert post.receiver.seqs() == sorted(post.receiver.seqs())
    forward(clock, 86_400 + 600)
    post.carry(courier)
    assert set(post.states(made)) == {"delivered"}


def test_both_secrets_sign_while_one_is_replaced(post: Post, clock: FakeClock) -> None:
    made = post.webhook(events=["version.*"])
    new = post.registry.webhooks.rotate(made.webhook, grace_hours=1)
    post.happen()
    courier = post.carry()
    (heard,) = post.receiver.heard
    assert len(heard.headers["webhook-signature"].split()) == 2
    for secret in (made.secret, new.secret):
        verify([secret], heard.headers, heard.body, clock.now)
    forward(clock, 3_600)
    post.happen()
    post.carry(courier)
    late = post.receiver.heard[-1]
    verify([new.secret], late.headers, late.body, clock.now)
    with pytest.raises(cm.errors.Denied):
        verify([made.secret], late.headers, late.body, clock.now)


def test_a_test_says_what_came_back(post: Post) -> None:
    post.receiver.behaves["/"] = says(202, b"got it")
    made = post.webhook(events=["version.*"])
    tried = post.registry.webhooks.test(made.webhook, reason="new")
    assert (tried.delivered, tried.attempt.status, tried.attempt.body) == (True, 202, "got it")
    (heard,) = post.receiver.heard
    assert heard.event["type"] == "chopmark.test"
    assert heard.id == tried.id
    verify([made.secret], heard.headers, heard.body, post.clock.now)
    post.receiver.behaves["/"] = says(500, b"no")
    tried = post.registry.webhooks.test(made.webhook)
    assert (tried.delivered, tried.attempt.status, tried.attempt.body) == (False, 500, "no")
    assert list(post.registry.webhooks.deliveries(made.webhook)) == []
    assert [e.data["delivered"] for e in post.registry.audit.list(event="webhook.tested")] == [True, False]
    rehearsed = post.registry.dry_run().webhooks.test(made.webhook)
    assert (rehearsed.id, rehearsed.delivered) == ("", False)
    assert len(post.receiver.heard) == 2


def test_what_a_receiver_repeats_of_our_secrets_is_not_kept(post: Post) -> None:
    made = post.webhook(events=["version.*"])
    post.receiver.behaves["/"] = says(500, f"bad secret {made.secret} \0".encode())
    post.happen()
    post.carry()
    tried = post.registry.webhooks.test(made.webhook)
    kept = f"{post.deliveries(made)} {tried.attempt} {post.deliveries(made)[0].attempts}"
    assert "bad secret …" in kept
    assert made.secret not in kept


# Loops, on databases


def test_an_event_is_told_at_once(disk: Post) -> None:
    made = disk.webhook(events=["version.*"])
    with disk.carrying(worker_poll_s=30.0):
        time.sleep(0.3)
        began_s = time.monotonic()
        disk.happen()
        wait_for(lambda: len(disk.receiver.heard) == 1, 60)
        assert time.monotonic() - began_s < 2, "it waited for the next look"
        wait_for(lambda: disk.states(made) == ["delivered"])
    with disk.transport.catalog.reading() as tx:
        assert tx.outbox.pending(limit=9) == []


@pytest.mark.slow
def test_receivers_that_hang_hold_up_nobody_else(settings: dict[str, Any], receiver: Receiver) -> None:
    with cm.open(**{**settings, "webhook_timeout_s": 4.0}) as registry:
        _hang_six_of_seven(Post(registry, receiver))


def _hang_six_of_seven(disk: Post) -> None:
    disk.receiver.behaves["/bad"] = hangs()
    bad = [disk.webhook("/bad", events=["version.*"]) for _ in range(6)]
    good = disk.webhook("/good", events=["version.*"])
    with disk.carrying(webhook_at_once=4):
        for _ in range(5):
            disk.happen()
        wait_for(lambda: all(disk.now(each).failures for each in bad), 60)
        for _ in range(8):
            began_s = time.monotonic()
            count = len(disk.receiver.at("/good"))
            disk.happen()
            wait_for(lambda count=count: len(disk.receiver.at("/good")) > count)  # type: ignore[misc]
            assert time.monotonic() - began_s < 3.5, "a time limit of the others passed first"
        wait_for(lambda: disk.states(good) == ["delivered"] * 13)
    assert disk.receiver.seqs("/good") == sorted(set(disk.receiver.seqs("/good")))


def test_several_workers_tell_each_event_once_and_in_order(disk: Post) -> None:
    webhooks = [disk.webhook(f"/{n}", events=["version.*"]) for n in range(3)]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with disk.carrying():
                wait_for(lambda: all(len(disk.receiver.at(f"/{n}")) >= 60 for n in range(3)), 60)
                time.sleep(0.3)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(60):
        disk.happen(f"model-{n % 4}")
    for thread in threads:
        thread.join(90)
    assert errors == []
    for n, webhook in enumerate(webhooks):
        seqs = disk.receiver.seqs(f"/{n}")
        assert Counter(seqs).most_common(1)[0][1] == 1, [
            str(d) for d in disk.deliveries(webhook) if len(d.attempts) > 1
        ]
        assert len(seqs) == 60, "some came twice, or not at all"
        assert seqs == sorted(seqs)
        assert disk.states(webhook) == ["delivered"] * 60


def test_a_webhook_that_is_lost_to_another_worker_is_left_to_it(disk: Post) -> None:
    """A worker that stood still for longer than its lease notes nothing of what it sent."""
    made = disk.webhook(events=["version.*"])
    disk.happen()
    stolen: list[bool] = []

    def steal(connection: Any, heard: Any) -> None:
        with disk.transport.catalog.writing() as tx:
            (row,) = [w for w in tx.webhooks.list(limit=9) if w.id == made.webhook.id]
            stolen.append(tx.webhooks.claim(Candidate(row.id, 0, 1), "other", row.created_at))
        says(200)(connection, heard)

    disk.receiver.behaves["/"] = in_turn(steal, says(200))
    disk.carry()
    assert stolen == [True]
    assert len(set(disk.receiver.ids())) == 1
    assert len(disk.receiver.ids()) == 2, "what was sent under a lost lease is sent again, with the same id"
    assert disk.states(made) == ["delivered"]


@pytest.mark.slow
def test_ten_thousand_events_behind(receiver: Receiver, tmp_path: Path) -> None:
    """Handed over in parts, sent in order, each once; what is held in memory does not grow with what waits."""
    with cm.open(tmp_path / "registry", actor="ada", **QUICK) as registry:
        disk = Post(registry, receiver)
        made = disk.webhook(events=["version.*"])
        disk.happen()
        with disk.transport.catalog.writing() as tx:
            (first,) = [row.event for row in tx.outbox.pending(limit=9) if row.event.event == "version.registered"]
            for n in range(10_000):
                tx.outbox.add(tx.audit.append(structs.replace(first, id=UUID(int=n + 1), data={"n": n})))
        tracemalloc.start()
        courier = disk.courier()
        while courier.turn() == 0.0:
            pass
        wait_for(lambda: len(receiver.heard) > 300, 60)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        courier._stop.set()
        courier._wait()
        assert peak_bytes < 40_000_000
        seqs = receiver.seqs()
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "in order, none twice, none left out"
        assert len(registry.webhooks.deliveries(made.webhook, state="queued", limit=1_000)) == 1_000

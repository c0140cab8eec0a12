"""Simulated schedules: repeated by their seeds, clean over the product, and able to find what is broken."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest

from chopmark.app import collection, registration
from chopmark.base.digest import digest_of
from chopmark.domain.manifest import FileEntry
from chopmark.errors import Unavailable
from chopmark.ops.requests import RegisterVersion
from chopmark.sdk import draft
from faults import simulation
from faults.options import Options
from faults.simulated_catalog import SimulatedCatalog
from faults.simulated_objects import Bucket, Objects, Weather
from faults.simulated_turns import Deadlock, Threads, Turns
from faults.simulation import simulating

HOME = Path(__file__).resolve().parents[2]


def rows_before_bytes() -> AbstractContextManager[object]:
    """A registration that writes rows first, and a check of the bytes that is left out."""

    def registered(self: draft.Draft) -> object:
        entries = [FileEntry(s.path, s.role, s.size_bytes, digest_of(Path(s.file).read_bytes())) for s in self._sources]
        answer = self._transport.call(self._request(RegisterVersion, entries))
        self._stored(consume=False)
        return answer

    stack = ExitStack()
    stack.enter_context(patch.object(registration, "_check_blobs", lambda *_: None))
    stack.enter_context(patch.object(draft.Draft, "_registered", registered))
    return stack


def generation_ignored() -> AbstractContextManager[object]:
    """A registration that does not ask whether a collection has come between."""
    return patch.object(registration, "_hold_bytes", lambda *_: None)


def grace_ignored() -> AbstractContextManager[object]:
    """A collection that takes bytes however young they are."""
    real = collection.limits_of
    return patch.object(collection, "limits_of", lambda request, at: real(request, at)._replace(put_before=at.began_at))


def rows_not_asked_again() -> AbstractContextManager[object]:
    """A collection that deletes what it once found, without a second look under the lock."""

    def free(going: collection._Going) -> list[object]:
        return [item for item in going.items if going.ctx.store.delete(item.what)]

    return patch.dict(collection._FREE, {"blobs": free})


def acknowledged_and_not_committed() -> AbstractContextManager[object]:
    """A catalog that now and then says yes and keeps nothing."""
    real = SimulatedCatalog._writing

    @contextmanager
    def writing(self: SimulatedCatalog) -> Iterator[object]:
        state = self.inner._state
        with real(self) as tx:
            yield tx
        if self._turns.current is not None and self._rng.random() < 0.1:
            self.inner._state = state
            self.commits.pop()

    return patch.object(SimulatedCatalog, "_writing", writing)


BROKEN: dict[Callable[[], AbstractContextManager[object]], tuple[int, str]] = {
    rows_before_bytes: (800, "not there"),
    generation_ignored: (600, "not there"),
    grace_ignored: (600, "and the grace is"),
    rows_not_asked_again: (1200, "not there"),
    acknowledged_and_not_committed: (100, "never committed|is lost"),
}


@pytest.mark.parametrize("variant", BROKEN, ids=lambda variant: variant.__name__)
def test_what_is_broken_on_purpose_is_found(variant: Callable[[], AbstractContextManager[object]]) -> None:
    most, told = BROKEN[variant]
    with simulating() as simulator, variant():
        for seed in range(most):
            found = simulator.schedule(seed)
            if any(part in text for text in found for part in told.split("|")):
                return
    pytest.fail(f"{most} schedules found nothing")


def test_the_same_seed_is_the_same_schedule() -> None:
    with simulating() as simulator:
        for seed in (3, 4, 5, 11):
            told: list[list[str]] = [[], []]
            found = [simulator.schedule(seed, told=lines.append) for lines in told]
            assert told[0] == told[1]
            assert found[0] == found[1]
            assert len(told[0]) > 30


def test_a_schedule_is_run_again_in_another_process() -> None:
    command = [sys.executable, "-m", "faults.simulation", "--replay", "5"]
    runs = [
        subprocess.run(
            command, cwd=HOME, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert "begins a transaction" in runs[0]
    assert runs[0].endswith("nothing was broken\n")


def test_the_product_keeps_its_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "SCHEDULES_SHORT", 60)
    monkeypatch.chdir(HOME)
    options = Options(seed=1, short=True, kills=1, versions=1, scratch=tmp_path, keep=tmp_path / "kept")
    (outcome,) = simulation.run(options)
    assert list(outcome.findings) == []
    assert outcome.rounds == 60
    assert all(outcome.figures[what] for what in ("acknowledged", "refused", "unknown", "killed", "blobs_collected"))


def test_a_finding_names_the_seed_that_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = '{"found": [[7, "a:1 is lost"]], "counts": {"steps": 3}}'
    monkeypatch.setattr(
        simulation,
        "_worker",
        lambda *_: subprocess.Popen(
            [sys.executable, "-c", f"print({answer!r})"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ),
    )
    options = Options(seed=1, short=True, kills=1, versions=1, scratch=tmp_path, keep=tmp_path / "kept")
    (outcome,) = simulation.run(options)
    assert outcome.findings[0] == "seed 7: a:1 is lost\n  python -m faults.simulation --replay 7"


@pytest.fixture
def threads() -> Iterator[Threads]:
    found = Threads()
    yield found
    found.close()


def test_clients_that_wait_for_each_other_are_a_deadlock(threads: Threads) -> None:
    turns = Turns(Random(1), threads, stay=0.5)
    done: list[str] = []

    def wait_for(other: str, own: str) -> None:
        turns.wait_until(lambda: other in done, "waits")
        done.append(own)

    turns.add("a", "a", lambda: wait_for("b", "a"))
    turns.add("b", "b", lambda: wait_for("a", "b"))
    with pytest.raises(Deadlock, match="waits for another"):
        turns.run()
    assert done == []


def test_whoever_is_killed_does_nothing_more_and_others_go_on(threads: Threads) -> None:
    turns = Turns(Random(1), threads, stay=0.0)
    done: list[str] = []

    def work(name: str) -> None:
        try:
            for n in range(5):
                turns.point(f"{name}{n}")
                if name == "a" and n == 2:
                    turns.kill()
                done.append(f"{name}{n}")
        finally:
            turns.point("too late")
            done.append(f"{name} cleaned up")

    turns.add("a", "a", lambda: work("a"))
    turns.add("b", "b", lambda: work("b"))
    turns.run()
    assert [d for d in done if d.startswith("a")] == ["a0", "a1"]
    assert [d for d in done if d.startswith("b")] == ["b0", "b1", "b2", "b3", "b4", "b cleaned up"]


def test_one_client_runs_at_a_time(threads: Threads) -> None:
    turns = Turns(Random(1), threads, stay=0.2)
    running: list[int] = []

    def work() -> None:
        for _ in range(50):
            running.append(threading.get_ident())
            assert len(running) == 1
            running.pop()
            turns.point("")

    for n in range(4):
        turns.add(str(n), str(n), work)
    turns.run()


def objects_in(weather: Weather, turns: Turns) -> tuple[Bucket, Objects]:
    bucket = Bucket()
    return bucket, Objects(bucket, "p", turns, Random(1), weather)


def in_a_schedule(
    threads: Threads, weather: Weather, ask: Callable[[Objects], object]
) -> tuple[Bucket, list[BaseException]]:
    """Ask a simulated store as a client, with what then goes wrong."""
    turns = Turns(Random(1), threads, stay=0.5)
    bucket, objects = objects_in(weather, turns)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            ask(objects)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            errors.append(error)

    turns.add("a", "a", work)
    turns.run()
    return bucket, errors


@pytest.mark.parametrize(
    ("weather", "stored", "fails"),
    [
        (Weather(), {"p/blobs/x": b"data"}, ""),
        (Weather(refused=1), {}, "GenericError"),
        (Weather(answer_lost=1), {"p/blobs/x": b"data"}, "GenericError"),
        (Weather(doubled=1), {"p/blobs/x": b"data"}, "AlreadyExistsError"),
        (Weather(torn=1), {"p/blobs/x": b""}, "GenericError"),
    ],
    ids=["fine", "refused", "answer lost", "doubled", "torn"],
)
def test_faults_of_a_request(threads: Threads, weather: Weather, stored: dict[str, bytes], fails: str) -> None:
    bucket, errors = in_a_schedule(threads, weather, lambda o: o.put("blobs/x", b"data", mode="create"))
    assert {key: b"data".startswith(each.data) for key, each in bucket.objects.items()} == dict.fromkeys(stored, True)
    if not weather.torn:
        assert {key: each.data for key, each in bucket.objects.items()} == stored
    assert [type(e).__name__ for e in errors] == ([fails] if fails else [])


def test_a_listing_may_be_behind(threads: Threads) -> None:
    listed: list[set[str]] = []

    def ask(objects: Objects) -> None:
        objects.put("old", b"1")
        for n in range(40):
            objects.head("old")
            if n == 38:
                objects.put("new", b"2")
        listed.extend({each["path"] for page in objects.list() for each in page} for _ in range(20))

    bucket, errors = in_a_schedule(threads, Weather(stale_listing=0.5, stale_points=20), ask)
    assert errors == []
    assert bucket.served_stale
    assert {"old"} in listed
    assert {"old", "new"} in listed


def test_a_commit_may_be_done_though_its_answer_is_lost() -> None:
    with simulating() as simulator:
        simulator.schedule(0)
        world = simulator.the_world()
        world.database_weather.answer_lost = 1.0
        seen: list[BaseException] = []

        def write() -> None:
            try:
                with world.catalog("other").writing() as tx:
                    tx.collection.open()
            except Unavailable as error:
                seen.append(error)

        world.turns.add("w", "w", write)
        world.turns.run()
        assert len(seen) == 1
        with world.catalog("other").reading() as tx:
            assert tx.collection.generation() == 1


def test_what_is_on_its_way_arrives_although_its_client_gave_up(threads: Threads) -> None:
    seen: list[set[str]] = []

    def ask(objects: Objects) -> None:
        try:
            objects.put("x", b"1")
        finally:
            seen.append(set(objects._bucket.objects))

    bucket, errors = in_a_schedule(threads, Weather(late=1), ask)
    assert [type(error).__name__ for error in errors] == ["GenericError"]
    assert seen == [set()]
    assert set(bucket.objects) == {"p/x"}


def test_an_upload_that_was_cut_off_and_repeated_by_the_client_finds_its_name_taken(threads: Threads) -> None:
    _, errors = in_a_schedule(
        threads, Weather(torn=1, torn_repeated=1), lambda o: o.put("blobs/x", b"data", mode="create")
    )
    assert [type(error).__name__ for error in errors] == ["AlreadyExistsError"]

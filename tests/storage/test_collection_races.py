"""Collections against registrations, kills, full disks and stores that do not answer: nothing that is used is lost."""

import io
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.app import collection
from chopmark.app.context import Outside
from chopmark.app.dispatch import Dispatch, Handler
from chopmark.blobs.local import LocalStore
from chopmark.catalog import upgrade_catalog
from chopmark.domain.access import Actor
from chopmark.errors import IntegrityFailure, Unavailable
from chopmark.ops.requests import RegisterVersion, Request
from chopmark.ops.storage import CollectStorage

AT_ONCE: dict[str, Any] = {"gc_grace_hours": 0, "purge_after_days": 0, "actor": "ada"}
CONTENTS = 3
ROUNDS = 25

REGISTRAR = """
import sys
import chopmark as cm
place, name, rounds, contents = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with cm.open(place, gc_grace_hours=0, purge_after_days=0, actor=name) as registry:
    for n in range(rounds):
        version = registry.register(name, {"t": n % contents}, allow_twin=True)
        assert registry.files.verify(version).ok
        if n % 2:
            registry.versions.delete(version)  # the collection purges it
print("done")
"""

COLLECTOR = """
import sys
import chopmark as cm
with cm.open(sys.argv[1], gc_grace_hours=0, purge_after_days=0, actor="gc") as registry:
    print("open", flush=True)
    freed = 0
    while not sys.stdin.closed and not __import__("select").select([sys.stdin], [], [], 0)[0]:
        freed += sum(registry.storage.collect().counts.values())
    print(freed)
"""


def live_and_register(registry: cm.Registry, name: str, problems: list[BaseException]) -> None:
    """Register, verify and delete versions of a few contents, over and over."""
    try:
        for n in range(ROUNDS):
            version = registry.register(name, {"t": n % CONTENTS}, allow_twin=True)
            assert registry.files.verify(version).ok
            if n % 2:
                registry.versions.delete(version)  # the collection purges it
    except BaseException as problem:  # noqa: BLE001 - told by the test's thread
        problems.append(problem)


def assert_whole(registry: cm.Registry) -> None:
    versions = list(registry.versions.each())
    assert versions
    assert all(registry.files.verify(v).ok for v in versions)
    assert registry.storage.check().ok


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_threads_register_what_a_collection_frees(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = dict(AT_ONCE)
    if backend == "postgres":
        settings["database_url"] = request.getfixturevalue("postgres_url")
        upgrade_catalog(settings["database_url"])
    with cm.open(tmp_path / "registry", **settings) as registry:
        problems: list[BaseException] = []
        threads = [threading.Thread(target=live_and_register, args=(registry, f"m{n}", problems)) for n in range(3)]
        for thread in threads:
            thread.start()
        freed = 0
        while any(thread.is_alive() for thread in threads):
            freed += registry.storage.collect().counts.get("blob", 0)
        for thread in threads:
            thread.join()
        assert problems == []
        assert_whole(registry)
        registry.storage.collect()
        assert list(registry.storage.garbage()) == []


def test_processes_register_what_another_one_frees(tmp_path: Path) -> None:
    place = str(tmp_path / "registry")
    with cm.open(place, **AT_ONCE) as registry:
        registry.register("first", {"t": 0})
    collector = subprocess.Popen(
        [sys.executable, "-c", COLLECTOR, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert collector.stdout is not None
    assert collector.stdout.readline() == "open\n"
    command = [sys.executable, "-c", REGISTRAR, place, "m", str(ROUNDS), str(CONTENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    told, _ = collector.communicate("stop\n", timeout=60)
    assert done.stdout == "done\n", done.stderr
    assert int(told) > 0
    with cm.open(place, **AT_ONCE) as registry:
        assert_whole(registry)


KILLED = """
import os, signal, sys
import chopmark as cm
from chopmark.app import collection
from chopmark.app import collection
from chopmark.app.context import Outside
from chopmark.app.dispatch import Dispatch, Handler
from chopmark.blobs.local import LocalStore
from chopmark.catalog.collection import SqlCollection
from chopmark.catalog.sqlite import Journal
from chopmark.catalog.versions import SqlVersions
home, name, turn, when = sys.argv[2:]
cls = {"journal": Journal, "store": LocalStore, "collection": SqlCollection, "versions": SqlVersions}[home]
count = 0
original = getattr(cls, name)
def deadly(*arguments, **named):
    global count
    count += 1
    if count == int(turn) and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = original(*arguments, **named)
    if count == int(turn):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
collection.DELETING_THREADS = 1
registry = cm.open(sys.argv[1], gc_grace_hours=0, purge_after_days=0, actor="gc")
setattr(cls, name, deadly)
registry.storage.collect()
print(count)
"""

STEPS = [
    *[("journal", "commit", n, when) for n in range(1, 7) for when in ("before", "after")],
    *[("store", "delete", n, when) for n in (1, 2) for when in ("before", "after")],
    ("collection", "open", 1, "after"),
    ("collection", "lock", 1, "after"),
    ("collection", "close", 1, "before"),
    ("collection", "remove_manifests", 1, "after"),
    ("versions", "purge", 1, "after"),
]


QUICK = {("journal", "commit", 1, "before"), ("journal", "commit", 3, "after"), ("store", "delete", 1, "after")}


@pytest.mark.parametrize(
    ("home", "name", "turn", "when"),
    [pytest.param(*step, marks=() if step in QUICK else pytest.mark.slow) for step in STEPS],
)
def test_a_killed_collection_loses_nothing_and_the_next_one_ends_it(
    tmp_path: Path, home: str, name: str, turn: int, when: str
) -> None:
    place = tmp_path / "registry"
    with cm.open(place, **AT_ONCE) as registry:
        for n in range(4):
            registry.register("fraud", {"t": n}, artifacts={"other/x": b"shared"})
        for n in (1, 2):
            registry.versions.delete(f"fraud:{n}")
        registry.models.update("fraud", retention=cm.Retention(newest=1))
    arguments = [str(place), home, name, str(turn), when]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, f"it never came to that: {done.stdout}{done.stderr}"
    with cm.open(place, **AT_ONCE) as registry:
        assert_whole(registry)
        again = registry.register("again", {"t": 0})
        assert registry.load(again) == {"t": 0}
        registry.storage.collect()
        assert_whole(registry)
        assert registry.load(again) == {"t": 0}
        registry.storage.collect()  # what the retention of the one before has deleted
        assert list(registry.storage.garbage()) == []
        assert {v.ref for v in registry.search()} == {"fraud:4", "again:1"}


def garbage_in(registry: cm.Registry) -> str:
    return registry._transport.store.put(io.BytesIO(b"garbage")).digest


@pytest.mark.parametrize(
    "failure",
    [Unavailable("The store does not answer."), OSError(28, "No space left on device")],
    ids=["store", "disk"],
)
def test_a_collection_that_fails_midway_harms_nobody(
    tmp_path: Path, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cm.open(tmp_path / "registry", **AT_ONCE) as registry:
        registry.register("fraud", {"t": 1})
        digest = garbage_in(registry)
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "delete", _raises(failure))
            with pytest.raises(type(failure)):
                registry.storage.collect()
        assert registry.load(registry.register("other", {"t": 2})) == {"t": 2}
        assert registry.storage.collect().counts == {"blob": 1}
        assert registry._transport.store.stat(digest) is None
        assert_whole(registry)


def _raises(failure: Exception) -> Callable[..., bool]:
    def delete(*_: object) -> bool:
        raise failure

    return delete


def test_bytes_taken_before_the_version_is_stored_are_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cm.open(tmp_path / "registry", **AT_ONCE) as registry:
        store = registry._transport.store
        call = registry._transport.call
        taken: list[str] = []

        def call_after_a_collection(request: object, **options: object) -> object:
            if type(request).__name__ == "RegisterVersion" and len(taken) < 2:
                taken.extend(i.what for i in registry.storage.garbage() if i.kind == "blob")
                registry.storage.collect()
            return call(request, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(registry._transport, "call", call_after_a_collection)
        version = registry.register("fraud", {"t": 1})
        assert len(taken) == 2, "twice, and it was stored a third time"
        assert registry.load(version) == {"t": 1}
        assert store.stat(taken[0]) is not None


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[cm.Registry]:
    settings = dict(AT_ONCE)
    if request.param == "postgres":
        settings["database_url"] = request.getfixturevalue("postgres_url")
        upgrade_catalog(settings["database_url"])
    with cm.open(tmp_path / "registry", **settings) as opened:
        yield opened


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_bytes_that_go_between_the_question_and_the_transaction_are_missed(
    registry: cm.Registry, monkeypatch: pytest.MonkeyPatch, is_cut_off: bool
) -> None:
    """A collection runs, or is killed, after the registration found all its bytes and before it begins to write."""
    catalog = registry._transport._dispatch.catalog
    prepared = Dispatch._prepared
    if is_cut_off:  # one that was open before, and deletes its first blob now
        with catalog.writing() as tx:
            tx.collection.open()

    def then_collect(self: Dispatch, handler: Handler, request: Request, actor: Actor, **options: bool) -> object:
        answer = prepared(self, handler, request, actor, **options)
        if isinstance(request, RegisterVersion):
            monkeypatch.setattr(Dispatch, "_prepared", prepared)
            if is_cut_off:
                registry._transport.store.delete(request.manifest.files[0].digest)
            else:
                assert registry.storage.collect().counts == {"blob": 1}
        return answer

    draft = registry.draft("fraud")
    draft.add_model({"t": 1})
    request = draft._request(RegisterVersion, draft._stored(consume=False))
    monkeypatch.setattr(Dispatch, "_prepared", then_collect)
    with pytest.raises(IntegrityFailure, match="is missing") as caught:
        registry._transport.call(request)
    assert caught.value.details["missing"]
    assert len(registry.search()) == 0


def test_a_registration_that_holds_keeps_its_bytes_from_a_collection_that_waits(
    registry: cm.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collection found the blob unused; when its turn comes the version is there."""
    draft = registry.draft("fraud")
    draft.add_model({"t": 1})
    request = draft._request(RegisterVersion, draft._stored(consume=False))
    look = collection.look

    def then_register(outside: Outside, wanted: CollectStorage) -> object:
        step = look(outside, wanted)
        if step.at.phase == "blobs" and step.found.items:
            monkeypatch.setitem(registry._transport._dispatch.handlers, "storage.collect", original)
            registry._transport.call(request)
        return step

    original = registry._transport._dispatch.handlers["storage.collect"]
    monkeypatch.setitem(
        registry._transport._dispatch.handlers, "storage.collect", original._replace(before=then_register)
    )
    assert registry.storage.collect().counts == {}
    assert registry.load("fraud") == {"t": 1}


def test_two_collections_share_the_work(registry: cm.Registry) -> None:
    for n in range(200):
        registry._transport.store.put(io.BytesIO(b"%d" % n))
    registry.register("fraud", {"t": 1})
    counts: list[int] = []

    def run() -> None:
        counts.append(registry.storage.collect().counts.get("blob", 0))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 3
    assert sum(counts) == 200
    assert_whole(registry)

"""The kill harness finds nothing in what is whole, and what was broken on purpose."""

import io
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from chopmark import wiring
from chopmark.app import collection, garbage
from chopmark.base.digest import digest_of
from chopmark.blobs.local import LocalStore
from chopmark.errors import Unavailable
from chopmark.ops.requests import RegisterVersion, UpdateVersion
from chopmark.sdk import opening
from chopmark.sdk.opening import open_registry
from chopmark.wiring import LocalTransport
from faults.children import Announce, Child, kill, listen
from faults.kills import lane, preload
from faults.options import Options
from faults.places import PAIRS, make_grounds
from faults.scripts import ALLOWED_MOVES, Held, Known, Op, after, candidates, script_of, without_touching
from faults.startup import too_slow
from faults.tally import Tally
from faults.verify import differences, least_different

# Where the test's process has threads, Python warns of every fork; what is forked here uses nothing of them.
pytestmark = [pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"), pytest.mark.timeout(300)]

KILLS = 500
"""At most: with the first finding it is over."""

LATE_S = 0.04


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> Iterator[None]:
    """As the harness does it; the garbage collector is as before afterwards."""
    import gc

    preload()
    yield
    gc.unfreeze()


def killed(tmp_path: Path, *, kills: int = KILLS, seed: int = 3) -> Tally:
    options = Options(seed, short=True, kills=kills, versions=0, scratch=tmp_path, keep=tmp_path / "kept")
    return lane(make_grounds(PAIRS[0], tmp_path / "ground"), kills, options, findings_max=1)


@pytest.mark.slow
def test_nothing_is_found_in_what_is_whole(tmp_path: Path) -> None:
    tally = killed(tmp_path, kills=16)
    assert tally.findings == []
    assert tally.kills >= 16
    assert tally.opening + tally.within + tally.after_ack == tally.kills
    assert tally.within > 4
    assert tally.acknowledged > 4


class LateStore(LocalStore):
    """A store that answers before the bytes are written, as one does that forgets to wait."""

    def put(self, source: Any, **_: Any) -> Any:
        data = source.read_bytes() if isinstance(source, Path) else source.read()
        put = super().put

        def later() -> None:
            time.sleep(LATE_S)
            put(io.BytesIO(data))

        threading.Thread(target=later, daemon=True).start()
        pending[digest_of(data)] = len(data)
        return super().stat(digest_of(data)) or _pretended(digest_of(data), len(data))

    def put_all(self, sources: Any, **_: Any) -> Any:
        return [self.put(each.source) for each in sources]

    def stat(self, digest: str) -> Any:
        return super().stat(digest) or (_pretended(digest, pending[digest]) if digest in pending else None)


pending: dict[str, int] = {}


def _pretended(digest: str, size_bytes: int) -> Any:
    from chopmark.abc.blobs import BlobStat
    from chopmark.base.clock import system_clock

    return BlobStat(digest, size_bytes, size_bytes, system_clock())


def test_rows_before_bytes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_late(url: str, **_: object) -> LateStore:
        return LateStore(Path(url))

    monkeypatch.setattr(wiring, "open_store", open_late)
    tally = killed(tmp_path)
    assert tally.faults["dangling"], tally.findings


def test_an_acknowledgement_before_the_commit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write is answered from a rehearsal and done a moment later: whoever asks next waits for it, and sees nothing."""
    call, close = LocalTransport.call, LocalTransport.close
    waiting: list[threading.Thread] = []

    def join() -> None:
        while waiting:
            waiting.pop().join()

    def call_later(self: LocalTransport, request: Any, **options: Any) -> Any:
        join()
        if type(request).__name__ not in {"RegisterVersion", "PromoteVersion"} or options:
            return call(self, request, **options)
        answer = call(self, request, dry_run=True)

        def later() -> None:
            time.sleep(LATE_S)
            call(self, request)

        waiting.append(threading.Thread(target=later))
        waiting[-1].start()
        return answer

    def close_after_all(self: LocalTransport) -> None:
        join()
        close(self)

    monkeypatch.setattr(LocalTransport, "call", call_later)
    monkeypatch.setattr(LocalTransport, "close", close_after_all)
    tally = killed(tmp_path)
    assert tally.faults["lost"] + tally.faults["wrong"], tally.findings


@pytest.mark.slow
def test_a_collection_that_knows_no_grace_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_grace(request: Any, at: Any) -> Any:
        return garbage.limits_of(request, at)._replace(put_before=at.began_at)

    monkeypatch.setattr(collection, "limits_of", without_grace)
    tally = killed(tmp_path)
    assert tally.faults["early"], tally.findings


def test_a_lock_that_a_killed_process_leaves_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(url: str, **settings: Any) -> Any:
        lock = Path(url) / "lock"
        if lock.exists():
            raise Unavailable("The registry is locked.", hint="Remove the lock by hand.")
        registry = open_registry(url, **settings)
        lock.touch()
        close = registry.close

        def unlock() -> None:
            close()
            lock.unlink()

        registry.close = unlock  # type: ignore[method-assign]
        return registry

    monkeypatch.setattr("chopmark.open", locked, raising=False)
    assert opening.open_registry is open_registry
    tally = killed(tmp_path)
    assert tally.faults["refused"] + tally.faults["error"], tally.findings


def test_a_write_in_two_transactions_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration that adds its tags in a transaction of their own."""
    call = LocalTransport.call

    def call_twice(self: LocalTransport, request: Any, **options: Any) -> Any:
        if type(request) is not RegisterVersion or options:
            return call(self, request, **options)
        added = call(self, structs.replace(request, tags={}))
        time.sleep(LATE_S)
        tagged = call(self, UpdateVersion(ref=added.version.ref, tags=request.tags))
        return structs.replace(added, version=tagged)

    monkeypatch.setattr(LocalTransport, "call", call_twice)
    tally = killed(tmp_path)
    assert tally.faults["half_visible"], tally.findings


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has gone")
def test_nobody_waits_for_a_killer_that_has_gone(tmp_path: Path) -> None:
    def wait(tell: Announce) -> None:
        tell({"at": "here"})
        signal.pause()

    def kill_later(tell: Announce) -> None:
        victim = Child(wait, tmp_path / "log")
        listen([victim], lambda: bool(victim.heard), time.monotonic() + 30)
        tell({"at": "waits", "pid": victim.pid})
        signal.pause()

    killer = Child(kill_later, tmp_path / "log")
    assert kill(killer, [], lambda: bool(killer.heard), 0, 30) == ""
    victim = Path(f"/proc/{killer.heard[0]['pid']}/stat")
    until = time.monotonic() + 30
    while victim.exists() and victim.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < until:
        time.sleep(0.01)
    assert not victim.exists() or victim.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_child_that_hangs_is_told_with_the_place_where_it_was(tmp_path: Path) -> None:
    def hang_here(_tell: Announce) -> None:
        time.sleep(300)

    child = Child(hang_here, tmp_path / "log")
    assert "in hang_here" in kill(child, [], lambda: False, 0, 0.5)
    assert child.ended


# What must hold afterwards, as pure functions

HELD = Held("fraud:1", "staging")


@pytest.mark.parametrize(
    ("op", "changed"),
    [
        (Op("promote", "t", "production"), Known({"t": Held("fraud:1", "production")}, {"fraud@old": "t"})),
        (Op("tag", "t", "3"), Known({"t": Held("fraud:1", "staging", "3")}, {"fraud@old": "t"})),
        (Op("alias", "t", "fraud@new"), Known({"t": HELD}, {"fraud@old": "t", "fraud@new": "t"})),
        (Op("delete", "t"), Known({"t": Held("fraud:1", "staging", is_deleted=True)})),
        (Op("purge", "t"), Known()),
        (Op("collect", argument="0"), Known({"t": HELD}, {"fraud@old": "t"})),
    ],
)
def test_what_was_in_flight_is_done_or_not_and_nothing_between(op: Op, changed: Known) -> None:
    known = Known({"t": HELD}, {"fraud@old": "t"})
    assert after(known, op) == changed
    assert candidates(known, [op]) == [known, changed]
    for seen in (known, changed):
        assert least_different(candidates(known, [op]), seen, may_vanish=False)[1] == []
    elsewhere = changed.with_version("u", Held("fraud:2"))
    assert least_different(candidates(known, [op]), elsewhere, may_vanish=False)[1]


@pytest.mark.parametrize(
    ("wall_ms", "cpu_ms", "empty_ms", "is_slow"),
    [(700, 400, 300, False), (5_000, 700, 4_600, False), (1_100, 1_050, 1_000, True), (1_900, 400, 500, True)],
)
def test_a_slow_answer_is_told_apart_from_a_busy_machine(
    wall_ms: float, cpu_ms: float, empty_ms: float, is_slow: bool
) -> None:
    assert bool(too_slow(wall_ms, cpu_ms, empty_ms)) == is_slow


def test_half_a_deletion_is_neither() -> None:
    known = Known({"t": HELD}, {"fraud@old": "t"})
    assert least_different(candidates(known, [Op("delete", "t")]), Known({"t": HELD}), may_vanish=False)[1]


def test_a_lost_version_is_lost_unless_a_collection_may_have_purged_it() -> None:
    gone = Known({"t": Held("fraud:1", is_deleted=True)})
    assert [kind for kind, _ in differences(gone, Known(), may_vanish=False)] == ["lost"]
    assert differences(gone, Known(), may_vanish=True) == []
    assert [kind for kind, _ in differences(Known({"t": HELD}), Known(), may_vanish=True)] == ["lost"]


def valid(known: Known, op: Op) -> bool:
    held = known.versions.get(op.token)
    if op.kind in {"collect", "record"}:
        return True
    if op.kind == "register":
        return held is None
    if held is None or held.is_deleted != (op.kind in {"restore", "purge"}):
        return False
    return op.kind != "promote" or op.argument in ALLOWED_MOVES[held.stage]


@pytest.mark.parametrize("seed", range(30))
def test_scripts_ask_only_what_is_allowed(seed: int) -> None:
    spread = random.Random(seed)
    known = Known({f"fraud-{n}-small": Held(f"fraud:{n}") for n in range(3)})
    script = script_of(known, ["fraud-a-small", "fraud-b-small"], set(known.versions), "1", spread)
    assert [op.token for op in script if op.kind == "register"] == ["fraud-a-small", "fraud-b-small"]
    for op in script:
        assert valid(known, op), (op, script)
        known = after(known, op, ref="fraud:9")


def test_beside_a_collection_nothing_that_was_deleted_is_touched() -> None:
    script = [Op("delete", "t"), Op("restore", "t"), Op("tag", "t", "2"), Op("purge", "u"), Op("tag", "v", "1")]
    assert without_touching(script, {"t", "u"}) == [Op("delete", "t"), Op("tag", "v", "1")]

"""Power cuts: the disk after a cut is one that may be, the recording is read rightly, and forgotten syncs are found."""

import itertools
import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from faults import powercut
from faults.options import Options
from faults.powercut_checks import known_at
from faults.powercut_disk import ROOT, Model, Names, Operation, Sync, Truncate, Write, disk_after_cut
from faults.powercut_trace import Unreadable, read_trace, record
from faults.strace import lacking

SEEDS = range(200)
FILE, DIRECTORY = 1, 2

ACKNOWLEDGED = '{"what": "begin", "do": "register"}\n{"what": "done", "ref": "m:1", "digest": "d"}\n'

needs_strace = pytest.mark.skipif(bool(lacking()), reason=lacking())


def states(operations: list[Operation], model: Model = "posix") -> list[dict[str, bytes]]:
    """Files after a cut at the end, for many seeds, each state once."""
    found: list[dict[str, bytes]] = []
    for seed in SEEDS:
        files = disk_after_cut(operations, len(operations), random.Random(seed), model).files
        if files not in found:
            found.append(files)
    return found


def named(*operations: Operation) -> list[Operation]:
    """Operations on the file `FILE`, whose name is durable."""
    create = Names(((ROOT, "f", FILE),), "create f")
    return [create, Sync(ROOT, 1), *operations]


def test_what_was_synced_is_there() -> None:
    assert states(named(Write(FILE, 0, b"a" * 2000), Sync(FILE, 3))) == [{"f": b"a" * 2000}]
    assert states(named(Write(FILE, 0, b"abc"), Truncate(FILE, 1), Sync(FILE, 4))) == [{"f": b"a"}]


def test_a_sync_covers_what_was_done_when_it_began() -> None:
    assert {"f": b""} in states(named(Write(FILE, 0, b"a"), Sync(FILE, 2)))
    assert states(named(Write(FILE, 0, b"a"), Sync(None, 3))) == [{"f": b"a"}]


def test_what_was_not_synced_may_be_lost_whole_or_by_sectors() -> None:
    found = states(named(Write(FILE, 0, b"a" * 1024), Sync(FILE, 3), Write(FILE, 0, b"b" * 1024)))
    halves = [a * 512 + b * 512 for a, b in itertools.product((b"a", b"b"), repeat=2)]
    assert sorted(f["f"] for f in found) == sorted(halves)


def test_sectors_are_those_of_the_file_and_not_of_the_write() -> None:
    found = states(named(Write(FILE, 0, b"a" * 1024), Sync(FILE, 3), Write(FILE, 500, b"b" * 24)))
    contents = {f["f"][500:524] for f in found}
    assert contents == {b"a" * 24, b"b" * 24, b"b" * 12 + b"a" * 12, b"a" * 12 + b"b" * 12}


def test_a_file_may_have_its_size_without_its_bytes() -> None:
    assert {"f": bytes(1024)} in states(named(Write(FILE, 0, b"a" * 1024)))


def test_a_name_is_durable_when_its_directory_is_synced_after_it() -> None:
    create = Names(((ROOT, "f", FILE),), "create f")
    written: list[Operation] = [create, Write(FILE, 0, b"a"), Sync(FILE, 2)]
    assert sorted(states([*written]), key=len) == [{}, {"f": b"a"}]
    assert states([*written, Sync(ROOT, 3)]) == [{"f": b"a"}]
    assert states([*written], "ordered") == [{"f": b"a"}], "a journal takes a new file's name along with its sync"


def test_a_rename_happens_or_does_not() -> None:
    rename = Names(((ROOT, "f", None), (ROOT, "g", FILE)), "rename f g")
    found = states(named(Write(FILE, 0, b"a"), Sync(FILE, 3), rename))
    assert sorted(map(str, found)) == sorted(map(str, [{"f": b"a"}, {"g": b"a"}]))


def test_a_journal_keeps_names_in_order() -> None:
    operations: list[Operation] = [Names(((ROOT, str(n), n + 1),), f"create {n}") for n in range(4)]
    assert sorted(sorted(f) for f in states(operations, "ordered")) == [list("0123")[:n] for n in range(5)]
    assert any(sorted(f) != list("0123")[: len(f)] for f in states(operations, "posix"))


def test_what_is_in_a_lost_directory_is_lost() -> None:
    operations: list[Operation] = [
        Names(((ROOT, "d", DIRECTORY),), "mkdir d", new_directory=DIRECTORY),
        Names(((DIRECTORY, "f", FILE),), "create d/f"),
        Write(FILE, 0, b"a"),
        Sync(FILE, 3),
        Sync(DIRECTORY, 4),
    ]
    assert sorted(states(operations), key=len) == [{}, {"d/f": b"a"}]
    assert states([*operations, Sync(ROOT, 5)]) == [{"d/f": b"a"}]


def test_marks_say_what_was_acknowledged_and_what_was_under_way() -> None:
    known = known_at(
        [
            '{"what": "begin", "do": "register", "model": "m", "value": 1}\n',
            '{"what": "done", "ref": "m:1", "digest": "d"}\n',
            '{"what": "begin", "do": "alias", "alias": "m@a", "ref": "m:1"}\n',
        ]
    )
    assert known.versions == {"m:1": {"what": "begin", "do": "register", "model": "m", "value": 1, "digest": "d"}}
    assert known.aliases == {}
    assert known.under_way is not None
    assert known.under_way["alias"] == "m@a"


PROGRAM = """
import os, sys, threading, tempfile, shutil
root, source, marks = sys.argv[1:]
d = os.path.join(root, "d", "e"); os.makedirs(d)
f = os.open(os.path.join(d, "a"), os.O_RDWR | os.O_CREAT)
os.write(f, b"hello world" * 100); os.lseek(f, 5, os.SEEK_SET); os.read(f, 3); os.write(f, b"XY")
g = os.dup(f); os.write(g, b"Z"); os.pwrite(f, b"far", 5000); os.ftruncate(f, 4990); os.posix_fallocate(f, 0, 6000)
os.fsync(f); os.close(g)
s = os.open(source, os.O_RDONLY)
c = os.open(os.path.join(d, "copy"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
os.copy_file_range(s, c, 1000, 10); os.copy_file_range(s, c, 50); os.sendfile(c, s, 0, 77)
os.writev(c, [b"one", b"two"]); os.close(c)
a = os.open(os.path.join(d, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for n in range(3): os.write(a, b"line\\n")
b = os.open(os.path.join(d, "log"), os.O_WRONLY | os.O_APPEND); os.write(b, b"other\\n"); os.write(a, b"last\\n")
os.link(os.path.join(d, "a"), os.path.join(root, "linked")); os.rename(os.path.join(d, "log"), os.path.join(root, "log2"))
t = os.open(root, os.O_TMPFILE | os.O_RDWR); os.write(t, b"nameless")
with tempfile.TemporaryDirectory(dir=root) as scratch:
    open(os.path.join(scratch, "x"), "w").write("gone")
open(os.path.join(d, "copy"), "wb").write(b"truncated and written")
def many(n):
    for i in range(20):
        p = os.path.join(root, f"t{n}-{i}")
        with open(p, "wb") as file: file.write(os.urandom(3000 + i))
        if i % 3 == 0: os.unlink(p)
        elif i % 3 == 1: os.replace(p, p + "r")
threads = [threading.Thread(target=many, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
m = os.open(marks, os.O_WRONLY | os.O_CREAT); os.write(m, b"told"); os.close(m)
if os.fork() == 0:
    os._exit(0)
os.wait()
"""


@needs_strace
def test_a_recording_played_to_its_end_gives_what_is_there(tmp_path: Path) -> None:
    world, source = tmp_path / "world", tmp_path / "source"
    (world / "first").mkdir(parents=True)
    source.write_bytes(os.urandom(5000))
    command = [sys.executable, "-c", PROGRAM, str(world / "first"), str(source), str(tmp_path / "marks")]
    record(command, tmp_path / "trace", dict(os.environ))
    operations = read_trace(tmp_path / "trace", world, tmp_path / "marks", ["first"])
    whole = [*operations, Sync(None, len(operations))]
    played = disk_after_cut(whole, len(whole), random.Random(0), "posix", ["first"])
    there = {str(p.relative_to(world)): p.read_bytes() for p in world.rglob("*") if p.is_file()}
    assert len(there) > 40
    assert played.files == there
    assert [each.text for each in operations if isinstance(each, powercut.Mark)] == ["told"]


@needs_strace
def test_what_cannot_be_followed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    program = (
        "import mmap, sys; f = open(sys.argv[1], 'w+b'); f.write(b'x' * 5000); f.flush(); mmap.mmap(f.fileno(), 5000)"
    )
    record([sys.executable, "-c", program, str(tmp_path / "world" / "f")], tmp_path / "trace", dict(os.environ))
    with pytest.raises(Unreadable, match="mapped"):
        read_trace(tmp_path / "trace", tmp_path / "world", tmp_path / "marks")


@needs_strace
@pytest.mark.parametrize("forgotten", ["nothing", "files", "directories"])
def test_a_store_that_forgets_a_sync_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    monkeypatch.setenv("FORGOTTEN_SYNC", forgotten)
    operations = powercut.recorded(tmp_path, 1, "tests.faults.unsynced_life")
    assert powercut.unlike(operations, tmp_path / "world") == []
    found: list[str] = []
    for cut in powercut.draw_cuts(operations, 1, 12 if forgotten == "nothing" else 60):
        found += powercut.judge(operations, cut, tmp_path).findings
        if found and forgotten != "nothing":
            break
    assert bool(found) == (forgotten != "nothing"), found


@needs_strace
@pytest.mark.slow
def test_the_part_records_cuts_and_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powercut, "CUTS_SHORT", 8)
    options = Options(seed=1, short=True, kills=1, versions=1, scratch=tmp_path, keep=tmp_path / "kept")
    (outcome,) = powercut.run(options)
    assert (outcome.rounds, list(outcome.findings), outcome.missing) == (8, [], "")
    assert outcome.figures["cuts_posix"] == outcome.figures["cuts_ordered"] == 4


def test_a_cut_can_be_repeated_by_its_seed() -> None:
    operations = named(Write(FILE, 0, b"a" * 5000), Truncate(FILE, 100))
    cuts = powercut.draw_cuts([*operations, powercut.Mark("x")], 3, 10)
    again = powercut.draw_cuts([*operations, powercut.Mark("x")], 3, 10)
    assert cuts == again
    assert [powercut.cut_operations(operations, c) for c in cuts] == [
        powercut.cut_operations(operations, c) for c in again
    ]


def test_a_finding_is_shown_again_by_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operations = named(Write(FILE, 0, b"no registry"), powercut.Mark(ACKNOWLEDGED), Write(FILE, 0, b"x"))
    monkeypatch.setattr(powercut, "lacking", lambda: "")
    monkeypatch.setattr(powercut, "recorded", lambda *_: operations)
    monkeypatch.setattr(powercut, "unlike", lambda *_: [])
    monkeypatch.setattr(powercut, "CUTS_SHORT", 4)
    options = Options(seed=1, short=True, kills=1, versions=1, scratch=tmp_path, keep=tmp_path / "kept")
    finding = next(iter(powercut.run(options)[0].findings))
    assert "m:1 was acknowledged and is lost" in finding
    monkeypatch.setattr(sys, "argv", ["", *finding.rsplit("faults.powercut ", 1)[1].split()])
    assert powercut.main() == 1
    shown = capsys.readouterr().out
    assert "m:1 was acknowledged and is lost" in shown
    left = Path(shown.splitlines()[0].rpartition(" ")[2])
    assert (left / "f").exists()
    shutil.rmtree(left.parent)


def test_without_strace_the_part_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powercut, "lacking", lambda: "no strace")
    options = Options(seed=1, short=True, kills=1, versions=1, scratch=tmp_path, keep=tmp_path / "kept")
    assert powercut.run(options)[0].missing == "no strace"

"""The part that fails system calls finds what it is to find."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from faults.strace import Calls, Told, Tracees, calls_of, injected, lacking
from faults.syscalls import Target, error_faults, sampled, targets_of
from faults.wholeness import faults_of

OURS = {"error": "Unavailable", "ours": True, "hint": "Try again.", "text": "no", "trace": "", "step": "register"}
EIO = Target("EIO", "small", 0, "fsync", 1)


def told(*messages: dict[str, Any], ended: int = 0) -> Told:
    return Told(7, ended, messages)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (told({"acknowledged": "fraud:1 sha256:0"}), ""),
        (told(OURS), ""),
        (told({**OURS, "hint": ""}), "without saying what to do"),
        (told({**OURS, "ours": False, "trace": "OSError"}), "an error of others: OSError"),
        (told(), "neither raised nor acknowledged"),
        (told(OURS, ended=-11), "it ended with -11"),
        (told({"acknowledged": "x"}, {"background": {**OURS, "ours": False}}), "a thread of the background raised"),
    ],
)
def test_what_a_failed_process_shows_is_judged(what: Told, found: str) -> None:
    faults = error_faults(what, EIO)
    assert (found in faults[0]) if found else faults == []


def test_a_process_that_was_not_killed_but_broke_is_told() -> None:
    killed = Target("SIGKILL", "small", 0, "fsync", 1)
    assert error_faults(told(ended=-9), killed) == []
    assert error_faults(told(ended=1), killed) == ["it ended with 1"]


def test_targets_are_all_calls_and_a_sample_is_spread_over_them() -> None:
    counted = {"small": Calls(after={0: Counter(fsync=2, lseek=1), 1: Counter(write=3)})}
    all_ = targets_of("EIO", counted)
    assert [(t.thread, t.call, t.nth) for t in all_] == [
        *[(0, "fsync", 1), (0, "fsync", 2), (0, "lseek", 1)],
        *[(1, "write", 1), (1, "write", 2), (1, "write", 3)],
    ]
    assert [t.call for t in targets_of("ENOSPC", counted)] == ["fsync", "fsync", "write", "write", "write"]
    assert sampled(all_, 2) == [all_[0], all_[-1]]
    assert sampled(all_, 9) == all_


def test_calls_are_counted_by_thread_from_its_mark(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    log.write_text(
        '11 mmap(NULL, 4096) = 0x7f\n11 write(9999, "begin 0", 7) = -1 EBADF (Bad file descriptor)\n'
        "11 fsync(3) = 0\n12 fsync(4 <unfinished ...>\n12 <... fsync resumed>) = 0\n"
        '12 write(9999, "begin 1", 7) = -1 EBADF\n12 fsync(4) = -1 EIO (Input/output error) (INJECTED)\n'
        '10 write(9999, "end", 3) = -1 EBADF\n11 fsync(3) = 0\n11 +++ exited with 0 +++\n'
        '21 write(9999, "begin 0", 7) = -1 EBADF\n21 link("a", "b") = 0\n'
    )
    first, second = calls_of(log)
    assert first.before[0] == {"mmap": 1, "write": 1}
    assert first.before[1] == {"fsync": 1, "write": 1}
    assert first.after == {0: {"fsync": 1}, 1: {"fsync": 1}}
    assert second.after == {0: {"link": 1}}
    assert injected(log) == {12: 1}


def test_lost_and_changed_bytes_and_lost_acknowledgements_are_found(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    with cm.open(place, actor="ada") as registry:
        version = registry.register("fraud", {"threshold": 0.2})
        digest = registry.files.manifest(version).files[0].digest
    assert faults_of(place, f"{version.ref} {version.digest}", "small") == []
    assert faults_of(place, f"fraud:7 {version.digest}") == [
        f"fraud:7 {version.digest} was acknowledged and is not there"
    ]
    with cm.open(place, actor="ada") as registry:
        assert registry._transport.store.delete(digest)
    found = faults_of(place, "")
    assert any(fault.startswith("fraud:1: model/") for fault in found)
    assert any("check: error blob_missing" in fault for fault in found)
    (place / "chopmark.db").write_bytes(b"no database")
    (fault,) = faults_of(place, "")
    assert fault.startswith("the registry does not open any more: IntegrityFailure")


@pytest.mark.skipif(bool(lacking()), reason=f"system calls cannot be failed here: {lacking()}")
def test_one_call_of_one_thread_is_failed(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.bin").write_bytes(b"bytes")
    job = {"do": "register", "scenario": "files", "files": str(files)}
    (files / "b.bin").write_bytes(bytes(range(256)) * 500)  # too large for a pack: it gets its name by a link
    with Tracees(tmp_path / "traced", {"fsync": "error=EIO:when=200", "linkat": "signal=SIGKILL:when=90"}) as tracees:
        whole = tracees.ask(**job, place=str(tmp_path / "whole"))
        failed = tracees.ask(**job, place=str(tmp_path / "failed"), thread=1, call="fsync", empty=199)
        killed = tracees.ask(**job, place=str(tmp_path / "killed"), thread=1, call="linkat", empty=89)
    assert whole.first("acknowledged").startswith("fraud:1 sha256:")
    assert faults_of(tmp_path / "whole", whole.first("acknowledged"), "files", str(files)) == []
    assert (failed.first("error"), failed.first("ours"), failed.first("step")) == ("Unavailable", True, "register")
    assert killed.ended in (-9, 0)
    assert (killed.ended == -9) == (killed.first("acknowledged") is None)
    assert sum(injected(tracees.log).values()) == 1

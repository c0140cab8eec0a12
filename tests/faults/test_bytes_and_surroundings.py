"""The judges of flipped bits, failed syncs and refusals find what they are to find."""

import random
from pathlib import Path
from typing import Any

import pytest

from chopmark.errors import IntegrityFailure, NotFound
from faults import refusals
from faults.flips import Extent, Stored, contents_of, extent_of, flip
from faults.flips import judged as judged_read
from faults.strace import Told
from faults.syncs import Put, is_of_index, log_faults, lost_syncs, puts_of, told_faults

FILE = Stored("m:1", "model/a", "sha256:" + "ab" * 32, b"content")


@pytest.mark.parametrize(
    ("read", "is_compressed", "fault", "is_harmless"),
    [
        (IntegrityFailure("damaged", hint="Restore it."), False, "", False),
        (IntegrityFailure("damaged"), False, "no word of what to do", False),
        (NotFound("gone"), False, "NotFound", False),
        (b"cantent", False, "wrong bytes were served", False),
        (b"cantent", True, "wrong bytes were served", False),
        (b"content", False, "the right bytes were served from a damaged file", False),
        (b"content", True, "", True),
    ],
)
def test_reads_of_damaged_bytes_are_judged(
    read: bytes | Exception, is_compressed: bool, fault: str, is_harmless: bool
) -> None:
    told, harmless = judged_read(FILE, read, is_compressed=is_compressed)
    assert (fault in told, bool(told), harmless) == (True, bool(fault), is_harmless)


def test_one_bit_of_the_blob_flips_and_the_time_stays(tmp_path: Path) -> None:
    packed, named = tmp_path / "pack-1", tmp_path / "ab" / ("ab" * 31)
    packed.write_bytes(b"before content after")
    assert extent_of(tmp_path, FILE.digest, FILE.content) == Extent(packed, 7, 7)
    named.parent.mkdir()
    named.write_bytes(FILE.content)
    named.chmod(0o444)
    extent = extent_of(tmp_path, FILE.digest, FILE.content)
    assert extent == Extent(named, 0, 7)
    seen = named.stat()
    for seed in range(20):
        before = named.read_bytes()
        flip(extent, random.Random(seed))
        pairs = zip(before, named.read_bytes(), strict=True)
        assert sum((a ^ b).bit_count() for a, b in pairs) == 1
    assert (named.stat().st_mtime_ns, named.stat().st_mode) == (seen.st_mtime_ns, seen.st_mode)
    with pytest.raises(LookupError):
        extent_of(tmp_path, "sha256:" + "cd" * 32, b"elsewhere")


def test_contents_differ_and_come_in_all_sizes() -> None:
    contents = contents_of(120, random.Random(1))
    assert len(set(contents)) == 120
    lengths = sorted(map(len, contents))
    assert lengths[0] < 12_000
    assert lengths[-10] >= 90_000


LOG = [
    '5 write(9999, "begin 0", 7) = -1 EBADF (Bad file descriptor)',
    "5 fsync(-1) = -1 EBADF (Bad file descriptor)",
    '5 write(4</store/tmp/put-1>, "abc"..., 300) = 300',
    "5 fsync(4</store/tmp/put-1>) = -1 EIO (Input/output error) (INJECTED)",
]


def test_a_put_is_read_from_its_trace() -> None:
    put = puts_of([*LOG, "5 fsync(4</store/tmp/put-1>) = 0", "5 fdatasync(6</store>) = 0"])
    assert put.written == {"/store/tmp/put-1": 300}
    assert put.failed == ["/store/tmp/put-1"]
    assert put.synced == ["/store/tmp/put-1", "/store"]
    assert log_faults(put, Put({"/store/tmp/put-2": 300}, ["/store/tmp/put-2"]), 300) == [
        "/store/tmp/put-1 was synced again after its sync failed"
    ]


def test_a_file_that_was_written_again_may_be_synced_again() -> None:
    again = [*LOG, '5 pwrite64(4</store/tmp/put-1>, "abc"..., 300, 0) = 300', "5 fsync(4</store/tmp/put-1>) = 0"]
    assert puts_of(again).synced_after_failure == []


def test_the_sync_of_an_index_is_told_from_that_of_bytes() -> None:
    assert is_of_index("/store/packs/index.db", "fdatasync")
    assert is_of_index("/store/packs", "fdatasync")
    assert not is_of_index("/store/packs", "fsync")
    assert is_of_index("/store/packs/index.db-wal", "fdatasync")
    assert not is_of_index("/registry/chopmark.db-wal", "fdatasync")


def test_a_put_that_trusts_what_was_not_synced_is_found() -> None:
    failed = puts_of(LOG)
    assert log_faults(failed, Put({"/store/tmp/put-2": 300}, ["/store/tmp/put-2"]), 300) == []
    assert log_faults(failed, Put(), 300) == [
        "the next put wrote 0 bytes only: it trusted what was not synced",
        "the next put synced nothing",
    ]


def told(*messages: dict[str, Any], ended: int = 0) -> Told:
    return Told(7, ended, messages)


OURS = {"error": "Unavailable", "ours": True, "hint": "Try again.", "text": "no", "trace": ""}
DONE = told({"acknowledged": "sha256:0"}, {"claims": True})


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (told(OURS, {"claims": False}), DONE, None),
        (told({"acknowledged": "sha256:0"}, {"claims": True}), DONE, "acknowledged though a sync failed"),
        (told({**OURS, "ours": False}, {"claims": False}), DONE, "no error of ours"),
        (told(OURS, {"claims": True}), DONE, "claims afterwards"),
        (told(OURS, {"claims": False}), told(OURS), "the next put does not work"),
    ],
)
def test_what_a_process_says_after_a_failed_sync_is_judged(first: Told, second: Told, found: str | None) -> None:
    faults = told_faults(first, second)
    assert faults == [] if found is None else any(found in fault for fault in faults)


def test_a_sync_that_failed_before_the_acknowledgement_is_lost() -> None:
    wal = "5 fdatasync(4</r/chopmark.db-wal>) = -1 EIO (Input/output error) (INJECTED)"
    database = "5 fdatasync(3</r/chopmark.db>) = -1 EIO (Input/output error) (INJECTED)"
    acknowledged = '5 write(9999, "acknowledged", 12) = -1 EBADF (Bad file descriptor)'
    assert lost_syncs([acknowledged]) is None
    assert lost_syncs([wal, acknowledged]) == ["/r/chopmark.db-wal"]
    assert lost_syncs([acknowledged, wal]) == []
    assert lost_syncs([database, acknowledged]) == ["/r/chopmark.db"]
    assert lost_syncs([database, acknowledged], "/r", "/r/chopmark.db") == []


@pytest.mark.parametrize(
    ("what", "expected", "found"),
    [
        (told({"loaded": refusals.MODEL, "is_whole": True}), "works", None),
        (told({"loaded": {"threshold": 9}, "is_whole": True}), "works", "it read something else"),
        (told({"loaded": refusals.MODEL, "is_whole": False}), "works", "it read something else"),
        (told({"acknowledged": "fraud:2"}), "refused", "it was not refused"),
        (told(OURS), "refused", None),
        (told(OURS), "works", "it does not work"),
        (told({**OURS, "hint": ""}), "refused", "no word of what to do"),
        (told({**OURS, "ours": False, "trace": "OSError"}), "either", "an error of others: OSError"),
        (told({"acknowledged": "x"}, {"background": {**OURS, "ours": False}}), "either", "an error of others"),
        (told(), "either", "neither worked nor said why not"),
    ],
)
def test_refusals_are_judged(what: Told, expected: refusals.Expected, found: str | None) -> None:
    faults = refusals.judged(what, expected)
    assert faults == [] if found is None else any(found in fault for fault in faults)


def test_a_clock_that_goes_back_harms_nothing(tmp_path: Path) -> None:
    assert refusals.clock_faults(tmp_path / "registry", 5) == []

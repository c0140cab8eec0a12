"""``chopmark doctor`` over registries that are well, broken and absent."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import chopmark as cm
from chopmark.base.digest import digest_of
from chopmark.base.settings import Settings
from chopmark.blobs import LocalStore
from chopmark.cli.checks import checks
from chopmark.cli.install_checks import (
    git_check,
    libraries_check,
    newest_by_format,
    programs,
    programs_check,
    unknown_formats,
)
from chopmark.cli.place_checks import (
    MOUNTS,
    cache_check,
    file_system,
    file_system_check,
    files_check,
    holder,
    lock_check,
    room_check,
)
from chopmark.cli.session import Session
from chopmark.domain.manifest import Environment
from chopmark.domain.versions import Version
from tests.cli.running import Program


def statuses(program: Program, code: int) -> dict[str, Any]:
    ran = program("doctor", "--json")
    assert ran.code == code, ran
    return {check["name"]: check["status"] for check in ran.json["items"]}


def snapshot(directory: Path) -> set[str]:
    return {str(p.relative_to(directory)) for p in directory.rglob("*")}


def test_a_healthy_registry(program: Program) -> None:
    program.register()
    blobs = snapshot(program.place / "blobs")
    found = statuses(program, 0)
    assert {"settings", "directory", "disk", "database", "store", "clock", "formats", "extras"} <= set(found)
    assert set(found.values()) <= {"ok", "warn"}
    assert snapshot(program.place / "blobs") >= blobs
    store = LocalStore(program.place / "blobs")
    assert [stat.digest for stat in store.list()] == [digest_of(b'{"threshold": 0.7}')], "what it tried is gone"
    assert program.ok("doctor").out.startswith("ok    chopmark")


def test_no_registry_yet(program: Program) -> None:
    before = snapshot(program.directory)
    found = statuses(program, 0)
    assert found["registry"] == "warn"
    assert "database" not in found
    assert snapshot(program.directory) == before


def test_a_database_that_is_none(program: Program) -> None:
    program.register()
    for file in program.place.glob("chopmark.db*"):
        file.unlink()
    (program.place / "chopmark.db").write_bytes(b"this is no database" * 500)
    assert statuses(program, 1)["database"] == "fail"


def test_a_directory_that_is_a_file(program: Program) -> None:
    program.place.write_text("in the way")
    assert statuses(program, 1)["directory"] == "fail"


def test_a_store_that_is_a_file(program: Program) -> None:
    program.register()
    shutil.rmtree(program.place / "blobs")
    (program.place / "blobs").write_text("in the way")
    assert statuses(program, 1)["store"] == "fail"


def test_a_setting_that_is_not_valid(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOPMARK_POOL_SIZE", "many")
    found = statuses(program, 1)
    assert found["settings"] == "fail"


def test_a_clock_that_stands_before_the_last_event(program: Program) -> None:
    from datetime import UTC, datetime

    program.register()
    session = Session()
    session.arguments["url"] = str(program.place)
    try:
        early = {c.name: c for c in checks(session, lambda: datetime(2025, 6, 1, tzinfo=UTC))}
        wrong = {c.name: c for c in checks(session, lambda: datetime(1970, 1, 1, tzinfo=UTC))}
    finally:
        session.close()
    assert early["clock"].status == "warn"
    assert wrong["clock"].status == "fail"


def test_failing_lines_say_what_to_do(program: Program) -> None:
    program.place.write_text("in the way")
    ran = program("doctor")
    assert ran.code == 1
    assert "→" in ran.out
    assert ran.err.startswith("error: ")


def test_a_mistyped_setting_in_the_environment_is_noticed(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOPMARK_TRSUT", "never")
    assert "CHOPMARK_TRSUT in the environment: no such setting" in program.ok("doctor").out


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory of settings of a user of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "chopmark"


def check(program: Program, name: str) -> dict[str, str]:
    found: dict[str, str] = next(c for c in program("doctor", "--json").json["items"] if c["name"] == name)
    return found


def test_a_mistyped_key_of_a_settings_file(program: Program, user: Path) -> None:
    user.mkdir(parents=True)
    (user / "config.toml").write_text('trsut = "never"\n')
    found = check(program, "settings")
    assert found["status"] == "fail"
    assert "trsut" in found["finding"]
    assert str(user / "config.toml") in found["finding"]


def test_a_key_that_others_may_read(program: Program, user: Path) -> None:
    program.register()
    assert check(program, "audit key")["status"] == "ok"
    program.ok("audit", "key", "create")
    assert check(program, "audit key")["finding"].endswith(str(user / "audit.key"))
    (user / "audit.key").chmod(0o644)
    found = check(program, "audit key")
    assert (found["status"], "0644" in found["finding"]) == ("fail", True)
    (user / "audit.key").write_text("garbage")
    assert check(program, "audit key")["status"] == "fail"


def test_a_key_within_the_registry(program: Program, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program.register()
    program.ok("audit", "key", "create")
    shutil.copy(user / "audit.key", program.place / "audit.key")
    monkeypatch.setenv("CHOPMARK_AUDIT_KEY_FILE", str(program.place / "audit.key"))
    found = check(program, "audit key")
    assert (found["status"], "in the registry" in found["finding"]) == ("fail", True)


def test_a_collection_that_was_cut_off(program: Program) -> None:
    program.register()
    assert check(program, "collection")["status"] == "ok"
    with sqlite3.connect(program.place / "chopmark.db") as database:
        database.execute("update schema_facts set value = '3' where name = 'collection'")
    found = check(program, "collection")
    assert (found["status"], "gc" in found["advice"]) == ("warn", True)


def test_what_is_not_recorded_yet(program: Program) -> None:
    program.register()
    assert check(program, "records")["status"] == "ok"
    with sqlite3.connect(program.place / "chopmark.db") as database:
        database.execute("update schema_facts set value = '1' where name = 'recorded_seq'")
    found = check(program, "records")
    assert (found["status"], found["finding"]) == ("warn", "2 events not recorded beside the blobs yet")


HOLDS_THE_LOCK = """
import fcntl, sys
stream = open(sys.argv[1])
fcntl.flock(stream, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="locks are looked at on POSIX systems only")
def test_a_process_that_holds_the_lock(program: Program) -> None:
    program.register()
    assert check(program, "lock")["status"] == "ok"
    lock = program.place / "chopmark.db-writer.lock"
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        found = lock_check(program.place)
        process.stdin.close()
    assert found.status == "warn"
    if Path("/proc/locks").exists() and "FLOCK" in Path("/proc/locks").read_text():
        assert str(process.pid) in found.finding


def test_the_holder_in_the_table_of_the_kernel() -> None:
    locks = "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 99 08:01:1234 0 EOF\n2: POSIX  ADVISORY  READ 5 08:01:1234 128 128\n"
    assert holder(1234, locks) == 4711
    assert holder(234, locks) == 0
    assert holder(1234, "garbage\n\n") == 0


MOUNT_TABLE = """\
/dev/sda1 / ext4 rw 0 0
server:/export /srv/nfs nfs4 rw 0 0
//server/share /srv/my\\040share cifs rw 0 0
host:/ /srv/nfs/local/far fuse.sshfs rw 0 0
/dev/sdb1 /srv/nfs/local ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind", "status"),
    [
        ("/data/registry", "ext4", "ok"),
        ("/srv/nfs/registry", "nfs4", "fail"),
        ("/srv/nfsish/registry", "ext4", "ok"),
        ("/srv/my share/registry", "cifs", "fail"),
        ("/srv/nfs/local/registry", "ext4", "ok"),
        ("/srv/nfs/local/far/registry", "fuse.sshfs", "fail"),
    ],
)
def test_a_database_on_a_network(place: str, kind: str, status: str) -> None:
    assert file_system(Path(place), MOUNT_TABLE) == kind
    assert file_system_check(Path(place) / "chopmark.db", MOUNT_TABLE).status == status


def test_the_file_system_of_this_machine(program: Program) -> None:
    program.register()
    if MOUNTS.exists():
        kind = file_system(program.place.resolve(), MOUNTS.read_text())
        assert kind != ""
        assert f"is on {kind}" in check(program, "filesystem")["finding"]
    assert file_system(Path("/x"), "") == file_system(Path("/x"), "short line\n") == ""


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX systems")
def test_files_of_the_registry(program: Program) -> None:
    program.register()
    program.place.chmod(0o755)
    (program.place / "chopmark.db").chmod(0o644)
    assert check(program, "files")["status"] == "ok"
    (program.place / "chopmark.db").chmod(0o666)
    found = check(program, "files")
    assert (found["status"], "everybody" in found["finding"]) == ("warn", True)
    shut = files_check(program.place, lambda path: path.name != "chopmark.db")
    assert (shut.status, "chopmark.db cannot be written to" in shut.finding) == ("fail", True)


def test_room_for_another_version() -> None:
    assert room_check(10_000, 9_999, "fraud:1").status == "ok"
    assert room_check(10_000, 10_001, "fraud:1").status == "warn"
    assert room_check(0, 0, "").status == "ok"


def test_a_cache_that_cannot_grow(tmp_path: Path) -> None:
    settings = Settings(cache_dir=str(tmp_path / "new" / "cache"), cache_quota_bytes=1_000)
    assert cache_check(settings, lambda _: 1_001).status == "ok"
    assert cache_check(settings, lambda _: 999).status == "warn"
    (tmp_path / "new").write_text("in the way")
    assert cache_check(settings, lambda _: 1_001).status == "fail"
    assert not (tmp_path / "new" / "cache").exists()


def test_no_git(tmp_path: Path) -> None:
    assert git_check(str(tmp_path)).status == "warn"
    (tmp_path / "git").write_text("#!/bin/sh\n")
    (tmp_path / "git").chmod(0o755)
    assert git_check(str(tmp_path)).status == "ok"


@pytest.mark.skipif(os.name != "posix", reason="programs are made as scripts")
def test_several_programs_on_the_path(tmp_path: Path) -> None:
    first, second, link = (tmp_path / name for name in ("first", "second", "link"))
    for place in (first, second):
        place.mkdir()
        (place / "chopmark").write_text("#!/bin/sh\n")
        (place / "chopmark").chmod(0o755)
    link.mkdir()
    (link / "chopmark").symlink_to(first / "chopmark")
    both = programs(f"{first}:{link}::{second}:{tmp_path / 'absent'}")
    assert [p.resolve() for p in both] == [first / "chopmark", second / "chopmark"]
    alone = programs(str(first))
    assert programs_check(alone, first).status == "ok"
    assert programs_check(alone, second).status == "warn"
    assert "first in PATH" in programs_check(programs(f"{first}:{second}"), second).advice
    assert "Remove the others" in programs_check(programs(f"{first}:{second}"), first).advice
    assert "python -m chopmark" in programs_check([], first).advice


def version_of(program: Program, **environment: Any) -> Version:
    program.register()
    with cm.open(program.place) as registry:
        return replace(registry.get("fraud"), environment=Environment(**environment))


def test_a_library_that_a_version_needs(program: Program) -> None:
    fine = version_of(program, python="3.11.1")
    assert libraries_check([fine], []).status == "ok"
    gone = replace(fine, environment=Environment(framework="no-such-library", framework_version="1.0"))
    found = libraries_check([fine, gone], [])
    assert (found.status, found.advice) == ("warn", "To load it here: pip install no-such-library")
    old = replace(fine, environment=Environment(framework="msgspec", framework_version="0.1.0"))
    assert "made with msgspec 0.1.0" in libraries_check([old], []).finding
    foreign = replace(fine, format="of-a-plug-in")
    assert "of-a-plug-in" in libraries_check([fine], [foreign]).finding


def test_the_newest_version_of_each_format_is_looked_at(program: Program) -> None:
    program.register()
    program.register(content='{"threshold": 0.8}')
    with cm.open(program.place) as registry:
        assert [v.ref for v in newest_by_format(registry)] == ["fraud:2"]
        assert unknown_formats(registry) == []
    with sqlite3.connect(program.place / "chopmark.db") as database:
        database.execute(
            "update versions set format = 'of-a-plug-in', body = json_set(body, '$.format', 'of-a-plug-in') where number = 2"
        )
    assert "of-a-plug-in" in check(program, "libraries")["finding"]

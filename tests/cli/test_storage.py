"""gc, du, why and fsck, as they are typed."""

import sqlite3

import pytest

from tests.cli.running import Program


@pytest.fixture
def thinned(program: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A registry in which one of three versions was deleted, and nothing needs to wait."""
    for n in (1, 2, 3):
        program.register("fraud", f'{{"threshold": 0.{n}}}')
    program.ok("delete", "fraud:1")
    monkeypatch.setenv("CHOPMARK_PURGE_AFTER_DAYS", "0")
    monkeypatch.setenv("CHOPMARK_GC_GRACE_HOURS", "0")
    return program


def test_a_dry_run_lists_bytes_and_why_and_the_real_run_frees_them(thinned: Program) -> None:
    planned = thinned.ok("gc", "--dry-run", "--json").json["items"]
    assert [(i["kind"], i["size_bytes"]) for i in planned] == [("purge", 0), ("manifest", 0), ("blob", 18)]
    assert "only versions that are purged refer to it" in planned[2]["why"]
    told = thinned.ok("gc", "--dry-run")
    assert "fraud:1" in told.out
    assert "18 bytes would be freed" in told.err
    assert thinned("gc").code == 2, "it asks, and there is nobody to answer"
    freed = thinned.ok("gc", "--yes", "--json").json
    assert freed == {"counts": {"purge": 1, "manifest": 1, "blob": 1}, "size_bytes": 18}
    assert thinned("why", planned[2]["what"]).code == 3
    assert thinned.ok("gc", "--dry-run").out == ""


@pytest.mark.parametrize(("text", "code"), [("0h", 0), ("90m", 0), ("2d", 0), ("1.5", 0), ("soon", 2), ("-1h", 2)])
def test_a_grace_time_as_people_type_it(thinned: Program, text: str, code: int) -> None:
    ran = thinned("gc", "--dry-run", "--json", "--grace", text)
    assert ran.code == code
    if code == 0:
        assert any(i["kind"] == "blob" for i in ran.json["items"]) == (text == "0h")


def test_retention_is_set_shown_and_taken_away(program: Program) -> None:
    for n in (1, 2, 3):
        program.register("fraud", f'{{"threshold": 0.{n}}}')
    program.ok("project", "configure", "default", "--keep-newest", "1")
    assert "keep the newest 1" in program.ok("project", "get", "default").out
    model = program.ok("model", "update", "fraud", "--keep-newest", "2", "--json").json
    assert model["retention"] == {"newest": 2}
    assert [i["what"] for i in program.ok("gc", "--dry-run", "--json").json["items"]] == ["fraud:1"]
    program.ok("model", "update", "fraud", "--no-retention")
    assert len(program.ok("gc", "--dry-run", "--json").json["items"]) == 2
    program.ok("project", "configure", "default", "--no-retention")
    assert program.ok("gc", "--dry-run", "--json").json["items"] == []
    assert program("model", "update", "fraud", "--keep-days", "0").code == 2
    assert program("model", "update", "fraud", "--keep-days", "1", "--no-retention").code == 2


def test_what_takes_room_is_told_largest_first(program: Program) -> None:
    program.register("small", '{"threshold": 0.5}')
    program.register("large", '{"threshold": "' + "x" * 5000 + '"}')
    program.register("large", '{"threshold": "' + "y" * 50 + '"}')
    ran = program.ok("du")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["NAME", "large", "small"]
    assert "The store holds" in ran.err
    versions = program.ok("du", "large", "--json").json["items"]
    assert [v["name"] for v in versions] == ["large:1", "large:2"]
    assert program.ok("du", "--by", "project", "-q").out == "default\n"


def test_why_bytes_are_kept(program: Program) -> None:
    program.register()
    (file,) = program.ok("files", "fraud:1", "--json").json["items"]
    ran = program.ok("why", file["digest"][:15])
    assert f"fraud:1 as {file['path']}" in ran.out
    manifest = program.ok("get", "fraud:1", "--json").json["digest"]
    assert program.ok("why", manifest, "--json").json["kind"] == "manifest"
    assert program("why", "sha256:00000000").code == 3
    assert program("why", "fraud:1").code == 2


def test_fsck_exits_with_6_when_something_was_changed(program: Program) -> None:
    program.register("fraud", '{"threshold": 0.7}', "--metric", "f1=0.5")
    assert program.ok("fsck", "--json").json["ok"] is True
    with sqlite3.connect(program.place / "chopmark.db") as database:
        database.execute("update version_metrics set value = 1")
    ran = program("fsck", "--json")
    assert ran.code == 6
    (finding,) = ran.json["findings"]
    assert (finding["severity"], finding["code"], finding["where"]) == ("error", "row_altered", "fraud:1")
    ran = program("fsck", "--fast")
    assert ran.code == 6
    assert "row_altered" in ran.out
    assert "1 error found" in ran.err

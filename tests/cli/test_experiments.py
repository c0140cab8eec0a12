"""``chopmark experiment``: from start to decision, as an engineer types it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from tests.cli.running import Program

START = ("--control", "ranker:1", "--treatment", "ranker:2", "--metric", "success")


@pytest.fixture
def ranked(program: Program) -> Program:
    program.register("ranker", '{"depth": 3}')
    program.register("ranker", '{"depth": 4}', "--bump", "minor")
    program.ok("endpoint", "create", "search", "ranker:1")
    return program


def test_an_experiment_is_started_shown_and_stopped(ranked: Program) -> None:
    begun = ranked.ok(
        "experiment", "start", "test", "--on", "search", *START,
        "--guardrail", "name=errors,better=lower,threshold=0.02", "--also", "clicks", "--share", "control=90",
        "--share", "treatment=10", "--minimum-effect", "0.05", "--reason", "a try", "--json",
    ).json  # fmt: skip
    assert [(v["name"], v["weight"]) for v in begun["plan"]["variants"]] == [("control", 9_000), ("treatment", 1_000)]
    assert [(m["name"], m["role"]) for m in begun["plan"]["metrics"]] == [
        ("success", "primary"),
        ("errors", "guardrail"),
        ("clicks", "secondary"),
    ]
    assert ranked("experiment", "start", "test", *START).code == 4
    assert ranked("experiment", "start", "other", *START, "--guardrail", "kind=").code == 2
    shown = ranked.ok("experiment", "show", "test").out
    assert "errors (proportion, lower is better)" in shown
    assert ranked.ok("experiment", "list", "-q").out == "test\n"
    told = ranked.ok("experiment", "status", "test").out
    assert "Nothing can be said yet" in told
    assert "p = 1" not in told, "nobody was dealt yet"
    assert "units a day" not in told
    assert "1 h" not in ranked.ok("experiment", "extend", "test", "--max-duration", "30d").err
    dry = ranked.ok("experiment", "stop", "test", "--reason", "enough", "--dry-run")
    assert "nothing was changed" in dry.err
    ranked.ok("experiment", "stop", "test", "--reason", "enough")
    assert ranked("experiment", "decide", "test").code == 4
    ranked.ok("experiment", "archive", "test", "--reason", "enough")
    assert "no experiments" in ranked.ok("experiment", "list").err
    assert ranked("experiment", "status", "none").code == 3


def test_files_are_recorded_and_the_winner_is_promoted(ranked: Program) -> None:
    start = datetime.now(UTC) - timedelta(hours=2)
    with cm.open(ranked.place, clock=FakeClock(start)) as registry:
        begun = registry.experiments.start(
            "test",
            endpoint="search",
            control="ranker:1",
            treatment="ranker:2",
            metric="success",
            max_duration="1h",
            window="5m",
        )
    at = (start + timedelta(minutes=10)).isoformat()
    units = [f"u{number}" for number in range(1_500)]
    shown = "unit,at\n" + "".join(f"{unit},{at}\n" for unit in units)
    did = "".join(
        f'{{"unit": "{unit}", "at": "{at}", "success": {int(number % 10 < (3 if begun.assign(unit) == "control" else 6))}}}\n'
        for number, unit in enumerate(units)
    )
    assert (
        ranked.ok("experiment", "record", "test", "--file", ranked.file("shown.csv", shown), "--exposures").out
        == "1,500 rows taken\n"
    )
    for _ in range(2):
        ranked.ok("experiment", "record", "test", "--file", ranked.file("did.jsonl", did))
    early = f'{{"unit": "u1", "at": "{(start - timedelta(hours=1)).isoformat()}", "success": 1}}'
    left_out = ranked.ok("experiment", "record", "test", "--file", ranked.file("early.jsonl", early))
    assert "1 row of a time outside" in left_out.err
    status = ranked.ok("experiment", "status", "test", "--json").json
    assert (status["decision"], status["units"]) == ("winner", 1_500)
    rates = {v["name"]: v["values"]["success"] for v in status["variants"]}
    assert rates == {"control": pytest.approx(0.3, abs=0.1), "treatment": pytest.approx(0.6, abs=0.1)}
    told = ranked.ok("experiment", "status", "test").out
    assert "Promote treatment." in told
    assert "treatment: +0." in told
    assert "ranker:2 to search, queued" in ranked.ok("experiment", "decide", "test").out
    for word in ("show", "status"):
        assert "of ranker:2: queued" in ranked.ok("experiment", word, "test").out
    again = ranked("experiment", "decide", "test")
    assert (again.code, "chopmark rollout start search ranker:2" in " ".join(again.err.split())) == (4, True)
    bad = ranked("experiment", "record", "test", "--file", ranked.file("bad.csv", "unit,success\nu1,much\n"))
    assert (bad.code, "no number" in bad.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"unit,success\nf\xfcr,1\n", "a.csv is no CSV"),
        ("a.jsonl", b'{"unit": "f\xfcr", "success": 1}', "Line 1 of a.jsonl is no JSON object"),
        ("a.jsonl", '{"unit": "u", "success": 1}\n\n{"unit": "v"', "Line 3 of a.jsonl"),
        ("a.csv", "user,success\nu1,1\n", "There is no column unit in a.csv"),
        ("a.jsonl", '{"user": "u1", "success": 1}', "There is no column unit in a.jsonl"),
        ("a.csv", "", "There are no rows in a.csv"),
        ("a.csv", "unit,success\n", "There are no rows in a.csv"),
        ("a.jsonl", "\n", "There are no rows in a.jsonl"),
        ("a.csv", "unit,success\nu1,1\n\nu2,much\n", "success of line 4 of a.csv"),
        ("a.csv", "unit,success\nu1,1\n,1\n", "Line 3 of a.csv is of no unit"),
        ("a.csv", "unit,success\nu1,1\nu2\n", "Line 3 of a.csv has more or fewer"),
        ("a.csv", "unit,at,success\nu1,soon,1\n", "at of line 2 of a.csv"),
        ("a.jsonl", '\n{"unit": 7.5, "success": 1}', "unit of line 2 of a.jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_its_line(
    ranked: Program, name: str, content: str | bytes, words: str
) -> None:
    ranked.ok("experiment", "start", "test", *START)
    ran = ranked("experiment", "record", "test", "--file", ranked.file(name, content))
    assert ran.code == 2, ran.err
    assert words in " ".join(ran.err.split())
    assert "fault of the program" not in ran.err


def test_files_of_spreadsheets_begin_with_a_mark(ranked: Program) -> None:
    ranked.ok("experiment", "start", "test", *START)
    for name, content in (("a.csv", "unit,success\r\nu1,1\r\n"), ("a.jsonl", '{"unit": "u2", "success": 1}')):
        for kind in ((), ("--exposures",)):
            file = ranked.file(name, content.encode("utf-8-sig"))
            assert ranked.ok("experiment", "record", "test", "--file", file, *kind).out == "1 row taken\n"
    assert sum(v["exposed"] for v in ranked.ok("experiment", "status", "test", "--json").json["variants"]) == 2


def test_rows_come_by_standard_input(ranked: Program) -> None:
    ranked.ok("experiment", "start", "test", *START)
    ran = subprocess.run(
        [sys.executable, "-m", "chopmark", "experiment", "record", "test", "--file", "-", "--at", str(ranked.place)],
        input=b'{"unit": "u1", "success": 1}\n{"unit": "u2", "success": "x"}\n',
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, b"line 2 of standard input" in ran.stderr) == (2, True), ran.stderr

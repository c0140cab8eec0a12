"""``chopmark outcomes`` and ``chopmark feedback``: files that count once, tables, and what is refused."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import chopmark as cm
from chopmark.domain.endpoints import RouterReport, RoutingMark
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.domain.request_ids import RequestIds
from chopmark.ops.endpoints import GetRouting, ReportRouter
from tests.cli.running import Program

CSV = """at,latency_ms,error,cost_usd,amount
{0},10.0,,0.5,100
{0},20.0,,0.5,
{1},,timeout,,50
"""


def requests(program: Program) -> str:
    now = datetime.now(UTC)
    times = [now.isoformat(), str((now - timedelta(minutes=10)).timestamp())]
    return str(program.file("requests.csv", CSV.format(*times)))


def test_a_file_counts_once_and_is_told_by_version(program: Program) -> None:
    ref, file = program.register("fraud"), requests(program)
    for _ in range(2):
        assert program.ok("outcomes", "record", ref, "--file", file, "--json").json == {"requests": 3, "refused": 0}
    (line,) = program.ok("outcomes", "summary", "--model", "fraud").out.splitlines()[1:]
    assert line.split()[:3] == ["fraud:1", "elsewhere", "3"]
    assert "timeout 1" in line
    assert "66.67 %" in line
    (told,) = program.ok("outcomes", "summary", "--model", "fraud", "--json").json["variants"]
    assert (told["requests"], told["errors"], told["cost_usd"]) == (3, {"timeout": 1}, 1.0)
    assert (told["metrics"]["amount"]["count"], told["metrics"]["amount"]["mean"]) == (2, 75.0)
    points = program.ok("outcomes", "trend", "--model", "fraud", "--over", "1h", "--every", "minute").out.splitlines()
    assert len(points) == 3
    assert program.ok("outcomes", "summary", "--model", "fraud", "-q").out == "fraud:1\n"


def test_lines_of_json_are_read_as_well(program: Program) -> None:
    ref = program.register("fraud")
    lines = '{"latency_ms": 4, "clicks": 1}\n\n{"error": true}\n{"error": "client", "clicks": null}\n'
    program.ok("outcomes", "record", ref, "--file", program.file("rows.jsonl", lines), "--variant", "blue")
    (told,) = program.ok("outcomes", "summary", "--model", "fraud", "--json").json["variants"]
    assert (told["variant"], told["requests"], told["errors"]) == ("blue", 3, {"client": 1, "model": 1})
    assert told["metrics"]["clicks"]["count"] == 1


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "latency_ms\n", "no requests"),
        ("a.csv", "latency_ms,amount\n1\n", "more or fewer fields"),
        ("a.csv", "latency_ms\nquick\n", "no number"),
        ("a.csv", "at\n\n1,2\n", "more or fewer fields"),
        ("a.csv", "at,latency_ms\n,1\n", "time"),
        ("a.csv", "at\nsoon\n", "soon"),
        ("a.csv", "error\nodd\n", "'odd' is no kind of error"),
        ("a.csv", b"\xff\xfe", "no CSV"),
        ("a.jsonl", "{", "Line 1"),
        ("a.jsonl", "[1]", "Line 1"),
        ("a.jsonl", '{"at": null}', "no time"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(program: Program, name: str, content: str | bytes, told: str) -> None:
    ref = program.register("fraud")
    ran = program("outcomes", "record", ref, "--file", program.file(name, content))
    assert ran.code == 2, ran.err
    assert told in ran.err
    assert "Nothing was counted" in program.ok("outcomes", "summary", "--model", "fraud").err


def test_what_lies_too_far_back_is_told(program: Program) -> None:
    ref = program.register("fraud")
    ran = program.ok("outcomes", "record", ref, "--file", program.file("old.csv", "at,latency_ms\n2020-01-01,1\n"))
    assert "refused   1" in ran.out
    assert "48 hours" in ran.err


def test_versions_are_compared(program: Program) -> None:
    first, second = program.register("fraud"), program.register("fraud", '{"threshold": 0.8}')
    for ref, failed in ((first, 100), (second, 10)):
        rows = "error\n" + "model\n" * failed + '""\n' * (1_000 - failed)
        program.ok("outcomes", "record", ref, "--file", program.file(f"{failed}.csv", rows))
    lines = program.ok("outcomes", "compare", first, second).out.splitlines()
    assert lines[0].split()[:3] == ["WHAT", "fraud:1", "fraud:2"]
    assert lines[1].split()[:4] == ["success_rate", "0.9", "0.99", "+0.09"]
    found = program.ok("outcomes", "compare", first, second, "--json").json["differences"]
    assert found[0]["p_value"] < 1e-6
    assert program("outcomes", "compare", first, first).code == 2


def test_what_is_asked_of_nobody_or_of_both_is_no_question(program: Program) -> None:
    program.register("fraud")
    for arguments in (("summary",), ("summary", "api", "--model", "fraud"), ("trend",)):
        assert program("outcomes", *arguments).code == 2
    assert program("outcomes", "summary", "nobody").code == 3
    assert program("outcomes", "summary", "--model", "fraud", "--over", "soon").code == 2
    assert program("feedback").code == 2
    assert program("feedback", "AAAA", "--label", "x").code == 2


def test_truth_is_told_one_by_one_and_by_the_file(program: Program) -> None:
    program.register("fraud")
    program.ok("endpoint", "create", "api", "fraud:1")
    with cm.open(program.place) as registry:
        endpoint = registry.endpoints.get("api")
        secret = bytes.fromhex(registry._transport.call(GetRouting()).routing.secret)
        registry.outcomes.record("fraud:1", requests=8, endpoint="api")
    maker = RequestIds(secret, endpoint.id, endpoint.variants[0].version.id, 1, "stable")
    ids = [maker.made(int(datetime.now(UTC).timestamp() * 1_000), n) for n in range(4)]
    program.ok("feedback", ids[0], "--label", "7", "--prediction", "7")
    program.ok("feedback", ids[1], "--wrong", "--value", "2.5")
    lines = [f'{{"request_id": "{each}", "label": "a", "prediction": "b"}}' for each in ids[2:]]
    assert program.ok("feedback", "--file", program.file("l.jsonl", "\n".join(lines))).out == "taken: 2\n"
    ran = program.ok("outcomes", "summary", "api")
    assert "25 % right" in ran.out
    assert "(of 50 %)" in ran.out
    bad = program("feedback", "--file", program.file("l.jsonl", '{"label": 1}'))
    assert (bad.code, "Line 1" in bad.err) == (2, True)
    marked = program.file("m.jsonl", "\n".join(lines).encode("utf-8-sig"))
    assert program.ok("feedback", "--file", marked).out == "taken: 2\n"


def test_a_line_whose_id_is_none_is_named(program: Program) -> None:
    program.register("fraud")
    program.ok("endpoint", "create", "api", "fraud:1")
    with cm.open(program.place) as registry:
        endpoint = registry.endpoints.get("api")
        secret = bytes.fromhex(registry._transport.call(GetRouting()).routing.secret)
    maker = RequestIds(secret, endpoint.id, endpoint.variants[0].version.id, 1, "stable")
    good = maker.made(int(datetime.now(UTC).timestamp() * 1_000), 1)
    alone = '{"request_id": "AAAA", "correct": true}'
    first = f'{{"request_id": "{good}", "correct": true}}'
    for lines, number in ((alone, 1), (f"{first}\n\n{alone}", 3)):
        ran = program("feedback", "--file", program.file("l.jsonl", lines))
        assert ran.code == 2
        assert f"Line {number} of l.jsonl is refused: This is no request id" in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"request_id": "AA", "corect": true}', "It has no field 'corect'"),
        ('{"request_id": "AA", "correct": true, "note": ""}', "It has no field 'note'"),
        ('{"request_id": "AA"}', "This feedback says nothing"),
        ('{"request_id": "AA", "correct": "yes"}', "correct is a text"),
        ('{"request_id": "AA", "label": 1, "at": "soon"}', "in at"),
        ("[1]", "a mapping"),
    ],
)
def test_a_line_that_is_no_feedback_is_named(program: Program, line: str, words: str) -> None:
    program.register("fraud")
    file = program.file("l.jsonl", '{"request_id": "AA", "correct": true}\n\n' + line)
    ran = program("feedback", "--file", file)
    assert ran.code == 2
    told = " ".join(ran.err.split())
    assert "Line 3 of l.jsonl is no feedback" in told
    assert words in told


def test_an_estimate_stands_beside_the_truth_and_a_note_says_why_there_is_none(program: Program) -> None:
    source = np.random.default_rng(5)
    scores = source.random(2_000)
    with cm.open(program.place) as registry:
        version = registry.register(
            "fraud",
            {"threshold": 0.5},
            dataset=cm.dataset({"amount": np.zeros(2_000)}, name="held-out"),
            scores=scores,
            labels=(source.random(2_000) < scores).astype(int),
        )
        endpoint = registry.endpoints.create("api", version)
        registry.outcomes.record(version, requests=8, endpoint="api")
        profile = registry.profiles.get(version)

        def sampled(count: int) -> None:
            window = ProfileWindow(
                endpoint=endpoint.id,
                version=version.id,
                variant="stable",
                start=beginning(datetime.now(UTC), "hour"),
                counts=profile.count({"amount": np.zeros(count)}, scores=np.linspace(0.91, 0.97, count)),
            )
            report = RouterReport(id="r", mark=RoutingMark(), started_at=datetime.now(UTC))
            registry._transport.call(ReportRouter(report=report, profiles=(window,)))

        sampled(20)
        few = program.ok("outcomes", "summary", "api", "--over", "2h")
        assert "not known" in few.out
        assert "The accuracy of fraud:1 is not estimated: Too few scores were sampled: 20" in few.err
        sampled(400)
    ran = program.ok("outcomes", "summary", "api", "--over", "2h")
    assert "ESTIMATED ACCURACY" in ran.out
    assert re.search(r"≈ 9\d\.?\d* % \(\d\d[.\d]* to \d\d[.\d]*\)", ran.out)
    assert ran.err == ""
    (told,) = program.ok("outcomes", "summary", "api", "--over", "2h", "--json").json["variants"]
    assert "labels" not in told
    assert told["estimated"]["accuracy"] > 0.9
    assert told["estimated"]["rows"] == 400
    assert "concept drift" in told["estimated"]["caveat"]
    monitor = program.ok("monitor", "create", "api", "--metric", "estimated_accuracy", "--below", "0.8", "--json").json
    assert (monitor["name"], monitor["minutes"]) == ("api.estimated_accuracy", 60)

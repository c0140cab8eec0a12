"""``chopmark usage``: totals and a bar by day."""

from datetime import UTC, datetime, timedelta

import chopmark as cm
from chopmark.cli.usage import bar
from tests.cli.running import Program


def test_a_bar_has_a_mark_for_each_day() -> None:
    assert bar([]) == ""
    assert bar([0, 0]) == "··"
    assert bar([1, 0, 8]) == "▁·█"
    assert bar([1_000_000, 1]) == "█▁"


def test_versions_with_most_loads_come_first(program: Program) -> None:
    program.register("fraud")
    program.register("fraud", '{"threshold": 0.8}')
    program.register("churn")
    with cm.open(program.place) as registry:
        for ref in ("fraud:1", "fraud:2", "fraud:2"):
            registry.files.open(ref, registry.files.list(ref)[0].path).close()
            registry.load(ref)
    ran = program.ok("usage", "fraud")
    lines = ran.out.splitlines()
    assert lines[0].split()[:2] == ["VERSION", "LOADS"]
    assert [line.split()[:2] for line in lines[1:]] == [["fraud:2", "2"], ["fraud:1", "1"]]
    assert lines[1].endswith("·············█")
    assert program.ok("usage", "-q").out.split() == ["fraud:2", "fraud:1"]
    (item,) = program.ok("usage", "fraud:1", "--json").json["items"]
    assert (item["loads"], len(item["daily"]), item["daily"][-1]) == (1, 14, 1)


def test_days_without_loads(program: Program) -> None:
    program.register("fraud")
    day = (datetime.now(UTC) - timedelta(days=30)).date().isoformat()
    ran = program.ok("usage", "fraud", "--since", day, "--until", day)
    assert f"No loads from {day} to {day}." in ran.err
    assert program("usage", "nobody").code == 3

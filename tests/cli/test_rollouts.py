"""``chopmark rollout`` and ``chopmark rollback``, as an operator types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

import chopmark as cm
from chopmark.cli.rollout_view import event_line, watch_tree
from chopmark.domain.rollout_commands import COMMANDS
from chopmark.domain.rollouts import CheckState, Evidence
from chopmark.ops.rollouts import RolloutStatus
from chopmark.testing.catalog_rollouts import a_rollout, an_event
from tests.cli.running import Program
from tests.sdk.rollout_life import Life

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def moved(program: Program) -> Program:
    for threshold in ("0.7", "0.8"):
        program.register("fraud", f'{{"threshold": {threshold}}}')
    program.ok("endpoint", "create", "fraud-api", "fraud:1")
    return program


def test_a_rollout_is_begun_looked_at_commanded_and_listed(moved: Program) -> None:
    begun = moved.ok(
        "rollout", "start", "fraud-api", "fraud:2", "--steps", "5,50%", "--hold", "1h30m", "--samples", "7", "--deadline", "1d",
        "--window", "2h", "--reason", "newer", "--json",
    ).json  # fmt: skip
    assert [(s["weight"], s["hold_s"], s["samples_min"]) for s in begun["plan"]["steps"]] == [
        (500, 5_400, 7),
        (5_000, 5_400, 7),
    ]
    assert (begun["plan"]["deadline_s"], begun["plan"]["rollback_window_s"]) == (86_400, 7_200)
    shown = moved.ok("rollout", "status", "fraud-api").out
    assert "rollout of fraud:2 to fraud-api" in shown
    assert "canary: 5 % → 50 %" in shown
    assert "may be asked  pause, promote full, abort" in shown
    assert moved.ok("rollout", "pause", "fraud-api", "--reason", "lunch", "--json").json["pause"]["reason"] == "lunch"
    assert moved("rollout", "promote", "fraud-api", "--full").code == 4
    moved.ok("rollout", "resume", "fraud-api")
    assert moved.ok("rollout", "promote", "fraud-api", "--full", "--json").json["wants"] == "full"
    assert "promote full: " in moved.ok("rollout", "events", "fraud-api").out
    assert [e["kind"] for e in moved.ok("rollout", "events", "fraud-api", "--json").json["items"]] == [
        "paused",
        "resumed",
        "asked",
    ]
    assert moved.ok("rollout", "list", "--open", "-q").out.strip() == begun["id"]
    assert "fraud:2" in moved.ok("rollout", "list", "fraud-api").out
    assert moved.ok("rollout", "abort", "fraud-api", "--id", begun["id"], "--dry-run", "-q").code == 0
    assert moved.ok("rollout", "status", "fraud-api", "--json").json["rollout"]["wants"] == "full"


def test_what_is_refused_exits_with_its_code(moved: Program) -> None:
    assert moved("rollout", "status", "fraud-api").code == 3
    assert moved("rollback", "fraud-api").code == 4
    assert moved("rollout", "start", "fraud-api", "fraud:2", "--steps", "much").code == 2
    assert moved("rollout", "start", "fraud-api", "fraud:2", "--hold", "soon").code == 2
    moved.ok("rollout", "start", "fraud-api", "fraud:2")
    assert moved("rollout", "start", "fraud-api", "fraud:2").code == 4
    assert moved("rollout", "status", "fraud-api", "--wait", "--timeout", "0.1s").code == 9
    assert moved("rollout", "status", "fraud-api", "--id", str(UUID(int=1))).code == 3
    moved.ok("rollout", "pause", "fraud-api")
    assert moved("rollout", "status", "fraud-api", "--wait").code == 7
    back = moved.ok("rollback", "fraud-api", "--to", "fraud:2", "--strategy", "replace", "--json")
    assert [step["weight"] for step in back.json["plan"]["steps"]] == [10_000]


def test_the_verdict_is_the_exit_code(moved: Program) -> None:
    with cm.open(moved.directory / "other", actor="ada") as registry:
        life = Life(registry)
        registry.rollouts.start("fraud-api", "fraud:2", strategy="replace", hold=0, samples_min=0)
        life.confirm()
        for _ in range(8):
            life.go()
        assert life.rollout.state == "completed"
    assert moved("rollout", "status", "fraud-api", "--wait", at=moved.directory / "other").code == 0
    told = moved("rollout", "watch", "fraud-api", at=moved.directory / "other")
    assert told.code == 0
    assert [line.split("  ")[1].strip() for line in told.out.splitlines()][-1] == "completed"


def test_a_plan_is_rehearsed(moved: Program) -> None:
    since = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%MZ}"
    told = moved.ok("rollout", "rehearse", "fraud-api", "fraud:2", "--stable", "fraud:1", "--since", since)
    assert "rehearsal: unfinished" in told.out
    assert "Nothing was recorded" in told.out


def status(**changes: object) -> RolloutStatus:
    check = CheckState(name="error_rate", verdict="fail", evidence="error_rate: 12 of 100")
    rollout = a_rollout(checks=(check,), pause=None, **changes)
    events = (
        an_event(rollout.id, seq=1),
        an_event(rollout.id, seq=2, kind="asked", after="progressing", reason="abort: so"),
    )
    return RolloutStatus(rollout=rollout, commands=dict.fromkeys(COMMANDS, ""), events=events, at=NOON)


def test_watching_tells_each_event_once_where_nobody_sees_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    first, last = status(), status(state="rolled_back")
    assert watch_tree([first, first, last]) is last
    lines = capsys.readouterr().out.splitlines()
    assert lines == [event_line(event) for event in first.events]
    assert lines[0].startswith("12:00:00  aborting")
    assert "failed error_rate" in lines[0]


@pytest.mark.parametrize("state", ["progressing", "aborting", "baking", "completed", "rolled_back"])
def test_watching_draws_a_tree_on_a_terminal(
    state: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    watch_tree([status(state=state)])
    drawn = capsys.readouterr().out
    for said in ("risk/fraud-api", state.replace("_", " "), "30 %", "70 %", "12 of 100", "abort: so"):
        assert said in drawn
    assert ("▸ 30 %" in drawn) == (state == "progressing")
    assert ("✓ 100 %" in drawn) == (state in {"baking", "completed"})


def test_evidence_is_told_with_the_events(moved: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    moved.ok("rollout", "start", "fraud-api", "fraud:2")
    event = an_event(UUID(int=1), evidence=(Evidence(check="c", verdict="no_data", words="nothing yet"),))
    monkeypatch.setattr("chopmark.sdk.rollouts.Rollouts.events", lambda *_, **__: [event])
    assert "no data: nothing yet" in moved.ok("rollout", "events", "fraud-api").out


def test_a_plan_is_taken_from_a_file_and_from_nowhere_else(moved: Program, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(
        '{"steps": [{"weight": 700, "hold_s": 5}], "checks": [{"name": "e", "kind": "errors", "threshold": 0.1}]}'
    )
    begun = moved.ok("rollout", "start", "fraud-api", "fraud:2", "--plan", str(plan), "--json").json["plan"]
    assert [step["weight"] for step in begun["steps"]] == [700]
    assert [check["name"] for check in begun["checks"]] == ["e"]
    for option, value in (("--hold", "5m"), ("--steps", "10"), ("--copies-within", "1m"), ("--strategy", "canary")):
        refused = moved("rollout", "start", "fraud-api", "fraud:2", "--plan", str(plan), option, value)
        assert refused.code == 2
        assert f"leave out {option}" in refused.err
    plan.write_text('{"steps": [{"weight": 700}, {"weight": 5}]}')
    assert "never go down" in moved("rollout", "start", "fraud-api", "fraud:2", "--plan", str(plan)).err
    plan.write_text('{"steps": 3}')
    assert "steps" in moved("rollout", "start", "fraud-api", "fraud:2", "--plan", str(plan)).err
    assert "cannot be read" in moved("rollout", "start", "fraud-api", "fraud:2", "--plan", str(tmp_path / "none")).err


def test_how_long_a_shadow_may_get_nothing_is_said(moved: Program) -> None:
    said = ("rollout", "start", "fraud-api", "fraud:2", "--strategy", "shadow", "--copies-within", "90s", "--json")
    assert moved.ok(*said).json["plan"]["copies_within_s"] == 90

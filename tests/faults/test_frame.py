import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from faults import __main__ as program
from faults.options import Options
from faults.parts import PARTS, run_part
from faults.report import Outcome, as_json, is_clean, table, told


def options_in(path: Path, *, seed: int = 1, short: bool = True) -> Options:
    return Options(seed=seed, short=short, kills=8, versions=100, scratch=path / "scratch", keep=path / "kept")


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("faults.pretended")
    monkeypatch.setitem(sys.modules, "faults.pretended", module)
    monkeypatch.setitem(PARTS, "pretended", "faults.pretended")
    return module


def test_the_table_names_what_was_done_and_how_often() -> None:
    shown = table(
        [
            Outcome("kill -9", 1500, figures={"lost": 0, "answers_ms_p50": 12.345678}),
            Outcome("on a moon", 0, missing="no moon here"),
        ]
    ).splitlines()
    assert shown[0].split() == ["WHAT", "ROUNDS", "FINDINGS", "FIGURES"]
    assert shown[1].split() == ["kill", "-9", "1,500", "0", "lost", "0,", "answers_ms_p50", "12.35"]
    assert shown[2].endswith("NOT RUN: no moon here")


def test_findings_are_told_one_by_one_up_to_a_limit() -> None:
    outcome = Outcome("kill -9", 30, findings=[f"round {n}" for n in range(30)])
    assert not is_clean([outcome])
    lines = told([outcome]).splitlines()
    assert lines[0] == "kill -9: round 0"
    assert lines[-1] == "kill -9: and 10 more; --json has them all"
    assert len(json.loads(as_json([outcome], seed=3))["outcomes"][0]["findings"]) == 30


def test_randomness_is_that_of_seed_and_name(tmp_path: Path) -> None:
    drawn = [options_in(tmp_path, seed=seed).random(what).random() for seed in (1, 2) for what in ("a", "b", "a")]
    assert drawn[0] == drawn[2]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize(("findings", "code"), [((), 0), (("round 3: lost",), 1)])
def test_a_finding_is_the_exit_code(
    part: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, findings: tuple[str, ...], code: int
) -> None:
    part.run = lambda options: [Outcome("pretended", options.kills, findings=findings)]
    target = tmp_path / "faults.json"
    arguments = ["--only", "pretended", "--kills", "7", "--json", str(target), "--scratch", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["faults", *arguments])
    monkeypatch.setattr(program, "running", pytest.MonkeyPatch.context)
    assert program.main() == code
    outcome = json.loads(target.read_text())["outcomes"][0]
    assert outcome["rounds"] == 7
    assert outcome["findings"] == list(findings)


def test_a_part_that_breaks_is_a_finding(part: ModuleType, tmp_path: Path) -> None:
    def broken(_options: Options) -> list[Outcome]:
        raise ZeroDivisionError("by nought")

    part.run = broken
    (outcome,) = run_part("pretended", options_in(tmp_path))
    assert "by nought" in outcome.findings[0]

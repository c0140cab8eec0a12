"""``compare`` and ``report`` on the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest

import chopmark as cm
from tests.cli.running import Program


@pytest.fixture
def two(program: Program) -> Program:
    program.register("fraud", '{"t": 1}', "--metric", "roc_auc=0.9", "--metric", "odd=1", "--tag", "team=risk")
    program.register("fraud", '{"t": 2}', "--metric", "roc_auc=0.95", "--metric", "odd=1", "--tag", "team=risk")
    return program


def test_only_what_differs(two: Program) -> None:
    out = two.ok("compare", "fraud:1", "fraud:2").out
    assert out.startswith("fraud:2 is better than fraud:1 in roc_auc and worse in none")
    assert "roc_auc  0.9      0.95 ▲ +0.05 (+5.56 %)" in out
    assert "team" not in out
    assert "odd" not in out
    everything = two.ok("compare", "fraud:1", "fraud:2", "--all").out
    assert "team  risk     risk" in everything
    assert "odd" in everything


def test_quiet_and_json(two: Program) -> None:
    assert two.ok("compare", "fraud:1", "fraud:2", "-q").out == "fraud:2\n"
    told = two.ok("compare", "fraud:1", "fraud:1.0.1", "--baseline", "fraud:2", "--json").json
    assert told["baseline"] == "fraud:2"
    assert told["recommendation"]["winner"] == "fraud:2"
    tie = two.ok("compare", "fraud:1", "fraud:2", "-q", "--direction", "roc_auc=minimize", "--direction", "odd=up")
    assert tie.out == "fraud:1\n"
    unknown = two("compare", "fraud:1", "fraud:2", "--direction", "roc_acu=minimize")
    assert unknown.code == 2
    assert "'roc_acu', a metric that none of the versions has" in unknown.err


def test_no_winner_is_said_on_standard_error_when_quiet(program: Program) -> None:
    program.register("fraud", '{"t": 1}')
    program.register("fraud", '{"t": 2}')
    ran = program.ok("compare", "fraud:1", "fraud:2", "-q")
    assert ran.out == ""
    assert "No clear winner: the versions share no recorded metric" in ran.err


def test_small_differences_are_not_told_without_data(program: Program) -> None:
    program.register("fraud", '{"t": 1}', "--metric", "roc_auc=0.95")
    program.register("fraud", '{"t": 2}', "--metric", "roc_auc=0.953")
    ran = program.ok("compare", "fraud:1", "fraud:2", "-q")
    assert ran.out == ""
    assert "too small to tell without data" in ran.err


@pytest.mark.parametrize("how", [[], ["-q"], ["--json"], ["-o", "c.md"]])
def test_it_fails_when_every_version_failed(two: Program, tmp_path: Path, how: list[str]) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,y\n1,0\n2,1\n")
    how = [str(tmp_path / word) if word == "c.md" else word for word in how]
    ran = two("compare", "fraud:1", "fraud:2", "--data", file, "--target", "y", *how)
    assert ran.code == 1
    if not how:
        assert ran.out.startswith("No clear winner: no version could be judged. Not judged: fraud:1 (")
        assert "ON ROWS.CSV" in ran.out
        assert "failed" in ran.out
    if how == ["-q"]:
        assert ran.out == ""


@pytest.mark.parametrize(
    ("name", "begins"), [("c.html", "<!doctype html>"), ("c.md", "# Comparison of"), ("c.json", "{")]
)
def test_a_report_of_a_comparison(two: Program, tmp_path: Path, name: str, begins: str) -> None:
    file = tmp_path / name
    assert two.ok("compare", "fraud:1", "fraud:2", "-o", file).out == f"{file}\n"
    assert file.read_text().startswith(begins)


def test_usage(two: Program, tmp_path: Path) -> None:
    ran = two("compare", "fraud:1")
    assert ran.code == 2
    assert "two or more different versions" in ran.err
    assert two("compare", "fraud:1", "fraud:2", "--target", "y").code == 2
    assert two("compare", "fraud:1", "fraud:2", "--direction", "odd=sideways").code == 2
    assert two("compare", "fraud:1", "fraud:9").code == 3
    ran = two("compare", "fraud:1", "fraud:2", "-o", tmp_path / "c.pdf")
    assert ran.code == 2
    assert "cannot be told from its name" in ran.err
    ran = two("report", "fraud:1", "-o", tmp_path / "no" / "such" / "c.html")
    assert "cannot be written" in ran.err


def test_on_a_file_of_rows(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chopmark.sdk.timing.BUDGET_S", 0.05)
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(400, 3)), columns=["a", "b", "c"])
    odd = random.random(400) < 0.2
    rows[odd] *= 6
    with cm.open(program.place) as registry:
        for share in (0.01, 0.2):
            registry.register(
                "d",
                IsolationForest(n_estimators=20, contamination=share, random_state=0).fit(rows),
                example=rows,
                metrics={"f1": 1},
            )
    file = tmp_path / "rows.csv"
    rows.assign(odd=odd.astype(int)).to_csv(file, index=False)
    out = program.ok("compare", "d:1", "d:2", "--data", file, "--target", "odd").out
    assert out.startswith(
        "d:2 is right on more rows than d:1, significantly at 5% (paired tests on 400 labelled rows)."
    )
    for words in (
        "ON ROWS.CSV",
        "recall",
        "share of anomaly",
        "latency p95 (ms)",
        "AGREEMENT",
        "from normal to anomaly",
    ):
        assert words in out, words
    told = program.ok("compare", "d:1", "d:2", "--data", file, "--target", "odd", "--json").json
    assert told["data"]["row_count"] == 400
    assert {v["kind"] for v in told["data"]["versions"]} == {"anomaly"}


def test_what_a_timed_model_warns_of_is_told_once(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chopmark.sdk.timing.BUDGET_S", 0.05)
    rows = np.random.default_rng(0).normal(size=(60, 2))
    with cm.open(program.place) as registry:
        for seed in (0, 1):
            registry.register("d", IsolationForest(n_estimators=5, random_state=seed).fit(rows))
    file = tmp_path / "rows.csv"
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(file, index=False)
    ran = program.ok("compare", "d:1", "d:2", "--data", file)
    assert ran.err.count("X has feature names, but IsolationForest was fitted without feature names") == 1


def test_a_version_in_every_form(two: Program, tmp_path: Path) -> None:
    assert two.ok("report", "fraud:2").out.startswith("# fraud:2 · 1.0.1\n")
    assert two.ok("report", "fraud:2", "--json").json["version"]["number"] == 2
    assert two.ok("report", "fraud:2", "--format", "card").out.startswith("---\ntags:\n")
    file = tmp_path / "fraud.html"
    assert two.ok("report", "fraud:2", "-o", file).out == f"{file}\n"
    assert file.read_text().startswith("<!doctype html>")
    card = tmp_path / "README.md"
    assert two.ok("report", "fraud:2", "-o", card, "--format", "card", "--json").json["path"] == str(card)
    assert card.read_text().startswith("---\n")
    assert two.ok("report", "fraud:2", "-o", tmp_path / "s.json").err == ""
    assert json.loads((tmp_path / "s.json").read_text())["version"]["number"] == 2


def test_what_was_deleted_has_a_story(two: Program) -> None:
    two.ok("delete", "fraud:1")
    assert "deleted" in two.ok("report", "fraud:1").out
    assert two("report", "fraud:9").code == 3


def test_a_terminal_is_not_steered(program: Program) -> None:
    program.register("fraud", '{"t": 1}', "--tag", "a=\x1b[2J")
    program.register("fraud", '{"t": 2}')
    assert "\x1b[2J" not in program.ok("compare", "fraud:1", "fraud:2").out
    assert "\x1b[2J" not in program.ok("report", "fraud:1").out
    program.on_terminal = True
    assert "\x1b[2J" not in program.ok("compare", "fraud:1", "fraud:2").out

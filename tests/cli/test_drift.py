"""Profiles on the command line: made from a file, shown, and other files held against them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.running import Program


def rows(shift: float = 0.0, count: int = 2_000, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.normal(40 + shift, 12, count).round(2),
            "country": random.choice(["de", "fr", "it"], count, p=[0.6, 0.3, 0.1]),
            "signup": pd.date_range("2026-01-01", periods=count, freq="min"),
            "score": random.random(count),
            "label": random.integers(0, 2, count),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rows().to_parquet(tmp_path / "train.parquet")
    rows().to_csv(tmp_path / "train.csv", index=False)
    rows(seed=2).drop(columns="label").to_csv(tmp_path / "same.csv", index=False)
    rows(shift=12, seed=3).drop(columns="label").to_parquet(tmp_path / "moved.parquet")
    rows(count=100, seed=4).drop(columns="label").to_csv(tmp_path / "few.csv", index=False)
    return tmp_path


@pytest.fixture
def registered(program: Program, files: Path) -> Program:
    program.ok(
        "register",
        "fraud",
        program.file(),
        "--dataset",
        files / "train.parquet",
        *("--scores", "score", "--labels", "label"),
    )
    return program


@pytest.mark.parametrize("name", ["train.parquet", "train.csv"])
def test_a_file_of_rows_leaves_a_profile_and_what_it_lacks_is_told(program: Program, files: Path, name: str) -> None:
    ran = program.ok("register", "fraud", program.file(), "--dataset", files / name, "--labels", "label")
    assert f"note: The profile of {name} leaves out signup (times).\n" in ran.err
    assert program.ok("profile", "list", "fraud", "-q").out == f"{name}\n"
    found = program.ok("profile", "get", "fraud", "--dataset", name, "--json").json
    assert [column["name"] for column in found["columns"]] == ["age", "country", "score"]
    assert found["left_out"] == {"signup": "times", "label": "labels"}


def test_a_profile_is_shown(registered: Program) -> None:
    ran = registered.ok("profile", "get", "fraud")
    lines = ran.out.splitlines()
    assert lines[0] == "2,000 rows · 2 columns"
    assert "left out     signup (times), score (scores), label (labels)" in ran.out
    assert "calibration  error 0." in ran.out
    assert any(line.startswith("country  levels") and "de 6" in line for line in lines)
    assert any(line.startswith("age      numbers") and "mean 39." in line for line in lines)


def test_rows_as_they_were_pass_and_others_do_not(registered: Program, files: Path) -> None:
    same = registered("drift", "fraud", files / "same.csv", "--scores", "score", "--check")
    assert (same.code, same.out, same.err) == (0, "None of 2 columns drifted.\n", "")
    moved = registered("drift", "fraud", files / "moved.parquet", "--scores", "score", "--check")
    assert moved.code == 1
    assert moved.out.startswith("1 of 2 columns drifted, and the model's answers did not: age.")
    assert "country" not in moved.out
    assert registered("drift", "fraud", files / "moved.parquet").code == 0
    assert "country" in registered.ok("drift", "fraud", files / "moved.parquet", "--all").out


def test_what_was_not_seen_did_not_pass(registered: Program, files: Path) -> None:
    few = registered("drift", "fraud", files / "few.csv", "--check", "-q")
    assert (few.code, few.out) == (1, "not enough data\n")
    assert registered("drift", "fraud", files / "few.csv", "--check", "--minimum", "50").code == 0


def test_a_column_without_a_verdict_did_not_pass_beside_good_ones(program: Program, tmp_path: Path) -> None:
    frame = pd.DataFrame({"good": np.arange(2_000.0), "sparse": np.arange(2_000.0)})
    frame.to_parquet(tmp_path / "train.parquet")
    program.ok("register", "fraud", program.file(), "--dataset", tmp_path / "train.parquet")
    frame = frame.assign(sparse=np.where(frame.index % 2, np.nan, frame["sparse"] + 1000))[:800]
    frame["good"] = np.arange(0, 2_000, 2.5)
    frame.to_csv(tmp_path / "live.csv", index=False)
    arguments = ("drift", "fraud", tmp_path / "live.csv", "--threshold", "missing=1", "--check")
    ran = program(*arguments)
    assert (ran.code, ran.out.splitlines()[0]) == (1, "None of 1 columns drifted. 1 had too few values to tell.")
    assert "not passed: sparse." in ran.err
    quiet = program(*arguments, "-q")
    assert (quiet.code, quiet.out) == (1, "ok\n")
    assert program(*arguments, "--without", "sparse").code == 0


def test_json_is_the_whole_report(registered: Program, files: Path) -> None:
    ran = registered("drift", "fraud", files / "moved.parquet", "--check", "--json")
    assert ran.code == 1
    assert ran.json["verdict"] == "drift"
    assert {column["name"] for column in ran.json["columns"]} == {"age", "country"}
    assert ran.json["columns"][0]["measures"]


def test_scores_that_are_not_compared_are_told(registered: Program, files: Path) -> None:
    assert "name their column with --scores" in registered.ok("drift", "fraud", files / "same.csv").err


def test_a_column_that_is_gone_fails_unless_it_is_left_out(program: Program, files: Path) -> None:
    program.ok("register", "fraud", program.file(), "--dataset", files / "train.csv")
    ran = program("drift", "fraud", files / "same.csv", "--check")
    assert ran.code == 2
    assert "lack 1 of 4 columns of the profile: 'label'" in ran.err
    assert "--without" in ran.err
    assert program("drift", "fraud", files / "same.csv", "--check", "--without", "label").code == 0


def test_a_label_that_the_model_does_not_take_is_left_out_and_told(program: Program, files: Path) -> None:
    signature = {
        "inputs": [{"name": n, "type": t} for n, t in (("age", "float"), ("country", "string"))],
        "outputs": [],
    }
    file = program.file("signature.json", json.dumps(signature))
    program.ok("register", "fraud", program.file(), "--dataset", files / "train.csv", "--signature", file)
    ran = program("drift", "fraud", files / "same.csv", "--check")
    assert (ran.code, ran.err) == (0, "note: Not in same.csv, and no input of the model: label.\n")


def test_thresholds_are_named(registered: Program, files: Path) -> None:
    ran = registered("drift", "fraud", files / "same.csv", "--threshold", "pis=0.2")
    assert ran.code == 2
    assert "psi" in ran.err


def test_it_can_be_left_away_or_some_of_it(program: Program, files: Path) -> None:
    program.ok("register", "fraud", program.file(), "--dataset", files / "train.csv", "--no-profile")
    assert program("profile", "get", "fraud").code == 3
    assert "no profile of its data" in program.ok("profile", "list", "fraud").err
    program.ok("register", "other", program.file(), "--dataset", files / "train.csv", "--profile-without", "country")
    assert "it 1" not in program.ok("profile", "get", "other").out
    assert "country (left out by request)" in program.ok("profile", "get", "other").out


@pytest.mark.parametrize(
    "words", [("--profile",), ("--profile-without", "age"), ("--scores", "score"), ("--dataset", "march", "--profile")]
)
def test_a_profile_of_nothing_is_refused(program: Program, words: tuple[str, ...]) -> None:
    ran = program("register", "fraud", program.file(), *words)
    assert ran.code == 2
    assert "data" in ran.err
    assert program("list").code == 0
    assert program.ok("list", "-q").out == ""


def test_a_dry_run_profiles_and_stores_nothing(program: Program, files: Path) -> None:
    ran = program.ok("register", "fraud", program.file(), "--dataset", files / "train.csv", "--dry-run")
    assert "leaves out signup" in ran.err
    assert program("get", "fraud").code == 3

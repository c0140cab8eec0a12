"""``python -m chopmark.stats.reference``: counts, words and exit codes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chopmark.stats.reference.__main__ import main

HERE = Path(__file__).parent
ALERTS = HERE / "monitoring" / "alert_timeline_public.json"
HASHES = HERE / "experiments" / "bucketing_hash_vectors.json"


def written(directory: Path, content: Any) -> str:
    path = directory / "changed.json"
    path.write_bytes(msgspec.json.encode(content))
    return str(path)


def test_files_that_pass_exit_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ALERTS), str(HASHES)]) == 0
    assert capsys.readouterr().out == f"{ALERTS}: 3 passed, 0 failed\n{HASHES}: 20 passed, 0 failed\n"


def test_a_wrong_expectation_fails_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = msgspec.json.decode(HASHES.read_bytes())
    content["cases"][3]["expected"]["growthbook_v1"] += 0.25
    path = written(tmp_path, content)
    assert main([str(ALERTS), path]) == 1
    out = capsys.readouterr().out
    assert f"{path}: 19 passed, 1 failed\n" in out
    assert "FAILED bucketing_hash_vectors bucketing_hash_vectors-p004: growthbook_v1: expected" in out
    assert "off by 0.25" in out


def test_a_timeline_one_minute_longer_fails(tmp_path: Path) -> None:
    content = msgspec.json.decode(ALERTS.read_bytes())
    content["threshold"]["b01_for_exact"]["firing"] = [[15, 17]]
    assert main([written(tmp_path, content)]) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"method": "astrology", "cases": [{"id": "a", "input": {}, "expected": {"p": 1}}]}, "no reference method"),
        ({"method": "bucketing_hash_vectors", "cases": []}, "no case that is known here"),
        ({"something": {"else": 1}}, "no case that is known here"),
        ([1, 2], "no case that is known here"),
        (
            {"method": "bucketing_hash_vectors", "cases": [{"id": "a", "input": {}, "expected": {"p": 1}}]},
            "raised KeyError",
        ),
        (
            {"webhook": [{"secret": "", "id": "a", "timestamp": 1, "body": "", "signature": "v1,"}]},
            "refused: That is no",
        ),
    ],
)
def test_what_cannot_be_checked_fails(
    content: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([written(tmp_path, content)]) == 1
    assert words in capsys.readouterr().out


def test_a_file_that_is_none_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert main([str(broken)]) == 1
    assert main([str(tmp_path / "absent.json")]) == 1
    assert capsys.readouterr().out.count("cannot be read") == 2


def test_a_file_without_cases_by_design_is_told_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(HERE / "monitoring" / "datasets_offline.json")]) == 0
    assert "nothing for statistics to compute" in capsys.readouterr().out


def test_no_files_is_a_question_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_it_runs_as_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "chopmark.stats.reference", str(ALERTS)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"{ALERTS}: 3 passed, 0 failed\n"

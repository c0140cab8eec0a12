"""The check of instruction counts can fail: the comparison is a pure function, tried on counts that are too high."""

import json
import subprocess
import sys

import pytest

from benchmarks import instructions
from benchmarks.instructions import BASELINES, CALLS, judged, machine, read_counts

BASELINE = {"register 10 kB": 1_000_000, "resolve by number": 10_000}


@pytest.mark.parametrize(
    ("change", "faults", "texts"),
    [
        (1.0, 0, []),
        (1.0499, 0, []),
        (0.9501, 0, []),
        (1.0501, 1, ["register 10 kB takes 1,050,100 instructions, +5.0% against its baseline of 1,000,000. Mend it"]),
        (1.3, 1, ["+30.0%"]),
        (0.94, 0, ["register 10 kB takes 940,000 instructions, -6.0% against its baseline of 1,000,000. Lower"]),
    ],
)
def test_what_is_told_of_a_change(change: float, faults: int, texts: list[str]) -> None:
    found = judged({**BASELINE, "register 10 kB": round(1_000_000 * change)}, BASELINE)
    assert sum(each.is_fault for each in found) == faults
    assert len(found) == len(texts)
    assert all(text in each.text for text, each in zip(texts, found, strict=True))


def test_figures_on_one_side_only() -> None:
    found = judged({"resolve by number": 10_000, "new": 1}, BASELINE)
    assert [each.is_fault for each in found] == [True, True]
    assert found[0].text.startswith("new has no baseline")
    assert found[1].text.startswith("register 10 kB is in the baselines and was not counted")


def test_counts_are_read_from_every_second_set_of_counters() -> None:
    dumps = []
    for number, calls in enumerate(CALLS.values(), 1):
        dumps += ["version: 1\ntotals: 999999999\n", f"events: Ir\nsummary: {number * 1_000 * calls}\n"]
    assert list(read_counts(dumps).values()) == [number * 1_000 for number in range(1, len(CALLS) + 1)]
    with pytest.raises(ValueError, match="sets of counters"):
        read_counts(dumps[:-1])
    with pytest.raises(ValueError, match="no total for register"):
        read_counts(["", "nothing", *dumps[2:]])


def test_a_python_without_baselines_fails_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions, "machine", lambda: "CPython 9.9.9, SQLite 9, abacus")
    monkeypatch.setattr(sys, "argv", ["instructions"])
    assert instructions.main() != 0
    assert "no baselines for CPython 9.9.9, SQLite 9, abacus" in capsys.readouterr().err


def test_a_higher_count_fails_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = json.loads(BASELINES.read_text())
    kind = next(iter(known))
    monkeypatch.setattr(instructions, "machine", lambda: kind)
    monkeypatch.setattr(sys, "argv", ["instructions"])
    monkeypatch.setattr(instructions, "counted", lambda: dict(known[kind]))
    assert instructions.main() == 0
    slower = {what: round(count * 1.06) for what, count in known[kind].items()}
    monkeypatch.setattr(instructions, "counted", lambda: slower)
    assert instructions.main() == 1
    assert capsys.readouterr().err.count("+6.0%") == len(CALLS)


def test_the_baselines_are_of_the_figures_that_are_counted() -> None:
    for kind, counts in json.loads(BASELINES.read_text()).items():
        assert list(counts) == list(CALLS), kind
        assert all(count > 100_000 for count in counts.values()), kind


def test_the_name_of_this_machine() -> None:
    asked = "from benchmarks.instructions import machine; print(machine())"
    printed = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == machine()
    assert len(machine().split(", ")) == 3

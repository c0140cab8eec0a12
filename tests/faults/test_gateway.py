"""The campaign against the gateway finds answers that break a promise, and complains of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.gateway import run
from faults.gateway_checks import KINDS, Down, History, asked_at_most, faults_in
from faults.gateway_clients import Told
from faults.options import Options

HERE = "http://here"
HISTORY = History(
    tables={1: {"stable": (1, 10_000)}, 2: {"stable": (1, 5_000), "candidate": (2, 5_000), "candidate-2": (3, 0)}},
    confirmed=[(10.0, 1), (20.0, 2)],
    downs=[Down(HERE, 30.0, 35.0)],
)


def answer(version: int, variant: str, generation: int, at_s: float, *, key: str = "k", predicted: float = 0) -> Told:
    return Told(key, 200, version, variant, generation, predicted or version, at_s, at_s + 0.1)


@pytest.mark.parametrize(
    ("told", "kinds"),
    [
        ([answer(1, "stable", 1, 11.0), answer(2, "candidate", 2, 21.0), answer(2, "candidate", 2, 22.0)], []),
        ([answer(1, "stable", 1, 19.9)], []),
        ([answer(1, "stable", 1, 20.1)], ["stale"]),
        ([answer(1, "stable", 2, 21.0, predicted=2)], ["wrong"]),
        ([answer(2, "stable", 2, 21.0)], ["no_table"]),
        ([answer(3, "candidate-2", 2, 21.0)], ["no_table"]),
        ([answer(1, "stable", 9, 21.0)], ["no_table"]),
        ([answer(1, "stable", 2, 21.0), answer(2, "candidate", 2, 22.0)], ["moved"]),
        ([answer(1, "stable", 2, 21.0), answer(2, "candidate", 2, 22.0, key="another")], []),
        ([Told("k", 503, begun_s=31.0, ended_s=31.1)], []),
        ([Told("k", -1, begun_s=29.0, ended_s=30.1)], []),
        ([Told("k", 0, begun_s=36.0, ended_s=36.1)], ["failed"]),
        ([Told("k", 500, begun_s=21.0, ended_s=21.1)], ["failed"]),
    ],
)
def test_what_is_a_broken_promise(told: list[Told], kinds: list[str]) -> None:
    found = list(faults_in(HISTORY, [(HERE, each) for each in told]))
    assert [kind for kind, _ in found] == kinds
    assert set(kinds) <= set(KINDS)


def test_what_was_never_sent_is_not_asked() -> None:
    told = [Told("k", 200), Told("k", -1), Told("k", 0), Told("k", 500)]
    assert asked_at_most([(HERE, each) for each in told]) == 3


def test_that_another_was_away_excuses_nothing() -> None:
    (found,) = faults_in(HISTORY, [("http://there", Told("k", -1, begun_s=31.0, ended_s=31.1))])
    assert found[0] == "failed"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_campaign_finds_nothing(tmp_path: Path) -> None:
    options = Options(seed=5, short=True, kills=4, versions=10, scratch=tmp_path / "scratch", keep=tmp_path / "kept")
    (outcome,) = run(options)
    assert outcome.findings == []
    assert outcome.rounds == 4
    assert float(outcome.figures["answers_api"]) > 100
    assert float(outcome.figures["answers_work"]) > 100

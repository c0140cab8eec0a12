"""Simulated rollouts: clean over the product, repeated by their seeds, and able to find each fault that is broken on purpose."""

import pytest

from faults.rollouts import schedule
from faults.rollouts_broken import BROKEN, broken_product


def test_schedules_are_clean_and_reach_every_state() -> None:
    entered: set[str] = set()
    for seed in range(600):
        found, states = schedule(seed)
        assert not found, f"python -m faults.rollouts --replay {seed}"
        entered |= set(states)
    wanted = {"preparing", "progressing", "promoting", "baking", "completed", "aborting", "rolled_back", "failed"}
    assert entered >= wanted | {"superseded"}


TOLD = {
    "no_compare_and_set": ("without an event", "was left for", "raised to", "the weight went down", "two rollouts"),
    "stale_cache": ("live routers had",),
    "local_clock": ("left after", "live routers had"),
    "step_in_memory": ("was followed by step", "the weight went down"),
    "no_data_passes": ("requests", "without a measurement"),
    "hold_blocks_abort": ("an abort never ended",),
    "any_generation": ("applied an older routing",),
    "old_measurement": ("passed without a measurement of drift", "passed by a measurement of drift"),
    "alert_outlives": ("an alert fires of a rollout that is",),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_broken_on_purpose_is_found(fault: str) -> None:
    broken = frozenset({fault})
    with broken_product(broken):
        for seed in range(3_000):
            found, _ = schedule(seed, broken)
            if any(part in text for text in found for part in TOLD[fault]):
                return
    pytest.fail("3,000 schedules found nothing")


def test_the_same_seed_is_the_same_schedule() -> None:
    for seed in range(40):
        lines: list[list[str]] = [[], []]
        answers = [schedule(seed, told=each.append) for each in lines]
        assert lines[0] == lines[1]
        assert answers[0] == answers[1]

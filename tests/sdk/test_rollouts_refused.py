"""What cannot be meant by a rollout is refused in words before anything is begun."""

from typing import Any

import pytest

import chopmark as cm
from chopmark.domain.rollout_plans import Check, FreezeWindow
from chopmark.errors import Conflict, InvalidRequest, TimedOut
from tests.sdk.rollout_life import NAME, Life


@pytest.fixture
def near(own: cm.Registry) -> Life:
    return Life(own)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"strategy": "canarry"}, "There is no strategy 'canarry'"),
    ({"strategy": None}, "There is no strategy"),
    ({"steps": 10}, "10 are no steps"),
    ({"steps": "10,20"}, "are no steps"),
    ({"steps": ["10"]}, "'10' is no share"),
    ({"steps": [True]}, "True is no share"),
    ({"steps": [float("nan")]}, "no share of the traffic"),
    ({"steps": {10: 20}}, "are no steps"),
    ({"steps": [0]}, "nothing would be seen of the candidate"),
    ({"steps": [0], "strategy": "shadow"}, "nothing would be seen"),
    ({"steps": [20], "strategy": "blue-green"}, "blue-green has no steps"),
    ({"steps": [20], "strategy": "replace"}, "replace has no steps"),
    ({"steps": [20, 50], "strategy": "shadow"}, "shadow has one share, not 2"),
    ({"steps": [20, 50], "strategy": "ab"}, "ab has one share, not 2"),
    ({"checks": ["error_rate"]}, "'error_rate' is no Check"),
    ({"checks": Check(name="errors", kind="errors", threshold=0.1)}, "are no checks"),
    ({"freezes": "friday"}, "are no freezes"),
    ({"freezes": FreezeWindow(weekdays=(4,))}, "are no freezes"),
    (
        {"steps": [10, 50], "hold": "1h", "deadline": "90m"},
        "held for 7200 s together, and the deadline is after 5400 s",
    ),
    ({"hold": "1d"}, "held for 864000 s together"),
]


@pytest.mark.parametrize(("given", "words"), REFUSED, ids=[f"{n}" for n in range(len(REFUSED))])
def test_it_is_refused_in_words(local: cm.Registry, given: dict[str, Any], words: str) -> None:
    near = Life(local)
    with pytest.raises(InvalidRequest, match=words) as refused:
        near.registry.rollouts.start(NAME, "fraud:2", **given)
    assert refused.value.hint or "no share of" in words
    assert list(near.registry.rollouts.list()) == []


@pytest.mark.parametrize(
    "given",
    [
        {"steps": (0, 10, 100)},
        {"steps": range(10, 101, 10)},
        {"steps": [20], "strategy": "shadow"},
        {"steps": [20], "strategy": "ab"},
        {"strategy": "blue-green"},
        {"steps": [10, 50], "hold": "1h", "deadline": "2h"},
        {"hold": "1d", "deadline": 0},
        {"checks": []},
    ],
    ids=str,
)
def test_what_can_be_meant_begins(local: cm.Registry, given: dict[str, Any]) -> None:
    assert Life(local).registry.rollouts.start(NAME, "fraud:2", **given).state == "queued"


def test_an_endpoint_that_others_serve_has_no_rollout(near: Life) -> None:
    near.registry.endpoints.update(NAME, config={"target": "external"})
    with pytest.raises(Conflict, match="whose target is external") as refused:
        near.registry.rollouts.start(NAME, "fraud:2")
    assert refused.value.hint == "Say what answers there: chopmark endpoint split fraud-api fraud:2=100"
    assert list(near.registry.rollouts.list()) == []


def test_who_waits_in_vain_is_told_what_to_watch(near: Life) -> None:
    near.registry.rollouts.start(NAME, "fraud:2")
    with pytest.raises(TimedOut) as late:
        near.registry.rollouts.wait(NAME, timeout=0)
    assert late.value.hint == "Watch it with: chopmark rollout watch fraud-api"

"""A control plane that is killed while a rollout goes on, as processes: requests are answered, and the rollout goes on after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression

import chopmark as cm
from chopmark.errors import ChopmarkError
from faults.gateway_clients import Asking, numbered_model, rows
from faults.serving_processes import Installation, until

WITHIN_S = 90.0
MOVES = ["preparing", "progressing", "progressing", "promoting", "baking", "completed"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path, gateway_poll_s=0.1)
    with made.client() as behind:
        for number in (1, 2):
            behind.register("fraud", numbered_model(number), example=rows(20))
        narrow = rows(20)[:, :2]  # it takes two columns, and is asked with three
        behind.register("fraud", LinearRegression().fit(narrow, narrow.sum(axis=1)))
    yield made
    made.close()


def state_of(registry: cm.Registry) -> tuple[str, int]:
    try:
        found = registry.rollouts.get("api").rollout
    except ChopmarkError:
        return "", 0
    return found.state, found.step


def moves(registry: cm.Registry) -> list[str]:
    return [event.after for event in registry.rollouts.events("api") if event.kind == "moved"]


def test_traffic_goes_on_without_the_control_plane_and_the_rollout_when_it_is_back(installation: Installation) -> None:
    server = installation.serve()
    with installation.client(server.url, retry_for_s=0) as registry:
        registry.endpoints.create("api", "fraud:1")
        gateway = installation.gateway(server.url)
        with Asking(gateway.url, "api", connections=2, pause_s=0.01, keys=300) as asking:
            until(lambda: sum(t.status == 200 for t in asking.told) > 100, WITHIN_S)
            begun = len(asking.told)
            registry.rollouts.start("api", "fraud:2", steps=[20, 60], hold="2s", samples_min=50, reason="newer")
            until(lambda: state_of(registry) == ("progressing", 0), WITHIN_S)
            server.kill()
            at_kill = len(asking.told)
            time.sleep(3)
            without = asking.told[at_kill : len(asking.told)]
            assert len(without) > 50
            assert {t.status for t in without} == {200}, "the gateway answers by the routing that it has"
            assert {t.version for t in without} <= {1, 2}
            server = installation.again(server)
            until(lambda: state_of(registry)[0] == "completed", WITHIN_S)
            assert moves(registry) == MOVES, "each step once"
            assert {t.status for t in asking.told[begun:]} == {200}
            registry.rollouts.start("api", "fraud:3", steps=[20, 100], hold="10m", reason="looks well")
            until(lambda: state_of(registry)[0] in {"progressing", "aborting", "rolled_back"}, WITHIN_S)
            server.kill()
            server = installation.again(server)
            until(lambda: state_of(registry)[0] == "rolled_back", WITHIN_S)
            at_zero = len(asking.told)
            until(lambda: len(asking.told) > at_zero + 200, WITHIN_S)
            after = asking.told[at_zero + 5 : len(asking.told)]
        assert {(t.status, t.version) for t in after} == {(200, 2)}, "nobody is dealt to it any more"
        assert {t.status for t in asking.told[begun:]} - {200}, "it was real traffic that told"
        events = list(registry.rollouts.events("api"))
        verdict, zero = (next(e for e in events if e.after == state) for state in ("aborting", "rolled_back"))
        assert verdict.evidence
        assert zero.at >= verdict.at
        assert registry.audit.verify().fault == ""

"""Rollouts by real traffic: a gateway deals it, its minutes decide, and a worker moves the endpoint on or back."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from msgspec import structs
from sklearn.linear_model import LogisticRegression

import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.domain.rollout_plans import Check, plan_for
from chopmark.server.serving import application, data_plane_of, served
from chopmark.wiring import connect
from chopmark.workers.rolling_out import rolling_out
from tests.gateway.conftest import Served, rows, until

ASKED = {"rows": rows(1).tolist()}


@contextmanager
def live(directory: Path, *, loops: int = 1) -> Iterator[Served]:
    """A registry of a directory, served with its gateway and so many workers for rollouts."""
    said = {"url": str(directory), "actor": "ada", "serve_auth": "none", "gateway_poll_s": 0.1, "worker_poll_s": 0.2}
    resolved = load_settings(said, environ={})
    transport = connect(resolved)
    plane = data_plane_of(transport, resolved.settings, address="here", hints=transport.routing_hints)
    with (
        served(application(transport, resolved.settings, data_plane=plane)) as url,
        cm.open(url, actor="ada", cache_dir=str(directory.parent / "cache")) as registry,
        ExitStack() as stack,
    ):
        for _ in range(loops):
            stack.enter_context(rolling_out(transport, resolved.settings))
        yield Served(url, registry, directory)
    transport.close()


@pytest.fixture
def plant(filled_directory: Path, tmp_path: Path) -> Iterator[Served]:
    """Two versions of a classifier behind an endpoint, and two workers that look at rollouts."""
    shutil.copytree(filled_directory, tmp_path / "registry")
    with live(tmp_path / "registry", loops=2) as found:
        found.registry.endpoints.create("fraud-api", "fraud:1")
        until(lambda: found.ask("/v2/models/fraud-api/ready", method="GET").status == 200)
        yield found


class Traffic:
    """Callers that ask without end; what they were told is counted."""

    def __init__(self, served: Served, path: str) -> None:
        self.told: dict[tuple[int, str], int] = {}
        self._served = served
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _ask(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            found = self._served.ask(self._path, ASKED, x_chopmark_key=f"u{number}")
            place = found.status, found.headers.get("x-chopmark-version", "")
            self.told[place] = self.told.get(place, 0) + 1


def test_a_version_that_is_as_good_comes_to_answer_everybody(plant: Served) -> None:
    with Traffic(plant, "/predict/fraud-api") as traffic:
        plant.registry.rollouts.start("fraud-api", "fraud:2", steps=[20, 60], hold=0, samples_min=30, reason="newer")
        ended = plant.registry.rollouts.wait("fraud-api", timeout=60)
    assert ended.rollout.state == "completed", ended
    assert {status for status, _ in traffic.told} == {200}
    assert traffic.told[200, "2"] > 60
    moves = [(e.after, e.weight) for e in plant.registry.rollouts.events("fraud-api") if e.kind == "moved"]
    assert moves == [
        ("preparing", 0),
        ("progressing", 2_000),
        ("progressing", 6_000),
        ("promoting", 10_000),
        ("baking", 10_000),
        ("completed", 10_000),
    ], "two workers did each step once"
    (at_last,) = plant.registry.endpoints.live("fraud-api").endpoints
    assert [(v.served.version, v.served.weight) for v in at_last.variants] == [("fraud:2", 10_000), ("fraud:1", 0)]


def test_a_version_that_fails_is_rolled_back_and_nobody_is_dealt_to_it_soon_after(plant: Served) -> None:
    narrow = LogisticRegression().fit(rows(50)[:, :3], np.arange(50) % 2)
    plant.registry.register("fraud", narrow)  # it takes three columns, and is asked with ten
    with Traffic(plant, "/predict/fraud-api") as traffic:
        until(lambda: traffic.told.get((200, "1"), 0) > 50)
        plant.registry.rollouts.start("fraud-api", "fraud:3", steps=[20, 100], hold="1h", reason="looks well")
        ended = plant.registry.rollouts.wait("fraud-api", timeout=60)
        assert ended.rollout.state == "rolled_back", ended
        failed = {place: count for place, count in traffic.told.items() if place[0] != 200}
        asked = sum(traffic.told.values())
        until(lambda: sum(traffic.told.values()) > asked + 50)
        assert {place: count for place, count in traffic.told.items() if place[0] != 200} == failed
    events = plant.registry.rollouts.events("fraud-api")
    verdict, zero = (next(e for e in events if e.after == state) for state in ("aborting", "rolled_back"))
    assert (zero.at - verdict.at).total_seconds() < 2
    assert verdict.evidence
    assert "requests" in verdict.evidence[0].words
    (at_last,) = plant.registry.endpoints.live("fraud-api").endpoints
    assert {v.served.version: v.served.weight for v in at_last.variants} == {"fraud:1": 10_000, "fraud:3": 0}


def test_a_shadow_is_asked_and_its_answers_are_compared(plant: Served) -> None:
    with Traffic(plant, "/predict/fraud-api") as traffic:
        plan = plan_for("shadow", checks=[Check(name="agreement", kind="gauge", threshold=0.5, better="higher")])
        steps = (structs.replace(plan.steps[0], hold_s=0.0, samples_min=20), *plan.steps[1:])
        plant.registry.rollouts.start("fraud-api", "fraud:2", plan=structs.replace(plan, steps=steps))
        held = plant.registry.rollouts.wait("fraud-api", timeout=60).rollout
    assert held.waiting == "waiting for the approval promote", held
    assert (held.checks[0].verdict, "at least 0.5" in held.checks[0].evidence) == ("pass", True)
    assert {version for _, version in traffic.told} == {"1"}, "a shadow answers nobody"


def test_a_shadow_is_judged_by_the_drift_of_its_copies(plant: Served) -> None:
    data = rows(1_000)
    table = {f"x{place}": data[:, place] for place in range(data.shape[1])}
    model = LogisticRegression(C=0.5).fit(data, (data[:, 0] > 0).astype(int))
    ref = plant.registry.register("fraud", model, example=data, dataset=table).ref
    plant.registry.endpoints.update("fraud-api", config={"sample_share": 1.0}, reason="to see drift")
    plan = plan_for("shadow", checks=[Check(name="drift", kind="gauge", threshold=1.0)])
    steps = (structs.replace(plan.steps[0], hold_s=0.0, samples_min=0), *plan.steps[1:])
    plant.registry.rollouts.start("fraud-api", ref, plan=structs.replace(plan, steps=steps))
    asked = {"rows": (rows(100, seed=3) + 2.0).tolist()}
    until(lambda: bool(plant.registry.endpoints.get("fraud-api").shadows), 30)

    def is_counted() -> bool:
        assert plant.ask("/predict/fraud-api", asked).status == 200
        return any(each.report.current_rows > 1_000 for each in plant.registry.outcomes.drift("fraud-api"))

    until(is_counted, 30)
    (found,) = plant.registry.outcomes.drift("fraud-api")
    assert (found.variant, found.version) == ("shadow", ref), "fraud:1 has no profile"
    assert set(found.report.drifted) >= set(table), "all are shifted by two"
    until(lambda: any(check.last for check in plant.registry.rollouts.get("fraud-api").rollout.checks), 30)

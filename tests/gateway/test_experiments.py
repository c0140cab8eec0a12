"""Experiments by real traffic: gateways tell who met which variant, once for each unit, and nobody else."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from chopmark.base.clock import FakeClock
from chopmark.gateway.exposing import Exposing
from tests.gateway.conftest import Served, rows, until

ASKED = {"rows": rows(1).tolist()}
SECRET = "00" * 32
HERE = UUID(int=1)


def test_who_asks_a_gateway_is_exposed(gateway: Served) -> None:
    registry = gateway.registry
    registry.endpoints.create("fraud-api", "fraud:1")
    gateway.until_ready()
    begun = registry.experiments.start(
        "test",
        endpoint="fraud-api",
        control="fraud:1",
        treatment="fraud:2",
        metric="good",
        window="1s",
        max_duration="10m",
    )
    until(lambda: gateway.ask("/predict/fraud-api", ASKED).headers.get("x-chopmark-generation") == "2")
    met = {}
    for number in range(60):
        unit = f"user-{number % 30}"
        answer = gateway.ask("/predict/fraud-api", ASKED, x_chopmark_key=unit)
        met[unit] = answer.headers["x-chopmark-variant"]
        assert met[unit] == begun.assign(unit)
        registry.experiments.record(begun, unit=unit, good=1)  # that it was exposed is told by the gateway alone
    # Nobody is exposed who says not for whom they ask, nor who chooses.
    gateway.ask("/predict/fraud-api", ASKED)
    gateway.ask("/predict/fraud-api", ASKED, x_chopmark_key="chooser", x_chopmark_variant="treatment")
    quiet = "user-quiet"
    gateway.ask("/predict/fraud-api", ASKED, x_chopmark_key=quiet)
    met[quiet] = begun.assign(quiet)
    until(lambda: sum(v.exposed for v in registry.experiments.status(begun).variants) >= 31)
    time.sleep(1.5)  # another report: nobody else was exposed
    status = registry.experiments.status(begun)
    assert {v.name: v.exposed for v in status.variants} == {
        name: sum(variant == name for variant in met.values()) for name in ("control", "treatment")
    }
    assert status.uncounted.units_in_two == 0
    until(lambda: registry.experiments.status(begun).units == 31)
    judged = registry.experiments.status(begun).variants
    assert sum((v.values["good"] or 0) * v.observed for v in judged) == 30
    registry.experiments.stop(begun)
    until(lambda: gateway.ask("/predict/fraud-api", ASKED).headers["x-chopmark-variant"] == "stable")


def test_a_unit_is_told_once_and_again_until_it_was_received() -> None:
    exposing = Exposing(FakeClock())
    exposing.know({HERE: 3})
    for unit in (b"a", b"b", b"a"):
        exposing.note(HERE, unit, "control")
    first = exposing.oldest(1, SECRET)
    assert first == exposing.oldest(1, SECRET)
    assert len(exposing.oldest(9, SECRET)) == 2
    exposing.received(first)
    exposing.note(HERE, b"a", "control")
    assert [each.unit for each in exposing.oldest(9, SECRET)] != [first[0].unit]
    assert len(exposing) == 1
    exposing.know({HERE: 4})  # another table, perhaps another experiment: all are told anew
    exposing.note(HERE, b"a", "treatment")
    assert len(exposing) == 2


def test_what_waits_and_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chopmark.gateway.exposing.WAITING_MAX", 10)
    monkeypatch.setattr("chopmark.gateway.exposing.TOLD_MAX", 15)
    exposing = Exposing(FakeClock())
    exposing.know({HERE: 1})

    def meet(*numbers: int) -> int:
        for number in numbers:
            exposing.note(HERE, b"%d" % number, "control")
        return len(exposing)

    assert (meet(*range(12)), exposing.dropped) == (10, 2)
    exposing.received(exposing.oldest(10, SECRET))
    assert meet(*range(12)) == 2  # who was dropped is told when they come again, and nobody else
    assert meet(*range(12, 20)) == 10
    exposing.received(exposing.oldest(10, SECRET))
    assert meet(*range(5, 20)) == 0
    assert meet(0) == 1  # who was forgotten is told again

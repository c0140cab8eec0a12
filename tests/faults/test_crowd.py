"""The judges of crowds and collisions find what they are to find."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from faults import collecting, crowd
from faults.crowd import Acknowledged, acknowledgement_faults, storage_faults

GOOD = [Acknowledged("m", 1, "a", 0.1), Acknowledged("m", 2, "b", 0.1)]
HELD = {("m", 1): "a", ("m", 2): "b"}


def test_numbers_that_are_unique_and_whole_are_no_finding() -> None:
    assert acknowledgement_faults(GOOD, HELD) == []
    assert storage_faults({"x": 3, "y": 4}, 2, 7) == []


@pytest.mark.parametrize(
    ("told", "held", "found"),
    [
        ([*GOOD, Acknowledged("m", 2, "b", 0.1)], HELD, "m:2 was given 2 times"),
        (GOOD, {("m", 1): "a"}, "m:2 was acknowledged with b, the catalog has None"),
        (GOOD, {("m", 1): "a", ("m", 2): "c"}, "m:2 was acknowledged with b, the catalog has c"),
        ([], {("m", 1): "a", ("m", 3): "c"}, "m has the numbers [1, 3]"),
    ],
)
def test_numbers_that_are_not_are_found(told: list[Acknowledged], held: dict[Any, str], found: str) -> None:
    assert found in acknowledgement_faults(told, held)


def test_bytes_that_are_stored_twice_or_for_nobody_are_found() -> None:
    (found,) = storage_faults({"x": 3}, 2, 6)
    assert found == "the store holds 2 blobs of 6 bytes for 1 blobs of 3 bytes that differ"


@pytest.fixture
def small_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "PROCESSES", 2)


@pytest.mark.usefixtures("small_crowd")
def test_a_small_crowd_registers_without_a_finding(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    cm.open(place).close()
    found, figures = crowd.crowd({"url": str(place), "actor": "ada", "progress": "never"}, 3)
    assert found == []
    assert float(figures["registrations_per_s"]) > 0
    with cm.open(place) as registry:
        assert len(list(registry.versions.each())) == 2 * crowd.THREADS * 3


@pytest.mark.usefixtures("small_crowd")
def test_an_error_that_a_member_of_the_crowd_sees_is_found(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    with cm.open(place) as registry:
        registry.register("most", config={"model": "m", "provider": "p"})  # of another kind
    found, _ = crowd.crowd({"url": str(place), "actor": "ada", "progress": "never"}, 2)
    assert any("Conflict" in fault for fault in found)


def test_rounds_that_collide_with_nothing_are_whole(local: cm.Registry) -> None:
    assert collecting.register_in_rounds(local, 4) == []


def test_bytes_that_a_collection_took_are_found(local: cm.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    call = type(local._transport).call

    def registered_and_lost(self: Any, request: Any, **named: Any) -> Any:
        answer = call(self, request, **named)
        if type(request).__name__ == "RegisterVersion":
            for file in request.manifest.files:
                self.store.delete(file.digest)
        return answer

    monkeypatch.setattr(type(local._transport), "call", registered_and_lost)
    found = collecting.register_in_rounds(local, 2)
    assert [fault.split(":")[0] for fault in found] == ["round 0", "round 1"]
    assert all("missing" in fault or "not in the store" in fault for fault in found)


def test_a_collection_that_never_frees_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_registry: cm.Registry, _rounds: int) -> Iterator[str]:
        return iter(())

    monkeypatch.setattr(collecting, "register_in_rounds", lambda registry, rounds: list(nothing(registry, rounds)))
    settings = {"url": str(tmp_path / "registry"), "actor": "ada", "progress": "never", **collecting.AT_ONCE}
    found, _ = collecting.collide(settings, 1)
    assert found == ["nothing was ever freed: the rounds and the collections did not meet"]

"""Random lives of endpoints: generations only grow, shares are whole, and nobody's variant changes without need."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import chopmark as cm
from chopmark.app.routing import MOVES_ROUTING
from chopmark.base.settings import load_settings
from chopmark.domain.endpoints import Endpoint, EndpointConfig, RoutingMark
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion, Variant
from chopmark.domain.variants import Wanted, changed_config, named_variants
from chopmark.errors import ChopmarkError, Conflict, InvalidRequest
from chopmark.ops.endpoints import CreateEndpoint, GetRouting, Share
from chopmark.ops.keeping import RebuildCatalog
from chopmark.ops.table import OPS
from chopmark.sdk.registry import Registry
from chopmark.stats.assign import Assignment
from chopmark.testing.registry import memory_registry, memory_transport
from tests.sdk.test_dispatch import REQUESTS

VERSIONS = 4
UNITS = [f"user-{n}" for n in range(400)]
MADE = CreateEndpoint(endpoint="api", split=(Share(version="fraud:2"),))
BEFORE = {
    "endpoint.split": MADE,
    "endpoint.update": MADE,
    "endpoint.delete": MADE,
    "member.remove": REQUESTS["member.set"],
    "role.remove": REQUESTS["role.define"],
}


@st.composite
def splits(draw: st.DrawFn) -> dict[int, float]:
    """Numbers of versions, and shares in percent that sum up."""
    numbers = draw(st.lists(st.integers(1, VERSIONS), min_size=1, max_size=VERSIONS, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, WEIGHT_TOTAL), min_size=len(numbers) - 1, max_size=len(numbers) - 1)))
    weights = [b - a for a, b in pairwise([0, *cuts, WEIGHT_TOTAL])]
    return {number: weight / 100 for number, weight in zip(numbers, weights, strict=True)}


def dealt(endpoint: Endpoint) -> dict[str, int]:
    """Number of the version that each unit meets."""
    arms = Assignment(endpoint.salt, {v.name: float(v.weight) for v in endpoint.variants})
    numbers = {v.name: v.version.number for v in endpoint.variants}
    return {unit: numbers[arms.arm(unit) or ""] for unit in UNITS}


class Life(RuleBasedStateMachine):
    """An endpoint among versions that come and go, and people who may call it."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = memory_registry(actor="ada")
        for n in range(VERSIONS):
            self.registry.register("fraud", {"n": n})
        self.seen = self.mark()

    def teardown(self) -> None:
        self.registry.close()

    def mark(self) -> RoutingMark:
        answer = self.registry._transport.call(GetRouting())
        assert answer.routing is not None
        assert answer.routing.mark == answer.mark
        mark: RoutingMark = answer.mark
        return mark

    @property
    def there(self) -> Endpoint | None:
        return next(iter(self.registry.endpoints.list()), None)

    @precondition(lambda self: self.there is None)
    @rule(split=splits())
    def create(self, split: dict[int, float]) -> None:
        self.attempt(lambda: self.registry.endpoints.create("api", named(split)), split)

    @precondition(lambda self: self.there is not None)
    @rule(split=splits(), shadow=st.integers(0, VERSIONS))
    def split(self, split: dict[int, float], shadow: int) -> None:
        shadows = f"fraud:{shadow}" if shadow else None
        wanted = [*split, *([shadow] if shadow else [])]
        self.attempt(lambda: self.registry.endpoints.split("api", named(split), shadows=shadows), wanted)

    @precondition(lambda self: self.there is not None)
    @rule(timeout_ms=st.integers(1, 3))
    def update(self, timeout_ms: int) -> None:
        before = self.there
        after = self.registry.endpoints.update("api", config={"timeout_ms": timeout_ms})
        assert before is not None
        assert (after.variants, after.id) == (before.variants, before.id)
        assert dealt(after) == dealt(before)

    @precondition(lambda self: self.there is not None)
    @rule()
    def delete(self) -> None:
        self.registry.endpoints.delete("api")

    @rule(number=st.integers(1, VERSIONS))
    def delete_version(self, number: int) -> None:
        uses = self.registry.versions.uses(f"fraud:{number}") if self.is_there(number) else None
        try:
            self.registry.versions.delete(f"fraud:{number}", force=True, reason="r")
        except ChopmarkError:
            assert uses != []
        else:
            assert uses == []

    @rule(number=st.integers(1, VERSIONS))
    def restore_version(self, number: int) -> None:
        if not self.is_there(number):
            self.registry.versions.restore(f"fraud:{number}")

    @rule(project=st.sampled_from(["default", "*"]))
    def admit(self, project: str) -> None:
        before = self.mark()
        set_before = any(m.project == project for m in self.registry.access.members())
        self.registry.access.set_member("bob", "contributor", project=project)
        assert (self.mark() == before) == set_before

    def is_there(self, number: int) -> bool:
        return any(v.number == number for v in self.registry.versions.list("fraud"))

    def attempt(self, call: Any, numbers: Any) -> None:
        before, mark = self.there, self.mark()
        try:
            call()
        except ChopmarkError:
            assert not all(self.is_there(number) for number in numbers)
            assert (self.there, self.mark()) == (before, mark)
        else:
            assert all(self.is_there(number) for number in numbers)
            assert (self.mark() == mark) == (self.there == before)

    @invariant()
    def generations_only_grow(self) -> None:
        mark = self.mark()
        assert mark.epoch == self.seen.epoch
        assert mark.generation >= self.seen.generation
        self.seen = mark

    @invariant()
    def what_answers_is_whole_and_there(self) -> None:
        for endpoint in self.registry.endpoints.list():
            assert sum(v.weight for v in endpoint.variants) == WEIGHT_TOTAL
            assert "stable" not in {v.name for v in endpoint.variants[1:]}
            assert len({v.name for v in endpoint.variants}) == len(endpoint.variants)
            assert endpoint.generation <= self.seen.generation
            for used in (*endpoint.variants, *endpoint.shadows):
                assert self.is_there(used.version.number)


def named(split: Mapping[int, float]) -> dict[str, float]:
    return {f"fraud:{number}": share for number, share in split.items()}


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


@settings(max_examples=60, deadline=None)
@given(low=st.integers(0, WEIGHT_TOTAL), high=st.integers(0, WEIGHT_TOTAL), third=st.booleans(), swapped=st.booleans())
def test_raising_a_weight_only_adds_users(low: int, high: int, third: bool, swapped: bool) -> None:
    """In whichever order the versions are named, and however many there are."""
    low, high = sorted((low, high))
    versions = [PinnedVersion(id=cm_id(n), model="fraud", number=n, digest="") for n in (1, 2, 3)]

    def split(raised: int, before: tuple[Variant, ...] = ()) -> tuple[Variant, ...]:
        rest = [WEIGHT_TOTAL - raised - (WEIGHT_TOTAL - raised) // 2 * third, raised, (WEIGHT_TOTAL - raised) // 2]
        wanted = [Wanted(v, w) for v, w in zip(versions, rest, strict=True)][: 3 if third else 2]
        return named_variants(wanted[::-1] if swapped and before else wanted, before)

    first = split(low)
    second = split(high, first)
    assert [v.name for v in first] == [v.name for v in second] or third
    before, after = (dealt(an_endpoint(variants)) for variants in (first, second))
    joined = {unit for unit in UNITS if before[unit] != after[unit] and after[unit] == 2}
    left = {unit for unit in UNITS if before[unit] == 2 and after[unit] != 2}
    assert left == set()
    if not third:
        assert {unit for unit in UNITS if before[unit] != after[unit]} == joined


def cm_id(number: int) -> Any:
    from uuid import UUID

    return UUID(int=number)


def an_endpoint(variants: tuple[Variant, ...]) -> Endpoint:
    from chopmark.base.clock import FakeClock

    now = FakeClock()()
    return Endpoint(
        id=cm_id(99), project="p", name="n", variants=variants, created_at=now, created_by="a", updated_at=now,
        updated_by="a",
    )  # fmt: skip


BY_CIRCUMSTANCE = frozenset(
    (
        "alert.rollback",
        "experiment.start",
        "experiment.stop",
        "experiment.decide",
        "rollout.advance",
        "registry.rebuild",
    )
)
"""Ops that move the routing only where there is an endpoint to move; their own stories do it with gateways."""


@pytest.mark.parametrize("op", [OPS[name] for name in REQUESTS], ids=lambda op: op.name)
def test_an_op_moves_the_routing_when_it_says_so(op: Any) -> None:
    """Every writing op, once it was made possible: it moves the generation, and wakes routers, exactly if it is listed."""
    registry = memory_registry(actor="ada")
    for n in range(3):
        registry.register("fraud", {"n": n})
    call, hints = registry._transport.call, registry._transport.routing_hints
    if op.name in BEFORE:
        call(BEFORE[op.name])
    request = REQUESTS[op.name]
    if op.name == "token.revoke":
        request = type(request)(token=registry.access.create_token("ci").token.id)
    hints.wait(0.0)
    before = call(GetRouting()).mark
    try:
        call(request)
    except (ChopmarkError, NotImplementedError):
        assert op.name not in MOVES_ROUTING - BY_CIRCUMSTANCE
    moved = call(GetRouting()).mark.generation - before.generation
    assert moved == (op.name in MOVES_ROUTING - BY_CIRCUMSTANCE)
    assert hints.wait(0.0) == bool(moved) or op.name in BY_CIRCUMSTANCE  # who is woken for nothing sleeps on
    registry.close()


def test_a_rehearsal_tells_nobody() -> None:
    registry = memory_registry()
    version = registry.register("fraud", {"n": 1})
    before = registry._transport.call(GetRouting()).mark
    registry.dry_run().endpoints.create("api", version)
    assert registry._transport.call(GetRouting()).mark == before
    assert not registry._transport.routing_hints.wait(0.0)


def test_a_registry_that_was_made_again_has_another_epoch(tmp_path: Any) -> None:
    with cm.open(tmp_path / "r", actor="ada") as registry:
        registry.register("fraud", {"n": 1})
        before = registry._transport.call(GetRouting()).mark
        registry._transport.catch_up()
    for beside in (tmp_path / "r").glob("chopmark.db*"):
        beside.unlink()
    cm.rebuild(tmp_path / "r", actor="ada")
    with cm.open(tmp_path / "r", actor="ada") as registry:
        after = registry._transport.call(GetRouting()).mark
    assert after.epoch > before.epoch


def test_a_rebuild_begins_an_epoch_of_its_own() -> None:
    """Also in a database that has one: routers may have seen what it does not know."""
    resolved = load_settings({"actor": "ada"}, environ={}).settings
    lost, made = (memory_transport(resolved) for _ in range(2))
    Registry(lost, resolved).register("fraud", {"n": 1})
    lost.catch_up()
    made._dispatch.store, made._dispatch.records = lost.store, lost.records
    before = made.call(GetRouting()).mark
    made.call(RebuildCatalog())
    after = made.call(GetRouting()).mark
    assert after.epoch > before.epoch
    assert after.generation == before.generation + 1
    assert made.routing_hints.wait(0.0)


def test_names_that_were_said_are_kept_apart() -> None:
    one, two, three = (PinnedVersion(id=cm_id(n), model="fraud", number=n, digest="") for n in (1, 2, 3))
    first = named_variants([Wanted(one, 5_000, "a"), Wanted(two, 5_000, "b")])
    assert [v.name for v in first] == ["a", "b"]
    again = named_variants([Wanted(two, 5_000), Wanted(three, 5_000, "a")], first)
    assert [(v.name, v.version.number) for v in again] == [("a", 3), ("b", 2)]
    taken = named_variants([Wanted(one, 5_000), Wanted(three, 5_000, "a")], first)
    assert [(v.name, v.version.number) for v in taken] == [("stable", 1), ("a", 3)]
    assert [v.name for v in named_variants([Wanted(two, 10_000)], first)] == ["stable"]


def test_a_configuration_is_changed_by_field() -> None:
    config = changed_config(EndpointConfig(), {"timeout_ms": 5, "access": "anybody"})
    assert changed_config(config, {"timeout_ms": None}) == EndpointConfig(access="anybody")
    with pytest.raises(InvalidRequest, match="access"):
        changed_config(config, {"access": "x"})


def test_there_are_so_many_endpoints_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    from chopmark.app import endpoints

    monkeypatch.setattr(endpoints, "ENDPOINTS_MAX", 2)
    registry = memory_registry()
    version = registry.register("fraud", {"n": 1})
    for name in ("a", "b"):
        registry.endpoints.create(name, version)
    with pytest.raises(Conflict, match="the limit"):
        registry.endpoints.create("c", version)

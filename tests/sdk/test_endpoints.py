"""Endpoints: what is meant to answer, kept in step with versions, the audit and the generation."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.endpoints import Endpoint, EndpointConfig, RouterReport, RoutingMark, ServedVariant
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops import endpoints as q
from chopmark.ops.access import CreateToken, DefineRole, RemoveMember, RemoveRole, RevokeToken, SetMember
from chopmark.ops.jobs import ExpireRegistry
from chopmark.ops.requests import RegisterVersion
from chopmark.stats.sketch import QuantileSketch

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "1" * 64


@pytest.fixture
def clock() -> FakeClock:
    """One that stands still: a router that just reported has not fallen silent."""
    return FakeClock()


def fraud(registry: cm.Registry, count: int = 3, model: str = "fraud") -> list[cm.Version]:
    return [registry.register(model, {"n": n}) for n in range(count)]


def generation(registry: cm.Registry) -> int:
    mark: RoutingMark = registry._transport.call(q.GetRouting()).mark
    return mark.generation


def shares(endpoint: Endpoint) -> list[tuple[str, int, float]]:
    return [(v.name, v.version.number, v.weight / 100) for v in endpoint.variants]


def test_an_endpoint_pins_what_a_reference_means(registry: cm.Registry) -> None:
    first, second, _ = fraud(registry)
    registry.alias("fraud@champion", first)
    made = registry.endpoints.create("api", "fraud@champion", shadows={second: 50}, description="d", reason="r")
    assert shares(made) == [("stable", 1, 100)]
    assert (made.variants[0].version.id, made.variants[0].version.digest) == (first.id, first.digest)
    assert [(s.version.ref, s.weight) for s in made.shadows] == [("fraud:2", 5_000)]
    assert (made.ref, made.description, made.created_by, made.config) == ("api", "d", "ada", EndpointConfig())
    registry.alias("fraud@champion", second)
    assert registry.endpoints.get("api") == made
    assert list(registry.endpoints.list()) == [made]
    assert list(registry.endpoints.list("other")) == []
    with pytest.raises(NotFound, match="no endpoint 'none'"):
        registry.endpoints.get("none")
    with pytest.raises(Conflict, match="endpoint api already"):
        registry.endpoints.create("api", first)


def test_a_split_names_and_keeps(registry: cm.Registry) -> None:
    one, two, three = fraud(registry)
    made = registry.endpoints.create("api", {one: 90, two: 10}, config={"timeout_ms": 50})
    assert shares(made) == [("stable", 1, 90), ("candidate", 2, 10)]
    said: list[tuple[Any, list[tuple[str, int, float]]]] = [
        ({two: 30, one: 70}, [("stable", 1, 70), ("candidate", 2, 30)]),
        ({two: 30, three: 70}, [("stable", 3, 70), ("candidate", 2, 30)]),
        ({one: 20, two: 30, three: 50}, [("stable", 3, 50), ("candidate", 2, 30), ("candidate-2", 1, 20)]),
        (one, [("stable", 1, 100)]),
        ({one: 100, two: 0}, [("stable", 1, 100), ("candidate", 2, 0)]),
    ]
    for split, expected in said:
        made = registry.endpoints.split(made, split)
        assert shares(made) == expected
        assert made.config.timeout_ms == 50
    named = registry.endpoints.split(made, {one: 50, two: 50}, names={"fraud:2": "treatment"})
    assert shares(named) == [("stable", 1, 50), ("treatment", 2, 50)]
    assert shares(registry.endpoints.split("api", {two: 60, one: 40})) == [("stable", 1, 40), ("treatment", 2, 60)]
    with pytest.raises(InvalidRequest, match="not in the split"):
        registry.endpoints.split("api", one, names={two: "x"})


def test_a_change_is_a_generation_and_an_event(registry: cm.Registry) -> None:
    one, two, _ = fraud(registry)
    before = generation(registry)
    made = registry.endpoints.create("api", one, reason="first")
    split = registry.endpoints.split(made, {one: 75, two: 25}, shadows="fraud:3", reason="look")
    same = registry.endpoints.split(made, {one: 75, two: 25}, shadows="fraud:3", reason="again")
    changed = registry.endpoints.update(made, description="new", config={"queue_max": 5})
    registry.endpoints.delete("api", reason="done")
    assert [e.generation for e in (made, split, same, changed)] == [before + 1, before + 2, before + 2, before + 3]
    assert same == split
    assert generation(registry) == before + 4
    events = [e for e in registry.audit.list() if e.event.startswith("endpoint.")]
    assert [(e.event, e.target, e.data.get("reason", "")) for e in events] == [
        ("endpoint.created", "api", "first"),
        ("endpoint.split", "api", "look"),
        ("endpoint.updated", "api", ""),
        ("endpoint.deleted", "api", "done"),
    ]
    stable = {"name": "stable", "version": "fraud:1", "digest": one.digest, "weight": 10_000}
    assert events[0].data["after"]["variants"] == [stable]
    assert events[1].data["before"] == {"variants": [stable], "shadows": []}
    assert [v["weight"] for v in events[1].data["after"]["variants"]] == [7_500, 2_500]
    assert [s["version"] for s in events[1].data["after"]["shadows"]] == ["fraud:3"]
    assert events[2].data["after"] == {"description": "new", "config": {"queue_max": 5}}
    assert events[2].data["before"] == {"description": "", "config": {}}
    assert events[3].data["before"]["description"] == "new"
    assert [e.data["generation"] for e in events] == [before + n for n in (1, 2, 3, 4)]


def test_what_cannot_answer_is_refused(registry: cm.Registry) -> None:
    one, two, three = fraud(registry)
    registry.models.create("elsewhere", kind="external")
    config = {"uri": "https://x.example", "digest": DIGEST}
    manifest = cm.Manifest(kind="external", format="external", config=config)
    elsewhere = registry._transport.call(RegisterVersion(model="elsewhere", manifest=manifest)).version
    registry.versions.delete(two)
    registry.stages.archive(three, reason="old")
    refused: list[tuple[Any, type[Exception], str]] = [
        (two.ref, NotFound, "was deleted"),
        (three.ref, Conflict, "archived"),
        (elsewhere.ref, Conflict, "kept elsewhere"),
        ("fraud:9", NotFound, "no version 9"),
        ("none", NotFound, "no model 'none'"),
        ({one: 60}, InvalidRequest, "sum up to 60 %"),
        ({one: 50, "fraud@sha256:" + one.digest[7:]: 50}, InvalidRequest, "2 times variants are of fraud:1"),
        ({}, InvalidRequest, "1 to 20 variants"),
        ({one: 101}, InvalidRequest, "percent"),
        ({one: "x"}, InvalidRequest, "percent"),
        (7, InvalidRequest, "not a int"),
    ]
    made = registry.endpoints.create("api", one)
    before = generation(registry)
    for split, error, words in refused:
        for call in (
            lambda split=split: registry.endpoints.create("new", split),
            lambda split=split: registry.endpoints.split("api", split),
        ):
            with pytest.raises(error, match=words):
                call()
    configs: list[tuple[dict[str, Any], str]] = [
        ({"timout_ms": 1}, "no 'timout_ms'"),
        ({"timeout_ms": 0}, ">= 1"),
        ({"key_header": "ü"}, "header"),
    ]
    for config, words in configs:
        with pytest.raises(InvalidRequest, match=words):
            registry.endpoints.update("api", config=config)
        with pytest.raises(InvalidRequest, match=words):
            registry.endpoints.create("new", one, config=config)
    with pytest.raises(InvalidRequest):
        registry.endpoints.create("a/b/c", one)
    assert list(registry.endpoints.list()) == [made]
    assert generation(registry) == before


def test_what_answers_stays(registry: cm.Registry) -> None:
    one, two, three = fraud(registry)
    registry.endpoints.create("api", one, shadows=two)
    for version in (one, two):
        for take_away in (
            lambda v=version: registry.versions.delete(v, force=True, reason="r"),
            lambda v=version: registry.stages.archive(v, reason="r"),
            lambda: registry.models.delete("fraud", force=True, reason="r"),
        ):
            with pytest.raises(Conflict, match="the endpoint api uses fraud:"):
                take_away()
        assert f"the endpoint api uses {version.ref}" in registry.versions.uses(version)
    registry.endpoints.split("api", three)
    assert registry.versions.uses(one) == []
    registry.versions.delete(one)
    assert registry.stages.archive(two, reason="r").stage == "archived"
    registry.endpoints.delete("api")
    assert registry.models.delete("fraud").deleted_at is not None


def test_retention_keeps_what_answers(own: cm.Registry) -> None:
    fraud(own, 4)
    own.endpoints.create("api", "fraud:1", shadows="fraud:2")
    own.models.update("fraud", retention=cm.Retention(newest=1))
    planned = [item.what for item in own.storage.garbage() if item.kind == "version"]
    assert planned == ["fraud:3"]
    own.storage.collect()
    assert {v.number for v in own.versions.list("fraud")} == {1, 2, 4}
    own.endpoints.delete("api")
    assert [item.what for item in own.storage.garbage() if item.kind == "version"] == ["fraud:1", "fraud:2"]


def test_who_may_call_is_part_of_the_routing(registry: cm.Registry) -> None:
    call = registry._transport.call
    registry.projects.create("risk")
    before = generation(registry)
    call(SetMember(project="risk", member="bob", role="contributor"))
    call(DefineRole(name="caller", permissions=("invoke", "deploy")))
    call(SetMember(project="*", member="eve", role="caller"))
    wide, narrow, reads = (
        call(CreateToken(name=name, owner=owner, scopes=scopes, project=project))
        for name, owner, scopes, project in (
            ("wide", "eve", ("invoke", "deploy"), ""),
            ("narrow", "bob", ("invoke", "deploy"), "risk"),
            ("reads", "bob", ("read",), ""),
        )
    )
    assert generation(registry) == before + 6
    callers = {c.token: c for c in call(q.GetRouting()).routing.callers}
    assert set(callers) == {wide.token.id, narrow.token.id}
    assert (callers[wide.token.id].invoke, callers[wide.token.id].deploy) == (("*",), ("*",))
    assert (callers[narrow.token.id].invoke, callers[narrow.token.id].deploy) == (("risk",), ())
    assert callers[narrow.token.id].secret_hash.startswith("sha256:")
    assert reads.token.id not in callers
    call(RevokeToken(token=wide.token.id))
    assert [c.name for c in call(q.GetRouting()).routing.callers] == ["bob"]
    call(RemoveMember(project="risk", member="bob"))
    assert call(q.GetRouting()).routing.callers == ()
    call(RemoveMember(project="*", member="eve"))
    call(RemoveRole(name="caller"))
    assert generation(registry) == before + 10


def test_a_router_asks_cheaply_and_gets_all(registry: cm.Registry) -> None:
    (one,) = fraud(registry, 1)
    made = registry.endpoints.create("api", one)
    answer: q.CurrentRouting = registry._transport.call(q.GetRouting())
    assert answer.routing is not None
    assert (answer.routing.mark, answer.routing.endpoints) == (answer.mark, (made,))
    assert len(bytes.fromhex(answer.routing.secret)) == 32
    known = q.GetRouting(epoch=answer.mark.epoch, generation=answer.mark.generation)
    again: q.CurrentRouting = registry._transport.call(known)
    assert (again.unchanged, again.mark) == (True, answer.mark)
    assert not registry._transport.call(structs.replace(known, generation=0)).unchanged
    assert not registry._transport.call(structs.replace(known, epoch="x")).unchanged


def served(endpoint: Endpoint, at: datetime, **changes: Any) -> ServedVariant:
    variant = endpoint.variants[0]
    whole = ServedVariant(
        endpoint=endpoint.ref,
        variant=variant.name,
        version=variant.version.ref,
        digest=variant.version.digest,
        weight=variant.weight,
        generation=endpoint.generation,
        since=at,
        requests_per_s=2.5,
        execution="inline",
    )
    return structs.replace(whole, **changes)


def test_what_is_live_is_what_routers_report(own: cm.Registry) -> None:
    one, two, _ = fraud(own)
    call, live = own._transport.call, own.endpoints.live
    made = own.endpoints.create("api", one)
    assert live("api").endpoints[0].findings == ("nobody serves it: no router reports",)
    mark = live().mark
    for router in ("r1", "r2"):
        report = RouterReport(id=router, mark=mark, started_at=NOW, served=(served(made, NOW),))
        window = OutcomeWindow(
            endpoint=made.id, version=one.id, variant="stable", start=NOW, requests=3, latency=QuantileSketch.of([1e6])
        )
        assert call(q.ReportRouter(report=report, outcomes=(window,))).mark == mark
    (found,) = live("api").endpoints
    assert (found.routers, found.findings) == (("r1", "r2"), ())
    assert [(v.served.version, v.served.requests_per_s, v.routers) for v in found.variants] == [
        ("fraud:1", 5.0, ("r1", "r2"))
    ]
    assert [r.report.id for r in own.endpoints.routers()] == ["r1", "r2"]
    split = own.endpoints.split("api", two)
    (found,) = live("api").endpoints
    assert found.findings == (
        f"r1 serves generation {mark.generation}, not {split.generation}",
        f"r2 serves generation {mark.generation}, not {split.generation}",
    )
    own.endpoints.delete("api")
    assert live().endpoints[0].findings == ("it was deleted, and is still served by r1, r2",)
    assert live("api").endpoints == live().endpoints
    with pytest.raises(NotFound):
        live("other")


def test_a_report_that_cannot_be_kept_is_refused(registry: cm.Registry) -> None:
    (one,) = fraud(registry, 1)
    made = registry.endpoints.create("api", one)
    report = RouterReport(id="r1", mark=RoutingMark(), started_at=NOW)
    window = OutcomeWindow(endpoint=made.id, version=one.id, variant="stable", start=NOW)
    for request, words in (
        (q.ReportRouter(report=structs.replace(report, id="")), "without an id"),
        (q.ReportRouter(report=structs.replace(report, id="r" * 201)), "201"),
        (q.ReportRouter(report=report, outcomes=(structs.replace(window, start=NOW.replace(second=1)),)), "minute"),
        (q.ReportRouter(report=report, outcomes=(structs.replace(window, requests=-1),)), ">= 0"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            registry._transport.call(request)
    assert "r1" not in {router.report.id for router in registry.endpoints.routers()}


def test_a_database_that_was_set_back_begins_an_epoch(registry: cm.Registry) -> None:
    (one,) = fraud(registry, 1)
    registry.endpoints.create("api", one)
    mark = registry.endpoints.live().mark

    def told(known: RoutingMark) -> RoutingMark:
        report = RouterReport(id="r1", mark=known, started_at=NOW)
        answer: q.ReportReceipt = registry._transport.call(q.ReportRouter(report=report))
        return answer.mark

    assert told(mark) == mark
    assert told(RoutingMark(mark.epoch, 0)) == mark
    assert told(RoutingMark("", 99)) == mark
    assert told(RoutingMark("zzz", 99)) == mark  # made up: no epoch was ever called so
    newer = told(RoutingMark(mark.epoch, mark.generation + 5))
    assert newer.epoch > mark.epoch
    assert newer.generation == mark.generation + 1
    far = "ffffffff-ffff-7fff-bfff-ffffffffff00"
    newest = told(RoutingMark(far, 1))
    assert newest.epoch > far
    assert told(newest) == newest
    assert told(newer) == newest


def test_expiry_forgets_routers_that_are_gone(local: cm.Registry, clock: FakeClock) -> None:
    for router, minutes in (("r1", 50), ("r2", 20)):
        report = RouterReport(id=router, mark=RoutingMark(), started_at=NOW)
        local._transport.call(q.ReportRouter(report=report))
        clock.advance(timedelta(minutes=minutes))
    local._transport.call(ExpireRegistry())
    assert [router.report.id for router in local.endpoints.routers()] == ["r2"]


def test_expiry_forgets_old_outcomes(own: cm.Registry) -> None:
    (one,) = fraud(own, 1)
    made = own.endpoints.create("api", one)
    start = NOW.replace(year=2025)
    window = OutcomeWindow(endpoint=made.id, version=one.id, variant="stable", start=start)
    report = RouterReport(id="r1", mark=RoutingMark(), started_at=NOW)
    own._transport.call(q.ReportRouter(report=report, outcomes=(window,)))
    assert own._transport.call(ExpireRegistry()).outcomes == 1
    catalog = own._transport._dispatch.catalog
    with catalog.reading() as tx:
        assert tx.outcomes.list(made.id, since=start, until=NOW, limit=9) == []

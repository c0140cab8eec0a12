"""The part of the catalog's contract that is about the gateway: endpoints, the routing, routers and outcomes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog, Taken
from chopmark.domain.endpoints import Endpoint, EndpointConfig, Router, RouterReport, RoutingMark, ServedVariant
from chopmark.domain.outcomes import Comparison, ErrorCounts, MetricSums, OutcomeWindow, Spending
from chopmark.domain.traffic import PinnedVersion, Shadow, Variant
from chopmark.errors import InvalidRequest
from chopmark.stats.sketch import QuantileSketch
from chopmark.testing.catalog_fixtures import CatalogFixtures, Stop, write_and_stop

__all__ = ["EndpointLaws", "OutcomeLaws", "RoutingLaws"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def pinned(number: int = 1) -> PinnedVersion:
    """A version of its own."""
    return PinnedVersion(id=uuid4(), model="risk/fraud", number=number, digest=f"sha256:{number:064}")


def an_endpoint(project: str = "risk", name: str = "fraud-api", **changes: Any) -> Endpoint:
    """An endpoint that has everything."""
    whole = Endpoint(
        id=uuid4(),
        project=project,
        name=name,
        description="Größe",
        variants=(
            Variant(name="stable", version=pinned(1), weight=9_000),
            Variant(name="candidate", version=pinned(2), weight=1_000),
        ),
        shadows=(Shadow(version=pinned(3), weight=2_500),),
        config=EndpointConfig(access="anybody", timeout_ms=50, key_field="user.id", kept_loaded_s=0.5),
        generation=3,
        created_at=NOON,
        created_by="ada",
        updated_at=NOON + MINUTE,
        updated_by="bob",
    )
    return structs.replace(whole, **changes)


def a_report(router: str = "r1", **changes: Any) -> RouterReport:
    """A report that has everything."""
    served = ServedVariant(
        endpoint="risk/fraud-api",
        variant="stable",
        version="risk/fraud:1",
        digest="sha256:" + "0" * 64,
        weight=9_000,
        generation=3,
        state="failed",
        since=NOON,
        requests_per_s=1.5,
        execution="thread",
        why="Größe",
    )
    whole = RouterReport(
        id=router,
        address="http://127.0.0.1:8080",
        mark=RoutingMark("epoch", 3),
        started_at=NOON,
        served=(served,),
        note="a note",
        only=("fraud-api",),
    )
    return structs.replace(whole, **changes)


def a_window(endpoint: UUID, **changes: Any) -> OutcomeWindow:
    """Outcomes that have everything."""
    whole = OutcomeWindow(
        endpoint=endpoint,
        version=UUID(int=7),
        variant="stable",
        start=NOON,
        requests=10,
        rows=12,
        errors=ErrorCounts(client=1, model=2, timeout=3, refused=1),
        without_key=4,
        request_bytes=1_000,
        response_bytes=2_000,
        latency=QuantileSketch.of([1e6, 2e6, 5e6]),
        dropped=1,
        compared=Comparison(9, 7, 0.5, 1.5, 0.75),
        spent=Spending(1_000, 500, 0.25, 2),
        metrics={"clicks": MetricSums(3, 2.0, 2.5, -0.5, 1.5)},
    )
    nothing = OutcomeWindow(endpoint=endpoint, version=whole.version, variant=whole.variant, start=whole.start)
    said = [name for name in whole.__struct_fields__ if getattr(whole, name) != getattr(nothing, name)]
    assert len(said) == len(whole.__struct_fields__) - 4, "a field that says nothing would not be missed"
    return structs.replace(whole, **changes)


class EndpointLaws(CatalogFixtures):
    """An endpoint is one row by its name, and its versions know of it."""

    def test_an_endpoint_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field, and locked the same."""
        endpoint = an_endpoint()
        with catalog.writing() as tx:
            tx.endpoints.insert(endpoint)
            assert tx.endpoints.lock("risk", "fraud-api") == endpoint
            assert tx.endpoints.lock("risk", "other") is None
        with catalog.reading() as tx:
            assert tx.endpoints.get("risk", "fraud-api") == endpoint
            assert tx.endpoints.get("default", "fraud-api") is None

    def test_a_name_is_taken_once_in_its_project(self, catalog: Catalog) -> None:
        """And may be used again when the endpoint is gone."""
        endpoint = an_endpoint()
        with catalog.writing() as tx:
            tx.endpoints.insert(endpoint)
            tx.endpoints.insert(an_endpoint("other"))
            for clashing in (an_endpoint(), an_endpoint("third", id=endpoint.id)):
                with pytest.raises(Taken):
                    tx.endpoints.insert(clashing)
            assert tx.endpoints.remove(endpoint.id)
            assert not tx.endpoints.remove(endpoint.id)
            again = an_endpoint()
            tx.endpoints.insert(again)
            assert tx.endpoints.get("risk", "fraud-api") == again

    def test_what_may_change_is_replaced(self, catalog: Catalog) -> None:
        """Not whose it is, its name, or who made it."""
        endpoint = an_endpoint()
        changed = an_endpoint(
            id=endpoint.id,
            variants=(Variant(name="stable", version=pinned(9), weight=10_000),),
            shadows=(),
            config=EndpointConfig(),
            description="",
            generation=4,
            updated_at=NOON + 2 * MINUTE,
            updated_by="eve",
        )
        with catalog.writing() as tx:
            tx.endpoints.insert(endpoint)
            stolen = structs.replace(changed, project="x", name="y", created_by="eve", created_at=NOON + MINUTE)
            assert tx.endpoints.put(stolen)
            assert tx.endpoints.get("risk", "fraud-api") == changed
            assert not tx.endpoints.put(an_endpoint(name="none"))

    def test_endpoints_are_listed_by_project_and_name(self, catalog: Catalog) -> None:
        """Page by page; of one project, or of those that are seen."""
        names = [(p, n) for p in ("a", "b", "c") for n in ("x", "y")]
        with catalog.writing() as tx:
            for project, name in reversed(names):
                tx.endpoints.insert(an_endpoint(project, name))
        with catalog.reading() as tx:

            def listed(**options: Any) -> list[tuple[str, str]]:
                return [(e.project, e.name) for e in tx.endpoints.list(**{"limit": 9, **options})]

            assert listed() == names
            assert listed(limit=2) == names[:2]
            assert listed(after=("a", "y"), limit=3) == names[2:5]
            assert listed(project="b") == names[2:4]
            assert listed(among=["c", "a"]) == [*names[:2], *names[4:]]
            assert listed(among=["c", "a"], after=("a", "x"), limit=2) == [names[1], names[4]]
            assert listed(among=[]) == []

    def test_a_version_knows_its_endpoints(self, catalog: Catalog) -> None:
        """As variant and as shadow, as long as it is one."""
        shared, gone = pinned(1), pinned(2)
        alone = (Variant(name="stable", version=shared, weight=10_000),)
        first = an_endpoint("a", variants=alone, shadows=(Shadow(version=gone),))
        second = an_endpoint("b", variants=(Variant(name="stable", version=gone, weight=10_000),), shadows=())
        with catalog.writing() as tx:
            tx.endpoints.insert(second)
            tx.endpoints.insert(first)
            assert tx.endpoints.using(shared.id, limit=9) == [first]
            assert tx.endpoints.using(gone.id, limit=9) == [first, second]
            assert tx.endpoints.using(gone.id, limit=1) == [first]
            changed = structs.replace(first, shadows=())
            tx.endpoints.put(changed)
            assert tx.endpoints.using(gone.id, limit=9) == [second]
            tx.endpoints.remove(second.id)
            assert tx.endpoints.using(gone.id, limit=9) == []
            assert tx.endpoints.using(shared.id, limit=9) == [changed]

    def test_a_transaction_that_reads_changes_no_endpoint(self, catalog: Catalog) -> None:
        """Refused, as any other change."""
        endpoint = an_endpoint()
        with catalog.reading() as tx:
            for change in (
                lambda: tx.endpoints.insert(endpoint),
                lambda: tx.endpoints.put(endpoint),
                lambda: tx.endpoints.remove(endpoint.id),
                lambda: tx.endpoints.lock("risk", "fraud-api"),
                tx.routing.advance,
                lambda: tx.routing.begin("epoch"),
                lambda: tx.routers.put(a_report(), NOON),
                lambda: tx.routers.remove(NOON),
                lambda: tx.outcomes.put("r1", [a_window(endpoint.id)]),
                lambda: tx.outcomes.remove(NOON, limit=9),
            ):
                with pytest.raises(InvalidRequest):
                    change()


class RoutingLaws(CatalogFixtures):
    """The mark is one row that is always there; routers are what they last said."""

    def test_a_new_database_has_an_epoch_and_a_secret(self, catalog: Catalog) -> None:
        """A UUID that sorts by its time, and 32 bytes that stay the same."""
        with catalog.reading() as tx:
            mark, secret = tx.routing.mark(), tx.routing.secret()
        assert (str(UUID(mark.epoch)), UUID(mark.epoch).version) == (mark.epoch, 7)
        assert len(bytes.fromhex(secret)) == 32
        with catalog.writing() as tx:
            tx.routing.advance()
            assert tx.routing.secret() == secret

    def test_a_generation_follows_the_other(self, catalog: Catalog) -> None:
        """Also into another epoch; what is undone never was."""
        with catalog.writing() as tx:
            before = tx.routing.mark()
            assert tx.routing.advance() == before.generation + 1
            assert tx.routing.mark() == RoutingMark(before.epoch, before.generation + 1)
            assert tx.routing.begin("ffff") == RoutingMark("ffff", before.generation + 2)
            assert tx.routing.advance() == before.generation + 3
        with pytest.raises(Stop):
            write_and_stop(catalog, lambda tx: tx.routing.advance())
        with catalog.reading() as tx:
            assert tx.routing.mark() == RoutingMark("ffff", before.generation + 3)

    def test_changes_at_once_are_generations_of_their_own(self, catalog: Catalog) -> None:
        """None is given twice."""
        found: list[int] = []

        def change() -> None:
            for _ in range(10):
                with catalog.writing() as tx:
                    found.append(tx.routing.advance())

        with catalog.reading() as tx:
            before = tx.routing.mark().generation
        threads = [threading.Thread(target=change) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == list(range(before + 1, before + 41))

    def test_a_router_is_what_it_said_last(self, catalog: Catalog) -> None:
        """Listed by id; one that is silent for long is forgotten."""
        with catalog.writing() as tx:
            for name, at in (("r2", NOON), ("r1", NOON), ("r3", NOON - MINUTE), ("r1", NOON + MINUTE)):
                tx.routers.put(a_report(name, note=f"{at.minute}"), at)
        with catalog.reading() as tx:
            found = tx.routers.list(limit=9)
            assert found == [
                Router(report=a_report("r1", note="1"), seen_at=NOON + MINUTE),
                Router(report=a_report("r2", note="0"), seen_at=NOON),
                Router(report=a_report("r3", note="59"), seen_at=NOON - MINUTE),
            ]
            assert tx.routers.list(after="r1", limit=1) == found[1:2]
        with catalog.writing() as tx:
            assert tx.routers.remove(NOON) == 1
            assert tx.routers.list(limit=9) == found[:2]
            assert tx.routers.remove(NOON) == 0


class OutcomeLaws(CatalogFixtures):
    """Reports replace, and so add up."""

    def test_outcomes_come_back_as_they_were(self, catalog: Catalog) -> None:
        """With every field, and bare."""
        endpoint = uuid4()
        whole = a_window(endpoint)
        bare = OutcomeWindow(endpoint=endpoint, version=UUID(int=7), variant="z", start=NOON)
        with catalog.writing() as tx:
            tx.outcomes.put("r1", [whole, bare])
        with catalog.reading() as tx:
            assert list(tx.outcomes.list(endpoint, since=NOON, until=NOON + MINUTE, limit=9)) == [
                ("r1", whole),
                ("r1", bare),
            ]

    def test_a_report_replaces_that_of_the_same_router_and_minute(self, catalog: Catalog) -> None:
        """And no other."""
        endpoint = uuid4()
        first = a_window(endpoint)
        with catalog.writing() as tx:
            tx.outcomes.put("r1", [first])
            tx.outcomes.put("r2", [first])
            tx.outcomes.put("r1", [])
            tx.outcomes.put("r1", [structs.replace(first, requests=11)])
            tx.outcomes.put("r1", [structs.replace(first, start=NOON + MINUTE)])
            tx.outcomes.put("r1", [structs.replace(first, variant="candidate")])
            tx.outcomes.put("r1", [structs.replace(first, version=UUID(int=8))])
            tx.outcomes.put("r1", [structs.replace(first, endpoint=uuid4())])
        with catalog.reading() as tx:
            found = tx.outcomes.list(endpoint, since=NOON, until=NOON + 2 * MINUTE, limit=9)
        assert [(o.window.start, o.window.version.int, o.window.variant, o.router) for o in found] == [
            (NOON, 7, "candidate", "r1"),
            (NOON, 7, "stable", "r1"),
            (NOON, 7, "stable", "r2"),
            (NOON, 8, "stable", "r1"),
            (NOON + MINUTE, 7, "stable", "r1"),
        ]
        assert [o.window.requests for o in found] == [10, 11, 10, 10, 10]

    def test_a_report_that_was_overtaken_replaces_nothing(self, catalog: Catalog) -> None:
        endpoint = uuid4()
        first = a_window(endpoint, requests=9)
        told = {"few": (10, 9, 0), "many": (9, 10, 10_000_000_000, 11, 9_999_999_999), "r1": (10_000_000_000,)}
        for router, counts in told.items():
            for requests in counts:
                with catalog.writing() as tx:
                    tx.outcomes.put(router, [structs.replace(first, requests=requests, rows=requests + 1)], grows=True)
        with catalog.writing() as tx:  # as much, and something else has changed
            tx.outcomes.put("r1", [structs.replace(first, requests=10_000_000_000, rows=1)], grows=True)
            tx.outcomes.put("r2", [structs.replace(first, requests=0, dropped=7)], grows=True)
            tx.outcomes.put("r2", [structs.replace(first, requests=0, dropped=8)], grows=True)
            tx.outcomes.put("r3", [structs.replace(first, requests=9)], grows=True)
            tx.outcomes.put("r3", [structs.replace(first, requests=8)])  # a source that says something else now
        with catalog.reading() as tx:
            found = tx.outcomes.list(endpoint, since=NOON, until=NOON + MINUTE, limit=9)
        assert [(o.router, o.window.requests, o.window.rows, o.window.dropped) for o in found] == [
            ("few", 10, 11, first.dropped),
            ("many", 10_000_000_000, 10_000_000_001, first.dropped),
            ("r1", 10_000_000_000, 1, first.dropped),
            ("r2", 0, first.rows, 8),
            ("r3", 8, first.rows, first.dropped),
        ]

    def test_outcomes_are_read_between_two_times(self, catalog: Catalog) -> None:
        """From the first to before the second, as many as were asked for; old ones are forgotten."""
        endpoint = uuid4()
        with catalog.writing() as tx:
            tx.outcomes.put("r1", [a_window(endpoint, start=NOON + n * MINUTE) for n in range(5)])
        with catalog.reading() as tx:

            def minutes(first: int, last: int, limit: int = 9) -> list[int]:
                since, until = NOON + first * MINUTE, NOON + last * MINUTE
                return [
                    o.window.start.minute for o in tx.outcomes.list(endpoint, since=since, until=until, limit=limit)
                ]

            assert minutes(1, 3) == [1, 2]
            assert minutes(0, 9, 2) == [0, 1]
            assert minutes(5, 9) == []
        with catalog.writing() as tx:
            assert tx.outcomes.remove(NOON + 3 * MINUTE, limit=2) == 2
            assert tx.outcomes.remove(NOON + 3 * MINUTE, limit=9) == 1
            found = tx.outcomes.list(endpoint, since=NOON, until=NOON + 9 * MINUTE, limit=9)
            assert [o.window.start.minute for o in found] == [3, 4]

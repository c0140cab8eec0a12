"""What is live is what routers say, and what is wrong with it is said beside it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from chopmark.domain.endpoints import Endpoint, Router, RouterReport, RoutingMark, ServedVariant
from chopmark.domain.live import SILENT_AFTER, LiveEndpoint, is_silent, what_is_live
from chopmark.domain.traffic import PinnedVersion, Variant

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MARK = RoutingMark("e1", 7)
VERSION = PinnedVersion(id=UUID(int=1), model="fraud", number=1, digest="sha256:" + "1" * 64)
ENDPOINT = Endpoint(
    id=UUID(int=2),
    project="default",
    name="api",
    variants=(Variant(name="stable", version=VERSION, weight=10_000),),
    generation=5,
    created_at=NOW,
    created_by="ada",
    updated_at=NOW,
    updated_by="ada",
)
SERVED = ServedVariant(
    endpoint="api",
    variant="stable",
    version="fraud:1",
    digest=VERSION.digest,
    weight=10_000,
    generation=5,
    since=NOW - timedelta(hours=1),
    requests_per_s=2.0,
    execution="inline",
)


def router(name: str, *served: ServedVariant, mark: RoutingMark = MARK, silent_s: float = 0.0) -> Router:
    report = RouterReport(id=name, mark=mark, started_at=NOW, served=served)
    return Router(report=report, seen_at=NOW - timedelta(seconds=silent_s))


def live(*routers: Router, endpoint: Endpoint = ENDPOINT) -> LiveEndpoint:
    return what_is_live([endpoint], routers, MARK, NOW)[0]


def test_what_routers_say_alike_is_one() -> None:
    later = structs.replace(SERVED, since=NOW, requests_per_s=0.5, execution="thread")
    found = live(router("b", SERVED), router("a", later))
    (variant,) = found.variants
    assert (variant.routers, variant.served.requests_per_s, variant.served.since) == (("a", "b"), 2.5, NOW)
    assert variant.served.execution == "inline, thread"
    assert (found.routers, found.findings, found.generation) == (("a", "b"), (), 5)
    assert repr(found) == "<api · stable fraud:1 100 % · 2 routers>"


def test_what_they_say_differently_is_several() -> None:
    half = structs.replace(SERVED, weight=5_000, generation=4)
    new = structs.replace(SERVED, weight=5_000, variant="candidate", version="fraud:2")
    found = live(router("a", SERVED), router("b", half, new))
    said = [(v.served.variant, v.served.weight, v.served.generation, v.routers) for v in found.variants]
    assert said == [
        ("stable", 10_000, 5, ("a",)),
        ("candidate", 5_000, 5, ("b",)),
        ("stable", 5_000, 4, ("b",)),
    ]


def test_nobody_serves_it() -> None:
    other = structs.replace(SERVED, endpoint="other")
    loading = structs.replace(SERVED, state="loading")
    assert live().findings == ("nobody serves it: no router reports",)
    assert live(router("a", other)).findings[0] == "nobody serves it: 1 router reports, and none of them serves api"
    assert (
        live(router("a", other), router("b")).findings[0]
        == "nobody serves it: 2 routers report, and none of them serves api"
    )
    assert live(router("a", loading)).findings == (
        "nobody serves it: 1 router reports, and none of them serves api",
        "fraud:1 is loading (a)",
    )


def test_what_cannot_be_loaded_is_said_with_why() -> None:
    failed = structs.replace(SERVED, state="failed", why="no such format")
    assert live(router("a", SERVED), router("b", failed)).findings == ("fraud:1 is failed: no such format (b)",)


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        (RoutingMark("e1", 4), ("a serves generation 4, not 5",)),
        (RoutingMark("e1", 5), ()),  # what came since is of other endpoints
        (RoutingMark("e0", 9), ("a serves a routing of another epoch, of before a restored backup",)),
    ],
)
def test_a_router_that_is_behind_is_said_to_be(mark: RoutingMark, words: tuple[str, ...]) -> None:
    assert live(router("a", SERVED, mark=mark)).findings == words


def test_a_router_that_fell_silent_does_not_count() -> None:
    limit_s = SILENT_AFTER.total_seconds()
    assert not is_silent(router("a", silent_s=limit_s), NOW)
    assert is_silent(router("a", silent_s=limit_s + 0.001), NOW)
    found = live(router("a", SERVED, silent_s=40), router("b", structs.replace(SERVED, endpoint="x"), silent_s=40))
    assert found.variants == ()
    assert found.findings == (
        "nobody serves it: no router reports",
        "a, which served it, has not reported for 40 s",
    )
    assert live(router("a", SERVED, silent_s=40), router("b", SERVED)).findings == (
        "a, which served it, has not reported for 40 s",
    )


def test_what_was_deleted_and_is_still_served_is_said() -> None:
    routers = [router(f"r{n}", SERVED) for n in range(7)]
    (found,) = what_is_live([], routers, MARK, NOW)
    assert (found.endpoint, found.generation, len(found.routers)) == ("api", 0, 7)
    assert found.findings == ("it was deleted, and is still served by r0, r1, r2, r3, r4 and 2 others",)
    assert what_is_live([], [router("a", SERVED, silent_s=60)], MARK, NOW) == []


def test_endpoints_keep_their_order() -> None:
    names: list[Any] = ["b", "a"]
    endpoints = [structs.replace(ENDPOINT, name=name) for name in names]
    found = what_is_live(endpoints, [router("r", structs.replace(SERVED, endpoint="0"))], MARK, NOW)
    assert [each.endpoint for each in found] == ["b", "a", "0"]

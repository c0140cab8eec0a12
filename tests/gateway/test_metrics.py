"""Figures of endpoints are for those who may know of them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import chopmark as cm
from chopmark.domain.outcomes import Comparison, Spending
from chopmark.gateway.recording import Counts, TallyKey
from chopmark.server.gateway_app import GatewayApp
from chopmark.server.gateway_metrics import GatewayMetrics
from tests.gateway.conftest import serving, until
from tests.gateway.test_loading import plane_of
from tests.gateway.world import World, routing, whole

NAMED = ("fraud-api", "risk-api")


def endpoints_in(text: str) -> dict[str, set[str]]:
    """By endpoint, the figures that name it; those without an endpoint under an empty name."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.labels.get("endpoint", ""), set()).add(family.name)
    return found


def counted(spent: Spending | None = None) -> Counts:
    """Of two requests, one of which failed."""
    return Counts(2, 3, {"model": 1}, 0, 10, 10, {100: 1}, 5, 6, 1, Comparison(), spent or Spending())


def test_every_figure_is_left_out_for_who_may_not_know() -> None:
    async def told(refs: frozenset[str] | None) -> dict[str, set[str]]:
        world = World()
        endpoints = [whole(1, name=name) for name in NAMED]
        await world.take(routing(*endpoints))
        metrics = GatewayMetrics(world.router)
        spent = Spending(input_tokens=1, output_tokens=1, cost_usd=1.0, fell_back=1)
        counts = counted(spent)
        ids = [endpoint.id for endpoint in endpoints] + [whole(1, name="gone").id]
        version = endpoints[0].variants[0].version.id
        metrics.add({TallyKey(each, version, "stable"): counts for each in ids})
        registry = CollectorRegistry()
        registry.register(metrics.seen(refs))
        return endpoints_in(generate_latest(registry).decode())

    everything = asyncio.run(told(None))
    assert set(everything) == {"", *NAMED, "deleted"}
    assert len(everything["fraud-api"]) == 8
    one = asyncio.run(told(frozenset({"fraud-api"})))
    assert one == {"": everything[""], "fraud-api": everything["fraud-api"]}
    assert asyncio.run(told(frozenset())) == {"": everything[""]}


@pytest.mark.parametrize("apart", [False, True], ids=["serve", "gateway"])
def test_where_tokens_are_asked_for_a_token_shows_what_it_may_call(
    filled_directory: Path, tmp_path: Path, apart: bool
) -> None:
    place = tmp_path / "registry"
    shutil.copytree(filled_directory, place)
    with cm.open(place, actor="ada") as registry:
        registry.endpoints.create("fraud-api", "fraud:1")
        registry.endpoints.create("odd-api", "fraud:2", config={"access": "anybody"})
        registry.access.set_member("shop", "contributor")
        shop = registry.access.create_token("shop", owner="shop", kind="service", scopes=["invoke"]).secret
    text = Exposed(apart, shop)
    text.ask(place, tmp_path)
    assert set(text.shown) == {"", "fraud-api", "odd-api"}
    assert set(text.hidden) == {"", "odd-api"}
    assert set(text.wrong) == {""}


class Exposed:
    """What is exposed to whom, once both endpoints were asked."""

    def __init__(self, apart: bool, token: str) -> None:
        self._apart = apart
        self._token = token
        self.shown: dict[str, set[str]] = {}
        self.hidden: dict[str, set[str]] = {}
        self.wrong: dict[str, set[str]] = {}

    def ask(self, place: Path, beside: Path) -> None:
        if self._apart:
            asyncio.run(self._of_gateway(place))
            return
        bearer = f"Bearer {self._token}"
        with serving(place, beside, serve_auth="tokens") as gateway:
            for name in ("fraud-api", "odd-api"):
                body = {"rows": [[0.5] * 10]}
                until(lambda: gateway.ask(f"/predict/{name}", body, authorization=bearer).status == 200)  # noqa: B023
            until(lambda: b'endpoint="odd-api"' in gateway.ask("/metrics", method="GET").data)

            def told(**headers: str) -> dict[str, set[str]]:
                return endpoints_in(gateway.ask("/metrics", method="GET", **headers).data.decode())

            until(lambda: "fraud-api" in told(authorization=bearer))
            self.shown, self.hidden = told(authorization=bearer), told()
            self.wrong = told(authorization=bearer[:-1] + "x")

    async def _of_gateway(self, place: Path) -> None:
        with plane_of(place, asks_callers=True) as (plane, _):
            await plane.start()
            routing = plane.router.routing
            assert routing is not None
            while plane.waits_for():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            counts = counted()
            for each in routing.endpoints:
                plane.metrics.add({TallyKey(each.id, each.variants[0].version.id, "stable"): counts})
            app = GatewayApp(plane)
            bearer = f"Bearer {self._token}".encode()
            self.shown = endpoints_in(await exposed(app, bearer))
            self.hidden = endpoints_in(await exposed(app, b""))
            self.wrong = endpoints_in(await exposed(app, bearer[:-1] + b"x"))
            await plane.close()


async def exposed(app: GatewayApp, authorization: bytes) -> str:
    """The body of ``/metrics``."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", authorization)] if authorization else []
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    assert sent[0]["status"] == 200
    return b"".join(message.get("body", b"") for message in sent).decode()

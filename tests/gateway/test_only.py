"""A gateway that is told to serve some endpoints serves these, and another target's only so."""

from __future__ import annotations

import pytest

from chopmark.domain.endpoints import RoutingMark
from chopmark.errors import InvalidRequest
from chopmark.sdk.registry import Registry
from chopmark.server.data_plane import RegistryControl, endpoints_in
from chopmark.testing.registry import memory_registry


@pytest.fixture
def registry() -> Registry:
    registry = memory_registry()
    version = registry.register("fraud", {"threshold": 0.7})
    for name, target in (("fraud-api", "local"), ("score", "local"), ("far", "kubernetes"), ("theirs", "external")):
        registry.endpoints.create(name, version, config={"target": target})
    return registry


@pytest.mark.parametrize(
    ("only", "served"),
    [
        ((), {"fraud-api", "score"}),
        (("score",), {"score"}),
        (("far", "score"), {"far", "score"}),
        (("theirs", "gone"), set()),
    ],
)
def test_a_router_deals_by_what_it_was_told_to_serve(
    registry: Registry, only: tuple[str, ...], served: set[str]
) -> None:
    control = RegistryControl(registry._transport, None, only)
    routing = control.routing(RoutingMark())
    assert routing is not None
    assert {endpoint.ref for endpoint in routing.endpoints} == served
    assert control.routing(routing.mark) is None


def test_a_setting_names_endpoints() -> None:
    assert endpoints_in("") == ()
    assert endpoints_in(" fraud-api,risk/score, default/other") == ("fraud-api", "risk/score", "other")
    with pytest.raises(InvalidRequest):
        endpoints_in("fraud api")

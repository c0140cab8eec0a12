"""A gateway without a network and without a control plane, which deals to a model that answers at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.base.clock import system_clock
from chopmark.domain.endpoints import Endpoint, EndpointConfig, Routing, RoutingMark
from chopmark.domain.signature import Field
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion, Shadow, Variant
from chopmark.gateway.app import Gateway
from chopmark.gateway.execution import Execution
from chopmark.gateway.execution.kinds import ExecutionKind
from chopmark.gateway.holding import Holding
from chopmark.gateway.router import Router
from chopmark.gateway.shadows import Shadows

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["COLUMNS", "SINGLE", "SPLIT", "ask", "endpoint", "opened"]

COLUMNS = 10
SINGLE, SPLIT = (WEIGHT_TOTAL,), (WEIGHT_TOTAL // 2, WEIGHT_TOTAL // 2)
_TURNS = 20
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PATH = "/v2/models/fraud-api/infer"
_NAMES = ("stable", "candidate", "candidate-2", "candidate-3")


class Fixed:
    """A model that gives the same answer to every request of one row."""

    kind: ExecutionKind = "inline"
    words = "inline, fixed"
    now_rows_max = 1
    note = ""
    waiting = 0
    layout = Layout(
        kind="matrix",
        inputs=tuple(Field(f"c{i}", "float", "float64") for i in range(COLUMNS)),
        dtype="float64",
        outputs=(Field("output-0", "int", "int64", (-1,)),),
    )

    def __init__(self) -> None:
        self._answer = {"output-0": np.ones(1, np.int64)}

    def now(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:  # noqa: ARG002 - an interface
        """At once."""
        return self._answer

    async def run(self, inputs: Inputs, rows: int, outputs: Sequence[str], timeout_s: float) -> Outputs:  # noqa: ARG002
        """At once, too."""
        return self._answer

    async def close(self, drain_s: float) -> None:
        """It holds nothing."""


def endpoint(weights: Sequence[int], *, has_shadow: bool = False) -> Endpoint:
    """An endpoint whose variants have these weights."""
    variants = tuple(Variant(name=_NAMES[i], version=_pinned(i + 1), weight=w) for i, w in enumerate(weights))
    return Endpoint(
        id=UUID(int=99),
        project="default",
        name="fraud-api",
        variants=variants,
        shadows=(Shadow(version=_pinned(9), weight=WEIGHT_TOTAL),) if has_shadow else (),
        config=EndpointConfig(),
        generation=1,
        created_at=_NOW,
        created_by="ada",
        updated_at=_NOW,
        updated_by="ada",
    )


def _pinned(number: int) -> PinnedVersion:
    return PinnedVersion(id=UUID(int=number), model="fraud", number=number, digest=f"sha256:{number:064x}")


async def opened(weights: Sequence[int], *, has_shadow: bool = False) -> tuple[Gateway, Router, Shadows]:
    """A gateway that has taken its routing and loaded its versions."""

    async def load(version: PinnedVersion, config: EndpointConfig) -> Execution:  # noqa: ARG001
        return Fixed()

    router, shadows = Router(Holding(load, time.monotonic), system_clock), Shadows()
    gateway = Gateway(router, asks_callers=False, mirror=shadows)
    whole = endpoint(weights, has_shadow=has_shadow)
    router.take(Routing(mark=RoutingMark("a", 1), endpoints=(whole,), secret=bytes(range(32)).hex()))
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    if len(router.routes[whole.ref].shadows) != len(whole.shadows):
        raise RuntimeError("not all versions were loaded")
    return gateway, router, shadows


def ask(gateway: Gateway, body: bytes, key: bytes) -> Callable[[], Awaitable[bytes]]:
    """Asks for a prediction as a server would; each call gives the body of the answer."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": _PATH,
        "headers": [
            (b"host", b"localhost"),
            (b"x-chopmark-key", key),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    message = {"type": "http.request", "body": body, "more_body": False}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return message

    async def send(part: Any) -> None:
        sent.append(part)

    async def asked() -> bytes:
        sent.clear()
        await gateway(scope, receive, send)
        start, rest = sent
        if start["status"] != 200:
            raise RuntimeError(rest["body"])
        found: bytes = rest["body"]
        return found

    return asked

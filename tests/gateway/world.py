"""Routings, and versions that answer without a model: enough to see how requests are dealt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from msgspec import structs

from chopmark.abc.predicting import Layout
from chopmark.base.clock import FakeClock
from chopmark.domain.endpoints import Endpoint, EndpointCaller, EndpointConfig, Routing, RoutingMark
from chopmark.domain.signature import Field
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion, Shadow, Variant
from chopmark.gateway.execution.kinds import Execution, ExecutionKind
from chopmark.gateway.holding import Holding
from chopmark.gateway.router import Router

NOW = FakeClock()()
SECRET = bytes(range(32))
LAYOUT = Layout(
    kind="matrix",
    inputs=(Field("amount", "float", "float64"), Field("age", "float", "float64")),
    dtype="float64",
    outputs=(Field("output-0", "float", "float64", (-1,)),),
)


def pinned(number: int, model: str = "fraud") -> PinnedVersion:
    return PinnedVersion(id=UUID(int=number), model=model, number=number, digest=f"sha256:{number:064x}")


def endpoint(
    *split: tuple[int, int],
    generation: int = 1,
    name: str = "fraud-api",
    shadows: Sequence[tuple[int, int]] = (),
    config: EndpointConfig | None = None,
) -> Endpoint:
    """An endpoint with a split of (version, weight)."""
    named = ["stable", "candidate", *(f"candidate-{i}" for i in range(2, 20))]
    return Endpoint(
        id=UUID(int=1_000 + sum(map(ord, name))),
        project="default",
        name=name,
        variants=tuple(
            Variant(name=named[i], version=pinned(number), weight=weight) for i, (number, weight) in enumerate(split)
        ),
        shadows=tuple(Shadow(version=pinned(number), weight=weight) for number, weight in shadows),
        config=config or EndpointConfig(),
        generation=generation,
        created_at=NOW,
        created_by="ada",
        updated_at=NOW,
        updated_by="ada",
    )


def whole(number: int, generation: int = 1, **more: Any) -> Endpoint:
    """An endpoint that one version answers."""
    return endpoint((number, WEIGHT_TOTAL), generation=generation, **more)


def routing(
    *endpoints: Endpoint, generation: int = 1, epoch: str = "a", callers: Sequence[EndpointCaller] = ()
) -> Routing:
    mark = RoutingMark(epoch, generation)
    return Routing(mark=mark, endpoints=endpoints, callers=tuple(callers), secret=SECRET.hex())


@dataclass
class FakeExecution:
    """Answers each row with the number of its version; or waits, or raises, as it is told."""

    number: int
    kind: ExecutionKind = "inline"
    layout: Layout = LAYOUT
    note: str = ""
    fault: Exception | None = None
    gate: asyncio.Event | None = None
    closed: bool = False
    asked: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words = f"{self.kind}, fake"
        self.now_rows_max = 1_000 if self.kind == "inline" else 0

    @property
    def waiting(self) -> int:
        return 0

    def now(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, Any]:  # noqa: ARG002
        self.asked.append(inputs)
        if self.fault is not None:
            raise self.fault
        return {"output-0": np.full(len(inputs), float(self.number))}

    async def run(self, inputs: Any, rows: int, outputs: Sequence[str], timeout_s: float) -> dict[str, Any]:  # noqa: ARG002
        if self.gate is not None:
            async with asyncio.timeout(timeout_s):
                await self.gate.wait()
        return self.now(inputs, outputs)

    async def close(self, drain_s: float) -> None:  # noqa: ARG002
        self.closed = True


@dataclass
class World:
    """A router whose versions are fakes, and a time that is told."""

    seconds: float = 0.0
    made: dict[int, FakeExecution] = field(default_factory=dict)
    faults: dict[int, Exception] = field(default_factory=dict)
    loads: list[int] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)
    before_load: Callable[[int], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        self.holding = Holding(self._load, lambda: self.seconds)
        self.router = Router(self.holding, self.clock)

    async def _load(self, version: PinnedVersion, config: EndpointConfig) -> Execution:  # noqa: ARG002
        self.loads.append(version.number)
        if self.before_load is not None:
            await self.before_load(version.number)
        if version.number in self.faults:
            raise self.faults[version.number]
        self.made[version.number] = FakeExecution(version.number)
        return self.made[version.number]

    async def take(self, taken: Routing) -> bool:
        """Take a routing, and let what can be loaded be loaded."""
        was_taken = self.router.take(taken)
        await settled()
        return was_taken

    def answers(self, ref: str = "fraud-api") -> list[int]:
        """Versions by which an endpoint is answered now."""
        route = self.router.routes.get(ref)
        return [s.variant.version.number for s in route.serving] if route is not None else []


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def with_weights(changed: Endpoint, *weights: int, generation: int) -> Endpoint:
    variants = tuple(
        structs.replace(variant, weight=weight) for variant, weight in zip(changed.variants, weights, strict=True)
    )
    return structs.replace(changed, variants=variants, generation=generation)

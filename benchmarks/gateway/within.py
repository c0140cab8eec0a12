"""What the gateway's own parts take, without a network: a compiled scorer, a decision, a record, a copy for a shadow."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial

from benchmarks.figures import Figure
from benchmarks.gateway import inside
from benchmarks.gateway.models import FOREST, FRAUD, Given, rows
from chopmark.base.clock import system_clock
from chopmark.formats.predicting import predictor_of
from chopmark.gateway.entrance import Entrance
from chopmark.gateway.protocols.asked import Asked
from chopmark.gateway.recording import Tally
from chopmark.gateway.router import Serving
from chopmark.stats.assign import Assignment

__all__ = ["figures"]

OF_PREDICT, DEALT_US, RECORDED_US, SHADOWED_US = 1 / 50, 2.0, 1.0, 5.0
JUDGED = 3_000
_TIMES = 20_000
_UNITS = 1_000
_TURNS = 4
"""Of the event loop, in which a shadow has long answered."""


def figures(given: Given, rounds: int, *, quick: bool = False) -> list[Figure]:
    """All of it."""
    times = _TIMES // 10 if quick else _TIMES
    return [
        *_compiled(given, rounds, times // 10),
        asyncio.run(_dealing(rounds, times)),
        _recording(rounds, times),
        asyncio.run(_shadowing(rounds, times)),
    ]


def _in_turn(rounds: int, *works: tuple[Callable[[], object], int]) -> list[float]:
    """Medians in µs of CPU of each, done so many times in a round, after a round that does not count."""
    spent: list[list[float]] = [[] for _ in works]
    for counted in range(-1, rounds):
        for kept, (work, times) in zip(spent, works, strict=True):
            begun = time.thread_time()
            for _ in itertools.repeat(None, times):
                work()
            if counted >= 0:
                kept.append(1e6 * (time.thread_time() - begun) / times)
    return [statistics.median(kept) for kept in spent]


def _nothing(_: object = None) -> None:
    return


def _compiled(given: Given, rounds: int, times: int) -> list[Figure]:
    """One row, and whether rows are judged as by the model itself."""
    found = []
    for name, what, limit in (
        (FOREST, "isolation forest of 100 trees", OF_PREDICT),
        (FRAUD, "logistic regression", None),
    ):
        model = given.models[name]
        predictor = predictor_of(model)
        if predictor.words == "predict":
            raise RuntimeError(f"the {what} was not compiled")
        judged = rows(JUDGED, 7)
        row = judged[1:2]
        predict = predictor.predict
        ours, theirs = _in_turn(
            rounds, (partial(predict, row), times), (partial(model.predict, row), max(50, times // 20))
        )
        output = predictor.layout.outputs[0].name
        alone = [predict(judged[i : i + 1])[output][0] for i in range(len(judged))]
        differ = int((model.predict(judged) != alone).sum())
        label = f"gateway: {what}, compiled"
        found += [
            Figure(f"{label}, one row, CPU", ours, "µs", "its predict", theirs, limit=limit),
            Figure(f"{label}, judged otherwise", differ, "rows", "of", len(judged), limit_abs=0),
        ]
    return found


async def _dealing(rounds: int, times: int) -> Figure:
    """From the headers of a request to the variant that answers, beside `Assignment.arm`."""
    _, router, _ = await inside.opened(inside.SPLIT)
    entrance = Entrance(asks_callers=False, clock=system_clock)
    keys = [f"customer-{number}" for number in range(_UNITS)]
    headers = itertools.cycle([{b"host": b"localhost", b"x-chopmark-key": key.encode()} for key in keys])
    routes, (name,) = router.routes, router.routes

    def decide() -> Serving:
        route, said = routes[name], next(headers)
        serving, _ = entrance.dealt(route, said, b"", entrance.caller(route.endpoint, said), sequence=1)
        return serving

    known = inside.endpoint(inside.SPLIT)
    assignment = Assignment(known.salt, {variant.name: variant.weight for variant in known.variants})
    units = itertools.cycle(keys)
    answered = {decide().variant.name for _ in range(_UNITS)}
    if len(answered) != len(inside.SPLIT):
        raise RuntimeError("all units met one variant")
    ours, theirs, empty = _in_turn(
        rounds, (decide, times), (lambda: assignment.arm(next(units)), times), (lambda: next(headers), times)
    )
    return Figure("gateway: routing decision", ours - empty, "µs", "Assignment.arm", theirs - empty, limit_abs=DEALT_US)


def _recording(rounds: int, times: int) -> Figure:
    """Counting an answer, beside a call that does nothing."""
    tally = Tally()
    took = itertools.cycle(range(80_000, 400_000, 977))
    ours, theirs, empty = _in_turn(
        rounds,
        (lambda: tally.answered(next(took), 1, 130, 420, has_key=True), times),
        (lambda: _nothing(next(took)), times),
        (lambda: next(took), times),
    )
    return Figure(
        "gateway: recording an answer", ours - empty, "µs", "an empty call", theirs - empty, limit_abs=RECORDED_US
    )


async def _shadowing(rounds: int, times: int) -> Figure:
    """What the caller's own request pays for its copy; the shadow's work is done between requests, and not timed."""
    _, router, shadows = await inside.opened(inside.SINGLE, has_shadow=True)
    (route,) = router.routes.values()
    asked = Asked(rows(1, 3), 1)
    answer = inside.Fixed().now(asked.inputs)
    clock = time.perf_counter_ns
    took: list[float] = []
    empty: list[float] = []
    for _ in range(rounds + 1):
        for _ in range(times // 10):
            begun = clock()
            shadows(route, asked, answer, 130)
            took.append((clock() - begun) / 1_000)
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            begun = clock()
            _nothing()
            empty.append((clock() - begun) / 1_000)
    counts = route.shadows[0].tally.taken()
    if counts.dropped or counts.compared.rows != (rounds + 1) * (times // 10):
        raise RuntimeError("the shadow was not asked each time")
    ours, theirs = statistics.median(took), statistics.median(empty)
    return Figure("gateway: a shadow, of the caller's time", ours, "µs", "an empty call", theirs, limit_abs=SHADOWED_US)

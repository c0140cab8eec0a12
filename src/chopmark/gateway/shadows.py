"""Shadows: versions that get copies of requests, and whose answers are compared and thrown away."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from chopmark.domain.outcomes import Comparison
from chopmark.domain.traffic import WEIGHT_TOTAL
from chopmark.errors import ModelTimeout
from chopmark.gateway.protocols.asked import Asked
from chopmark.gateway.router import Copied, Route, Shadowing
from chopmark.gateway.telling import LOGGER

if TYPE_CHECKING:
    from chopmark.abc.predicting import Outputs

__all__ = ["Shadows", "compared"]

_CLOSE = 1e-9
_STRIDE = 6_180_339  # of the golden ratio: shares come out evenly, at once
_CYCLE = 10_000_000


class Shadows:
    """Asks shadows beside the requests.

    What is copied waits in a bounded queue, outside of any request; what does not fit is dropped, and counted. Each shadow works on so
    many at one time as its endpoint says.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._place = 0

    def __call__(self, route: Route, asked: Asked, answer: Outputs, request_bytes: int) -> None:
        """Take a copy for each of the endpoint's shadows, or drop it; returns at once."""
        self._place = (self._place + _STRIDE) % _CYCLE
        for shadowing in route.shadows:
            if self._place * WEIGHT_TOTAL >= shadowing.shadow.weight * _CYCLE:
                continue
            if len(shadowing.waiting) >= route.config.shadow_queue_max:
                shadowing.tally.dropped()
                continue
            shadowing.waiting.append(Copied(asked, answer, request_bytes))
            if shadowing.working < route.config.shadow_at_once:
                shadowing.working += 1
                work = _work(shadowing, route.config.timeout_ms / 1_000)
                task = asyncio.get_running_loop().create_task(work)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop; what waits is dropped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _work(shadowing: Shadowing, timeout_s: float) -> None:
    try:
        while shadowing.waiting:
            await asyncio.sleep(0)  # requests that are there go first
            await _asked(shadowing.waiting.popleft(), shadowing, timeout_s)
    finally:
        shadowing.working -= 1


async def _asked(copy: Copied, shadowing: Shadowing, timeout_s: float) -> None:
    held, asked = shadowing.held, copy.asked
    execution = shadowing.execution
    begun_ns = time.perf_counter_ns()
    held.in_flight += 1
    try:
        if asked.rows <= execution.now_rows_max:
            outputs = execution.now(asked.inputs, asked.outputs)
        else:
            outputs = await execution.run(asked.inputs, asked.rows, asked.outputs, timeout_s)
        comparison = compared(copy.answer, outputs, asked.rows)
    except Exception as error:  # noqa: BLE001 - a shadow may raise anything, and nobody waits for it
        LOGGER.debug("The shadow %s failed", shadowing.shadow.version.ref, exc_info=error)
        shadowing.tally.failed("timeout" if isinstance(error, ModelTimeout) else "model", copy.request_bytes)
        return
    finally:
        held.in_flight -= 1
    shadowing.tally.answered(time.perf_counter_ns() - begun_ns, asked.rows, copy.request_bytes, 0)
    shadowing.tally.compared(comparison)
    if shadowing.samples is not None:
        shadowing.samples.take(round(time.time() * 1_000), "", asked, outputs)


def compared(given: Outputs, shadow: Outputs, rows: int) -> Comparison:
    """How a shadow's answers lie beside those that were given.

    Parameters
    ----------
    given, shadow
        By name; those of one place are compared, whatever they are called.
    rows
        The first dimension of all.

    A row agrees when all its outputs do: numbers within a billionth of each other, anything else when it is equal. The shift is that of
    the first output of numbers, in the mean over what it gives for a row.
    """
    import numpy as np

    if len(given) != len(shadow):
        return Comparison(rows=rows)
    agree = np.ones(rows, dtype=bool)
    shift = None
    for mine, its in zip(given.values(), shadow.values(), strict=True):
        if mine.shape != its.shape:
            return Comparison(rows=rows)
        flat_mine, flat_its = mine.reshape(rows, -1), its.reshape(rows, -1)
        if mine.dtype.kind in "fiub" and its.dtype.kind in "fiub":
            difference = flat_its.astype(np.float64) - flat_mine.astype(np.float64)
            scale = np.maximum(np.abs(flat_its), np.abs(flat_mine)).astype(np.float64)
            both_missing = np.isnan(flat_its.astype(np.float64)) & np.isnan(flat_mine.astype(np.float64))
            agree &= ((np.abs(difference) <= _CLOSE * np.maximum(scale, 1.0)) | both_missing).all(axis=1)
            if shift is None:
                shift = np.nan_to_num(difference.mean(axis=1), nan=0.0, posinf=0.0, neginf=0.0)
        else:
            agree &= (flat_mine == flat_its).all(axis=1)
    if shift is None:
        return Comparison(rows, int(agree.sum()))
    far = np.abs(shift)
    return Comparison(rows, int(agree.sum()), float(shift.sum()), float(far.sum()), float(far.max(initial=0.0)))

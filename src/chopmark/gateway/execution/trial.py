"""A loaded model is tried on its sample: to warm it up, to measure it, and to see whether rows may be asked about together."""

from __future__ import annotations

import time
from statistics import median

from chopmark.abc.predicting import Predictor
from chopmark.gateway.execution.batching import check_rows, part_of, same_answers
from chopmark.gateway.execution.kinds import Opened

__all__ = ["tried", "untried"]

_ROUNDS, _ROUNDS_S = 9, 0.5
_TOGETHER, _MANY = 3, 64
_SLOW_US = 50_000.0


def tried(predictor: Predictor) -> Opened:
    """What is seen of a model that answers its sample. One that does not is no fault: its sample is only a guess."""
    measured_us, row_us, batches, note = None, 0.0, True, ""
    try:
        check_rows(predictor.predict(predictor.sample(1)), 1)
        measured_us = _median_us(predictor, 1)
        batches = _batches(predictor)
        if measured_us <= _SLOW_US and batches:
            row_us = max(0.0, (_median_us(predictor, _MANY) - measured_us) / (_MANY - 1))
        else:
            row_us = measured_us
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
        note = f"It did not answer a sample of what it takes: {type(error).__name__}: {str(error)[:200]}"
    if not batches:
        note = "It answers rows otherwise together than alone, so that each request is asked by itself."
    return Opened(predictor.layout, predictor.words, measured_us, row_us, batches, note)


def untried(predictor: Predictor) -> Opened:
    """A model that was tried before, and is loaded anew."""
    return Opened(predictor.layout, predictor.words, None, 0.0, batches=True, note="")


def _median_us(predictor: Predictor, rows: int) -> float:
    sample = predictor.sample(rows)
    predictor.predict(sample)
    taken: list[float] = []
    until = time.perf_counter() + _ROUNDS_S
    while len(taken) < _ROUNDS and (not taken or time.perf_counter() < until):
        began = time.perf_counter()
        predictor.predict(sample)
        taken.append((time.perf_counter() - began) * 1e6)
    return median(taken)


def _batches(predictor: Predictor) -> bool:
    names = [f.name for f in (*predictor.layout.outputs, *predictor.layout.more)]
    sample = predictor.sample(_TOGETHER)
    together = predictor.predict(sample, names)
    if any(array.ndim == 0 or len(array) != _TOGETHER for array in together.values()):
        return False
    return all(
        same_answers(
            {name: array[i : i + 1] for name, array in together.items()},
            predictor.predict(part_of(sample, i, i + 1), names),
        )
        for i in range(_TOGETHER)
    )

"""What looking early does to a test: simulated experiments, looked at after each batch, by an ordinary test and by ours.

`curves` gives the lines of the picture in docs/explanation/experiments.md; run alone, this prints them. The tests of error rates
simulate by the same functions, so that the picture and the tests speak of one thing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from chopmark.stats.sequential import bernoulli_p_values

ALPHA = 0.05

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


class Batches(NamedTuple):
    """Counts of each batch, each of shape (runs, looks)."""

    control_successes: Counts
    control_n: Counts
    treatment_successes: Counts
    treatment_n: Counts


class Curve(NamedTuple):
    """Share of the runs that were significant at this look or an earlier one, shape (looks,), after so many records."""

    records: Counts
    share: Numbers


def success_batches(
    control_rate: ArrayLike, treatment_rate: ArrayLike, share: ArrayLike, *, size: int, looks: int, runs: int, seed: int
) -> Batches:
    """Batches of so many records, each of which goes to treatment with a share; rates and share may differ by look."""
    random = np.random.default_rng(seed)
    shape = (runs, looks)
    treatment_n = random.binomial(size, np.broadcast_to(share, shape))
    control_n = size - treatment_n
    return Batches(
        random.binomial(control_n, np.broadcast_to(control_rate, shape)),
        control_n,
        random.binomial(treatment_n, np.broadcast_to(treatment_rate, shape)),
        treatment_n,
    )


class Means(NamedTuple):
    """Cumulative summaries at each look, each of shape (runs, looks)."""

    control_n: Numbers
    control_mean: Numbers
    control_m2: Numbers
    treatment_n: Numbers
    treatment_mean: Numbers
    treatment_m2: Numbers


def mean_looks(
    draw: Callable[[np.random.Generator, tuple[int, ...], bool], Numbers],
    share: float,
    *,
    size: int,
    looks: int,
    runs: int,
    seed: int,
) -> Means:
    """Experiments with numbers: ``draw(random, shape, in_treatment)`` makes them."""
    random = np.random.default_rng(seed)
    treatment_n = random.binomial(size, share, (runs, looks))
    parts: list[Numbers] = []
    for n, in_treatment in ((size - treatment_n, False), (treatment_n, True)):
        most = int(n.max())
        values = draw(random, (runs, looks, most), in_treatment)
        values *= np.arange(most) < n[..., None]
        total, squares = np.cumsum(values.sum(axis=-1), axis=1), np.cumsum((values * values).sum(axis=-1), axis=1)
        so_far = np.cumsum(n, axis=1).astype(np.float64)
        mean = total / np.maximum(so_far, 1.0)
        parts += [so_far, mean, np.maximum(0.0, squares - total * mean)]
    return Means(*parts)


def naive_p_values(batches: Batches) -> Numbers:
    """The usual two-proportion z test of everything so far, least p of the looks so far; shape (runs, looks)."""
    s0, n0, s1, n1 = (np.cumsum(part, axis=1) for part in batches)
    rate = (s0 + s1) / (n0 + n1)
    error = np.sqrt(rate * (1.0 - rate) * (1.0 / np.maximum(n0, 1) + 1.0 / np.maximum(n1, 1)))
    difference = s1 / np.maximum(n1, 1) - s0 / np.maximum(n0, 1)
    z = np.divide(np.abs(difference), error, out=np.zeros_like(error), where=(error > 0.0) & (n0 > 0) & (n1 > 0))
    least: Numbers = np.minimum.accumulate(2.0 * ndtr(-z), axis=1)
    return least


def found(p_values: Numbers, alpha: float = ALPHA) -> float:
    """Share of the runs that were significant at any look."""
    return float((p_values[:, -1] <= alpha).mean())


def records_at_stop(p_values: Numbers, size: int, alpha: float = ALPHA) -> float:
    """Mean number of records when a run stops: at its first significant look, or else at its last."""
    hits = p_values <= alpha
    looks = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, p_values.shape[1])
    return float(looks.mean()) * size


def curves(
    *, rate: float = 0.95, share: float = 0.5, size: int = 100, looks: int = 100, runs: int = 2_000, seed: int = 5
) -> dict[str, Curve]:
    """False alarms of experiments without any difference, by look: ``naive`` and ``chopmark``."""
    batches = success_batches(rate, rate, share, size=size, looks=looks, runs=runs, seed=seed)
    tests: dict[str, Callable[[Batches], Any]] = {
        "naive": naive_p_values,
        "chopmark": lambda b: bernoulli_p_values(*b, share),
    }
    records = size * np.arange(1, looks + 1)
    return {name: Curve(records, (test(batches) <= ALPHA).mean(axis=0)) for name, test in tests.items()}


def main() -> None:
    lines = curves()
    print("records   naive   chopmark")
    for k in range(9, len(lines["naive"].records), 10):
        print(f"{lines['naive'].records[k]:7,}  {lines['naive'].share[k]:6.1%}  {lines['chopmark'].share[k]:9.1%}")


if __name__ == "__main__":
    main()

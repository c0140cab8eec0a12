"""What is given in a wrong form is refused in the project's own words, and never by an error from within."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chopmark.errors import InvalidRequest
from chopmark.stats.assign import Assignment
from chopmark.stats.detectors import Adwin, Ddm
from chopmark.stats.experiment import Experiment
from chopmark.stats.plans import Batch, Metric, Plan
from chopmark.stats.summaries import Exposures, Mean, Proportion, Ratio

SUCCESS = Metric(name="s", kind="proportion", role="primary")
SPLIT = {"a": 0.5, "b": 0.5}


def plan(**changes: Any) -> Plan:
    return Plan(**{"variants": SPLIT, "control": "a", "metrics": (SUCCESS,), **changes})


def observed(batch: Any) -> Experiment:
    return Experiment.planned(plan()).observe(batch)


WRONG: list[Callable[[], Any]] = [
    lambda: plan(variants=["a", "b"]),
    lambda: plan(variants=None),
    lambda: plan(variants={"a": 1.0, "b": 0}),
    lambda: plan(control=["a"]),
    lambda: plan(metrics=SUCCESS),
    lambda: plan(metrics=("s",)),
    lambda: plan(metrics=None),
    lambda: plan(method=["fixed"]),
    lambda: plan(method="planned", planned_n=100, looks=4),
    lambda: Metric(name=5, kind="mean"),  # type: ignore[arg-type]
    lambda: Metric(name="x", kind={"a": 1}),  # type: ignore[arg-type]
    lambda: Metric(name="x", kind="proportion", limit=300.0),
    lambda: Metric(name="x", kind="mean", baseline=0.9),
    lambda: Metric(name="x", kind="quantile", baseline=0.9),
    lambda: observed({}),
    lambda: observed(None),
    lambda: Batch(records={"a": Proportion(1, 2)}),  # type: ignore[dict-item]
    lambda: Batch(records=[1]),  # type: ignore[arg-type]
    lambda: Batch(exposures={"a": 1}),  # type: ignore[arg-type]
    lambda: Batch(shares=[0.5, 0.5]),  # type: ignore[arg-type]
    lambda: observed(Batch(records={"a": {"s": 5}})),  # type: ignore[dict-item]
    lambda: Assignment("salt", SPLIT).arm(5),  # type: ignore[arg-type]
    lambda: Assignment("salt", SPLIT).arm_indices([5]),  # type: ignore[list-item]
    lambda: Assignment(5, SPLIT),  # type: ignore[arg-type]
    lambda: Assignment("salt", ["a", "b"]),  # type: ignore[arg-type]
    lambda: Mean.of([[1.0, 2.0], [3.0]]),
    lambda: Proportion.of([[1, 0], [1]]),
    lambda: Ratio.of([[1.0, 2.0], [3.0]], [1.0]),
    lambda: Adwin().observe_all(3),  # type: ignore[arg-type]
    lambda: Ddm().observe_all(np.array(3)),
    lambda: Proportion(10**400, 10**400),
    lambda: Mean(10**400, 1.0, 1.0),
    lambda: Exposures({"a": 10**400}),
    lambda: plan(planned_n=10**400),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_it_is_refused_with_a_hint(wrong: Callable[[], Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        wrong()
    assert refused.value.hint
    assert len(str(refused.value)) < 400


def test_metrics_may_be_a_list_and_a_limit_is_of_a_quantile() -> None:
    assert plan(metrics=[SUCCESS]).primary == SUCCESS
    assert Metric(name="x", kind="quantile", quantile=0.5, limit=300.0).limit == 300.0
    assert Proportion(2**62, 2**63 - 1).n == 2**63 - 1

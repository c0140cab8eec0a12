"""Comparisons by record, on every back end."""

# ruff: noqa: PD011 - rows of a comparison have values, and are no frames

import json
from typing import Any

import pandas as pd
import pytest

import chopmark as cm
from chopmark.errors import InvalidRequest, NotFound
from chopmark.sdk.comparing import Comparison


@pytest.fixture
def two(registry: cm.Registry) -> cm.Registry:
    registry.register(
        "fraud", {"t": 1}, metrics={"roc_auc": 0.90, "loss": 0.3}, params={"depth": 3}, tags={"team": "a"}
    )
    registry.register(
        "fraud", {"t": 2}, metrics={"roc_auc": 0.95, "loss": 0.2}, params={"depth": 5}, tags={"team": "a"}
    )
    return registry


def test_two_versions_side_by_side(two: cm.Registry) -> None:
    c = two.compare(["fraud:1", "fraud:2"])
    assert c.refs == ("fraud:1", "fraud:2")
    assert c.row("params", "depth").values == (3, 5)
    auc = c.row("metrics", "roc_auc").changes[1]
    assert auc is not None
    assert (auc.verdict, round(auc.percent or 0, 2)) == ("better", 5.56)
    assert c.recommendation.winner == "fraud:2"
    assert c.recommendation.basis == "metrics"
    assert not c.row("tags", "team").differs
    assert ("tags", "team") not in [(r.section, r.key) for r in c.differences().rows]
    assert two.versions.compare([two.get("fraud:1"), "fraud:latest"]) == c


def test_a_baseline_within_and_beyond(two: cm.Registry) -> None:
    assert two.compare(["fraud:1", "fraud:2"], baseline="fraud:2").row("metrics", "loss").changes[1] is None
    third = two.register("fraud", {"t": 3}, metrics={"loss": 0.1})
    c = two.compare(["fraud:1", "fraud:2"], baseline=third)
    assert c.refs == ("fraud:3", "fraud:1", "fraud:2")
    assert c.baseline == "fraud:3"


def test_evaluations_on_the_same_data_decide_before_recorded_metrics(two: cm.Registry) -> None:
    march = pd.DataFrame({"x": [1, 2, 3]})
    two.versions.evaluate("fraud:1", {"roc_auc": 0.8}, dataset=march)
    two.versions.evaluate("fraud:1", {"roc_auc": 0.93}, dataset=march)
    two.versions.evaluate("fraud:2", {"roc_auc": 0.91}, dataset=march)
    c = two.compare(["fraud:1", "fraud:2"])
    assert c.recommendation.winner == "fraud:1"
    assert c.recommendation.basis == "evaluations"
    (row,) = c.section("evaluations")
    assert row.values == (0.93, 0.91)


def test_evaluations_on_the_rows_of_the_training_decide_nothing(two: cm.Registry) -> None:
    march = pd.DataFrame({"x": [1, 2, 3]})
    for ref, auc in (("fraud:1", 0.99), ("fraud:2", 0.5)):
        two.versions.evaluate(ref, {"roc_auc": auc}, dataset=march, split="train")
        two.versions.evaluate(ref, {"train_auc": auc}, dataset=march, split="test")
    c = two.compare(["fraud:1", "fraud:2"])
    assert (c.recommendation.winner, c.recommendation.basis) == ("fraud:2", "metrics")
    assert len(c.section("evaluations")) == 2  # they are shown all the same


def test_directions_of_no_metric_are_refused(two: cm.Registry) -> None:
    with pytest.raises(InvalidRequest, match="'roc_acu', a metric that none of the versions has") as refused:
        two.compare(["fraud:1", "fraud:2"], directions={"roc_acu": "maximize"})
    assert refused.value.hint == "Their metrics are loss, roc_auc."
    two.versions.evaluate("fraud:1", {"odd": 1.0}, dataset=pd.DataFrame({"x": [1]}))
    two.compare(["fraud:1", "fraud:2"], directions={"odd": "maximize"})


def test_directions_can_be_said(two: cm.Registry) -> None:
    c = two.compare(["fraud:1", "fraud:2"], directions={"roc_auc": "minimize"})
    assert c.recommendation.winner == ""
    with pytest.raises(InvalidRequest, match="directions"):
        two.compare(["fraud:1", "fraud:2"], directions={"roc_auc": "sideways"})


@pytest.mark.parametrize("refs", [[], ["fraud:1"], "fraud:1", ["fraud:2", "fraud", "fraud:latest"]])
def test_one_version_is_no_comparison(two: cm.Registry, refs: Any) -> None:
    with pytest.raises(InvalidRequest, match="two or more different versions"):
        two.compare(refs)


def test_what_does_not_exist_is_told(two: cm.Registry) -> None:
    with pytest.raises(NotFound, match="fraud"):
        two.compare(["fraud:1", "fraud:9"])
    with pytest.raises(InvalidRequest, match="21 versions are too many"):
        two.compare(["fraud:1"] * 21)


def test_other_kinds_of_versions(registry: cm.Registry) -> None:
    for temperature in (0.2, 0.7):
        registry.register(
            "bot", config={"provider": "p", "model": "m", "temperature": temperature, "system_prompt": "Hi"}
        )
    c = registry.compare(["bot:1", "bot:2"])
    assert c.row("config", "temperature").values == (0.2, 0.7)
    assert not c.row("config", "system_prompt").differs
    assert c.recommendation.sentence == "No clear winner: the versions share no recorded metric."
    registry.register("both", members={"bot:1": 1.0, "bot:2": 3.0})
    mixed = registry.compare(["bot:1", "both"])
    assert mixed.row("facts", "kind").values == ("llm_config", "ensemble")


def test_it_prints_and_becomes_a_table_and_a_report(two: cm.Registry) -> None:
    c = two.compare(["fraud:1", "fraud:2"]).differences()
    assert isinstance(c, Comparison)
    assert repr(c).startswith("<comparison of fraud:1, fraud:2 · ")
    frame = c.to_pandas()
    assert list(frame[frame.key == "depth"]["fraud:2"]) == [5]
    assert frame[frame.key == "loss"]["fraud:2 is"].item() == "better"
    assert json.loads(c.to_json())["baseline"] == "fraud:1"
    assert "fraud:2 is better than fraud:1" in c.to_html()
    assert "| depth | 3 | 5 |" in c.to_markdown()
    assert c._repr_html_().startswith("<div>")

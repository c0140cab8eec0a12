"""Who may win on data: no version that failed, was not judged, or is judged by what cannot be compared."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression

import chopmark as cm
from chopmark.errors import InvalidRequest
from chopmark.sdk.comparing import Comparison

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(200, 3))
RIGHT = (ROWS[:, 0] > 0).astype(int)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chopmark.sdk.timing.BUDGET_S", 0.05)


class Fixed:
    """Answers what it was made with, whatever it is asked."""

    def __init__(self, answers: Any) -> None:
        self.answers = answers

    def predict(self, rows: Any) -> Any:
        return self.answers[: len(rows)]


class Broken:
    """Raises when it is asked."""

    def predict(self, rows: Any) -> Any:
        msg = f"no {len(rows)} rows today"
        raise ZeroDivisionError(msg)


class Once:
    """Answers once, and never again."""

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, rows: Any) -> Any:
        self.asked += 1
        if self.asked > 1:
            msg = "enough"
            raise RuntimeError(msg)
        return (np.asarray(rows)[:, 0] > 0).astype(int)


def fixed(registry: cm.Registry, answers: Any, **fields: Any) -> str:
    return registry.register("m", Fixed(answers), format="cloudpickle", **fields).ref


def told(comparison: Comparison, ref: str) -> Any:
    assert comparison.data is not None
    return next(v for v in comparison.data.versions if v.ref == ref)


def test_what_was_recorded_decides_nothing_where_there_is_data(local: cm.Registry) -> None:
    local.register("m", Broken(), format="cloudpickle", metrics={"accuracy": 0.99})
    fixed(local, RIGHT, task="classification", metrics={"accuracy": 0.5})
    assert local.compare(["m:1", "m:2"]).recommendation.winner == "m:1"
    for data in (ROWS, (ROWS, RIGHT)):
        found = local.compare(["m:1", "m:2"], data=data)
        assert found.recommendation.winner == ""
        assert found.recommendation.unjudged == {"m:1": "ZeroDivisionError: no 200 rows today"}
        assert "Not judged: m:1 (ZeroDivisionError: no 200 rows today)." in repr(found)
        assert "ZeroDivisionError: no 200 rows today" in found._repr_html_()
    assert "only m:2 could be judged" in found.recommendation.sentence


def test_the_others_are_judged_when_one_fails(local: cm.Registry) -> None:
    local.register("m", Broken(), format="cloudpickle", metrics={"accuracy": 0.99})
    fixed(local, RIGHT, task="classification")
    fixed(local, 1 - RIGHT, task="classification")
    found = local.compare(["m:1", "m:2", "m:3"], data=(ROWS, RIGHT)).recommendation
    assert found.winner == "m:2"
    assert found.sentence.endswith("Not judged: m:1 (ZeroDivisionError: no 200 rows today).")


def test_a_version_that_fails_while_it_is_timed_failed(local: cm.Registry) -> None:
    local.register("m", Once(), format="cloudpickle", task="classification")
    fixed(local, RIGHT, task="classification")
    fixed(local, 1 - RIGHT, task="classification")
    found = local.compare(["m:1", "m:2", "m:3"], data=(ROWS, RIGHT))
    assert told(found, "m:1").failure == "asked again, RuntimeError: enough"
    assert told(found, "m:1").latency is None
    assert found.recommendation.winner == "m:2"


@pytest.mark.parametrize(
    ("answers", "task", "said"),
    [
        (np.where(np.arange(200) < 5, np.nan, ROWS[:, 0]), "regression", "5 of 200 rows with no finite number"),
        (np.where(np.arange(200) < 2, np.inf, ROWS[:, 0]), "regression", "2 of 200 rows with no finite number"),
        (np.array([None] + ["a"] * 199, dtype=object), "classification", "1 of 200 rows with nothing"),
        (np.array([pd.NA] * 3 + ["a"] * 197, dtype=object), "classification", "3 of 200 rows with nothing"),
        (np.where(np.arange(200)[:, None] < 4, np.nan, np.full((200, 2), 0.5)), "", "4 of 200 rows with no finite"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(local: cm.Registry, answers: Any, task: str, said: str) -> None:
    fixed(local, answers, task=task)
    fixed(local, ROWS[:, 0] * 2, task="regression")
    found = local.compare(["m:1", "m:2"], data=(ROWS, ROWS[:, 0]))
    assert said in told(found, "m:1").failure
    assert found.recommendation.winner == ""
    assert said in found.recommendation.sentence


def test_nobody_wins_where_everybody_failed(local: cm.Registry) -> None:
    local.register("m", Broken(), format="cloudpickle", metrics={"accuracy": 0.99})
    fixed(local, np.full(200, np.nan), metrics={"accuracy": 0.5})
    assert "no version could be judged" in local.compare(["m:1", "m:2"], data=(ROWS, RIGHT)).recommendation.sentence
    assert "no version answered" in local.compare(["m:1", "m:2"], data=ROWS).recommendation.sentence


@pytest.mark.parametrize("only", [-1, 0, 1])
@pytest.mark.parametrize("form", [int, float, str])
def test_labels_of_detectors_that_may_be_meant_in_two_ways(local: cm.Registry, only: int, form: type) -> None:
    for seed in (0, 1):
        local.register("d", IsolationForest(n_estimators=5, random_state=seed).fit(ROWS))
    with pytest.raises(InvalidRequest, match=f"All labels of the detectors are {only}, which may mean") as refused:
        local.compare(["d:1", "d:2"], data=(ROWS, np.full(200, only).astype(form)))
    assert "True and False" in refused.value.hint
    clear = local.compare(["d:1", "d:2"], data=(ROWS, [only == 1] * 200))
    assert "all labels are of one class" in clear.recommendation.sentence


def test_flags_among_objects_are_flags(local: cm.Registry) -> None:
    for seed in (0, 1):
        local.register("d", IsolationForest(n_estimators=5, random_state=seed).fit(ROWS))
    odd = local.load("d:1").predict(ROWS) < 0
    found = local.compare(["d:1", "d:2"], data=(ROWS, odd.astype(object)))
    assert told(found, "d:1").metrics["f1"] == 1.0


def test_labels_that_are_no_class_of_a_version_disqualify_it(local: cm.Registry) -> None:
    local.register("c", LogisticRegression().fit(ROWS, np.where(RIGHT, "yes", "no")))
    local.register("c", LogisticRegression().fit(ROWS, RIGHT))
    local.register("c", DummyClassifier(strategy="constant", constant=0).fit(ROWS, RIGHT))
    found = local.compare(["c:1", "c:2", "c:3"], data=(ROWS, RIGHT))
    why = "its classes are 'no', 'yes', and the labels are '0', '1'"
    assert told(found, "c:1").unjudged == why
    assert told(found, "c:1").metrics == {}
    assert found.recommendation.winner == "c:2"
    assert f"Not judged: c:1 ({why})." in repr(found)
    assert "its classes are" in found._repr_html_()
    assert "not judged" in found.to_markdown()
    alone = local.compare(["c:1", "c:2"], data=(ROWS, RIGHT)).recommendation
    assert (alone.winner, alone.unjudged) == ("", {"c:1": why})
    with pytest.raises(
        InvalidRequest, match="labels are 'maybe', 'never', and the classes of the versions are '0', '1', 'no'"
    ):
        local.compare(["c:1", "c:2"], data=(ROWS, np.where(RIGHT, "maybe", "never")))


def test_a_class_that_a_version_knows_and_never_answers_is_a_class(local: cm.Registry) -> None:
    local.register("c", DummyClassifier(strategy="constant", constant=0).fit(ROWS, RIGHT))
    local.register("c", LogisticRegression().fit(ROWS, RIGHT))
    few = local.compare(["c:1", "c:2"], data=(ROWS[RIGHT == 1], RIGHT[RIGHT == 1]))
    assert told(few, "c:1").unjudged == ""
    assert told(few, "c:1").metrics["accuracy"] == 0.0


def test_a_classifier_and_a_regressor_are_not_judged_on_the_same_labels(local: cm.Registry) -> None:
    local.register("c", LinearRegression().fit(ROWS, RIGHT), metrics={"f1": 0.9})
    local.register("c", LogisticRegression().fit(ROWS, RIGHT), metrics={"f1": 0.5})
    found = local.compare(["c:1", "c:2"], data=(ROWS, RIGHT))
    why = "it is a regressor, which cannot be judged on the same labels as a classifier"
    assert told(found, "c:1").unjudged == why
    assert found.recommendation.winner == ""
    assert why in found.recommendation.sentence
    local.register("c", LinearRegression().fit(ROWS[:20], RIGHT[:20]))
    most = local.compare(["c:1", "c:2", "c:3"], data=(ROWS, RIGHT))
    assert list(most.recommendation.unjudged) == ["c:2"]


def test_large_errors_do_not_make_equals(local: cm.Registry) -> None:
    truth = RANDOM.normal(size=200)
    fixed(local, RANDOM.uniform(3e300, 5e300, 200), task="regression")
    fixed(local, truth + RANDOM.normal(size=200), task="regression")
    fixed(local, np.full(200, -1.7e308), task="regression")
    found = local.compare(["m:1", "m:2", "m:3"], data=(ROWS, truth))
    assert found.recommendation.winner == "m:2"
    assert all("p < 0.0001" in reason for reason in found.recommendation.reasons)
    assert told(found, "m:1").metrics["mae"] == pytest.approx(4e300, rel=0.1)
    beyond = local.compare(["m:2", "m:3"], data=(ROWS, np.full(200, 1.7e308)))  # errors beyond the greatest number
    assert told(beyond, "m:3").metrics["mae"] == np.finfo(float).max
    assert beyond.recommendation.winner == "m:2"


def test_both_classes_count_the_same_when_one_is_rare(local: cm.Registry) -> None:
    truth = (np.arange(1_000) < 40).astype(int)
    rows = np.zeros((1_000, 2))
    cautious = np.where(np.arange(1_000) < 36, 1, 0)
    cautious[900:910] = 1  # 4 missed and 10 false alarms
    local.register("c", DummyClassifier(strategy="constant", constant=0).fit(rows, truth))
    fixed(local, cautious, task="classification")
    found = local.compare(["c:1", "m:1"], data=(rows, truth))
    assert found.recommendation.winner == "m:1"
    assert "has a better balanced accuracy than c:1" in found.recommendation.sentence
    assert "both classes count the same" in found.recommendation.cautions[0]
    assert told(found, "m:1").metrics["balanced_accuracy"] == pytest.approx((36 / 40 + 950 / 960) / 2)


@pytest.mark.parametrize("recorded", ["frame", "pair", "table", "file"])
@pytest.mark.parametrize("given", ["pair", "target", "file"])
def test_rows_of_the_training_are_told(local: cm.Registry, tmp_path: Any, recorded: str, given: str) -> None:
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    labels = pd.Series(RIGHT, name="y")
    table = frame.assign(y=labels)
    file = tmp_path / "rows.csv"
    table.to_csv(file, index=False)
    forms: dict[str, Any] = {"frame": frame, "pair": (frame, labels), "table": table, "file": file}
    local.register("c", LogisticRegression().fit(frame, RIGHT), dataset=forms[recorded])
    local.register("c", LogisticRegression(C=0.01).fit(frame, RIGHT), dataset=frame[:100])
    data, target = {"pair": ((frame, labels), ""), "target": (table, "y"), "file": (file, "y")}[given]
    cautions = local.compare(["c:1", "c:2"], data=data, target=target).recommendation.cautions
    said = [c for c in cautions if "was trained on these rows" in c]
    # a file is known by its bytes, and so is no table; floats written to CSV come back as they were
    expected = not (recorded == "file" and given != "file") and not (recorded == "table" and given == "pair")
    assert [c.partition(" ")[0] for c in said] == (["c:1"] if expected else [])
    other = local.compare(["c:1", "c:2"], data=(frame[100:], RIGHT[100:])).recommendation.cautions
    assert not any("trained on" in c for c in other)


def test_a_notebook_shows_the_data(local: cm.Registry) -> None:
    local.register("c", LogisticRegression().fit(ROWS, RIGHT))
    local.register("c", DummyClassifier(strategy="constant", constant=0).fit(ROWS, RIGHT))
    local.register("c", {"no": "model"}, allow_breaking=True)
    shown = local.compare(["c:1", "c:2", "c:3"], data=(ROWS, RIGHT))._repr_html_()
    for said in (
        "200 rows, with labels",
        "accuracy",
        "latency mean (ms)",
        "dict has no predict",
        "c:1 is right on more",
    ):
        assert said in shown, said

"""Versions of every loadable kind on the same rows: agreement, metrics, latencies, a recommendation."""

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import chopmark as cm
from chopmark.errors import InvalidRequest
from chopmark.sdk.comparing import Comparison
from chopmark.sdk.timing import CALLS, time_in_turns
from tests.backends.required import import_backend


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chopmark.sdk.timing.BUDGET_S", 0.05)


@pytest.fixture(scope="module")
def tumours() -> tuple[pd.DataFrame, pd.Series]:
    rows, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    return rows, benign


@pytest.fixture(scope="module")
def fitted(tumours: tuple[pd.DataFrame, pd.Series]) -> tuple[DummyClassifier, RandomForestClassifier]:
    rows, benign = tumours[0][:300], tumours[1][:300]
    never = DummyClassifier(strategy="constant", constant=0).fit(rows, benign)
    return never, RandomForestClassifier(20, random_state=0).fit(rows, benign)


@pytest.fixture
def classifiers(
    local: cm.Registry,
    tumours: tuple[pd.DataFrame, pd.Series],
    fitted: tuple[DummyClassifier, RandomForestClassifier],
) -> cm.Registry:
    for model in fitted:
        local.register("t", model, example=tumours[0][:300])
    return local


def on(comparison: Comparison, ref: str) -> Any:
    assert comparison.data is not None
    return next(v for v in comparison.data.versions if v.ref == ref)


def test_classifiers_against_labels(classifiers: cm.Registry, tumours: tuple[pd.DataFrame, pd.Series]) -> None:
    rows, benign = tumours[0][300:], tumours[1][300:]
    c = classifiers.versions.compare(["t:1", "t:2"], data=(rows, benign))
    assert c.data is not None
    forest = classifiers.load("t:2")
    found = on(c, "t:2").metrics
    probabilities = forest.predict_proba(rows)
    assert found["accuracy"] == pytest.approx(forest.score(rows, benign))
    assert found["f1"] == pytest.approx(metrics.f1_score(benign, forest.predict(rows)))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(benign, probabilities[:, 1]))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(benign, probabilities))
    assert c.data.positive == "1"
    pair = c.data.pair("t:1", "t:2")
    flipped = np.flatnonzero(forest.predict(rows) == 1)
    (flip,) = pair.flips
    assert (flip.before, flip.after, flip.count, flip.rows) == ("0", "1", len(flipped), tuple(flipped.tolist()))
    assert pair.agreement == pytest.approx(1 - len(flipped) / len(rows))
    assert pair.spearman is None  # a constant has no order
    assert c.recommendation.winner == "t:2"
    assert c.recommendation.basis == "answers"
    latency = on(c, "t:2").latency
    assert latency.batch_rows == len(rows)
    assert 0 < latency.mean_ms <= latency.p95_ms + latency.deviation_ms * 3


def test_without_labels_nobody_is_judged(classifiers: cm.Registry, tumours: tuple[pd.DataFrame, pd.Series]) -> None:
    c = classifiers.compare(["t:1", "t:2"], data=tumours[0][300:])
    assert c.data is not None
    assert not c.data.labelled
    assert on(c, "t:1").metrics == {}
    assert on(c, "t:1").rates == {"0": 1.0}
    assert c.recommendation.winner == ""
    assert any("fastest" in t for t in c.recommendation.tie_breaks)


@pytest.mark.parametrize("form", ["polars", "dicts", "extra", "csv", "semicolons.csv", "bars.tsv", "parquet"])
def test_rows_in_any_form(
    classifiers: cm.Registry, tumours: tuple[pd.DataFrame, pd.Series], form: str, tmp_path: Path
) -> None:
    rows, benign = tumours[0][300:], tumours[1][300:]
    expected = classifiers.compare(["t:1", "t:2"], data=(rows, benign))
    table = rows.assign(benign=benign, note="a column that no model asks for")[::1]
    file = tmp_path / f"rows.{form}"
    data: Any
    match form:
        case "polars":
            data, target = pl.DataFrame(table.to_dict("list")), "benign"
        case "dicts":
            data, target = table.to_dict("records"), "benign"
        case "extra":
            data, target = table[table.columns[::-1]], "benign"
        case "csv":
            table.to_csv(file, index=False)
            data, target = file, "benign"
        case "semicolons.csv":  # as spreadsheets write them where the comma is in the decimals
            table.to_csv(file, index=False, sep=";", decimal=",")
            data, target = file, "benign"
        case "bars.tsv":
            table.to_csv(file, index=False, sep="|")
            data, target = file, "benign"
        case _:
            table.to_parquet(file)
            data, target = str(file), "benign"
    c = classifiers.compare(["t:1", "t:2"], data=data, target=target)
    assert c.data is not None
    assert expected.data is not None
    assert [v.failure for v in c.data.versions] == ["", ""]
    assert on(c, "t:2").metrics == pytest.approx(on(expected, "t:2").metrics)
    assert c.data.pairs == expected.data.pairs


def test_arrays_and_several_classes_with_names(local: cm.Registry) -> None:
    rows, numbers = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[numbers]
    local.register("iris", LogisticRegression(max_iter=500).fit(rows, names), example=rows)
    local.register("iris", SVC().fit(rows, names), example=rows)
    local.register("iris", make_pipeline(StandardScaler(), SVC()).fit(rows, names), example=rows)
    c = local.compare(["iris:1", "iris:2", "iris:3"], data=(rows, names))
    assert c.data is not None
    assert set(on(c, "iris:1").metrics) == {"accuracy", "precision_macro", "recall_macro", "f1_macro", "log_loss"}
    expected = metrics.f1_score(names, local.load("iris:2").predict(rows), average="macro")
    assert on(c, "iris:2").metrics["f1_macro"] == pytest.approx(expected)
    assert c.data.positive == ""
    assert len(c.data.pairs) == 3
    assert c.recommendation.winner == ""


@pytest.mark.parametrize("labels", ["flags", "signs", "truths", "words"])
def test_detectors_and_every_way_to_label_anomalies(
    local: cm.Registry, tumours: tuple[pd.DataFrame, pd.Series], labels: str
) -> None:
    rows, benign = tumours
    odd = (benign == 0).to_numpy()
    for contamination in (0.1, 0.35):
        detector = IsolationForest(n_estimators=20, contamination=contamination, random_state=0).fit(rows[benign == 1])
        local.register("d", detector, example=rows)
    local.register(
        "d", make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)).fit(rows[benign == 1]), example=rows
    )
    truth: Any = {
        "flags": odd.astype(int),
        "signs": np.where(odd, -1, 1),
        "truths": odd,
        "words": np.where(odd, "anomaly", "normal"),
    }[labels]
    c = local.compare(["d:1", "d:2", "d:3"], data=(rows, truth))
    assert c.data is not None
    detector = local.load("d:1")
    found = on(c, "d:1")
    assert found.kind == "anomaly"
    assert found.score == "decision_function"
    assert found.rates["anomaly"] == pytest.approx((detector.predict(rows) == -1).mean())
    assert found.metrics["recall"] == pytest.approx(metrics.recall_score(odd, detector.predict(rows) == -1))
    assert found.metrics["roc_auc"] == pytest.approx(metrics.roc_auc_score(odd, -detector.decision_function(rows)))
    flips = c.data.pair("d:1", "d:2").flips
    assert {(f.before, f.after) for f in flips} == {("normal", "anomaly")}  # the second flags more
    spearman = c.data.pair("d:1", "d:2").spearman
    assert spearman is not None
    assert spearman > 0.9


def test_labels_that_no_detector_knows(local: cm.Registry) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    for seed in (0, 1):
        local.register("d", IsolationForest(n_estimators=5, random_state=seed).fit(rows))
    with pytest.raises(InvalidRequest, match=r"labels of detectors are 0, 1, 2"):
        local.compare(["d:1", "d:2"], data=(rows, np.arange(50) % 3))


def test_regressions(local: cm.Registry) -> None:
    rows, values = load_diabetes(return_X_y=True)
    local.register("r", LinearRegression().fit(rows, values), example=rows)
    local.register("r", Ridge(alpha=1_000.0).fit(rows, values), example=rows)
    c = local.compare(["r:1", "r:2"], data=(rows, values))
    assert c.data is not None
    model = local.load("r:1")
    assert on(c, "r:1").metrics["mae"] == pytest.approx(metrics.mean_absolute_error(values, model.predict(rows)))
    assert on(c, "r:1").metrics["r2"] == pytest.approx(model.score(rows, values))
    pair = c.data.pair("r:1", "r:2")
    assert pair.agreement is None
    assert pair.mean_difference == pytest.approx(np.abs(model.predict(rows) - local.load("r:2").predict(rows)).mean())
    assert c.recommendation.winner == "r:1"
    few = local.compare(["r:1", "r:2"], data=(rows[:20], values[:20]))
    assert "20 rows are too few" in few.recommendation.sentence


def test_ensembles_answer_as_their_members_kind(local: cm.Registry, tumours: tuple[pd.DataFrame, pd.Series]) -> None:
    rows, benign = tumours
    for n in (3, 7):
        local.register("c", RandomForestClassifier(n, random_state=n).fit(rows, benign), example=rows)
        local.register("d", IsolationForest(n_estimators=n, random_state=n).fit(rows), example=rows)
    local.register("ce", members=["c:1", "c:2"], combine="mean")
    local.register("cv", members=["c:1", "c:2"], combine="vote")
    local.register("de", members=["d:1", "d:2"], combine="vote")
    local.register("dm", members=["d:1", "d:2"], combine="mean")
    c = local.compare(["ce", "cv", "c:1"], data=(rows, benign))
    assert [on(c, ref).kind for ref in ("ce:1", "cv:1", "c:1")] == ["classification"] * 3
    averaged = local.load("ce").predict_proba(rows)[:, 1]
    assert on(c, "ce:1").metrics["roc_auc"] == pytest.approx(metrics.roc_auc_score(benign, averaged))
    d = local.compare(["de", "d:1", "dm"], data=rows)
    assert on(d, "de:1").kind == "anomaly"
    odd = (local.load("d:1").predict(rows) + local.load("d:2").predict(rows)) <= 0  # a tie goes to -1
    assert on(d, "de:1").rates["anomaly"] == pytest.approx(odd.mean())
    assert "combine='mean' is for numbers" in on(d, "dm:1").failure


def test_boosters_and_graphs(local: cm.Registry, tumours: tuple[pd.DataFrame, pd.Series]) -> None:
    xgboost = import_backend("xgboost")
    import_backend("onnxruntime")
    skl2onnx = import_backend("skl2onnx")
    rows = tumours[0].to_numpy(np.float32)
    benign = tumours[1].to_numpy()
    wrapped = xgboost.XGBClassifier(n_estimators=5).fit(rows, benign)
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, benign)
    local.register("x", wrapped, example=rows)
    local.register("x", wrapped.get_booster(), task="classification")
    local.register("x", skl2onnx.to_onnx(logistic, rows[:1], options={"zipmap": False}))
    local.register("x", skl2onnx.to_onnx(logistic, rows[:2]))
    c = local.compare([f"x:{n}" for n in (1, 2, 3, 4)], data=(rows, benign))
    assert c.data is not None
    assert [v.failure for v in c.data.versions] == [""] * 4
    assert c.data.pair("x:1", "x:2").agreement == 1.0
    assert c.data.pair("x:3", "x:4").agreement == 1.0
    expected = metrics.roc_auc_score(benign, logistic.predict_proba(rows)[:, 1])
    for ref in ("x:3", "x:4"):
        assert on(c, ref).metrics["roc_auc"] == pytest.approx(expected, abs=1e-4)


class Flagger:
    """Says 1 for an anomaly, as PyOD's detectors do."""

    __module__ = "pyod.models.flagger"

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def decision_function(self, rows: Any) -> Any:
        return np.abs(np.asarray(rows)).max(axis=1)

    def predict(self, rows: Any) -> Any:
        return (self.decision_function(rows) > self.threshold).astype(int)


def test_detectors_that_flag_with_one() -> None:
    from chopmark.sdk.answering import answer

    rows = np.random.default_rng(0).normal(size=(200, 3))
    given = answer(Flagger(2.0), rows, "")
    assert given.kind == "anomaly"
    assert (given.answers == np.where(np.abs(rows).max(axis=1) > 2, "anomaly", "normal")).all()
    assert (given.scores == np.abs(rows).max(axis=1)).all()


class Stubborn:
    """Raises what a stranger's model may raise."""

    def predict(self, rows: Any) -> Any:
        msg = f"no {len(rows)} rows today"
        raise ZeroDivisionError(msg)


def test_a_version_that_fails_is_told_and_the_others_go_on(
    classifiers: cm.Registry, tumours: tuple[pd.DataFrame, pd.Series]
) -> None:
    rows, benign = tumours[0][300:], tumours[1][300:]
    classifiers.register(
        "t", Stubborn(), format="cloudpickle", signature=classifiers.get("t:1").signature, allow_breaking=True
    )
    classifiers.register(
        "t", LogisticRegression(max_iter=500).fit(rows[["mean area"]], benign), example=rows[["mean area"]]
    )
    classifiers.register("bot", config={"provider": "p", "model": "m"})
    classifiers.register("plain", {"a": 1})
    narrow = rows.drop(columns="mean radius")
    c = classifiers.compare(["t:1", "t:2", "t:3", "t:4", "bot", "plain"], data=(narrow, benign))
    assert "column 'mean radius' is missing" in on(c, "t:1").failure
    assert "column 'mean radius' is missing" in on(c, "t:3").failure
    assert on(c, "t:4").failure == ""
    assert "answers no rows" in on(c, "bot:1").failure
    assert "dict has no predict" in on(c, "plain:1").failure
    c = classifiers.compare(["t:1", "t:2", "t:3"], data=(rows, benign))
    assert on(c, "t:3").failure == "ZeroDivisionError: no 269 rows today"
    assert c.recommendation.winner == "t:2"
    assert any(caution.startswith("t:3 was not judged") for caution in c.recommendation.cautions)
    assert on(c, "t:3").latency is None


def test_trust_is_asked_for(local: cm.Registry, tmp_path: Path) -> None:
    local.register("p", Stubborn(), format="cloudpickle")
    local.register("p", {"a": 1}, allow_breaking=True)
    with cm.open(tmp_path / "registry", trust="marked_only") as strict:
        c = strict.compare(["p:1", "p:2"], data=np.zeros((3, 2)))
    assert "trust grant p:1" in on(c, "p:1").failure


@pytest.mark.parametrize(
    ("data", "target", "said"),
    [
        (np.zeros((0, 3)), "", "no rows"),
        (5, "", "no rows"),
        ((np.zeros((3, 2)), [1, 2]), "", "labels have the shape"),
        ((np.zeros((2, 2)), [1.0, float("nan")]), "", "1 of 2 labels are missing"),
        ((np.zeros((2, 2)), ["a", None]), "", "1 of 2 labels are missing"),
        ((np.zeros((2, 2)), pd.Series(["a", pd.NA], dtype="string")), "", "1 of 2 labels are missing"),
        ((1, 2, 3), "", "not of two parts"),
        (pd.DataFrame({"x": [1]}), "y", "no column 'y'"),
        ("nowhere.csv", "", "no file"),
        (Path(__file__), "", "no table that can be read"),
        ((np.zeros((2, 2)), [0, 1]), "y", "takes no target"),
    ],
)
def test_data_that_cannot_be_meant(classifiers: cm.Registry, data: Any, target: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        classifiers.compare(["t:1", "t:2"], data=data, target=target)


def test_a_header_that_its_lines_do_not_fit_is_refused(classifiers: cm.Registry, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a;b\n1;2;3\n4\n5;6;7\n")
    with pytest.raises(InvalidRequest, match="fit neither") as refused:
        classifiers.compare(["t:1", "t:2"], data=file)
    assert "commas, semicolons, tabs or bars" in refused.value.hint


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_a_text_file_has_times_where_the_signature_says_so(
    local: cm.Registry, tmp_path: Path, zone: str | None
) -> None:
    joined = pd.date_range("2026-03-01", periods=40, freq="D", tz=zone)
    rows = pd.DataFrame({"joined": joined, "note": [f"n{n % 2}" for n in range(40)]})
    truth = np.arange(40) % 2
    for strategy in ("most_frequent", "stratified"):
        local.register("d", DummyClassifier(strategy=strategy, random_state=0).fit(rows, truth), example=rows)
    (file, broken) = tmp_path / "rows.csv", tmp_path / "broken.tsv"
    rows.assign(y=truth).to_csv(file, index=False)
    rows.assign(y=truth, joined="yesterday").to_csv(broken, index=False, sep="\t")
    c = local.compare(["d:1", "d:2"], data=file, target="y")
    assert [on(c, r).failure for r in c.refs] == ["", ""]
    expected = local.compare(["d:1", "d:2"], data=(rows, truth))
    assert on(c, "d:2").metrics == on(expected, "d:2").metrics
    refused = local.compare(["d:1", "d:2"], data=broken, target="y")
    assert "column 'joined' is string, not datetime" in on(refused, "d:1").failure


def test_calls_are_timed_in_turns() -> None:
    order: list[str] = []
    ticks = count()
    a, b = time_in_turns([lambda: order.append("a"), lambda: order.append("b")], 10, lambda: next(ticks) * 1e-6)
    assert order[:6] == ["a", "b", "a", "b", "a", "b"]
    assert len(order) == 2 * (1 + CALLS)  # one of each to warm up
    assert (a.calls, b.calls) == (CALLS, CALLS)
    assert (a.mean_ms, a.deviation_ms, a.p95_ms) == pytest.approx((0.001, 0.0, 0.001), abs=1e-9)


def test_slow_calls_are_timed_three_times() -> None:
    ticks = count()
    (slow,) = time_in_turns([lambda: None], 10, lambda: float(next(ticks) * 100))
    assert slow.calls == 3
    assert slow.mean_ms == pytest.approx(100_000.0)

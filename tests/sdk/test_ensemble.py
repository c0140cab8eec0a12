"""Ensembles: numbers are averaged, labels are voted on, and nothing averages labels."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import chopmark as cm
from chopmark.errors import InvalidRequest

ROWS, NUMBERS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[NUMBERS]


def members(registry: cm.Registry, truth: np.ndarray) -> list[cm.Version]:
    """Two classifiers, one of them in a pipeline."""
    plain = LogisticRegression(C=0.01, max_iter=500).fit(ROWS, truth)
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, truth)
    return [registry.register("iris", plain), registry.register("iris", scaled)]


@pytest.mark.parametrize("truth", [NAMES, NUMBERS, NUMBERS == 1], ids=["texts", "integers", "flags"])
@pytest.mark.parametrize("combine", ["mean", "median", "max"])
def test_labels_are_not_averaged(local: cm.Registry, truth: np.ndarray, combine: str) -> None:
    both = local.load(local.register("both", members=members(local, truth), combine=combine))
    with pytest.raises(InvalidRequest, match=f"answers with labels, and combine='{combine}' is for numbers") as refused:
        both.predict(ROWS)
    assert "combine='vote'" in refused.value.hint
    assert "predict_proba" in refused.value.hint
    assert both.predict_proba(ROWS).shape == (150, len(np.unique(truth)))


@pytest.mark.parametrize("truth", [NAMES, NUMBERS, NUMBERS == 1], ids=["texts", "integers", "flags"])
def test_labels_are_voted_on(local: cm.Registry, truth: np.ndarray) -> None:
    first, second = members(local, truth)
    both = local.load(local.register("both", members={first: 1.0, second: 2.0}, combine="vote"))
    assert (both.predict(ROWS) == local.load(second).predict(ROWS)).all()


@pytest.mark.parametrize("truth", [NAMES, NUMBERS, NUMBERS == 1], ids=["texts", "integers", "flags"])
def test_labels_are_voted_on_when_nothing_is_said(local: cm.Registry, truth: np.ndarray) -> None:
    first, second = members(local, truth)
    both = local.register("both", members={first: 1.0, second: 2.0})
    assert both.config == {"combine": "auto"}
    loaded = local.load(both)
    assert (loaded.predict(ROWS) == local.load(second).predict(ROWS)).all()
    expected = (local.load(first).predict_proba(ROWS) + 2 * local.load(second).predict_proba(ROWS)) / 3
    assert loaded.predict_proba(ROWS) == pytest.approx(expected)
    found = local.compare(["both", second], data=(ROWS, truth))
    assert found.data is not None
    assert found.data.pair("both:1", "iris:2").agreement == 1.0
    assert found.data.versions[0].metrics["log_loss"] > 0


def test_flags_of_anomalies_are_voted_on_and_not_averaged(local: cm.Registry) -> None:
    for seed in (0, 1, 2):
        local.register("d", IsolationForest(n_estimators=5, random_state=seed).fit(ROWS))
    refs = ["d:1", "d:2", "d:3"]
    with pytest.raises(InvalidRequest, match="d:1, a member of the ensemble, answers with labels") as refused:
        local.load(local.register("dm", members=refs, combine="mean")).predict(ROWS)
    assert "predict_proba" not in refused.value.hint
    votes = sum(local.load(ref).predict(ROWS) for ref in refs)
    assert (local.load(local.register("dv", members=refs, combine="vote")).predict(ROWS) == np.sign(votes)).all()
    assert (local.load(local.register("da", members=refs)).predict(ROWS) == np.sign(votes)).all()


@pytest.mark.parametrize("combine", ["mean", "median", "max"])
def test_numbers_are_combined(local: cm.Registry, combine: str) -> None:
    for fields in (slice(0, 150), slice(0, 75)):
        local.register("r", LinearRegression().fit(ROWS[fields], ROWS[fields, 0] * 2))
    both = local.load(local.register("both", members=["r:1", "r:2"], combine=combine))
    expected = getattr(np, combine)([local.load(ref).predict(ROWS) for ref in ("r:1", "r:2")], axis=0)
    assert both.predict(ROWS) == pytest.approx(expected)
    plain = local.load(local.register("plain", members={"r:1": 3.0, "r:2": 1.0}))
    assert plain.predict(ROWS) == pytest.approx(
        (3 * local.load("r:1").predict(ROWS) + local.load("r:2").predict(ROWS)) / 4
    )
    nested = local.load(local.register("nested", members=["both:1", "r:1"], combine=combine))
    assert nested.predict(ROWS).shape == (150,)


def test_an_ensemble_within_an_ensemble_votes(local: cm.Registry) -> None:
    local.register("both", members=members(local, NAMES), combine="vote")
    outer = local.register("outer", members=["both:1", "iris:1"], combine="mean")
    with pytest.raises(InvalidRequest, match="both:1, a member of the ensemble, answers with labels"):
        local.load(outer).predict(ROWS)
    voting = local.load(local.register("voting", members=["both:1", "iris:1"], combine="vote"))
    assert set(voting.predict(ROWS)) <= set(NAMES)


def test_probabilities_of_different_classes_are_not_combined(local: cm.Registry) -> None:
    for kept in (NUMBERS != 0, NUMBERS != 2):
        local.register("c", LogisticRegression(max_iter=500).fit(ROWS[kept], NAMES[kept]))
    both = local.load(local.register("both", members=["c:1", "c:2"]))
    with pytest.raises(InvalidRequest, match="different classes: versicolor, virginica, and setosa, versicolor"):
        both.predict_proba(ROWS)


def test_a_comparison_asks_an_average_of_classifiers_for_its_likeliest_class(local: cm.Registry) -> None:
    local.register("both", members=members(local, NAMES), combine="mean")
    found = local.compare(["both", "iris:2"], data=(ROWS, NAMES))
    assert found.data is not None
    likeliest = np.unique(NAMES)[local.load("both").predict_proba(ROWS).argmax(axis=1)]
    assert found.data.versions[0].failure == ""
    assert found.data.versions[0].metrics["accuracy"] == pytest.approx((likeliest == NAMES).mean())

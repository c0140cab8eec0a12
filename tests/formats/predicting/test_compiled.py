"""Compiled scorers answer as scikit-learn does: the same labels, the same scores to the last bit; or they are not used."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Perceptron,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from chopmark.domain.signature import Field, Signature
from chopmark.formats.predicting import compiled, predictor_of
from chopmark.formats.predicting.compiled import CompiledModel
from chopmark.formats.predicting.isolation_forest import ForestScorer
from chopmark.formats.predicting.linear import LinearScorer

# Each example fits a model: a failing one is shown as it was found, and not made smaller.
few = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

LINEAR = "compiled linear model"
FOREST = "compiled isolation forest"
METHODS = ("predict", "predict_proba", "decision_function", "score_samples")

CLASSIFIERS = {
    "logistic": lambda: LogisticRegression(max_iter=50, tol=1e-2),
    "logistic without intercept": lambda: LogisticRegression(max_iter=50, tol=1e-2, fit_intercept=False),
    "hinge": lambda: SGDClassifier(max_iter=20, tol=None, random_state=0),
    "log loss": lambda: SGDClassifier(loss="log_loss", max_iter=20, tol=None, random_state=0),
    "huber": lambda: SGDClassifier(loss="modified_huber", max_iter=20, tol=None, random_state=0),
    "perceptron": lambda: Perceptron(max_iter=20, tol=None, random_state=0),
    "svm": lambda: LinearSVC(max_iter=50, tol=1e-1, random_state=0),
    "svm, crammer": lambda: LinearSVC(multi_class="crammer_singer", max_iter=50, tol=1e-1, random_state=0),
}
REGRESSIONS = {
    "least squares": LinearRegression,
    "without intercept": lambda: LinearRegression(fit_intercept=False),
    "ridge": Ridge,
    "sgd": lambda: SGDRegressor(max_iter=5, tol=None, random_state=0),
    "svr": lambda: LinearSVR(max_iter=50, tol=1e-1, random_state=0),
}
SCALERS = {
    "standard": StandardScaler,
    "no mean": lambda: StandardScaler(with_mean=False),
    "no scale": lambda: StandardScaler(with_std=False),
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
    "maxabs": MaxAbsScaler,
    "passthrough": lambda: "passthrough",
}
LABELS = {
    "ints": np.array([7, -1, 3, 12]),
    "texts": np.array(["no", "yes", "perhaps", "never"]),
    "bools": np.array([False, True, False, True]),
    "floats": np.array([1.0, 2.0, -3.0, 4.0]),
}


def rows_like(generator: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Rows with ties, of very different sizes."""
    rows = generator.normal(size=(count, width)) * 10.0 ** generator.integers(-3, 4, width)
    return np.where(generator.random(rows.shape) < 0.3, np.rint(rows), rows)


def check_same(model: Any, rows: np.ndarray, words: str) -> None:
    predictor = predictor_of(model, Signature((Field("input-0", "float", rows.dtype.name, (-1, rows.shape[1])),)))
    assert (predictor.words, predictor.layout.dtype) == (words, rows.dtype.name)
    outputs = {predictor.layout.outputs[0].name: "predict"} | {f.name: f.name for f in predictor.layout.more}
    for part in (rows, rows[:1], rows[-1:], rows[:2], rows[::3]):
        answers = predictor.predict(part, tuple(outputs))
        for name, method in outputs.items():
            expected = np.asarray(getattr(model, method)(part))
            assert (answers[name].shape, answers[name].dtype) == (expected.shape, expected.dtype)
            if method == "predict_proba":
                np.testing.assert_allclose(answers[name], expected, rtol=1e-9, atol=0)
            else:
                np.testing.assert_array_equal(answers[name], expected)
        (alone,) = predictor.predict(part).values()
        np.testing.assert_array_equal(alone, model.predict(part))
    assert set(outputs.values()) == {m for m in METHODS if hasattr(model, m)}


@few
@given(
    kind=st.sampled_from(sorted(CLASSIFIERS)),
    labels=st.sampled_from(sorted(LABELS)),
    count=st.integers(2, 4),
    width=st.integers(1, 12),
    scalers=st.lists(st.sampled_from(sorted(SCALERS)), max_size=2),
    single=st.booleans(),
    seed=st.integers(0, 2**16),
)
@pytest.mark.filterwarnings("ignore")
def test_linear_classifiers(kind, labels, count, width, scalers, single, seed) -> None:
    generator = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    rows = rows_like(generator, 60, width).astype(dtype)
    classes = np.unique(LABELS[labels][:count])
    targets = classes[np.arange(60) % len(classes)]
    model = make_pipeline(*[SCALERS[s]() for s in scalers], CLASSIFIERS[kind]()).fit(rows, targets)
    check_same(model, rows_like(generator, 300, width).astype(dtype), LINEAR)


@few
@given(
    kind=st.sampled_from(sorted(REGRESSIONS)),
    width=st.integers(1, 12),
    targets=st.integers(0, 3),
    scalers=st.lists(st.sampled_from(sorted(SCALERS)), max_size=2),
    seed=st.integers(0, 2**16),
)
@example(kind="without intercept", width=9, targets=3, scalers=[], seed=11_940)
@pytest.mark.filterwarnings("ignore")
def test_linear_regressions(kind, width, targets, scalers, seed) -> None:
    generator = np.random.default_rng(seed)
    rows = rows_like(generator, 60, width)
    several = targets and kind not in ("sgd", "svr")
    wanted = generator.normal(size=(60, targets)) if several else generator.normal(size=60)
    steps = ["standard", *scalers] if kind == "sgd" else scalers  # gradient descent on large numbers ends in none
    model = make_pipeline(*[SCALERS[s]() for s in steps], REGRESSIONS[kind]()).fit(rows, wanted)
    check_same(model, rows_like(generator, 300, width), LINEAR)


@few
@given(
    trees=st.integers(1, 30),
    samples=st.integers(2, 200),
    features=st.sampled_from([1.0, 0.5]),
    contamination=st.sampled_from(["auto", 0.01, 0.2, 0.5]),
    bootstrap=st.booleans(),
    width=st.integers(1, 6),
    scaler=st.sampled_from([None, "robust", "minmax"]),
    single=st.booleans(),
    discrete=st.booleans(),
    seed=st.integers(0, 2**16),
)
@pytest.mark.filterwarnings("ignore")
def test_isolation_forests(
    trees, samples, features, contamination, bootstrap, width, scaler, single, discrete, seed
) -> None:
    generator = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    rows = generator.normal(size=(200, width)).astype(dtype)
    if discrete:
        rows = np.rint(rows * 2) / 2  # ties on thresholds, and on depths
    forest = IsolationForest(
        n_estimators=trees,
        max_samples=samples,
        max_features=features,
        contamination=contamination,
        bootstrap=bootstrap,
        random_state=seed,
    )
    model = make_pipeline(*([SCALERS[scaler]()] if scaler else []), forest).fit(rows)
    asked = np.vstack([rows, at_thresholds(forest, width).astype(dtype)])
    check_same(model, asked, FOREST)


def at_thresholds(forest: IsolationForest, width: int) -> np.ndarray:
    """Rows of the forest's own thresholds, and the numbers next to them."""
    found = []
    for tree, features in zip(forest.estimators_, forest.estimators_features_, strict=True):
        for feature, threshold in zip(tree.tree_.feature[:6], tree.tree_.threshold[:6], strict=True):
            if feature < 0:
                continue
            for value in (threshold, np.nextafter(threshold, -9), np.float32(threshold), np.nextafter(threshold, 9)):
                row = np.zeros(width)
                row[features[feature]] = value
                found.append(row)
    return np.array(found).reshape(-1, width)


def test_decisions_on_three_thousand_rows_are_identical_together_and_alone() -> None:
    generator = np.random.default_rng(5)
    train = generator.normal(size=(2_000, 10))
    model = IsolationForest(n_estimators=100, contamination=0.05, random_state=0).fit(train)
    rows = np.vstack([train[:1_500], generator.normal(size=(1_500, 10)) * 2])
    predictor = predictor_of(model)
    expected = model.predict(rows)
    assert -1 in expected
    assert 1 in expected
    (together,) = predictor.predict(rows).values()
    alone = np.concatenate([next(iter(predictor.predict(rows[i : i + 1]).values())) for i in range(3_000)])
    pieces = np.concatenate([next(iter(predictor.predict(rows[i : i + 300]).values())) for i in range(0, 3_000, 300)])
    np.testing.assert_array_equal(together, expected)
    np.testing.assert_array_equal(alone, expected)
    np.testing.assert_array_equal(pieces, expected)


def test_a_forest_takes_a_fiftieth_of_the_processor_time_for_one_row() -> None:
    generator = np.random.default_rng(5)
    model = IsolationForest(n_estimators=100, random_state=0).fit(generator.normal(size=(2_000, 10)))
    predictor = predictor_of(model)
    row = generator.normal(size=(1, 10))
    assert cpu_s(lambda: model.predict(row), 10) >= 50 * cpu_s(lambda: predictor.predict(row), 200)


def cpu_s(work, times: int) -> float:
    taken = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            work()
        taken.append((time.process_time() - began) / times)
    return min(taken)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, 5))
    return rows, (rows.sum(axis=1) > 0).astype(int)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200, 3e38, 1e39])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_what_is_missing_or_beyond_all_numbers_is_the_models_to_judge(data, value, together) -> None:
    rows, targets = data
    for model in (
        LogisticRegression().fit(rows, targets),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, targets),
        LinearRegression().fit(rows, targets),
        IsolationForest(n_estimators=20, random_state=0).fit(rows),
        make_pipeline(RobustScaler(), IsolationForest(n_estimators=20, random_state=0)).fit(rows),
    ):
        asked = rows[:4].copy()
        asked[1, 2] = value
        asked = asked if together else asked[1:2]
        predictor = predictor_of(model)
        assert isinstance(predictor, CompiledModel)
        assert outcome(predictor.predict, asked) == outcome(model.predict, asked)


def outcome(predict, rows: np.ndarray) -> tuple[str, Any]:
    try:
        answer = predict(rows)
        return "answered", (answer["output-0"] if isinstance(answer, dict) else answer).tolist()
    except Exception as error:  # noqa: BLE001
        return type(error).__name__, str(error)


def test_a_forest_that_was_fitted_on_missing_values_answers_them_as_before(data) -> None:
    rows = data[0].copy()
    rows[::7, 1] = np.nan
    model = IsolationForest(n_estimators=20, random_state=0).fit(rows)
    predictor = predictor_of(model)
    (answer,) = predictor.predict(rows).values()
    np.testing.assert_array_equal(answer, model.predict(rows))


class Stubborn(LogisticRegression):
    """Answers by a rule of its own where nobody looks."""

    def predict(self, X):  # noqa: N803
        return np.where(X[:, 0] > 1e6, 5, super().predict(X))


def test_a_class_of_somebody_elses_is_never_compiled(data) -> None:
    predictor = predictor_of(Stubborn().fit(*data))
    assert predictor.words == "predict"
    (answer,) = predictor.predict(np.full((1, 5), 1e7)).values()
    assert answer.tolist() == [5]


def test_a_method_that_was_put_on_the_model_itself_is_asked(data) -> None:
    model = LogisticRegression().fit(*data)
    model.predict = lambda rows: np.full(len(rows), 9)
    assert predictor_of(model).words == "predict"


@pytest.mark.parametrize(
    "model",
    [
        PoissonRegressor(),
        make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=500)),
        make_pipeline(MinMaxScaler(clip=True), LogisticRegression()),
    ],
    ids=["link", "step", "clip"],
)
def test_what_is_not_known_is_asked_itself(data, model) -> None:
    rows, targets = data
    predictor = predictor_of(model.fit(rows, targets))
    assert predictor.words == "predict"
    (answer,) = predictor.predict(rows).values()
    np.testing.assert_array_equal(answer, model.predict(rows))


@pytest.mark.parametrize(
    ("model", "scorer", "method"),
    [
        (LogisticRegression(), LinearScorer, "labels"),
        (LogisticRegression(), LinearScorer, "decisions"),
        (LinearRegression(), LinearScorer, "_values"),
        (IsolationForest(n_estimators=20, random_state=0), ForestScorer, "labels"),
        (IsolationForest(n_estimators=20, random_state=0), ForestScorer, "scores"),
    ],
)
@pytest.mark.parametrize("where", ["one row", "all rows"])
def test_a_scorer_that_disagrees_on_a_single_row_is_not_used(data, monkeypatch, model, scorer, method, where) -> None:
    """By one unit in the last place, or one label, of one row among all that are tried."""
    rows, targets = data
    right = getattr(scorer, method)

    def wrong(self, asked):
        answer = right(self, asked)
        if answer is None or (where == "one row") != (len(asked) == 1):
            return answer
        answer = np.array(answer)
        place = len(answer) // 2
        answer[place] = np.nextafter(answer[place], 9e9) if answer.dtype.kind == "f" else -answer[place] + 1
        return answer

    model.fit(rows, targets)
    assert predictor_of(model).words == scorer.words
    monkeypatch.setattr(scorer, method, wrong)
    predictor = predictor_of(model)
    assert predictor.words == "predict"
    (answer,) = predictor.predict(rows).values()
    np.testing.assert_array_equal(answer, model.predict(rows))


def test_a_forest_one_of_whose_thresholds_is_off_by_the_least_is_not_used(data, monkeypatch) -> None:
    model = IsolationForest(n_estimators=10, max_samples=32, random_state=0).fit(data[0])
    right = compiled.forest_scorer

    def wrong(forest, steps):
        scorer = right(forest, steps)
        inner = np.flatnonzero(np.isfinite(scorer._threshold))
        place = inner[0]
        scorer._threshold[place] = np.nextafter(scorer._threshold[place], np.float32(-9))
        scorer._first = tuple(a[scorer._roots] for a in (scorer._feature, scorer._threshold, scorer._left))
        return scorer

    monkeypatch.setattr(compiled, "forest_scorer", wrong)
    assert predictor_of(model).words == "predict"


def test_answers_of_one_row_cannot_be_changed_by_whoever_got_them(data) -> None:
    for model in (LogisticRegression().fit(*data), IsolationForest(n_estimators=5, random_state=0).fit(data[0])):
        (answer,) = predictor_of(model).predict(data[0][:1]).values()
        with pytest.raises(ValueError, match="read-only"):
            answer[0] = 99

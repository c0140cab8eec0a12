"""Models of every library as a gateway asks them."""

import itertools
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chopmark.domain.signature import Field, Signature
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats.predicting import predictor_of
from chopmark.formats.signatures import infer_signature, predict_signature
from tests.backends.required import import_backend
from tests.formats import cases

X, Y = cases.X, cases.Y
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def answer_of(predictor, inputs, name: str = "") -> np.ndarray:
    found = predictor.predict(inputs, (name,) if name else ())
    (array,) = found.values()
    return array


MADE = {
    "forest": cases.forest,
    "isolation": cases.isolation_forest,
    "boosting": cases.gradient_boosting,
    "linear": cases.linear,
    "nearest": cases.nearest,
    "xgboost classifier": lambda: cases.xgboost_estimator("XGBClassifier"),
    "xgboost regressor": lambda: cases.xgboost_estimator("XGBRegressor"),
    "xgboost ranker": cases.xgboost_ranker,
    "lightgbm labels": lambda: cases.lightgbm_estimator("LGBMClassifier", cases.LABELS),
    "lightgbm regressor": lambda: cases.lightgbm_estimator("LGBMRegressor", Y),
    "lightgbm booster": cases.lightgbm_booster,
    "catboost labels": lambda: cases.catboost_estimator("CatBoostClassifier", cases.LABELS),
    "catboost regressor": lambda: cases.catboost_estimator("CatBoostRegressor", Y),
}


@pytest.mark.parametrize("name", sorted(MADE))
def test_what_has_predict_is_asked_as_it_says_itself(name: str) -> None:
    model = MADE[name]()
    predictor = predictor_of(model)
    layout = predictor.layout
    assert (layout.kind, len(layout.inputs), layout.dtype) == ("matrix", 4, "float64")
    assert [f.name for f in layout.outputs] == ["output-0"]
    np.testing.assert_array_equal(answer_of(predictor, X), model.predict(X))
    for field in layout.more:
        given = answer_of(predictor, X, field.name)
        np.testing.assert_allclose(given, getattr(model, field.name)(X), rtol=1e-12)
        assert given.shape[1:] == field.shape[1:]
    assert {f.name for f in layout.more} == {
        m for m in ("predict_proba", "decision_function", "score_samples") if hasattr(model, m)
    }


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_sample_fits_is_the_same_each_time_and_is_answered(name: str) -> None:
    predictor = predictor_of(MADE[name]())
    sample = predictor.sample(5)
    assert isinstance(sample, np.ndarray)
    assert (sample.shape, sample.dtype.name) == ((5, 4), predictor.layout.dtype)
    np.testing.assert_array_equal(sample[:3], predictor.sample(3))
    assert len(answer_of(predictor, sample)) == 5


def test_a_booster_of_xgboost_is_asked_without_its_own_matrix() -> None:
    import xgboost

    booster = cases.xgboost_booster()
    predictor = predictor_of(booster)
    np.testing.assert_array_equal(answer_of(predictor, X), booster.predict(xgboost.DMatrix(X)))


def test_a_linear_booster_that_cannot_be_asked_in_place_is_asked_all_the_same() -> None:
    import xgboost

    named = xgboost.DMatrix(X, Y, feature_names=["a", "b", "c", "d"])
    booster = xgboost.train({"booster": "gblinear", "nthread": 1}, named, 3)
    predictor = predictor_of(booster)
    assert [f.name for f in predictor.layout.inputs] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(answer_of(predictor, X), booster.predict(named))


def test_several_outputs_are_asked_for_by_name_and_in_order() -> None:
    model = cases.linear()
    found = predictor_of(model).predict(X[:3], ("predict_proba", "output-0"))
    assert list(found) == ["predict_proba", "output-0"]
    assert found["predict_proba"].shape == (3, 3)
    with pytest.raises(InvalidRequest, match="no output 'wishes'"):
        predictor_of(cases.forest()).predict(X[:3], ("wishes",))


@pytest.mark.parametrize("name", ["forest", "lightgbm labels", "catboost labels", "xgboost classifier"])
def test_what_was_fitted_on_a_frame_gets_one_and_nobody_is_warned(name: str) -> None:
    model = MADE[name]()
    targets = Y if name == "xgboost classifier" else cases.LABELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(FRAME, targets)
        expected = model.predict(FRAME)
    predictor = predictor_of(model)
    assert [f.name for f in predictor.layout.inputs] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(answer_of(predictor, X), expected)


def columns_model():
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame(
        {
            "colour": ["red", "green", "blue", "red"] * 10,
            "size": [1, 2, 3, 4] * 10,
            "weight": np.linspace(0, 1, 40),
        }
    )
    columns = make_column_transformer((OneHotEncoder(), ["colour"]), (StandardScaler(), ["size", "weight"]))
    return make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1, 1, 0] * 10), frame


@pytest.mark.parametrize("with_signature", [True, False])
def test_columns_of_several_types_are_a_table_with_the_encoders_own_categories(with_signature: bool) -> None:
    model, frame = columns_model()
    signature = predict_signature(model, frame) if with_signature else None
    predictor = predictor_of(model, signature)
    assert predictor.layout.kind == "table"
    assert [f.name for f in predictor.layout.inputs] == ["colour", "size", "weight"]
    sample = predictor.sample(4)
    assert isinstance(sample, dict)
    assert set(sample["colour"]) == {"red", "green", "blue"}
    assert len(answer_of(predictor, sample)) == 4
    inputs = {name: frame[name].to_numpy(object if name == "colour" else None) for name in frame}
    np.testing.assert_array_equal(answer_of(predictor, inputs), model.predict(frame))
    np.testing.assert_array_equal(answer_of(predictor, inputs, "predict_proba"), model.predict_proba(frame))


def test_a_frame_of_numbers_of_several_types_is_a_matrix_where_the_model_is_compiled() -> None:
    from sklearn.linear_model import LogisticRegression

    frame = FRAME.assign(count=np.arange(150))
    model = LogisticRegression(max_iter=2_000).fit(frame, Y)
    predictor = predictor_of(model, predict_signature(model, frame))
    assert (predictor.layout.kind, predictor.words) == ("matrix", "compiled linear model")
    np.testing.assert_array_equal(answer_of(predictor, frame.to_numpy(np.float64)), model.predict(frame))


def test_the_signature_names_the_output_and_says_the_type_of_the_input() -> None:
    model = cases.forest()
    signature = Signature(
        (Field("input-0", "float", "float32", (-1, 4)),), (Field("species", "string", "object", (-1,)),)
    )
    predictor = predictor_of(model, signature)
    assert predictor.layout.dtype == "float32"
    assert predictor.layout.outputs == signature.outputs
    assert list(predictor.predict(X[:2].astype(np.float32))) == ["species"]


def test_a_frame_as_an_answer_is_an_output_for_each_column() -> None:
    class Two:
        def predict(self, frame):
            return pd.DataFrame({"sum": frame.sum(axis=1), "first": frame["a"]})

    predictor = predictor_of(Two(), predict_signature(Two(), FRAME))
    assert [f.name for f in predictor.layout.outputs] == ["sum", "first"]
    found = predictor.predict(X[:3])
    np.testing.assert_allclose(found["sum"], X[:3].sum(axis=1))
    assert list(predictor.predict(X[:3], ("first",))) == ["first"]


def test_texts_in_one_dimension_are_a_tensor() -> None:
    model = cases.text_pipeline()
    texts = np.array(["good good", "bad", "neither"], dtype=object)
    predictor = predictor_of(model, predict_signature(model, ["good day", "bad night"]))
    assert (predictor.layout.kind, len(predictor.layout.inputs)) == ("tensors", 1)
    name = predictor.layout.inputs[0].name
    np.testing.assert_array_equal(answer_of(predictor, {name: texts}), model.predict(texts))


def test_anything_with_predict_is_asked_with_what_its_signature_was_taken_of() -> None:
    class Asks:
        def __init__(self) -> None:
            self.seen: list[type] = []

        def predict(self, data):
            self.seen.append(type(data))
            return np.asarray(data).sum(axis=1)

    by_frame, by_array = Asks(), Asks()
    predictor_of(by_frame, infer_signature(FRAME)).predict(X)
    predictor_of(by_array, infer_signature(X)).predict(X)
    assert by_frame.seen[-1] is pd.DataFrame
    assert by_array.seen[-1] is np.ndarray


def test_a_way_of_asking_at_which_the_model_warns_is_not_taken() -> None:
    """Shown a frame at its registration, around an estimator that was fitted on arrays."""

    class Around:
        def __init__(self) -> None:
            self.inner = cases.linear()

        def predict(self, data):
            return self.inner.predict(data)

    predictor = predictor_of(Around(), infer_signature(FRAME))
    np.testing.assert_array_equal(answer_of(predictor, X), cases.linear().predict(X))


def test_a_function_of_arrays_is_asked_by_calling_it() -> None:
    predictor = predictor_of(lambda rows: rows @ np.arange(4.0), infer_signature(X))
    assert predictor.words == "function"
    np.testing.assert_array_equal(answer_of(predictor, X), X @ np.arange(4.0))


def test_a_sample_that_is_not_accepted_is_no_reason_to_refuse_a_model() -> None:
    class Choosy:
        def predict(self, rows):
            if not (np.asarray(rows) > 100).all():
                raise ValueError("only large numbers")
            return np.asarray(rows)[:, 0]

    predictor = predictor_of(Choosy(), infer_signature(X))
    np.testing.assert_array_equal(answer_of(predictor, X + 1_000), X[:, 0] + 1_000)


@pytest.mark.parametrize(
    "thing",
    [np.eye(3), {"w": np.eye(3)}, b"bytes", None, "text", cases.forest, type("Class", (), {})],
    ids=["array", "dict", "bytes", "none", "text", "function", "class"],
)
def test_what_cannot_be_asked_is_refused_with_what_to_do(thing: Any) -> None:
    with pytest.raises(Unsupported) as caught:
        predictor_of(thing)
    assert caught.value.hint


def test_a_graph_is_asked_as_it_declares() -> None:
    from onnxruntime import InferenceSession

    from chopmark.formats.onnx import OnnxModel

    session = InferenceSession(cases.onnx_model().SerializeToString(), providers=["CPUExecutionProvider"])
    predictor = predictor_of(OnnxModel(session))
    assert (predictor.layout.kind, predictor.layout.dtype, len(predictor.layout.inputs)) == ("matrix", "float32", 4)
    expected = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"X": X.astype("f4")}), strict=True))
    found = predictor.predict(X.astype(np.float32))
    assert list(found) == list(expected) == [f.name for f in predictor.layout.outputs]
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    (last,) = predictor.predict(X.astype(np.float32), (list(expected)[1],)).values()
    np.testing.assert_array_equal(last, list(expected.values())[1])
    with pytest.raises(InvalidRequest, match="no output"):
        predictor.predict(X.astype(np.float32), ("wishes",))
    named = predictor_of(OnnxModel(session), infer_signature(FRAME))
    assert [f.name for f in named.layout.inputs] == ["a", "b", "c", "d"]


def test_a_graph_that_answers_with_maps_gives_a_column_for_each_class() -> None:
    from onnxruntime import InferenceSession
    from skl2onnx import to_onnx

    graph = to_onnx(cases.linear(), X[:1].astype(np.float32))
    session = InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = predictor_of(session).predict(X.astype(np.float32))
    (probabilities,) = [a for a in found.values() if a.ndim == 2]
    np.testing.assert_allclose(probabilities, cases.linear().predict_proba(X), atol=1e-5)


def test_a_graph_with_an_input_for_each_column_takes_a_table() -> None:
    from onnxruntime import InferenceSession
    from skl2onnx import to_onnx

    model, frame = columns_model()
    typed = frame.astype({"size": "float32", "weight": "float32", "colour": object})
    graph = to_onnx(model, typed[:1], options={"zipmap": False})
    session = InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    predictor = predictor_of(session)
    assert predictor.layout.kind == "table"
    inputs = {n: typed[n].to_numpy(object if n == "colour" else np.float32) for n in typed}
    found = predictor.predict(inputs)
    np.testing.assert_array_equal(next(iter(found.values())), model.predict(frame))


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_a_graph_of_a_fixed_number_of_rows_is_asked_as_often_as_it_takes(rows: int) -> None:
    from onnx import TensorProto, helper
    from onnxruntime import InferenceSession

    shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [shape], [out])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    given = X[:rows].astype(np.float32)
    np.testing.assert_array_equal(answer_of(predictor_of(session), given), -given)


def test_a_module_of_torch_is_asked_as_it_is_when_it_is_not_trained() -> None:
    torch = import_backend("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(0.9), torch.nn.BatchNorm1d(3))
    predictor = predictor_of(module, infer_signature(X))
    with torch.inference_mode():
        expected = module(torch.tensor(X, dtype=torch.float32)).numpy()
    given = answer_of(predictor, X)
    np.testing.assert_allclose(given, expected, rtol=1e-6)
    np.testing.assert_allclose(answer_of(predictor, X[3:4]), given[3:4], rtol=1e-5)
    assert not module.training
    with pytest.raises(Unsupported, match="signature"):
        predictor_of(module)


def test_a_model_that_learns_one_row_at_a_time_is_asked_one_row_at_a_time() -> None:
    river = import_backend("river")
    model = cases.online_model()
    rows = [x for x, _ in itertools.islice(river.datasets.Phishing(), 20)]
    table = pd.DataFrame(rows)
    predictor = predictor_of(model, infer_signature(table))
    inputs = {name: table[name].to_numpy() for name in table}
    assert answer_of(predictor, inputs).tolist() == [model.predict_one(x) for x in rows]
    assert answer_of(predictor, inputs, "predict_proba").tolist() == [
        max(model.predict_proba_one(x).values(), default=float("nan")) for x in rows
    ]
    with pytest.raises(Unsupported, match="signature"):
        predictor_of(model)


def test_a_detector_that_scores_one_row_at_a_time_gives_scores() -> None:
    river = import_backend("river")
    from river import anomaly

    model = anomaly.HalfSpaceTrees(n_trees=3, seed=1)
    rows = [x for x, _ in itertools.islice(river.datasets.Phishing(), 60)]
    for row in rows:
        model.learn_one(row)
    table = pd.DataFrame(rows)
    predictor = predictor_of(model, infer_signature(table))
    inputs = {name: table[name].to_numpy() for name in table}
    assert answer_of(predictor, inputs).tolist() == [model.score_one(x) for x in rows]


def test_a_model_that_was_fitted_on_arrays_needs_no_pandas() -> None:
    """A gateway is to start quickly, and to stay small."""
    code = """
import sys
import numpy as np
from chopmark.formats.predicting import predictor_of
class Model:
    n_features_in_ = 3
    def predict(self, rows):
        return rows[:, 0]
assert predictor_of(Model()).predict(np.ones((1, 3)))["output-0"].tolist() == [1.0]
assert "numpy" in sys.modules
sys.exit(sum(name in sys.modules for name in ("pandas", "pyarrow", "sklearn", "torch", "scipy")))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

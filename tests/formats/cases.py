"""One model of each kind for each format, and what it means that two of them do the same."""

from typing import Any

import numpy as np
from sklearn.datasets import load_iris

from chopmark.formats import get_format
from chopmark.formats.raw import RawFiles
from chopmark.testing.format_suite import FormatCase
from tests.backends.required import import_backend
from tests.formats import canaries

X, Y = load_iris(return_X_y=True)
LABELS = np.array(["setosa", "versicolor", "virginica"])[Y]


def same_predictions(model, loaded) -> bool:
    assert type(model) is type(loaded)
    for name in ("predict", "predict_proba", "decision_function", "score_samples"):
        if hasattr(model, name) and not np.array_equal(getattr(model, name)(X), getattr(loaded, name)(X)):
            return False
    params = getattr(model, "get_params", dict)
    return repr(params()) == repr(getattr(loaded, "get_params", dict)())


def same_arrays(model, loaded) -> bool:
    if isinstance(model, dict):
        return sorted(model) == sorted(loaded) and all(same_arrays(model[k], loaded[k]) for k in model)
    return model.dtype == loaded.dtype and np.array_equal(model, loaded)


def forest():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(X, LABELS)


def isolation_forest():
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=5, random_state=0).fit(X)


def gradient_boosting():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=3, random_state=0).fit(X, Y)


def linear():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(X, LABELS)


def text_pipeline():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    words = ["good day", "bad day", "good night", "bad night"]
    return make_pipeline(CountVectorizer(stop_words=["a", "the", "of"]), MultinomialNB()).fit(words, [1, 0, 1, 0])


def same_texts(model, loaded) -> bool:
    words = ["good good", "bad", "neither"]
    return np.array_equal(model.predict_proba(words), loaded.predict_proba(words))


def nearest():
    """Holds a KDTree, which skops cannot give back: a case for the formats that pickle."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(3, algorithm="kd_tree").fit(X, LABELS)


def onnx_model():
    from skl2onnx import to_onnx

    return to_onnx(linear(), X[:1].astype(np.float32), options={"zipmap": False})


def same_onnx(model, loaded) -> bool:
    from onnxruntime import InferenceSession

    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"X": X.astype(np.float32)})
    given = loaded.predict(X)
    return all(np.array_equal(w, g) for w, g in zip(wanted, given.values(), strict=True))


def xgboost_estimator(name: str):
    import xgboost

    kind = getattr(xgboost, name)
    return kind(n_estimators=4, max_depth=3, missing=-1.0, random_state=0).fit(X, Y)


def xgboost_ranker():
    import xgboost

    return xgboost.XGBRanker(n_estimators=3).fit(X, Y, qid=np.repeat(np.arange(15), 10))


def xgboost_booster():
    import xgboost

    return xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, Y), 3)


def same_xgboost_booster(model, loaded) -> bool:
    import xgboost

    return np.array_equal(model.predict(xgboost.DMatrix(X)), loaded.predict(xgboost.DMatrix(X)))


def lightgbm_estimator(name: str, target):
    import lightgbm

    return getattr(lightgbm, name)(n_estimators=4, verbose=-1, n_jobs=1, random_state=0).fit(X, target)


def lightgbm_booster():
    import lightgbm

    return lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 3)


def catboost_estimator(name: str, target):
    import catboost

    kind = getattr(catboost, name)
    return kind(iterations=4, verbose=0, allow_writing_files=False, thread_count=1, random_seed=0).fit(X, target)


def state_dict():
    torch = import_backend("torch")
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).state_dict()


def checkpoint():
    return {"epoch": 3, "loss": [0.5, 0.25], "model": state_dict(), "note": "half way"}


def same_tensors(model, loaded) -> bool:
    torch = import_backend("torch")
    if isinstance(model, dict):
        return set(model) == set(loaded) and all(same_tensors(model[k], loaded[k]) for k in model)
    return torch.equal(model, loaded) if isinstance(model, torch.Tensor) else model == loaded


def online_model():
    from river import datasets, forest

    model = forest.ARFClassifier(n_models=2, seed=1)
    for x, y in datasets.Phishing().take(60):
        model.learn_one(x, y)
    return model


def same_online(model, loaded) -> bool:
    from river import datasets

    return all(model.predict_proba_one(x) == loaded.predict_proba_one(x) for x, _ in datasets.Phishing().take(100))


def structured_array():
    """Records with padding between the fields, which is whatever was in memory before."""
    array = np.empty(3, dtype=np.dtype([("flag", "i1"), ("value", "f8")], align=True))
    array.view("u1")[:] = np.random.default_rng().integers(0, 255, array.nbytes)
    array["flag"], array["value"] = [1, 2, 3], [0.5, 1.5, 2.5]
    return array


def case(format_name: str, make, same, **facts: Any) -> FormatCase:
    return FormatCase(get_format(format_name), make, same, **facts)


def pickled(name: str, make, same) -> FormatCase:
    # Saved twice in one process a pickle has equal bytes or not, as interning wills.
    return case(name, make, same, is_deterministic=False, holds_anything=True, canary=canaries.PICKLED[name])


CASES = {
    "skops-pipeline": lambda: case("skops", forest, same_predictions, canary=canaries.skops_canary),
    "skops-isolation": lambda: case("skops", isolation_forest, same_predictions),
    "skops-boosting": lambda: case("skops", gradient_boosting, same_predictions),
    "skops-linear": lambda: case("skops", linear, same_predictions),
    "skops-text": lambda: case("skops", text_pipeline, same_texts),
    "onnx": lambda: case("onnx", onnx_model, same_onnx),
    "safetensors-numpy": lambda: case("safetensors", lambda: {"w": np.eye(3), "b": np.zeros(3, "f4").T}, same_arrays),
    "safetensors-torch": lambda: case("safetensors", state_dict, same_tensors),
    "torch-state": lambda: case("torch", state_dict, same_tensors, canary=canaries.torch_canary),
    "torch-checkpoint": lambda: case("torch", checkpoint, same_tensors),
    "xgboost-classifier": lambda: case("xgboost", lambda: xgboost_estimator("XGBClassifier"), same_predictions),
    "xgboost-regressor": lambda: case("xgboost", lambda: xgboost_estimator("XGBRegressor"), same_predictions),
    "xgboost-ranker": lambda: case("xgboost", xgboost_ranker, same_predictions),
    "xgboost-booster": lambda: case("xgboost", xgboost_booster, same_xgboost_booster),
    "lightgbm-labels": lambda: case("lightgbm", lambda: lightgbm_estimator("LGBMClassifier", LABELS), same_predictions),
    "lightgbm-binary": lambda: case("lightgbm", lambda: lightgbm_estimator("LGBMClassifier", Y > 0), same_predictions),
    "lightgbm-regressor": lambda: case("lightgbm", lambda: lightgbm_estimator("LGBMRegressor", Y), same_predictions),
    "lightgbm-booster": lambda: case("lightgbm", lightgbm_booster, same_predictions),
    "catboost-labels": lambda: case(
        "catboost",
        lambda: catboost_estimator("CatBoostClassifier", LABELS),
        same_predictions,
        is_deterministic=False,  # the file holds the time of its training
    ),
    "catboost-regressor": lambda: case(
        "catboost", lambda: catboost_estimator("CatBoostRegressor", Y), same_predictions, is_deterministic=False
    ),
    "numpy-array": lambda: case("numpy", lambda: np.asfortranarray(X), same_arrays),
    "numpy-records": lambda: case("numpy", structured_array, same_arrays),
    "numpy-dict": lambda: case(
        "numpy", lambda: {"b": X, "a": LABELS, "n": np.array([[1]], dtype="float32")}, same_arrays
    ),
    "json": lambda: case("json", lambda: {"b": [1, 2.5, None], "a": {"ü": True}}, lambda a, b: a == b),
    "raw-bytes": lambda: case(
        "raw",
        lambda: b"any bytes",
        lambda a, b: isinstance(b, RawFiles) and b.read_bytes() == a,
        takes_any_bytes=True,
    ),
    "joblib": lambda: pickled("joblib", nearest, same_predictions),
    "pickle": lambda: pickled("pickle", online_model, same_online),
    "cloudpickle": lambda: pickled("cloudpickle", lambda: lambda x: x + 1, lambda a, b: a(1) == b(1)),
    "dill": lambda: pickled("dill", online_model, same_online),
}

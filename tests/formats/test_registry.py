import subprocess
import sys
import warnings

import numpy as np
import pytest

from chopmark.abc.formats import SavedFile, SavedModel
from chopmark.errors import InvalidRequest, NotFound, Unsupported
from chopmark.formats import choose_format, format_names, get_format, registry, save_model
from chopmark.testing.format_suite import Unpicklable
from tests.backends.required import import_backend
from tests.formats.cases import X, Y, checkpoint, forest, isolation_forest, online_model, xgboost_estimator

NAMES = [
    "catboost",
    "cloudpickle",
    "dill",
    "joblib",
    "json",
    "lightgbm",
    "numpy",
    "onnx",
    "pickle",
    "raw",
    "safetensors",
    "skops",
    "torch",
    "xgboost",
]


def names_for(model) -> list[str]:
    return [f.name for f in choose_format(model)]


def test_the_built_in_formats_are_there_under_their_own_names() -> None:
    assert set(NAMES) <= set(format_names())
    assert all(get_format(n).name == n for n in NAMES)


def test_an_unknown_format_is_answered_with_those_that_exist() -> None:
    with pytest.raises(NotFound, match="skops"):
        get_format("skop")


@pytest.mark.parametrize(
    ("model", "first"),
    [
        (forest, "skops"),
        (isolation_forest, "skops"),
        (lambda: xgboost_estimator("XGBClassifier"), "xgboost"),
        (lambda: np.eye(2), "numpy"),
        (lambda: {"w": np.eye(2)}, "numpy"),
        (lambda: {"threshold": 0.5}, "json"),
        (lambda: b"bytes", "raw"),
        (online_model, "joblib"),
    ],
)
def test_the_safest_that_fits_stands_first(model, first: str) -> None:
    assert names_for(model())[0] == first


def test_formats_that_run_code_stand_last_and_in_order() -> None:
    assert names_for(object()) == ["joblib", "cloudpickle", "dill", "pickle"]


def test_a_dict_of_objects_is_no_numpy() -> None:
    assert names_for({"w": np.array([object()])})[0] == "joblib"


@pytest.mark.parametrize("value", [{"a": float("nan")}, {1: "a"}, {"a": {1}}, {"a": 2**70}, {"a": "\ud800"}])
def test_what_json_cannot_say_without_loss_does_not_fit_it(value) -> None:
    assert not get_format("json").fits(value)


def test_auto_falls_back_with_a_warning_when_a_safe_format_refuses(tmp_path) -> None:
    from sklearn.cluster import Birch

    with pytest.warns(UserWarning, match=r"runs code on load.*Birch"):
        taken, _ = save_model(Birch().fit(X), tmp_path)
    assert taken.name == "joblib"
    assert [p.name for p in tmp_path.iterdir()] == ["model.joblib"]


def test_a_function_of_a_session_goes_to_cloudpickle(tmp_path) -> None:
    def local(x: float) -> float:
        return x + 1

    taken, saved = save_model(local, tmp_path)
    assert taken.name == "cloudpickle"
    assert [p.name for p in tmp_path.iterdir()] == [f.path for f in saved.files]


def test_a_class_of_main_goes_to_cloudpickle(tmp_path, monkeypatch) -> None:
    kind = type("Notebook", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Notebook", kind, raising=False)
    taken, _ = save_model(kind(), tmp_path)
    assert taken.name == "cloudpickle"
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(Unsupported, match="only in this session"):
        save_model(kind(), other, "joblib")


def test_a_river_model_is_stored_without_a_warning(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taken, saved = save_model(online_model(), tmp_path)
    assert taken.runs_code
    assert saved.environment.framework == "river"
    assert saved.params["model_class"] == "river.forest.adaptive_random_forest.ARFClassifier"
    assert saved.params["n_models"] == 2


def test_what_nothing_can_hold_is_refused_with_every_reason(tmp_path) -> None:
    with pytest.raises(Unsupported, match=r"joblib:.*cloudpickle:.*dill:"):
        save_model(Unpicklable(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_joblib_does_not_silently_need_dill(tmp_path) -> None:
    program = (
        "import dill, pathlib, sys\n"
        "from chopmark.formats import save_model\n"
        "taken, _ = save_model(lambda x: x, pathlib.Path(sys.argv[1]))\n"
        "assert taken.name == 'cloudpickle', taken.name\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_the_dill_format_leaves_the_pickler_alone(tmp_path) -> None:
    program = (
        "import pathlib, pickle, sys\n"
        "from chopmark.formats import get_format\n"
        "before = dict(pickle._Pickler.dispatch)\n"
        "get_format('dill').save([1], pathlib.Path(sys.argv[1]))\n"
        "assert pickle._Pickler.dispatch == before\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_a_named_format_gives_its_own_reason(tmp_path) -> None:
    with pytest.raises(Unsupported, match="ModelProto"):
        save_model(forest(), tmp_path, "onnx")


def test_a_module_is_refused_by_torch_with_the_way_out(tmp_path) -> None:
    torch = import_backend("torch")
    with pytest.raises(Unsupported, match="state_dict"):
        save_model(torch.nn.Linear(2, 2), tmp_path, "torch")
    assert names_for(checkpoint())[0] == "torch"


def test_a_directory_in_use_is_refused(tmp_path) -> None:
    (tmp_path / "other").write_text("x")
    with pytest.raises(InvalidRequest, match="not empty"):
        save_model({"a": 1}, tmp_path)


class Half:
    """A format that writes half and then fails."""

    name, runs_code, rank, suffixes, extra = "half", False, 1, (), ""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def fits(self, _model: object) -> bool:
        return True

    def save(self, _model: object, directory) -> SavedModel:
        (directory / "part").mkdir()
        (directory / "part" / "half").write_text("x")
        raise self.error


@pytest.mark.parametrize("error", [OSError("disk full"), Unsupported("no")])
def test_partial_files_never_stay(tmp_path, monkeypatch, error) -> None:
    half = Half(error)
    monkeypatch.setattr(registry, "choose_format", lambda _model: [half, get_format("json")])
    if isinstance(error, OSError):
        with pytest.raises(OSError, match="disk full"):
            save_model({"a": 1}, tmp_path)
        assert list(tmp_path.iterdir()) == []
    else:
        _, saved = save_model({"a": 1}, tmp_path)
        assert saved.files == (SavedFile("model.json", "config"),)
        assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.parametrize(
    ("name", "model", "module"),
    [
        ("skops", forest, "skops.io"),
        ("xgboost", lambda: xgboost_estimator("XGBRegressor"), "xgboost"),
        ("numpy", lambda: np.eye(2), "numpy"),
        ("joblib", lambda: [{1}], "joblib"),
    ],
)
def test_a_missing_library_names_the_extra(tmp_path, monkeypatch, name: str, model, module: str) -> None:
    made = model()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unsupported) as refused:
        save_model(made, tmp_path, name)
    assert f"chopmark[{get_format(name).extra}]" in refused.value.hint


def test_parameters_are_json_and_name_the_algorithm(tmp_path) -> None:
    from chopmark.base.jsons import canonical

    _, saved = save_model(forest(), tmp_path)
    assert saved.params["model_class"] == "sklearn.pipeline.Pipeline"
    assert saved.params["randomforestclassifier"] == "sklearn.ensemble._forest.RandomForestClassifier"
    assert saved.params["randomforestclassifier__n_estimators"] == 5
    assert b"0x" not in canonical(saved.params)
    assert len(Y) == 150

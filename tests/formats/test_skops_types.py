"""What skops trusts is the same, whether it lists all of scikit-learn or is asked for one class at a time."""

import inspect
import json
import pkgutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sklearn
import skops.io
from sklearn.utils import all_estimators

from chopmark.errors import Denied
from chopmark.formats import get_format
from chopmark.formats.skops_types import is_estimator
from chopmark.testing.files import DirectoryFiles
from tests.formats.cases import X, Y, forest

SCRIPT = Path(__file__).with_name("skops_verdicts.py")
HOSTILE = [
    ("os", "system"), ("posix", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("builtins", "exec"),
    ("sklearn", "os"), ("sklearn.os", "system"), ("sklearn.utils.os", "system"), ("sklearn.linear_model.", "Ridge"),
    ("sklearn..linear_model", "Ridge"), ("sklearn.linear_model", "Ridge"), ("sklearn.linear_model._ridge.", "Ridge"),
    ("sklearn.linear_model._ridge", "Ridge.fit"), ("sklearn.linear_model._ridge", "__class__"), ("sklearn.base", "BaseEstimator"),
    ("sklearn.linear_model._logistic", "Ridge"), ("sklearnish.linear_model", "Ridge"), ("sklearn._x", "Ridge"), ("", "Ridge"),
    ("sklearn.externals.array_api_compat.torch", "Tensor"), ("sklearn.tests.test_base", "MyEstimator"), ("numpy", "load"),
    ("sklearn.datasets._base", "load_files"), ("sklearn.experimental.enable_halving_search_cv", "HalvingGridSearchCV"),
    ("sklearn.model_selection._search_successive_halving", "HalvingGridSearchCV"), ("sklearn.tree._tree", "Tree"),
    ("sklearn.conftest", "pytest"), ("this", "d"), ("antigravity", "webbrowser"), ("sklearn.linear_model\x00", "Ridge"),
    ("SKLEARN.svm._classes", "SVC"), ("sklearn.svm._classes ", "SVC"), (".sklearn.svm._classes", "SVC"),
]  # fmt: skip
LOADERS = ("ObjectNode", "TypeNode", "FunctionNode", "ConstructorFromReduceNode")


def named_in_sklearn() -> set[tuple[str, str]]:
    """Every name of every module of scikit-learn, and the classes behind them by their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_estimators()
        for each in pkgutil.walk_packages(sklearn.__path__, "sklearn."):
            if ".tests" not in each.name and "conftest" not in each.name and "._" in each.name:
                try:
                    __import__(each.name)
                except ImportError:
                    continue
    found = set()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "sklearn":
            for attribute, value in list(vars(module).items()):
                found.add((name, attribute))
                if inspect.isclass(value):
                    found.add((value.__module__, value.__name__))
    return found


def listed_by_sklearn() -> set[tuple[str, str]]:
    kinds = (kind for _, kind in all_estimators())
    return {(kind.__module__, kind.__name__) for kind in kinds if kind.__module__.startswith("sklearn.")}


def test_each_name_is_an_estimator_exactly_where_scikit_learn_lists_it() -> None:
    asked = named_in_sklearn()
    listed = listed_by_sklearn()  # after all is imported: what is experimental shows itself then
    assert len(listed) > 150
    assert len(asked) > 5_000
    assert {each for each in asked | set(HOSTILE) if is_estimator(*each)} == listed


@pytest.mark.parametrize("name", [(None, "Ridge"), ("sklearn.svm._classes", None), (7, 7), (["sklearn"], {})])
def test_what_is_no_name_is_no_estimator(name: tuple[Any, Any]) -> None:
    assert not is_estimator(*name)


def written(path: Path, nodes: list[dict[str, Any]], **more: Any) -> Path:
    """A file of skops with a list of nodes, as nobody would save it."""
    schema = {
        "__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": nodes, "protocol": 2, **more
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return path


def node(loader: str, module: object, name: object) -> dict[str, Any]:
    content = {"content": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": []}}
    return {"__class__": name, "__module__": module, "__loader__": loader, **content}


def asked_apart(how: str, files: list[Path]) -> dict[str, Any]:
    ran = subprocess.run([sys.executable, str(SCRIPT), how, *files], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Files with every class of scikit-learn and hostile names as every kind of node, and odd ones."""
    named = sorted(each for each in named_in_sklearn() if each[0] in sys.modules)
    classes = [each for each in named if inspect.isclass(vars(sys.modules[each[0]]).get(each[1]))]
    asked = {loader: sorted(listed_by_sklearn()) for loader in LOADERS} | {"ObjectNode": classes}
    found = [
        written(tmp_path / f"{loader}.skops", [node(loader, *name) for name in [*names, *HOSTILE]])
        for loader, names in asked.items()
    ]
    odd: list[tuple[object, object]] = [(None, "x"), ("x", None), (7, "x"), (["sklearn"], "Ridge"), ({}, {})]
    found += [written(tmp_path / f"{i}.skops", [node("ObjectNode", *name)]) for i, name in enumerate(odd)]
    for protocol in (0, 1, 2, 3, -1, True, "two"):
        nodes = [node("ObjectNode", "sklearn.svm._classes", "SVC"), node("ObjectNode", "os", "system")]
        found.append(written(tmp_path / f"protocol-{protocol}.skops", nodes, protocol=protocol))
    method = node("MethodNode", "sklearn.svm._classes", "SVC")
    method["content"] = {"func": "fit", "obj": node("ObjectNode", "sklearn.svm._classes", "SVC")}
    found.append(written(tmp_path / "method.skops", [method]))
    skops.io.dump(forest(), tmp_path / "forest.skops")
    found.append(tmp_path / "forest.skops")
    return found


def test_skops_says_the_same_of_every_file_and_imports_a_part(files: list[Path]) -> None:
    ours, theirs = asked_apart("ours", files), asked_apart("theirs", files)
    assert ours["verdicts"] == theirs["verdicts"]
    assert len(ours["verdicts"]["ObjectNode.skops"]) > 100
    assert ours["verdicts"]["forest.skops"] == ["sklearn.tree._tree.Tree"]
    assert "sklearn.svm._classes.SVC.fit" in ours["verdicts"]["method.skops"]
    assert ours["verdicts"]["protocol-2.skops"] == ["os.system"]
    for told in ("functions", "loads", "listed"):
        assert ours[told] == theirs[told], told
    elsewhere = {"sklearn.gaussian_process", "sklearn.semi_supervised", "sklearn.cross_decomposition"}
    assert elsewhere <= set(theirs["imported"])
    assert not (elsewhere | {"torch"}) & set(ours["imported"])


def test_hostile_names_are_refused_by_name_and_not_imported(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "model.skops"
    for module, name in HOSTILE:
        written(path, [node("ObjectNode", module, name)])
        with pytest.raises(Denied) as refused:
            get_format("skops").load(DirectoryFiles(tmp_path / "a"))
        assert refused.value.details["untrusted"] == [f"{module}.{name}"]
    assert "antigravity" not in sys.modules


def test_a_trusted_type_loads_and_an_estimator_needs_no_trust(tmp_path: Path) -> None:
    saved = get_format("skops").save(forest().fit(X, Y), tmp_path)
    assert saved.untrusted == ("sklearn.tree._tree.Tree",)
    loaded: Any = get_format("skops").load(DirectoryFiles(tmp_path), trusted=saved.untrusted)
    assert loaded.predict(X).tolist() == forest().fit(X, Y).predict(X).tolist()

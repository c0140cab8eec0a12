import gzip
import io
import pickle
import zipfile
from typing import Any

import joblib
import numpy as np
import pytest

from chopmark.abc.formats import ANY_CODE
from chopmark.errors import InvalidRequest
from chopmark.formats import format_for_path, get_format, save_model
from chopmark.testing.files import DirectoryFiles
from tests.backends.required import import_backend
from tests.formats.cases import CASES, linear, xgboost_booster


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("raw")])
def test_what_a_format_wrote_is_detected(tmp_path, name: str) -> None:
    if "torch" in name:
        import_backend("torch")
    case = CASES[name]()
    saved = case.format.save(case.make(), tmp_path)
    detected = format_for_path(tmp_path / saved.files[0].path)
    # cloudpickle and dill write plain pickles when nothing in them is theirs; the suffix tells.
    assert detected.name == case.format.name


@pytest.mark.parametrize("name", ["model.skops", "weights.bin", "model.onnx", "model.npy", "model.joblib"])
def test_a_pickle_of_any_name_runs_code(tmp_path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(linear()))
    assert format_for_path(path).runs_code


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_a_compressed_joblib_file_is_looked_into(tmp_path, compress) -> None:
    path = tmp_path / "model.pkl"
    joblib.dump({"model": linear(), "w": np.arange(1000)}, path, compress=compress)
    taken = format_for_path(path)
    assert taken.name == "joblib"
    files = DirectoryFiles(tmp_path)
    assert "sklearn.linear_model._logistic.LogisticRegression" in taken.describe(files).untrusted
    loaded: Any = taken.load(files, trusted=[ANY_CODE])
    assert loaded["w"][-1] == 999


def test_the_writer_of_a_pickle_is_seen(tmp_path) -> None:
    for name in ("cloudpickle", "dill"):
        with (tmp_path / "model.pkl").open("wb") as file:
            get_format(name).write(lambda x: x, file)
        assert format_for_path(tmp_path / "model.pkl").name == name


def test_the_oldest_pickles_have_only_their_name(tmp_path) -> None:
    (tmp_path / "old.pkl").write_bytes(pickle.dumps(linear(), protocol=0))
    assert format_for_path(tmp_path / "old.pkl").name == "pickle"


def test_directories_several_files_and_strangers_are_raw(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "b.h5").write_bytes(b"\x89HDF\r\n")
    (tmp_path / "c.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "d.json.gz").write_bytes(gzip.compress(b"{}"))
    (tmp_path / "empty.onnx").write_bytes(b"")
    for path in tmp_path.iterdir():
        assert format_for_path(path).name == "raw", path
    assert format_for_path(tmp_path).name == "raw"
    assert format_for_path(sorted(tmp_path.iterdir())).name == "raw"


def test_torchscript_is_not_a_state_dict(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"\x80\x02}.")
        archive.writestr("script/constants.pkl", b"\x80\x02).")
    assert format_for_path(tmp_path / "script.pt").name == "raw"


def test_xgboost_json_is_no_configuration(tmp_path) -> None:
    xgboost_booster().save_model(tmp_path / "model.json")
    taken = format_for_path(tmp_path / "model.json")
    assert taken.name == "xgboost"
    assert taken.load(DirectoryFiles(tmp_path)).num_boosted_rounds() == 3


def test_a_configuration_is_json(tmp_path) -> None:
    (tmp_path / "config.json").write_text('\n {"a": 1}')
    assert format_for_path(tmp_path / "config.json").name == "json"


def test_an_onnx_graph_must_bring_its_weights(tmp_path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    directory = tmp_path / "net"
    directory.mkdir()
    onnx.save_model(
        model, str(directory / "net.onnx"), save_as_external_data=True, location="net.weights", size_threshold=0
    )
    taken = get_format("onnx")
    loaded = taken.load(DirectoryFiles(directory))
    assert loaded.predict(np.ones((1, 4))).tolist() == [[4.0, 4.0]]
    with pytest.raises(InvalidRequest, match=r"net\.weights"):
        taken.describe(DirectoryFiles(directory, ["net.onnx"]))


def test_a_raw_directory_comes_back_whole_and_is_cleaned_up(tmp_path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.bin").write_bytes(b"a")
    (source / "b.bin").write_bytes(b"b")
    target = tmp_path / "target"
    target.mkdir()
    taken, saved = save_model(source, target)
    assert (taken.name, [f.path for f in saved.files]) == ("raw", ["b.bin", "deep/a.bin"])
    with taken.load(DirectoryFiles(target)) as files:
        where = files.path
        assert files.read_bytes("deep/a.bin") == b"a"
        assert where.is_dir()
    assert not where.exists()


def test_raw_follows_no_link(tmp_path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link").symlink_to("/etc/passwd")
    (tmp_path / "target").mkdir()
    with pytest.raises(InvalidRequest, match="symbolic link"):
        save_model(tmp_path / "source", tmp_path / "target")


def test_an_array_of_objects_in_a_numpy_file_is_refused(tmp_path) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    files = DirectoryFiles.write(tmp_path / "a", {"model.npy": file.getvalue()})
    with pytest.raises(InvalidRequest, match="pickled"):
        get_format("numpy").describe(files)

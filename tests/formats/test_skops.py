import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline

from chopmark.errors import Denied, IntegrityFailure, InvalidRequest, Unsupported
from chopmark.formats import get_format
from chopmark.formats.skops_canonical import canonical_schema, write_canonical
from chopmark.testing.files import DirectoryFiles
from tests.formats.cases import X, Y, forest

FORMAT = get_format("skops")


def saved_bytes(model, directory) -> bytes:
    directory.mkdir()
    FORMAT.save(model, directory)
    return (directory / "model.skops").read_bytes()


def test_sets_stand_in_one_order(tmp_path) -> None:
    words = [f"word-{i}" for i in range(50)]
    forwards, backwards = (Pipeline([("x", SGDClassifier())]) for _ in range(2))
    forwards.words, backwards.words = set(words), {*words[25:], *words[:25]}
    assert saved_bytes(forwards, tmp_path / "a") == saved_bytes(backwards, tmp_path / "b")


def test_a_shared_object_stays_shared(tmp_path) -> None:
    shared = np.arange(3.0)
    model = SGDClassifier()
    model.first_, model.second_, model.own_ = shared, shared, shared.copy()
    directory = tmp_path / "a"
    saved_bytes(model, directory)
    loaded = FORMAT.load(DirectoryFiles(directory))
    assert loaded.first_ is loaded.second_
    assert loaded.first_ is not loaded.own_


def test_a_loaded_model_saves_to_the_same_bytes(tmp_path) -> None:
    model = forest()
    first = saved_bytes(model, tmp_path / "a")
    loaded = FORMAT.load(DirectoryFiles(tmp_path / "a"), trusted=["sklearn.tree._tree.Tree"])
    assert saved_bytes(loaded, tmp_path / "b") == first


def test_the_canonical_form_of_a_canonical_form_is_itself(tmp_path) -> None:
    write_canonical(io.BytesIO(skops.io.dumps(forest())), tmp_path / "a")
    write_canonical(io.BytesIO((tmp_path / "a").read_bytes()), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_ids_of_immutable_and_single_nodes_go() -> None:
    text = {"__loader__": "JsonNode", "__id__": 7, "content": '"a"'}
    array = {"__loader__": "NdArrayNode", "__id__": 9, "file": "9.npy"}
    schema, members = canonical_schema({"a": text, "b": dict(text), "c": array, "d": dict(array)})
    assert "__id__" not in schema["a"]
    assert schema["c"]["__id__"] == schema["d"]["__id__"] == 1
    assert members == {"9.npy": "0.npy"}
    assert schema["c"]["file"] == "0.npy"


def test_a_model_that_skops_cannot_give_back_is_refused_at_once(tmp_path) -> None:
    from sklearn.cluster import Birch

    with pytest.raises(Unsupported, match="Birch"):
        FORMAT.save(Birch().fit(X), tmp_path)


def test_a_file_says_which_scikit_learn_made_it(tmp_path) -> None:
    import sklearn

    saved_bytes(SGDClassifier().fit(X, Y), tmp_path / "a")
    described = FORMAT.describe(DirectoryFiles(tmp_path / "a"))
    assert described.environment.framework_version == sklearn.__version__
    assert described.params == {"model_class": "sklearn.linear_model._stochastic_gradient.SGDClassifier"}


def test_trust_covers_only_the_names_given(tmp_path) -> None:
    saved_bytes(forest(), tmp_path / "a")
    with pytest.raises(Denied, match=r"sklearn\.tree\._tree\.Tree"):
        FORMAT.load(DirectoryFiles(tmp_path / "a"), trusted=["some.other.Type"])


def test_an_archive_that_unfolds_to_far_more_is_refused(tmp_path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({"__class__": "x", "__module__": "y"}))
        archive.writestr("0.npy", b"\0" * (200 * 2**20))
    files = DirectoryFiles.write(tmp_path / "bomb", {"model.skops": bomb.getvalue()})
    with pytest.raises(IntegrityFailure, match="unfold"):
        FORMAT.load(files)
    with pytest.raises(InvalidRequest, match="unfold"):
        FORMAT.describe(files)


def test_another_format_in_a_file_of_that_name_is_no_skops(tmp_path) -> None:
    files = DirectoryFiles.write(tmp_path / "two", {"a.skops": b"", "b.skops": b""})
    with pytest.raises(InvalidRequest, match="needs one file"):
        FORMAT.describe(files)

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from chopmark.domain.signature import Field, check_input
from chopmark.errors import InvalidRequest
from chopmark.formats.signatures import fields_of, infer_signature, predict_signature
from tests.formats.cases import LABELS, X, linear

FRAME = pd.DataFrame(
    {
        "count": [1, 2, 3],
        "rate": [0.5, np.nan, 1.5],
        "name": ["a", None, "c"],
        "live": [True, False, True],
        "kind": pd.Categorical(["x", "y", "x"]),
        "when": pd.Series(["2024-01-01", "2024-01-02", None], dtype="datetime64[ns]"),
        "odd": [{"a": 1}, None, [2]],
    }
)
TYPES = ["int", "float", "string", "bool", "category", "datetime", "object"]
NULLABLE = [False, True, True, False, False, True, True]


def kinds(data) -> list[str]:
    return [f.type for f in fields_of(data)]


def test_columns_of_a_pandas_frame() -> None:
    fields = fields_of(FRAME)
    assert [f.name for f in fields] == list(FRAME.columns)
    assert [f.type for f in fields] == TYPES
    assert [f.nullable for f in fields] == NULLABLE
    assert all(f.shape == () for f in fields)
    assert fields[0].dtype == "int64"


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        lambda frame: frame.astype({"count": "Int64", "live": "boolean", "name": "string[pyarrow]"}),
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False).to_pandas(types_mapper=pd.ArrowDtype),
        lambda frame: pl.from_pandas(frame).lazy(),
    ],
    ids=["polars", "arrow", "nullable", "arrow-backed", "lazy"],
)
def test_other_libraries_say_the_same(convert) -> None:
    plain = FRAME.drop(columns="odd")
    given = fields_of(convert(plain))
    assert [(f.name, f.type, f.nullable) for f in given] == [
        (n, t, e) for n, t, e in zip(plain.columns, TYPES, NULLABLE, strict=False)
    ]


def test_integers_with_gaps_are_floats_as_pandas_shows_them() -> None:
    assert fields_of(pd.DataFrame({"n": [1, None]})) == (Field("n", "float", "float64", (), nullable=True),)


def test_rows_of_dicts_are_columns() -> None:
    fields = fields_of([{"a": 1, "b": "x"}, {"a": 2.5}])
    assert fields == (Field("a", "float"), Field("b", "string", nullable=True))
    assert kinds({"a": 1, "t": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}) == ["int", "datetime"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (np.zeros((5, 9)), Field("input-0", "float", "float64", (-1, 9))),
        (np.zeros((5, 9), "f4"), Field("input-0", "float", "float32", (-1, 9))),
        (np.array([[1, 2]]), Field("input-0", "int", "int64", (-1, 2))),
        (np.array([1.0, np.nan]), Field("input-0", "float", "float64", (-1,), nullable=True)),
        ([[1.5, 2], [3, 4]], Field("input-0", "float", "float64", (-1, 2))),
        (scipy.sparse.eye(3, format="csr"), Field("input-0", "float", "float64", (-1, 3))),
        (np.zeros((2, 3, 4), "u1"), Field("input-0", "int", "uint8", (-1, 3, 4))),
        (pd.Series([1, 2], name="y"), Field("y", "int", "int64", (-1,))),
    ],
)
def test_tensors(data, field: Field) -> None:
    assert fields_of(data) == (field,)


def test_dicts_of_arrays() -> None:
    assert fields_of({"a": np.zeros(3), "b": ["x", "y", "z"]}) == (
        Field("a", "float", "float64"),
        Field("b", "string", "str"),
    )
    (ids, mask) = fields_of({"ids": np.zeros((2, 8), int), "mask": np.zeros((2, 8), bool)})
    assert (ids.shape, mask.type) == ((-1, 8), "bool")


def test_outputs_have_names_of_their_own() -> None:
    signature = infer_signature(X, linear().predict(X))
    assert signature.inputs == (Field("input-0", "float", "float64", (-1, 4)),)
    assert (signature.outputs[0].name, signature.outputs[0].type) == ("output-0", "string")
    assert (signature.outputs[0].dtype, signature.outputs[0].shape) == ("str", (-1,))  # however long the labels


def test_predict_is_asked_for_few_rows() -> None:
    rows = []

    class Model:
        def predict(self, data):
            rows.append(len(data))
            return np.zeros(len(data), int)

    signature = predict_signature(Model(), np.zeros((5000, 3)))
    assert rows == [100]
    assert signature.outputs[0].type == "int"
    assert predict_signature(object(), X).outputs == ()


def test_a_model_that_refuses_the_example_is_told_so() -> None:
    with pytest.raises(InvalidRequest, match="cannot predict the example"):
        predict_signature(linear(), np.zeros((3, 7)))


@pytest.mark.parametrize("data", [object(), [[1], [1, 2]], None])
def test_what_has_no_signature(data) -> None:
    with pytest.raises(InvalidRequest):
        fields_of(data)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="Several columns"):
        fields_of(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))


def test_the_example_fits_its_own_signature_in_every_dress() -> None:
    signature = infer_signature(X)
    named = pd.DataFrame(X, columns=list("abcd"))
    for data in (X, X.tolist(), named, pl.from_pandas(named), scipy.sparse.csr_matrix(X)):
        check_input(signature, fields_of(data), "iris:1")
    check_input(infer_signature(named), fields_of(X), "iris:1")
    with pytest.raises(InvalidRequest):
        check_input(signature, fields_of(X[:, :3]), "iris:1")
    with pytest.raises(InvalidRequest):
        check_input(signature, fields_of(LABELS.reshape(-1, 1).repeat(4, axis=1)), "iris:1")

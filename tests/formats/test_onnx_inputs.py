"""What an ONNX model takes: columns as the graph declares them, whatever numbers they came as."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from chopmark.errors import InvalidRequest
from chopmark.formats.onnx import OnnxModel

FRAME = pd.DataFrame(
    {"amount": [0.1, 2.5, 7.0, 3.0], "hour": [1, 5, 9, 23], "country": ["de", "fr", "de", "it"], "unused": [None] * 4}
)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """Trained on a float column, an integer one and one of texts."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["amount", "hour"]), ("names", OneHotEncoder(), ["country"])]
    )
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, [0, 1, 1, 0])


@pytest.fixture(scope="module")
def model(pipeline: Any) -> OnnxModel:
    from onnxruntime import InferenceSession
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    types = [
        ("amount", FloatTensorType([None, 1])),
        ("hour", Int64TensorType([None, 1])),
        ("country", StringTensorType([None, 1])),
    ]
    proto = to_onnx(pipeline, initial_types=types, options={"zipmap": False})
    return OnnxModel(InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]))


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.astype({"amount": "float32", "hour": "int16"}),
        FRAME.astype({"amount": "float16", "hour": "float64"}),
        FRAME.astype({"hour": "uint64"}),
        pl.DataFrame(FRAME[["amount", "hour", "country"]].to_dict("list")),
    ],
    ids=["float64", "narrow", "whole-floats", "unsigned", "polars"],
)
def test_columns_become_what_the_graph_declares(pipeline: Any, model: OnnxModel, frame: Any) -> None:
    answer = model.predict(frame)
    np.testing.assert_array_equal(answer["label"], pipeline.predict(FRAME))
    np.testing.assert_allclose(answer["probabilities"], pipeline.predict_proba(FRAME), atol=1e-3)


def test_arrays_by_name_become_it_too(pipeline: Any, model: OnnxModel) -> None:
    arrays = {name: FRAME[name].to_numpy().reshape(-1, 1) for name in model.input_names}
    assert arrays["amount"].dtype == np.float64
    np.testing.assert_array_equal(model.predict(arrays)["label"], pipeline.predict(FRAME))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("hour", [1.5, 5, 9, 23]),
        ("hour", [1, np.nan, 9, 23]),
        ("hour", [1, 5, 9, 1e300]),
        ("amount", ["0.1", "2.5", "7.0", "3.0"]),
        ("country", [1, 2, 3, 4]),
    ],
    ids=["fraction", "missing", "too-large", "text-for-number", "number-for-text"],
)
def test_what_a_cast_would_change_is_refused(model: OnnxModel, column: str, values: list[Any]) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    with pytest.raises(InvalidArgument, match="Unexpected input data type"):
        model.predict(FRAME.assign(**{column: values}))


def test_columns_that_are_missing_are_named(model: OnnxModel) -> None:
    with pytest.raises(InvalidRequest, match="amount, hour, country"):
        model.predict(FRAME[["amount", "hour"]])

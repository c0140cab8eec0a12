"""What a protocol reads is of the element types that predictors are warmed up and tried with."""

import json

import numpy as np
import pytest

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.formats.predicting.sampling import sample_of
from chopmark.gateway.protocols import rows
from chopmark.gateway.protocols.asked import Limits

FIELDS = [
    (Field("x", "float", "float64"), 1.5), (Field("x", "float", "float32"), 1.5), (Field("x", "float", "float16"), 1.5),
    (Field("x", "float", "Float64", nullable=True), None), (Field("x", "int", "int64"), 1), (Field("x", "int", "int32"), 1),
    (Field("x", "int", "uint8"), 1), (Field("x", "int", "Int64"), 1), (Field("x", "int", "Int64", nullable=True), None),
    (Field("x", "bool", "bool"), True), (Field("x", "bool", "boolean", nullable=True), None), (Field("x", "string", "str"), "a"),
    (Field("x", "string", "object", nullable=True), None), (Field("x", "category", "category"), "a"),
    (Field("x", "datetime", "datetime64[us]"), "2026-03-01"), (Field("x", "bytes", "bytes"), "AAAA"), (Field("x", "object", "object"), "a"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"), FIELDS, ids=lambda p: f"{p.type}-{p.dtype}" if isinstance(p, Field) else ""
)
def test_a_column_is_read_as_it_is_sampled(field: Field, value: object) -> None:
    layout = Layout(kind="table", inputs=(field,))
    sampled, read = (
        sample_of(layout, 2),
        rows.read(json.dumps([{"x": value}] * 2).encode(), {}, layout, Limits()).inputs,
    )
    assert isinstance(sampled, dict)
    assert isinstance(read, dict)
    assert (read["x"].dtype, read["x"].shape) == (sampled["x"].dtype, sampled["x"].shape)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_a_matrix_is_read_as_it_is_sampled(dtype: str) -> None:
    kind = {"f": "float", "i": "int", "b": "bool"}[np.dtype(dtype).kind]
    layout = Layout(kind="matrix", inputs=(Field("a", kind), Field("b", kind)), dtype=dtype)  # type: ignore[arg-type]
    sampled = sample_of(layout, 2)
    value = {"f": 1.5, "i": 1, "b": True}[np.dtype(dtype).kind]
    read = rows.read(json.dumps([[value, value]] * 2).encode(), {}, layout, Limits()).inputs
    assert isinstance(sampled, np.ndarray)
    assert isinstance(read, np.ndarray)
    assert (read.dtype, read.shape) == (sampled.dtype, sampled.shape)

"""Rows for any layout, written in every form of every protocol, and the cells of what was read back."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.gateway.protocols import invocations, open_inference, rows
from chopmark.gateway.protocols.asked import Limits

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs

JSON_HEADERS = {b"content-type": b"application/json"}
LIMITS = Limits()


class Sent(NamedTuple):
    """A request on its way."""

    protocol: ModuleType
    body: bytes
    headers: Mapping[bytes, bytes] = JSON_HEADERS


class Case(NamedTuple):
    """A layout, and rows of values that fit it, in the order of its fields."""

    layout: Layout
    rows: list[list[Any]]

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.layout.inputs]


_FLOATS = {
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "float32": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "float16": st.floats(allow_nan=False, allow_infinity=False, width=16),
}
_INTS = {"int64": (-(2**63), 2**63 - 1), "int32": (-(2**31), 2**31 - 1), "uint8": (0, 255)}
_EXACT = 2**53  # the largest whole number to which a float has them all
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
_TIMES = st.datetimes(
    datetime.fromisoformat("1700-01-01"), datetime.fromisoformat("2250-01-01"), timezones=st.sampled_from([None, UTC])
)


def _whole_numbers(field: Field) -> st.SearchStrategy[int]:
    least, most = _INTS.get(field.dtype, _INTS["int64"])
    if field.nullable or field.dtype == "float64":
        least, most = max(least, -_EXACT), min(most, _EXACT)
    return st.integers(least, most)


def _values(field: Field) -> st.SearchStrategy[Any]:
    made: dict[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "int": _whole_numbers(field),
        "float": _FLOATS.get(field.dtype, _FLOATS["float64"]),
        "string": _TEXTS,
        "category": st.one_of(_TEXTS, st.integers(-1000, 1000)),
        "bytes": st.binary(max_size=8),
        "datetime": _TIMES.map(datetime.isoformat),
        "object": st.one_of(_TEXTS, st.integers(-1000, 1000), st.booleans(), st.lists(st.integers(0, 9), max_size=3)),
    }
    values = made[field.type]
    if field.nullable:
        values = st.one_of(st.none(), values)
    return values


_NAMES = st.lists(
    st.text(min_size=1, max_size=6).filter(lambda n: not n.isdigit() and "\r" not in n),
    unique=True,
    min_size=1,
    max_size=5,
)


@st.composite
def matrices(draw: st.DrawFn) -> Case:
    """A matrix of numbers; in one of floats there may be columns of whole numbers."""
    dtype = draw(st.sampled_from(["float64", "float64", "float32", "int64"]))
    kinds = {"int64": ["int"], "float32": ["float"]}.get(dtype, ["float", "float", "int", "bool"])
    fields = [
        Field(name, draw(st.sampled_from(kinds)), dtype, (), dtype != "int64" and draw(st.booleans()))
        for name in draw(_NAMES)
    ]
    layout = Layout(kind="matrix", inputs=tuple(fields), dtype=dtype)
    return Case(layout, draw(st.lists(st.tuples(*map(_values, fields)).map(list), min_size=1, max_size=4)))


@st.composite
def tables(draw: st.DrawFn) -> Case:
    """Columns of any types."""
    types = st.sampled_from(
        [("float", "float64"), ("float", "float32"), ("int", "int64"), ("int", "int32"), ("int", "uint8"), ("int", "Int64"), ("bool", "bool"),
         ("string", "object"), ("category", "category"), ("bytes", "object"), ("datetime", "datetime64[ns]"), ("object", "object")]
    )  # fmt: skip
    fields = []
    for name in draw(_NAMES):
        kind, dtype = draw(types)
        fields.append(Field(name, kind, dtype, (), draw(st.booleans())))  # type: ignore[arg-type]
    layout = Layout(kind="table", inputs=tuple(fields))
    return Case(layout, draw(st.lists(st.tuples(*map(_values, fields)).map(list), min_size=1, max_size=4)))


def cases() -> st.SearchStrategy[Case]:
    """Layouts of columns."""
    return st.one_of(matrices(), tables())


def cells(inputs: Inputs, layout: Layout) -> list[list[Any]]:
    """Rows of what was read, as plain values: None for what is missing, texts of times."""
    columns = (
        [inputs[f.name] for f in layout.inputs]
        if isinstance(inputs, dict)
        else [inputs[:, i] for i in range(inputs.shape[1])]
    )
    return [[_plain(value) for value in row] for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain


def expected(case: Case) -> list[list[Any]]:
    """The same of what was sent."""
    return [[_as_read(f, case.layout, v) for f, v in zip(case.layout.inputs, row, strict=True)] for row in case.rows]


def _as_read(field: Field, layout: Layout, value: Any) -> Any:
    if value is None:
        return None
    if layout.kind == "matrix":
        return np.dtype(layout.dtype).type(value).item()
    if field.type == "float":
        return np.dtype(field.dtype).type(value).item()
    if field.type == "datetime":
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return str(np.datetime64(moment, "ns"))
    return value


def in_json(value: Any) -> Any:
    """A value as the plain protocols have it: bytes are base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _json_rows(case: Case) -> list[list[Any]]:
    return [[in_json(value) for value in row] for row in case.rows]


def _records(case: Case) -> list[dict[str, Any]]:
    return [dict(zip(case.names, row, strict=True)) for row in _json_rows(case)]


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def rows_in_order(case: Case) -> Sent:
    return Sent(rows, _dumped({"user": {"id": 7}, "rows": _json_rows(case)}))


def rows_by_name(case: Case) -> Sent:
    return Sent(rows, _dumped({"rows": [{"another": "x", **record} for record in _records(case)]}))


def rows_alone(case: Case) -> Sent:
    return Sent(rows, b" \n" + _dumped(_records(case)))


def one_row(case: Case) -> Sent:
    return Sent(rows, _dumped({"row": _records(case)[0]}), {})


def split(case: Case) -> Sent:
    data = [[*reversed(row), "beside"] for row in _json_rows(case)]
    return Sent(
        invocations, _dumped({"dataframe_split": {"columns": [*reversed(case.names), "\x00more"], "data": data}})
    )


def split_without_names(case: Case) -> Sent:
    return Sent(
        invocations,
        _dumped({"dataframe_split": {"index": [1], "columns": list(range(len(case.names))), "data": _json_rows(case)}}),
    )


def records(case: Case) -> Sent:
    return Sent(invocations, _dumped({"dataframe_records": _records(case), "params": {"a": 1}}))


def instances(case: Case) -> Sent:
    return Sent(invocations, _dumped({"instances": _json_rows(case)}))


def columns(case: Case) -> Sent:
    by_name = {name: [row[i] for row in _json_rows(case)] for i, name in enumerate(case.names)}
    return Sent(invocations, _dumped({"inputs": by_name}))


def delimited(case: Case) -> Sent:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(case.names)
    writer.writerows([["" if value is None else value for value in row] for row in _json_rows(case)])
    return Sent(invocations, text.getvalue().encode(), {b"content-type": b"text/csv; charset=utf-8"})


def rows_delimited(case: Case) -> Sent:
    return delimited(case)._replace(protocol=rows)


_DATATYPES = {
    "bool": "BOOL",
    "string": "BYTES",
    "category": "BYTES",
    "bytes": "BYTES",
    "datetime": "BYTES",
    "object": "BYTES",
}
_SENT_AS = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
    "uint8": "UINT8",
    "Int64": "INT64",
}


def _tensor_json(field: Field, values: list[Any], *, nested: bool) -> dict[str, Any]:
    datatype = _DATATYPES.get(field.type) or (
        _SENT_AS[field.dtype] if field.type == "float" else _SENT_AS.get(field.dtype, "INT64")
    )
    if field.type == "int" and field.dtype == "float64":
        datatype = "INT64"
    shape = [len(values), 1] if nested else [len(values)]
    values = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]
    data = [[value] for value in values] if nested else values
    return {"name": field.name, "datatype": datatype, "shape": shape, "data": data, "parameters": {"content_type": "x"}}


def tensors(case: Case, *, nested: bool = False) -> Sent:
    """A tensor for each column; texts only, where the column is one of texts."""
    inputs = [
        _tensor_json(field, [row[i] for row in case.rows], nested=nested) for i, field in enumerate(case.layout.inputs)
    ]
    return Sent(open_inference, _dumped({"inputs": inputs, "parameters": {"unknown": 1}}), {})


def tensors_nested(case: Case) -> Sent:
    return tensors(case, nested=True)


def one_tensor(case: Case) -> Sent:
    """All of a matrix, flat."""
    flat = [int(value) if isinstance(value, bool) else value for row in case.rows for value in row]
    datatype = _SENT_AS[case.layout.dtype]
    tensor = {"name": "\x00any", "datatype": datatype, "shape": [len(case.rows), len(case.names)], "data": flat}
    return Sent(open_inference, _dumped({"id": "7", "inputs": [tensor]}))


def one_tensor_binary(case: Case) -> Sent:
    """All of a matrix as bytes; NaN where a value is missing."""
    array = np.array([[np.nan if v is None else v for v in row] for row in case.rows], case.layout.dtype)
    return binary([("\x00any", _SENT_AS[case.layout.dtype], list(array.shape), array.tobytes())])


def tensors_binary(case: Case) -> Sent:
    """A tensor of bytes for each column; only where no value is missing but in those of floats."""
    sent = []
    for i, field in enumerate(case.layout.inputs):
        values = [row[i] for row in case.rows]
        tensor = _tensor_json(field, values, nested=False)
        sent.append((field.name, tensor["datatype"], tensor["shape"], _bytes_of(tensor["datatype"], values)))
    return binary(sent)


def _bytes_of(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        pieces = [value if isinstance(value, bytes) else str(value).encode() for value in values]
        return b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces)
    names = {sent: name for name, sent in _SENT_AS.items() if name != "Int64"} | {"BOOL": "bool"}
    return np.array([np.nan if v is None else v for v in values], np.dtype(names[datatype]).newbyteorder("<")).tobytes()


def binary(sent: list[tuple[str, str, list[int], bytes]], **more: Any) -> Sent:
    """A request of the binary extension."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(piece)}}
        for name, datatype, shape, piece in sent
    ]
    text = _dumped({"inputs": inputs, **more})
    body = text + b"".join(piece for *_, piece in sent)
    headers = {b"content-type": b"application/octet-stream", b"inference-header-content-length": b"%d" % len(text)}
    return Sent(open_inference, body, headers)


DELIMITED = (delimited, rows_delimited)

FORMS: tuple[Callable[[Case], Sent], ...] = (
    rows_in_order, rows_by_name, rows_alone, split, split_without_names, records, instances, columns,
    *DELIMITED, tensors, tensors_nested,
)  # fmt: skip

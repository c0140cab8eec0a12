"""What is told of servers, models and errors; and that none of it needs numpy to be loaded."""

import json
import subprocess
import sys

import pytest

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.errors import (
    InvalidRequest,
    ModelFailed,
    QueueFull,
    RateLimited,
    TooLarge,
    Unauthenticated,
)
from chopmark.gateway.protocols import invocations, metadata, open_inference, rows
from chopmark.gateway.protocols.metadata import Indexed

MATRIX = Layout(
    kind="matrix",
    inputs=(Field("amount", "float"), Field("age", "int")),
    dtype="float32",
    outputs=(Field("label", "int", "int64", (-1,)),),
    more=(Field("predict_proba", "float", "float64", (-1, 2)),),
)
TABLE = Layout(
    kind="table",
    inputs=(
        Field("a", "float", "Float64"), Field("b", "int", "int32"), Field("c", "int", nullable=True), Field("d", "bool"),
        Field("e", "bool", nullable=True), Field("f", "category"), Field("g", "datetime"),
    ),
    outputs=(Field("y", "string"),),
)  # fmt: skip


def test_a_matrix_is_told_as_one_tensor_with_its_columns() -> None:
    told = json.loads(metadata.model_metadata("fraud-api", ["3", "4"], MATRIX).body)
    assert told == {
        "name": "fraud-api",
        "versions": ["3", "4"],
        "platform": "chopmark",
        "inputs": [
            {"name": "input-0", "datatype": "FP32", "shape": [-1, 2], "parameters": {"columns": ["amount", "age"]}}
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {
                "name": "predict_proba",
                "datatype": "FP64",
                "shape": [-1, 2],
                "parameters": {"only_when_asked_for": True},
            },
        ],
    }


def test_a_table_is_told_as_a_tensor_a_column() -> None:
    told = json.loads(metadata.model_metadata("x", ["1"], TABLE).body)
    types = {each["name"]: each["datatype"] for each in told["inputs"]}
    assert types == {"a": "FP64", "b": "INT32", "c": "FP64", "d": "BOOL", "e": "BOOL", "f": "BYTES", "g": "BYTES"}
    assert all(each["shape"] == [-1] for each in told["inputs"])
    assert told["outputs"] == [{"name": "y", "datatype": "BYTES", "shape": [-1]}]


def test_health_and_the_server() -> None:
    assert metadata.live(is_live=True)[0] == metadata.ready(is_ready=True)[0] == 200
    status, answered = metadata.model_ready("fraud-api", is_ready=False)
    assert (status, json.loads(answered.body)) == (503, {"name": "fraud-api", "ready": False})
    assert json.loads(metadata.ready(is_ready=False)[1].body) == {"ready": False}
    assert json.loads(metadata.server_metadata("1.2").body)["version"] == "1.2"


def test_the_index_tells_all_or_what_is_ready() -> None:
    lines = [Indexed("a", "1", "READY"), Indexed("b", "2", "UNAVAILABLE", "it is loading")]
    assert len(json.loads(metadata.repository_index(lines).body)) == 2
    assert json.loads(metadata.repository_index(lines, ready_only=True).body) == [
        {"name": "a", "version": "1", "state": "READY", "reason": ""}
    ]
    assert [metadata.wants_ready_only(body) for body in (b"", b"{}", b'{"ready": true, "x": 1}')] == [
        False,
        False,
        True,
    ]
    for body in (b"[]", b"x", b'{"ready": 1}'):
        with pytest.raises(InvalidRequest):
            metadata.wants_ready_only(body)


def test_errors_are_written_as_each_protocol_has_them() -> None:
    error = InvalidRequest("The row has 9 values.", hint="It takes 10.")
    for protocol in (open_inference, rows):
        status, answered = protocol.refused(error)
        assert status == 400
        assert json.loads(answered.body) == {
            "error": "The row has 9 values.",
            "code": "invalid_request",
            "hint": "It takes 10.",
        }
    status, answered = invocations.refused(error)
    assert json.loads(answered.body) == {
        "error_code": "BAD_REQUEST",
        "message": "The row has 9 values.",
        "hint": "It takes 10.",
    }
    assert json.loads(invocations.refused(ModelFailed("It raised."))[1].body)["error_code"] == "INTERNAL_ERROR"


def test_who_may_come_again_is_told_when() -> None:
    assert rows.refused(QueueFull("Full."))[1].headers == ((b"retry-after", b"1"),)
    assert rows.refused(RateLimited("Slow.", retry_after_s=2.5))[1].headers == ((b"retry-after", b"3"),)
    assert rows.refused(Unauthenticated("Who?"))[1].headers[0][0] == b"www-authenticate"
    assert rows.refused(TooLarge("Long."))[0] == 413


def test_protocols_are_imported_without_numpy() -> None:
    code = "import chopmark.gateway.protocols.{}, sys; assert 'numpy' not in sys.modules"
    for module in ("open_inference", "rows", "invocations", "metadata", "errors", "description"):
        subprocess.run([sys.executable, "-c", code.format(module)], check=True)

"""The Open Inference Protocol: what is refused, what is widened, what is answered, by example."""

import json
import struct
from typing import Any

import numpy as np
import pytest

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.errors import InvalidRequest, UnsupportedMedia
from chopmark.gateway.protocols import open_inference
from chopmark.gateway.protocols.asked import Asked, Identity, Limits
from tests.gateway.protocols.forms import LIMITS, binary

MATRIX = Layout(
    kind="matrix",
    inputs=(Field("amount", "float"), Field("age", "float", nullable=True)),
    dtype="float64",
    outputs=(Field("label", "int", "int64"),),
    more=(Field("predict_proba", "float", "float64", (-1, 2)),),
)
WHOLE = Layout(kind="matrix", inputs=(Field("count", "int"), Field("flag", "bool")), dtype="float64")
INTS = Layout(kind="matrix", inputs=(Field("a", "int"), Field("b", "int")), dtype="int32")
TABLE = Layout(
    kind="table",
    inputs=(
        Field("amount", "float", "float64"),
        Field("count", "int", "int64"),
        Field("country", "category", "category"),
        Field("note", "string", "object", nullable=True),
    ),
)
IMAGES = Layout(kind="tensors", inputs=(Field("image", "float", "float32", (-1, 2, 3)),))
PAIR = Layout(kind="tensors", inputs=(Field("ids", "int", "int64", (-1, -1)), Field("mask", "int", "int64", (-1, -1))))
WHO = Identity("fraud-api", "fraud", 3, "sha256:ab", "stable", 7, "id.mac")


def asked(layout: Layout, *inputs: dict[str, Any], **more: Any) -> Asked:
    return open_inference.read(json.dumps({"inputs": inputs, **more}).encode(), {}, layout, LIMITS)


def tensor(data: Any, shape: list[int], datatype: str = "FP64", name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


TWO = tensor([1, 2.5, 3, 4], [2, 2])


@pytest.mark.parametrize(
    ("layout", "inputs", "words"),
    [
        (MATRIX, [], "no tensor"),
        (MATRIX, [tensor([1, 2, 3], [1, 3])], "shape [1, 3]; the model takes [-1, 2]"),
        (MATRIX, [tensor([1, 2], [2])], "shape [2]; the model takes [-1, 2]"),
        (MATRIX, [tensor([1, 2], [1, 1, 2])], "shape [1, 1, 2]"),
        (MATRIX, [tensor([], [0, 2])], "no row"),
        (MATRIX, [tensor([], [2, 0])], "shape [2, 0]"),
        (MATRIX, [tensor([1], [])], "0 dimensions"),
        (MATRIX, [tensor([1], [1] * 40)], "40 dimensions"),
        (MATRIX, [tensor([1, 2], [-1, 2])], "negative"),
        (MATRIX, [tensor([1, 2], [-1, -2])], "negative"),
        (MATRIX, [tensor([1, 2], [2**62, 2**62])], "larger than"),
        (MATRIX, [tensor([], [2**62, 0])], "larger than"),
        (MATRIX, [tensor([1, 2, 3], [2, 2])], "holds 3 elements, and its shape [2, 2] stands for 4"),
        (MATRIX, [tensor([[1, 2], [3]], [2, 2])], "lists of 2 and of 1"),
        (MATRIX, [tensor([[1, 2], 3], [2, 2])], "something else than lists"),
        (MATRIX, [tensor([[1, 2]], [2, 2])], "holds 1 lists"),
        (MATRIX, [tensor([[[1], [2]]], [1, 2])], "something else than numbers"),
        (MATRIX, [tensor(["1", 2], [1, 2])], "something else than numbers"),
        (MATRIX, [tensor([True, 2], [1, 2])], "something else than numbers"),
        (MATRIX, [tensor([None, 2], [1, 2])], "column 'amount' has no value"),
        (MATRIX, [tensor([10**400, 2], [1, 2])], "beyond what float64"),
        (MATRIX, [tensor([1e39, 2], [1, 2], "FP32")], "beyond what float32"),
        (MATRIX, [tensor([300, 2], [1, 2], "UINT8")], "beyond what uint8"),
        (MATRIX, [tensor([1.5, 2], [1, 2], "INT64")], "something else than whole numbers"),
        (MATRIX, [tensor([2**53 + 1, 2], [1, 2], "INT64")], "which float64 rounds"),
        (MATRIX, [tensor([1, 2], [1, 2], "FP8")], "'FP8', which is none"),
        (MATRIX, [tensor(["a", "b"], [1, 2], "BYTES")], "BYTES, of which the matrix"),
        (MATRIX, [tensor([1], [1], name="amount"), tensor([1], [1], name="size")], "takes no tensor 'size'"),
        (MATRIX, [tensor([1], [1], name="age")], "column 'amount' is missing"),
        (MATRIX, [tensor([1], [1], name="amount"), tensor([1, 2], [2], name="age")], "different numbers of rows"),
        (MATRIX, [tensor([1], [1], name="amount"), tensor([1], [1], name="amount")], "one name"),
        (MATRIX, [tensor([1, 2], [1, 2], name="amount"), tensor([1], [1], name="age")], "a column has [-1] or [-1, 1]"),
        (MATRIX, [{"name": "x", "shape": [1, 2], "datatype": "FP64"}], "no data"),
        (WHOLE, [tensor([1.5, 1], [1, 2])], "column 'count' takes whole numbers"),
        (WHOLE, [tensor([1, 2], [1, 2])], "column 'flag' takes 0 and 1"),
        (INTS, [tensor([1.0, 2.0], [1, 2])], "FP64, of which the matrix cannot"),
        (INTS, [tensor([1, 2], [1, 2], "INT64")], "INT64; the matrix takes INT32, which holds less"),
        (INTS, [tensor([1, 2], [1, 2], "UINT32")], "UINT32; the matrix takes INT32, which holds less"),
        (INTS, [tensor([1, None], [1, 2], "INT32")], "must have a value"),
        (IMAGES, [tensor([1.0] * 6, [1, 3, 2], "FP32")], "shape [1, 3, 2]; the model takes [-1, 2, 3]"),
        (IMAGES, [tensor([1.0] * 6, [1, 2, 3])], "FP64; the tensor 'image' takes FP32, which holds less"),
        (PAIR, [tensor([1, 2], [1, 2], "INT64", "ids")], "tensor 'mask' is missing"),
        (PAIR, [tensor([1, 2], [1, 2], "INT64", "ids"), tensor([1], [1], "INT64", "other")], "takes no tensor 'other'"),
        (TABLE, [tensor([1.0], [1], name="amount")], "column 'count', the column 'country' are missing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(layout: Layout, inputs: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(layout, *inputs)
    assert words in refused.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"inputs": null}', b'{"inputs": [1]}', b'{"inputs": [{"name": 1}]}', b"\xff\xfe",
        b'{"inputs": ' + b"[" * 100_000, b'{"inputs": [{"name": "x", "shape": [1.5], "datatype": "FP64", "data": []}]}',
        b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
        b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1e999, 1]}]}',
        b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [Infinity, 1]}]}',
        b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [NaN, 1]}]}',
        b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [NaN, ' + b"1" * 5_000 + b"]}]}",
        b'{"id": 7, "inputs": []}',
    ],
    ids=range(16),
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        open_inference.read(body, {}, MATRIX, LIMITS)


def test_a_body_of_another_type_is_refused_and_json_without_one_taken() -> None:
    body = json.dumps({"inputs": [TWO]}).encode()
    for content_type in (
        b"application/json; charset=utf-8",
        b"application/x-www-form-urlencoded",
        b"",
        b"Application/JSON",
    ):
        assert open_inference.read(body, {b"content-type": content_type}, MATRIX, LIMITS).rows == 2
    with pytest.raises(UnsupportedMedia):
        open_inference.read(body, {b"content-type": b"application/xml"}, MATRIX, LIMITS)


def test_a_null_and_the_nan_of_pythons_writer_are_missing_values() -> None:
    for written in (b"null", b"NaN"):
        body = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.5, %s]}]}' % written
        read = open_inference.read(body, {}, MATRIX, LIMITS).inputs
        np.testing.assert_array_equal(read, [[1.5, np.nan]])


@pytest.mark.parametrize(
    "datatype", ["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"]
)
def test_numbers_are_widened_to_the_models(datatype: str) -> None:
    read = asked(MATRIX, tensor([[1, 2], [3, 4]], [2, 2], datatype)).inputs
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, [[1, 2], [3, 4]])
    dtype = {"FP": "f", "IN": "i", "UI": "u"}[datatype[:2]] + str(int(datatype.lstrip("UINTFP")) // 8)
    sent = binary([("x", datatype, [2, 2], np.array([[1, 2], [3, 4]], f"<{dtype}").tobytes())])
    read = open_inference.read(sent.body, sent.headers, MATRIX, LIMITS).inputs
    np.testing.assert_array_equal(read, [[1, 2], [3, 4]])


def test_a_number_is_what_its_declared_type_holds_in_json_as_in_bytes() -> None:
    in_json = asked(MATRIX, tensor([0.1, 0.2], [1, 2], "FP32")).inputs
    sent = binary([("x", "FP32", [1, 2], struct.pack("<2f", 0.1, 0.2))])
    np.testing.assert_array_equal(in_json, open_inference.read(sent.body, sent.headers, MATRIX, LIMITS).inputs)
    assert in_json[0, 0] == np.float32(0.1)  # type: ignore[index]


def test_a_table_takes_each_column_as_its_type() -> None:
    columns = [
        tensor([1, 2], [2], "INT32", "amount"),
        tensor([1, 2], [2, 1], "UINT8", "count"),
        tensor(["CH", "DE"], [2], "BYTES", "country"),
        tensor([None, "x"], [2], "BYTES", "note"),
    ]
    read = asked(TABLE, *columns)
    assert isinstance(read.inputs, dict)
    assert {name: (array.dtype.name, array.tolist()) for name, array in read.inputs.items()} == {
        "amount": ("float64", [1.0, 2.0]),
        "count": ("int64", [1, 2]),
        "country": ("object", ["CH", "DE"]),
        "note": ("object", [None, "x"]),
    }
    for wrong, words in (
        (tensor([1.0, 2.0], [2], "FP64", "count"), "FP64, of which the column 'count'"),
        (tensor([1, 2], [2], "INT64", "note"), "INT64, of which the column 'note'"),
        (tensor([None, "x"], [2], "BYTES", "country"), "null or missing"),
        (tensor([None, 1], [2], "INT64", "count"), "must have a value"),
        (tensor([None, 1], [2], "FP64", "amount"), "must have a value"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            asked(TABLE, *[wrong if column["name"] == wrong["name"] else column for column in columns])


def test_a_missing_column_that_may_be_missing_is_missing_values() -> None:
    np.testing.assert_array_equal(asked(MATRIX, tensor([1, 2], [2], name="amount")).inputs, [[1, np.nan], [2, np.nan]])


def test_the_only_column_may_come_without_its_dimension() -> None:
    one = Layout(kind="matrix", inputs=(Field("amount", "float"),), dtype="float64")
    for shape in ([2], [2, 1]):
        np.testing.assert_array_equal(asked(one, tensor([1, 2], shape, name="any")).inputs, [[1], [2]])


def test_tensors_keep_their_dimensions() -> None:
    read = asked(IMAGES, tensor(list(range(12)), [2, 2, 3], "FP32", "any"))
    assert read.inputs["image"].shape == (2, 2, 3)
    both = asked(PAIR, tensor([1, 0], [1, 2], "INT64", "mask"), tensor([[5, 6]], [1, 2], "INT32", "ids")).inputs
    assert isinstance(both, dict)
    assert list(both) == ["ids", "mask"]
    np.testing.assert_array_equal(both["ids"], [[5, 6]])


def test_an_infinity_is_a_value_of_tensors_alone() -> None:
    infinite = np.array([[[1, 2, -np.inf], [1, 2, 3]]], "<f4")
    sent = binary([("image", "FP32", [1, 2, 3], infinite.tobytes())])
    read = open_inference.read(sent.body, sent.headers, IMAGES, LIMITS).inputs
    np.testing.assert_array_equal(read["image"], infinite)
    sent = binary([("x", "FP64", [1, 2], np.array([[1, np.inf]]).tobytes())])
    with pytest.raises(InvalidRequest, match="column 'age' holds an infinity"):
        open_inference.read(sent.body, sent.headers, MATRIX, LIMITS)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([("x", "FP64", [1, 2], b"\0" * 15)], "has 15 bytes; 2 elements of FP64 have 16"),
        ([("x", "FP64", [1, 2], b"\0" * 17)], "has 17 bytes"),
        ([("x", "FP64", [1, 2], np.array([np.nan, 1]).tobytes())], "column 'amount' has no value, or NaN"),
        ([("x", "BOOL", [1, 2], b"\1\2")], "other than 0 and 1"),
        ([("x", "BYTES", [1, 2], b"\1\0\0")], "ends within an element"),
        ([("x", "BYTES", [1, 2], b"\1\0\0\0a")], "before it has all 2"),
        ([("x", "BYTES", [1, 2], b"\xff\xff\xff\xffa")], "ends within an element"),
        ([("x", "BYTES", [1, 1], b"\1\0\0\0ab")], "1 bytes beyond"),
    ],
)
def test_bytes_that_are_not_what_they_declare_are_refused(
    sent: list[tuple[str, str, list[int], bytes]], words: str
) -> None:
    request = binary(sent)
    with pytest.raises(InvalidRequest) as refused:
        open_inference.read(request.body, request.headers, MATRIX, LIMITS)
    assert words in refused.value.message


def test_lengths_of_the_binary_extension_are_checked() -> None:
    request = binary([("x", "FP64", [1, 2], b"\0" * 16)])
    length = request.headers[b"inference-header-content-length"]
    for wrong in (b"", b"-1", b"1e2", b"9" * 30, b"\xb2", str(len(request.body) + 1).encode()):
        with pytest.raises(InvalidRequest):
            open_inference.read(request.body, {b"inference-header-content-length": wrong}, MATRIX, LIMITS)
    with pytest.raises(InvalidRequest, match="5 bytes follow"):
        open_inference.read(request.body + b"12345", {b"inference-header-content-length": length}, MATRIX, LIMITS)
    with pytest.raises(InvalidRequest, match="0 are left"):  # without the header all of it is JSON
        open_inference.read(request.body[: int(length)], {}, MATRIX, LIMITS)
    for size in (True, -1, 1.5, "16", None):
        wrong_size = [{"name": "x", "shape": [1, 2], "datatype": "FP64", "parameters": {"binary_data_size": size}}]
        with pytest.raises(InvalidRequest, match="no number of bytes"):
            asked(MATRIX, *wrong_size)
    with pytest.raises(InvalidRequest, match="both"):
        asked(MATRIX, tensor([1, 2], [1, 2], parameters={"binary_data_size": 0}))


def test_no_request_stands_for_more_elements_than_are_taken() -> None:
    wide = Layout(kind="table", inputs=tuple(Field(f"c{i}", "float", nullable=True) for i in range(1_000)))
    sent = binary([("c0", "UINT8", [1_000], bytes(1_000))])
    with pytest.raises(InvalidRequest, match="more than"):
        open_inference.read(sent.body, sent.headers, wide, Limits(elements_max=10_000))


def test_outputs_are_asked_for_by_name() -> None:
    assert asked(MATRIX, TWO).outputs == ()
    read = asked(
        MATRIX, TWO, outputs=[{"name": "predict_proba", "parameters": {"classification": 2}}, {"name": "label"}]
    )
    assert read.outputs == ("predict_proba", "label")
    with pytest.raises(InvalidRequest, match="no output 'other'"):
        asked(MATRIX, TWO, outputs=[{"name": "other"}])
    with pytest.raises(InvalidRequest, match="twice"):
        asked(MATRIX, TWO, outputs=[{"name": "label"}, {"name": "label"}])
    with pytest.raises(InvalidRequest, match="true or false"):
        asked(MATRIX, TWO, parameters={"binary_data_output": "yes"})


OUTPUTS = {"label": np.array([1, 0]), "predict_proba": np.array([[0.25, 0.75], [np.nan, np.inf]])}


def test_an_answer_tells_who_answers_and_echoes_the_id() -> None:
    answered = open_inference.write(asked(MATRIX, TWO, id="mine"), OUTPUTS, WHO)
    assert answered.content_type == b"application/json"
    assert json.loads(answered.body) == {
        "model_name": "fraud-api",
        "model_version": "3",
        "id": "mine",
        "parameters": {
            "model": "fraud",
            "digest": "sha256:ab",
            "variant": "stable",
            "generation": 7,
            "request_id": "id.mac",
        },
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 0]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [2, 2], "data": [0.25, 0.75, None, None]},
        ],
    }
    assert "id" not in json.loads(open_inference.write(asked(MATRIX, TWO), OUTPUTS, WHO).body)


def test_outputs_are_answered_as_bytes_where_they_are_wanted_so() -> None:
    wanted = asked(
        MATRIX, TWO, outputs=[{"name": "label"}, {"name": "predict_proba", "parameters": {"binary_data": True}}]
    )
    answered = open_inference.write(wanted, OUTPUTS, WHO)
    assert answered.content_type == b"application/octet-stream"
    ((name, length),) = answered.headers
    assert name == b"inference-header-content-length"
    told, rest = json.loads(answered.body[: int(length)]), answered.body[int(length) :]
    assert told["outputs"][0]["data"] == [1, 0]
    assert told["outputs"][1]["parameters"] == {"binary_data_size": 32}
    assert "data" not in told["outputs"][1]
    np.testing.assert_array_equal(np.frombuffer(rest, "<f8").reshape(2, 2), OUTPUTS["predict_proba"])
    everything = asked(MATRIX, TWO, parameters={"binary_data_output": True})
    answered = open_inference.write(everything, OUTPUTS, WHO)
    length = dict(answered.headers)[b"inference-header-content-length"]
    assert answered.body[int(length) :] == np.array([1, 0], "<i8").tobytes() + rest
    but_one = asked(
        MATRIX,
        TWO,
        parameters={"binary_data_output": True},
        outputs=[{"name": "label", "parameters": {"binary_data": False}}],
    )
    assert open_inference.write(but_one, {"label": OUTPUTS["label"]}, WHO).headers == ()


@pytest.mark.parametrize(
    ("array", "datatype", "data", "piece"),
    [
        (np.array([True, False]), "BOOL", [True, False], b"\1\0"),
        (np.array([1], ">i2"), "INT16", [1], b"\1\0"),
        (np.array([1], "uint64"), "UINT64", [1], b"\1" + b"\0" * 7),
        (np.array([0.5], "float16"), "FP16", [0.5], b"\0\x38"),
        (np.array([0.5], np.longdouble), "FP64", [0.5], struct.pack("<d", 0.5)),
        (np.array(["fraud"]), "BYTES", ["fraud"], b"\5\0\0\0fraud"),
        (np.array(["é", None, np.nan], object), "BYTES", ["é", None, None], b"\2\0\0\0\xc3\xa9" + b"\0" * 8),
        (np.array([b"\xc3\xa9"]), "BYTES", ["é"], b"\2\0\0\0\xc3\xa9"),
        (np.array([1, 2], object), "INT64", [1, 2], struct.pack("<2q", 1, 2)),
        (np.array([{"a": [1]}], object), "BYTES", ['{"a":[1]}'], b'\x09\0\0\0{"a":[1]}'),
        (np.array(["2026-03-01T12:00"], "M8[m]"), "BYTES", ["2026-03-01T12:00"], b"\x10\0\0\x002026-03-01T12:00"),
        (np.array([["NaT"]], "M8[D]"), "BYTES", [None], b"\0\0\0\0"),
        (np.array([[1 + 2j]]), "BYTES", ["(1+2j)"], b"\6\0\0\0(1+2j)"),
    ],
)
def test_outputs_of_every_type_are_answered(array: Any, datatype: str, data: list[Any], piece: bytes) -> None:
    (told,) = json.loads(open_inference.write(asked(MATRIX, TWO), {"y": array}, WHO).body)["outputs"]
    assert told == {"name": "y", "datatype": datatype, "shape": list(array.shape), "data": data}
    wanted = asked(MATRIX, TWO, parameters={"binary_data_output": True})
    answered = open_inference.write(wanted, {"y": array}, WHO)
    assert answered.body.endswith(piece)
    length = int(dict(answered.headers)[b"inference-header-content-length"])
    assert answered.body[length:] == piece

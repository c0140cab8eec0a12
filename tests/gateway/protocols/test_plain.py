"""The plain protocols: rows and MLflow's forms, by example."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.errors import InvalidRequest, UnsupportedMedia
from chopmark.gateway.protocols import invocations, rows
from chopmark.gateway.protocols.asked import Asked, Identity, Limits
from tests.gateway.protocols.forms import LIMITS

MATRIX = Layout(
    kind="matrix",
    inputs=(Field("amount", "float"), Field("age", "float", nullable=True)),
    dtype="float64",
    outputs=(Field("label", "int"),),
    more=(Field("predict_proba", "float"),),
)
TABLE = Layout(
    kind="table", inputs=(Field("n", "int"), Field("country", "category"), Field("at", "datetime", nullable=True))
)
ONE = Layout(kind="table", inputs=(Field("text", "string"),))
IMAGES = Layout(kind="tensors", inputs=(Field("image", "float", "float32", (-1, 2, 2)),))
PAIR = Layout(kind="tensors", inputs=(Field("ids", "int", "int64", (-1, -1)), Field("mask", "int", "int64", (-1, -1))))
MIXED = Layout(kind="matrix", inputs=(Field("a", "string"), Field("n", "int")), dtype="object")
WHO = Identity("fraud-api", "fraud", 3, "sha256:ab", "stable", 7, "id.mac")
CSV = {b"content-type": b"text/csv"}


def predict(layout: Layout, body: Any) -> Asked:
    return rows.read(json.dumps(body).encode(), {}, layout, LIMITS)


def invoke(layout: Layout, body: Any) -> Asked:
    return invocations.read(json.dumps(body).encode(), {}, layout, LIMITS)


def csv(layout: Layout, text: str) -> Asked:
    return invocations.read(text.encode(), CSV, layout, LIMITS)


def test_rows_name_what_is_wanted_and_have_an_id() -> None:
    asked = predict(MATRIX, {"row": [1, 2], "outputs": ["predict_proba", "label"], "id": "mine", "user": {"id": 7}})
    assert (asked.rows, asked.outputs, asked.id) == (1, ("predict_proba", "label"), "mine")
    np.testing.assert_array_equal(asked.inputs, [[1, 2]])


def test_rows_of_one_column_may_be_its_values() -> None:
    assert predict(ONE, {"rows": ["a", "b"]}).inputs["text"].tolist() == ["a", "b"]


def test_rows_of_tensors_are_nested_lists_or_mappings_of_them() -> None:
    image = [[1, 2], [3, 4]]
    assert predict(IMAGES, [image, image, image]).inputs["image"].shape == (3, 2, 2)
    assert predict(IMAGES, {"row": {"image": image}}).inputs["image"].dtype == np.float32
    both = predict(PAIR, [{"ids": [1, 2, 3], "mask": [1, 1, 0]}, {"ids": [4, 5, 6], "mask": [1, 0, 0]}]).inputs
    assert both["mask"].tolist() == [[1, 1, 0], [1, 0, 0]]


def test_a_matrix_of_objects_keeps_what_each_column_holds() -> None:
    read = predict(MIXED, [["x", 1], ["y", 2]]).inputs
    assert isinstance(read, np.ndarray)
    assert (read.dtype, read.tolist()) == (np.dtype(object), [["x", 1], ["y", 2]])


def test_a_missing_value_is_one_that_is_left_out_or_null() -> None:
    for row in ({"amount": 1}, {"amount": 1, "age": None}):
        np.testing.assert_array_equal(predict(MATRIX, {"row": row}).inputs, [[1, np.nan]])


@pytest.mark.parametrize(
    ("layout", "body", "words"),
    [
        (MATRIX, 7, "neither a mapping nor a list"),
        (MATRIX, {}, "neither rows nor a row"),
        (MATRIX, {"rows": [], "row": [1, 2]}, "both rows and a row"),
        (MATRIX, {"rows": []}, "no row"),
        (MATRIX, [], "no row"),
        (MATRIX, [1, 2], "neither all lists nor all mappings"),
        (MATRIX, [[1, 2], {"amount": 1}], "neither all lists nor all mappings"),
        (MATRIX, [[1, 2], [1]], "Row 2 has 1 values; the model takes 2"),
        (MATRIX, [["1", 2]], "column 'amount' is a text"),
        (MATRIX, [[1, 2], [[1], 2]], "column 'amount' holds in row 2 (of 2) what is a list"),
        (MATRIX, [{"amount": 1}, {"age": 1}], "column 'amount' is missing"),
        (MATRIX, [{"amount": None}], "column 'amount' has no value"),
        (MATRIX, {"rows": "abc"}, "rows"),
        (MATRIX, {"row": {"amount": 1}, "outputs": ["none"]}, "no output 'none'"),
        (TABLE, [{"n": 1.0, "country": "CH"}], "column 'n' is a number with a point"),
        (TABLE, [{"n": 2**63, "country": "CH"}], "beyond what int64"),
        (TABLE, [{"n": 1, "country": ["CH"]}], "column 'country' is a list"),
        (TABLE, [{"n": 1, "country": "CH", "at": "soon"}], "'soon', which is no time"),
        (TABLE, [{"n": 1, "country": "CH", "at": "0001-01-01T00:00:00+14:00"}], "no time"),
        (TABLE, [{"n": 1, "country": "CH", "at": "1500-01-01"}], "year 1500"),
        (IMAGES, [[[1, 2], [3]]], "lists of 2 and of 1"),
        (IMAGES, [[[1, 2]]], "shape [1, 1, 2]; the model takes [-1, 2, 2]"),
        (PAIR, [[1], [2]], "2 tensors, and the rows are no mappings"),
        (PAIR, [{"ids": [1]}], "tensor 'mask' is missing"),
        (PAIR, [{"ids": [1], "mask": [1]}, {"ids": [1]}], "holds something else than lists"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused_in_words(layout: Layout, body: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        predict(layout, body)
    assert words in refused.value.message


def test_bytes_and_times_in_json() -> None:
    layout = Layout(kind="table", inputs=(Field("b", "bytes"), Field("t", "datetime")))
    read = predict(layout, [[base64.b64encode(b"\0\xff").decode(), "2026-03-01T13:30:00+01:00"]]).inputs
    assert isinstance(read, dict)
    assert read["b"].tolist() == [b"\0\xff"]
    assert read["t"].dtype == "M8[ns]"
    assert str(read["t"][0]) == "2026-03-01T12:30:00.000000000"
    with pytest.raises(InvalidRequest, match="no base64"):
        predict(layout, [["é", "2026-03-01"]])


def test_numbers_whose_sum_is_infinite_are_finite() -> None:
    layout = Layout(kind="table", inputs=(Field("a", "float"),))
    assert predict(layout, [[1e308], [1e308]]).inputs["a"].tolist() == [1e308, 1e308]
    np.testing.assert_array_equal(predict(MATRIX, [[1e308, 1e308]]).inputs, [[1e308, 1e308]])


def test_mlflows_forms_take_columns_by_name_and_leave_others_aside() -> None:
    for body in (
        {"dataframe_split": {"columns": ["more", "age", "amount"], "data": [["x", 2, 1]], "index": [7]}},
        {"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}},
        {"dataframe_split": {"data": [[1, 2]]}},
        {"dataframe_records": [{"age": 2, "amount": 1, "more": "x"}], "params": {"a": 1}},
        {"instances": [[1, 2]]},
        {"instances": [{"age": 2, "amount": 1}]},
        {"inputs": {"age": [2], "amount": [1], "more": [[]]}},
        {"inputs": [[1, 2]]},
    ):
        np.testing.assert_array_equal(invoke(MATRIX, body).inputs, [[1, 2]])
    for header in ("age,more,amount\n2,x,1\n", '\ufeff"age","amount"\r\n2,1e0\r\n\r\n', "0,1\n1,2"):
        np.testing.assert_array_equal(csv(MATRIX, header).inputs, [[1, 2]])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "none of dataframe_split"),
        ({"inputs": [[1, 2]], "instances": [[1, 2]]}, "both instances and inputs"),
        ({"instances": []}, "no row"),
        ({"inputs": {}}, "None of the columns"),
        ({"inputs": {"more": [1]}}, "None of the columns"),
        ({"inputs": {"age": [1]}}, "column 'amount' is missing"),
        ({"inputs": {"amount": 1}}, "'amount' are no list"),
        ({"inputs": {"amount": [1, 2], "age": [1]}}, "different numbers of rows: 1, 2"),
        ({"inputs": {"amount": []}}, "no row"),
        ({"dataframe_split": {"columns": ["amount"], "data": [[1], [1, 2]]}}, "not all have 1 values"),
        ({"dataframe_split": {"columns": ["amount"], "data": [1]}}, "not all have 1 values"),
        ({"dataframe_split": {"columns": ["amount", "amount"], "data": [[1, 2]]}}, "Two columns have one name"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}, "column 'amount' is missing"),
        ({"dataframe_split": {"columns": [0, 1, 2], "data": [[1, 2, 3]]}}, "has 3 values; the model takes 2"),
    ],
)
def test_mlflows_forms_that_do_not_fit_are_refused_in_words(body: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        invoke(MATRIX, body)
    assert words in refused.value.message


def test_nan_in_csv_is_a_missing_value() -> None:
    layout = Layout(kind="table", inputs=(Field("f", "float"), Field("g", "float", nullable=True)))
    assert np.isnan(csv(layout, "f,g\n1,NaN\n").inputs["g"]).all()
    with pytest.raises(InvalidRequest, match="column 'f'"):
        csv(layout, "f,g\nnan,1\n")


def test_csv_is_read_as_the_fields_are() -> None:
    layout = Layout(
        kind="table",
        inputs=(
            Field("f", "float", nullable=True), Field("n", "int", nullable=True), Field("b", "bool"), Field("s", "string"),
            Field("z", "string", nullable=True), Field("t", "datetime", nullable=True),
        ),
    )  # fmt: skip
    read = csv(layout, 'f,n,b,s,z,t\n1e3,7,True,NA,"a,b",2026-03-01\nNaN,8.0,0,,,\n').inputs
    assert isinstance(read, dict)
    np.testing.assert_array_equal(read["f"], [1000, np.nan])
    assert read["n"].tolist() == [7, 8]
    assert read["b"].tolist() == [True, False]
    assert read["s"].tolist() == ["NA", ""]
    assert read["z"].tolist() == ["a,b", None]
    assert [str(t)[:10] for t in read["t"]] == ["2026-03-01", "NaT"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "CSV is empty"),
        ("amount,age\n", "no row"),
        ("amount,age\n1\n", "Row 1 has 1 values; the header has 2"),
        ("amount,age\nx,1\n", "'x', which is not a number"),
        ("amount,age\n1_000,1\n", "'1_000', which is not a number"),
        ("amount,age\n,1\n", "column 'amount' has no value"),
        ("amount,age\nnan,1\n", "column 'amount' has no value"),
        ("amount,age\n١,1\n", "which is not a number"),
        ("amount,age\n1e999,1\n", "holds an infinity"),
        ("age\n1\n", "column 'amount' is missing"),
        ('amount,age\n"1,1\n', "cannot be read as CSV"),
        ("amount,age\n" + "1" * 200_000 + ",1\n", "cannot be read as CSV"),
    ],
)
def test_csv_that_does_not_fit_is_refused_in_words(text: str, words: str) -> None:
    for protocol in (rows, invocations):
        with pytest.raises(InvalidRequest) as refused:
            protocol.read(text.encode(), CSV, MATRIX, LIMITS)
        assert words in refused.value.message


CODES = Layout(
    kind="table",
    inputs=(Field("code", "string"), Field("kind", "category", nullable=True), Field("n", "int"), Field("f", "float", nullable=True)),
    outputs=(Field("label", "int"),),
    more=(Field("score, raw", "float"),),
)  # fmt: skip


def test_a_text_of_digits_in_csv_is_what_its_column_is() -> None:
    text = 'code,kind,n,f\n0123,007,0123,0123\n"1,5","say ""so""",-0,\n,,+7,1e3\n" 12\n",NA,1,NaN\n'
    read = rows.read(text.encode(), CSV, CODES, LIMITS)
    assert isinstance(read.inputs, dict)
    assert read.rows == 4
    assert read.inputs["code"].tolist() == ["0123", "1,5", "", " 12\n"]
    assert read.inputs["kind"].tolist() == ["007", 'say "so"', None, "NA"]
    assert read.inputs["n"].tolist() == [123, 0, 7, 1]
    np.testing.assert_array_equal(read.inputs["f"], [123, np.nan, 1000, np.nan])


def test_what_is_wanted_of_rows_in_csv_is_named_in_a_header() -> None:
    body = b"code,kind,n,f\na,b,1,2\n"
    wanted = CSV | {b"x-chopmark-outputs": b"label , score%2C%20raw"}
    assert rows.read(body, CSV, CODES, LIMITS).outputs == ()
    assert rows.read(body, wanted, CODES, LIMITS).outputs == ("label", "score, raw")
    with pytest.raises(InvalidRequest, match="no output 'more'"):
        rows.read(body, CSV | {b"x-chopmark-outputs": b"more"}, CODES, LIMITS)
    with pytest.raises(InvalidRequest, match="no output ''"):
        rows.read(body, CSV | {b"x-chopmark-outputs": b"label,"}, CODES, LIMITS)


def test_what_is_no_text_or_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="UTF-8"):
        invocations.read(b"amount\n\xff", CSV, MATRIX, LIMITS)
    for protocol in (rows, invocations):
        with pytest.raises(UnsupportedMedia):
            protocol.read(b"[]", {b"content-type": b"application/vnd.apache.parquet"}, MATRIX, LIMITS)


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_called_so(body: bytes) -> None:
    for protocol in (rows, invocations):
        with pytest.raises(InvalidRequest) as refused:
            protocol.read(body, {}, MATRIX, LIMITS)
        assert refused.value.message == "The body is empty."


def test_rows_that_stand_for_too_much_are_refused() -> None:
    wide = Layout(kind="table", inputs=tuple(Field(f"c{i}", "float", nullable=True) for i in range(1_000)))
    for protocol, body in (
        (rows, {"rows": [{}] * 20}),
        (invocations, {"inputs": {"c0": [1.0] * 20}}),
        (invocations, {"instances": [{}] * 20}),
    ):
        with pytest.raises(InvalidRequest, match="more than 10,000 elements"):
            protocol.read(json.dumps(body).encode(), {}, wide, Limits(elements_max=10_000))


IDENTITY = {
    "endpoint": "fraud-api", "model": "fraud", "version": 3, "digest": "sha256:ab", "variant": "stable", "generation": 7,
    "request_id": "id.mac",
}  # fmt: skip


@pytest.mark.parametrize(
    ("array", "listed"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array([0.5, np.nan, np.inf], "float32"), [0.5, None, None]),
        (np.array([[0.25, 0.75]]), [[0.25, 0.75]]),
        (np.array([0.5], np.longdouble), [0.5]),
        (np.array([True]), [True]),
        (np.array(["a"]), ["a"]),
        (np.array([b"\0\xff"], object), ["AP8="]),
        (
            np.array([None, np.float64(1), np.str_("x"), {"a": np.int64(1)}, (1, 2)], object),
            [None, 1, "x", {"a": 1}, [1, 2]],
        ),
        (np.array(["2026-03-01T12:30:00", "NaT"], "M8[s]"), ["2026-03-01T12:30:00", None]),
        (np.array([["2026-03-01"], ["NaT"]], "M8[D]"), [["2026-03-01"], [None]]),
        (np.array([1 + 2j]), ["(1+2j)"]),
    ],
)
def test_predictions_of_every_type_are_answered(array: Any, listed: list[Any]) -> None:
    for protocol in (rows, invocations):
        answered = protocol.write(Asked(np.zeros(0), 1), {"label": array}, WHO)
        assert (answered.content_type, answered.headers) == (b"application/json", ())
        assert json.loads(answered.body) == {"predictions": listed, **IDENTITY}


def test_several_outputs_are_answered_by_name_and_an_id_is_given_back() -> None:
    asked = Asked(np.zeros(0), 2, id="mine")
    answered = rows.write(asked, {"label": np.array([0, 1]), "score": np.array([0.5, 1.5])}, WHO)
    assert json.loads(answered.body) == {
        "predictions": {"label": [0, 1], "score": [0.5, 1.5]},
        **IDENTITY,
        "id": "mine",
    }

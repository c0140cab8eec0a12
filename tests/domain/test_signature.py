"""Signatures: what breaks a caller, and which input fits."""

import pytest

from chopmark.domain.signature import Field, Signature, breaking_changes, check_input
from chopmark.errors import InvalidRequest

TABLE = Signature(
    (Field("age", "int"), Field("income", "float", nullable=True), Field("land", "string")), (Field("y", "float"),)
)
TENSOR = Signature((Field("input-0", "float", "float32", (-1, 3)),), (Field("output-0", "int", "int64", (-1,)),))


def test_the_same_signature_breaks_nobody() -> None:
    assert breaking_changes(TABLE, TABLE) == []
    assert breaking_changes(None, TABLE) == []


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (Signature((*TABLE.inputs, Field("x", "float")), TABLE.outputs), "'x' is new and required"),
        (
            Signature((Field("age", "int"), Field("income", "float"), TABLE.inputs[2]), TABLE.outputs),
            "no longer accepts missing",
        ),
        (Signature((Field("age", "bool"), *TABLE.inputs[1:]), TABLE.outputs), "was int, is bool"),
        (Signature(TABLE.inputs, ()), "output 'y' is gone"),
        (Signature(TABLE.inputs, (Field("y", "string"),)), "was float, is string"),
        (Signature(TABLE.inputs, (Field("y", "float", nullable=True),)), "may now be missing"),
        (None, "gone"),
    ],
)
def test_breaking_changes_are_told(new: Signature | None, says: str) -> None:
    assert any(says in reason for reason in breaking_changes(TABLE, new))


@pytest.mark.parametrize(
    "new",
    [
        Signature((*TABLE.inputs, Field("x", "float", nullable=True)), TABLE.outputs),
        Signature((Field("age", "float"), *TABLE.inputs[1:]), TABLE.outputs),
        Signature(TABLE.inputs, (Field("y", "int"),)),
        Signature(TABLE.inputs[:2], TABLE.outputs),
        Signature(TABLE.inputs, (*TABLE.outputs, Field("z", "float"))),
    ],
)
def test_widening_breaks_nobody(new: Signature) -> None:
    assert breaking_changes(TABLE, new) == []


def test_tensor_shapes_count() -> None:
    wider = Signature((Field("input-0", "float", "float32", (-1, 4)),), TENSOR.outputs)
    assert "had shape (-1, 3), has (-1, 4)" in breaking_changes(TENSOR, wider)[0]
    free = Signature((Field("input-0", "float", "float32", (-1, -1)),), TENSOR.outputs)
    assert breaking_changes(TENSOR, free) == []
    assert breaking_changes(free, TENSOR) != []


@pytest.mark.parametrize(
    "given",
    [
        TABLE.inputs,
        (*TABLE.inputs, Field("extra", "string")),
        tuple(reversed(TABLE.inputs)),
        (Field("age", "bool"), Field("income", "int"), Field("land", "category")),
        (Field("age", "int"), Field("land", "string")),
        (Field("age", "object"), Field("land", "object")),
        (Field("input-0", "object", "object", (5, 3)),),
    ],
)
def test_input_that_fits_a_table(given: tuple[Field, ...]) -> None:
    check_input(TABLE, given, "fraud:1")


def test_every_fault_is_in_one_error() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_input(TABLE, (Field("age", "string"), Field("income", "float")), "fraud:1")
    assert caught.value.details["faults"] == ["column 'age' is string, not int", "column 'land' is missing"]
    assert "age: int" in caught.value.hint


def test_missing_values_need_a_nullable_column() -> None:
    with pytest.raises(InvalidRequest, match="has missing values"):
        check_input(TABLE, (Field("age", "int", nullable=True), Field("land", "string")), "fraud:1")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((Field("input-0", "float", "float64", (7, 4)),), "shape"),
        ((Field("a", "float"), Field("b", "float")), "2 columns, not 3"),
        ((Field("input-0", "string", "str", (7, 3)),), "is string, not float"),
    ],
)
def test_input_that_does_not_fit_a_tensor(given: tuple[Field, ...], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        check_input(TENSOR, given, "fraud:1")


def test_a_frame_of_the_right_width_fits_a_tensor() -> None:
    check_input(TENSOR, tuple(Field(n, "float") for n in "abc"), "fraud:1")
    check_input(TENSOR, (Field("input-0", "int", "int64", (2, 3)),), "fraud:1")

"""Whatever fits a layout reads back the same from every form of every protocol."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings

from chopmark.gateway.protocols import open_inference
from tests.gateway.protocols import forms
from tests.gateway.protocols.forms import FORMS, LIMITS, Case, Sent, cases, cells, expected, matrices


def read(case: Case, sent: Sent) -> None:
    asked = sent.protocol.read(sent.body, sent.headers, case.layout, LIMITS)
    assert asked.rows == len(case.rows)
    assert cells(asked.inputs, case.layout) == expected(case)
    if case.layout.kind == "matrix":
        assert asked.inputs.dtype == np.dtype(case.layout.dtype)
        assert asked.inputs.flags.writeable


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@settings(max_examples=40)
@given(case=cases())
def test_rows_read_back_the_same(form: Callable[[Case], Sent], case: Case) -> None:
    if form in forms.DELIMITED:
        assume(_fits_csv(case))
    if form in (forms.tensors, forms.tensors_nested):
        assume(_fits_tensors(case))
    read(case, form(case))


@given(case=cases())
def test_one_row_reads_back_the_same(case: Case) -> None:
    read(Case(case.layout, case.rows[:1]), forms.one_row(case))


@given(case=matrices())
def test_a_matrix_reads_back_the_same_from_one_tensor(case: Case) -> None:
    read(case, forms.one_tensor(case))
    assert open_inference.read(*forms.one_tensor(case)[1:], case.layout, LIMITS).id == "7"
    read(case, forms.one_tensor_binary(case))


@given(case=cases())
def test_columns_read_back_the_same_from_bytes(case: Case) -> None:
    assume(_fits_tensors(case))
    floats = {i for i, field in enumerate(case.layout.inputs) if field.type == "float"}
    assume(all(value is not None or i in floats for row in case.rows for i, value in enumerate(row)))
    read(case, forms.tensors_binary(case))


def _fits_tensors(case: Case) -> bool:
    """A tensor has one element type, and bytes in JSON are texts."""
    return not any(
        (field.type in ("category", "object") and not isinstance(value, (str, type(None))))
        or (field.type == "bytes" and value is not None and not value.isascii())
        for row in case.rows
        for field, value in zip(case.layout.inputs, row, strict=True)
    )


def _fits_csv(case: Case) -> bool:
    """CSV has texts only, and its empty text is a missing one where one may be missing."""
    return not any(
        (field.type in ("category", "object") and not isinstance(value, (str, type(None))))
        or (field.nullable and field.type in ("string", "category", "object", "bytes") and value in ("", b""))
        or (isinstance(value, str) and "\0" in value)
        for row in case.rows
        for field, value in zip(case.layout.inputs, row, strict=True)
    )

"""Signatures inferred from examples, and the fields of data that a signature is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chopmark.domain.signature import Field, FieldType, Signature
from chopmark.errors import InvalidRequest
from chopmark.formats.columns import Column, array_column, columns_of, element_name, is_table, object_column
from chopmark.formats.libraries import derives_from

__all__ = ["fields_of", "infer_signature", "predict_signature"]

EXAMPLE_ROWS = 100

_ELEMENTS: dict[str, FieldType] = {
    "b": "bool",
    "i": "int",
    "u": "int",
    "f": "float",
    "U": "string",
    "S": "bytes",
    "M": "datetime",
}


def infer_signature(inputs: Any, outputs: Any = None) -> Signature:
    """The signature that an example of inputs, and of outputs, shows.

    Parameters
    ----------
    inputs, outputs
        Anything that `fields_of` takes. A column or tensor is nullable when the example has a
        missing value in it, so an example should have one wherever the model accepts one.
    """
    return Signature(fields_of(inputs), () if outputs is None else fields_of(outputs, prefix="output"))


def predict_signature(model: Any, inputs: Any) -> Signature:
    """The signature of inputs and of what ``model.predict`` gives for the first 100 rows.

    Calls the model. One without ``predict`` gets a signature of its inputs alone.

    Raises
    ------
    InvalidRequest
        When the model refuses the example.
    """
    predict = getattr(model, "predict", None)
    if not callable(predict):
        return infer_signature(inputs)
    try:
        outputs = predict(_first_rows(inputs))
    except Exception as error:
        raise InvalidRequest(
            f"The model cannot predict the example: {type(error).__name__}: {error}.",
            hint="Pass an example such as predict takes, or a signature.",
        ) from error
    return infer_signature(inputs, outputs)


def fields_of(data: Any, prefix: str = "input") -> tuple[Field, ...]:
    """Fields of data: one per column of a table, one per tensor otherwise.

    Parameters
    ----------
    data
        A data frame (pandas, polars), Arrow table, record array, list of dicts, single dict of
        values: columns, named as there. A dict of arrays: columns when all have one dimension,
        else tensors, named as there. An array, sparse matrix, torch tensor, list of rows, pandas or
        polars series: one tensor ``input-0`` whose first dimension is -1.
    prefix
        Of the names of tensors without one.

    Raises
    ------
    InvalidRequest
        When it is none of these.
    """
    if is_table(data):
        return tuple(_field(c) for c in columns_of(data))
    if isinstance(data, Mapping) and data:
        return _fields_of_dict(data)
    if derives_from(data, "pandas", "Series") or derives_from(data, "polars", "Series"):
        (column,) = columns_of(data.to_frame())
        name = f"{prefix}-0" if data.name in (None, "") else str(data.name)
        return (Field(name, column.type, column.dtype, (-1,), column.missing_count > 0),)
    if isinstance(data, tuple) and not all(isinstance(v, (int, float, str, bool)) for v in data):
        return tuple(_tensor(f"{prefix}-{i}", v) for i, v in enumerate(data))
    return (_tensor(f"{prefix}-0", data),)


def _field(column: Column) -> Field:
    return Field(column.name, column.type, column.dtype, (), column.missing_count > 0)


def _fields_of_dict(data: Mapping[Any, Any]) -> tuple[Field, ...]:
    if not any(hasattr(v, "shape") or isinstance(v, (list, tuple)) for v in data.values()):
        return tuple(_field(object_column(str(k), [v])) for k, v in data.items())
    arrays = {str(k): _array(v) for k, v in data.items()}
    if all(len(a.shape) == 1 for a in arrays.values()):
        return tuple(_field(array_column(k, a)) for k, a in arrays.items())
    return tuple(_tensor(k, a) for k, a in arrays.items())


def _tensor(name: str, data: Any) -> Field:
    array = _array(data)
    shape = (-1, *array.shape[1:]) if array.shape else ()
    if derives_from(array, "scipy"):
        return Field(name, _ELEMENTS.get(array.dtype.kind, "object"), array.dtype.name, shape)
    flat = array_column(name, array.reshape(-1))
    return Field(name, flat.type, element_name(array.dtype), shape, flat.missing_count > 0)


def _array(data: Any) -> Any:
    """As a numpy array, or a sparse matrix as it is."""
    if derives_from(data, "scipy") and hasattr(data, "tocsr"):
        return data
    if derives_from(data, "torch", "Tensor"):
        data = data.detach().cpu().numpy()
    if not hasattr(data, "__array__") and not isinstance(data, (list, tuple, int, float, bool, str)):
        raise InvalidRequest(
            f"No signature can be taken of a {type(data).__qualname__}.",
            hint="Pass a data frame, an array, a dict of arrays or a list of rows.",
        )
    import numpy as np

    try:
        array = np.asarray(data)
    except ValueError as error:
        raise InvalidRequest(f"The rows of the example have different lengths: {error}.") from error
    return array


def _first_rows(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {k: _first_rows(v) for k, v in data.items()}
    if hasattr(data, "iloc"):
        return data.iloc[:EXAMPLE_ROWS]
    if isinstance(data, (list, tuple)) or hasattr(data, "shape"):
        return data[:EXAMPLE_ROWS]
    return data

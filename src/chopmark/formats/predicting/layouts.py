"""What a model takes: by its signature, else by what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field, Signature
from chopmark.errors import Unsupported
from chopmark.formats.predicting.introspection import Introspection
from chopmark.formats.signatures import fields_of

__all__ = ["OUTPUT", "as_matrix", "element_dtype", "layout_of", "output_fields", "signature_needed"]

OUTPUT = "output-0"
_NUMBERS = ("bool", "int", "float")
_MATRIX_DIMENSIONS = 2


def layout_of(signature: Signature | None, seen: Introspection) -> Layout:
    """The inputs of a model that is asked with arrays or frames.

    Raises
    ------
    Unsupported
        When neither the signature nor the model says what it takes.
    """
    if signature is not None and signature.inputs:
        return _of_fields(signature.inputs, seen)
    if seen.width is None:
        raise signature_needed()
    names = seen.names or [f"x{i}" for i in range(seen.width)]
    if not seen.categories:
        return matrix(names, "float64")
    return Layout(kind="table", inputs=tuple(_column(name, seen.categories) for name in names))


def signature_needed() -> Unsupported:
    """The refusal of a model of which nobody knows what it takes."""
    return Unsupported(
        "Neither the model nor a signature says what it takes.",
        hint="Register it with an example of its inputs: reg.register(name, model, example=rows).",
    )


def matrix(names: Sequence[str], dtype: str, *, nullable: bool = False) -> Layout:
    """Columns of one type."""
    kind = np.dtype(dtype).kind
    field_type = {"b": "bool", "i": "int", "u": "int"}.get(kind, "float")
    fields = tuple(Field(n, field_type, dtype, nullable=nullable) for n in names)  # type: ignore[arg-type]
    return Layout(kind="matrix", inputs=fields, dtype=dtype)


def as_matrix(layout: Layout) -> Layout | None:
    """A table of numbers as a matrix; None when it has anything else."""
    if layout.kind == "matrix":
        return layout
    if layout.kind != "table" or any(f.type not in _NUMBERS for f in layout.inputs):
        return None
    return Layout(kind="matrix", inputs=layout.inputs, dtype=_common_dtype(layout.inputs))


def output_fields(answer: Any, names: Sequence[str]) -> tuple[Field, ...]:
    """Fields of an answer that was seen, under the names that it has or is to have."""
    fields = fields_of(dict(answer)) if isinstance(answer, Mapping) else fields_of(answer, prefix="output")
    if len(names) != len(fields):
        return fields
    return tuple(Field(n, f.type, f.dtype, f.shape, f.nullable) for n, f in zip(names, fields, strict=True))


def _of_fields(fields: tuple[Field, ...], seen: Introspection) -> Layout:
    if not any(f.shape for f in fields):
        return _of_columns(fields, seen)
    first = fields[0]
    if len(fields) > 1 or len(first.shape) != _MATRIX_DIMENSIONS or first.type not in _NUMBERS:
        return Layout(kind="tensors", inputs=fields)
    width = first.shape[1] if first.shape[1] >= 0 else seen.width
    if width is None:
        return Layout(kind="tensors", inputs=fields)
    names = seen.names if len(seen.names) == width else [f"x{i}" for i in range(width)]
    return matrix(names, element_dtype(first), nullable=first.nullable)


def _of_columns(fields: tuple[Field, ...], seen: Introspection) -> Layout:
    is_plain = all(f.type in _NUMBERS for f in fields)
    one_type = len({element_dtype(f) for f in fields}) == 1
    if not is_plain or (seen.names and not one_type) or seen.categories:
        return Layout(kind="table", inputs=fields)
    return Layout(kind="matrix", inputs=fields, dtype=_common_dtype(fields))


def _common_dtype(fields: Sequence[Field]) -> str:
    dtypes = {element_dtype(f) for f in fields}
    return dtypes.pop() if len(dtypes) == 1 else "float64"


def element_dtype(field: Field) -> str:
    """Of an array of the field's values; a number that may be missing is a floating-point one."""
    if field.type == "float":
        return field.dtype if field.dtype in ("float32", "float16") else "float64"
    if field.nullable:
        return "float64"
    if field.type == "bool":
        return "bool"
    try:
        dtype = np.dtype(field.dtype or "int64")
    except TypeError:
        return "int64"
    return dtype.name if dtype.kind in "iu" else "int64"


def _column(name: str, categories: Mapping[str, Any]) -> Field:
    known = categories.get(name)
    if known is None:
        return Field(name, "float", "float64")
    values = np.asarray(known)
    if values.dtype.kind in "iuf":
        return Field(name, "float", "float64")
    return Field(name, "bool", "bool") if values.dtype.kind == "b" else Field(name, "string", "object")

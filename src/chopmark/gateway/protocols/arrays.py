"""The inputs that a layout asks for, made of what clients send: rows, records, columns or tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest
from chopmark.gateway.protocols.elements import Element, array_of, beyond, element_of, finite_numbers, objects_of
from chopmark.gateway.protocols.nested import flattened, shape_of
from chopmark.gateway.protocols.tensors import Tensor, widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs, Layout

__all__ = ["Plan"]

_NAMES_SHOWN_MAX = 10
_MATRIX_TYPES = {
    "f": frozenset({float, int, bool, NoneType}),
    "i": frozenset({int, bool}),
    "u": frozenset({int, bool}),
    "b": frozenset({bool}),
}


class Plan:
    """How the inputs of one layout are made.

    Parameters
    ----------
    layout
        What the predictor takes.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.names = tuple(field.name for field in layout.inputs)
        self.width = len(self.names)
        self.output_names = frozenset(field.name for field in (*layout.outputs, *layout.more))
        self._known = frozenset(self.names)
        self._elements = tuple(
            element_of(field, "tensor" if layout.kind == "tensors" else "column") for field in layout.inputs
        )
        self._by_name = dict(zip(self.names, self._elements, strict=True))
        self._whole = tuple(i for i, field in enumerate(layout.inputs) if field.type in ("int", "bool"))
        self._flags = tuple(i for i, field in enumerate(layout.inputs) if field.type == "bool")
        self._required = np.array([not field.nullable for field in layout.inputs], dtype=bool)
        self._taken = itemgetter(*self.names) if self.width > 1 else None
        dtype = np.dtype(layout.dtype or "float64")
        self._is_numbers = layout.kind == "matrix" and dtype.kind in "biuf"
        self._whole = self._whole if dtype.kind == "f" else ()
        # What may be missing is looked at a column at a time, once the matrix stands.
        number = {"b": "bool", "f": "float"}.get(dtype.kind, "int")
        self._header = list(self.names)
        self._matrix = Element("matrix", number, dtype, dtype.kind == "f", True)  # type: ignore[arg-type]  # noqa: FBT003

        # A column of a matrix of numbers, by its own name and the matrix's elements.
        self._columns = [self._matrix._replace(label=e.label, nullable=e.nullable) for e in self._elements]

    def of_rows(self, rows: list[Any], elements_max: int) -> Inputs:
        """Inputs of rows: lists of values in the order of the columns, mappings by name, or for one column its values.

        Raises
        ------
        InvalidRequest
            When they do not fit.
        """
        self._check_count(len(rows), elements_max)
        kinds = set(map(type, rows))
        if kinds == {dict}:
            return self._of_records(rows)
        if self.layout.kind == "tensors":
            return self._of_only_tensor(rows)
        if kinds == {list}:
            return self._of_lists(rows)
        if self.width == 1 and not kinds & {list, dict}:
            return self._of_lists([[value] for value in rows])
        msg = "The rows are neither all lists nor all mappings."
        raise InvalidRequest(msg, hint=f"Write each row as {self._row_words()}.")

    def of_columns(self, columns: Mapping[str, Any], elements_max: int) -> Inputs:
        """Inputs of lists by the names of columns or tensors; others are left aside."""
        lengths = {
            len(columns[name]) if type(columns.get(name)) is list else -1 for name in self.names if name in columns
        }
        if -1 in lengths:
            name = next(name for name in self.names if name in columns and type(columns[name]) is not list)
            raise InvalidRequest(
                f"The values of {shown(name)} are no list.", hint="Each column is a list, a value a row."
            )
        if not lengths:
            raise InvalidRequest(f"None of the columns is one of {self._names_words()}.")
        if len(lengths) > 1:
            raise InvalidRequest(f"The columns have different numbers of rows: {', '.join(map(str, sorted(lengths)))}.")
        rows = lengths.pop()
        self._check_count(rows, elements_max)
        self._check_missing(columns)
        if self.layout.kind == "tensors":
            return {name: self._tensor(i, columns.get(name) or [None] * rows) for i, name in enumerate(self.names)}
        lists = [columns.get(name) or [None] * rows for name in self.names]
        return self._of_lists([list(row) for row in zip(*lists, strict=True)])

    def of_table(self, names: Sequence[str | int], rows: list[Any], elements_max: int) -> Inputs:
        """Inputs of rows in the order of a header; columns that are not asked for are left aside.

        A header of the numbers 0, 1, 2 … names nothing: its columns are taken by position.
        """
        self._check_count(len(rows), elements_max)
        if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(names)}:
            msg = f"The rows do not all have {len(names)} values, as there are columns."
            raise InvalidRequest(msg)
        if names == self._header and self.layout.kind != "tensors":
            return self._of_lists(rows)
        header = list(map(str, names))
        if len(set(header)) != len(header):
            raise InvalidRequest("Two columns have one name.", hint="Give each column its own name.")
        is_unnamed = header == list(map(str, range(len(header)))) and not self._known & set(header)
        if self.layout.kind == "tensors":
            if not self._known & set(header):
                return self._of_only_tensor(rows)
            return self._of_records([dict(zip(header, row, strict=True)) for row in rows])
        if is_unnamed:
            return self._of_lists(rows)
        places = {name: place for place, name in enumerate(header)}
        self._check_missing(places)
        wanted = [places.get(name, -1) for name in self.names]
        return self._of_lists([[row[at] if at >= 0 else None for at in wanted] for row in rows])

    def of_tensors(self, tensors: Sequence[Tensor], elements_max: int) -> Inputs:
        """Inputs of tensors.

        One tensor under any name stands for a matrix, for all columns of a table, or for the only tensor; otherwise each is a
        column or tensor by its name.

        Raises
        ------
        InvalidRequest
            When one is missing, unknown, of another shape or element type, or when their rows differ in number.
        """
        if self.layout.kind == "tensors":
            return self._tensors_by_name(tensors)
        if len(tensors) == 1 and (self.width == 1 or tensors[0].name not in self._known):
            return self._split(tensors[0])
        columns = self._by_names(tensors)
        rows = tensors[0].shape[0]
        self._check_count(rows, elements_max)
        if not self._is_numbers:
            return self._assembled(
                [
                    widened(_as_column(columns[e_name]), element) if e_name in columns else _missing(element, rows)
                    for e_name, element in self._by_name.items()
                ]
            )
        matrix = np.empty((rows, self.width), self._matrix.dtype)
        for i, name in enumerate(self.names):
            matrix[:, i] = np.nan if name not in columns else widened(_as_column(columns[name]), self._columns[i])
        return self._checked(matrix)

    def check_outputs(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Names of outputs that were asked for.

        Raises
        ------
        InvalidRequest
            When the model does not give one, or one is asked for twice.
        """
        for name in wanted:
            if name not in self.output_names:
                given = ", ".join(field.name for field in (*self.layout.outputs, *self.layout.more))
                raise InvalidRequest(f"The model has no output {shown(name)}.", hint=f"It gives {given}.")
        if len(set(wanted)) != len(wanted):
            raise InvalidRequest("An output is asked for twice.", hint="Name each once.")
        return tuple(wanted)

    def _of_lists(self, rows: list[list[Any]]) -> Inputs:
        if set(map(len, rows)) != {self.width}:
            at = next(i for i, row in enumerate(rows) if len(row) != self.width)
            msg = f"Row {at + 1:,} has {len(rows[at]):,} values; the model takes {self.width:,}."
            raise InvalidRequest(msg, hint=f"It takes {self._names_words()}.")
        if self._is_numbers:
            return self._of_numbers(list(chain.from_iterable(rows)))
        columns = [
            array_of(element, values) for element, values in zip(self._elements, zip(*rows, strict=True), strict=True)
        ]
        return self._assembled(columns)

    def _of_records(self, rows: list[dict[str, Any]]) -> Inputs:
        if self.layout.kind == "tensors":
            self._check_missing(rows[0])
            return {name: self._tensor(i, [row.get(name) for row in rows]) for i, name in enumerate(self.names)}
        if self._taken is not None and self._is_numbers:
            try:
                return self._of_numbers(list(chain.from_iterable(map(self._taken, rows))))
            except KeyError:  # a value is missing: told below which, where it must not be
                pass
        for row in rows:
            self._check_missing(row)
        return self._of_lists([[row.get(name) for name in self.names] for row in rows])

    def _of_numbers(self, flat: list[Any]) -> NDArray[Any]:
        types = set(map(type, flat))
        dtype = self._matrix.dtype
        if not types <= _MATRIX_TYPES[dtype.kind]:
            self._explain(flat)
        has_missing = NoneType in types
        try:
            array, is_finite = finite_numbers(flat, dtype, has_missing=has_missing)
        except OverflowError as error:
            raise beyond("request", dtype) from error
        matrix = array.reshape(-1, self.width)
        if is_finite and not self._whole:
            return matrix
        return self._checked(matrix)

    def _explain(self, flat: list[Any]) -> None:
        """Raise what is wrong with the first column that has a wrong value."""
        for i in range(self.width):
            array_of(self._columns[i], flat[i :: self.width])

    def _checked(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Refuse missing values, infinities, and fractions where the columns do not have them."""
        if matrix.dtype.kind != "f":
            return matrix
        if not np.isfinite(matrix).all():
            missing = np.isnan(matrix).any(axis=0) & self._required
            if missing.any():
                label = self._elements[int(missing.argmax())].label
                raise InvalidRequest(f"The {label} has no value, or NaN; it must have a value.")
            infinite = np.isinf(matrix).any(axis=0)
            if infinite.any():
                label = self._elements[int(infinite.argmax())].label
                raise InvalidRequest(f"The {label} holds an infinity, which is no value of a column.")
        if self._whole:
            self._check_whole(matrix)
        return matrix

    def _check_whole(self, matrix: NDArray[Any]) -> None:
        whole = matrix[:, self._whole]
        broken = (whole != np.rint(whole)) & ~np.isnan(whole)
        if broken.any():
            label = self._elements[self._whole[int(broken.any(axis=0).argmax())]].label
            raise InvalidRequest(f"The {label} takes whole numbers, and has another.")
        flags = matrix[:, self._flags]
        odd = (flags != 0) & (flags != 1) & ~np.isnan(flags)
        if odd.any():
            label = self._elements[self._flags[int(odd.any(axis=0).argmax())]].label
            raise InvalidRequest(f"The {label} takes 0 and 1, or false and true, and has something else.")

    def _assembled(self, columns: list[NDArray[Any]]) -> Inputs:
        if self.layout.kind == "table":
            return dict(zip(self.names, columns, strict=True))
        matrix = np.empty((len(columns[0]), self.width), dtype=object)
        for i, column in enumerate(columns):
            matrix[:, i] = column.tolist() if column.dtype.kind != "M" else objects_of(list(column))
        return matrix

    def _of_only_tensor(self, rows: list[Any]) -> Inputs:
        if self.width != 1:
            msg = f"The model takes {self.width:,} tensors, and the rows are no mappings that name them."
            raise InvalidRequest(msg, hint=f"It takes {self._names_words()}.")
        return {self.names[0]: self._tensor(0, rows)}

    def _tensor(self, i: int, values: list[Any]) -> NDArray[Any]:
        element = self._elements[i]
        shape = shape_of(values, element.label) if element.type != "object" else (len(values),)
        array = array_of(element, flattened(values, shape, element.label)).reshape(shape)
        return self._of_shape(i, array)

    def _tensors_by_name(self, tensors: Sequence[Tensor]) -> Inputs:
        if len(tensors) == 1 and self.width == 1:
            return {self.names[0]: self._of_shape(0, widened(tensors[0], self._elements[0]))}
        given = self._by_names(tensors)
        absent = next((name for name in self.names if name not in given), None)
        if absent is not None:
            raise InvalidRequest(f"The tensor {shown(absent)} is missing.", hint=f"It takes {self._names_words()}.")
        return {name: self._of_shape(i, widened(given[name], self._elements[i])) for i, name in enumerate(self.names)}

    def _of_shape(self, i: int, array: NDArray[Any]) -> NDArray[Any]:
        field = self.layout.inputs[i]
        wanted = field.shape[1:] if field.shape else ()
        if not wanted and array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004 - a column
            return array.reshape(-1)
        given = array.shape[1:]
        if len(given) != len(wanted) or any(w not in (-1, g) for w, g in zip(wanted, given, strict=True)):
            msg = f"The tensor {shown(field.name)} has the shape {list(array.shape)}; the model takes {[-1, *wanted]}."
            raise InvalidRequest(msg, hint="The first dimension is the rows.")
        return array

    def _split(self, tensor: Tensor) -> Inputs:
        """All columns from one tensor."""
        if len(tensor.shape) == 1 and self.width == 1:
            tensor = tensor._replace(array=tensor.array.reshape(-1, 1), shape=(tensor.shape[0], 1))
        if len(tensor.shape) != 2 or tensor.shape[1] != self.width:  # noqa: PLR2004
            msg = f"The {tensor.label} has the shape {list(tensor.shape[:8])}; the model takes {[-1, self.width]}."
            raise InvalidRequest(msg, hint=f"Its columns are {self._names_words()}.")
        if self._is_numbers:
            matrix = widened(tensor, self._matrix)
            return matrix if tensor.is_finite and not self._whole else self._checked(matrix)
        columns = [
            widened(tensor._replace(array=tensor.array[:, i], shape=tensor.shape[:1]), element)
            for i, element in enumerate(self._elements)
        ]
        return self._assembled(columns)

    def _by_names(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        given = {tensor.name: tensor for tensor in tensors}
        if len(given) != len(tensors):
            raise InvalidRequest("Two tensors have one name.", hint="Give each tensor its own name.")
        extra = next((name for name in given if name not in self._known), None)
        if extra is not None:
            msg = f"The model takes no tensor {shown(extra)}."
            raise InvalidRequest(msg, hint=f"It takes {self._names_words()}.")
        self._check_missing(given)
        rows = {tensor.shape[0] for tensor in tensors}
        if len(rows) > 1:
            raise InvalidRequest(f"The tensors have different numbers of rows: {', '.join(map(str, sorted(rows)))}.")
        return given

    def _check_missing(self, given: Mapping[str, Any]) -> None:
        if self._known <= given.keys():
            return
        absent = [e.label for name, e in self._by_name.items() if name not in given and not e.nullable]
        if absent:
            msg = f"The {', the '.join(absent[:_NAMES_SHOWN_MAX])} {'is' if len(absent) == 1 else 'are'} missing."
            raise InvalidRequest(msg, hint=f"The model takes {self._names_words()}.")

    def _check_count(self, rows: int, elements_max: int) -> None:
        if rows == 0:
            raise InvalidRequest("There is no row.", hint="Send at least one.")
        if rows * self.width > elements_max:
            msg = f"{rows:,} rows of {self.width:,} columns are more than {elements_max:,} elements."
            raise InvalidRequest(msg, hint="Send fewer rows at a time.")

    def _names_words(self) -> str:
        more = f" and {self.width - _NAMES_SHOWN_MAX} more" if self.width > _NAMES_SHOWN_MAX else ""
        return ", ".join(map(str, self.names[:_NAMES_SHOWN_MAX])) + more

    def _row_words(self) -> str:
        return f'{{"{self.names[0]}": …}}' if self.width == 1 else f'{{"{self.names[0]}": …, "{self.names[1]}": …}}'


def _as_column(tensor: Tensor) -> Tensor:
    if len(tensor.shape) == 1:
        return tensor
    if len(tensor.shape) == 2 and tensor.shape[1] == 1:  # noqa: PLR2004
        return tensor._replace(array=tensor.array.reshape(-1), shape=tensor.shape[:1])
    msg = f"The {tensor.label} has the shape {list(tensor.shape[:8])}; a column has [-1] or [-1, 1]."
    raise InvalidRequest(msg)


def _missing(element: Element, rows: int) -> NDArray[Any]:
    return array_of(element, [None] * rows)

"""ONNX graphs, run by ONNX Runtime on what their inputs declare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field, FieldType, Signature
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats.predicting.sampling import sample_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["OnnxGraph"]

_ELEMENTS: dict[str, tuple[FieldType, str]] = {
    "float": ("float", "float32"),
    "double": ("float", "float64"),
    "float16": ("float", "float16"),
    "int8": ("int", "int8"),
    "int16": ("int", "int16"),
    "int32": ("int", "int32"),
    "int64": ("int", "int64"),
    "uint8": ("int", "uint8"),
    "uint16": ("int", "uint16"),
    "uint32": ("int", "uint32"),
    "uint64": ("int", "uint64"),
    "bool": ("bool", "bool"),
    "string": ("string", "object"),
}
_MATRIX_DIMENSIONS = 2


class OnnxGraph:
    """A graph.

    Parameters
    ----------
    session
        An ``onnxruntime.InferenceSession``.
    signature
        Of the version; names the columns of a graph with one input, whose own name is that of the whole.
    """

    words = "onnxruntime"

    def __init__(self, session: Any, signature: Signature | None) -> None:
        self._session = session
        inputs = session.get_inputs()
        fields = tuple(_field(i) for i in inputs)
        self._names = tuple(i.name for i in inputs)
        self._dtypes = tuple(f.dtype for f in fields)
        self._maps = {o.name for o in session.get_outputs() if o.type.startswith("seq(map")}
        self._rows_fixed = next((i.shape[0] for i in inputs if i.shape and isinstance(i.shape[0], int)), 0)
        outputs = tuple(_output(o) for o in session.get_outputs())
        self._outputs = tuple(f.name for f in outputs)
        columns = _columns(fields, signature)
        self._columned = False
        if columns is not None:
            layout = Layout(kind="matrix", inputs=columns, dtype=fields[0].dtype)
        elif len(fields) > 1 and all(f.shape == (-1, 1) for f in fields):
            # One input of one column for each column of a table.
            self._columned = True
            plain = tuple(Field(f.name, f.type, f.dtype, nullable=f.type in ("float", "string")) for f in fields)
            layout = Layout(kind="table", inputs=plain)
        else:
            layout = Layout(kind="tensors", inputs=fields)
        self.layout = Layout(kind=layout.kind, inputs=layout.inputs, dtype=layout.dtype, outputs=outputs)

    def sample(self, rows: int) -> Inputs:
        """Inputs that fit, the same each time."""
        return sample_of(self.layout, rows)

    def predict(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:
        """Answers for all rows; see `chopmark.abc.predicting.Predictor`."""
        wanted = tuple(outputs) or self._outputs
        unknown = next((name for name in wanted if name not in self._outputs), None)
        if unknown is not None:
            raise InvalidRequest(f"The graph has no output {unknown!r}.", hint=f"It has {', '.join(self._outputs)}.")
        feed = self._feed(inputs)
        if self._rows_fixed:
            return self._piecewise(feed, wanted)
        return self._run(feed, wanted)

    def close(self) -> None:
        """Let go of the session."""
        self._session = None

    def _feed(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        if isinstance(inputs, np.ndarray):
            return {self._names[0]: np.ascontiguousarray(inputs, self._dtypes[0])}
        feed = {}
        for name, dtype in zip(self._names, self._dtypes, strict=True):
            array = inputs[name]
            shaped = array.reshape(-1, 1) if self._columned else array
            feed[name] = _texts(shaped) if dtype == "object" else np.ascontiguousarray(shaped, dtype)
        return feed

    def _run(self, feed: dict[str, NDArray[Any]], wanted: tuple[str, ...]) -> Outputs:
        answers = self._session.run(wanted, feed)
        return {
            name: _of_maps(answer) if name in self._maps else np.asarray(answer)
            for name, answer in zip(wanted, answers, strict=True)
        }

    def _piecewise(self, feed: dict[str, NDArray[Any]], wanted: tuple[str, ...]) -> Outputs:
        """A graph of a fixed number of rows, asked as often as it takes; the last piece is filled up."""
        step = self._rows_fixed
        rows = len(next(iter(feed.values())))
        pieces = []
        for start in range(0, rows, step):
            piece = {name: array[start : start + step] for name, array in feed.items()}
            missing = step - len(next(iter(piece.values())))
            if missing:
                piece = {n: np.concatenate([a, np.repeat(a[-1:], missing, axis=0)]) for n, a in piece.items()}
            answer = self._run(piece, wanted)
            pieces.append({n: a[: step - missing] for n, a in answer.items()})
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in wanted}


def _field(declared: Any) -> Field:
    kind, dtype = _element(declared.type)
    shape = tuple(n if isinstance(n, int) and n >= 0 else -1 for n in declared.shape)
    return Field(declared.name, kind, dtype, (-1, *shape[1:]))


def _output(declared: Any) -> Field:
    if declared.type.startswith("seq(map"):
        return Field(declared.name, "float", "float32", (-1, -1))
    return _field(declared)


def _element(text: str) -> tuple[FieldType, str]:
    name = text.removeprefix("tensor(").removesuffix(")")
    if name not in _ELEMENTS:
        raise Unsupported(f"The graph declares {text}, which is not served.")
    return _ELEMENTS[name]


def _columns(fields: tuple[Field, ...], signature: Signature | None) -> tuple[Field, ...] | None:
    """Columns of a graph whose only input is a matrix of numbers; None when it is something else."""
    if len(fields) != 1 or len(fields[0].shape) != _MATRIX_DIMENSIONS or fields[0].type not in ("float", "int", "bool"):
        return None
    (field,) = fields
    said = signature.inputs if signature is not None and not any(f.shape for f in signature.inputs) else ()
    width = field.shape[1]
    if width < 0 and said:
        width = len(said)
    if width < 0 and signature is not None and len(signature.inputs) == 1 and len(signature.inputs[0].shape) > 1:
        width = signature.inputs[0].shape[1]
    if width < 0:
        return None
    names = [f.name for f in said] if len(said) == width else [f"x{i}" for i in range(width)]
    nullable = field.type == "float"
    return tuple(Field(name, field.type, field.dtype, nullable=nullable) for name in names)


def _texts(array: NDArray[Any]) -> NDArray[Any]:
    """Strings as the runtime takes them; what is missing is the empty one, as it has no other."""
    if array.dtype.kind != "O":
        return array.astype(object)
    texts = array.copy()
    texts[texts == None] = ""  # noqa: E711 - each element is compared
    return texts


def _of_maps(answer: list[dict[Any, float]]) -> NDArray[Any]:
    """Maps from class to probability, as a graph of a classifier may give them: columns in the order of the classes."""
    return np.asarray([list(row.values()) for row in answer], np.float32)

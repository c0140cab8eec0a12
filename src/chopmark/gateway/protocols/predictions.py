"""Answers of the plain protocols: ``{"predictions": …}``, and who predicted.

``predictions`` is a list, a value a row; of several outputs a mapping of such lists by their names. Whatever JSON cannot hold (NaN,
infinities) is null; bytes are base64, times ISO 8601.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from chopmark.base.jsons import encode
from chopmark.domain.predictions import Prediction
from chopmark.gateway.protocols.asked import Answered, Asked, Identity
from chopmark.gateway.protocols.json_bodies import JSON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["answered_samples", "write"]

_NUMBERS = frozenset("?bhilqBHILQefd")


class Kept(Protocol):
    """A request and its answer that were kept, as `chopmark.gateway.samples` has them, which knows this package."""

    @property
    def at_ms(self) -> int: ...
    @property
    def request_id(self) -> str: ...
    @property
    def inputs(self) -> Inputs: ...
    @property
    def outputs(self) -> Outputs: ...
    @property
    def rows(self) -> int: ...


def write(asked: Asked, outputs: Outputs, identity: Identity) -> Answered:
    """The answer, of one output a list, of several a mapping."""
    if len(outputs) == 1:
        (array,) = outputs.values()
        predictions: Any = _listed(array)
    else:
        predictions = {name: _listed(array) for name, array in outputs.items()}
    return Answered(JSON, (), encode(Prediction(predictions, *identity, asked.id)))


def answered_samples(samples: Iterable[Kept], gone: int) -> Answered:
    """Samples as JSON: rows of a matrix as lists, tables and tensors by their names; and how many had to go."""
    told = [
        {
            "at_ms": each.at_ms,
            "request_id": each.request_id,
            "rows": each.rows,
            "inputs": {name: _listed(array) for name, array in each.inputs.items()}
            if isinstance(each.inputs, dict)
            else _listed(each.inputs),
            "outputs": {name: _listed(array) for name, array in each.outputs.items()},
        }
        for each in samples
    ]
    return Answered(JSON, (), encode({"samples": told, "gone": gone}))


def _listed(array: NDArray[Any]) -> Any:
    if array.dtype.char in _NUMBERS:
        return array.tolist()
    if array.dtype.kind in "fc":
        array = array.astype("float64" if array.dtype.kind == "f" else "object")
    elif array.dtype.kind == "M":
        import numpy as np

        texts = np.datetime_as_string(array).astype(object)
        texts[np.isnat(array)] = None
        return texts.tolist()
    return _plain(array.tolist())


def _plain(value: Any) -> Any:
    """What JSON has in its stead; a text for what has nothing."""
    if isinstance(value, (str, int, float, bytes, type(None))) and type(value).__module__ == "builtins":
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value.isoformat() if isinstance(value, (datetime, date)) else str(value)

"""Models that learn one row at a time (river), asked about one row after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Signature
from chopmark.errors import InvalidRequest
from chopmark.formats.predicting.layouts import OUTPUT, output_fields, signature_needed
from chopmark.formats.predicting.sampling import sample_of

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["OnlineModel", "is_online"]

_ONE = ("predict_one", "score_one", "predict_proba_one")


def is_online(model: Any) -> bool:
    """Whether it is asked about one row at a time."""
    return not callable(getattr(model, "predict", None)) and any(callable(getattr(model, m, None)) for m in _ONE[:2])


class OnlineModel:
    """A model of river. Nothing is learnt of what it is asked.

    Parameters
    ----------
    model
        Has ``predict_one``, or ``score_one`` as detectors of anomalies do.
    signature
        Of the version: such a model does not say what it takes.
    """

    words = "predict_one"

    def __init__(self, model: Any, signature: Signature | None) -> None:
        if signature is None or not signature.inputs or any(f.shape for f in signature.inputs):
            raise signature_needed()
        layout = Layout(kind="table", inputs=signature.inputs)
        self._sample = layout
        scores = callable(getattr(model, "score_one", None))
        if scores:
            self.words = "score_one"
        names = [f.name for f in signature.outputs] or [OUTPUT]
        self._asks: dict[str, Callable[[dict[str, Any]], Any]] = {
            names[0]: model.score_one if scores else model.predict_one
        }
        if callable(getattr(model, "predict_proba_one", None)):
            self._asks["predict_proba"] = _likeliest(model.predict_proba_one)
        sample = self.sample(2)
        seen = {name: output_fields(self._answered(ask, sample), [name])[0] for name, ask in self._asks.items()}
        (first, *more) = seen.values()
        self.layout = Layout(kind="table", inputs=signature.inputs, outputs=(first,), more=tuple(more))

    def sample(self, rows: int) -> Inputs:
        """Inputs that fit, the same each time."""
        return sample_of(self._sample, rows)

    def predict(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:
        """Answers for all rows; see `chopmark.abc.predicting.Predictor`."""
        wanted = outputs or (self.layout.outputs[0].name,)
        unknown = next((name for name in wanted if name not in self._asks), None)
        if unknown is not None:
            raise InvalidRequest(f"The model has no output {unknown!r}.", hint=f"It has {', '.join(self._asks)}.")
        return {name: self._answered(self._asks[name], inputs) for name in wanted}

    def close(self) -> None:
        """Let go of the model."""
        self._asks = {}

    def _answered(self, ask: Callable[[dict[str, Any]], Any], inputs: Inputs) -> Any:
        columns = {name: array.tolist() for name, array in inputs.items()} if isinstance(inputs, dict) else {}
        rows = zip(*columns.values(), strict=True)
        answers = [ask(dict(zip(columns, row, strict=True))) for row in rows]
        array = np.asarray(answers)
        if array.ndim == 1 or not answers:
            return array
        found = np.empty(len(answers), dtype=object)
        found[:] = answers
        return found


def _likeliest(ask: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], float]:
    """The probability of the likeliest class: which classes there are changes from row to row."""

    def probability(row: dict[str, Any]) -> float:
        return max(ask(row).values(), default=float("nan"))

    return probability

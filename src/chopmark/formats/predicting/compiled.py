"""A compiled scorer stands in for a model only when it was seen to agree with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.errors import InvalidRequest
from chopmark.formats.predicting.agreement import agree, trial_rows
from chopmark.formats.predicting.estimators import AskedModel
from chopmark.formats.predicting.isolation_forest import ForestScorer, forest_scorer
from chopmark.formats.predicting.layouts import as_matrix
from chopmark.formats.predicting.linear import LinearScorer, linear_scorer
from chopmark.formats.predicting.sampling import sample_of
from chopmark.formats.predicting.scaling import Step, scaling_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs, Outputs

    Array = NDArray[Any]

__all__ = ["CompiledModel", "compiled"]

Scorer = LinearScorer | ForestScorer


class CompiledModel:
    """A compiled scorer, and the model itself for the rows that it does not judge.

    Parameters
    ----------
    scorer
        Its methods answer None where the model has to be asked: for what is missing or infinite, which each model treats,
        and refuses, in its own way.
    plain
        The model.
    layout
        Of a matrix.
    columns
        Its columns, for a model that takes a table.
    """

    def __init__(self, scorer: Scorer, plain: AskedModel, layout: Layout) -> None:
        self.layout = layout
        self.words = scorer.words
        self._plain = plain
        self._columns = [f.name for f in layout.inputs] if plain.layout.kind == "table" else None
        (output,) = layout.outputs
        self._default = output.name
        self._score = scorer.methods["predict"]
        self._scores: dict[str, Callable[[Array], Array | None]] = {
            output.name: self._score,
            **{f.name: scorer.methods[f.name] for f in layout.more if f.name in scorer.methods},
        }

    def sample(self, rows: int) -> Inputs:
        """Inputs that fit, the same each time."""
        return sample_of(self.layout, rows)

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> Outputs:
        """Answers for all rows; see `chopmark.abc.predicting.Predictor`."""
        if not outputs:
            answer = self._score(inputs)
            return self.asked(inputs, outputs) if answer is None else {self._default: answer}
        found: Outputs = {}
        for name in outputs:
            score = self._scores.get(name)
            answer = None if score is None else score(inputs)
            found[name] = self.asked(inputs, (name,))[name] if answer is None else answer
        return found

    def asked(self, inputs: Array, outputs: Sequence[str] = ()) -> Outputs:
        """Answers of the model itself."""
        if self._columns is None:
            return self._plain.predict(inputs, outputs)
        return self._plain.predict({name: inputs[:, i] for i, name in enumerate(self._columns)}, outputs)

    def close(self) -> None:
        """Let go of the model."""
        self._plain.close()


def compiled(model: Any, plain: AskedModel) -> CompiledModel | None:
    """The model with a compiled scorer; None when there is none for it, or it did not agree."""
    layout = as_matrix(plain.layout)
    if layout is None or len(plain.layout.outputs) != 1:
        return None
    parts = _parts(model)
    if parts is None:
        return None
    steps, last = parts
    scorer: Scorer | None = forest_scorer(last, steps) or linear_scorer(last, steps)
    if scorer is None or not _is_own(model, "predict") or not _is_own(last, "predict"):
        return None
    layout = Layout(
        kind="matrix",
        inputs=layout.inputs,
        dtype=layout.dtype,
        outputs=plain.layout.outputs,
        more=plain.layout.more,
    )
    return _agreed(scorer, plain, layout, model, last)


def _agreed(scorer: Scorer, plain: AskedModel, layout: Layout, model: Any, last: Any) -> CompiledModel | None:
    found = CompiledModel(scorer, plain, layout)
    label = layout.outputs[0].name
    try:
        with np.errstate(all="ignore"):
            rows = trial_rows(model, last, layout, lambda rows: found.asked(rows, (label,))[label])
            if isinstance(scorer, LinearScorer):
                return _agreed_linear(scorer, plain, layout, rows)
            return found if agree(found, rows, exactly=True, alone=0) else None
    except (
        ValueError,
        TypeError,
        IndexError,
        InvalidRequest,
    ):  # what the scorer, or the model, cannot do with such rows
        return None


def _agreed_linear(scorer: LinearScorer, plain: AskedModel, layout: Layout, rows: Array) -> CompiledModel | None:
    if not agree(CompiledModel(scorer, plain, layout), rows, exactly=True):
        scorer.exactly()
        if not agree(CompiledModel(scorer, plain, layout), rows, exactly=True):
            return None
    if any(f.name == "predict_proba" for f in layout.more):
        for how in ("logistic", "exponential"):
            scorer.probabilities(how)
            if agree(CompiledModel(scorer, plain, layout), rows, exactly=False, names=["predict_proba"]):
                break
            del scorer.methods["predict_proba"]
    return CompiledModel(scorer, plain, layout)


def _parts(model: Any) -> tuple[list[Step], Any] | None:
    """Scalers and what comes after them; None for a pipeline with any other step."""
    if type(model).__name__ != "Pipeline" or type(model).__module__ != "sklearn.pipeline":
        return [], model
    steps: list[Step] = []
    *before, (_, last) = model.steps
    for _, scaler in before:
        if scaler is None or scaler == "passthrough":
            continue
        step = scaling_step(scaler)
        if step is None:
            return None
        steps.append(step)
    return steps, last


def _is_own(model: Any, method: str) -> bool:
    """Whether a method is the library's own, and not somebody's who derived from it."""
    module = getattr(getattr(type(model), method, None), "__module__", "")
    own = type(model).__module__.partition(".")[0] == "sklearn"
    return own and str(module).partition(".")[0] == "sklearn" and method not in vars(model)

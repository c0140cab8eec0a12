"""Anything with ``predict``: estimators, pipelines, boosters, detectors, ensembles; and functions of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field, Signature
from chopmark.errors import InvalidRequest
from chopmark.formats.libraries import derives_from
from chopmark.formats.predicting.feeding import Feed, feeds, taken
from chopmark.formats.predicting.introspection import Introspection
from chopmark.formats.predicting.layouts import OUTPUT, layout_of, output_fields
from chopmark.formats.predicting.sampling import sample_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["MORE", "AskedModel", "array_of", "asked_model", "outputs_of"]

MORE = ("predict_proba", "decision_function", "score_samples")
_TRIED_ROWS = 2

Ask = Callable[[Any], Any]


class AskedModel:
    """A model that is asked by its own methods.

    Parameters
    ----------
    layout
        What it takes and gives.
    feed
        How arrays are handed to it.
    ask
        Answers what the layout's ``outputs`` name.
    more
        Answer its ``more``, by name.
    sample
        Makes inputs that fit.
    words
        How it predicts.
    """

    def __init__(
        self,
        layout: Layout,
        feed: Feed,
        ask: Ask,
        more: Mapping[str, Ask],
        sample: Callable[[int], Inputs],
        words: str = "predict",
    ) -> None:
        self.layout = layout
        self.words = words
        self.feed = feed
        self._ask = ask
        self._more = dict(more)
        self._sample = sample
        self._names = tuple(f.name for f in layout.outputs)

    def sample(self, rows: int) -> Inputs:
        """Inputs that fit, the same each time."""
        return self._sample(rows)

    def predict(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:
        """Answers for all rows; see `chopmark.abc.predicting.Predictor`."""
        fed = self.feed(inputs)
        if not outputs:
            return outputs_of(self._ask(fed), self._names)
        found: Outputs = {}
        answered: Outputs | None = None
        for name in outputs:
            if (more := self._more.get(name)) is not None:
                found[name] = array_of(more(fed))
                continue
            answered = outputs_of(self._ask(fed), self._names) if answered is None else answered
            if name not in answered:
                raise InvalidRequest(f"The model has no output {name!r}.", hint=f"It has {', '.join(self._known())}.")
            found[name] = answered[name]
        return found

    def close(self) -> None:
        """Let go of the model."""
        self._more.clear()

    def _known(self) -> list[str]:
        return [f.name for f in (*self.layout.outputs, *self.layout.more)]


def asked_model(
    ask: Ask,
    more: Mapping[str, Ask],
    signature: Signature | None,
    seen: Introspection,
    ways: Callable[[Layout], list[Feed]] | None = None,
) -> AskedModel:
    """A model with its layout, once it was tried how it takes its inputs and what it gives.

    Parameters
    ----------
    ask, more
        Its methods.
    signature
        Of the version.
    seen
        What it says of itself.
    ways
        How its inputs may be handed to it; arrays and data frames unless something else is said.
    """
    layout = layout_of(signature, seen)
    columns = signature is not None and not any(f.shape for f in signature.inputs)
    by_name = bool(seen.names) or (columns and seen.width is None)
    known = feeds(layout, by_name=by_name) if ways is None else ways(layout)
    categories = seen.categories

    def sample(rows: int) -> Inputs:
        return sample_of(layout, rows, categories)

    tried = sample(_TRIED_ROWS)
    feed = taken(ask, known, tried)
    outputs, further = _answers(ask, more, feed, tried, signature)
    with_outputs = Layout(
        kind=layout.kind,
        inputs=layout.inputs,
        dtype=layout.dtype,
        outputs=outputs,
        more=tuple(f for f in further if f.name not in {o.name for o in outputs}),
    )
    return AskedModel(with_outputs, feed, ask, {f.name: more[f.name] for f in with_outputs.more}, sample)


def _answers(
    ask: Ask, more: Mapping[str, Ask], feed: Feed, tried: Inputs, signature: Signature | None
) -> tuple[tuple[Field, ...], list[Field]]:
    """What it gives, as seen; where it did not answer, as its signature says."""
    said = signature.outputs if signature is not None else ()
    try:
        fed = feed(tried)
        answer = outputs_of(ask(fed), [f.name for f in said])
    except (Exception, SystemExit):  # noqa: BLE001 - the sample is a guess, which a model need not accept
        return said or (Field(OUTPUT, "object", "object", (-1,)),), [Field(n, "float", "float64", (-1,)) for n in more]
    fields = said if len(said) == len(answer) else tuple(f for n, a in answer.items() for f in output_fields(a, [n]))
    further: list[Field] = []
    for name, method in more.items():
        try:
            array = array_of(method(fed))
        except (Exception, SystemExit):  # noqa: BLE001, S112 - it has the method, and cannot do it
            continue
        if array.ndim and len(array) == _TRIED_ROWS:
            further += output_fields(array, [name])
    return fields, further


def outputs_of(answer: Any, names: Sequence[str]) -> Outputs:
    """What a model gave as arrays by name: under the names given, where those are as many, else under its own."""
    if derives_from(answer, "pandas", "DataFrame") or derives_from(answer, "polars", "DataFrame"):
        arrays = {str(name): array_of(answer[name]) for name in answer.columns}
    elif isinstance(answer, Mapping):
        arrays = {str(name): array_of(value) for name, value in answer.items()}
    elif isinstance(answer, tuple):
        arrays = {f"output-{i}": array_of(value) for i, value in enumerate(answer)}
    else:
        return {names[0] if len(names) == 1 else OUTPUT: array_of(answer)}
    if len(names) == len(arrays):
        return dict(zip(names, arrays.values(), strict=True)) if set(names) != set(arrays) else arrays
    return arrays


def array_of(value: Any) -> NDArray[Any]:
    """A model's answer as an array of numpy."""
    if type(value) is np.ndarray:
        return value
    if derives_from(value, "torch", "Tensor"):
        return np.asarray(value.detach().cpu().numpy())
    if derives_from(value, "scipy") and hasattr(value, "toarray"):
        return np.asarray(value.toarray())
    return np.asarray(value)

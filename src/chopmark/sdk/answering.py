"""What a loaded model of any kind answers on rows: classes, flags of anomalies or numbers, and scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from chopmark.domain.agreement import TaskKind
from chopmark.domain.llm import LlmConfig
from chopmark.domain.names import counted
from chopmark.errors import ChopmarkError, Unsupported
from chopmark.sdk.ensemble import Ensemble, averages_probabilities, classes_of
from chopmark.sdk.estimators import flags_with_one, flags_with_sign, is_detector, last_step

__all__ = ["ANOMALY", "NORMAL", "Answers", "answer", "predictor"]

NORMAL, ANOMALY = "normal", "anomaly"

_TASK_WORDS: tuple[tuple[TaskKind, tuple[str, ...]], ...] = (
    ("anomaly", ("anomal", "outlier", "novelty", "intrusion")),
    ("regression", ("regress", "forecast")),
    ("classification", ("classif",)),
)
_HALF = 0.5
_CLASSES_MAX = 1_000


class Answers(NamedTuple):
    """Answers of one model, row by row.

    Attributes
    ----------
    kind
        What they are.
    answers
        Classes, ``anomaly`` or ``normal``, or numbers; None for a model that only scores.
    scores
        Higher is odder for a detector, likelier positive for two classes, the number itself for a
        regression; None when there are none.
    score
        Which of the model's methods gave the scores.
    probabilities, classes
        Shape (n, classes), and the class of each column, where the model gives them.
    """

    kind: TaskKind
    answers: Any
    scores: Any
    score: str
    probabilities: Any = None
    classes: Any = None


def predictor(model: Any) -> Any:
    """What a model is timed by: its ``predict``, or what it has in that place.

    An ensemble that averages classifiers has no label to predict; it is asked for its probabilities.

    Raises
    ------
    Unsupported
        When it has nothing of the kind.
    """
    if isinstance(model, LlmConfig):
        msg = "it is an LLM configuration, which answers no rows."
        raise Unsupported(msg)
    if isinstance(model, Ensemble) and averages_probabilities(model):
        return model.predict_proba
    for name in ("inplace_predict", "predict"):  # the first is a bare XGBoost booster's own
        method = getattr(model, name, None)
        if callable(method):
            return method
    if callable(getattr(model, "score_one", None)):
        return lambda inputs: _score_each(model, inputs)
    msg = f"a {type(model).__qualname__} has no predict."
    raise Unsupported(msg)


def answer(model: Any, inputs: Any, task: str) -> Answers:
    """Ask a model.

    Parameters
    ----------
    model
        As `chopmark.sdk.loading.load_version` gives it.
    inputs
        What its ``predict`` takes, n rows.
    task
        What the version says it is for; tells a detector from a classifier where the model does not.

    Raises
    ------
    Unsupported
        When it cannot be asked, its answers are not one a row, or rows have none (NaN). What the
        model raises itself comes through.
    """
    import numpy as np

    given = predictor(model)(inputs)
    values, probabilities, extra = _taken_apart(given)
    if values is None:
        values = np.asarray(given)
    _check_answered(values, probabilities)
    if values.ndim == 2 and values.shape[1] == 1:  # noqa: PLR2004
        values = values[:, 0]
    if values.ndim == 2:  # noqa: PLR2004 - probabilities in the place of classes
        probabilities, values = values.astype(float), values.argmax(axis=1)
        if isinstance(model, Ensemble) and classes_of(model) is not None:
            values = np.asarray(classes_of(model))[values]
    if values.ndim != 1:
        msg = f"its answers have the shape {values.shape}, not one a row."
        raise Unsupported(msg)
    kind = _kind_of(model, task, values)
    if kind == "anomaly":
        return _detections(model, inputs, values, extra)
    if kind == "regression":
        numbers = values.astype(float)
        return Answers(kind, numbers, numbers, "predict")
    return _classes(model, inputs, values, probabilities)


def _check_answered(*given: Any) -> None:
    """Refuse answers of which some are none: NaN, infinite, None."""
    import numpy as np

    for values in given:
        if values is None or not values.ndim:
            continue
        array = np.asarray(values)
        if array.dtype.kind in "fc":
            missing, what = ~np.isfinite(array), "no finite number"
        elif array.dtype.kind == "O":
            missing, what = np.array([_is_missing(v) for v in array.flat]).reshape(array.shape), "nothing"
        else:
            continue
        rows = missing.reshape(len(array), -1).any(axis=1) if len(array) else missing
        if rows.any():
            msg = f"it answers {int(rows.sum()):,} of {counted(len(array), 'row')} with {what}."
            raise Unsupported(msg)


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _score_each(model: Any, inputs: Any) -> Any:
    """Scores of a detector that learns from a stream, and takes one row at a time as a dictionary."""
    import numpy as np

    rows: Iterable[Any] = inputs.to_dict("records") if hasattr(inputs, "to_dict") else inputs
    return np.array([model.score_one(row) for row in rows], dtype=float)


def _taken_apart(given: Any) -> tuple[Any, Any, Any]:
    """Classes, probabilities and other scores among several outputs of one graph; None where missing."""
    import numpy as np

    if not isinstance(given, Mapping):
        return None, None, None
    values = probabilities = extra = None
    for output in given.values():
        if isinstance(output, list) and output and isinstance(output[0], Mapping):  # one dictionary a row
            probabilities = np.array([list(row.values()) for row in output], dtype=float)
            continue
        array = np.asarray(output)
        if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f":  # noqa: PLR2004
            probabilities = array
        elif values is None:
            values = array
        elif array.dtype.kind == "f":
            extra = array.reshape(-1)
    return values, probabilities, extra


def _kind_of(model: Any, task: str, values: Any) -> TaskKind:
    import numpy as np

    told = task.casefold()
    for kind, words in _TASK_WORDS:
        if any(word in told for word in words):
            return kind
    last = _last_step(model)
    if is_detector(last) or (not hasattr(last, "predict") and hasattr(last, "score_one")):
        return "anomaly"
    if hasattr(last, "classes_") or values.dtype.kind in "USObiu":
        signed = values.dtype.kind in "iu" and set(np.unique(values).tolist()) == {-1, 1}
        is_anomaly = signed and not hasattr(last, "classes_") and not hasattr(last, "predict_proba")
        return "anomaly" if is_anomaly else "classification"
    return "regression"


def _last_step(model: Any) -> Any:
    """The estimator within a model; of an ensemble that of its first member."""
    while isinstance(model, Ensemble):
        model = model.members[0].model
    return last_step(model)


def _detections(model: Any, inputs: Any, values: Any, extra: Any) -> Answers:
    import numpy as np

    last = _last_step(model)
    if not hasattr(last, "predict") and hasattr(last, "score_one"):
        return Answers("anomaly", None, values, "score_one")
    signed = values.dtype.kind in "if" and (flags_with_sign(last) or bool((values < 0).any()))
    if signed:
        odd = values < 0
    elif values.dtype.kind in "USO":
        odd = values == ANOMALY
    else:
        odd = values.astype(float) >= _HALF
    scores, name = _odd_scores(model, last, inputs, signed)
    if scores is None and extra is not None:
        scores, name = (-extra if signed else extra), "scores"
    if scores is None and values.dtype.kind == "f":
        scores, name = (-values if signed else values), "predict"
    return Answers("anomaly", np.where(odd, ANOMALY, NORMAL), scores, name)


def _odd_scores(model: Any, last: Any, inputs: Any, signed: bool) -> tuple[Any, str]:
    """Scores of which higher is odder; scikit-learn's detectors score the other way round."""
    import numpy as np

    for name in ("decision_function", "score_samples"):
        method = getattr(model, name, None)
        if callable(method):
            scores = np.asarray(method(inputs), dtype=float).reshape(-1)
            return (-scores if signed and not flags_with_one(last) else scores), name
    probabilities = _probabilities(model, inputs)
    if probabilities is not None and probabilities.shape[1] == 2:  # noqa: PLR2004
        return probabilities[:, 1], "predict_proba"
    return None, ""


def _classes(model: Any, inputs: Any, values: Any, probabilities: Any) -> Answers:
    import numpy as np

    if probabilities is None:
        probabilities = _probabilities(model, inputs)
    found = getattr(_last_step(model), "classes_", None)
    classes: Any = None if found is None else np.asarray(found)
    if values.dtype.kind == "f":
        if probabilities is None and not _is_whole(values):  # a booster's probabilities of the second class
            positive = values.astype(float)
            return Answers("classification", (positive >= _HALF).astype(int), positive, "predict")
        if not _is_whole(values) and probabilities is not None:  # means of classes: the likeliest one instead
            values = probabilities.argmax(axis=1)
            values = values if classes is None else classes[values]
        else:
            values = values.astype(int)
    if values.dtype.kind == "O":
        values = values.astype(str)
    if probabilities is not None and classes is None:
        classes = np.arange(probabilities.shape[1])
    if probabilities is not None and (len(classes) != probabilities.shape[1] or len(classes) > _CLASSES_MAX):
        probabilities = None
    scores, name = None, ""
    if probabilities is not None and probabilities.shape[1] == 2:  # noqa: PLR2004
        scores, name = probabilities[:, 1], "predict_proba"
    elif probabilities is None:
        scores, name = _margin(model, inputs)
    return Answers("classification", values, scores, name, probabilities, classes)


def _margin(model: Any, inputs: Any) -> tuple[Any, str]:
    import numpy as np

    method = getattr(model, "decision_function", None)
    if not callable(method):
        return None, ""
    scores = np.asarray(method(inputs), dtype=float)
    return (scores, "decision_function") if scores.ndim == 1 else (None, "")


def _probabilities(model: Any, inputs: Any) -> Any:
    import numpy as np

    method = getattr(model, "predict_proba", None)
    if not callable(method):
        return None
    try:
        given = np.asarray(method(inputs), dtype=float)
    except (ChopmarkError, AttributeError, NotImplementedError):  # an ensemble whose members have none
        return None
    return given if given.ndim == 2 else None  # noqa: PLR2004


def _is_whole(values: Any) -> bool:
    import numpy as np

    return bool(np.isfinite(values).all() and (values == np.round(values)).all())

"""Answers of several models on the same rows, judged: rates, agreement, and metrics against the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from chopmark.domain.agreement import Flip, PairAgreement, TaskKind
from chopmark.domain.names import counted
from chopmark.errors import InvalidRequest
from chopmark.sdk.answering import ANOMALY, NORMAL, Answers
from chopmark.stats import agreement as stats

__all__ = ["Judged", "judge"]

FLIP_ROWS_MAX = 1_000
_FLIPS_MAX = 50
_FEW_ROWS = 30
_NAMED_MAX = 5
_NAMES: dict[TaskKind, str] = {
    "classification": "a classifier",
    "anomaly": "a detector of anomalies",
    "regression": "a regressor",
}


class Judged(NamedTuple):
    """What was found.

    Attributes
    ----------
    rates, metrics
        By reference.
    pairs
        Of every two with answers of one kind.
    outcomes
        By reference, row by row: whether it is right, or its absolute error.
    unjudged
        Reference → why answers were not judged by the labels.
    positive, positives
        The class that ratios are about, and for each row whether it is of that class; None where
        there is no such class.
    cautions
        What a reader should know.
    """

    rates: dict[str, dict[str, float]]
    metrics: dict[str, dict[str, float]]
    pairs: tuple[PairAgreement, ...]
    outcomes: dict[str, Any]
    positive: str = ""
    positives: Any = None
    cautions: tuple[str, ...] = ()
    unjudged: Mapping[str, str] = {}


def judge(given: Mapping[str, Answers], truth: Any) -> Judged:
    """Judge answers.

    Parameters
    ----------
    given
        Reference → answers, all on the same rows.
    truth
        Labels of those rows, or None. Of detectors: 1, true or ``anomaly`` for an anomaly, or -1 as
        scikit-learn says it.

    Raises
    ------
    InvalidRequest
        When labels cannot belong to the answers of any, or may be meant in two ways.

    Notes
    -----
    Answers of one kind are compared: of the kind that most versions give.
    """
    kind = _most_frequent(a.kind for a in given.values())
    cautions = []
    unlike = {ref: a.kind for ref, a in given.items() if a.kind != kind}
    if unlike:
        told = ", ".join(f"{ref} ({other})" for ref, other in unlike.items())
        cautions.append(f"Only answers of one kind are compared: {kind}, and not {told}.")
    given = {ref: _comparable(a) for ref, a in given.items() if ref not in unlike}
    rates = {ref: stats.class_rates(a.answers) for ref, a in given.items() if _has_classes(a)}
    pairs = tuple(_pair(x, given[x], y, given[y]) for x, y in combinations(given, 2))
    if truth is None or kind is None:
        return Judged(rates, {}, pairs, {}, ANOMALY if kind == "anomaly" else "", None, tuple(cautions))
    unjudged = {
        ref: f"it is {_NAMES[other]}, which cannot be judged on the same labels as {_NAMES[kind]}"
        for ref, other in unlike.items()
    }
    if len(truth) < _FEW_ROWS:
        cautions.append(f"Metrics of {counted(len(truth), 'row')} say little.")
    judged = _judged_numbers(given, truth) if kind == "regression" else _judged_classes(given, truth, kind)
    return judged._replace(rates=rates, pairs=pairs, cautions=tuple(cautions), unjudged={**unjudged, **judged.unjudged})


def _most_frequent(kinds: Iterable[TaskKind]) -> TaskKind | None:
    """The kind of most; of as many, classes before numbers."""
    counts = Counter(kinds)
    return max((k for k in _NAMES if counts[k]), key=counts.__getitem__, default=None)


def _has_classes(answers: Answers) -> bool:
    return answers.answers is not None and answers.kind != "regression"


def _comparable(answers: Answers) -> Answers:
    """Classes as integers or texts, so that 1, 1.0 and True are one class."""
    if not _has_classes(answers):
        return answers
    classes = None if answers.classes is None else _class_values(answers.classes)
    return answers._replace(answers=_class_values(answers.answers), classes=classes)


def _class_values(values: Any) -> Any:
    import numpy as np

    array = np.asarray(values)
    if array.dtype.kind in "bu":
        return array.astype(int)
    if array.dtype.kind == "f" and bool((array == np.round(array)).all()):
        return array.astype(int)
    return array.astype(str) if array.dtype.kind in "OSU" else array


def _pair(first: str, a: Answers, second: str, b: Answers) -> PairAgreement:
    import numpy as np

    scored = a.scores is not None and b.scores is not None
    correlations = (
        (
            stats.pearson(np.asarray(a.scores, float), np.asarray(b.scores, float)),
            stats.spearman(np.asarray(a.scores, float), np.asarray(b.scores, float)),
        )
        if scored
        else (None, None)
    )
    pair = PairAgreement(first=first, second=second, pearson=correlations[0], spearman=correlations[1])
    if a.answers is None or b.answers is None:
        return pair
    if a.kind == "regression":
        difference = stats.number_metrics(a.answers, b.answers)["mae"]
        return PairAgreement(
            first=first, second=second, pearson=pair.pearson, spearman=pair.spearman, mean_difference=difference
        )
    one, other = _alike(a.answers, b.answers)
    flips = tuple(
        Flip(before=str(t.before), after=str(t.after), count=t.count, rows=t.rows)
        for t in stats.turns(one, other, FLIP_ROWS_MAX)[:_FLIPS_MAX]
    )
    return PairAgreement(
        first=first,
        second=second,
        agreement=stats.agreement(one, other),
        flips=flips,
        pearson=pair.pearson,
        spearman=pair.spearman,
    )


def _alike(first: Any, second: Any) -> tuple[Any, Any]:
    """Two arrays of classes of one type: texts where one of them has texts."""
    if (first.dtype.kind == "U") != (second.dtype.kind == "U"):
        return first.astype(str), second.astype(str)
    return first, second


def _judged_numbers(given: Mapping[str, Answers], truth: Any) -> Judged:
    import numpy as np

    try:
        numbers = truth.astype(float)
    except (TypeError, ValueError) as error:
        msg = "The versions answer with numbers, and the labels are none."
        raise InvalidRequest(msg, hint="Pass the true numbers as labels.") from error
    if not np.isfinite(numbers).all():
        msg = f"{int((~np.isfinite(numbers)).sum()):,} of {len(numbers):,} labels are infinite."
        raise InvalidRequest(msg, hint="Leave out the rows whose truth is not known.")
    metrics = {ref: stats.number_metrics(numbers, a.answers) for ref, a in given.items()}
    with np.errstate(over="ignore"):
        errors = {ref: np.abs(a.answers - numbers) for ref, a in given.items()}
    largest = np.finfo(float).max
    return Judged({}, metrics, (), {ref: np.minimum(e, largest) for ref, e in errors.items()})


def _judged_classes(given: Mapping[str, Answers], truth: Any, kind: TaskKind) -> Judged:
    import numpy as np

    truth = _flags(truth) if kind == "anomaly" else _class_values(truth)
    unjudged = {ref: "it gives scores and no answers" for ref, a in given.items() if a.answers is None}
    if any(truth.dtype.kind != a.answers.dtype.kind for a in given.values() if a.answers is not None):
        truth = truth.astype(str)
        given = {ref: _as_texts(a) for ref, a in given.items()}
    if kind == "classification":
        strangers = _without_the_labels(given, truth)
        unjudged |= strangers
        given = {ref: a for ref, a in given.items() if ref not in strangers}
    classes = np.unique(np.concatenate([truth, *(a.answers for a in given.values() if a.answers is not None)]))
    positive = ANOMALY if kind == "anomaly" else (classes[-1] if len(classes) <= 2 else None)  # noqa: PLR2004
    return Judged(
        {},
        metrics={ref: _class_metrics(truth, a, positive) for ref, a in given.items()},
        pairs=(),
        outcomes={ref: truth == a.answers for ref, a in given.items() if a.answers is not None},
        positive="" if positive is None else str(positive),
        positives=None if positive is None else truth == positive,
        unjudged=unjudged,
    )


def _as_texts(answers: Answers) -> Answers:
    return answers._replace(
        answers=None if answers.answers is None else answers.answers.astype(str),
        classes=None if answers.classes is None else answers.classes.astype(str),
    )


def _without_the_labels(given: Mapping[str, Answers], truth: Any) -> dict[str, str]:
    """Versions none of whose classes is a label, and why they cannot be judged.

    Raises
    ------
    InvalidRequest
        When all of them are.
    """
    import numpy as np

    known = {ref: _classes_of(a) for ref, a in given.items()}
    strangers = {ref: classes for ref, classes in known.items() if not np.isin(truth, classes).any()}
    labels = _few(np.unique(truth))
    if strangers and len(strangers) == len(given):
        told = _few(np.unique(np.concatenate(list(strangers.values()))))
        msg = f"The labels are {labels}, and the classes of the versions are {told}."
        raise InvalidRequest(msg, hint="Pass labels that are written as the versions' classes are.")
    return {ref: f"its classes are {_few(classes)}, and the labels are {labels}" for ref, classes in strangers.items()}


def _classes_of(answers: Answers) -> Any:
    """Classes that a version can answer with, as far as it tells, and those it answers with."""
    import numpy as np

    told = [part for part in (answers.answers, answers.classes) if part is not None]
    if len({part.dtype.kind for part in told}) > 1:
        told = [part.astype(str) for part in told]
    return np.unique(np.concatenate(told))


def _few(values: Any) -> str:
    told = ", ".join(map(repr, values[:_NAMED_MAX].tolist()))
    return told + (" …" if len(values) > _NAMED_MAX else "")


def _flags(truth: Any) -> Any:
    """``anomaly`` or ``normal`` for every way in which that is written.

    A one is an anomaly to some and a normal row to scikit-learn: numbers are read only where the
    other number tells which of the two is meant.
    """
    import numpy as np

    if truth.dtype.kind == "b" or all(isinstance(v, (bool, np.bool_)) for v in truth):
        return np.where(truth.astype(bool), ANOMALY, NORMAL)
    said = set(np.unique(truth.astype(str)).tolist())
    if said <= {ANOMALY, NORMAL}:
        return truth.astype(str)
    try:
        values = set(np.unique(truth.astype(float)).tolist())
    except (TypeError, ValueError):
        values = set()
    if values == {0.0, 1.0}:
        return np.where(truth.astype(float) == 1, ANOMALY, NORMAL)
    if values == {-1.0, 1.0}:
        return np.where(truth.astype(float) == -1, ANOMALY, NORMAL)
    if len(values) == 1 and values < {-1.0, 0.0, 1.0}:
        msg = (
            f"All labels of the detectors are {values.pop():g}, which may mean an anomaly or a normal row: "
            "1 is an anomaly beside 0, and normal beside -1."
        )
        raise InvalidRequest(
            msg, hint="Pass rows of both kinds, or labels that are True and False, or 'anomaly' and 'normal'."
        )
    msg = f"The labels of detectors are {', '.join(sorted(said)[:5])}."
    raise InvalidRequest(msg, hint="Say 1 for an anomaly and 0 for a normal row (or -1 and 1, or 'anomaly', 'normal').")


def _class_metrics(truth: Any, a: Answers, positive: Any) -> dict[str, float]:
    import numpy as np

    metrics = {} if a.answers is None else stats.class_metrics(truth, a.answers, positive)
    scores = _scores_of(a, positive)
    if positive is not None and scores is not None and np.isfinite(scores).all():
        curves = {
            "roc_auc": stats.roc_auc(truth == positive, scores),
            "average_precision": stats.average_precision(truth == positive, scores),
        }
        metrics |= {name: value for name, value in curves.items() if value is not None}
    if a.probabilities is not None and a.kind == "classification" and np.isin(truth, a.classes).all():
        order = np.argsort(a.classes)
        columns = order[np.searchsorted(a.classes, truth, sorter=order)]
        metrics["log_loss"] = stats.log_loss(columns, a.probabilities)
    return metrics


def _scores_of(a: Answers, positive: Any) -> Any:
    """Scores of the positive class; of a detector its own."""
    if a.kind == "classification" and a.probabilities is not None and positive is not None:
        column = [i for i, c in enumerate(a.classes) if c == positive]
        return a.probabilities[:, column[0]] if column else None
    return a.scores

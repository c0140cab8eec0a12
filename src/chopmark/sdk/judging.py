"""Answers of several models on the same rows, judged: rates, agreement, and metrics against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

from chopmark.domain.agreement import Flip, PairAgreement, TaskKind
from chopmark.errors import InvalidRequest
from chopmark.sdk.answering import ANOMALY, NORMAL, Answers
from chopmark.stats import agreement as stats

__all__ = ["Judged", "judge"]

FLIP_ROWS_MAX = 1_000
_FLIPS_MAX = 50
_FEW_ROWS = 30


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
    positive, positive_share
        The class that ratios are about, and its share of the rows.
    cautions
        What a reader should know.
    """

    rates: dict[str, dict[str, float]]
    metrics: dict[str, dict[str, float]]
    pairs: tuple[PairAgreement, ...]
    outcomes: dict[str, Any]
    positive: str
    positive_share: float | None
    cautions: tuple[str, ...]


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
        When labels cannot belong to the answers.
    """
    kinds = list(dict.fromkeys(a.kind for a in given.values()))
    kind: TaskKind | None = kinds[0] if kinds else None
    cautions = []
    if len(kinds) > 1:
        others = ", ".join(f"{ref} ({a.kind})" for ref, a in given.items() if a.kind != kind)
        cautions.append(f"Only answers of one kind are compared: {kind}, and not {others}.")
    given = {ref: _comparable(a) for ref, a in given.items() if a.kind == kind}
    rates = {ref: stats.class_rates(a.answers) for ref, a in given.items() if _has_classes(a)}
    pairs = tuple(_pair(x, given[x], y, given[y]) for x, y in combinations(given, 2))
    if truth is None or kind is None:
        return Judged(rates, {}, pairs, {}, ANOMALY if kind == "anomaly" else "", None, tuple(cautions))
    if len(truth) < _FEW_ROWS:
        cautions.append(f"Metrics of {len(truth)} rows say little.")
    if kind == "regression":
        return _judged_numbers(given, truth, pairs, cautions)
    return _judged_classes(given, truth, kind, rates, pairs, cautions)


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
        difference = float(np.abs(a.answers - b.answers).mean())
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


def _judged_numbers(
    given: Mapping[str, Answers], truth: Any, pairs: tuple[PairAgreement, ...], cautions: list[str]
) -> Judged:
    import numpy as np

    try:
        numbers = truth.astype(float)
    except (TypeError, ValueError) as error:
        msg = "The versions answer with numbers, and the labels are none."
        raise InvalidRequest(msg, hint="Pass the true numbers as labels.") from error
    metrics: dict[str, dict[str, float]] = {}
    outcomes: dict[str, Any] = {}
    for ref, a in given.items():
        if np.isfinite(a.answers).all():
            metrics[ref] = stats.number_metrics(numbers, a.answers)
            outcomes[ref] = np.abs(a.answers - numbers)
        else:
            cautions.append(f"{ref} answers some rows with no finite number, and is not judged.")
    return Judged({}, metrics, pairs, outcomes, "", None, tuple(cautions))


def _judged_classes(
    given: Mapping[str, Answers],
    truth: Any,
    kind: TaskKind,
    rates: dict[str, dict[str, float]],
    pairs: tuple[PairAgreement, ...],
    cautions: list[str],
) -> Judged:
    import numpy as np

    truth = _flags(truth) if kind == "anomaly" else _class_values(truth)
    answered = [a.answers for a in given.values() if a.answers is not None]
    if any(truth.dtype.kind != a.dtype.kind for a in answered):
        truth = truth.astype(str)
        given = {
            ref: a._replace(
                answers=None if a.answers is None else a.answers.astype(str),
                classes=None if a.classes is None else a.classes.astype(str),
            )
            for ref, a in given.items()
        }
    classes = np.unique(np.concatenate([truth, *(a.answers for a in given.values() if a.answers is not None)]))
    positive = ANOMALY if kind == "anomaly" else (classes[-1] if len(classes) <= 2 else None)  # noqa: PLR2004
    metrics: dict[str, dict[str, float]] = {}
    outcomes: dict[str, Any] = {}
    for ref, a in given.items():
        metrics[ref] = _class_metrics(truth, a, positive)
        if a.answers is not None:
            outcomes[ref] = truth == a.answers
            if not np.isin(a.answers, truth).any():
                cautions.append(f"{ref} answers with none of the classes of the labels.")
    share = None if positive is None else float((truth == positive).mean())
    return Judged(rates, metrics, pairs, outcomes, "" if positive is None else str(positive), share, tuple(cautions))


def _flags(truth: Any) -> Any:
    """``anomaly`` or ``normal`` for every way in which that is written."""
    import numpy as np

    said = set(np.unique(truth.astype(str)).tolist())
    if said <= {ANOMALY, NORMAL}:
        return truth.astype(str)
    try:
        numbers = truth.astype(float)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    values = set(np.unique(numbers).tolist())
    if values <= {0.0, 1.0}:
        return np.where(numbers == 1, ANOMALY, NORMAL)
    if values <= {-1.0, 1.0}:
        return np.where(numbers == -1, ANOMALY, NORMAL)
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

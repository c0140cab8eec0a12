"""Which of several versions to take, from their answers on labelled rows: paired tests of every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chopmark.domain.names import counted
from chopmark.domain.recommendation import Candidate, Recommendation, others, told_unjudged, undecided
from chopmark.stats.multiplicity import holm
from chopmark.stats.paired import balanced_mcnemar_p, mcnemar_p, paired_t_p

__all__ = ["ALPHA", "ClassRights", "PairedErrors", "PairedRights", "recommend_by_answers"]

ALPHA = 0.05
"""Chance of naming a winner among equals that is accepted."""

ROWS_LEAST = 30
"""Rows from which the mean of paired errors is tested."""

RARE_SHARE = 0.1
"""A class with a smaller share of the rows is rare: both classes then count the same."""

_P_LEAST = 1e-4


class ClassRights(msgspec.Struct, frozen=True):
    """Of one class: its rows, and those that only the first, only the second version answers rightly."""

    rows: int
    first_only: int
    second_only: int


class PairedRights(msgspec.Struct, frozen=True):
    """Rows that only the first, and only the second of two versions answers rightly.

    Attributes
    ----------
    first_only, second_only
        Of all rows.
    classes
        The same by class, where there are two classes: the positive one, and the other.
    """

    first_only: int
    second_only: int
    classes: tuple[ClassRights, ClassRights] | None = None


class PairedErrors(msgspec.Struct, frozen=True):
    """Differences of absolute errors, first minus second, row by row: count, mean, deviation."""

    count: int
    mean: float
    standard_deviation: float


Pair = PairedRights | PairedErrors


def recommend_by_answers(
    candidates: Sequence[Candidate],
    pairs: Mapping[tuple[str, str], Pair],
    *,
    row_count: int,
    positive_share: float | None = None,
    unjudged: Mapping[str, str] | None = None,
) -> Recommendation:
    """Recommend from answers on labelled rows.

    Parameters
    ----------
    candidates
        Those that were judged, with their metrics against the labels; none of the others can win.
    pairs
        Every pair in the order of the candidates: for classes the rows that one answers rightly
        and the other does not, for numbers the differences of absolute errors.
    row_count
        Labelled rows.
    positive_share
        Share of the positive class, where there are two; None else. When one class has less than
        10 % of the rows, and the pairs tell their classes, both classes count the same.
    unjudged
        Reference → why a version failed or was not judged.

    Notes
    -----
    A version that wins the tests and has a lower F1 than another is no clear winner: it may gain at
    one class what it loses at the other.
    """
    cautions = _cautions(row_count, positive_share)
    why = _why_not_testable(candidates, pairs, row_count, positive_share)
    if why:
        return undecided("answers", why, candidates=candidates, cautions=cautions, unjudged=unjudged)
    is_balanced = _is_rare(positive_share)
    keys = list(pairs)
    adjusted = dict(zip(keys, holm([_p_value(pairs[key], is_balanced) for key in keys]), strict=True))
    reasons = tuple(_told(key, pairs[key], adjusted[key], row_count, is_balanced) for key in keys)
    winner = next(
        (
            c
            for c in candidates
            if all(_beats(c.ref, key, pairs[key], adjusted[key], is_balanced) for key in keys if c.ref in key)
        ),
        None,
    )
    rival = None if winner is None else _better_f1(winner, candidates)
    what = _what(pairs, is_balanced)
    if winner is None:
        why = f"no version beats every other significantly on {counted(row_count, 'labelled row')}"
    elif rival is not None:
        why = f"{winner.ref} {what}, but {rival.ref} has the better F1"
    else:
        beaten = others([c.ref for c in candidates if c is not winner])
        sentence = (
            f"{winner.ref} {what} than {beaten}, significantly at {ALPHA:.0%} "
            f"(paired tests on {counted(row_count, 'labelled row')}).{told_unjudged(unjudged or {})}"
        )
        return Recommendation(
            winner=winner.ref,
            basis="answers",
            sentence=sentence,
            reasons=reasons,
            cautions=cautions,
            unjudged=dict(unjudged or {}),
        )
    return undecided("answers", why, reasons=reasons, cautions=cautions, candidates=candidates, unjudged=unjudged)


def _why_not_testable(
    candidates: Sequence[Candidate],
    pairs: Mapping[tuple[str, str], Pair],
    row_count: int,
    positive_share: float | None,
) -> str:
    if not candidates:
        return "no version could be judged"
    if len(candidates) == 1:
        return f"only {candidates[0].ref} could be judged"
    if any(isinstance(p, PairedErrors) for p in pairs.values()) and row_count < ROWS_LEAST:
        return f"{counted(row_count, 'row')} {_be(row_count)} too few to test the mean error ({ROWS_LEAST} are needed)"
    if positive_share in (0.0, 1.0):
        return "all labels are of one class, and say nothing about the other"
    return ""


def _is_rare(positive_share: float | None) -> bool:
    return positive_share is not None and min(positive_share, 1 - positive_share) < RARE_SHARE


def _what(pairs: Mapping[tuple[str, str], Pair], is_balanced: bool) -> str:
    if any(isinstance(p, PairedErrors) for p in pairs.values()):
        return "errs by less on average"
    return "has a better balanced accuracy" if is_balanced else "is right on more rows"


def _p_value(pair: Pair, is_balanced: bool) -> float:
    if isinstance(pair, PairedErrors):
        return paired_t_p(pair.mean, pair.standard_deviation, pair.count)
    if is_balanced and pair.classes is not None:
        one, other = ((c.rows, c.first_only, c.second_only) for c in pair.classes)
        return balanced_mcnemar_p(one, other)
    return mcnemar_p(pair.first_only, pair.second_only)


def _lead(pair: Pair, is_balanced: bool) -> float:
    """How far the first is ahead of the second; of a balanced pair in balanced accuracy."""
    if isinstance(pair, PairedErrors):
        return -pair.mean
    if is_balanced and pair.classes is not None:
        return sum((c.first_only - c.second_only) / c.rows for c in pair.classes) / 2
    return pair.first_only - pair.second_only


def _beats(ref: str, key: tuple[str, str], pair: Pair, p_value: float, is_balanced: bool) -> bool:
    lead = _lead(pair, is_balanced)
    return p_value < ALPHA and (lead > 0 if key[0] == ref else lead < 0)


def _f1(candidate: Candidate) -> float | None:
    return candidate.metrics.get("f1", candidate.metrics.get("f1_macro"))


def _better_f1(winner: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    mine = _f1(winner)
    if mine is None:
        return None
    better = [(f1, c) for c in candidates if (f1 := _f1(c)) is not None and f1 > mine]
    return max(better, key=lambda b: b[0])[1] if better else None


def _told(key: tuple[str, str], pair: Pair, p_value: float, row_count: int, is_balanced: bool) -> str:
    first, second = key
    p = f"p = {p_value:.2g} after Holm" if p_value >= _P_LEAST else "p < 0.0001 after Holm"
    if isinstance(pair, PairedErrors):
        return f"{first} against {second}: mean absolute error {pair.mean:+.4g} ({p})"
    if is_balanced and pair.classes is not None:
        return f"{first} against {second}: balanced accuracy {_lead(pair, is_balanced):+.4f} ({p})"
    return (
        f"{first} against {second}: only {first} is right on {counted(pair.first_only, 'row')}, only {second} on "
        f"{pair.second_only:,} of {row_count:,} ({p})"
    )


def _cautions(row_count: int, positive_share: float | None) -> tuple[str, ...]:
    told = []
    if row_count < ROWS_LEAST:
        told.append(f"There {_be(row_count)} only {counted(row_count, 'row')}: only large differences can be seen.")
    if positive_share is not None and _is_rare(positive_share):
        rare = min(positive_share, 1 - positive_share)
        told.append(
            f"One class has {rare:.1%} of the rows: both classes count the same in the tests, and not each row."
        )
    return tuple(told)


def _be(count: int) -> str:
    return "is" if count == 1 else "are"

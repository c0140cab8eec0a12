"""Which of several versions to take, and why; or why there is no clear winner.

Two kinds of evidence, two rules.

- *Answers on labelled rows*: paired tests of every pair, adjusted after Holm. A winner beats every
  other version significantly.
- *Recorded metrics*: no test can be made of single numbers, so a winner must dominate: be better
  than every other in at least one metric whose direction is known, and worse in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from chopmark.domain.metrics import Direction, direction_of
from chopmark.domain.names import counted
from chopmark.stats.paired import holm, mcnemar_p, paired_t_p

__all__ = [
    "ALPHA",
    "Candidate",
    "PairedErrors",
    "PairedRights",
    "Recommendation",
    "recommend_by_answers",
    "recommend_by_metrics",
    "with_latencies",
]

ALPHA = 0.05
"""Chance of naming a winner among equals that is accepted."""

TOLERANCE = 0.001
"""Recorded metrics nearer than this, relatively, count as equal."""

ROWS_LEAST = 30
"""Rows from which the mean of paired errors is tested."""

_RARE_SHARE = 0.1
_NAMED_MAX = 4

Basis = Literal["answers", "evaluations", "metrics", "none"]
SameData = Literal["same", "different", "unknown"]


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """A version to take, or why none stands out.

    Attributes
    ----------
    winner
        Its reference; empty when there is no clear winner.
    basis
        What it rests on: ``answers`` on labelled rows, ``evaluations`` on the same data,
        ``metrics`` recorded at registration, or ``none``.
    sentence
        The whole of it in a sentence or two.
    reasons
        What was found, one by one.
    cautions
        What it does not know.
    tie_breaks
        Without a winner: which version is cheaper, faster or smaller.
    """

    winner: str
    basis: Basis
    sentence: str
    reasons: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    tie_breaks: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A version as a recommendation sees it.

    Attributes
    ----------
    ref
        Reference.
    metrics
        Recorded, or measured on labelled rows.
    size_bytes, cost_per_request, latency_ms
        What breaks a tie; None where unknown.
    """

    ref: str
    metrics: Mapping[str, float]
    size_bytes: int | None = None
    cost_per_request: float | None = None
    latency_ms: float | None = None


class PairedRights(msgspec.Struct, frozen=True):
    """Rows that only the first, and only the second of two versions answers rightly."""

    first_only: int
    second_only: int


class PairedErrors(msgspec.Struct, frozen=True):
    """Differences of absolute errors, first minus second, row by row: count, mean, deviation."""

    count: int
    mean: float
    standard_deviation: float


def recommend_by_metrics(
    candidates: Sequence[Candidate],
    *,
    basis: Basis,
    same_data: SameData,
    directions: Mapping[str, Direction] | None = None,
) -> Recommendation:
    """Recommend from recorded metrics.

    Parameters
    ----------
    candidates
        Two or more.
    basis, same_data
        Where the metrics come from, and whether they were measured on the same data.
    directions
        Metric → whether more or less is better, before what its name says.
    """
    told = directions or {}
    cautions = _metric_cautions(basis, same_data)
    standings = {(a.ref, b.ref): _standing(a, b, told) for a in candidates for b in candidates if a.ref != b.ref}
    if all(not s.judged for s in standings.values()):
        why = (
            "the versions share no recorded metric"
            if not any(set(a.metrics) & set(b.metrics) for a in candidates for b in candidates if a is not b)
            else "nothing says whether more or less of their metrics is better"
        )
        return _undecided("none", why, (), (), candidates)
    for candidate in candidates:
        against = [standings[candidate.ref, other.ref] for other in candidates if other is not candidate]
        if all(s.better and not s.worse for s in against):
            reasons = tuple(_dominance(s) for s in against)
            where = "evaluations on the same data" if basis == "evaluations" else "recorded metrics"
            sentence = (
                f"{candidate.ref} is better than {_others([s.other for s in against])} in {_named(_common(against))} and worse in none"
                f" ({where})."
            )
            if same_data != "same":
                sentence += " " + cautions[-1]
            return Recommendation(
                winner=candidate.ref, basis=basis, sentence=sentence, reasons=reasons, cautions=cautions
            )
    reasons = tuple(
        _balance(a, b, standings[a.ref, b.ref]) for i, a in enumerate(candidates) for b in candidates[i + 1 :]
    )
    return _undecided(basis, "none is better in one metric and worse in none", reasons, cautions, candidates)


class _Standing(msgspec.Struct, frozen=True):
    """Metrics in which a version is better and worse than another, and how many were judged."""

    other: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    judged: int


def _standing(a: Candidate, b: Candidate, directions: Mapping[str, Direction]) -> _Standing:
    better: list[str] = []
    worse: list[str] = []
    judged = 0
    for name in a.metrics:
        direction = directions.get(name) or direction_of(name)
        if name not in b.metrics or direction is None:
            continue
        judged += 1
        mine, theirs = a.metrics[name], b.metrics[name]
        if abs(mine - theirs) > TOLERANCE * max(abs(mine), abs(theirs)):
            (better if (mine > theirs) == (direction == "maximize") else worse).append(name)
    return _Standing(b.ref, tuple(better), tuple(worse), judged)


def _metric_cautions(basis: Basis, same_data: SameData) -> tuple[str, ...]:
    told = ["Single recorded numbers carry no uncertainty; compare on labelled rows to be surer."]
    match same_data:
        case "same":
            pass
        case "different":
            told.append("They were measured on different data.")
        case "unknown":
            told.append("Whether they were measured on the same data is not recorded.")
    return tuple(told) if basis != "none" else ()


def _dominance(standing: _Standing) -> str:
    return f"better than {standing.other} in {_named(standing.better)}, worse in none of {standing.judged}"


def _balance(a: Candidate, b: Candidate, standing: _Standing) -> str:
    if not standing.judged:
        return f"{a.ref} and {b.ref} share no metric whose direction is known"
    if not standing.better and not standing.worse:
        return f"{a.ref} and {b.ref} are within {TOLERANCE:.1%} of each other in every metric"
    sides = ((a.ref, standing.better), (b.ref, standing.worse))
    told = ", ".join(f"{ref} is better in {_named(names)}" for ref, names in sides if names)
    return f"{a.ref} against {b.ref}: {told}"


def _common(against: Sequence[_Standing]) -> Sequence[str]:
    common = [name for name in against[0].better if all(name in s.better for s in against)]
    return common or list(dict.fromkeys(name for s in against for name in s.better))


def recommend_by_answers(
    candidates: Sequence[Candidate],
    pairs: Mapping[tuple[str, str], PairedRights | PairedErrors],
    *,
    row_count: int,
    positive_share: float | None = None,
) -> Recommendation:
    """Recommend from answers on labelled rows.

    Parameters
    ----------
    candidates
        Those that answered, with their metrics against the labels.
    pairs
        Every pair in the order of the candidates: for classes the rows that one answers rightly
        and the other does not, for numbers the differences of absolute errors.
    row_count
        Labelled rows.
    positive_share
        Share of the positive class, where there are two; None else.

    Notes
    -----
    Being right on more rows is not being better at a rare class. A version that wins the tests and
    has a lower F1 than another is therefore no clear winner.
    """
    numbers = any(isinstance(p, PairedErrors) for p in pairs.values())
    cautions = _answer_cautions(row_count, positive_share)
    if numbers and row_count < ROWS_LEAST:
        why = f"{counted(row_count, 'row')} are too few to test the mean error ({ROWS_LEAST} are needed)"
        return _undecided("answers", why, (), cautions, candidates)
    keys = list(pairs)
    adjusted = dict(zip(keys, holm([_p_value(pairs[key]) for key in keys]), strict=True))
    reasons = tuple(_told(key, pairs[key], adjusted[key], row_count) for key in keys)
    for candidate in candidates:
        if not all(_beats(candidate.ref, key, pairs[key], adjusted[key]) for key in keys if candidate.ref in key):
            continue
        rival = _better_f1(candidate, candidates)
        if rival is not None:
            why = f"{candidate.ref} is right on more rows, but {rival.ref} has the better F1"
            return _undecided("answers", why, reasons, cautions, candidates)
        what = "errs by less on average" if numbers else "is right on more rows"
        sentence = (
            f"{candidate.ref} {what} than {_others([c.ref for c in candidates if c is not candidate])}, significantly at {ALPHA:.0%}"
            f" (paired tests on {counted(row_count, 'labelled row')})."
        )
        return Recommendation(
            winner=candidate.ref, basis="answers", sentence=sentence, reasons=reasons, cautions=cautions
        )
    why = f"no version beats every other significantly on {counted(row_count, 'labelled row')}"
    return _undecided("answers", why, reasons, cautions, candidates)


def with_latencies(recommendation: Recommendation, latency_ms: Mapping[str, float]) -> Recommendation:
    """A recommendation that names no winner, with the fastest version added to what breaks the tie."""
    told = _least(list(latency_ms), list(latency_ms.values()), *_FASTEST) if latency_ms else ""
    if recommendation.winner or not told:
        return recommendation
    return msgspec.structs.replace(
        recommendation,
        sentence=f"{recommendation.sentence} {told}.",
        tie_breaks=(*recommendation.tie_breaks, told),
    )


def _p_value(pair: PairedRights | PairedErrors) -> float:
    if isinstance(pair, PairedRights):
        return mcnemar_p(pair.first_only, pair.second_only)
    return paired_t_p(pair.mean, pair.standard_deviation, pair.count)


def _beats(ref: str, key: tuple[str, str], pair: PairedRights | PairedErrors, p_value: float) -> bool:
    lead = pair.first_only - pair.second_only if isinstance(pair, PairedRights) else -pair.mean
    return p_value < ALPHA and (lead > 0 if key[0] == ref else lead < 0)


def _better_f1(winner: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    mine = winner.metrics.get("f1", winner.metrics.get("f1_macro"))
    if mine is None:
        return None
    rivals = [(c.metrics.get("f1", c.metrics.get("f1_macro")), c) for c in candidates if c is not winner]
    better = [c for f1, c in rivals if f1 is not None and f1 > mine]
    return max(better, key=lambda c: c.metrics.get("f1", c.metrics.get("f1_macro", 0.0)), default=None)


def _told(key: tuple[str, str], pair: PairedRights | PairedErrors, p_value: float, row_count: int) -> str:
    first, second = key
    p = f"p = {p_value:.2g} after Holm" if p_value >= 1e-4 else "p < 0.0001 after Holm"  # noqa: PLR2004
    if isinstance(pair, PairedErrors):
        return f"{first} against {second}: mean absolute error {pair.mean:+.4g} ({p})"
    return (
        f"{first} against {second}: only {first} is right on {counted(pair.first_only, 'row')}, only {second} on "
        f"{pair.second_only:,} of {row_count:,} ({p})"
    )


def _answer_cautions(row_count: int, positive_share: float | None) -> tuple[str, ...]:
    told = []
    if row_count < ROWS_LEAST:
        told.append(f"There are only {counted(row_count, 'row')}: only large differences can be seen.")
    rare = None if positive_share is None else min(positive_share, 1 - positive_share)
    if rare is not None and rare < _RARE_SHARE:
        told.append(f"One class has {rare:.1%} of the rows: look at recall and average precision, not at accuracy.")
    return tuple(told)


def _undecided(
    basis: Basis, why: str, reasons: tuple[str, ...], cautions: tuple[str, ...], candidates: Sequence[Candidate]
) -> Recommendation:
    ties = _tie_breaks(candidates)
    sentence = f"No clear winner: {why}."
    if ties:
        sentence += f" {'; '.join(ties)}."
    return Recommendation(
        winner="", basis=basis, sentence=sentence, reasons=reasons, cautions=cautions, tie_breaks=ties
    )


def _tie_breaks(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    refs = [c.ref for c in candidates]
    found = (
        _least(refs, [c.cost_per_request for c in candidates], "costs least a request", "{:g}"),
        _least(refs, [c.latency_ms for c in candidates], *_FASTEST),
        _least(refs, [c.size_bytes or None for c in candidates], "is smallest", "{:,} bytes"),
    )
    return tuple(text for text in found if text)


_FASTEST = ("is fastest", "{:.3g} ms a batch")


def _least(refs: Sequence[str], values: Sequence[float | None], what: str, form: str) -> str:
    known = [(value, ref) for ref, value in zip(refs, values, strict=True) if value is not None]
    if len(known) < 2 or len(known) < len(refs):  # noqa: PLR2004
        return ""
    (least, ref), second = min(known), sorted(known)[1][0]
    if second - least <= _TIE_SHARE * second:
        return ""
    return f"{ref} {what} ({form.format(least)})"


_TIE_SHARE = 0.05


def _others(refs: Sequence[str]) -> str:
    return " and ".join(refs) if len(refs) <= 2 else f"each of the {len(refs)} others"  # noqa: PLR2004


def _named(names: Sequence[str]) -> str:
    named = ", ".join(names[:_NAMED_MAX])
    more = len(names) - _NAMED_MAX
    return named + (f" and {more} more" if more > 0 else "")

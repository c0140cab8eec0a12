"""Which of several versions to take, and why; or why there is no clear winner.

Two kinds of evidence, two rules.

- *Answers on labelled rows* (`chopmark.domain.paired_evidence`): paired tests of every pair, adjusted
  after Holm. A winner beats every other version significantly.
- *Recorded metrics*, here: no test can be made of single numbers, so a winner must dominate: be
  clearly better than every other in at least one metric whose direction is known, and worse in none.
  What was measured on the rows of the training is no evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from chopmark.domain.metrics import Direction, direction_of

__all__ = [
    "Basis",
    "Candidate",
    "Recommendation",
    "SameData",
    "is_of_training",
    "others",
    "recommend_by_metrics",
    "told_unjudged",
    "undecided",
]

TOLERANCE = 0.001
"""Recorded metrics nearer than this, relatively, count as equal."""

FLOOR = 0.01
"""A recorded metric that is better by no more than this, relatively, decides nothing."""

_FASTER = 1.5
_REASON_LENGTH_MAX = 120
_TRAINING = frozenset(("train", "training"))
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
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
    unjudged
        Reference → why it was left out: it failed on the data, or could not be judged there.
    """

    winner: str
    basis: Basis
    sentence: str
    reasons: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    tie_breaks: tuple[str, ...] = ()
    unjudged: dict[str, str] = {}


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
    recorded = candidates
    candidates = [_without_training(c) for c in candidates]
    standings = {(a.ref, b.ref): _standing(a, b, told) for a in candidates for b in candidates if a.ref != b.ref}
    if all(not s.judged for s in standings.values()):
        return undecided("none", _why_nothing(recorded, candidates), candidates=candidates)
    for candidate in candidates:
        against = [standings[candidate.ref, other.ref] for other in candidates if other is not candidate]
        if all(s.better and not s.worse for s in against):
            if not all(s.is_clear for s in against):
                break
            reasons = tuple(_dominance(s) for s in against)
            where = "evaluations on the same data" if basis == "evaluations" else "recorded metrics"
            sentence = (
                f"{candidate.ref} is better than {others([s.other for s in against])} in {_named(_common(against))} and worse in none"
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
    why = "none is better in one metric and worse in none"
    if not any(s.is_clear for s in standings.values()):
        why = f"the differences are too small to tell without data (at most {FLOOR:.0%})"
    elif any(
        all(standings[c.ref, o.ref].better and not standings[c.ref, o.ref].worse for o in candidates if o is not c)
        for c in candidates
    ):
        why = f"some differences are too small to tell without data (at most {FLOOR:.0%})"
    return undecided(basis, why, reasons=reasons, cautions=cautions, candidates=candidates)


def is_of_training(metric: str) -> bool:
    """Whether a metric says by its name that it was measured on the rows of the training: ``train_auc``."""
    return any(word.lower() in _TRAINING for word in _WORD.findall(metric.partition(" on ")[0]))


def _without_training(candidate: Candidate) -> Candidate:
    kept = {name: value for name, value in candidate.metrics.items() if not is_of_training(name)}
    return msgspec.structs.replace(candidate, metrics=kept)


def _why_nothing(recorded: Sequence[Candidate], candidates: Sequence[Candidate]) -> str:
    if _share_metrics(candidates):
        return "nothing says whether more or less of their metrics is better"
    if _share_metrics(recorded):
        return "the metrics that the versions share were measured on the rows of their training"
    return "the versions share no recorded metric"


def _share_metrics(candidates: Sequence[Candidate]) -> bool:
    return any(set(a.metrics) & set(b.metrics) for a in candidates for b in candidates if a is not b)


class _Standing(msgspec.Struct, frozen=True):
    """Metrics in which a version is better and worse than another, how many were judged, and if one clearly tells."""

    other: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    judged: int
    is_clear: bool


def _standing(a: Candidate, b: Candidate, directions: Mapping[str, Direction]) -> _Standing:
    better: list[str] = []
    worse: list[str] = []
    judged = 0
    is_clear = False
    for name in a.metrics:
        direction = directions.get(name) or direction_of(name)
        if name not in b.metrics or direction is None:
            continue
        judged += 1
        mine, theirs = a.metrics[name], b.metrics[name]
        largest = max(abs(mine), abs(theirs))
        # halves: the difference of two numbers may overflow, that of their halves cannot
        difference = abs(mine / 2 - theirs / 2) / (largest / 2) if largest else 0.0
        if difference > TOLERANCE:
            is_better = (mine > theirs) == (direction == "maximize")
            (better if is_better else worse).append(name)
            is_clear |= is_better and difference > FLOOR
    return _Standing(b.ref, tuple(better), tuple(worse), judged, is_clear)


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
        return f"{a.ref} and {b.ref} are within {TOLERANCE:.1%} of each other in every metric whose direction is known"
    sides = ((a.ref, standing.better), (b.ref, standing.worse))
    told = ", ".join(f"{ref} is better in {_named(names)}" for ref, names in sides if names)
    return f"{a.ref} against {b.ref}: {told}"


def _common(against: Sequence[_Standing]) -> Sequence[str]:
    common = [name for name in against[0].better if all(name in s.better for s in against)]
    return common or list(dict.fromkeys(name for s in against for name in s.better))


def undecided(
    basis: Basis,
    why: str,
    *,
    candidates: Sequence[Candidate],
    reasons: tuple[str, ...] = (),
    cautions: tuple[str, ...] = (),
    unjudged: Mapping[str, str] | None = None,
) -> Recommendation:
    """No clear winner, why, and what may break the tie of the candidates."""
    ties = _tie_breaks(candidates)
    sentence = f"No clear winner: {why}.{told_unjudged(unjudged or {})}"
    if ties:
        sentence += f" {'; '.join(ties)}."
    return Recommendation(
        winner="",
        basis=basis,
        sentence=sentence,
        reasons=reasons,
        cautions=cautions,
        tie_breaks=ties,
        unjudged=dict(unjudged or {}),
    )


def told_unjudged(unjudged: Mapping[str, str]) -> str:
    """A sentence, after a space, of who was not judged and why; empty when everybody was."""
    if not unjudged:
        return ""
    told = [f"{ref} ({_first_words(why)})" for ref, why in list(unjudged.items())[:_NAMED_MAX]]
    more = len(unjudged) - _NAMED_MAX
    return f" Not judged: {', '.join(told)}" + (f" and {more} more" if more > 0 else "") + "."


def _first_words(text: str) -> str:
    line = text.partition("\n")[0].rstrip(".")
    return line if len(line) <= _REASON_LENGTH_MAX else line[: _REASON_LENGTH_MAX - 1] + "…"


def _tie_breaks(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    refs = [c.ref for c in candidates]
    found = (
        _least(refs, [c.cost_per_request for c in candidates], "costs least a request", "{:g}"),
        _least(refs, [c.latency_ms for c in candidates], "is fastest", "{:.3g} ms a batch", clearly=_FASTER),
        _least(refs, [c.size_bytes or None for c in candidates], "is smallest", "{:,} bytes"),
    )
    return tuple(text for text in found if text)


def _least(refs: Sequence[str], values: Sequence[float | None], what: str, form: str, clearly: float = 1.05) -> str:
    known = [(value, ref) for ref, value in zip(refs, values, strict=True) if value is not None]
    if len(known) < 2 or len(known) < len(refs):  # noqa: PLR2004
        return ""
    (least, ref), second = min(known), sorted(known)[1][0]
    if second <= clearly * least:
        return ""
    return f"{ref} {what} ({form.format(least)})"


def others(refs: Sequence[str]) -> str:
    """The others in words: one or two by reference, more by their number."""
    return " and ".join(refs) if len(refs) <= 2 else f"each of the {len(refs)} others"  # noqa: PLR2004


def _named(names: Sequence[str]) -> str:
    named = ", ".join(names[:_NAMED_MAX])
    more = len(names) - _NAMED_MAX
    return named + (f" and {more} more" if more > 0 else "")

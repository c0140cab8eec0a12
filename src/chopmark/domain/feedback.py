"""Feedback: what turned out to be true of an answer, told later by the answer's request id; pure.

The id says which endpoint, version and variant answered, and when (`chopmark.domain.request_ids`), so that truth joins them however
late it comes. Of what is said twice of one answer, what was said last counts, in whatever order it arrives.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from chopmark.base.clock import to_us
from chopmark.base.jsons import canonical
from chopmark.domain.names import check_text
from chopmark.errors import InvalidRequest

__all__ = [
    "Confused",
    "Feedback",
    "FeedbackTotals",
    "Judged",
    "JudgedFeedback",
    "LabelSummary",
    "check_feedback",
    "check_numbers",
    "check_said_at",
    "judged",
    "label_summary",
    "of_item",
    "tie_of",
]

Label = str | int | float | bool

_LABEL_LENGTH_MAX = 200
CONFUSED_MAX = 100
"""Pairs of truth and answer that a summary tells, the most frequent first."""

_AHEAD_MAX = timedelta(minutes=5)
_BEFORE_MAX = timedelta(minutes=1)
"""What clocks may differ by: of who says when something was found, and of who answered."""


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of one answer.

    Attributes
    ----------
    request_id
        The ``x-chopmark-request-id`` that came with it.
    label
        What was true: a class (a text, a truth value or a whole number), or a number.
    prediction
        What was answered, to be compared with the label. Without it, or ``correct``, a label counts for coverage only.
    correct
        Whether the answer was right, by whoever knows.
    value
        A number that the answer came to: money, a rating.
    at
        When this was found: not before the request was asked, nor in the future. Of what is said twice of an answer the last
        counts. By default when it arrives.
    """

    request_id: str
    label: Label | None = None
    prediction: Label | None = None
    correct: bool | None = None
    value: float | None = None
    at: datetime | None = None


class Judged(NamedTuple):
    """What feedback comes to.

    Attributes
    ----------
    label, prediction
        As classes; empty when not said.
    is_right
        Of classes, or as it was said; None when it cannot be known.
    error
        Of numbers: prediction minus label; None when there are not both.
    is_number
        Whether one of them is no whole number: then both are numbers and no classes.
    value
        As it was said.
    """

    label: str
    prediction: str
    is_right: bool | None
    error: float | None
    is_number: bool
    value: float | None


class JudgedFeedback(NamedTuple):
    """Feedback on an answer that is known: whose it was, when, and what it comes to.

    Attributes
    ----------
    request
        The end of the request id, which no other has.
    asked_at, said_at
        When the request was asked, and when this was found.
    judged
        What it comes to.
    """

    endpoint: UUID
    version: UUID
    variant: str
    asked_at: datetime
    request: bytes
    said_at: datetime
    judged: Judged


class FeedbackTotals(NamedTuple):
    """Feedback on the answers of one variant, added up.

    Attributes
    ----------
    labels
        Answers of which anything was said.
    judged, right
        Those of which is known whether they were right, and that were.
    numbers, error_total, error_abs_total, error_squares_total
        Those with two numbers, and sums of their errors.
    with_fractions
        Those of which a number was no whole one.
    values, value_total, value_least, value_greatest
        Of what was said as ``value``.
    """

    version: UUID
    variant: str
    labels: int
    judged: int
    right: int
    numbers: int
    error_total: float
    error_abs_total: float
    error_squares_total: float
    with_fractions: int
    values: int
    value_total: float
    value_least: float
    value_greatest: float


class Confused(msgspec.Struct, frozen=True):
    """How often one class was answered where another (or the same) was true."""

    label: str
    prediction: str
    count: int


class LabelSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of the truth about a variant's answers.

    Attributes
    ----------
    labels
        Answers of which anything was said.
    coverage
        Their share of the requests that were answered; of others nothing can turn out.
    accuracy
        Of those of which is known whether they were right; None when there are none, or labels are numbers.
    judged
        How many those are.
    mean_abs_error, root_mean_squared_error, mean_error
        Of numbers; None when labels are classes.
    value_count, value_mean, value_least, value_greatest
        Of what was said as ``value``.
    confusion
        Truth and answer of classes, the most frequent pairs first.
    """

    labels: int = 0
    coverage: float = 0.0
    accuracy: float | None = None
    judged: int = 0
    mean_abs_error: float | None = None
    root_mean_squared_error: float | None = None
    mean_error: float | None = None
    value_count: int = 0
    value_mean: float | None = None
    value_least: float | None = None
    value_greatest: float | None = None
    confusion: tuple[Confused, ...] = ()


def check_feedback(feedback: Feedback) -> Feedback:
    """The feedback, once it says something that can be kept.

    Raises
    ------
    InvalidRequest
        When it says nothing, or a number is not finite.
    """
    said = (feedback.label, feedback.prediction, feedback.value)
    if feedback.label is None and feedback.correct is None and feedback.value is None:
        raise InvalidRequest("This feedback says nothing.", hint="Give label, correct or value.")
    if feedback.at is not None:
        to_us(feedback.at)  # refuses a time without zone
    check_numbers(feedback)
    for each in said:
        if isinstance(each, str):
            check_text(each, "label", _LABEL_LENGTH_MAX)
    return feedback


def check_numbers(feedback: Feedback) -> None:
    """Raise `InvalidRequest` unless each number of it is one that is kept as it is."""
    for each in (feedback.label, feedback.prediction, feedback.value):
        if isinstance(each, float) and not math.isfinite(each):
            raise InvalidRequest("A number in feedback is not finite.", hint="Leave out what is not known.")
        if isinstance(each, int) and abs(each) > 2**53:
            raise InvalidRequest("A whole number in feedback is too large.", hint="Send names of classes as texts.")


def check_said_at(feedback: Feedback, asked_at: datetime, now: datetime) -> None:
    """Raise `InvalidRequest` unless it can have been found when it says: what is of the future would never be corrected.

    Parameters
    ----------
    feedback
        What is said.
    asked_at
        When the request was asked, as its id says; a minute before it is taken for a difference of clocks.
    now
        When it is said; so are five minutes after it.
    """
    if feedback.at is None:
        return
    if feedback.at > now + _AHEAD_MAX:
        msg = f"This was found at {_written(feedback.at)}, which is in the future: it is {_written(now)}."
    elif feedback.at < asked_at - _BEFORE_MAX:
        msg = f"This was found at {_written(feedback.at)}, before the request was asked at {_written(asked_at)}."
    else:
        return
    raise InvalidRequest(msg, hint="at says when it was found; leave it out for now.")


def of_item(error: InvalidRequest, number: int, of: int) -> InvalidRequest:
    """The error as that of one of several, which its ``details`` name as ``item``, from 1; ``said`` is what it says of it alone."""
    said = error.details.get("said", error.message)
    return InvalidRequest(f"Item {number:,}: {said}" if of > 1 else said, hint=error.hint, item=number, said=said)


def _written(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def judged(feedback: Feedback) -> Judged:
    """What feedback comes to.

    Examples
    --------
    >>> judged(Feedback(request_id="", label="fraud", prediction="fine")).is_right
    False
    >>> judged(Feedback(request_id="", label=12.5, prediction=12)).error
    -0.5
    """
    label, prediction = feedback.label, feedback.prediction
    both = label is not None and prediction is not None
    error = None
    if isinstance(label, int | float) and isinstance(prediction, int | float):
        error = float(prediction) - float(label)
    is_number = error is not None and (_is_fraction(label) or _is_fraction(prediction))
    is_right = feedback.correct
    if is_right is None and both and not is_number:
        is_right = _class(label) == _class(prediction)
    return Judged(_class(label), _class(prediction), is_right, error, is_number, feedback.value)


def tie_of(found: Judged) -> int:
    """By which one of two is chosen that were said of one answer at the same time: any order gives the same."""
    digest = hashlib.blake2b(canonical(list(found)), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _is_fraction(value: object) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _class(value: Label | None) -> str:
    """A class as a text; 1 and 1.0 are one, as JSON has them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def label_summary(
    totals: Iterable[FeedbackTotals], confused: Iterable[Confused], answered: int, *, has_fractions: bool | None = None
) -> LabelSummary | None:
    """What totals of some variants come to together; None when nothing was said.

    Parameters
    ----------
    totals
        Of the variants.
    confused
        Pairs of classes, of all of them.
    answered
        Requests that they answered.
    has_fractions
        Whether labels are numbers; by default when one of these was no whole number.
    """
    found = list(totals)
    labels = sum(each.labels for each in found)
    if not labels:
        return None
    are_numbers = any(each.with_fractions for each in found) if has_fractions is None else has_fractions
    judged_count, right = sum(t.judged for t in found), sum(t.right for t in found)
    n = sum(each.numbers for each in found)
    errors = are_numbers and n > 0
    values = [each for each in found if each.values]
    value_count = sum(each.values for each in values)
    return LabelSummary(
        labels=labels,
        coverage=min(labels / answered, 1.0) if answered else 0.0,
        accuracy=right / judged_count if judged_count and not are_numbers else None,
        judged=0 if are_numbers else judged_count,
        mean_abs_error=sum(t.error_abs_total for t in found) / n if errors else None,
        root_mean_squared_error=math.sqrt(sum(t.error_squares_total for t in found) / n) if errors else None,
        mean_error=sum(t.error_total for t in found) / n if errors else None,
        value_count=value_count,
        value_mean=sum(t.value_total for t in values) / value_count if value_count else None,
        value_least=min((t.value_least for t in values), default=None),
        value_greatest=max((t.value_greatest for t in values), default=None),
        confusion=() if are_numbers else _most_frequent(confused),
    )


def _most_frequent(confused: Iterable[Confused]) -> tuple[Confused, ...]:
    counts: dict[tuple[str, str], int] = {}
    for each in confused:
        pair = (each.label, each.prediction)
        counts[pair] = counts.get(pair, 0) + each.count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Confused(label, prediction, count) for (label, prediction), count in ordered[:CONFUSED_MAX])

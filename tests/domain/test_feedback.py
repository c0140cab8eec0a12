"""Feedback: what it comes to, and that summaries of parts are those of the whole."""

import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.domain.feedback import (
    CONFUSED_MAX,
    Confused,
    Feedback,
    FeedbackTotals,
    check_feedback,
    check_said_at,
    judged,
    label_summary,
    of_item,
    tie_of,
)
from chopmark.errors import InvalidRequest

ONE = UUID(int=1)


def said(**facts: object) -> Feedback:
    return Feedback(request_id="x", **facts)  # type: ignore[arg-type] # as JSON has them


@pytest.mark.parametrize(
    ("facts", "is_right", "error", "is_number"),
    [
        ({"label": "a", "prediction": "a"}, True, None, False),
        ({"label": "a", "prediction": "b"}, False, None, False),
        ({"label": 1, "prediction": 1.0}, True, 0.0, False),
        ({"label": True, "prediction": "true"}, True, None, False),
        ({"label": "1", "prediction": 1}, True, None, False),
        ({"label": 2, "prediction": 1}, False, -1.0, False),
        ({"label": 2.5, "prediction": 2}, None, -0.5, True),
        ({"label": 2.5, "prediction": 2.5, "correct": False}, False, 0.0, True),
        ({"label": "a"}, None, None, False),
        ({"correct": True}, True, None, False),
        ({"value": 3.0}, None, None, False),
    ],
)
def test_what_feedback_comes_to(
    facts: dict[str, object], is_right: bool | None, error: float | None, is_number: bool
) -> None:
    found = judged(check_feedback(said(**facts)))
    assert (found.is_right, found.error, found.is_number) == (is_right, error, is_number)


def test_two_that_differ_have_no_tie() -> None:
    found = [judged(said(label=label, prediction=answer)) for label in "abc" for answer in "abc"]
    assert len({tie_of(each) for each in found}) == 9
    assert tie_of(found[0]) == tie_of(judged(said(label="a", prediction="a")))


@pytest.mark.parametrize(
    "facts", [{}, {"prediction": 1}, {"label": math.nan}, {"value": math.inf}, {"label": "x" * 201}]
)
def test_what_says_nothing_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        check_feedback(said(**facts))


ASKED, LATER = datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (LATER + timedelta(minutes=5, seconds=1), "2026-03-05 12:05:01 UTC, which is in the future"),
        (datetime(2030, 1, 1, tzinfo=UTC), "it is 2026-03-05 12:00:00 UTC"),
        (ASKED - timedelta(minutes=1, seconds=1), "before the request was asked at 2026-03-02 12:00:00 UTC"),
    ],
)
def test_what_cannot_have_been_found_at_that_time_is_refused(at: datetime, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_said_at(said(correct=True, at=at), ASKED, LATER)


@pytest.mark.parametrize("at", [None, LATER + timedelta(minutes=5), LATER, ASKED, ASKED - timedelta(minutes=1)])
def test_clocks_may_differ_a_little(at: datetime | None) -> None:
    check_said_at(said(correct=True, at=at), ASKED, LATER)


def test_an_error_of_one_of_several_says_which_and_of_one_does_not() -> None:
    error = InvalidRequest("It says nothing.", hint="Say something.")
    alone, third = of_item(error, 1, 1), of_item(error, 3, 9)
    assert (alone.message, third.message, third.hint) == (
        "It says nothing.",
        "Item 3: It says nothing.",
        "Say something.",
    )
    assert of_item(third, 1_003, 2_000).message == "Item 1,003: It says nothing."
    assert of_item(third, 1_003, 2_000).details == {"item": 1_003, "said": "It says nothing."}


def totals(**more: float) -> FeedbackTotals:
    nothing = dict.fromkeys(FeedbackTotals._fields[2:], 0)
    return FeedbackTotals(version=ONE, variant="a", **{**nothing, **more})  # type: ignore[arg-type]


counts = st.integers(0, 1_000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(counts, counts, counts), min_size=1, max_size=6), st.integers(1, 10_000))
def test_parts_come_to_what_the_whole_does(parts: list[tuple[int, int, int]], answered: int) -> None:
    rows = [totals(labels=a + b, judged=a + b, right=a, values=c, value_total=float(c)) for a, b, c in parts]
    whole = totals(
        labels=sum(r.labels for r in rows),
        judged=sum(r.judged for r in rows),
        right=sum(r.right for r in rows),
        values=sum(r.values for r in rows),
        value_total=sum(r.value_total for r in rows),
    )
    assert label_summary(rows, (), answered) == label_summary([whole], (), answered)


def test_there_is_no_summary_of_nothing_and_no_coverage_of_no_answers() -> None:
    assert label_summary([], (), 9) is None
    assert label_summary([totals()], (), 9) is None
    found = label_summary([totals(labels=3)], (), 0)
    assert found is not None
    assert (found.coverage, found.accuracy, found.mean_abs_error, found.value_mean) == (0.0, None, None, None)


def test_a_fraction_makes_all_of_them_numbers() -> None:
    classes = totals(labels=4, judged=4, right=3, numbers=4, error_abs_total=1.0, error_squares_total=1.0)
    fractions = totals(labels=4, numbers=4, error_abs_total=3.0, error_squares_total=3.0, with_fractions=1)
    pairs = [Confused("1", "1", 3)]
    alone = label_summary([classes], pairs, 8)
    assert alone is not None
    assert (alone.accuracy, alone.mean_abs_error, alone.confusion) == (0.75, None, tuple(pairs))
    both = label_summary([classes, fractions], pairs, 8)
    assert both is not None
    assert (both.accuracy, both.judged, both.mean_abs_error, both.confusion) == (None, 0, 0.5, ())
    assert both.root_mean_squared_error == math.sqrt(0.5)


def test_the_most_frequent_pairs_are_told_in_one_order() -> None:
    pairs = [Confused(f"{n:03}", "x", n % 7 + 1) for n in range(200)] + [Confused("000", "x", 50)]
    found = label_summary([totals(labels=1, judged=1)], pairs, 1)
    again = label_summary([totals(labels=1, judged=1)], reversed(pairs), 1)
    assert found is not None
    assert found == again
    assert found.confusion[0] == Confused("000", "x", 51)
    assert len(found.confusion) == CONFUSED_MAX
    assert [c.count for c in found.confusion] == sorted((c.count for c in found.confusion), reverse=True)

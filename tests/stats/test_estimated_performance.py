"""Performance without labels: the expectation by its definition, by simulation, and by bins that add up."""

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.stats.estimated_performance import CAVEAT, ExpectedPerformance, ScoreTable, expected_performance

CHANCES = st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=1, max_size=25)
RATIOS = ("accuracy", "precision", "recall", "specificity", "f1", "roc_auc", "average_precision")


def area_by_definition(chances: list[float], scores: list[float]) -> float | None:
    pairs = sum(chances) * sum(1 - p for p in chances)
    if pairs == 0:
        return None
    found = 0.0
    for p, s in zip(chances, scores, strict=True):
        for q, t in zip(chances, scores, strict=True):
            found += p * (1 - q) * ((s > t) + (s == t) / 2)
    return found / pairs


@given(CHANCES, st.sampled_from([0.25, 0.5, 0.8]), st.booleans())
@settings(deadline=None)
def test_the_expectation_is_its_definition(chances, threshold, by_square):
    scores = [p * p for p in chances] if by_square else chances
    found = expected_performance(chances, scores=scores, threshold=threshold)
    tp = sum(p for p, s in zip(chances, scores, strict=True) if s >= threshold)
    fp = sum(1 - p for p, s in zip(chances, scores, strict=True) if s >= threshold)
    fn, tn = sum(chances) - tp, sum(1 - p for p in chances) - fp
    cells = (found.true_positives, found.false_positives, found.false_negatives, found.true_negatives)
    assert cells == pytest.approx((tp, fp, fn, tn), abs=1e-9)
    assert found.accuracy == pytest.approx((tp + tn) / len(chances))
    assert found.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp > 1e-12 else 0.0, abs=1e-9)
    assert found.accuracy_standard_error == pytest.approx(
        math.sqrt(sum(p * (1 - p) for p in chances)) / len(chances), abs=1e-9
    )
    expected = area_by_definition(chances, scores)
    assert found.roc_auc == (None if expected is None else pytest.approx(expected, abs=1e-9))
    assert all(value is None or 0 <= value <= 1 for value in (getattr(found, name) for name in RATIOS))
    assert msgspec.json.decode(msgspec.json.encode(found), type=ExpectedPerformance) == found


def test_it_is_what_labels_drawn_by_the_scores_show():
    source = np.random.default_rng(4)
    chances = source.beta(1, 2, 3_000)
    found = expected_performance(chances)
    accuracies = [((chances >= 0.5) == (source.random(3_000) < chances)).mean() for _ in range(400)]
    assert found.accuracy == pytest.approx(np.mean(accuracies), abs=4 * found.accuracy_standard_error / 20)
    assert found.accuracy_standard_error == pytest.approx(np.std(accuracies), rel=0.15)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=3),
    st.sampled_from([0.3, 0.5]),
)
@settings(deadline=None)
def test_tables_add_up_whatever_the_batches(chances, cuts, threshold):
    whole = ScoreTable.of(chances, threshold=threshold, bins=32)
    places = [0, *sorted(min(cut, len(chances)) for cut in cuts), len(chances)]
    parts = [ScoreTable.of(np.array(chances[a:b]), threshold=threshold, bins=32) for a, b in pairwise(places)]
    for order in (parts, parts[::-1]):
        total = order[0]
        for part in order[1:]:
            total += part
        assert total.counts == whole.counts
        assert total.sums == pytest.approx(whole.sums)
        assert total.squares == pytest.approx(whole.squares)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=ScoreTable) == whole
    exact, binned = expected_performance(chances, threshold=threshold), whole.performance()
    for name in ("n", "true_positives", "false_negatives", "accuracy", "precision", "recall", "specificity", "f1"):
        assert getattr(binned, name) == pytest.approx(getattr(exact, name), abs=1e-9)
    assert binned.accuracy_standard_error == pytest.approx(exact.accuracy_standard_error, abs=1e-7)


def test_bins_cost_the_ranking_little():
    chances = np.random.default_rng(5).beta(2, 3, 20_000)
    exact, binned = expected_performance(chances), ScoreTable.of(chances).performance()
    assert binned.roc_auc == pytest.approx(exact.roc_auc, abs=2e-5)
    assert binned.average_precision == pytest.approx(exact.average_precision, abs=2e-3)


def test_scores_on_the_threshold_are_positive():
    assert expected_performance([0.5]).true_positives == 0.5
    assert ScoreTable.of([0.5, math.nextafter(0.5, 0)], bins=4).counts == (0, 1, 1, 0)
    assert ScoreTable.of([0.0, 1.0], bins=4).counts == (1, 0, 0, 1)


def test_only_positives_or_only_negatives():
    sure = expected_performance([1.0, 1.0])
    assert (sure.accuracy, sure.precision, sure.recall, sure.f1, sure.specificity) == (1.0, 1.0, 1.0, 1.0, 0.0)
    assert (sure.roc_auc, sure.average_precision) == (None, 1.0)
    never = expected_performance([0.0, 0.0])
    assert (never.accuracy, never.precision, never.recall, never.f1) == (1.0, 0.0, 0.0, 0.0)
    assert (never.roc_auc, never.average_precision) == (None, None)


def test_the_caveat_is_printed():
    found = expected_performance([0.9, 0.2])
    assert "concept drift" in CAVEAT
    assert str(found).endswith(CAVEAT)
    assert "accuracy 0.8500" in str(found)
    assert found.caveat == CAVEAT


@pytest.mark.parametrize(
    "call",
    [
        lambda: expected_performance([]),
        lambda: expected_performance([1.1]),
        lambda: expected_performance([-0.1]),
        lambda: expected_performance([math.nan]),
        lambda: expected_performance(["a"]),
        lambda: expected_performance([0.5], scores=[0.5, 0.5]),
        lambda: expected_performance([0.5], threshold=0.0),
        lambda: expected_performance([0.5], threshold=math.nan),
        lambda: ScoreTable.of([0.5], bins=3),
        lambda: ScoreTable.of([0.5], bins=0),
        lambda: ScoreTable.of([]).performance(),
        lambda: ScoreTable.of([0.5], bins=4) + ScoreTable.of([0.5], bins=8),
        lambda: ScoreTable.of([0.5], threshold=0.4) + ScoreTable.of([0.5]),
        lambda: ScoreTable(threshold=0.5, counts=(1, 0), sums=(2.0, 0.0), squares=(0.0, 0.0)),
        lambda: ScoreTable(threshold=0.5, counts=(1, -1), sums=(1.0, 0.0), squares=(1.0, 0.0)),
        lambda: ScoreTable(threshold=0.5, counts=(1,), sums=(1.0,), squares=(1.0,)),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InvalidRequest) as refused:
        call()
    assert refused.value.hint

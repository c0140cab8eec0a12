"""Estimated accuracy: beside other libraries' values, by simulation, by sums that add up, and in words where it cannot be said."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chopmark.errors import InvalidRequest
from chopmark.stats.binning import NumericBins, bins_of, count_values
from chopmark.stats.calibration_table import CalibrationTable
from chopmark.stats.estimated_accuracy import EstimatedAccuracy, estimated_accuracy, together
from chopmark.stats.estimated_performance import CAVEAT, expected_performance
from chopmark.stats.profile import Profile
from chopmark.stats.reference import streams

REFERENCE = Path(__file__).parents[1] / "reference" / "monitoring" / "drift_reference_public.json"
RUNS = 200


def profile_of(scores: Any, labels: Any, threshold: float = 0.5) -> Profile:
    return Profile.of({"row": np.arange(len(scores))}, scores=scores, labels=labels, threshold=threshold)


def estimated(profile: Profile, scores: Any) -> EstimatedAccuracy:
    assert profile.scores is not None
    return estimated_accuracy(profile.scores, profile.calibration, count_values(profile.scores, np.asarray(scores)))


def logistic(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


class World(NamedTuple):
    """A model of one column, a reference of it, and what comes later."""

    slope: float = 2.0
    offset: float = 0.0
    mean: float = 0.0
    spread: float = 1.0
    threshold: float = 0.5
    reference_n: int = 5_000
    n: int = 2_000
    sureness: float = 1.0
    """Scores are surer of themselves than they should be where it is above 1."""
    concept: float = 0.0
    """By how much the same column means something else later."""

    def run(self, seed: int) -> tuple[EstimatedAccuracy, float]:
        source = np.random.default_rng(seed)

        def made(n: int, mean: float, spread: float, concept: float) -> tuple[Any, Any]:
            values = source.normal(mean, spread, n)
            labels = source.random(n) < logistic(self.slope * (values - concept) + self.offset)
            return logistic(self.sureness * (self.slope * values + self.offset)), labels

        profile = profile_of(*made(self.reference_n, 0.0, 1.0, 0.0), self.threshold)
        scores, labels = made(self.n, self.mean, self.spread, self.concept)
        return estimated(profile, scores), float(((scores >= self.threshold) == labels).mean())


WORLDS = {
    "as before": World(),
    "moved to where it is surer": World(mean=0.5, spread=0.9),
    "moved to where it is less sure": World(spread=0.3),
    "a small reference": World(mean=0.5, spread=0.8, reference_n=500),
    "few positives": World(mean=0.8, spread=0.9, offset=-5.0, reference_n=20_000),
    "few positives and a low threshold": World(mean=0.8, spread=0.9, offset=-5.0, threshold=0.1, reference_n=20_000),
    "scores too sure of themselves": World(mean=0.5, spread=0.8, sureness=3.0),
    "many rows": World(mean=0.5, spread=0.8, n=50_000),
}


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_under_covariate_shift_the_true_accuracy_lies_in_the_interval(world: World) -> None:
    found = [world.run(seed) for seed in range(RUNS)]
    assert all(estimate.why == "" for estimate, _ in found)
    held = [(estimate.low or 0.0) <= truth <= (estimate.high or 0.0) for estimate, truth in found]
    assert np.mean(held) >= 0.9
    assert abs(np.mean([(estimate.accuracy or 0.0) - truth for estimate, truth in found])) < 0.005


def test_it_follows_where_the_accuracy_moves() -> None:
    before, after = World().run(1), World(spread=0.3).run(1)
    assert (before[0].low or 0.0) > (after[0].high or 1.0)
    assert before[1] - after[1] > 0.1


def test_it_does_not_see_concept_drift_and_says_so() -> None:
    """The same scores come to mean something else: the interval is that of before, and holds the truth in none of the runs."""
    found = [World(concept=0.8).run(seed) for seed in range(20)]
    steady = [World().run(seed)[0].accuracy or 0.0 for seed in range(20)]
    assert np.mean([e.accuracy or 0.0 for e, _ in found]) == pytest.approx(np.mean(steady), abs=0.005)
    assert not any((e.low or 0.0) <= truth <= (e.high or 0.0) for e, truth in found)
    assert all("concept drift" in e.caveat and e.caveat == CAVEAT for e, _ in found)


def test_it_is_what_nannyml_estimates_from_the_same_scores() -> None:
    """NannyML calibrates by isotonic regression of rows, and this by bins: they differ by 0.004, and by 0.01 where rows lie outside."""
    case = json.loads(REFERENCE.read_bytes())["performance"]
    given = [
        streams._binary(991 + place, n, means)
        for place, (n, means) in enumerate(zip([4_000, *[1_000] * 4], streams._CHUNK_MEANS, strict=True))
    ]
    assert streams._closed_form(*given[0])["sha256_16"] == case["closed_form"]["values"][0]["sha256_16"]
    profile = profile_of(*given[0])
    expected, realised = (case[name]["accuracy"] for name in ("nannyml_cbpe", "nannyml_realized"))
    assert len(expected) == 4
    for (scores, _), theirs, truth in zip(given[1:], expected, realised, strict=True):
        found = estimated(profile, scores)
        assert found.accuracy == pytest.approx(theirs, abs=0.004 if found.outside < 0.01 else 0.01)
        assert found.accuracy == pytest.approx(expected_performance(scores).accuracy, abs=0.02)
        assert (found.low or 0.0) <= truth <= (found.high or 0.0)


@given(st.lists(st.integers(0, 300), max_size=4), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_counts_of_any_parts_estimate_the_same(cuts: list[int], seed: int) -> None:
    source = np.random.default_rng(seed)
    chances = source.beta(1, 2, 800)
    profile = profile_of(chances, source.random(800) < chances)
    assert profile.scores is not None
    live = source.beta(2, 2, 300)
    places = [0, *sorted(cuts), 300]
    parts = [count_values(profile.scores, live[a:b]) for a, b in pairwise(places)]
    for order in (parts, parts[::-1]):
        total = order[0]
        for part in order[1:]:
            total += part
        found = estimated_accuracy(profile.scores, profile.calibration, total)
        assert found.accuracy == pytest.approx(estimated(profile, live).accuracy, abs=1e-12)
        assert found.high == pytest.approx(estimated(profile, live).high, abs=1e-12)


@given(st.floats(0.02, 0.98), st.integers(0, 20))
@settings(deadline=None)
def test_no_bin_lies_on_both_sides_of_the_threshold(threshold: float, seed: int) -> None:
    scores = np.random.default_rng(seed).beta(1, 3, 500)
    bins = bins_of("scores", scores, split_at=threshold)
    assert isinstance(bins, NumericBins)
    assert sum(bins.reference.counts[1:-2]) == 500
    assert min(bins.reference.counts[1:-2]) > 0
    below = sum(n for upper, n in zip(bins.uppers, bins.reference.counts[1:], strict=False) if upper < threshold)
    assert below == int((scores < threshold).sum())
    assert len(bins.uppers) <= 65
    plain = bins_of("scores", scores)
    assert isinstance(plain, NumericBins)
    assert set(plain.uppers) <= set(bins.uppers)


def test_what_lies_outside_widens_the_interval_to_all_that_it_may_be() -> None:
    source = np.random.default_rng(2)
    chances = source.uniform(0.2, 0.8, 5_000)
    profile = profile_of(chances, source.random(5_000) < chances)
    within = source.uniform(0.25, 0.75, 970)
    inner = estimated(profile, within)
    outer = estimated(profile, np.concatenate([within, [0.95] * 20, [np.nan] * 10]))
    assert outer.accuracy == inner.accuracy
    assert outer.rows == 1_000
    assert outer.outside == pytest.approx(0.03)
    assert outer.low == pytest.approx(0.97 * (inner.low or 0.0))
    assert outer.high == pytest.approx(0.97 * (inner.high or 0.0) + 0.03)


def test_where_it_cannot_be_said_it_says_why() -> None:
    source = np.random.default_rng(3)
    chances = source.uniform(0.2, 0.8, 1_000)
    labels = source.random(1_000) < chances
    profile = profile_of(chances, labels)
    bins, table = profile.scores, profile.calibration
    live = profile.count({"row": [1] * 500}, scores=chances[:500]).scores
    assert estimated_accuracy(bins, table, live).why == ""
    cases: list[tuple[EstimatedAccuracy, str]] = [
        (estimated_accuracy(bins, None, live), "no calibration"),
        (estimated_accuracy(None, None, None), "no calibration"),
        (estimated_accuracy(bins, table, None), "No answers with a probability"),
        (estimated(profile, []), "No answers with a probability"),
        (estimated(profile, chances[:99]), "Too few scores were sampled: 99"),
        (
            estimated(profile, np.append(chances[:500], [0.9] * 30)),
            "5.66 % of the sampled scores lie outside 0.201 to 0.8",
        ),
        (estimated(profile_of(chances[:199], labels[:199]), chances), "rests on 199 rows"),
        (estimated(profile_of(labels.astype(float), labels), labels.astype(float)), "classes and no probabilities"),
        (estimated(profile_of(np.zeros(500), labels[:500]), np.zeros(500)), "classes and no probabilities"),
        (estimated_accuracy(bins, CalibrationTable.of(chances, labels), live), "other bins than its scores"),
    ]
    for found, words in cases:
        assert words in found.why, found
        assert (found.accuracy, found.low, found.high, found.standard_error) == (None, None, None, None)
        assert str(found).startswith("Estimated accuracy is not known: ")
    assert "without labels" in str(estimated(profile, chances))


def test_of_scores_of_a_few_values_others_in_between_are_nowhere_in_the_reference() -> None:
    scores = np.array([0.1, 0.3, 0.8] * 200)
    profile = profile_of(scores, np.array([0, 1, 1] * 200))
    found = estimated(profile, [0.1] * 300 + [0.3] * 100)
    assert found.accuracy == 0.75  # those at 0.3 are called negative, and none of them was
    assert "have values where" in estimated(profile, [0.1] * 300 + [0.2] * 100).why
    low = profile_of(scores, np.array([0, 1, 1] * 200), threshold=0.2)
    assert estimated(low, [0.1] * 300 + [0.3] * 100).accuracy == 1.0


def test_a_profile_estimates_of_its_own_counts_only() -> None:
    source = np.random.default_rng(4)
    chances = source.random(1_000)
    profile, other = (profile_of(chances, source.random(1_000) < chances, threshold) for threshold in (0.5, 0.3))
    counts = profile.count({"row": np.zeros(400)}, scores=chances[:400])
    assert profile.estimated_accuracy(counts) == estimated(profile, chances[:400])
    with pytest.raises(InvalidRequest, match="another profile"):
        other.estimated_accuracy(counts)


def test_together_variants_count_by_their_rows() -> None:
    one = EstimatedAccuracy(accuracy=0.9, low=0.88, high=0.92, standard_error=0.01, rows=300, reference_rows=900)
    two = EstimatedAccuracy(accuracy=0.7, low=0.66, high=0.74, standard_error=0.02, rows=100, reference_rows=500)
    unknown = EstimatedAccuracy(rows=5_000, why="It has none.")
    both = together([one, unknown, two])
    assert both.accuracy == pytest.approx(0.85)
    assert (both.rows, both.reference_rows, both.why) == (400, 500, "")
    assert both.standard_error == pytest.approx(np.hypot(0.75 * 0.01, 0.25 * 0.02))
    assert together([unknown, one]) == one
    assert together([unknown, structs.replace(unknown, rows=1, why="?")]) == unknown
    assert together([], "Nothing came.").why == "Nothing came."


def test_a_threshold_that_is_no_share_and_counts_of_other_bins_are_refused() -> None:
    scores = np.linspace(0.01, 0.99, 300)
    for threshold in (0.0, 1.0, np.nan):
        with pytest.raises(InvalidRequest, match="threshold"):
            profile_of(scores, scores > 0.5, threshold)
    with pytest.raises(InvalidRequest, match="other bins"):
        profile_of(scores, scores > 0.5).calibration + profile_of(scores, scores > 0.5, 0.4).calibration  # type: ignore[operator]
    profile = profile_of(scores, scores > 0.5)
    counted = count_values(bins_of("x", scores, bins=9), scores)
    with pytest.raises(InvalidRequest, match="other bins"):
        estimated_accuracy(profile.scores, profile.calibration, counted)

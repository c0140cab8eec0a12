"""Bandits: probabilities against exact ones and draws, shares that sum to one and keep their floor."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.stats.bandits import ARMS_MAX, probability_best, thompson_shares, top_two_shares
from chopmark.stats.bayes import BetaPrior, beta_binomial
from chopmark.stats.summaries import Proportion

counts = st.integers(0, 10**7).flatmap(lambda n: st.integers(0, n).map(lambda s: Proportion(s, n)))
chances = st.lists(st.floats(0, 1), min_size=1, max_size=8).filter(sum).map(lambda raw: [c / sum(raw) for c in raw])


@settings(deadline=None, max_examples=40)
@given(st.lists(counts, min_size=1, max_size=6), st.randoms())
def test_probabilities_sum_to_one_and_follow_their_arms(arms, random):
    found = probability_best(arms)
    assert sum(found) == pytest.approx(1, abs=1e-12)
    assert all(0 <= chance <= 1 for chance in found)
    order = list(range(len(arms)))
    random.shuffle(order)
    assert probability_best([arms[i] for i in order]) == pytest.approx([found[i] for i in order], abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(counts, counts)
def test_two_arms_are_a_chance_to_win(control, treatment):
    found = probability_best([control, treatment])
    assert found[1] == pytest.approx(beta_binomial(control, treatment).chance_to_win, abs=1e-12)
    lowest = probability_best([control, treatment], lower_is_better=True)
    assert lowest == pytest.approx(found[::-1], abs=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 10, ARMS_MAX])
@pytest.mark.parametrize("arm", [Proportion(), Proportion(50, 50), Proportion(700_000, 1_000_000)])
def test_equal_arms_are_equally_good(k, arm):
    assert probability_best([arm] * k) == pytest.approx([1 / k] * k, abs=1e-9)


def test_three_arms_worked_by_hand():
    # F(x) of Beta(1, 1), (2, 1), (1, 2) are x, x² and 1 - (1 - x)²: the integrals are of polynomials.
    arms = [Proportion(), Proportion(1, 1), Proportion(0, 1)]
    assert probability_best(arms) == pytest.approx([0.3, 0.6, 0.1], abs=1e-12)
    assert probability_best(arms, lower_is_better=True) == pytest.approx([0.3, 0.1, 0.6], abs=1e-12)


def test_draws_agree():
    arms = [Proportion(307, 344), Proportion(182, 208), Proportion(69, 75), Proportion(2, 2)]
    prior = BetaPrior(2.0, 0.5)
    rng = np.random.default_rng(7)
    drawn = np.array([rng.beta(prior.a + arm.successes, prior.b + arm.failures, 400_000) for arm in arms])
    shares = np.bincount(drawn.argmax(axis=0), minlength=4) / 400_000
    assert probability_best(arms, prior=prior) == pytest.approx(shares, abs=0.004)
    lowest = np.bincount(drawn.argmin(axis=0), minlength=4) / 400_000
    assert probability_best(arms, prior=prior, lower_is_better=True) == pytest.approx(lowest, abs=0.004)


def test_more_successes_make_an_arm_no_worse():
    others = [Proportion(90, 100), Proportion(940, 1000)]
    rising = [probability_best([Proportion(s, 100), *others])[0] for s in range(0, 101, 5)]
    assert all(low < high for low, high in itertools.pairwise(rising))


@given(chances, st.floats(0, 1), st.floats(0.01, 1))
def test_shares_sum_to_one_and_keep_the_floor(probabilities, part, best):
    floor = part / len(probabilities)
    for shares in (thompson_shares(probabilities, floor=floor), top_two_shares(probabilities, best=best, floor=floor)):
        assert sum(shares) == pytest.approx(1, abs=1e-12)
        assert min(shares) >= floor * (1 - 1e-12)


@given(chances)
def test_without_a_floor_thompson_shares_are_the_probabilities(probabilities):
    assert thompson_shares(probabilities) == pytest.approx(probabilities, abs=1e-12)
    assert thompson_shares(probabilities, floor=1 / len(probabilities)) == pytest.approx(
        [1 / len(probabilities)] * len(probabilities)
    )


def test_top_two_shares_are_those_of_drawing_until_another_arm_comes():
    probabilities = np.array([0.6, 0.25, 0.1, 0.05])
    rng = np.random.default_rng(8)
    first = rng.choice(4, 200_000, p=probabilities)
    second = rng.choice(4, 200_000, p=probabilities)
    while (same := first == second).any():
        second[same] = rng.choice(4, int(same.sum()), p=probabilities)
    played = np.where(rng.random(200_000) < 0.3, first, second)
    shares = np.bincount(played, minlength=4) / 200_000
    assert top_two_shares(probabilities.tolist(), best=0.3) == pytest.approx(shares, abs=0.005)


def test_a_certain_winner_leaves_the_rest_to_its_rivals():
    assert top_two_shares([1.0, 0.0, 0.0]) == (0.5, 0.25, 0.25)
    assert top_two_shares([1.0 - 3e-20, 2e-20, 1e-20]) == pytest.approx((0.5, 1 / 3, 1 / 6))
    assert top_two_shares([1.0]) == (1.0,)
    assert top_two_shares([0.5, 0.5], best=1.0) == (0.5, 0.5)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: probability_best([]),
        lambda: probability_best([Proportion()] * (ARMS_MAX + 1)),
        lambda: thompson_shares([]),
        lambda: thompson_shares([0.5, 0.4]),
        lambda: thompson_shares([1.5, -0.5]),
        lambda: thompson_shares([math.nan, 1.0]),
        lambda: thompson_shares([0.5, 0.5], floor=0.51),
        lambda: thompson_shares([0.5, 0.5], floor=-0.1),
        lambda: top_two_shares([0.5, 0.5], best=0.0),
        lambda: top_two_shares([0.5, 0.5], best=1.1),
    ],
)
def test_bad_input_is_refused(ask):
    with pytest.raises(InvalidRequest):
        ask()

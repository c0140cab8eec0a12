"""Calibration: the check by its definition, the isotonic map as scikit-learn's."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression

from chopmark.errors import InvalidRequest
from chopmark.stats.calibration import Isotonic, calibration, calibration_helps

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40).map(lambda k: k / 40)), min_size=2, max_size=60)


def scored(seed: int, n: int, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    chances = source.random(n)
    return (source.random(n) < chances).astype(int), chances**power


@given(ROWS)
@settings(deadline=None)
def test_the_check_is_its_definition(rows):
    outcomes, chances = np.array(rows).T
    found = calibration(outcomes, chances)
    error = 0.0
    for k in range(10):
        inside = (np.floor(chances * 10) == k) | ((k == 9) & (chances == 1))
        if inside.any():
            error += inside.mean() * abs(outcomes[inside].mean() - chances[inside].mean())
    assert found.expected_calibration_error == pytest.approx(error, abs=1e-12)
    assert found.brier == pytest.approx(np.square(chances - outcomes).mean())
    assert found.log_loss == pytest.approx(metrics.log_loss(outcomes, chances, labels=[0, 1]))
    assert (found.n, found.positives) == (len(rows), outcomes.sum())


@given(ROWS)
@settings(deadline=None)
def test_the_map_is_scikit_learns(rows):
    outcomes, chances = np.array(rows).T
    theirs = IsotonicRegression(out_of_bounds="clip").fit(chances, outcomes)
    ours = Isotonic.fit(outcomes, chances)
    asked = np.linspace(-0.1, 1.1, 97)
    assert ours.apply(asked) == pytest.approx(theirs.predict(asked), abs=1e-9)
    assert (np.diff(ours.scores) > 0).all()
    assert (np.diff(ours.probabilities) >= 0).all()
    assert msgspec.json.decode(msgspec.json.encode(ours), type=Isotonic) == ours


def test_calibration_helps_scores_that_are_no_probabilities_and_not_those_that_are_one_value():
    assert calibration_helps(*scored(1, 4_000, power=3.0))
    assert not calibration_helps([1] * 50, np.linspace(0, 1, 50))
    assert not calibration_helps([0] * 50 + [1] * 50, np.linspace(0, 1, 100))


def test_calibration_that_only_fits_noise_does_not_help():
    assert sum(calibration_helps(*scored(seed, 300)) for seed in range(20)) <= 4
    assert not any(calibration_helps(*scored(seed, 4_000)) for seed in range(8))


def test_the_pooled_rule_is_kept_for_those_who_move_here_with_what_is_wrong_with_it():
    rows = [scored(seed, 4_000) for seed in range(8)]
    assert (
        sum(calibration_helps(*row, judge="pooled_ece") for row in rows) >= 3
    )  # of scores that are probabilities already
    assert calibration_helps(*scored(1, 4_000, power=2.0), judge="pooled_ece")


def test_splits_of_ones_own():
    outcomes, chances = scored(2, 400, power=3.0)
    rows = np.arange(400)
    assert calibration_helps(outcomes, chances, splits=[(rows[rows % 2 == 0], rows[rows % 2 == 1])])
    assert not calibration_helps(outcomes, chances, splits=[(rows[:1], rows[1:])])  # a map of one row is level


@pytest.mark.parametrize(
    "call",
    [
        lambda: calibration([], []),
        lambda: calibration([1], [1.1]),
        lambda: calibration([1], [math.nan]),
        lambda: calibration([2], [0.5]),
        lambda: calibration([1, 0], [0.5]),
        lambda: calibration([1], [0.5], bins=0),
        lambda: calibration(["1"], [0.5]),
        lambda: Isotonic.fit([1], [math.nan]),
        lambda: Isotonic.fit([1, 0], [0.2, 0.3]).apply([math.nan]),
        lambda: calibration_helps([1, 0], [0.2, 0.3]),
        lambda: calibration_helps([1, 0], [0.2, 0.3], splits=[]),
        lambda: calibration_helps(*scored(1, 40), judge="log"),  # type: ignore[arg-type]
        lambda: calibration_helps(*scored(1, 40), seed=-1),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InvalidRequest) as refused:
        call()
    assert refused.value.hint

"""Other libraries' figures, which they computed, and that ours are told apart from them where they err."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from chopmark.stats.exact import barnard_test
from chopmark.stats.proportions import miettinen_nurminen_interval
from chopmark.stats.proportions_compat import (
    scipy_barnard_p,
    statsmodels_score_interval,
    statsmodels_score_statistic,
)
from chopmark.stats.summaries import Proportion


@pytest.mark.parametrize(
    ("control", "treatment", "confidence", "expected"),
    [  # statsmodels 0.15.0, confint_proportions_2indep(method="score")
        ((45, 50), (40, 50), 0.95, (-0.25180377289906847, 0.04367502080199704)),
        ((1293, 1342), (1957, 1958), 0.9, (0.02825531908131461, 0.04560696352865062)),
        ((6, 7), (2, 7), 0.95, None),
    ],
)
def test_the_interval_is_theirs(control, treatment, confidence, expected) -> None:
    interval = statsmodels_score_interval(Proportion(*control), Proportion(*treatment), confidence=confidence)
    if expected is None:
        assert interval is None
    else:
        assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-9)


def test_the_interval_of_the_paper_is_another() -> None:
    arms = Proportion(45, 50), Proportion(40, 50)
    ours = miettinen_nurminen_interval(*arms)
    assert (ours.low, ours.high) == pytest.approx((-0.2468, 0.0435), abs=5e-5)


def test_the_statistic_is_theirs() -> None:
    # statsmodels 0.15.0, test_proportions_2indep(value=-0.005, method="score", correction=False)
    z = statsmodels_score_statistic(Proportion(59685, 67100), Proportion(61892, 69807), -0.005, is_corrected=False)
    assert z == pytest.approx(1.2454696967396508, rel=1e-9)
    assert statsmodels_score_statistic(Proportion(), Proportion(1, 2), 0.1) is None
    assert statsmodels_score_interval(Proportion(), Proportion(1, 2)) is None


@settings(max_examples=15, deadline=None)
@given(st.data(), st.integers(3, 16), st.integers(3, 16))
def test_barnard_is_scipys_ties_and_all(data, n: int, m: int) -> None:
    x, y = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    if 0 < x + y < n + m:
        theirs = stats.barnard_exact([[x, y], [n - x, m - y]], n=64).pvalue
        assert scipy_barnard_p(Proportion(x, n), Proportion(y, m)) == pytest.approx(theirs, rel=5e-3)


def test_lost_ties_make_a_p_value_too_small() -> None:
    arms = Proportion(5, 10), Proportion(5, 15)
    assert scipy_barnard_p(*arms) == pytest.approx(0.44814722338712193, rel=1e-6)
    assert barnard_test(*arms).p_value == pytest.approx(0.5648327, rel=1e-6)
    assert scipy_barnard_p(Proportion(), Proportion(1, 2)) == 1.0

"""Drift from counts: against raw arrays, by simulated error rates, and by what must hold of any counts."""

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.binning import ColumnCounts, LevelBins
from chopmark.stats.drift import DEFINITIONS, THRESHOLDS, check_drift
from chopmark.stats.drift_measures import measure_column
from chopmark.stats.drift_report import DriftReport
from chopmark.stats.profile import Profile
from chopmark.stats.two_sample import wasserstein_distance


def checked(reference, current, **options: Any):
    profile = Profile.of(reference)
    return check_drift(profile, profile.count(current), **options)


def only(reference, current, **options: Any):
    return checked({"x": reference}, {"x": current}, **options).columns[0]


@pytest.mark.parametrize("shift", [0.05, 0.5, 3.0, 20.0])
def test_distances_from_counts_are_those_of_raw_values(shift):
    draw = np.random.default_rng(4)
    reference, current = draw.normal(5, 2, 5_000), draw.normal(5 + shift, 2, 3_000)
    found = only(reference, current)
    exact = wasserstein_distance(reference, current) / reference.std(ddof=1)
    assert found.measure("wasserstein").value == pytest.approx(exact, rel=0.02)
    assert found.measure("wasserstein").value <= exact * (1 + 1e-9)
    raw = stats.ks_2samp(reference, current).statistic
    assert raw - 1.5 / 64 <= found.measure("kolmogorov_smirnov").value <= raw
    assert found.reference_mean == pytest.approx(reference.mean())
    assert found.current_mean == pytest.approx(current.mean())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 9).map(float), min_size=2, max_size=60),
    st.lists(st.integers(-4, 14).map(float), min_size=1, max_size=60),
)
def test_with_one_bin_a_value_distances_are_exact_whenever_the_current_values_are_known_or_beyond(reference, current):
    low, high = min(reference), max(reference)
    current = [x for x in current if x in reference or not low <= x <= high] or [low]
    found = only(reference, current, minimum=1)
    assert (
        found.measure("kolmogorov_smirnov").value
        <= stats.ks_2samp(reference, current, method="asymp").statistic + 1e-12
    )
    if low != high:
        exact = stats.wasserstein_distance(reference, current) / np.std(reference, ddof=1)
        assert found.measure("wasserstein").value == pytest.approx(exact, abs=1e-9)


HALVES = [0.0, 10.0] * 500


@pytest.mark.parametrize(
    ("current", "distance", "area"),
    [
        # By hand, of 0 and 10 by halves. F is 0.5 from 0 to 10; what moves to 5 is 5 closer, and seen by half of the distribution.
        ([0.0, 5.0] * 500, 0.5, 2.5),
        ([0.0, 9.0] * 500, 0.5, 0.5),
        ([1.0, 10.0] * 500, 0.5, 0.5),
        ([0.0] * 700 + [10.0] * 300, 0.2, 2.0),
        ([-1.0, 10.0] * 500, 0.5, 0.5),
        ([0.0, 11.0] * 500, 0.5, 0.5),
        ([4.0, 10.0] * 250 + HALVES[:500], 0.25, 1.0),
    ],
    ids=["5 for 10", "9 for 10", "1 for 0", "fewer", "below", "above", "some"],
)
def test_values_between_those_of_the_reference_are_seen(current, distance, area):
    found = only(HALVES, current)
    deviation = 5 * math.sqrt(1000 / 999)
    assert found.measure("kolmogorov_smirnov").value == pytest.approx(distance)
    assert found.measure("wasserstein").value == pytest.approx(area / deviation)
    assert found.measure("kolmogorov_smirnov").verdict == found.verdict == "drift"


def test_what_crosses_between_two_values_is_seen_by_its_distance_alone():
    """5 for both 0 and 10: what moved up and what moved down even out within the bin, and the distance is 5 in truth."""
    found = only(HALVES, [5.0] * 1_000)
    assert found.measure("kolmogorov_smirnov").value == 0.5
    assert found.measure("wasserstein").value == pytest.approx(0.0)
    assert found.verdict == "drift"


def test_few_values_between_are_no_drift():
    found = only(HALVES, HALVES[:940] + [0.0, 5.0] * 30)
    assert found.measure("kolmogorov_smirnov").value == pytest.approx(0.03)
    assert found.verdict == "ok"


def test_the_sentence_tells_the_mean_of_what_moved_between():
    assert only(HALVES, [0.0, 5.0] * 500).sentence == "x drifted: its mean went from 5 to 2.5."


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 9).map(float), min_size=2, max_size=60),
    st.lists(st.integers(-6, 24).map(lambda x: x / 2), min_size=1, max_size=60),
)
def test_with_one_bin_a_value_the_greatest_difference_is_that_of_raw_values(reference, current):
    for first, second in ((reference, current), (current, reference)):
        found = only(first, second, minimum=1)
        raw = stats.ks_2samp(first, second, method="asymp").statistic
        assert found.measure("kolmogorov_smirnov").value == pytest.approx(raw, abs=1e-12)
        if len(set(first)) == 1:
            continue
        exact = stats.wasserstein_distance(first, second) / np.std(first, ddof=1)
        assert found.measure("wasserstein").value <= exact + 1e-9
        if not crosses_between(first, second):
            assert found.measure("wasserstein").value == pytest.approx(exact, abs=1e-9)


def crosses_between(reference, current):
    """Whether the current distribution function passes that of the reference strictly between two values of the latter."""
    known = sorted(set(reference))
    for low, high in itertools.pairwise(known):
        level = np.mean([x <= low for x in reference])
        inside = [np.mean([x <= at for x in current]) for at in (low, *(x for x in current if low < x < high))]
        if min(inside) < level < max(inside):
            return True
    return False


def test_psi_of_ten_groups_is_that_of_deciles():
    draw = np.random.default_rng(6)
    reference, current = draw.normal(size=64_000), draw.normal(0.4, 1, 64_000)
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    p, q = (np.bincount(np.searchsorted(edges, x), minlength=10) / len(x) for x in (reference, current))
    classic = ((q - p) * np.log(q / p)).sum()
    assert only(reference, current).measure("psi").value == pytest.approx(classic, rel=0.03)


KINDS = {
    "normal": lambda draw, n: draw.normal(size=n),
    "counts": lambda draw, n: draw.poisson(2.0, n),
    "heavy": lambda draw, n: draw.lognormal(0, 2, n),
    "zeros": lambda draw, n: np.where(draw.random(n) < 0.6, 0.0, draw.exponential(1.0, n)),
    "levels": lambda draw, n: draw.choice(list("abcdefgh"), n, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01]),
    "holes": lambda draw, n: np.where(draw.random(n) < 0.1, np.nan, draw.normal(size=n)),
}


def samples(draw, n):
    return {name: kind(draw, n) for name, kind in KINDS.items()}


def test_without_drift_measures_are_about_what_is_expected_and_nothing_drifts():
    draw = np.random.default_rng(9)
    runs, drifted = 80, 0
    ratios: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(runs):
        report = checked(samples(draw, 2_000), samples(draw, 700))
        drifted += report.verdict != "ok"
        for column in report.columns:
            for measure in column.measures:
                ratios.setdefault((column.name, measure.name), []).append((measure.value, measure.expected))
    assert drifted == 0
    for (column, name), pairs in ratios.items():
        value, expected = np.mean(pairs, axis=0)
        if name in {"psi", "jensen_shannon", "hellinger", "total_variation", "chi_squared"}:
            assert value == pytest.approx(expected, rel=0.15), (column, name)
        elif name == "wasserstein":
            assert value == pytest.approx(expected, rel=0.35), (column, name)
        elif name == "kolmogorov_smirnov":
            assert 0.4 * expected <= value <= 1.1 * expected, (column, name)
        else:
            assert value <= 1.3 * expected + 1e-3, (column, name)


def test_the_tests_alone_keep_their_error_rate():
    """With thresholds of nothing a drift is a significant test: at most α of the checks, all columns together."""
    draw = np.random.default_rng(10)
    nothing = dict.fromkeys(THRESHOLDS, 0.0)
    runs, alpha = 150, 0.1
    false = sum(
        checked(samples(draw, 900), samples(draw, 600), thresholds=nothing, deciding=THRESHOLDS, alpha=alpha).verdict
        == "drift"
        for _ in range(runs)
    )
    assert false <= stats.binom.isf(1e-4, runs, alpha)
    assert false >= 2  # it is not that nothing ever is significant


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("normal", lambda x, _: x + 0.3),
        ("normal", lambda x, _: x * 1.5),
        ("counts", lambda x, draw: x + (draw.random(len(x)) < 0.4)),
        ("heavy", lambda x, _: x * 2),
        ("zeros", lambda x, draw: np.where(draw.random(len(x)) < 0.4, 0.0, x)),
        ("levels", lambda x, draw: np.where(draw.random(len(x)) < 0.3, "a", x)),
        ("levels", lambda x, draw: np.where(draw.random(len(x)) < 0.05, "new", x)),
        ("holes", lambda x, draw: np.where(draw.random(len(x)) < 0.1, np.nan, x)),
        ("normal", lambda x, draw: np.where(draw.random(len(x)) < 0.03, 1e6, x)),
        ("normal", lambda x, _: x * np.nan),
    ],
)
def test_drift_is_found_and_no_other_column_is_blamed(kind, change):
    draw = np.random.default_rng(12)
    reference, current = samples(draw, 20_000), samples(draw, 1_500)
    current[kind] = change(current[kind], draw)
    report = checked(reference, current)
    assert (report.verdict, report.drifted) == ("drift", (kind,))
    assert report.columns[0].name == kind
    assert report.columns[0].sentence.startswith(f"{kind} drifted: ")
    assert kind in report.sentence


def test_many_rows_alone_are_no_drift():
    """A shift of two hundredths of a deviation is significant in 200,000 rows, and nothing to act on."""
    draw = np.random.default_rng(13)
    found = only(draw.normal(size=200_000), draw.normal(0.02, 1, 200_000))
    assert found.measure("kolmogorov_smirnov").p_value < 0.001
    assert found.verdict == "ok"


@pytest.mark.parametrize(("common", "rare"), [(0.0, 5.0), ("a", "b")])
def test_one_row_of_what_is_rare_is_no_evidence(common, rare):
    """A cell that is expected to hold a twentieth of a row would make of one row a χ² of eighteen."""
    reference, current = [common] * 99_990 + [rare] * 10, [common] * 499 + [rare] * 1 + [common] * 100
    assert only(reference, current).measure("chi_squared").p_value == 1.0


def test_levels_seen_once_tell_that_there_are_more():
    reference = ["a"] * 560 + [f"once-{i}" for i in range(40)]
    new = only(reference, ["a"] * 570 + [f"new-{i}" for i in range(30)]).measure("unseen")
    assert (new.value, new.expected, new.excess, new.verdict) == (0.05, 40 / 600, 0.0, "ok")
    assert only(["a", "b"] * 300, ["a", "b"] * 285 + ["new"] * 30).measure("unseen").verdict == "drift"


@pytest.mark.parametrize(
    ("n", "m", "weights"),
    [
        (500, 500, 1 / np.arange(1, 61)),
        (500, 5_000, 1 / np.arange(1, 61) ** 2),
        (5_000, 500, np.r_[np.full(5, 10.0), np.full(50, 0.01)]),
        (20_000, 20_000, np.r_[np.ones(4), np.full(30, 3e-4)]),
    ],
)
def test_rare_levels_that_come_by_chance_are_not_significant(n, m, weights):
    """That *some* rare level is new is no surprise: a test as if it were one that was named before is wrong in half of the cases."""
    draw, runs = np.random.default_rng(n + m), 400
    shares = weights / weights.sum()
    values = []
    for _ in range(runs):
        reference, current = (draw.multinomial(size, shares) for size in (n, m))
        bins = LevelBins(
            "x",
            tuple(f"level-{i:02}" for i in np.flatnonzero(reference)),
            int((reference > 0).sum()),
            ColumnCounts("x", (*reference[reference > 0].tolist(), 0, 0)),
            0,
        )
        now = ColumnCounts("x", (*current[reference > 0].tolist(), int(current[reference == 0].sum()), 0))
        values += [m.p_value for m in measure_column(bins, now, groups=10) if m.name == "unseen"]
    assert len(values) == runs
    assert np.mean(np.array(values) <= 0.05) <= 0.08
    assert np.mean(np.array(values) <= 0.01) <= 0.02


@pytest.mark.parametrize(("n", "m", "share"), [(500, 500, 0.05), (20_000, 2_000, 0.02), (1_000, 100_000, 0.02)])
def test_a_new_level_is_found(n, m, share):
    draw = np.random.default_rng(1)
    known = [f"level-{i:02}" for i in range(20)]
    new = np.where(draw.random(m) < share, "new", draw.choice(known, m))
    assert only(draw.choice(known, n).tolist(), new.tolist()).measure("unseen").verdict == "drift"


def test_groups_are_open_at_both_ends():
    """What lies beyond the range is told as unseen; PSI and its kin have it in their outermost groups, whatever ties are there."""
    reference = np.repeat([0.0, 1.0, 2.0], [3_000, 400, 3_000])
    current = np.where(np.arange(6_400) % 10 == 0, reference * 2 - 2, reference)  # 0 to -2, 2 to 2, 1 to 0
    current[reference == 1] = 1.0
    current[(reference == 2) & (np.arange(6_400) % 10 == 0)] = 5.0
    found = only(reference, current)
    assert found.measure("unseen").value == pytest.approx(600 / 6_400)
    assert found.measure("psi").value == found.measure("total_variation").value == 0.0


def test_a_worse_shift_is_more_severe():
    draw = np.random.default_rng(14)
    reference, current = draw.normal(size=3_000), draw.normal(size=2_000)
    severities = [only(reference, current + shift).severity for shift in (0.0, 0.2, 0.5, 1.0, 3.0)]
    assert severities == sorted(severities)
    report = checked(
        {"a": reference, "b": reference, "c": reference}, {"a": current, "b": current + 2, "c": current + 1}
    )
    assert [c.name for c in report.columns] == ["b", "c", "a"]


def test_too_few_values_decide_nothing():
    draw = np.random.default_rng(15)
    report = checked(samples(draw, 1_000), samples(draw, 499))
    assert report.verdict == "not enough data"
    assert {c.verdict for c in report.columns} == {"not enough data"}
    assert all(not c.measures for c in report.columns)
    assert only(draw.normal(size=1_000), draw.normal(5, 1, 499), minimum=400).verdict == "drift"


def test_a_column_that_is_gone_is_drift_by_its_missing_values():
    draw = np.random.default_rng(16)
    found = only(draw.normal(size=1_000), np.full(800, np.nan))
    assert found.verdict == "drift"
    assert [m.name for m in found.measures] == ["missing"]
    assert "100.0 % of it is missing, and 0.0 % was" in found.sentence


def test_one_value_throughout():
    same = only(np.full(1_000, 3.0), np.full(800, 3.0))
    assert (same.verdict, {m.p_value for m in same.measures}) == ("ok", {1.0})
    assert only(np.full(1_000, 3.0), np.full(800, 4.0)).verdict == "drift"


def test_scores_are_told_apart():
    draw = np.random.default_rng(17)
    x = draw.normal(size=2_000)
    profile = Profile.of({"x": x}, scores=draw.random(2_000))
    report = check_drift(profile, profile.count({"x": draw.normal(size=900)}, scores=draw.random(900) ** 2))
    assert report.scores.verdict == report.verdict == "drift"
    assert not report.drifted
    assert "answers drifted" in report.sentence


def test_measures_that_do_not_decide_are_told():
    draw = np.random.default_rng(18)
    found = only(draw.normal(size=3_000), draw.normal(0.5, 1, 3_000), deciding=("missing",))
    assert found.verdict == "ok"
    assert found.measure("psi").verdict == "drift"


def test_benjamini_hochberg_finds_no_less_than_holm():
    draw = np.random.default_rng(19)
    reference = {f"c{i}": draw.normal(size=900) for i in range(30)}
    current = {name: draw.normal(0.12 * (i % 3), 1, 900) for i, name in enumerate(reference)}
    found = [
        set(checked(reference, current, correction=c, thresholds={"wasserstein": 0.0}, alpha=0.05).drifted)
        for c in ("holm", "benjamini_hochberg")
    ]
    assert found[0] < found[1]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=40),
    st.lists(st.floats(width=64, allow_nan=True), min_size=1, max_size=40),
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=40, max_size=40),
)
@example([0.0, 2.0**-126], [1.5e269], ["a"] * 40)
@example([0.0, 5e-324], [1.7e308, -1.7e308], ["a"] * 40)
@example([3.0, -3.0], [math.inf, -math.inf, math.nan], [None] * 40)
def test_nothing_is_ever_nan(reference, current, levels):
    report = checked(
        {"x": reference, "t": levels[: len(reference)]},
        {"x": current, "t": levels[::-1][: len(current)]},
        minimum=1,
    )
    for column in report.columns:
        assert math.isfinite(column.severity)
        assert column.sentence
        for measure in column.measures:
            assert all(map(math.isfinite, (measure.value, measure.expected, measure.excess)))
            assert 0 <= measure.p_value <= 1
            assert measure.value >= 0
            assert measure.definition in DEFINITIONS
    assert msgspec.json.decode(msgspec.json.encode(report), type=DriftReport) == report


def test_a_profile_does_not_drift_from_itself():
    draw = np.random.default_rng(20)
    profile = Profile.of(samples(draw, 3_000))
    report = check_drift(profile, profile.reference)
    assert report.verdict == "ok"
    for column in report.columns:
        for measure in column.measures:
            if measure.name != "unseen":
                assert measure.value == pytest.approx(0, abs=1e-7)


def test_what_cannot_be_meant_is_refused():
    profile, other = Profile.of({"x": [1.0, 2.0]}), Profile.of({"x": [1.0, 3.0]})
    for options in (
        {"thresholds": {"nothing": 0.1}},
        {"thresholds": {"chi_squared": 0.1}},
        {"thresholds": {"psi": math.nan}},
        {"thresholds": {"psi": -1.0}},
        {"deciding": ("nothing",)},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"minimum": -1},
        {"groups": 1},
    ):
        with pytest.raises(InvalidRequest):
            check_drift(profile, profile.reference, **options)
    with pytest.raises(InvalidRequest, match="another profile"):
        check_drift(profile, other.reference)
    with pytest.raises(InvalidRequest):
        checked({"x": [1.0]}, {"x": [1.0]}).columns[0].measure("psi")


def names(draw, prefix, kinds, count):
    return [f"{prefix}{i}" for i in draw.integers(0, kinds, count)]


def test_one_value_in_place_of_thousands_is_drift():
    found = only([f"p{i % 3000}" for i in range(30_000)], ["DOWN"] * 30_000)
    assert (found.verdict, found.measure("others").value) == ("drift", 1.0)
    assert "one level that was rare or new, or a few, make up 100.0 % of its values" in found.sentence
    draw = np.random.default_rng(20)
    some = only(names(draw, "p", 3_000, 30_000), names(draw, "p", 3_000, 24_000) + ["DOWN"] * 6_000)
    assert some.verdict == "drift"
    assert "make up 2" in some.sentence


def test_free_text_is_not_compared_and_its_end_is_drift():
    reference = [f"text {i}" for i in range(5_000)]
    assert only(reference, ["ERROR"] * 5_000).verdict == "drift"
    other = checked({"x": reference}, {"x": [f"other {i}" for i in range(5_000)]})
    assert (other.verdict, other.undecided) == ("not compared", ("x",))
    assert other.columns[0].sentence.startswith("x was not compared: most values of the reference stand alone")
    beside = checked({"x": reference, "y": range(5_000)}, {"x": reference, "y": range(5_000)})
    assert (beside.verdict, beside.undecided) == ("ok", ("x",))
    assert beside.sentence == "None of 1 columns drifted. 1 with many levels could not be compared."


@pytest.mark.parametrize("kinds", [200, 2_000, 5_000])
def test_levels_in_place_of_others_are_drift_and_the_same_ones_are_not(kinds):
    draw = np.random.default_rng(21)
    reference = names(draw, "p", kinds, 50_000)
    assert only(reference, names(draw, "p", kinds, 50_000)).verdict == "ok"
    assert only(reference, names(draw, "q", kinds, 50_000)).verdict == "drift"
    assert only(reference, [f"q{i % kinds}" for i in range(50_000)]).verdict == "drift"
    half = names(draw, "p", kinds, 25_000) + names(draw, "q", kinds, 25_000)
    assert only(reference, half).measure("others").value == pytest.approx(0.5, abs=0.3)


def test_where_too_few_values_tell_which_levels_they_are_it_is_said():
    draw = np.random.default_rng(22)
    found = only(names(draw, "p", 5_000, 50_000), names(draw, "p", 5_000, 2_000))
    assert found.verdict == "not compared"
    assert "beyond the 64 of 4,999 that the profile keeps, and 2,000 values do not tell" in found.sentence


def test_many_levels_cry_wolf_no_oftener_than_they_may():
    draw = np.random.default_rng(23)
    levels, runs, alpha = [f"k{i}" for i in range(300)], 60, 0.1
    false = 0
    for _ in range(runs):
        shares = draw.dirichlet(np.full(300, 0.3))
        reference, current = (draw.choice(levels, n, p=shares).tolist() for n in (8_000, 4_000))
        options = {"thresholds": dict.fromkeys(THRESHOLDS, 0.0), "deciding": {"others"}, "alpha": alpha}
        false += (
            checked({"x": reference}, {"x": current}, correction="benjamini_hochberg", **options).verdict == "drift"
        )
    assert false <= stats.binom.isf(1e-4, runs, alpha)


def test_groups_of_other_levels_add_up_and_counts_without_them_are_not_ok():
    values = np.array([f"p{i % 500}" for i in range(5_000)], dtype=object)
    profile = Profile.of({"x": values})
    halves = profile.count({"x": values[:1_234]}) + profile.count({"x": values[1_234:]})
    assert halves == profile.count({"x": values}) == profile.reference
    column = profile.reference.columns[0]
    assert sum(column.others) == column.counts[-2] > 0
    bare = msgspec.structs.replace(halves, columns=(msgspec.structs.replace(column, others=()),))
    assert check_drift(profile, bare).columns[0].verdict == "not compared"
    wrong = msgspec.structs.replace(halves, columns=(msgspec.structs.replace(column, others=(1,) * 64),))
    with pytest.raises(InvalidRequest, match="other bins"):
        check_drift(profile, wrong)


@pytest.mark.parametrize(
    ("current", "said", "unsaid"),
    [
        (lambda draw: draw.normal(0.003, 3, 3_000), "its middle 80 % was -1.", "its mean went"),
        (lambda draw: draw.normal(0.5, 1, 3_000), "its mean went from ", "middle"),
        (lambda draw: draw.choice([-1.0, 1.0], 3_000), "its middle 80 % was ", "its mean went"),
        (lambda _: np.full(1_000, np.inf), "100.0 % of its values are infinite", "middle"),
        (lambda draw: np.where(draw.random(3_000) < 0.3, -np.inf, 0.0), "of its values are infinite", "its mean went"),
        (lambda draw: draw.normal(50, 1, 3_000), "100.0 % of its values are beyond the reference's range", "infinite"),
    ],
)
def test_the_sentence_says_what_moved(current, said, unsaid):
    draw = np.random.default_rng(24)
    found = only(draw.normal(size=30_000), current(draw))
    assert found.verdict == "drift"
    assert said in found.sentence
    assert unsaid not in found.sentence


def test_what_is_left_of_sums_that_cancel_is_no_mean():
    reference = np.concatenate([np.full(600, 3.0), np.full(600, 4.0)])
    found = only(reference, np.tile([0.1, -0.1], 600) * 3)
    assert "e-1" not in found.sentence


def test_a_column_without_values_then_and_now_has_not_changed():
    found = only(np.full(600, np.nan), np.full(700, np.nan))
    assert (found.verdict, found.sentence) == ("ok", "x has no values, as it had none.")

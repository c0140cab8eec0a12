"""Profiles: what is in which bin, what adds up, and what is refused."""

import math
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest, NotFound
from chopmark.stats.binning import ColumnCounts, LevelBins, NumericBins, count_values
from chopmark.stats.calibration_table import CalibrationTable
from chopmark.stats.profile import Counts, Profile

any_float = st.floats(allow_nan=True, allow_infinity=True)
columns = st.lists(st.one_of(any_float, st.integers(-3, 3).map(float)), min_size=1, max_size=80)


def counted_slowly(bins, values):
    """The bins' definition, value by value."""
    counts = [0] * (len(bins.uppers) + 3)
    for value in values:
        if math.isnan(value):
            counts[-1] += 1
        elif bins.uppers and value < bins.minimum:
            counts[0] += 1
        elif not bins.uppers or value > bins.maximum:
            counts[-2] += 1
        else:
            counts[1 + next(i for i, upper in enumerate(bins.uppers) if value <= upper)] += 1
    return tuple(counts)


@settings(deadline=None)
@given(columns, columns, st.integers(1, 12))
def test_counts_are_what_the_definition_says(reference, current, bins):
    profile = Profile.of({"x": np.array(reference)}, bins=bins)
    column = profile.column("x")
    assert isinstance(column, NumericBins)
    finite = [x for x in reference if math.isfinite(x)]
    assert column.is_exact == (0 < len(set(finite)) <= bins)
    assert set(column.uppers) <= set(finite)
    if column.is_exact:
        assert list(column.uppers) == sorted(set(finite))
    if finite:
        assert (column.minimum, column.maximum) == (min(finite), max(finite))
        assert 0 <= column.standard_deviation < math.inf
    for values in (reference, current):
        found = profile.count({"x": np.array(values)}).column("x")
        assert found.counts == counted_slowly(column, values)
        assert all(map(math.isfinite, found.sums))
        between = [sum(low < x < high for x in values) for low, high in pairwise(column.uppers)]
        assert found.between == ((0, *between) if column.is_exact and any(between) else ())
    assert column.reference.between == ()
    assert profile.count({"x": np.array(reference)}).column("x").counts == column.reference.counts


@settings(deadline=None)
@given(st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=200), st.data())
def test_batches_add_up_in_any_order(values, data):
    texts = [f"l{int(v) % 7}" for v in values]
    profile = Profile.of({"x": values, "t": texts}, scores=values, bins=8)
    cut = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    parts = [
        profile.count({"x": values[a:b], "t": texts[a:b]}, scores=values[a:b])
        for a, b in zip([0, *cut], [*cut, len(values)], strict=True)
    ]
    total = Counts(profile=profile.digest, columns=tuple(_empty(c) for c in profile.columns))
    for part in data.draw(st.permutations(parts)):
        total += part
    whole = profile.count({"x": values, "t": texts}, scores=values)
    assert total.rows == whole.rows == len(values)
    for one, other in zip((*total.columns, total.scores), (*whole.columns, whole.scores), strict=True):
        assert one.counts == other.counts
        assert one.sums == pytest.approx(other.sums, abs=1e-6)


def _empty(column):
    reference = column.reference
    return msgspec.structs.replace(reference, counts=(0,) * len(reference.counts), sums=(0.0,) * len(reference.sums))


def test_many_values_fall_into_equally_frequent_bins_and_sums_are_theirs():
    draw = np.random.default_rng(1)
    values = draw.lognormal(0, 1, 200_001)
    profile = Profile.of({"x": values})
    column = profile.column("x")
    assert len(column.uppers) == 64
    inner = column.reference.counts[1:-2]
    assert max(inner) - min(inner) <= 1
    more = draw.lognormal(0.2, 1, 150_000)
    found = profile.count({"x": more}).column("x")
    lowers = np.array([np.nextafter(column.minimum, -np.inf), *column.uppers], dtype=np.float64)
    place: Any = lowers.searchsorted(more, side="left")
    expected = np.bincount(place, weights=more - values.mean(), minlength=66)
    assert found.sums == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-7)
    assert column.mean + math.fsum(found.sums) / len(more) == pytest.approx(more.mean())


def test_infinities_are_beyond_the_ends_and_leave_sums_finite():
    profile = Profile.of({"x": [1.0, 2.0, 3.0, np.inf, -np.inf, np.nan]})
    column = profile.column("x")
    assert (column.minimum, column.maximum, column.mean) == (1.0, 3.0, 2.0)
    assert column.reference.counts == (1, 1, 1, 1, 1, 1)
    assert column.reference.sums == (-1.0, -1.0, 0.0, 1.0, 1.0)


def test_the_largest_numbers_do_not_overflow():
    profile = Profile.of({"x": [-1.7e308, 1.7e308, 0.0, 1.0]})
    counts = profile.count({"x": [1.7e308] * 10 + [-1.7e308] * 3})
    assert all(map(math.isfinite, (counts + counts).column("x").sums))
    assert 1.1e308 < profile.column("x").standard_deviation < 1.7e308


def test_levels():
    values = ["z"] * 5 + ["b"] * 3 + ["c"] * 3 + ["d"] + [None, float("nan"), pd.NA]
    profile = Profile.of({"x": np.array(values, dtype=object)}, levels=3)
    column = profile.column("x")
    assert isinstance(column, LevelBins)
    assert (column.levels, column.distinct) == (("z", "b", "c"), 4)
    assert column.reference.counts == (5, 3, 3, 1, 3)
    assert profile.count({"x": ["new", "b", "d"]}).column("x").counts == (0, 1, 0, 2, 0)


def test_a_level_is_its_text_whatever_it_came_as():
    profile = Profile.of({"x": ["1", "2", "1", "2"], "y": [True, False, True, False]})
    assert profile.column("y").levels == ("false", "true")
    for ones in ([1, 1], [1.0, 1.0], np.array([1, 1], np.int8), np.array(["1", "1"], object)):
        assert profile.count({"x": ones, "y": ["true", True]}).column("x").counts == (2, 0, 0, 0)


def test_names_and_free_text_are_not_kept():
    column = Profile.of({"mail": [f"{i}@example.com" for i in range(50)] + ["x"] * 20}).column("mail")
    assert (column.levels, column.distinct, column.reference.counts) == ((), 51, (70, 0))


def test_objects_that_are_nothing_but_numbers_are_numbers():
    profile = Profile.of({"x": np.array([1, 2.5, None, Decimal(3)], dtype=object)})
    assert profile.column("x").uppers == (1.0, 2.5, 3.0)
    assert profile.count({"x": np.array([None, None])}).column("x").missing == 2


def test_tables_of_any_library_are_the_same():
    table = {"a": [1.0, 2.0, math.nan], "b": ["x", "y", "x"]}
    wanted = Profile.of(table)
    for given_table in (pd.DataFrame(table), pl.DataFrame(table), pa.table(table)):
        assert Profile.of(given_table) == wanted
    nullable = pd.DataFrame({"a": pd.array([1, 2, None], dtype="Int64"), "b": pd.Categorical(["x", "y", "x"])})
    assert Profile.of(nullable) == wanted


def test_json_there_and_back():
    draw = np.random.default_rng(2)
    profile = Profile.of(
        {"x": draw.normal(size=500), "t": draw.choice(list("ab"), 500)},
        scores=draw.random(500),
        labels=draw.integers(0, 2, 500),
    )
    encoded = msgspec.json.encode(profile)
    assert b"NaN" not in encoded
    again = msgspec.json.decode(encoded, type=Profile)
    assert again == profile
    assert again.digest == profile.digest
    counts = profile.count({"x": draw.normal(size=50), "t": ["a"] * 50})
    assert msgspec.json.decode(msgspec.json.encode(counts), type=Counts) == counts


def test_what_lies_between_adds_up():
    profile = Profile.of({"x": [1, 2, 4]})
    none, some = profile.count({"x": [1, 4, 9]}), profile.count({"x": [1.5, 3, 3.5]})
    assert (none.column("x").between, some.column("x").between) == ((), (0, 1, 2))
    assert (none + some).column("x").between == (some + none).column("x").between == (0, 1, 2)
    assert (some + some).column("x").between == (0, 2, 4)
    assert (none + none).column("x").between == ()
    assert msgspec.json.decode(msgspec.json.encode(some), type=Counts) == some


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (ColumnCounts("x", (0, 1, 1, 1, 0, 0), (0.0,) * 5, (0, 1)), "are of other bins"),
        (ColumnCounts("x", (0, 1, 1, 1, 0, 0), (0.0,) * 5, (0, 0, 2)), "lie between values"),
    ],
)
def test_what_cannot_lie_between_is_refused(counted, said):
    bins = Profile.of({"x": [1, 2, 4]}).column("x")
    with pytest.raises(InvalidRequest, match=said):
        bins.check(counted)
    with pytest.raises(InvalidRequest, match="no counts"):
        ColumnCounts("x", (0, 1, 1, 1, 0, 0), (0.0,) * 5, (0, -1, 0))


def test_counts_of_two_profiles_do_not_add_up():
    one, other = Profile.of({"x": [1.0, 2.0]}), Profile.of({"x": [1.0, 3.0]})
    with pytest.raises(InvalidRequest, match="two profiles"):
        one.reference + other.reference


def test_what_cannot_be_meant_is_refused():
    profile = Profile.of({"x": [1.0, 2.0], "t": ["a", "a"]})
    for call in (
        lambda: Profile.of([1, 2]),
        lambda: Profile.of({"x": [1, 2], "y": [1]}),
        lambda: Profile.of({"x": [[1], [2]]}),
        lambda: Profile.of({"x": np.array(["2020-01-01"], "M8[D]")}),
        lambda: Profile.of({"x": np.array([{}, []], dtype=object)}),
        lambda: Profile.of({"x": [1]}, labels=[1]),
        lambda: Profile.of({"x": [1]}, bins=0),
        lambda: Profile.of({"x": [1, 2]}, scores=[0.5]),
        lambda: profile.count({"x": [1.0]}),
        lambda: profile.count({"x": ["a"], "t": ["a"]}),
        lambda: profile.count({"x": [1], "t": ["a"]}, scores=[1]),
        lambda: msgspec.structs.replace(profile.reference, rows=-1),
    ):
        with pytest.raises(InvalidRequest):
            call()
    with pytest.raises(NotFound):
        profile.column("y")
    for field, value in (("counts", (-1, 1, 1, 0, 0)), ("sums", (math.nan,) * 4), ("counts", (1.5, 0, 0, 0, 0))):
        with pytest.raises(InvalidRequest):
            msgspec.structs.replace(profile.column("x").reference, **{field: value})


def test_calibration():
    scores, labels = [0.1, 0.1, 0.4, 0.9], [0, 1, 0, 1]
    table = CalibrationTable.of(scores, labels, bins=4)
    assert (table.uppers, table.counts, table.positives) == ((0.1, 0.4, 0.9), (2, 1, 1), (1, 0, 1))
    assert table.error == pytest.approx((0.8 + 0.4 + 0.1) / 4)
    more = table.count([0.2, 1.0], [1, 1])
    assert more.counts == (0, 1, 1)
    assert (table + more).counts == (2, 2, 2)
    with pytest.raises(InvalidRequest):
        table + CalibrationTable.of([0.3], [1])
    for wrong in (([1.2], [1]), ([0.5], [2]), ([0.5, 0.5], [1]), ([], [])):
        with pytest.raises(InvalidRequest):
            CalibrationTable.of(*wrong)


def test_the_error_of_a_calibration_is_no_greater_for_having_more_bins() -> None:
    """Of scores that are probabilities it is what chance leaves in some 20 bins."""
    draw = np.random.default_rng(6)
    scores = draw.random(1_000)
    labels = (draw.random(1_000) < scores).astype(int)
    few, many = (CalibrationTable.of(scores, labels, bins=bins) for bins in (20, 64))
    assert len(many.counts) == 64
    assert many.error == pytest.approx(few.error, abs=0.01)
    places = np.searchsorted(few.uppers[:-1], scores, side="left")
    away = np.bincount(places, weights=labels - scores)
    assert few.error == pytest.approx(np.abs(away).sum() / 1_000)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_calibration_table_counts_every_row(rows):
    scores, labels = zip(*rows, strict=True)
    table = CalibrationTable.of(scores, labels, bins=5)
    assert sum(table.counts) == len(rows)
    assert sum(table.positives) == Counter(labels)[True]
    assert 0 <= table.error <= 1


def test_equal_values_of_other_kinds_are_other_levels_in_whatever_order() -> None:
    rows = [True, 1, 1.0, "x", True, None, 0, False] * 100
    there, back = (Profile.of({"mixed": np.array(each, dtype=object)}) for each in (rows, rows[::-1]))
    assert there == back
    (column,) = there.columns
    assert dict(zip(column.levels, column.reference.counts, strict=False)) == {
        "1": 200,
        "true": 200,
        "0": 100,
        "false": 100,
        "x": 100,
    }


def test_a_calibration_table_does_not_depend_on_the_order_of_rows() -> None:
    draw = np.random.default_rng(3)
    scores = draw.random(2_000)
    labels = (draw.random(2_000) < scores).astype(int)
    order = draw.permutation(2_000)
    table = CalibrationTable.of(scores, labels)
    assert CalibrationTable.of(scores[order], labels[order]) == table
    assert table.count(scores[order], labels[order]) == table.count(scores, labels)


def test_infinities_are_counted() -> None:
    profile = Profile.of({"x": [1.0, 2.0, math.inf]})
    counts = profile.count({"x": [-math.inf, math.inf, 3.0, math.nan]})
    assert (profile.reference.column("x").infinite, counts.column("x").infinite) == (1, 2)
    assert (counts + counts).column("x").infinite == 4


def test_truth_values_are_levels_also_as_numbers_and_as_they_are_written() -> None:
    column = Profile.of({"x": [True, False, True] * 2}).column("x")
    assert count_values(column, np.array([1, 0, 1.0])).counts == (2, 1, 0, 0)
    texts = np.array(["True", "0", "1", "maybe"], dtype=object)
    assert count_values(column, texts).counts == (0, 0, 4, 0)
    assert count_values(column, texts, is_written=True).counts == (2, 1, 1, 0)

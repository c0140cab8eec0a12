"""Assignment: golden vectors, and laws that hold for any experiment and any unit."""

import hashlib
import math
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chopmark.errors import InvalidRequest
from chopmark.stats.assign import ARMS_MAX, Assignment, fraction, fractions, hash_64
from chopmark.stats.assign_compat import (
    fnv1a_32,
    growthbook_v1,
    growthbook_v2,
    launchdarkly_bucket,
    murmur3_32,
    optimizely_bucket,
    unleash_percent,
)

MANY = [f"user-{i}" for i in range(100_000)]
THREE = {"control": 50.0, "small": 20.0, "large": 30.0}

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
salts = texts.filter(bool)
weights = st.floats(1e-3, 1e3)


def arms_of(assignment: Assignment, units: list[str] = MANY) -> list[str | None]:
    names = (*assignment.arms, None)
    return [names[i] for i in assignment.arm_indices(units)]


@pytest.mark.parametrize(
    ("salt", "unit", "number", "u"),
    [
        ("model-58:v1", "95@example.test", 996774581788531739, 0.054035258352672755),
        ("salt", "u1", 10117931768506494254, 0.5484941802237421),
        ("salt", "", 3420197386905928063, 0.1854092718606326),
        ("größe", "日本", 13126757734807885349, 0.7116029626884803),
    ],
)
def test_the_hash_never_changes(salt: str, unit: str, number: int, u: float) -> None:
    """The last two by ``b2sum -l 64`` of coreutils."""
    assert hash_64(salt, unit) == number
    assert fraction(salt, unit) == u


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": 1.0}, "a - a a a a a - a - a -"),
        ({"a": 50.0, "b": 50.0}, "a - a b a a a - a - b -"),
        ({"a": 90.0, "b": 10.0}, "a - a b a a a - a - a -"),
        (THREE, "large - small control control large control - small - control -"),
    ],
)
def test_the_arms_never_change(weights: dict[str, float], expected: str) -> None:
    """Worked out apart from the package, from digests of ``b2sum -l 64``."""
    split = Assignment("golden", weights, coverage=0.7)
    got = [split.arm(f"unit-{i}") for i in range(12)]
    assert " ".join(name or "-" for name in got) == expected


@given(salts, texts)
def test_a_fraction_is_the_top_bits_of_the_digest(salt: str, unit: str) -> None:
    digest = hashlib.blake2b(f"{salt}\0{unit}".encode(), digest_size=8).digest()
    u = fraction(salt, unit)
    assert 0 <= u < 1
    assert u * 2**53 == int.from_bytes(digest, "big") >> 11
    assert fractions(salt, [unit]).tolist() == [u]


@given(salts, st.lists(texts, max_size=20), st.lists(weights, min_size=1, max_size=6), st.floats(0, 1))
def test_many_units_get_the_arms_that_each_gets(
    salt: str, units: list[str], given_weights: list[float], coverage: float
) -> None:
    split = Assignment(salt, {f"arm-{i}": w for i, w in enumerate(given_weights)}, coverage)
    assert arms_of(split, units) == [split.arm(unit) for unit in units]


@given(salts, texts, st.floats(0, 1), st.floats(0, 1))
def test_raising_the_coverage_keeps_everybody(salt: str, unit: str, one: float, other: float) -> None:
    split = Assignment(salt, THREE)
    before, after = split.with_coverage(min(one, other)), split.with_coverage(max(one, other))
    assert not before.covers(unit) or after.arm(unit) == before.arm(unit) == split.arm(unit)


@given(salts, texts, st.lists(weights, min_size=2, max_size=5), st.floats(0, 1e3), st.data())
def test_raising_a_weight_only_adds_to_that_arm(
    salt: str, unit: str, given_weights: list[float], more: float, data: st.DataObject
) -> None:
    names = [f"arm-{i}" for i in range(len(given_weights))]
    raised = data.draw(st.sampled_from(names))
    before = dict(zip(names, given_weights, strict=True))
    after = before | {raised: before[raised] + more}
    old, new = Assignment(salt, before).arm(unit), Assignment(salt, after).arm(unit)
    assert new in {old, raised}


@pytest.mark.parametrize("given_weights", [{"a": 1.0, "b": 1.0}, {"a": 9.0, "b": 1.0}, {"a": 0.0, "b": 2.0}, THREE])
@pytest.mark.parametrize("scale", [0.3, 1, 1e4])
def test_shares_are_those_of_the_weights(given_weights: dict[str, float], scale: float) -> None:
    split = Assignment("shares", {arm: weight * scale for arm, weight in given_weights.items()})
    counts = np.bincount(split.arm_indices(MANY), minlength=len(given_weights))
    for count, weight in zip(counts, given_weights.values(), strict=True):
        share = weight / sum(given_weights.values())
        assert abs(count - len(MANY) * share) <= 4 * math.sqrt(len(MANY) * share * (1 - share))


def test_more_coverage_takes_its_share() -> None:
    for coverage in (0.0, 0.01, 0.5, 1.0):
        covered = int((Assignment("x", THREE, coverage).arm_indices(MANY) >= 0).sum())
        assert abs(covered - 1e5 * coverage) <= 4 * math.sqrt(1e5 * coverage * (1 - coverage))


@pytest.mark.parametrize("given_weights", [{"a": 1.0, "b": 1.0}, THREE])
def test_the_arm_does_not_depend_on_who_is_covered_nor_on_another_experiment(given_weights: dict[str, float]) -> None:
    split = Assignment("one", given_weights)
    arms = split.arm_indices(MANY)
    covered = split.with_coverage(0.5).arm_indices(MANY) >= 0
    other = Assignment("two", given_weights).arm_indices(MANY)
    for i, weight in enumerate(given_weights.values()):
        share = weight / sum(given_weights.values())
        for part in (arms[covered], arms[~covered], *(arms[other == j] for j in range(len(given_weights)))):
            assert abs((part == i).mean() - share) <= 4 * math.sqrt(share * (1 - share) / len(part))


def moves(before: dict[str, float], after: dict[str, float]) -> dict[tuple[str, str], float]:
    """From which arm to which → share of all units."""
    first, second = (arms_of(Assignment("ranker-test", given)) for given in (before, after))
    counted = Counter((old or "", new or "") for old, new in zip(first, second, strict=True) if old != new)
    return {pair: count / len(MANY) for pair, count in counted.items()}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 90, "b": 10}, {"a": 50, "b": 50}, {("a", "b"): 0.4}),
        ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 2}, {("a", "c"): 1 / 12, ("b", "c"): 1 / 12}),
        ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 1, "d": 1}, {(x, "d"): 1 / 12 for x in "abc"}),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 1, "b": 1, "c": 1}, {("d", x): 1 / 12 for x in "abc"}),
        ({"a": 45, "b": 45, "c": 0}, {"a": 45, "b": 45, "c": 10}, {("a", "c"): 0.05, ("b", "c"): 0.05}),
        ({"a": 1, "b": 1, "c": 1}, {"c": 1, "a": 1, "b": 1}, {}),
        (
            {"a": 0.5, "b": 0.25, "c": 0.25},
            {"a": 0.25, "b": 0.5, "c": 0.25},
            {("a", "b"): 0.2, ("a", "c"): 0.05, ("c", "b"): 0.05},
        ),
        # A third arm deals everybody anew, and two arms have an order: what to keep in mind, and what is documented.
        ({"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1}, dict.fromkeys([("a", "b"), ("b", "a"), ("a", "c"), ("b", "c")], 1 / 6)),
        ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1}, dict.fromkeys([("a", "b"), ("b", "a"), ("c", "a"), ("c", "b")], 1 / 6)),
        ({"a": 1, "b": 1}, {"b": 1, "a": 1}, {("a", "b"): 0.5, ("b", "a"): 0.5}),
    ],
    ids=["share", "weight", "fourth", "fourth goes", "named before", "order", "several", "third", "third goes", "order of two"],
)  # fmt: skip
def test_who_moves_when_arms_or_weights_change(
    before: dict[str, float], after: dict[str, float], expected: dict[tuple[str, str], float]
) -> None:
    """Which moves there are is exact, and their shares are those of 100,000 units: 0.007 is four standard errors or more."""
    found = moves(before, after)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=0.007)


@given(salts, st.lists(texts, max_size=20), st.lists(weights, min_size=1, max_size=4), weights)
def test_an_arm_more_beside_three_takes_units_and_moves_no_others(
    salt: str, units: list[str], given_weights: list[float], weight: float
) -> None:
    before = {"control": 1.0, "later": 0.0, **{f"arm-{i}": w for i, w in enumerate(given_weights)}}
    old, new = Assignment(salt, before), Assignment(salt, {**before, "new": weight})
    for unit in units:
        assert new.arm(unit) in {old.arm(unit), "new"}


def test_a_close_race_is_decided_as_for_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two costs are equal to the last digits the vector asks the exact function; here it always does."""
    split = Assignment("close", THREE)
    monkeypatch.setattr("chopmark.stats.assign._CLOSE", 1e300)
    assert arms_of(split, MANY[:500]) == [split.arm(unit) for unit in MANY[:500]]


def test_equal_arms_of_equal_fractions_fall_to_the_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chopmark.stats.assign.fraction", lambda _salt, _unit: 0.0)
    monkeypatch.setattr("chopmark.stats.assign.fractions", lambda _salt, units: np.zeros(len(units)))
    split = Assignment("x", {"none": 0.0, "a": 1.0, "b": 5.0})
    assert (split.arm("u"), arms_of(split, ["u"])) == ("a", ["a"])


def test_an_assignment_is_json_in_the_order_of_its_arms() -> None:
    split = Assignment("x", {"b": 1.0, "a": 2.0}, 0.25)
    again = msgspec.json.decode(msgspec.json.encode(split), type=Assignment)
    assert again == split
    assert again.arms == ("b", "a")


@pytest.mark.parametrize(
    "changed",
    [
        {"salt": ""},
        {"salt": "a\0b"},
        {"salt": "\ud800"},
        {"weights": {}},
        {"weights": {"": 1.0}},
        {"weights": {"a\0": 1.0}},
        {"weights": {"a" * 201: 1.0}},
        {"weights": {"a": -1.0, "b": 2.0}},
        {"weights": {"a": 0.0, "b": 0.0}},
        {"weights": {"a": math.nan, "b": 2.0}},
        {"weights": {"a": math.inf, "b": 2.0}},
        {"weights": {"a": 1.7e308, "b": 1.7e308}},
        {"weights": {str(i): 1.0 for i in range(ARMS_MAX + 1)}},
        {"coverage": -0.1},
        {"coverage": 1.1},
        {"coverage": math.nan},
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        replace(Assignment("x", {"a": 1.0, "b": 1.0}), **changed)


def test_a_unit_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Unicode"):
        fraction("x", "\udcff")
    with pytest.raises(InvalidRequest, match="Unicode"):
        fractions("x", ["a", "\udcff"])


@pytest.mark.parametrize(
    ("text", "seed", "number"),
    [
        ("", 0, 0),
        ("", 1, 0x514E28B7),
        ("a", 0, 0x3C2569B2),
        ("aaaa", 0x9747B28C, 0x5A97808A),
        ("aaa", 0x9747B28C, 0x283E0130),
        ("abc", 0, 0xB3DD93FA),
        ("Hello, world!", 0x9747B28C, 0x24884CBA),
        ("The quick brown fox jumps over the lazy dog", 0x9747B28C, 0x2FA826CD),
    ],
)
def test_murmur_of_known_texts(text: str, seed: int, number: int) -> None:
    assert murmur3_32(text, seed) == number


@pytest.mark.parametrize(("text", "number"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_fnv_of_known_texts(text: str, number: int) -> None:
    assert fnv1a_32(text) == number


@given(texts, texts)
def test_buckets_of_others_stay_in_their_range(salt: str, unit: str) -> None:
    assert 0 <= growthbook_v1(salt, unit) < 1
    assert 0 <= growthbook_v2(salt, unit) < 1
    assert 1 <= unleash_percent(salt, unit) <= 100
    assert 0 <= optimizely_bucket(salt, unit) <= 9_999
    assert 0 <= launchdarkly_bucket(salt, unit) <= 1

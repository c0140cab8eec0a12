"""Other libraries' scores: their reference values stand in tests/reference; here what those do not reach."""

import math
import sys

import numpy as np
import pytest

from chopmark.errors import InvalidRequest, NotFound
from chopmark.stats.drift_compat import evidently_default, level_counts, names, score

DRAW = np.random.default_rng(8)
NUMBERS = DRAW.normal(size=400), DRAW.normal(size=300) + 0.5
LEVELS = DRAW.choice(list("abc"), 400), DRAW.choice(list("abcd"), 300)


@pytest.mark.parametrize("name", names())
def test_every_score_answers_for_what_it_takes_and_refuses_the_rest(name):
    for kind, (reference, current) in (("numbers", NUMBERS), ("categories", LEVELS)):
        if name in names(kind):
            assert math.isfinite(score(name, reference, current))
        else:
            with pytest.raises(InvalidRequest, match="not defined"):
                score(name, reference, current)


@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_equal_data_of_one_value_are_equal(kind):
    same = [3.0] * 30 if kind == "numbers" else ["x"] * 30
    for name in names(kind):
        value = score(name, same, same)
        is_p_value = name.endswith("pvalue") or name in {"evidently.ks", "evidently.chisquare", "evidently.z"}
        if name == "alibi.cvm_distance":
            assert math.isfinite(value)  # not 0: mean ranks differ from those of values that are not tied
        else:
            assert value == (1.0 if is_p_value else 0.0)


def test_definitions_differ():
    found = {name: score(name, *NUMBERS) for name in ("evidently.psi", "frouros.psi")}
    assert found["frouros.psi"] > 2 * found["evidently.psi"]
    in_nats, in_bits = (score(n, *LEVELS) for n in ("evidently.jensenshannon", "nannyml.jensen_shannon"))
    assert in_nats == pytest.approx(in_bits * math.sqrt(math.log(2)))


def test_evidently_by_hand():
    reference, current = ["a"] * 6 + ["b"] * 2, ["a"] * 2 + ["b"] * 2 + ["c"] * 4
    p, q = [0.75, 0.25, 1e-4], [0.25, 0.25, 0.5]
    assert score("evidently.psi", reference, current) == pytest.approx(
        sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    )
    assert score("evidently.chisquare", reference, current) == 0.0
    assert score("evidently.z", ["a", "b"] * 50, ["a", "b"] * 20) == 1.0
    assert score("evidently.wasserstein", [5.0, 5.0], [6.0, 6.0]) == pytest.approx(1000.0)


def test_the_default_of_evidently():
    draw = np.random.default_rng(1)
    few, many = draw.integers(0, 4, 2_000).astype(float), draw.normal(size=2_000)
    assert evidently_default(many, many) == "wasserstein"
    assert evidently_default(many[:900], many) == "ks"
    assert evidently_default(few, few) == "jensenshannon"
    assert evidently_default(few[:900], few[:100]) == "chisquare"
    assert evidently_default(few[:900] > 1, few[:900] > 2) == "z"


def test_nannyml_bins_large_references():
    draw = np.random.default_rng(3)
    reference = draw.normal(size=12_000)
    current = np.concatenate([draw.normal(size=5_000), [-30.0, 40.0]])
    for name, mine in (("kolmogorov_smirnov", 0.0102), ("wasserstein", 0.0318)):
        exact = score(f"nannyml.{name}", reference[:9_999], current)
        binned = score(f"nannyml.{name}", reference, current)
        assert binned != exact
        assert binned == pytest.approx(mine, rel=0.5)


def test_single_precision():
    value = score("alibi.ks_distance", *NUMBERS)
    assert value == float(np.float32(value)) != score("nannyml.kolmogorov_smirnov", *NUMBERS)
    assert sys.float_info.min > score("alibi.chisquare_pvalue", ["a"] * 900, ["b"] * 900) >= 0


def test_level_counts():
    levels, ours, theirs = level_counts(np.array(["b", "a", "b"]), np.array(["c"]))
    assert (levels.tolist(), ours.tolist(), theirs.tolist()) == (["a", "b", "c"], [1, 2, 0], [0, 0, 1])


def test_an_unknown_name_is_told():
    with pytest.raises(NotFound, match=r"evidently\.psi"):
        score("evidently.nothing", [1.0], [1.0])
    with pytest.raises(InvalidRequest):
        score("evidently.psi", [], [])

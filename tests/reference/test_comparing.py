"""The comparison can fail, and does so for each way of being wrong."""

import math
from typing import Any

import pytest

from chopmark.stats.reference.comparing import ABSENT, FollowsEach, Tolerance, differences, tolerance_at

REL = {"rel": 1e-6}


def paths(expected: Any, got: Any, stated: dict[str, Any] | None = None) -> list[str]:
    return [d.path for d in differences(expected, got, REL if stated is None else stated)]


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"z": 1.5}, {"z": 1.50001}),
        ({"z": 1.5}, {"z": -1.5}),
        ({"z": 1.5}, {"z": math.nan}),
        ({"z": 1.5}, {"z": math.inf}),
        ({"z": 1.5}, {"z": None}),
        ({"z": 1.5}, {"z": "1.5"}),
        ({"z": 1.0}, {"z": True}),
        ({"z": True}, {"z": 1}),
        ({"z": False}, {"z": None}),
        ({"z": None}, {"z": 0.0}),
        ({"z": None}, {"z": math.nan}),
        ({"z": 3_000_000_000}, {"z": 3_000_000_001}),
        ({"z": 0.0}, {"z": 1e-12}),
        ({"z": "16487568688575222021"}, {"z": "16487568688575222022"}),
        ({"z": "16487568688575222021"}, {"z": 16487568688575222021}),
        ({"z": "nan"}, {"z": math.nan}),
        ({"z": "nan"}, {"z": "nan"}),
        ({"z": "nan"}, {"z": None}),
        ({"raises": "ValueError"}, {"raises": ""}),
        ({"raises": "ValueError"}, {"raises": None}),
        ({"z": {"p": 0.5}}, {"z": 0.5}),
        ({"z": [1.0, 2.0]}, {"z": [1.0]}),
        ({"z": [1.0]}, {"z": [1.0, 2.0]}),
        ({"z": [1.0]}, {"z": 1.0}),
    ],
)
def test_a_wrong_answer_is_found(expected: dict[str, Any], got: dict[str, Any]) -> None:
    found = list(differences(expected, got, REL))
    assert len(found) == 1
    assert str(found[0]).startswith(next(iter(expected)))


def test_a_missing_key_is_found_and_told() -> None:
    [found] = differences({"a": {"p": 1.0}}, {"a": {}}, REL)
    assert (found.path, found.got) == ("a.p", ABSENT)
    assert str(found) == "a.p: expected 1.0, got '(absent)'"
    assert paths({"a": 1.0}, None) == [""]


def test_the_place_and_the_distance_are_told() -> None:
    [found] = differences({"ci": [0.1, 0.25]}, {"ci": [0.1, 0.5]}, REL)
    assert str(found) == "ci[1]: expected 0.25, got 0.5, off by 0.25"


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({"z": 1.5}, {"z": 1.5000001}),
        ({"z": 1.5}, {"z": 1.5, "more": 1}),
        ({"n": 1}, {"n": 1.0}),
        ({"n": 2}, {"n": 2.0000001}),
        ({"z": None, "b": True}, {"z": None, "b": True}),
        ({"z": "nan"}, {"z": 1.0}),
        ({"raises": "ValueError or the library error type"}, {"raises": "InvalidRequest"}),
        ({"z": [1.0, [2.0]]}, {"z": (1.0, (2.0,))}),
    ],
)
def test_a_right_answer_passes(expected: dict[str, Any], got: dict[str, Any]) -> None:
    assert paths(expected, got) == []


def test_the_wider_of_rel_and_abs_counts() -> None:
    assert Tolerance(rel=0.1, abs=1.0).allows(10.9, 10.0)
    assert Tolerance(rel=0.1, abs=1.0).allows(109.0, 100.0)
    assert not Tolerance(rel=0.1, abs=1.0).allows(111.0, 100.0)
    assert not Tolerance().allows(1.0000000001, 1.0)


@pytest.mark.parametrize(
    ("stated", "names", "tolerance"),
    [
        ({"rel": 1e-8, "abs": 1e-10}, ("wald",), Tolerance(1e-8, 1e-10)),
        (
            {"rel": 1e-8, "abs": 1e-10, "miettinen_nurminen_score": {"abs": 1e-6}},
            ("miettinen_nurminen_score",),
            Tolerance(1e-8, 1e-6),
        ),
        (
            {"rel": 1e-7, "abs": 0, "farrington_manning_score": {"rel": 1e-5}},
            ("farrington_manning_score", "z"),
            Tolerance(1e-5),
        ),
        ({"rel": 1e-8, "barnard_boschloo_rel": 0.005}, ("boschloo_p",), Tolerance(0.005)),
        ({"rel": 1e-8, "barnard_boschloo_rel": 0.005}, ("fisher_p",), Tolerance(1e-8)),
        ({"abs": 1e-6, "loss_abs": 1e-7}, ("expected_loss_if_keep_control",), Tolerance(0, 1e-7)),
        ({"abs": 1e-6, "loss_abs": 1e-7}, ("prob_treatment_better",), Tolerance(0, 1e-6)),
        ({"rel": 1e-6, "p_abs": 1e-8}, ("p_always_valid",), Tolerance(1e-6, 1e-8)),
        ({"rel": 1e-6, "p_abs": 1e-8}, ("rho",), Tolerance(1e-6)),
        ({"rel": 1e-4, "power_abs": 1e-6}, ("power_at_n_2000",), Tolerance(1e-4, 1e-6)),
        ({"rel_mean": 1e-13, "rel_m2": 1e-6}, ("mean",), Tolerance(1e-13)),
        ({"rel_mean": 1e-13, "rel_m2": 1e-6}, ("sd",), Tolerance(1e-6)),
        ({"abs": 1e-3, "spent_abs": 1e-7}, ("cumulative_alpha_spent",), Tolerance(0, 1e-7)),
        ({"abs": 2e-4, "inflation_abs": 5e-4}, ("inflation_factor_power_0_80",), Tolerance(0, 5e-4)),
        ({"abs": 1e-6, "monte_carlo_abs": 0.005}, ("prob_best",), Tolerance(0, 1e-6)),
        ({"scipy": {"rel": 1e-9, "pvalue": {"rel": 1e-6}}}, ("scipy", "ks", "pvalue"), Tolerance(1e-6)),
        ({"scipy": {"rel": 1e-9, "pvalue": {"rel": 1e-6}}}, ("alibi", "ks", "pvalue"), Tolerance()),
        ({"abs": 1e-3, "note": "in words"}, ("note",), Tolerance(0, 1e-3)),
    ],
)
def test_each_value_has_the_tolerance_that_the_file_states(
    stated: dict[str, Any], names: tuple[str, ...], tolerance: Tolerance
) -> None:
    assert tolerance_at(stated, names) == tolerance


@pytest.mark.parametrize(
    ("key", "got", "passes"),
    [
        ("critical_values", 7.6, True),
        ("critical_values", 7.4, False),
        ("critical_values", math.nan, False),
        ("futility_bounds", -8.0, True),
        ("futility_bounds", -7.0, False),
        ("futility_bounds", 8.0, False),
        ("other", 8.0, False),
    ],
)
def test_a_bound_out_of_reach_is_as_good_as_none(key: str, got: float, passes: bool) -> None:
    assert (paths({key: [None, 2.0]}, {key: [got, 2.0]}) == []) is passes


@pytest.mark.parametrize(
    ("got", "passes"),
    [([705, 1300], True), ([1000], True), ([650], False), ([1001], False), ([], False), (None, False)],
)
def test_a_detector_that_draws_must_follow_each_change(got: Any, passes: bool) -> None:
    assert (paths({"detections": FollowsEach((700,), 300)}, {"detections": got}) == []) is passes
    assert FollowsEach((), 300).allows([])

"""Recommendations: how often equals are told apart (rarely), and how often the better is found (mostly)."""

from itertools import combinations

import numpy as np
import pytest

from chopmark.domain.paired_evidence import ClassRights, PairedErrors, PairedRights, recommend_by_answers
from chopmark.domain.recommendation import Candidate, Recommendation, recommend_by_metrics, undecided

SIMULATIONS = 1_000


def judged_by_rights(rights: list[np.ndarray]) -> Recommendation:
    candidates = [Candidate(ref=f"m:{i}", metrics={}) for i in range(len(rights))]
    pairs = {
        (f"m:{i}", f"m:{j}"): PairedRights(int((rights[i] & ~rights[j]).sum()), int((rights[j] & ~rights[i]).sum()))
        for i, j in combinations(range(len(rights)), 2)
    }
    return recommend_by_answers(candidates, pairs, row_count=len(rights[0]))


def judged_by_errors(errors: list[np.ndarray]) -> Recommendation:
    candidates = [Candidate(ref=f"m:{i}", metrics={}) for i in range(len(errors))]
    pairs = {}
    for i, j in combinations(range(len(errors)), 2):
        d = errors[i] - errors[j]
        pairs[f"m:{i}", f"m:{j}"] = PairedErrors(len(d), float(d.mean()), float(d.std(ddof=1)))
    return recommend_by_answers(candidates, pairs, row_count=len(errors[0]))


@pytest.mark.parametrize(("versions", "rows"), [(2, 40), (2, 400), (4, 400), (8, 200)])
def test_equal_classifiers_rarely_have_a_winner(versions: int, rows: int) -> None:
    random = np.random.default_rng(1)
    winners = sum(
        bool(judged_by_rights(list(random.random((versions, rows)) < 0.9)).winner) for _ in range(SIMULATIONS)
    )
    assert winners / SIMULATIONS <= 0.05


@pytest.mark.parametrize(("versions", "rows"), [(2, 30), (2, 300), (4, 60)])
@pytest.mark.parametrize("shape", ["normal", "exponential"])
def test_equal_regressions_rarely_have_a_winner(versions: int, rows: int, shape: str) -> None:
    random = np.random.default_rng(2)
    draw = random.standard_normal if shape == "normal" else random.standard_exponential
    winners = sum(bool(judged_by_errors(list(np.abs(draw((versions, rows))))).winner) for _ in range(SIMULATIONS))
    # 5 % and two standard errors of a simulation of this length
    assert winners / SIMULATIONS <= 0.05 + 2 * (0.05 * 0.95 / SIMULATIONS) ** 0.5


def test_the_better_one_is_found() -> None:
    random = np.random.default_rng(3)
    found = sum(
        judged_by_rights([random.random(400) < 0.80, random.random(400) < 0.92]).winner == "m:1" for _ in range(300)
    )
    assert found / 300 > 0.9
    found = sum(
        judged_by_errors([np.abs(random.normal(0, 1.5, 200)), np.abs(random.normal(0, 1.0, 200))]).winner == "m:1"
        for _ in range(300)
    )
    assert found / 300 > 0.9


def test_a_winner_beats_every_other() -> None:
    rows = np.arange(300)
    best, twin, bad = rows < 270, rows < 268, rows < 150
    told = judged_by_rights([best, twin, bad])
    assert told.winner == ""
    assert told.sentence.startswith("No clear winner: no version beats every other significantly")
    assert len(told.reasons) == 3
    told = judged_by_rights([bad, best, bad])
    assert told.winner == "m:1"
    assert "each of" not in told.sentence
    assert "than m:0 and m:2, significantly at 5%" in told.sentence


def test_few_rows_are_said() -> None:
    told = judged_by_rights([np.ones(10, bool), np.zeros(10, bool)])
    assert "only 10 rows" in " ".join(told.cautions)
    told = judged_by_errors([np.ones(29), np.zeros(29)])
    assert told.winner == ""
    assert "29 rows are too few" in told.sentence


def test_being_right_on_more_rows_of_a_rare_class_does_not_win() -> None:
    lazy = Candidate(ref="m:lazy", metrics={"f1": 0.5})
    keen = Candidate(ref="m:keen", metrics={"f1": 0.6})
    pairs = {("m:lazy", "m:keen"): PairedRights(80, 20)}
    told = recommend_by_answers([lazy, keen], pairs, row_count=1_000, positive_share=0.4)
    assert told.winner == ""
    assert "m:lazy is right on more rows, but m:keen has the better F1" in told.sentence


def test_both_classes_count_the_same_when_one_is_rare() -> None:
    lazy = Candidate(ref="m:lazy", metrics={"f1": 0.0})
    keen = Candidate(ref="m:keen", metrics={"f1": 0.6})
    classes = (ClassRights(40, 0, 30), ClassRights(960, 60, 0))
    pairs = {("m:lazy", "m:keen"): PairedRights(60, 30, classes)}
    told = recommend_by_answers([lazy, keen], pairs, row_count=1_000, positive_share=0.04)
    assert told.winner == "m:keen"
    assert told.sentence.startswith("m:keen has a better balanced accuracy than m:lazy")
    assert "balanced accuracy -0.3438 (p < 0.0001 after Holm)" in told.reasons[0]  # (0 - 30)/40/2 + 60/960/2
    assert told.cautions == (
        "One class has 4.0% of the rows: both classes count the same in the tests, and not each row.",
    )
    common = recommend_by_answers([lazy, keen], pairs, row_count=1_000, positive_share=0.4)
    assert common.winner == ""  # on more rows, with the lower F1


def test_labels_of_one_class_tell_no_winner() -> None:
    pairs = {("m:0", "m:1"): PairedRights(80, 20, (ClassRights(0, 0, 0), ClassRights(1_000, 80, 20)))}
    candidates = [Candidate(ref="m:0", metrics={}), Candidate(ref="m:1", metrics={})]
    told = recommend_by_answers(candidates, pairs, row_count=1_000, positive_share=0.0)
    assert told.winner == ""
    assert "all labels are of one class" in told.sentence


@pytest.mark.parametrize(("refs", "said"), [(["m:0"], "only m:0 could be judged"), ([], "no version could be judged")])
def test_who_is_alone_does_not_win(refs: list[str], said: str) -> None:
    unjudged = {"m:8": "ValueError: first line.\nsecond line", "m:9": "x" * 200}
    told = recommend_by_answers([Candidate(ref=r, metrics={}) for r in refs], {}, row_count=100, unjudged=unjudged)
    assert told.winner == ""
    assert told.sentence == f"No clear winner: {said}. Not judged: m:8 (ValueError: first line), m:9 ({'x' * 119}…)."
    assert told.unjudged == unjudged


def test_one_row_is_one() -> None:
    told = judged_by_rights([np.ones(1, bool), np.zeros(1, bool)])
    assert "There is only 1 row:" in told.cautions[0]
    assert "1 row is too few" in judged_by_errors_of_one().sentence


def judged_by_errors_of_one() -> Recommendation:
    candidates = [Candidate(ref="m:0", metrics={}), Candidate(ref="m:1", metrics={})]
    return recommend_by_answers(candidates, {("m:0", "m:1"): PairedErrors(1, 1.0, 0.0)}, row_count=1)


def recorded(**metrics: tuple[float, ...]) -> list[Candidate]:
    count = len(next(iter(metrics.values())))
    return [
        Candidate(ref=f"m:{i}", metrics={k: v[i] for k, v in metrics.items()}, size_bytes=1_000 * (i + 1))
        for i in range(count)
    ]


def test_dominance_in_recorded_metrics() -> None:
    told = recommend_by_metrics(recorded(roc_auc=(0.9, 0.95), loss=(0.3, 0.2)), basis="metrics", same_data="unknown")
    assert told.winner == "m:1"
    assert told.basis == "metrics"
    assert "not recorded" in told.sentence
    told = recommend_by_metrics(recorded(roc_auc=(0.9, 0.95)), basis="evaluations", same_data="same")
    assert told.sentence.endswith("(evaluations on the same data).")


def test_better_here_and_worse_there_has_no_winner() -> None:
    told = recommend_by_metrics(recorded(roc_auc=(0.9, 0.95), loss=(0.2, 0.3)), basis="metrics", same_data="different")
    assert told.winner == ""
    assert told.reasons == ("m:0 against m:1: m:0 is better in loss, m:1 is better in roc_auc",)
    assert told.tie_breaks == ("m:0 is smallest (1,000 bytes)",)
    assert "They were measured on different data." in told.cautions


@pytest.mark.parametrize(("other", "winner"), [(0.9008, ""), (0.908, ""), (0.92, "m:1")])
def test_a_percent_is_no_difference_without_data(other: float, winner: str) -> None:
    told = recommend_by_metrics(recorded(roc_auc=(0.9, other)), basis="metrics", same_data="same")
    assert told.winner == winner
    assert ("too small to tell without data (at most 1%)" in told.sentence) == (not winner)


def test_equals_are_told_of_the_metrics_whose_direction_is_known() -> None:
    told = recommend_by_metrics(recorded(roc_auc=(0.9, 0.9008), odd=(1.0, 9.0)), basis="metrics", same_data="same")
    assert told.reasons == ("m:0 and m:1 are within 0.1% of each other in every metric whose direction is known",)


def test_a_small_loss_stands_in_the_way_of_a_win() -> None:
    told = recommend_by_metrics(recorded(roc_auc=(0.9, 0.95), f1=(0.8, 0.796)), basis="metrics", same_data="same")
    assert told.winner == ""
    assert "none is better in one metric and worse in none" in told.sentence


def test_one_clear_and_one_small_lead_is_no_win() -> None:
    told = recommend_by_metrics(recorded(f1=(0.9, 0.905, 0.5)), basis="metrics", same_data="same")
    assert told.winner == ""
    assert "some differences are too small to tell without data" in told.sentence


@pytest.mark.parametrize("name", ["train_auc", "train/loss", "trainLoss", "f1_train", "training.f1", "Train-AUC"])
def test_metrics_of_the_training_are_no_evidence(name: str) -> None:
    told = recommend_by_metrics(recorded(**{name: (0.5, 0.9)}), basis="metrics", same_data="same")
    assert told.winner == ""
    assert "measured on the rows of their training" in told.sentence
    told = recommend_by_metrics(recorded(**{name: (0.5, 0.9), "f1": (0.6, 0.9)}), basis="metrics", same_data="same")
    assert (told.winner, told.reasons) == ("m:1", ("better than m:0 in f1, worse in none of 1",))


def test_metrics_of_no_training_are_evidence() -> None:
    told = recommend_by_metrics(recorded(constraint_f1=(0.5, 0.9)), basis="metrics", same_data="same")
    assert told.winner == "m:1"
    told = recommend_by_metrics(recorded(**{"f1 on train-lines": (0.5, 0.9)}), basis="evaluations", same_data="same")
    assert told.winner == "m:1"


def test_metrics_that_say_nothing() -> None:
    told = recommend_by_metrics(recorded(mystery=(1.0, 2.0)), basis="metrics", same_data="unknown")
    assert "nothing says whether more or less" in told.sentence
    told = recommend_by_metrics(
        recorded(mystery=(1.0, 2.0)), basis="metrics", same_data="unknown", directions={"mystery": "minimize"}
    )
    assert told.winner == "m:0"
    alone = [Candidate(ref="m:0", metrics={"f1": 1.0}), Candidate(ref="m:1", metrics={"loss": 1.0})]
    assert "share no recorded metric" in recommend_by_metrics(alone, basis="metrics", same_data="unknown").sentence


@pytest.mark.parametrize(("other", "ties"), [(1.4, ()), (1.6, ("m:0 is fastest (1 ms a batch)",))])
def test_only_clearly_faster_ones_break_a_tie(other: float, ties: tuple[str, ...]) -> None:
    candidates = [
        Candidate(ref="m:0", metrics={}, latency_ms=1.0),
        Candidate(ref="m:1", metrics={}, latency_ms=other),
    ]
    assert undecided("none", "they are alike", candidates=candidates).tie_breaks == ties

"""Which way a metric is better, by its name."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain import metrics
from chopmark.domain.metrics import direction_of


@pytest.mark.parametrize(
    "name",
    [
        *("loss", "val_loss", "validation/loss", "trainLogLoss", "log_loss", "LOSS", "f1_loss", "loss_mean"),
        *("error", "error_rate", "mean_squared_error", "rmse", "test.RMSE", "mae", "mse", "mape"),
        *("latency", "latency_ms_p95", "p99_latency_seconds", "fit_seconds", "duration_ms", "inference_time"),
        *("cost", "cost_per_request", "cost_per_1k_requests", "price_usd"),
        *("fpr", "fnr", "false_positive_rate", "false-negatives", "fpr@tpr=0.95", "fpr_at_tpr_95"),
        *("brier", "brier_score", "ece", "perplexity", "wer", "cer", "cross_entropy", "nll"),
        *("negative_log_likelihood", "neg_log_likelihood", "kl_divergence", "aic", "model_size_mb"),
    ],
)
def test_less_is_better(name: str) -> None:
    assert direction_of(name) == "minimize"


@pytest.mark.parametrize(
    "name",
    [
        *("auc", "roc_auc", "rocAUC", "pr_auc", "auroc", "AUC_test", "average precision"),
        *("accuracy", "top_5_accuracy", "balanced_accuracy", "acc", "cost_weighted_accuracy"),
        *(
            "f1",
            "f1_macro",
            "f1 (macro)",
            "F1-score",
            "macro_f_beta",
            "precision",
            "precision@10",
            "precision_at_fpr_1",
        ),
        *("recall", "recall5", "recall_at_precision_90", "r2", "R2", "r^2", "r2_score", "ap", "mAP", "map50"),
        *("ndcg", "ndcg@10", "ndcg10", "mcc", "kappa", "cohen_kappa", "iou", "mIoU", "dice", "bleu", "sacrebleu"),
        *("tpr", "true_positive_rate", "specificity", "positive_predictive_value", "exact_match", "explained_variance"),
        *("neg_mean_squared_error", "neg_log_loss", "neg_root_mean_squared_error", "log_likelihood"),
        *("throughput_per_second", "win_rate", "spearman"),
    ],
)
def test_more_is_better(name: str) -> None:
    assert direction_of(name) == "maximize"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "score",
        "rows",
        "p_value",
        "@",
        "at_5",
        "threshold",
        "епсилон",
        "anomalies",
        "nearer",
        "terror",
        "glossy",
        "classes",
    ],
)
def test_unknown_names_are_not_guessed(name: str) -> None:
    assert direction_of(name) is None


@given(st.text(max_size=80))
def test_any_text_has_an_answer(name: str) -> None:
    assert direction_of(name) in ("maximize", "minimize", None)


@pytest.mark.parametrize("name", sorted(metrics._UP | metrics._DOWN))
def test_each_known_word_decides_alone_as_part_and_with_a_number(name: str) -> None:
    alone = direction_of(name)
    assert alone is not None
    assert {direction_of(name.upper()), direction_of(f"val_{name}"), direction_of(f"{name}_p95")} == {alone}


def test_no_word_says_both() -> None:
    assert not metrics._UP & metrics._DOWN


def test_the_example() -> None:
    assert doctest.testmod(metrics).failed == 0

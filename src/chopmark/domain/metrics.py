"""Which way a metric is better, told by its name.

A name is taken apart into words (``val_logLoss`` → ``val``, ``log``, ``loss``). The last word that is known decides,
as the noun of an English name comes last: an ``f1_loss`` is a loss. What follows ``at``, ``per``, ``by``, ``under`` or
``@`` says under which condition something was measured, and does not decide: ``precision_at_fpr_1`` is a precision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

__all__ = ["Direction", "direction_of"]

Direction = Literal["maximize", "minimize"]

_WORD = re.compile(r"[a-z0-9]+")
_DOWN = frozenset(
    _WORD.findall(
        """
    loss logloss mlogloss error merror errors rmse rmsle mae mse msle mape smape wape mase medae nll crps pinball hinge huber
    latency cost costs price delay duration fpr fnr fdr brier ece mce perplexity ppl bpb bpc wer cer ter mer der eer
    aic bic kl divergence impurity crossentropy regret fid kid lpips davies hamming hausdorff
    failure failures timeout timeouts drift psi toxicity hallucination hallucinations mismatch mismatches
    overhead memory carbon energy
    """
    )
)
_UP = frozenset(
    _WORD.findall(
        """
    auc auroc aucroc rocauc auprc aucpr prauc accuracy acc f1 f2 f05 fbeta fscore precision recall r2 ap map mrr ndcg dcg mcc kappa
    iou miou jaccard dice bleu sacrebleu rouge rougel chrf meteor cider bertscore sensitivity specificity tpr tnr ppv npv
    informedness youden gmean correlation pearson spearman kendall concordance gini ks lift uplift silhouette calinski
    likelihood loglikelihood elbo reward throughput rps qps tps psnr ssim hit hits hitrate win wins ctr conversion revenue
    profit uptime availability success em
    """
    )
)
_PAIRS: dict[tuple[str, str], Direction] = {
    ("false", "positive"): "minimize",
    ("false", "positives"): "minimize",
    ("false", "negative"): "minimize",
    ("false", "negatives"): "minimize",
    ("false", "alarm"): "minimize",
    ("false", "alarms"): "minimize",
    ("false", "discovery"): "minimize",
    ("true", "positive"): "maximize",
    ("true", "positives"): "maximize",
    ("true", "negative"): "maximize",
    ("true", "negatives"): "maximize",
    ("predictive", "value"): "maximize",
    ("cross", "entropy"): "minimize",
    ("exact", "match"): "maximize",
    ("explained", "variance"): "maximize",
    ("r", "2"): "maximize",
    ("r", "squared"): "maximize",
    ("f", "1"): "maximize",
    ("f", "score"): "maximize",
    ("f", "beta"): "maximize",
}
_UNITS = frozenset(_WORD.findall("ns us ms s sec secs second seconds minute minutes time usd eur bytes mb gb"))
"""Words that decide only when nothing else is known: of time, money and memory, less is better."""

_CONDITIONS = frozenset(("at", "per", "by", "under", "given"))
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def direction_of(name: str) -> Direction | None:
    """Whether more or less of a metric is better, by its name; None when the name does not tell.

    Case and separators do not matter. scikit-learn's ``neg_…`` names are losses turned round, so more is better.

    >>> direction_of("roc_auc"), direction_of("val_loss"), direction_of("latency_ms_p95"), direction_of("score")
    ('maximize', 'minimize', 'minimize', None)
    """
    words = next((words for words in _readings(name) if _last_known(words)), [])
    known = _last_known(words)
    if words[:1] == ["neg"] and known == "minimize":
        return "maximize"
    if words[:1] in (["neg"], ["negative"]) and words[-1] in ("likelihood", "loglikelihood"):
        return "minimize"
    return known


def _readings(name: str) -> Iterator[list[str]]:
    """Words of a name in lower case, as written (``mIoU``), then with a capital letter as the start of one."""
    yield _words(name)
    yield _words(_CAMEL.sub(" ", name))


def _words(name: str) -> list[str]:
    words = _WORD.findall(name.replace("@", " at ").lower())
    # what comes after the first of these is the condition under which it was measured
    conditions = (position for position, word in enumerate(words) if position and word in _CONDITIONS)
    return words[: next(conditions, len(words))]


def _last_known(words: list[str]) -> Direction | None:
    for position in range(len(words) - 1, -1, -1):
        pair = _PAIRS.get((words[position - 1], words[position])) if position else None
        known = pair or _of_word(words[position]) or _of_word(words[position].rstrip("0123456789"))
        if known:
            return known
    return "minimize" if any(word in _UNITS for word in words) else None


def _of_word(word: str) -> Direction | None:
    if word in _DOWN:
        return "minimize"
    return "maximize" if word in _UP else None

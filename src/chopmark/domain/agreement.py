"""How versions answer on one data set: what they predict, how they agree, and how fast they are."""

from __future__ import annotations

from typing import Literal

import msgspec

from chopmark.domain.datasets import DatasetRef
from chopmark.domain.names import counted

__all__ = ["DataComparison", "Flip", "Latency", "PairAgreement", "TaskKind", "VersionOnData"]

TaskKind = Literal["classification", "anomaly", "regression"]


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Time of one call of ``predict`` on a batch, over repeated calls.

    Attributes
    ----------
    batch_rows
        Rows of the batch.
    calls
        How many calls were timed, in turn with those of the other versions, after a warm-up.
    mean_ms, deviation_ms, p95_ms
        Mean, sample standard deviation and 95th percentile, in milliseconds a batch.
    """

    batch_rows: int
    calls: int
    mean_ms: float
    deviation_ms: float
    p95_ms: float


class VersionOnData(msgspec.Struct, frozen=True, kw_only=True):
    """One version on the data.

    Attributes
    ----------
    ref
        The version.
    failure
        Why it gave no answers, or none for some rows; empty when it answered.
    unjudged
        Why its answers were not judged by the labels; empty when they were, and without labels.
    kind
        What its answers are; None when there are none.
    rates
        Share of rows by class; for a detector the share of ``anomaly`` and ``normal``.
    metrics
        Against the labels, where there are labels.
    score
        Which of the model's numbers the scores are: ``predict_proba``, ``decision_function`` …
    latency
        None when it gave no answers.
    """

    ref: str
    failure: str = ""
    unjudged: str = ""
    kind: TaskKind | None = None
    rates: dict[str, float] = {}
    metrics: dict[str, float] = {}
    score: str = ""
    latency: Latency | None = None


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that one version answers so, and another otherwise.

    Attributes
    ----------
    before, after
        The answer of the first and of the second version.
    count
        How many rows.
    rows
        Positions of the first of them, at most 1,000.
    """

    before: str
    after: str
    count: int
    rows: tuple[int, ...]


class PairAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions on the same rows.

    Attributes
    ----------
    first, second
        References.
    agreement
        Share of rows with the same answer; None for numbers.
    flips
        Where they differ, by direction, the most frequent first.
    pearson, spearman
        Correlation of scores; None where scores are missing or do not vary.
    mean_difference
        Mean absolute difference of predicted numbers; None for classes.
    """

    first: str
    second: str
    agreement: float | None = None
    flips: tuple[Flip, ...] = ()
    pearson: float | None = None
    spearman: float | None = None
    mean_difference: float | None = None


class DataComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Versions on one data set.

    Attributes
    ----------
    dataset
        What it was, by content.
    row_count
        Rows.
    labelled
        Whether there was a truth to compare with.
    versions
        In the order asked for.
    pairs
        Every pair of versions that gave answers of one kind.
    positive
        The class that precision, recall and curves are about; empty where there is none.
    cautions
        What a reader should know before trusting the figures.
    """

    dataset: DatasetRef
    row_count: int
    labelled: bool
    versions: tuple[VersionOnData, ...]
    pairs: tuple[PairAgreement, ...]
    positive: str = ""
    cautions: tuple[str, ...] = ()

    def pair(self, first: str, second: str) -> PairAgreement:
        """The agreement of two versions, in the order in which they were compared.

        Raises
        ------
        LookupError
            When they are no pair of this comparison.
        """
        for pair in self.pairs:
            if (pair.first, pair.second) == (first, second):
                return pair
        msg = f"{first} and {second} are no pair of this comparison."
        raise LookupError(msg)

    def __repr__(self) -> str:
        failed = sum(bool(v.failure) for v in self.versions)
        gave_up = f", {failed} of them failed" if failed else ""
        labels = "with labels" if self.labelled else "without labels"
        return (
            f"<{counted(len(self.versions), 'version')} on {counted(self.row_count, 'row')} {labels}{gave_up}>\n"
            f"  {self.dataset.name}"
        )

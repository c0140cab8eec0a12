"""What an experiment is to find out, laid down before its first record, and the batches it is told in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_between, check_count, check_number, check_share, check_shares, check_word
from chopmark.stats.looks import PlannedLooks
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Cuped, Exposures, Mean, Proportion, Ratio

__all__ = ["Batch", "Metric", "Plan", "Summary", "check_batch"]

Summary = Proportion | Mean | Ratio | Cuped | QuantileSketch
"""What is recorded of one metric in one arm."""

Kind = Literal["proportion", "mean", "ratio", "cuped", "quantile"]
Role = Literal["primary", "secondary", "guardrail"]
Method = Literal["sequential", "fixed", "planned"]
Better = Literal["higher", "lower"]

_SUMMARIES: dict[str, type[Summary]] = {
    "proportion": Proportion,
    "mean": Mean,
    "ratio": Ratio,
    "cuped": Cuped,
    "quantile": QuantileSketch,
}
_VARIANTS_LEAST, _VARIANTS_MAX = 2, 20
_METRICS_MAX = 100


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number that variants are compared by.

    Attributes
    ----------
    name
        Unique in its plan.
    kind
        What is recorded of it: a `Proportion`, a `Mean`, a `Ratio`, a `Cuped`, or for ``quantile`` a `QuantileSketch`.
    role
        The one ``primary`` metric decides who wins, a ``guardrail`` may forbid it, a ``secondary`` one is reported.
    better
        Which way is good: ``higher`` or ``lower``.
    threshold
        In the metric's own units, 0 or more: by how much a primary metric must be better to matter, by how much a guardrail may
        be worse. For a quantile it is a share of records beyond the limit.
    baseline
        Success rate to expect (``proportion`` only), such as that of the validation at registration: it lends power to the first looks.
    quantile, limit
        Of a ``quantile`` only: which (0.95), and the value that it is compared at. Without a limit the control's quantile is frozen once it
        has 500 values, and what comes after is compared.
    """

    name: str
    kind: Kind
    role: Role = "secondary"
    better: Better = "higher"
    threshold: float = 0.0
    baseline: float | None = None
    quantile: float = 0.95
    limit: float | None = None

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise InvalidRequest("A metric needs a name.", hint="Name it as it is recorded.")
        for field, allowed in (("kind", Kind), ("role", Role), ("better", Better)):
            check_word(f"{field} of {self.name}", getattr(self, field), allowed)
        check_number(f"threshold of {self.name}", self.threshold, least=0.0)
        for field, value, kind in (("baseline", self.baseline, "proportion"), ("limit", self.limit, "quantile")):
            if value is not None and self.kind != kind:
                raise InvalidRequest(
                    f"{self.name} is a {self.kind}, and a {field} is of a {kind} only.",
                    hint=f"Leave {field} out, or name the kind that it is of.",
                )
        for field, value in (("threshold", self.threshold), ("baseline", self.baseline)):
            if value is not None and self.kind in {"proportion", "quantile"}:
                check_between(f"{field} of {self.name}", value, 0, 1, hint="Shares go to 1: give 0.95 for 95 %.")
        check_share(f"quantile of {self.name}", self.quantile, hint="95 is no quantile: give 0.95 for 95 %.")
        if self.limit is not None:
            check_number(f"limit of {self.name}", self.limit)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared, by which method, and at which error rate.

    Attributes
    ----------
    variants
        Variant → share of the units, two or more, each above 0, summing to 1. An arm that gets no units yet is left out: a plan
        compares what is recorded, and another one is laid down when its units come.
    control
        The variant that the others are compared with.
    metrics
        One ``primary`` and any others.
    alpha
        Error rate of the primary metric over all treatments and all looks. Each guardrail and secondary metric has its own.
    method
        ``sequential`` may be looked at whenever one likes. ``fixed`` answers once, at ``planned_n``. ``planned`` answers at a few
        looks, whose bounds ``looks`` has.
    planned_n
        Units of all variants at which the experiment ends; required unless it is sequential.
    looks
        For ``planned``: how α is spent, for every treatment alike.
    ratio_alpha
        Error rate of the check that units fall to the variants by their shares, over all looks.
    """

    variants: Mapping[str, float]
    control: str
    metrics: tuple[Metric, ...]
    alpha: float = 0.05
    method: Method = "sequential"
    planned_n: int | None = None
    looks: PlannedLooks | None = None
    ratio_alpha: float = 0.001

    def __post_init__(self) -> None:
        _check_variants(self.variants, self.control)
        _check_metrics(self.metrics)
        check_word("method", self.method, Method)
        for name in ("alpha", "ratio_alpha"):
            check_share(name, getattr(self, name))
        if self.planned_n is not None:
            check_count("planned_n", self.planned_n)
        if self.method != "sequential" and not self.planned_n:
            raise InvalidRequest(
                f"A {self.method} experiment has an end.", hint="Give planned_n: the units of all variants together."
            )
        if self.looks is not None and not isinstance(self.looks, PlannedLooks):
            raise InvalidRequest("Looks are PlannedLooks.", hint="Give looks=PlannedLooks.evenly(4).")
        if (self.looks is not None) != (self.method == "planned"):
            raise InvalidRequest("Looks belong to a planned experiment.", hint='Give looks with method="planned" only.')
        if self.looks is not None and self.looks.alpha != self.alpha:
            raise InvalidRequest(
                f"The looks share out an alpha of {self.looks.alpha:g}, the plan's is {self.alpha:g}.",
                hint="Give one alpha.",
            )
        if self.looks is not None and self.looks.sided == 1 and self.primary.better == "lower":
            raise InvalidRequest(
                "One-sided looks ask whether treatment is higher, and lower is better.", hint="Plan two-sided looks."
            )

    @property
    def treatments(self) -> tuple[str, ...]:
        """All variants but the control, in their order."""
        return tuple(name for name in self.variants if name != self.control)

    @property
    def primary(self) -> Metric:
        """The metric that decides."""
        return next(m for m in self.metrics if m.role == "primary")

    def metric(self, name: str) -> Metric:
        """The metric of this name.

        Raises
        ------
        InvalidRequest
            When the plan has none.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise InvalidRequest(
            f"The plan has no metric {name!r}.", hint=f"It has {', '.join(m.name for m in self.metrics)}."
        )


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What came in since the batch before: parts of several replicas are added with ``+``, in any order.

    Attributes
    ----------
    exposures
        Units that each variant was shown to, those that are new in this batch.
    records
        Variant → metric → summary of the batch only. A unit is recorded once in the whole experiment, at the end of its time: one
        that comes back in a later batch would count twice, and its two records are alike.
    shares
        Shares that were in force, when they are not the plan's. A batch must not mix shares.
    """

    exposures: Exposures = Exposures()
    records: Mapping[str, Mapping[str, Summary]] = {}
    shares: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.exposures, Exposures):
            raise InvalidRequest("A batch has Exposures.", hint="Give exposures=Exposures({variant: units}).")
        records: Any = self.records
        if not isinstance(records, Mapping) or not all(isinstance(found, Mapping) for found in records.values()):
            raise InvalidRequest(
                "Records are told by variant, and then by metric.",
                hint='Give records={"a": {"success": Proportion(9, 10)}}.',
            )
        if self.shares is not None and not isinstance(self.shares, Mapping):
            raise InvalidRequest("Shares are told by variant.", hint='Give shares={"a": 0.9, "b": 0.1}.')

    @property
    def is_empty(self) -> bool:
        """Whether nothing came in."""
        return not self.records and not self.exposures.total

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, Batch):
            return NotImplemented
        if self.shares != other.shares and not (self.is_empty or other.is_empty):
            raise InvalidRequest(
                "Batches of different shares cannot be added.", hint="Observe each by itself, in their order."
            )
        records = {
            variant: _added(self.records.get(variant, {}), other.records.get(variant, {}))
            for variant in sorted({*self.records, *other.records})
        }
        shares = other.shares if self.is_empty else self.shares
        return type(self)(exposures=self.exposures + other.exposures, records=records, shares=shares)


def check_batch(plan: Plan, batch: Batch) -> None:
    """Raise `InvalidRequest` unless a batch speaks of what the plan has, in the summaries that it has."""
    if not isinstance(batch, Batch):
        raise InvalidRequest(
            f"A {type(batch).__name__} is no batch.", hint='Give Batch(records={"a": {"success": Proportion(9, 10)}}).'
        )
    for variant in (*batch.records, *batch.exposures.counts):
        if variant not in plan.variants:
            raise InvalidRequest(f"The plan has no variant {variant!r}.", hint=f"It has {', '.join(plan.variants)}.")
    for records in batch.records.values():
        for name, summary in records.items():
            wanted = _SUMMARIES[plan.metric(name).kind]
            if type(summary) is not wanted:
                raise InvalidRequest(
                    f"{name} is recorded as a {wanted.__name__}, not a {type(summary).__name__}.",
                    hint="Record what the plan's kind of metric says.",
                )
    if batch.shares is not None:
        check_shares(batch.shares)
        if set(batch.shares) != set(plan.variants):
            raise InvalidRequest("Shares name other variants than the plan.", hint=f"Name {', '.join(plan.variants)}.")
        pooled = [m.name for m in plan.metrics if m.kind not in {"proportion", "quantile"}]
        if dict(batch.shares) != dict(plan.variants) and (plan.method != "sequential" or pooled):
            raise InvalidRequest(
                f"Shares changed, and {', '.join(pooled) or 'a ' + plan.method + ' test'} adds up what came under all of them: "
                "what drifts meanwhile would look like a difference.",
                hint="Begin another experiment with the new shares, or compare rates and quantiles sequentially.",
            )


def _added(first: Mapping[str, Summary], second: Mapping[str, Summary]) -> dict[str, Summary]:
    added: dict[str, Any] = {**first}
    for name, summary in second.items():
        mine = added.get(name)
        if mine is not None and type(mine) is not type(summary):
            raise InvalidRequest(
                f"{name} is a {type(mine).__name__} here and a {type(summary).__name__} there.",
                hint="Record a metric the same way everywhere.",
            )
        theirs: Any = summary
        added[name] = theirs if mine is None else mine + theirs
    return added


def _check_variants(variants: Any, control: Any) -> None:
    if not isinstance(variants, Mapping):
        raise InvalidRequest("Variants have shares.", hint='Give variants={"a": 0.5, "b": 0.5}.')
    if not _VARIANTS_LEAST <= len(variants) <= _VARIANTS_MAX:
        raise InvalidRequest(
            f"An experiment of {len(variants)} variants compares nothing.", hint=f"Give 2 to {_VARIANTS_MAX}."
        )
    unused = [name for name, share in variants.items() if share == 0]
    if unused:
        raise InvalidRequest(
            f"{unused[0]!r} gets no units, and there is nothing to compare.",
            hint="Leave it out of this plan, and begin another one when its units come; an Assignment may name it already.",
        )
    if not isinstance(control, str) or control not in variants:
        raise InvalidRequest(f"The control {control!r} is no variant.", hint=f"Name one of {', '.join(variants)}.")
    check_shares(variants)


def _check_metrics(metrics: Any) -> None:
    if not isinstance(metrics, (tuple, list)) or not all(isinstance(m, Metric) for m in metrics):
        raise InvalidRequest("A plan has a tuple of metrics.", hint="Give metrics=(Metric(…),), with a comma for one.")
    names = [m.name for m in metrics]
    if len(set(names)) != len(names):
        raise InvalidRequest("Two metrics have one name.", hint="Give each its own.")
    if len(names) > _METRICS_MAX:
        raise InvalidRequest(f"{len(names)} metrics are too many.", hint=f"Give at most {_METRICS_MAX}.")
    primaries = sum(m.role == "primary" for m in metrics)
    if primaries != 1:
        raise InvalidRequest(
            f"The plan has {primaries} primary metrics.", hint='Give one metric role="primary": it decides.'
        )

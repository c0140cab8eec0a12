"""Versions side by side: read at one moment, compared by `chopmark.domain.comparison`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chopmark.app.context import Context, resolve
from chopmark.domain.comparison import (
    VERSIONS_MAX,
    VersionComparison,
)
from chopmark.domain.metrics import Direction, direction_of
from chopmark.domain.names import check_key, shown
from chopmark.domain.recommendation import Candidate, Recommendation, SameData, is_of_training, recommend_by_metrics
from chopmark.domain.side_by_side import Subject, compare_versions, shared_evaluations
from chopmark.domain.versions import Version
from chopmark.errors import IntegrityFailure, InvalidRequest
from chopmark.ops.comparing import CompareVersions

__all__ = ["EVALUATIONS_MAX", "compare"]

_NAMED_MAX = 20

EVALUATIONS_MAX = 200
"""Evaluations of each version that are looked at, newest first."""


def compare(ctx: Context, request: CompareVersions) -> VersionComparison:
    """Put versions side by side."""
    for key in request.directions:
        check_key(key, "metric")
    versions, baseline = _resolved(ctx, request)
    subjects = [_subject(ctx, version) for version in versions]
    _check_known(request.directions, subjects)
    recommendation = _recommend(subjects, request.directions)
    return compare_versions(subjects, baseline, recommendation, request.directions)


def _check_known(directions: Mapping[str, Direction], subjects: Sequence[Subject]) -> None:
    """Refuse directions of metrics that no version has: they are typing errors."""
    known = {m for s in subjects for m in s.version.metrics}
    known |= {m for s in subjects for e in s.evaluations for m in e.metrics}
    unknown = [name for name in directions if name not in known]
    if unknown:
        msg = f"directions names {', '.join(map(shown, unknown))}, a metric that none of the versions has."
        told = ", ".join(sorted(known)[:_NAMED_MAX]) or "none"
        raise InvalidRequest(msg, hint=f"Their metrics are {told}.")


def _resolved(ctx: Context, request: CompareVersions) -> tuple[list[Version], int]:
    """Versions, each once, and the position of the baseline."""
    if len(request.refs) > VERSIONS_MAX:
        msg = f"{len(request.refs)} versions are too many to compare; the limit is {VERSIONS_MAX}."
        raise InvalidRequest(msg, hint="Narrow them down with: chopmark search")
    found = {v.id: v for v in (resolve(ctx, ref) for ref in request.refs)}
    base = resolve(ctx, request.baseline) if request.baseline else next(iter(found.values()), None)
    if base is not None and base.id not in found:
        found = {base.id: base, **found}
    versions = list(found.values())
    if base is None or len(versions) < 2:  # noqa: PLR2004
        names = ", ".join(request.refs) or "nothing"
        told = f"they are all {versions[0].ref}" if len(request.refs) > 1 else f"it got {names}"
        msg = f"A comparison takes two or more different versions; {told}."
        raise InvalidRequest(msg, hint="For example: chopmark compare fraud:1 fraud:2")
    if len(versions) > VERSIONS_MAX:
        msg = f"With the baseline these are {len(versions)} versions; the limit is {VERSIONS_MAX}."
        raise InvalidRequest(msg)
    return versions, versions.index(base)


def _subject(ctx: Context, version: Version) -> Subject:
    manifest = ctx.tx.manifests.get(version.digest)
    if manifest is None:
        msg = f"The manifest of {version.ref} is missing from the catalog."
        raise IntegrityFailure(msg, hint="Restore the catalog from a backup.", ref=version.ref)
    return Subject(version, manifest, ctx.tx.evaluations.list(version.id, limit=EVALUATIONS_MAX))


def _recommend(subjects: Sequence[Subject], directions: Mapping[str, Direction]) -> Recommendation:
    """From evaluations that all versions have on the same data; else from metrics of the registration."""
    told = dict(directions)
    on_same_data: list[dict[str, float]] = [{} for _ in subjects]
    for (name, identity, split), by_version in shared_evaluations(subjects).items():
        if len(by_version) < len(subjects) or split.casefold() in ("train", "training"):
            continue  # how well a version answers the rows of its training is no evidence
        for position, evaluation in by_version.items():
            for metric, value in evaluation.metrics.items():
                direction = directions.get(metric) or direction_of(metric)
                if direction is not None and not is_of_training(metric):
                    label = f"{metric} on {name} {split}".strip()
                    label += f" {identity[:19]}" if label in on_same_data[position] else ""
                    on_same_data[position][label] = value
                    told[label] = direction
    if all(on_same_data):
        candidates = [_candidate(s.version, m) for s, m in zip(subjects, on_same_data, strict=True)]
        return recommend_by_metrics(candidates, basis="evaluations", same_data="same", directions=told)
    candidates = [_candidate(s.version, s.version.metrics) for s in subjects]
    same = _same_data([s.version for s in subjects])
    return recommend_by_metrics(candidates, basis="metrics", same_data=same, directions=told)


def _candidate(version: Version, metrics: Mapping[str, float]) -> Candidate:
    return Candidate(
        ref=version.ref,
        metrics=metrics,
        size_bytes=version.size_bytes,
        cost_per_request=version.cost_per_request,
    )


def _same_data(versions: Sequence[Version]) -> SameData:
    """Whether the metrics of the registrations were measured on the same data, as far as is recorded."""
    evaluated = [{d.digest for d in v.datasets if d.relation == "evaluated_on" and d.digest} for v in versions]
    if not all(evaluated):
        return "unknown"
    return "same" if all(e == evaluated[0] for e in evaluated) else "different"

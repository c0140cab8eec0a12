"""What became of requests: recorded by others than gateways, and told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.app.context import Context, resolve, the_model
from chopmark.app.estimating import estimates_of
from chopmark.app.outcome_reading import Group, added, labels_of, windows_between
from chopmark.base.clock import to_us
from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.feedback import LabelSummary
from chopmark.domain.outcome_summaries import (
    OutcomeComparison,
    OutcomeSummary,
    OutcomeTrend,
    TrendPoint,
    VariantOutcome,
    compared,
    summarised,
)
from chopmark.domain.outcome_tiers import AHEAD_MAX, KEPT, LENGTH, Grain, beginning
from chopmark.domain.outcomes import OutcomeWindow, check_window, window_start
from chopmark.domain.profile_windows import added_up
from chopmark.domain.refs import ModelRef, parse_model
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops import outcomes as q
from chopmark.stats.sketch import QuantileSketch

__all__ = ["ELSEWHERE", "compare", "kept_minutes", "record", "sampled", "summary", "trend"]

ELSEWHERE = "elsewhere"
"""Variant under which requests count that no endpoint of this registry answered; their series is that of the model."""

NS_PER_MS = 1e6
POINTS_MAX = 10_000
_PROFILES_MAX = 5_000


class _Series(NamedTuple):
    id: UUID
    name: str


def kept_minutes(ctx: Context, windows: list[OutcomeWindow]) -> list[OutcomeWindow]:
    """Windows of minutes that were not moved into their hours, and are not while this transaction lasts.

    Others would replace nothing any more, and so count twice.
    """
    moved_to = ctx.whole.outcome_tiers.moved_to("minute")
    return [window for window in windows if window.start >= moved_to]


def record(ctx: Context, request: q.RecordOutcomes) -> q.OutcomeReceipt:
    """Keep what a source says of some minutes."""
    version = resolve(ctx, request.ref, deleted=True)
    series, variant = _place(ctx, request, version)
    for each in request.minutes:
        to_us(each.at)  # refuses a time without zone
    windows = [_window(series, version.id, variant, each) for each in request.minutes]
    if len({window.start for window in windows}) != len(windows):
        raise InvalidRequest("A minute comes twice, and what a source says of one replaces what it said.")
    now = ctx.catalog_now()
    first, last = window_start(now - KEPT["minute"]), now + AHEAD_MAX
    kept = kept_minutes(ctx, [window for window in windows if first <= window.start <= last])
    ctx.whole.outcomes.put(f"recorded:{request.source}", kept)
    counted, told = (sum(window.requests for window in some) for some in (kept, windows))
    return q.OutcomeReceipt(requests=counted, refused=told - counted)


def _place(ctx: Context, request: q.RecordOutcomes, version: Version) -> tuple[UUID, str]:
    """Where requests count, and under which variant."""
    if not request.endpoint:
        model = the_model(ctx, ModelRef(version.project, version.model), deleted=True)
        return model.id, request.variant or ELSEWHERE
    endpoint = _endpoint(ctx, request.endpoint)
    ctx.check_may(endpoint.project)
    serving = {each.name: each.version for each in endpoint.variants}
    if request.variant:
        return endpoint.id, request.variant
    named = [name for name, pinned in serving.items() if pinned.id == version.id]
    if len(named) != 1:
        msg = f"{endpoint.ref} has {'no variant' if not named else 'several variants'} of {version.ref}."
        raise InvalidRequest(msg, hint="Say which variant answered.")
    return endpoint.id, named[0]


def _window(series: UUID, version: UUID, variant: str, told: q.RecordedMinute) -> OutcomeWindow:
    latency = told.latency
    if told.latencies_ms:
        latency += QuantileSketch.of([each * NS_PER_MS for each in told.latencies_ms])
    if told.errors.total > told.requests or latency.count > told.requests - told.errors.total:
        msg = f"Of {told.requests:,} requests {told.errors.total:,} failed and {latency.count:,} took a time."
        raise InvalidRequest(msg, hint="requests counts all of them, and latencies are those of answers.")
    return check_window(
        OutcomeWindow(
            endpoint=series,
            version=version,
            variant=variant,
            start=window_start(told.at),
            requests=told.requests,
            rows=told.rows,
            errors=told.errors,
            latency=latency,
            spent=told.spent,
            metrics=told.metrics,
        )
    )


def summary(ctx: Context, request: q.ShowOutcomes) -> OutcomeSummary:
    """What became of requests until now, by variant."""
    series = _series(ctx, request.endpoint, request.model)
    now, by_version = ctx.catalog_now(), request.by == "version"
    since, until = _span(now, request.over_s)
    totals = added(windows_between(ctx.whole, series.id, since, until), by_version=by_version)
    answered = {key: window.answered.successes for key, window in totals.items()}
    labels = labels_of(ctx.whole, series.id, since, until, answered, by_version=by_version)
    seconds = (now - since).total_seconds()
    estimates = None
    if request.endpoint:
        estimates = estimates_of(ctx.whole, ctx.store, series.id, since, until, by_version=by_version)
    named = _Names(ctx)
    found = [
        summarised(
            totals.get(key) or _nothing(series.id, key, since),
            named(key[0]),
            key[1],
            seconds,
            labels.get(key),
            None if estimates is None else estimates.of(key),
        )
        for key in {**totals, **labels}
    ]
    found.sort(key=lambda each: (-each.requests, each.version, each.variant))
    return OutcomeSummary(of=series.name, since=since, until=until, variants=tuple(found))


def trend(ctx: Context, request: q.ShowOutcomeTrend) -> OutcomeTrend:
    """What became of requests until now, point by point."""
    series = _series(ctx, request.endpoint, request.model)
    now, every = ctx.catalog_now(), request.every
    since, until = _span(now, request.over_s)
    _check_kept(every, since, now)
    since = beginning(since, every)
    length = LENGTH[every].total_seconds()
    named, points = _Names(ctx), list[TrendPoint]()
    for start, windows in _grouped(windows_between(ctx.whole, series.id, since, until), every):
        totals = added(windows, by_version=request.by == "version")
        seconds = min(length, max((now - start).total_seconds(), 1.0))
        found = [summarised(window, named(key[0]), key[1], seconds) for key, window in totals.items()]
        found.sort(key=lambda each: (-each.requests, each.version, each.variant))
        points += [TrendPoint(start=start, outcome=each) for each in found]
        if len(points) > POINTS_MAX:
            msg = f"This trend has more than {POINTS_MAX:,} points."
            raise InvalidRequest(msg, hint="Ask over a shorter time, or for hours or days.")
    return OutcomeTrend(of=series.name, since=since, until=until, every=every, points=tuple(points))


def sampled(ctx: Context, request: q.ShowSampled) -> q.Sampled:
    """What sampled requests looked like until now, by variant; copies that shadows got are told as theirs."""
    endpoint, now = _endpoint(ctx, request.endpoint), ctx.catalog_now()
    since = beginning(now - timedelta(seconds=request.over_s), "hour")
    reported = ctx.whole.profile_counts.list(endpoint.id, since=since, until=now + AHEAD_MAX, limit=_PROFILES_MAX + 1)
    if len(reported) > _PROFILES_MAX:
        raise InvalidRequest("So many hours are not added up in one answer.", hint="Ask over a shorter time.")
    named = _Names(ctx)
    found = [
        q.SampledVariant(version=named(version), variant=variant, since=window.start, counts=window.counts)
        for (version, variant), window in added_up(each.window for each in reported).items()
    ]
    found.sort(key=lambda each: (-each.counts.rows, each.version, each.variant))
    return q.Sampled(endpoint=endpoint.ref, variants=tuple(found))


def compare(ctx: Context, request: q.CompareOutcomes) -> OutcomeComparison:
    """Two versions side by side."""
    versions = [resolve(ctx, ref, deleted=True) for ref in (request.baseline, request.candidate)]
    if versions[0].id == versions[1].id:
        raise InvalidRequest(f"{versions[0].ref} is compared with itself.", hint="Name two versions.")
    now = ctx.catalog_now()
    since, until = _span(now, request.over_s)
    series = _places_of(ctx, request.endpoint, versions)
    seconds = (now - since).total_seconds()
    (window_a, a), (window_b, b) = (_told(ctx, series, each, since, until, seconds) for each in versions)
    return OutcomeComparison(
        since=since, until=until, baseline=a, candidate=b, differences=compared((window_a, a), (window_b, b))
    )


def _span(now: datetime, over_s: float) -> tuple[datetime, datetime]:
    """Whole minutes, the present one too."""
    return window_start(now - timedelta(seconds=over_s)), window_start(now) + LENGTH["minute"]


def _check_kept(every: Grain, since: datetime, now: datetime) -> None:
    if since < now - KEPT[every] - LENGTH["hour"]:
        longer = {"minute": "hours", "hour": "days"}.get(every, "")
        msg = f"{every.capitalize()}s are kept for {KEPT[every] / LENGTH['day']:g} days."
        raise InvalidRequest(msg, hint=f"Ask over a shorter time{f', or for {longer}' if longer else ''}.")


def _grouped(windows: Iterator[OutcomeWindow], every: Grain) -> Iterator[tuple[datetime, list[OutcomeWindow]]]:
    """Windows by the beginning of their point; minutes and their hour may come apart where some wait to be moved."""
    groups: dict[datetime, list[OutcomeWindow]] = {}
    totals: dict[tuple[datetime, Group], OutcomeWindow] = {}
    for window in windows:
        start = beginning(window.start, every)
        key = (start, (window.version, window.variant))
        totals[key] = totals[key] + window if key in totals else window
    for (start, _), window in totals.items():
        groups.setdefault(start, []).append(window)
    yield from sorted(groups.items())


def _series(ctx: Context, endpoint: str, model: str) -> _Series:
    if bool(endpoint) == bool(model):
        raise InvalidRequest("Name an endpoint, or a model whose outcomes were recorded: one of them.")
    if endpoint:
        found = _endpoint(ctx, endpoint)
        return _Series(found.id, found.ref)
    of = the_model(ctx, parse_model(model), deleted=True)
    return _Series(of.id, of.ref)


def _endpoint(ctx: Context, text: str) -> Endpoint:
    ref = parse_endpoint(text)
    found = ctx.tx.endpoints.get(ref.project, ref.name)
    if found is None:
        raise NotFound(f"There is no endpoint {str(ref)!r}.", hint="See what there is with: chopmark endpoint list")
    return found


def _places_of(ctx: Context, endpoint: str, versions: list[Version]) -> list[UUID]:
    """Where versions answer: an endpoint, or all of them that are seen, and their models' own series."""
    if endpoint:
        return [_endpoint(ctx, endpoint).id]
    found: dict[UUID, None] = {}
    for version in versions:
        using = ctx.whole.endpoints.using(version.id, limit=PAGE_SIZE_MAX)
        found.update((each.id, None) for each in using if ctx.actor.sees(each.project))
        model = the_model(ctx, ModelRef(version.project, version.model), deleted=True)
        found[model.id] = None
    return list(found)


def _told(
    ctx: Context, series: list[UUID], version: Version, since: datetime, until: datetime, seconds: float
) -> tuple[OutcomeWindow, VariantOutcome]:
    """What a version answered in some places, and what that comes to; the estimate is that of the place where most was sampled."""
    window, labels = _total(ctx, series, version, since, until)
    found = [
        estimates_of(ctx.whole, ctx.store, place, since, until, by_version=True).by_group.get((version.id, ""))
        for place in series
    ]
    estimated = max((each for each in found if each is not None), key=lambda each: each.rows, default=None)
    return window, summarised(window, version.ref, "", seconds, labels, estimated)


def _total(
    ctx: Context, series: list[UUID], version: Version, since: datetime, until: datetime
) -> tuple[OutcomeWindow, LabelSummary | None]:
    """Everything that a version answered in some places; labels of the place where it answered most."""
    total: OutcomeWindow | None = None
    best: tuple[int, LabelSummary | None] = (0, None)
    for place in series:
        windows = (w for w in windows_between(ctx.whole, place, since, until) if w.version == version.id)
        here = added(windows, by_version=True).get((version.id, ""))
        key = (version.id, "")
        answered = here.answered.successes if here is not None else 0
        labels = labels_of(ctx.whole, place, since, until, {key: answered}, by_version=True).get(key)
        if labels is not None and labels.labels > best[0]:
            best = (labels.labels, labels)
        if here is not None:
            same = structs.replace(here, endpoint=series[0])
            total = same if total is None else total + same
    return total or _nothing(series[0], (version.id, ""), since), best[1]


def _nothing(series: UUID, key: Group, start: datetime) -> OutcomeWindow:
    return OutcomeWindow(endpoint=series, version=key[0], variant=key[1], start=start)


class _Names:
    """References of versions by their ids; of one that was purged, what is left of it."""

    def __init__(self, ctx: Context) -> None:
        self._versions = ctx.whole.versions
        self._known: dict[UUID, str] = {}

    def __call__(self, version_id: UUID) -> str:
        if version_id not in self._known:
            found = self._versions.by_id(version_id)
            self._known[version_id] = found.ref if found is not None else f"version {version_id.hex}, which was purged"
        return self._known[version_id]

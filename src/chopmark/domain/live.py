"""What is live: what the routers say, put together, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import structs

from chopmark.domain.endpoints import (
    EXTERNAL,
    LOCAL,
    Endpoint,
    LiveVariant,
    Router,
    RoutingMark,
    ServedVariant,
    is_served_by,
)
from chopmark.domain.names import counted
from chopmark.domain.traffic import WEIGHT_TOTAL

__all__ = ["SILENT_AFTER", "LiveEndpoint", "is_silent", "what_is_live"]

SILENT_AFTER = timedelta(seconds=5)
"""A router reports each second; one that has not for so long is not counted among those that serve."""

_SHOWN = 5


class LiveEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as its routers report it.

    Attributes
    ----------
    endpoint
        Its ``[project/]name``.
    generation
        Of the routing in which it last changed; 0 when it was deleted.
    variants
        What routers serve, those of the newest generation first.
    routers
        Those that serve any of it.
    findings
        Why this is not simply what was asked for; empty when it is.
    """

    endpoint: str
    generation: int
    variants: tuple[LiveVariant, ...] = ()
    routers: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        if not self.variants:
            return f"<{self.endpoint} · {'; '.join(self.findings)}>"
        said = ", ".join(f"{v.served.variant} {v.served.version} {_percent(v.served.weight)}" for v in self.variants)
        wrong = f" · {'; '.join(self.findings)}" if self.findings else ""
        return f"<{self.endpoint} · {said} · {counted(len(self.routers), 'router')}{wrong}>"


def is_silent(router: Router, now: datetime) -> bool:
    """Whether a router has not reported for longer than one that runs does."""
    return now - router.seen_at > SILENT_AFTER


def what_is_live(
    endpoints: Iterable[Endpoint], routers: Sequence[Router], mark: RoutingMark, now: datetime
) -> list[LiveEndpoint]:
    """What the routers serve of some endpoints, and of those that are reported and are no more.

    Parameters
    ----------
    endpoints
        As they are meant to be.
    routers
        All that reported lately.
    mark
        The newest routing.
    now
        By the clock of ``seen_at``.

    Returns
    -------
    list
        Endpoints in the order given, then those that were deleted and are still served, by name.
    """
    speaking = [router for router in routers if not is_silent(router, now)]
    silent = [router for router in routers if is_silent(router, now)]
    found = []
    known = set()
    for endpoint in endpoints:
        known.add(endpoint.ref)
        found.append(_live(endpoint, speaking, silent, mark, now))
    gone = {served.endpoint for router in speaking for served in router.report.served} - known
    return found + [_deleted(name, speaking) for name in sorted(gone)]


def _live(
    endpoint: Endpoint, speaking: Sequence[Router], silent: Sequence[Router], mark: RoutingMark, now: datetime
) -> LiveEndpoint:
    variants = _variants(endpoint.ref, speaking)
    serving = {name for variant in variants for name in variant.routers if variant.served.state == "serving"}
    findings = [] if serving else [_nobody(endpoint, speaking)]
    findings += _behind(endpoint, speaking, mark)
    findings += _silences(endpoint.ref, silent, now)
    findings += [
        f"{v.served.version} is {v.served.state}{f': {v.served.why}' if v.served.why else ''} ({_named(v.routers)})"
        for v in variants
        if v.served.state != "serving"
    ]
    return LiveEndpoint(
        endpoint=endpoint.ref,
        generation=endpoint.generation,
        variants=tuple(variants),
        routers=tuple(sorted({name for variant in variants for name in variant.routers})),
        findings=tuple(findings),
    )


def _nobody(endpoint: Endpoint, speaking: Collection[Router]) -> str:
    if endpoint.config.target == EXTERNAL:
        return "others serve it: what they do is not seen here, and this is only what was meant"
    speaking = [router for router in speaking if is_served_by(endpoint, router.report.only)]
    if not speaking and endpoint.config.target != LOCAL:
        return f"nobody serves it: no router of its target, {endpoint.config.target}, reports"
    if not speaking:
        return "nobody serves it: no router reports"
    report = "1 router reports" if len(speaking) == 1 else f"{len(speaking):,} routers report"
    return f"nobody serves it: {report}, and none of them serves {endpoint.ref}"


def _deleted(name: str, speaking: Sequence[Router]) -> LiveEndpoint:
    variants = _variants(name, speaking)
    routers = sorted({each for variant in variants for each in variant.routers})
    finding = f"it was deleted, and is still served by {_named(routers)}"
    return LiveEndpoint(
        endpoint=name, generation=0, variants=tuple(variants), routers=tuple(routers), findings=(finding,)
    )


def _variants(name: str, speaking: Sequence[Router]) -> list[LiveVariant]:
    groups: dict[tuple[object, ...], list[tuple[str, ServedVariant]]] = {}
    for router in speaking:
        for served in router.report.served:
            if served.endpoint == name:
                key = (served.variant, served.version, served.digest, served.weight, served.generation, served.state)
                groups.setdefault(key, []).append((router.report.id, served))
    variants = [_together(group) for group in groups.values()]
    return sorted(variants, key=lambda v: (-v.served.generation, -v.served.weight, v.served.variant, v.served.state))


def _together(group: Sequence[tuple[str, ServedVariant]]) -> LiveVariant:
    """What several routers say alike: since when they all do, and the requests of all of them."""
    all_served = [served for _, served in group]
    served = structs.replace(
        all_served[0],
        since=max(each.since for each in all_served),
        requests_per_s=sum(each.requests_per_s for each in all_served),
        execution=", ".join(dict.fromkeys(each.execution for each in all_served if each.execution)),
        why=next((each.why for each in all_served if each.why), ""),
    )
    return LiveVariant(served=served, routers=tuple(sorted(router for router, _ in group)))


def _behind(endpoint: Endpoint, speaking: Sequence[Router], mark: RoutingMark) -> list[str]:
    """Routers whose routing is older than the last change of the endpoint, or of another epoch."""
    found = []
    for router in speaking:
        if not is_served_by(endpoint, router.report.only):
            continue
        at = router.report.mark
        if at.epoch != mark.epoch:
            found.append(f"{router.report.id} serves a routing of another epoch, of before a restored backup")
        elif at.generation < endpoint.generation:
            found.append(f"{router.report.id} serves generation {at.generation}, not {endpoint.generation}")
    return found[:_SHOWN]


def _silences(name: str, silent: Sequence[Router], now: datetime) -> list[str]:
    served = [r for r in silent if any(each.endpoint == name for each in r.report.served)]
    newest = sorted(served, key=lambda router: router.seen_at, reverse=True)[:_SHOWN]
    return [
        f"{r.report.id}, which served it, has not reported for {(now - r.seen_at).total_seconds():.0f} s"
        for r in newest
    ]


def _named(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} others" if more > 0 else "")


def _percent(weight: int) -> str:
    return f"{100 * weight / WEIGHT_TOTAL:g} %"

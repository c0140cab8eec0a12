"""The way back of an endpoint: to which version, and whether it may be gone by itself; pure.

It goes to what answered most before what answers now, by the events of the endpoint. A version that an automatic rollback came from is
not gone back to, so that two bad versions do not take turns; and a rollback waits until the one before is over by its cooldown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from chopmark.domain.alert_log import Alert
from chopmark.domain.alert_words import duration_words
from chopmark.domain.audit import AuditEvent
from chopmark.domain.endpoints import Endpoint

__all__ = ["ROLLED_BACK", "Answered", "before_now", "main_version", "refusal"]

ROLLED_BACK = "endpoint.rolled_back"
"""The event of a rollback that an alert made."""


class Answered(msgspec.Struct, frozen=True):
    """A version that answered most of an endpoint's requests, by reference and digest."""

    version: str
    digest: str


def main_version(endpoint: Endpoint) -> Answered:
    """What answers most of an endpoint's requests now; of several the first."""
    version = max(endpoint.variants, key=lambda variant: variant.weight).version
    return Answered(version.ref, version.digest)


def before_now(endpoint: Endpoint, events: Iterable[AuditEvent]) -> Iterator[Answered]:
    """Versions that answered most before what answers now, each once, the latest first.

    Parameters
    ----------
    events
        Of the endpoint, newest first.

    Notes
    -----
    Versions that an automatic rollback left are passed over. Where several share the traffic now, what answered most before they did
    may be one of them.
    """
    shared = sum(1 for variant in endpoint.variants if variant.weight) > 1
    passed = set() if shared else {main_version(endpoint).digest}
    for event in events:
        found = _most((event.data.get("before") or {}).get("variants"))
        if found is None:
            continue
        if event.event == ROLLED_BACK:
            passed.add(found.digest)
        elif found.digest not in passed:
            passed.add(found.digest)
            yield found


def refusal(
    alert: Alert, endpoint: Endpoint | None, last_rollback: datetime | None, cooldown_s: float, now: datetime
) -> str:
    """Why an endpoint is not rolled back for an alert now; empty when it may be.

    Parameters
    ----------
    endpoint
        As it is; None when it was deleted.
    last_rollback
        When it was last rolled back by an alert.
    """
    if alert.state == "resolved":
        return "The alert is resolved."
    if endpoint is None:
        return "The endpoint was deleted."
    if endpoint.generation != alert.generation:
        return "The endpoint was changed since the alert fired: what answers now is another choice."
    if last_rollback is not None:
        left = last_rollback + timedelta(seconds=cooldown_s) - now
        if left > timedelta(0):
            words = duration_words(float(round(left.total_seconds())))
            return f"The endpoint was rolled back lately; the cooldown lasts for another {words}."
    return ""


def _most(variants: Any) -> Answered | None:
    """The version with the greatest weight of what an event tells; None when it tells of none."""
    best: tuple[int, Answered] | None = None
    for each in variants or ():
        weight, version, digest = (each.get(name) for name in ("weight", "version", "digest"))
        if isinstance(weight, int) and weight and version and digest and (best is None or weight > best[0]):
            best = weight, Answered(str(version), str(digest))
    return None if best is None else best[1]

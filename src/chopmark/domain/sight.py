"""Which events somebody sees who may not read everything; pure."""

from __future__ import annotations

from collections.abc import Collection

from chopmark.domain.audit import AuditEvent
from chopmark.domain.cloud_events import named_model
from chopmark.domain.refs import DEFAULT_PROJECT

__all__ = ["is_seen", "project_of"]


def project_of(event: AuditEvent) -> str:
    """The project that an event happened in; empty for one of the whole registry.

    Those of members belong to the project that the membership is in; the catalogs say the same in SQL.
    """
    if event.event.partition(".")[0] == "member":
        return event.target
    return named_model(event)[0]


def is_seen(event: AuditEvent, projects: Collection[str]) -> bool:
    """Whether an event is of these projects, and names no version of another one.

    >>> from chopmark.base.clock import FakeClock
    >>> from uuid import UUID
    >>> def linked(to: str) -> AuditEvent:
    ...     facts = {"to": to, "target_node": "version:0"}
    ...     return AuditEvent(
    ...         seq=1, id=UUID(int=1), at=FakeClock()(), actor="ada", event="lineage.linked", target="fraud:1", data=facts
    ...     )
    >>> is_seen(linked("fraud:2"), {"default"}), is_seen(linked("risk/fraud:2"), {"default"})
    (True, False)
    """
    if project_of(event) not in projects:
        return False
    if not event.event.startswith("lineage.") or not str(event.data.get("target_node", "")).startswith("version:"):
        return True
    project, sep, _ = str(event.data.get("to", "")).rpartition("/")
    return (project if sep else DEFAULT_PROJECT) in projects

"""The schedules that a registry has from the first start of a server or worker on."""

from __future__ import annotations

from typing import Any, Protocol

from chopmark.domain.access import Actor
from chopmark.domain.schedules import DEFAULT_SCHEDULES
from chopmark.ops.jobs import SetSchedule
from chopmark.ops.requests import ListAudit, Request
from chopmark.ops.results import AuditPage

__all__ = ["make_default_schedules"]

_SYSTEM = Actor("chopmark", kind="system")


class _Acting(Protocol):
    def act(self, request: Request, actor: Actor, *, key: str = "") -> Any:
        """Do the op of a request as ``actor``."""
        ...


def make_default_schedules(transport: _Acting) -> list[str]:
    """Make those that were never made; which.

    The audit remembers: one that somebody has changed, paused or removed is left as it is. After a catalog was made again
    from its records, which hold no schedules, they are made anew.
    """
    rebuilt = _last(transport, event="registry.rebuilt")
    made = []
    for each in DEFAULT_SCHEDULES:
        if _last(transport, target=f"schedule:{each.name}") > rebuilt:
            continue
        request = SetSchedule(
            name=each.name,
            kind=each.kind,
            cron=each.cron,
            enabled=each.enabled,
            reason="made when a server or worker first started",
        )
        # Servers that start together make it once.
        transport.act(request, _SYSTEM, key=f"default-schedule:{each.name}:{rebuilt}")
        made.append(each.name)
    return made


def _last(transport: _Acting, *, target: str = "", event: str = "") -> int:
    """Number of the last event of that target or name; 0 when there is none, so that its like comes after nothing."""
    page: AuditPage = transport.act(ListAudit(target=target, event=event, newest_first=True, limit=1), _SYSTEM)
    return page.items[0].seq if page.items else 0

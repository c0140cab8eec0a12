"""A registry in memory, for the unit tests of programs that use Chopmark."""

from __future__ import annotations

import base64
from typing import Any

from msgspec import structs

from chopmark.app.dispatch import Dispatch
from chopmark.app.handlers import HANDLERS
from chopmark.base.clock import Clock, system_clock
from chopmark.base.ids import random_bytes, uuid7
from chopmark.base.settings import Settings, load_settings
from chopmark.domain.access import Actor, Role
from chopmark.notify.post import CheckedPost
from chopmark.sdk.registry import Registry
from chopmark.testing.memory_blobs import MemoryStore
from chopmark.testing.memory_catalog import MemoryCatalog
from chopmark.testing.memory_records import MemoryRecords
from chopmark.wiring import LocalTransport

__all__ = ["memory_registry", "memory_transport"]


def memory_registry(*, clock: Clock = system_clock, role: Role = "admin", **settings: Any) -> Registry:
    """Open a registry that keeps everything in memory and keeps every promise but durability.

    Parameters
    ----------
    clock
        Where the time comes from; a `chopmark.base.clock.FakeClock` stands still.
    role
        Of the actor.
    settings
        Fields of `chopmark.base.settings.Settings`.

    >>> registry = memory_registry(actor="ada")
    >>> registry.register("fraud", {"threshold": 0.7}).number
    1
    """
    resolved = load_settings({"actor": "tester", **settings}, environ={})
    return Registry(memory_transport(resolved.settings, clock=clock, role=role), resolved.settings)


def memory_transport(settings: Settings, *, clock: Clock = system_clock, role: Role = "admin") -> LocalTransport:
    """What is behind `memory_registry`: for a server of its own."""
    key = settings.webhook_key or base64.b64encode(random_bytes(32)).decode()
    dispatch = Dispatch(
        MemoryCatalog(),
        MemoryStore(clock=clock),
        MemoryRecords(),
        HANDLERS,
        clock=clock,
        new_id=uuid7,
        post=CheckedPost(structs.replace(settings, webhook_key=key), None),
    )
    return LocalTransport(dispatch, Actor(settings.actor, role), "memory", own=True)

"""Bytes that somebody may know to be there: those of versions they may read, and those they put lately.

Without this a digest could be asked for until it is found in somebody else's project, or registered as one's own and then read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from chopmark.abc.catalog import Transaction
from chopmark.domain.access import Actor

__all__ = ["KNOWN_FOR", "hidden_bytes"]

KNOWN_FOR = timedelta(days=7)
"""How long one knows of bytes that one put: longer than the longest registration takes."""


def hidden_bytes(tx: Transaction, actor: Actor, digests: Iterable[str], now: datetime) -> set[str]:
    """Those of the digests that are to the actor as if they were not there."""
    sight = actor.sight
    if sight is None:
        return set()
    asked = set(digests)
    return asked - tx.puts.shown(sorted(asked), actor.name, now - KNOWN_FOR, sorted(sight))

"""Outcomes grow old: minutes become hours, hours days, and what is too old is forgotten; see `chopmark.domain.outcome_tiers`.

Whatever is moved is added to its hour and taken away in one transaction, so that a worker that is killed anywhere leaves the same
sums; and in the order of its key, so that they are the same bit by bit whenever and in however many parts it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context
from chopmark.base.jsons import encode
from chopmark.domain.outcome_tiers import Grain, beginning, cut, joined
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.ops.outcomes import Folded, FoldOutcomes
from chopmark.stats.sketch import QuantileSketch

__all__ = ["FEEDBACK_KEPT", "FOLDED_A_CALL", "fold", "fold_a_part"]

LOGGER = logging.getLogger("chopmark.outcomes")

FOLDED_A_CALL = 2_000
FEEDBACK_KEPT = timedelta(days=90)
"""Labels are kept for so long after their request was asked; later ones are refused."""


def fold(ctx: Context, request: FoldOutcomes) -> Folded:  # noqa: ARG001 - one signature for all
    """Move and forget a part of what is old."""
    return fold_a_part(ctx.whole, ctx.catalog_now())


def fold_a_part(tx: Transaction, now: datetime, limit: int = FOLDED_A_CALL) -> Folded:
    """Move and forget what is old, at most so many rows of each kind."""
    minutes, hours = _fold_minutes(tx, now, limit), _fold_hours(tx, now, limit)
    days = tx.outcome_tiers.oldest("day", before=cut(now, "day"), limit=limit)
    tx.outcome_tiers.discard("day", days)
    labels = tx.feedback.remove(now - FEEDBACK_KEPT, limit=limit)
    profiles = tx.profile_counts.remove(cut(now, "hour"), limit=limit)
    found = {"minutes": minutes, "hours": hours, "days": len(days), "labels": labels, "profiles": profiles}
    return Folded(**found, more=limit in found.values())


def _fold_minutes(tx: Transaction, now: datetime, limit: int) -> int:
    before = _moved_on(tx, "minute", cut(now, "minute"))
    old = tx.outcomes.oldest(before=before, limit=limit)
    _add(tx, "hour", [each.window for each in old])
    tx.outcomes.discard(old)
    return len(old)


def _fold_hours(tx: Transaction, now: datetime, limit: int) -> int:
    before = _moved_on(tx, "hour", cut(now, "hour"))
    old = tx.outcome_tiers.oldest("hour", before=before, limit=limit)
    _add(tx, "day", old)
    tx.outcome_tiers.discard("hour", old)
    return len(old)


def _moved_on(tx: Transaction, grain: Grain, before: datetime) -> datetime:
    """Note how far windows are moved, once nobody adds to them; never back, whatever the clock says."""
    tx.lock("outcomes are moved")  # before the row is read: two that share it would wait for each other
    upto = max(before, tx.outcome_tiers.moved_to(grain))
    tx.outcome_tiers.move_to(grain, upto)
    return upto


def _add(tx: Transaction, grain: Grain, windows: Sequence[OutcomeWindow]) -> None:
    """Add windows to those that are there. One that does not add up is told in the log, and keeps no other from it."""
    totals: dict[tuple[UUID, datetime, UUID, str], OutcomeWindow | None] = {}
    for window in windows:
        start = beginning(window.start, grain)
        key = (window.endpoint, start, window.version, window.variant)
        if key not in totals:
            totals[key] = tx.outcome_tiers.get(grain, structs.replace(window, start=start))
        total = joined(totals[key], window, grain)
        if total is None:
            what = encode(structs.replace(window, latency=QuantileSketch())).decode()
            LOGGER.error("Outcomes were left out of their %s, as they do not add up: %s", grain, what)
        else:
            totals[key] = total
    tx.outcome_tiers.put(grain, [total for total in totals.values() if total is not None])

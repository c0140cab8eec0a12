"""What a rollout does when a version that it names is gone, so that it gives nobody traffic who cannot answer; pure.

Versions that an open rollout names are kept from going. This is for rows that were written before they were, or changed by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from chopmark.domain.rollouts import Advance, Pause, Rollout, RolloutEvent, RolloutState, SetSplit
from chopmark.domain.traffic import PinnedVersion

__all__ = ["gone_words", "without_gone"]


def gone_words(gone: Sequence[PinnedVersion]) -> str:
    """Why nothing can be asked of the routers that names these."""
    names = ", ".join(version.ref for version in gone)
    return f"{names} {'is' if len(gone) == 1 else 'are'} deleted or archived"


def without_gone(row: Rollout, after: Advance, gone: Sequence[PinnedVersion], now: datetime) -> Advance:
    """What was decided, as far as it can be done with versions that are gone.

    Onwards nothing is done, and the rollout pauses. On the way back what is gone is left out; when nothing could answer then, the
    rollout ends and the endpoint stays as it is.

    Parameters
    ----------
    row
        As it was read.
    after
        What was decided of it.
    gone
        Of those that it names.
    """
    if not gone or not after.actions or row.is_final:
        return after
    if after.rollout.state != "aborting":
        return _paused(row, gone_words(gone), now)
    if any(not _can_answer(split, gone) for split in after.actions):
        return _ended(row, after.rollout, gone_words(gone), now)
    return after._replace(actions=tuple(_left(split, gone) for split in after.actions))


def _can_answer(split: SetSplit, gone: Sequence[PinnedVersion]) -> bool:
    return any(variant.weight and variant.version not in gone for variant in split.variants)


def _left(split: SetSplit, gone: Sequence[PinnedVersion]) -> SetSplit:
    return structs.replace(split, variants=tuple(v for v in split.variants if v.weight or v.version not in gone))


def _paused(row: Rollout, why: str, now: datetime) -> Advance:
    if row.pause is not None:
        return Advance(row)
    made = structs.replace(row, pause=Pause(by="", reason=why, is_foreign=True), waiting=f"paused: {why}")
    return Advance(made, (), (_event(row, row.state, why, now, kind="paused"),))


def _ended(row: Rollout, wanted: Rollout, why: str, now: datetime) -> Advance:
    reason = f"{wanted.reason}; {why}: the endpoint stays as it is"
    state: RolloutState = wanted.ending or "rolled_back"
    made = structs.replace(
        wanted, state=state, asked=row.asked, since=now, ended_at=now, reason=reason, waiting="", is_released=True
    )
    return Advance(made, (), (_event(row, state, reason, now),))


def _event(row: Rollout, after: RolloutState, reason: str, now: datetime, *, kind: str = "moved") -> RolloutEvent:
    return RolloutEvent(
        rollout=row.id,
        kind="paused" if kind == "paused" else "moved",
        at=now,
        before=row.state,
        after=after,
        step=row.step,
        weight=row.weight,
        reason=reason,
    )

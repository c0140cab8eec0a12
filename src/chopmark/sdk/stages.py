"""``registry.stages``: governance positions of versions, and their history."""

from __future__ import annotations

from datetime import datetime

from chopmark.domain.lifecycle import StageMove
from chopmark.domain.versions import Version
from chopmark.ops import requests as q
from chopmark.ops.results import StageAnswer, StageHistoryAnswer
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Reference, Surface

__all__ = ["Stages"]


class Stages(Surface):
    """Verbs about stages; moves between them are made by ``registry.promote``."""

    def archive(self, ref: Reference, *, reason: str) -> Version:
        """Move a version to ``archived``; from there only ``development`` is open."""
        moved: Version = self._call(q.ArchiveVersion(ref=self._ref(ref), reason=reason))
        return moved

    def deprecate(
        self,
        ref: Reference,
        *,
        reason: str,
        at: datetime | None = None,
        successor: Reference | None = None,
    ) -> Version:
        """Say that a version should no longer be used.

        Parameters
        ----------
        ref
            The version; one in production moves to ``deprecated`` when the day has come.
        reason
            Why.
        at
            From when (aware); now by default.
        successor
            What to use instead.
        """
        request = q.DeprecateVersion(
            ref=self._ref(ref),
            reason=reason,
            at=at,
            successor=self._ref(successor) if successor is not None else "",
        )
        moved: Version = self._call(request)
        return moved

    def history(self, ref: Reference, *, limit: int = 50) -> Page[StageMove]:
        """Moves of a version, newest first: from, to, who, when, why."""
        found: StageHistoryAnswer = self._call(q.StageHistory(ref=self._ref(ref), limit=limit))
        return Page(found.items)

    def at(self, ref: Reference, time: datetime) -> str:
        """The stage a version was in at a time (aware); empty before it existed."""
        found: StageAnswer = self._call(q.StageAt(ref=self._ref(ref), at=time))
        return found.stage

"""Outcomes by hour and day, feedback and profiles in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from uuid import UUID

from chopmark.abc.outcomes import ConfusedList, ConfusedVariant, ProfileList, ReportedProfile, TotalsList, WindowList
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.feedback import Confused, FeedbackTotals, JudgedFeedback, tie_of
from chopmark.domain.outcome_tiers import Grain
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.profile_windows import ProfileWindow, without_columns
from chopmark.testing.memory_state import Surface

__all__ = ["MemoryFeedback", "MemoryOutcomeTiers", "MemoryProfileCounts"]

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

TierKey = tuple[str, datetime, UUID, UUID, str]


class MemoryOutcomeTiers(Surface):
    """`chopmark.abc.outcomes.OutcomeTiers`."""

    def moved_to(self, grain: Grain) -> datetime:
        """See the interface."""
        return self._scope.read.outcome_moves.get(grain, _NEVER)

    def move_to(self, grain: Grain, time: datetime) -> None:
        """See the interface."""
        to_us(time)
        self._scope.write.outcome_moves[grain] = time

    def get(self, grain: Grain, like: OutcomeWindow) -> OutcomeWindow | None:
        """See the interface."""
        body = self._scope.read.outcome_tiers.get(_key(grain, like))
        return None if body is None else decode(body, OutcomeWindow)

    def put(self, grain: Grain, windows: Iterable[OutcomeWindow]) -> None:
        """See the interface."""
        stored = self._scope.write.outcome_tiers
        for window in windows:
            stored[_key(grain, window)] = encode(window)

    def list(self, endpoint_id: UUID, grain: Grain, *, since: datetime, until: datetime, limit: int) -> WindowList:
        """See the interface."""
        found = [w for w in self._of(grain) if w.endpoint == endpoint_id and since <= w.start < until]
        return found[:limit]

    def oldest(self, grain: Grain, *, before: datetime, limit: int) -> WindowList:
        """See the interface."""
        return [window for window in self._of(grain) if window.start < before][:limit]

    def discard(self, grain: Grain, windows: Iterable[OutcomeWindow]) -> None:
        """See the interface."""
        stored = self._scope.write.outcome_tiers
        for window in windows:
            stored.pop(_key(grain, window), None)

    def _of(self, grain: Grain) -> Iterator[OutcomeWindow]:
        stored = self._scope.read.outcome_tiers
        return (decode(stored[key], OutcomeWindow) for key in sorted(stored) if key[0] == grain)


class MemoryFeedback(Surface):
    """`chopmark.abc.outcomes.FeedbackRows`."""

    def put(self, items: Iterable[JudgedFeedback]) -> None:
        """See the interface."""
        stored = self._scope.write.feedback
        for item in items:
            key = (item.endpoint, item.asked_at, item.request)
            known = stored.get(key)
            if known is None or (known.said_at, tie_of(known.judged)) < (item.said_at, tie_of(item.judged)):
                stored[key] = item

    def totals(self, endpoint_id: UUID, *, since: datetime, until: datetime) -> TotalsList:
        """See the interface."""
        groups: dict[tuple[UUID, str], list[JudgedFeedback]] = {}
        for item in self._between(endpoint_id, since, until):
            groups.setdefault((item.version, item.variant), []).append(item)
        return [_totals(version, variant, groups[version, variant]) for version, variant in sorted(groups)]

    def confused(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ConfusedList:
        """See the interface."""
        counts: dict[tuple[UUID, str, str, str], int] = {}
        for item in self._between(endpoint_id, since, until):
            found = item.judged
            if found.label and found.prediction and not found.is_number:
                pair = (item.version, item.variant, found.label, found.prediction)
                counts[pair] = counts.get(pair, 0) + 1
        ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        return [ConfusedVariant(v, name, Confused(label, said, n)) for (v, name, label, said), n in ordered]

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        stored = self._scope.write.feedback
        old = [key for key in stored if key[1] < before][:limit]
        for key in old:
            del stored[key]
        return len(old)

    def _between(self, endpoint_id: UUID, since: datetime, until: datetime) -> Iterator[JudgedFeedback]:
        stored = self._scope.read.feedback
        return (item for key, item in sorted(stored.items()) if key[0] == endpoint_id and since <= key[1] < until)


class MemoryProfileCounts(Surface):
    """`chopmark.abc.outcomes.ProfileCounts`."""

    def put(self, router: str, windows: Iterable[ProfileWindow]) -> None:
        """See the interface."""
        stored = self._scope.write.profile_counts
        for w in windows:
            stored[w.endpoint, w.start, w.version, w.variant, router] = encode(w)

    def list(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ProfileList:
        """See the interface."""
        stored = self._scope.read.profile_counts
        keys = sorted(key for key in stored if key[0] == endpoint_id and since <= key[1] < until)
        return [ReportedProfile(key[-1], decode(stored[key], ProfileWindow)) for key in keys[:limit]]

    def answers(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ProfileList:
        """See the interface."""
        found = self.list(endpoint_id, since=since, until=until, limit=limit)
        return [ReportedProfile(each.router, without_columns(each.window)) for each in found]

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        stored = self._scope.write.profile_counts
        old = [key for key in stored if key[1] < before][:limit]
        for key in old:
            del stored[key]
        return len(old)


def _key(grain: Grain, window: OutcomeWindow) -> TierKey:
    return grain, window.start, window.endpoint, window.version, window.variant


def _totals(version: UUID, variant: str, items: Iterable[JudgedFeedback]) -> FeedbackTotals:
    found = [item.judged for item in items]
    rights = [each.is_right for each in found if each.is_right is not None]
    errors = [each.error for each in found if each.error is not None]
    values = [each.value for each in found if each.value is not None]
    return FeedbackTotals(
        version=version,
        variant=variant,
        labels=len(found),
        judged=len(rights),
        right=sum(rights),
        numbers=len(errors),
        error_total=sum(errors),
        error_abs_total=sum(map(abs, errors)),
        error_squares_total=sum(error * error for error in errors),
        with_fractions=sum(each.is_number for each in found),
        values=len(values),
        value_total=sum(values),
        value_least=min(values, default=0.0),
        value_greatest=max(values, default=0.0),
    )

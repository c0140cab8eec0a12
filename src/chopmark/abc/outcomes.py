"""What a catalog keeps of outcomes as they grow old, of the truth about answers, and of what requests looked like."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from chopmark.domain.feedback import Confused, FeedbackTotals, JudgedFeedback
from chopmark.domain.outcome_tiers import Grain
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.profile_windows import ProfileWindow

__all__ = ["ConfusedVariant", "FeedbackRows", "OutcomeTiers", "ProfileCounts", "ReportedProfile"]

WindowList = list[OutcomeWindow]


class ConfusedVariant(NamedTuple):
    """A pair of truth and answer, and whose it was."""

    version: UUID
    variant: str
    confused: Confused


class ReportedProfile(NamedTuple):
    """What a router counted in an hour."""

    router: str
    window: ProfileWindow


TotalsList = list[FeedbackTotals]
ConfusedList = list[ConfusedVariant]
ProfileList = list[ReportedProfile]


class OutcomeTiers(Protocol):
    """Outcomes by hour and by day, and how far minutes and hours were moved into them.

    Minutes themselves are `chopmark.abc.routing.Outcomes`.
    """

    def moved_to(self, grain: Grain) -> datetime:
        """Before which windows of a grain were moved on; who writes keeps it so until the transaction ends."""
        ...

    def move_to(self, grain: Grain, time: datetime) -> None:
        """Note that windows before a time are moved on, once nobody else relies on the time before."""
        ...

    def get(self, grain: Grain, like: OutcomeWindow) -> OutcomeWindow | None:
        """The one of the same endpoint, version, variant and beginning."""
        ...

    def put(self, grain: Grain, windows: Iterable[OutcomeWindow]) -> None:
        """Add each, or replace the one of the same endpoint, version, variant and beginning."""
        ...

    def list(self, endpoint_id: UUID, grain: Grain, *, since: datetime, until: datetime, limit: int) -> WindowList:
        """Those of an endpoint that begin from ``since`` to before ``until``, by beginning, version and variant."""
        ...

    def oldest(self, grain: Grain, *, before: datetime, limit: int) -> WindowList:
        """Those that began before a time, of all endpoints, by beginning, endpoint, version and variant."""
        ...

    def discard(self, grain: Grain, windows: Iterable[OutcomeWindow]) -> None:
        """Remove those of the same endpoint, version, variant and beginning."""
        ...


class FeedbackRows(Protocol):
    """What was said of answers: a row for each answer."""

    def put(self, items: Iterable[JudgedFeedback]) -> None:
        """Add each; of what is said twice of an answer, what was said last stays, in whatever order it comes."""
        ...

    def totals(self, endpoint_id: UUID, *, since: datetime, until: datetime) -> TotalsList:
        """Sums by version and variant over answers asked for from ``since`` to before ``until``."""
        ...

    def confused(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ConfusedList:
        """Pairs of truth and answer of classes in that time, the most frequent first."""
        ...

    def remove(self, before: datetime, *, limit: int) -> int:
        """Forget those of answers asked for before a time, at most so many; how many."""
        ...


class ProfileCounts(Protocol):
    """Counts of sampled requests in the bins of profiles, by endpoint, hour, version, variant and router."""

    def put(self, router: str, windows: Iterable[ProfileWindow]) -> None:
        """Add each, or replace the one of the same router, endpoint, version, variant and hour."""
        ...

    def list(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ProfileList:
        """Those of an endpoint whose hour begins from ``since`` to before ``until``, by hour, version, variant and router."""
        ...

    def answers(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> ProfileList:
        """The same without their columns, which may be many: what the models answered is all there is of the counts."""
        ...

    def remove(self, before: datetime, *, limit: int) -> int:
        """Forget those whose hour began before a time, at most so many; how many."""
        ...

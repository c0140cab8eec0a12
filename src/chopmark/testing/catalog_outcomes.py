"""The part of the catalog's contract that is about outcomes that grew old, feedback, and what requests looked like."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog
from chopmark.abc.outcomes import ReportedProfile
from chopmark.abc.routing import ReportedOutcome
from chopmark.domain.feedback import Confused, Feedback, JudgedFeedback, judged
from chopmark.domain.outcome_tiers import GRAINS
from chopmark.domain.profile_windows import ProfileWindow, without_columns
from chopmark.errors import InvalidRequest
from chopmark.stats.profile import Profile
from chopmark.stats.sketch import QuantileSketch
from chopmark.testing.catalog_fixtures import CatalogFixtures
from chopmark.testing.catalog_routing import MINUTE, NOON, a_window

__all__ = ["FeedbackLaws", "ProfileCountLaws", "TierLaws", "a_profile", "said"]

HOUR = timedelta(hours=1)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
VERSION = UUID(int=7)


def said(endpoint: UUID, number: int = 1, at: datetime = NOON, **more: Any) -> JudgedFeedback:
    """Feedback on an answer."""
    facts: dict[str, Any] = {"label": "a", "prediction": "a"} if not set(more) & {"label", "correct", "value"} else {}
    words = {name: more.pop(name) for name in ("label", "prediction", "correct", "value") if name in more}
    fields: dict[str, Any] = {
        "endpoint": endpoint,
        "version": VERSION,
        "variant": "stable",
        "asked_at": NOON,
        "request": number.to_bytes(12, "big"),
        "said_at": at,
        "judged": judged(Feedback(request_id="", **facts, **words)),
    }
    return JudgedFeedback(**{**fields, **more})


class TierLaws(CatalogFixtures):
    """Hours and days are rows of their own; what is moved is noted."""

    def test_hours_and_days_come_back_as_they_were(self, catalog: Catalog) -> None:
        """With every field, each grain by itself; put again they are replaced."""
        endpoint = uuid4()
        whole = a_window(endpoint)
        later = structs.replace(whole, start=NOON + HOUR, requests=11)
        with catalog.writing() as tx:
            tx.outcome_tiers.put("hour", [whole, later])
            tx.outcome_tiers.put("day", [structs.replace(whole, requests=99)])
            tx.outcome_tiers.put("hour", [structs.replace(later, requests=12)])
        with catalog.reading() as tx:
            tiers = tx.outcome_tiers
            assert tiers.get("hour", whole) == whole
            assert tiers.get("hour", structs.replace(whole, variant="other")) is None
            found = tiers.list(endpoint, "hour", since=NOON, until=NOON + 2 * HOUR, limit=9)
            assert [each.requests for each in found] == [10, 12]
            assert tiers.list(endpoint, "hour", since=NOON, until=NOON + HOUR, limit=9) == [whole]
            assert tiers.list(endpoint, "hour", since=NOON, until=NOON + 2 * HOUR, limit=1) == [whole]
            assert [w.requests for w in tiers.list(endpoint, "day", since=NOON, until=NOON + HOUR, limit=9)] == [99]
            assert tiers.list(uuid4(), "hour", since=NOON, until=NOON + HOUR, limit=9) == []

    def test_the_oldest_of_all_endpoints_come_first_and_can_go(self, catalog: Catalog) -> None:
        """Of hours, and of minutes with their routers."""
        ids = sorted((uuid4(), uuid4()), key=lambda each: each.bytes)
        windows = [a_window(endpoint, start=NOON + n * HOUR) for n in (1, 0) for endpoint in ids]
        with catalog.writing() as tx:
            tx.outcome_tiers.put("hour", windows)
            tx.outcomes.put("r2", windows)
            tx.outcomes.put("r1", windows[:1])
        with catalog.writing() as tx:
            tiers, outcomes = tx.outcome_tiers, tx.outcomes
            found = tiers.oldest("hour", before=NOON + 2 * HOUR, limit=3)
            assert [(w.start, w.endpoint) for w in found] == [(NOON, ids[0]), (NOON, ids[1]), (NOON + HOUR, ids[0])]
            assert tiers.oldest("hour", before=NOON, limit=9) == []
            assert tiers.oldest("day", before=NOON + 2 * HOUR, limit=9) == []
            tiers.discard("hour", found[:1])
            assert tiers.oldest("hour", before=NOON + 2 * HOUR, limit=9) == [found[1], found[2], windows[1]]
            minutes = outcomes.oldest(before=NOON + 2 * HOUR, limit=9)
            assert [(o.window.start, o.router) for o in minutes] == [
                (NOON, "r2"),
                (NOON, "r2"),
                (NOON + HOUR, "r1"),
                (NOON + HOUR, "r2"),
                (NOON + HOUR, "r2"),
            ]
            outcomes.discard([minutes[2], ReportedOutcome("r9", minutes[0].window)])
            assert outcomes.oldest(before=NOON + 2 * HOUR, limit=9) == [*minutes[:2], *minutes[3:]]

    def test_long_outcomes_come_back_and_grow(self, catalog: Catalog) -> None:
        """Latencies that fill hundreds of bins; what counts fewer requests replaces them only where that is meant."""
        endpoint = uuid4()
        latency = QuantileSketch.of([1.02**n for n in range(1_000)])
        long = a_window(endpoint, requests=1_007, latency=latency)
        with catalog.writing() as tx:
            tx.outcomes.put("r1", [long], grows=True)
            tx.outcome_tiers.put("hour", [long])
            tx.outcomes.put("r1", [structs.replace(long, requests=1_006)], grows=True)
        with catalog.writing() as tx:
            assert tx.outcomes.list(endpoint, since=NOON, until=NOON + MINUTE, limit=9) == [("r1", long)]
            assert tx.outcome_tiers.get("hour", long) == long
            tx.outcomes.put("r1", [structs.replace(long, requests=1_008)], grows=True)
            (found,) = tx.outcomes.list(endpoint, since=NOON, until=NOON + MINUTE, limit=9)
            assert found.window.requests == 1_008
            tx.outcomes.put("r1", [structs.replace(long, requests=1)])
            (found,) = tx.outcomes.list(endpoint, since=NOON, until=NOON + MINUTE, limit=9)
            assert found.window.requests == 1

    def test_how_far_windows_were_moved_is_noted_by_grain(self, catalog: Catalog) -> None:
        """At first not at all."""
        with catalog.writing() as tx:
            assert [tx.outcome_tiers.moved_to(grain) for grain in GRAINS] == [NEVER] * 3
            tx.outcome_tiers.move_to("minute", NOON)
        with catalog.reading() as tx:
            assert [tx.outcome_tiers.moved_to(grain) for grain in GRAINS] == [NOON, NEVER, NEVER]

    def test_a_transaction_that_reads_changes_no_old_outcome(self, catalog: Catalog) -> None:
        """Nor feedback, nor what requests looked like."""
        endpoint = uuid4()
        window = a_window(endpoint)
        with catalog.reading() as tx:
            for change in (
                lambda: tx.outcome_tiers.put("hour", [window]),
                lambda: tx.outcome_tiers.discard("hour", [window]),
                lambda: tx.outcome_tiers.move_to("hour", NOON),
                lambda: tx.outcomes.discard([ReportedOutcome("r", window)]),
                lambda: tx.feedback.put([said(endpoint)]),
                lambda: tx.feedback.remove(NOON, limit=1),
                lambda: tx.profile_counts.put("r", [a_profile(endpoint)]),
                lambda: tx.profile_counts.remove(NOON, limit=1),
            ):
                with pytest.raises(InvalidRequest):
                    change()


class FeedbackLaws(CatalogFixtures):
    """One row an answer; what was said last counts."""

    def test_in_any_order_what_was_said_last_counts(self, catalog: Catalog) -> None:
        """Also of what was said at the same time the same one is kept."""
        told: list[dict[str, Any]] = [{"label": "a"}, {"label": "b"}, {"label": "c"}]
        at = [NOON, NOON + MINUTE, NOON + MINUTE]
        kept = set()
        for order in permutations(range(3)):
            endpoint = uuid4()
            for n in (*order, *order):  # and each twice
                with catalog.writing() as tx:
                    tx.feedback.put([said(endpoint, at=at[n], prediction="a", **told[n])])
            with catalog.reading() as tx:
                found = tx.feedback.confused(endpoint, since=NOON, until=NOON + MINUTE, limit=9)
                assert [each.confused.count for each in found] == [1]
                kept.add(found[0].confused)
        assert len(kept) == 1
        assert kept <= {Confused("b", "a", 1), Confused("c", "a", 1)}

    def test_feedback_adds_up_by_version_and_variant(self, catalog: Catalog) -> None:
        """Right and wrong, errors of numbers, values."""
        endpoint, other = uuid4(), UUID(int=8)
        items = [
            said(endpoint, 1),
            said(endpoint, 2, label="b", prediction="a"),
            said(endpoint, 3, correct=True, value=2.5),
            said(endpoint, 4, value=-1.0),
            said(endpoint, 5, version=other, label=1.5, prediction=1.0),
            said(endpoint, 6, version=other, label=3, prediction=1.0),
            said(endpoint, 7, version=other, variant="candidate"),
            said(endpoint, 8, asked_at=NOON + MINUTE),
            said(uuid4(), 9),
        ]
        with catalog.writing() as tx:
            tx.feedback.put(items)
            tx.feedback.put([])
        with catalog.reading() as tx:
            found = tx.feedback.totals(endpoint, since=NOON, until=NOON + MINUTE)
            pairs = tx.feedback.confused(endpoint, since=NOON, until=NOON + 2 * MINUTE, limit=9)
            fewer = tx.feedback.confused(endpoint, since=NOON, until=NOON + 2 * MINUTE, limit=1)
        assert [tuple(each) for each in found] == [
            (VERSION, "stable", 4, 3, 2, 0, 0.0, 0.0, 0.0, 0, 2, 1.5, -1.0, 2.5),
            (other, "candidate", 1, 1, 1, 0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0),
            (other, "stable", 2, 1, 0, 2, -2.5, 2.5, 4.25, 1, 0, 0.0, 0.0, 0.0),
        ]
        assert [(p.version.int, p.variant, p.confused) for p in pairs] == [
            (7, "stable", Confused("a", "a", 2)),
            (7, "stable", Confused("b", "a", 1)),
            (8, "candidate", Confused("a", "a", 1)),
            (8, "stable", Confused("3", "1", 1)),
        ]
        assert fewer == pairs[:1]

    def test_old_feedback_is_forgotten(self, catalog: Catalog) -> None:
        """By when the request was asked."""
        endpoint = uuid4()
        with catalog.writing() as tx:
            tx.feedback.put([said(endpoint, n, asked_at=NOON + n * MINUTE, at=NOON) for n in range(4)])
            assert tx.feedback.remove(NOON + 3 * MINUTE, limit=2) == 2
            assert tx.feedback.remove(NOON + 3 * MINUTE, limit=9) == 1
            assert tx.feedback.remove(NOON + 3 * MINUTE, limit=9) == 0
            (left,) = tx.feedback.totals(endpoint, since=NOON, until=NOON + HOUR)
        assert left.labels == 1


def a_profile(endpoint: UUID, start: datetime = NOON, ages: Sequence[float] = (1.0, 2.0, 9.0)) -> ProfileWindow:
    """What some requests looked like."""
    profile = Profile.of({"age": [1.0, 2.0, 3.0], "plan": ["a", "b", None]}, scores=[0.1, 0.5, 0.9])
    plans = ["a"] * (len(ages) - 1) + ["z"]
    counts = profile.count({"age": list(ages), "plan": plans}, scores=[0.5] * len(ages))
    return ProfileWindow(endpoint=endpoint, version=VERSION, variant="stable", start=start, counts=counts)


class ProfileCountLaws(CatalogFixtures):
    """What requests looked like, hour by hour."""

    def test_counts_come_back_and_a_report_replaces_the_one_before(self, catalog: Catalog) -> None:
        """Of the same router and hour; old ones are forgotten."""
        endpoint = uuid4()
        first, second = a_profile(endpoint), a_profile(endpoint, ages=[1.0, 1.0, 2.0, 5.0])
        with catalog.writing() as tx:
            tx.profile_counts.put("r1", [first])
            tx.profile_counts.put("r2", [first, a_profile(endpoint, NOON + HOUR)])
            tx.profile_counts.put("r1", [second])
        with catalog.reading() as tx:
            found = tx.profile_counts.list(endpoint, since=NOON, until=NOON + HOUR, limit=9)
            assert found == [ReportedProfile("r1", second), ReportedProfile("r2", first)]
            assert len(tx.profile_counts.list(endpoint, since=NOON, until=NOON + 2 * HOUR, limit=2)) == 2
            bare = tx.profile_counts.answers(endpoint, since=NOON, until=NOON + HOUR, limit=9)
            assert bare == [
                ReportedProfile("r1", without_columns(second)),
                ReportedProfile("r2", without_columns(first)),
            ]
            assert [each.window.counts.scores for each in bare] == [second.counts.scores, first.counts.scores]
            assert bare[0].window.counts.columns == ()
            assert len(tx.profile_counts.answers(endpoint, since=NOON, until=NOON + 2 * HOUR, limit=2)) == 2
        with catalog.writing() as tx:
            assert tx.profile_counts.remove(NOON + HOUR, limit=1) == 1
            assert tx.profile_counts.remove(NOON + HOUR, limit=9) == 1
            assert len(tx.profile_counts.list(endpoint, since=NOON, until=NOON + 2 * HOUR, limit=9)) == 1

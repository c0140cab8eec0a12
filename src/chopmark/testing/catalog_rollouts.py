"""The part of the catalog's contract that is about rollouts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog, Taken
from chopmark.abc.rollouts import RolloutPlace
from chopmark.domain.endpoints import RoutingMark
from chopmark.domain.rollout_plans import plan_for
from chopmark.domain.rollouts import Asked, CheckState, Evidence, Pause, Rollout, RolloutEvent
from chopmark.domain.traffic import PinnedVersion
from chopmark.errors import InvalidRequest
from chopmark.stats.sequential import BernoulliEProcess
from chopmark.stats.summaries import Proportion
from chopmark.testing.catalog_fixtures import CatalogFixtures, Stop, write_and_stop

__all__ = ["RolloutLaws", "a_rollout", "an_event"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ENDPOINT = UUID(int=8)


def _pinned(number: int) -> PinnedVersion:
    return PinnedVersion(id=uuid4(), model="risk/fraud", number=number, digest=f"sha256:{number:064}")


def a_rollout(**changes: Any) -> Rollout:
    """A rollout that has everything that one in progress may have."""
    test = BernoulliEProcess(0.1, 0.001, 0.01).observe(Proportion(1, 90), Proportion(2, 10))
    check = CheckState(
        name="error_rate",
        base=Proportion(1, 50),
        seen_stable=Proportion(1, 90),
        seen=Proportion(2, 10),
        limit=5e6,
        test=test,
        beyond=1,
        sampled_at=NOON,
        verdict="inconclusive",
        evidence="error_rate: Größe",
    )
    whole = Rollout(
        id=uuid4(),
        endpoint=ENDPOINT,
        endpoint_ref="risk/fraud-api",
        candidate=_pinned(2),
        plan=plan_for(),
        created_at=NOON,
        created_by="ada",
        state="progressing",
        stable=_pinned(1),
        step=2,
        since=NOON + MINUTE,
        confirmed_at=NOON + 2 * MINUTE,
        is_steady=True,
        at=NOON + 3 * MINUTE,
        started_at=NOON,
        asked=Asked(weight=3_000, mark=RoutingMark("epoch", 7)),
        checks=(check,),
        requests_before=40,
        pause=Pause(by="bob", reason="lunch"),
        approved=(0,),
        wants="step",
        reason="so",
        waiting="holding",
    )
    return structs.replace(whole, **changes)


def an_event(rollout: UUID, **changes: Any) -> RolloutEvent:
    """An event that has everything."""
    whole = RolloutEvent(
        rollout=rollout,
        kind="moved",
        at=NOON,
        before="progressing",
        after="aborting",
        step=2,
        weight=3_000,
        reason="failed error_rate",
        evidence=(Evidence(check="error_rate", verdict="fail", words="12 of 100"),),
        by="ada",
    )
    return structs.replace(whole, **changes)


def ended(**changes: Any) -> Rollout:
    """One that holds nothing any more."""
    return a_rollout(**{"state": "rolled_back", "is_released": True, "pause": None, "ended_at": NOON, **changes})


class RolloutLaws(CatalogFixtures):
    """A rollout is one row, written by who read its last revision; an endpoint is had by one of them."""

    def test_a_rollout_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field, its tests too; and locked the same."""
        rollout = a_rollout()
        with catalog.writing() as tx:
            tx.rollouts.insert(rollout)
            assert tx.rollouts.lock(rollout.id) == rollout
            assert tx.rollouts.lock(uuid4()) is None
        with catalog.reading() as tx:
            assert tx.rollouts.get(rollout.id) == rollout
            assert tx.rollouts.active_of(ENDPOINT) == rollout
            assert tx.rollouts.get(uuid4()) is None
            assert tx.rollouts.active_of(uuid4()) is None

    def test_who_did_not_read_the_last_revision_writes_nothing(self, catalog: Catalog) -> None:
        """The revision counts the writings."""
        rollout = a_rollout()
        with catalog.writing() as tx:
            tx.rollouts.insert(rollout)
        with catalog.writing() as tx:
            made = tx.rollouts.put(structs.replace(rollout, step=3))
            assert made == structs.replace(rollout, step=3, revision=1)
            assert tx.rollouts.put(structs.replace(rollout, step=9)) is None
            assert tx.rollouts.put(a_rollout(state="queued")) is None
        with catalog.reading() as tx:
            assert tx.rollouts.get(rollout.id) == made
        with pytest.raises(Stop):
            write_and_stop(catalog, lambda tx: tx.rollouts.put(structs.replace(rollout, step=4, revision=1)))
        with catalog.reading() as tx:
            assert tx.rollouts.get(rollout.id) == made

    def test_one_alone_has_an_endpoint(self, catalog: Catalog) -> None:
        """From preparing to its end; others wait, or have ended."""
        first, queued = a_rollout(), a_rollout(state="queued", asked=None)
        with catalog.writing() as tx:
            for each in (first, queued, ended(), a_rollout(endpoint=UUID(int=9))):
                tx.rollouts.insert(each)
            for clashing in (a_rollout(), a_rollout(state="aborting"), ended(id=first.id)):
                with pytest.raises(Taken):
                    tx.rollouts.insert(clashing)
            with pytest.raises(Taken):
                tx.rollouts.put(structs.replace(queued, state="preparing"))
            assert tx.rollouts.put(structs.replace(first, state="completed", ended_at=NOON)) is not None
            assert tx.rollouts.active_of(ENDPOINT) is None
            made = tx.rollouts.put(structs.replace(queued, state="preparing"))
            assert made is not None
            assert tx.rollouts.active_of(ENDPOINT) == made

    def test_rollouts_are_listed_newest_first_page_by_page(self, catalog: Catalog) -> None:
        """By project, name and what is to be done."""
        names = ("risk/a-api", "risk/a-api", "risk/b-api", "a-api")
        made = [
            ended(
                endpoint_ref=name,
                created_at=NOON + n // 2 * MINUTE,
                id=UUID(int=90 - n),
                is_released=n != 1,
                state="queued" if n == 3 else "rolled_back",
            )
            for n, name in enumerate(names)
        ]
        order = [made[2], made[3], made[0], made[1]]
        with catalog.writing() as tx:
            for each in made:
                tx.rollouts.insert(each)
        with catalog.reading() as tx:
            listed = tx.rollouts.list
            assert listed(limit=9) == order
            assert listed(limit=1) == order[:1]
            for n in range(1, 4):
                place = RolloutPlace(order[n - 1].created_at, order[n - 1].id)
                assert listed(before=place, limit=2) == order[n : n + 2]
            assert listed(project="risk", limit=9) == [made[2], made[0], made[1]]
            assert listed(project="risk", name="a-api", limit=9) == [made[0], made[1]]
            assert listed(among=("default", "other"), limit=9) == [made[3]]
            assert listed(among=(), limit=9) == []
            assert listed(is_open=True, limit=9) == [made[3], made[1]]
            assert listed(project="risk", name="a-api", among=("risk",), is_open=True, limit=9) == [made[1]]

    def test_events_are_numbered_by_rollout(self, catalog: Catalog) -> None:
        """In the order in which they were added, a page at a time; those of a block that raises are not there."""
        first, second = ended(), ended()
        with catalog.writing() as tx:
            for each in (first, second):
                tx.rollouts.insert(each)
            tx.rollouts.append([an_event(first.id), an_event(second.id, reason="other"), an_event(first.id, step=3)])
        with pytest.raises(Stop):
            write_and_stop(catalog, lambda tx: tx.rollouts.append([an_event(first.id)]))
        with catalog.writing() as tx:
            tx.rollouts.append([an_event(first.id, kind="paused")])
            tx.rollouts.append([])
        wanted = [
            an_event(first.id, seq=1),
            an_event(first.id, step=3, seq=2),
            an_event(first.id, kind="paused", seq=3),
        ]
        with catalog.reading() as tx:
            assert tx.rollouts.events(first.id, limit=9) == wanted
            assert tx.rollouts.events(first.id, after=1, limit=1) == wanted[1:2]
            assert tx.rollouts.events(first.id, after=3, limit=9) == []
            assert tx.rollouts.events(second.id, limit=9) == [an_event(second.id, reason="other", seq=1)]
            assert tx.rollouts.events(uuid4(), limit=9) == []

    def test_of_two_that_write_at_once_one_does(self, catalog: Catalog) -> None:
        """Both read the same revision."""
        rollout = a_rollout()
        with catalog.writing() as tx:
            tx.rollouts.insert(rollout)
        ready = threading.Barrier(2)
        written: list[Rollout | None] = []

        def write(step: int) -> None:
            with catalog.reading() as tx:
                read = tx.rollouts.get(rollout.id)
            assert read is not None
            ready.wait(10)
            with catalog.writing() as tx:
                made = tx.rollouts.put(structs.replace(read, step=step))
                tx.rollouts.append([an_event(rollout.id, step=step)] if made is not None else [])
            written.append(made)

        threads = [threading.Thread(target=write, args=(step,)) for step in (5, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        winners = [each for each in written if each is not None]
        assert len(written) == 2
        assert len(winners) == 1
        with catalog.reading() as tx:
            assert tx.rollouts.get(rollout.id) == winners[0]
            assert [e.step for e in tx.rollouts.events(rollout.id, limit=9)] == [winners[0].step]

    def test_a_reader_changes_nothing(self, catalog: Catalog) -> None:
        """It is told so."""
        rollout = a_rollout()
        with catalog.reading() as tx:
            changes: list[Callable[[], object]] = [
                lambda: tx.rollouts.insert(rollout),
                lambda: tx.rollouts.put(rollout),
                lambda: tx.rollouts.lock(rollout.id),
                lambda: tx.rollouts.append([an_event(rollout.id)]),
            ]
            for change in changes:
                with pytest.raises(InvalidRequest, match="only reads"):
                    change()

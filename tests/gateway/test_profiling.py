"""Sampled requests counted in the bins of their version's profile: the same as if all rows came at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from chopmark.base.jsons import decode, encode
from chopmark.domain.endpoints import EndpointConfig
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.profile_windows import ProfileWindow, added_up, check_profile_window, counted_profile
from chopmark.domain.signature import Field
from chopmark.domain.traffic import PinnedVersion
from chopmark.errors import InvalidRequest, Unavailable
from chopmark.gateway.profiling import Profiling
from chopmark.gateway.protocols.asked import Asked
from chopmark.stats.profile import Profile
from tests.gateway.world import World, endpoint, routing, whole

RNG = np.random.default_rng(4)
AMOUNTS, AGES = RNG.normal(100, 20, 400), RNG.normal(40, 9, 400)
SCORES = RNG.uniform(0, 9, 400)
PROFILE = Profile.of({"age": AGES, "label": np.tile([0, 1], 200), "amount": AMOUNTS}, scores=SCORES)
KEPT = counted_profile(PROFILE, {"age", "amount"})
SAMPLED = EndpointConfig(sample_share=1.0, samples_max=500)


class Story:
    """A router with two variants whose samples are counted."""

    def __init__(self) -> None:
        self.world = World()
        self.profiles: dict[int, Profile | None] = {3: PROFILE, 4: None}
        self.fault: Exception | None = None
        self.profiling = Profiling(self.world.router, self._profile, self.world.clock)

    def _profile(self, version: PinnedVersion) -> Profile | None:
        if self.fault is not None:
            raise self.fault
        return self.profiles[version.number]

    async def begin(self) -> None:
        await self.world.take(routing(endpoint((3, 5_000), (4, 5_000), config=SAMPLED)))

    def ask(self, inputs: Any, outputs: Any, variant: int = 0) -> None:
        route = self.world.router.routes["fraud-api"]
        assert route.samples is not None
        request_id = route.serving[variant].ids.made(1_700_000_000_000, 1)
        asked = Asked(inputs=inputs, rows=len(outputs), id="", outputs=())
        route.samples.take(0, request_id, asked, {"output-0": outputs})


def told(tell: Any) -> None:
    async def run() -> None:
        story = Story()
        await story.begin()
        await tell(story)
        await story.world.holding.close()

    asyncio.run(run())


def rows(first: int, last: int) -> Any:
    return np.column_stack([AMOUNTS[first:last] * 1.1, AGES[first:last]])


def test_samples_in_any_parts_come_to_the_counts_of_all_rows() -> None:
    async def tell(story: Story) -> None:
        for first in range(0, 300, 25):
            story.ask(rows(first, first + 25), SCORES[first : first + 25])
            if first % 100 == 0:
                await story.profiling.count()
        story.ask(rows(0, 10), SCORES[:10], variant=1)  # which has no profile
        await story.profiling.count()
        await story.profiling.count()
        (found,) = story.profiling.unreported(9)
        assert (found.variant, found.version.int, found.start) == ("stable", 3, beginning(story.world.clock(), "hour"))
        expected = KEPT.count({"amount": AMOUNTS[:300] * 1.1, "age": AGES[:300]}, scores=SCORES[:300])
        assert found.counts.profile == expected.profile == KEPT.digest
        assert found.counts.rows == 300
        assert [c.counts for c in found.counts.columns] == [c.counts for c in expected.columns]
        assert found.counts.scores is not None
        assert expected.scores is not None
        assert found.counts.scores.counts == expected.scores.counts
        assert check_profile_window(decode(encode(found), ProfileWindow)) == found

    told(tell)


def test_copies_of_a_shadow_are_counted_in_the_bins_of_its_own_profile() -> None:
    async def tell(story: Story) -> None:
        story.profiles = {3: None, 9: PROFILE}
        await story.world.take(routing(whole(3, shadows=[(9, 10_000)], config=SAMPLED), generation=2))
        story.world.router.settle()
        (shadowing,) = story.world.router.routes["fraud-api"].shadows
        assert shadowing.samples is not None
        for first in (0, 50):
            asked = Asked(inputs=rows(first, first + 50), rows=50, id="", outputs=())
            shadowing.samples.take(0, "", asked, {"output-0": SCORES[first : first + 50]})
            await story.profiling.count()
        story.ask(rows(0, 10), SCORES[:10])  # of who answers, which has no profile
        await story.profiling.count()
        (found,) = story.profiling.unreported(9)
        assert (found.variant, found.version.int, found.counts.rows) == ("shadow", 9, 100)
        expected = KEPT.count({"amount": AMOUNTS[:100] * 1.1, "age": AGES[:100]}, scores=SCORES[:100])
        assert found.counts.scores is not None
        assert expected.scores is not None
        assert found.counts.scores.counts == expected.scores.counts

    told(tell)


def test_totals_are_reported_until_they_were_received_and_an_hour_is_not_begun_again() -> None:
    async def tell(story: Story) -> None:
        story.ask(rows(0, 20), SCORES[:20])
        await story.profiling.count()
        first = story.profiling.unreported(9)
        story.ask(rows(0, 20), SCORES[:20])
        await story.profiling.count()
        story.profiling.received(first)  # what came meanwhile is sent again
        (second,) = story.profiling.unreported(9)
        assert (first[0].counts.rows, second.counts.rows) == (20, 40)
        story.profiling.received([second])
        assert story.profiling.unreported(9) == []
        story.world.clock.advance(timedelta(hours=1))
        story.ask(rows(0, 20), SCORES[:20])
        await story.profiling.count()
        story.world.clock.advance(timedelta(hours=-1))
        story.ask(rows(0, 20), SCORES[:20])
        await story.profiling.count()
        (third,) = story.profiling.unreported(9)
        assert (third.start - second.start, third.counts.rows) == (timedelta(hours=1), 40)

    told(tell)


def test_what_cannot_be_counted_harms_nothing_and_a_profile_is_asked_for_again() -> None:
    async def tell(story: Story) -> None:
        story.fault = Unavailable("away")
        story.ask(rows(0, 20), SCORES[:20])
        await story.profiling.count()
        assert story.profiling.unreported(9) == []
        story.fault = None
        story.ask(np.zeros((5, 7)), SCORES[:5])  # of another width
        await story.profiling.count()
        story.ask({"amount": AMOUNTS[:9], "age": np.array(["x"] * 9, dtype=object)}, SCORES[:9])
        await story.profiling.count()
        assert story.profiling.unreported(9) == []
        story.ask({"amount": AMOUNTS[:9], "more": AGES[:9]}, np.array(["yes"] * 9))  # answers of another kind
        await story.profiling.count()
        (found,) = story.profiling.unreported(9)
        assert [c.name for c in found.counts.columns] == ["amount"]
        assert (found.counts.rows, found.counts.scores) == (9, None)

    told(tell)


def test_windows_of_one_profile_add_up_and_of_another_the_newest_counts() -> None:
    start = beginning(World().clock(), "hour")
    table = {"amount": AMOUNTS[:30], "age": AGES[:30]}
    bare = KEPT.count(table, scores=SCORES[:30])
    one = ProfileWindow(endpoint=pid(1), version=pid(2), variant="stable", start=start, counts=bare)
    windows = [structs.replace(one, start=start + timedelta(hours=n)) for n in range(4)]
    other = structs.replace(
        one, start=start + timedelta(hours=9), counts=counted_profile(KEPT, {"age"}).count(table, scores=SCORES[:30])
    )
    (total,) = added_up(windows).values()
    assert total.counts == reduce(add, [bare] * 4)
    assert total.start == start
    assert list(added_up([*windows, other]).values()) == [other]
    with pytest.raises(InvalidRequest, match="begins with an hour"):
        check_profile_window(structs.replace(one, start=start + timedelta(minutes=1)))


CHANCES = RNG.uniform(0.1, 0.9, 400)
CALIBRATED = Profile.of({"age": AGES, "amount": AMOUNTS}, scores=CHANCES, labels=RNG.uniform(size=400) < CHANCES)


def _scored(story: Story) -> Any:
    (found,) = story.profiling.unreported(9)
    assert found.counts.profile == CALIBRATED.digest
    return found.counts


@pytest.mark.parametrize(
    "answers",
    [CHANCES, CHANCES[:, None], np.column_stack([1 - CHANCES, CHANCES]), CHANCES.astype(np.float32)],
    ids=["one", "a column", "both classes", "single"],
)
def test_of_a_calibrated_profile_the_probability_to_be_positive_is_counted(answers: Any) -> None:
    async def tell(story: Story) -> None:
        story.profiles[3] = CALIBRATED
        for first in range(0, 100, 25):
            story.ask(rows(first, first + 25), answers[first : first + 25])
            await story.profiling.count()
        expected = CALIBRATED.count({"age": AGES[:100], "amount": AMOUNTS[:100] * 1.1}, scores=CHANCES[:100])
        assert expected.scores is not None
        assert _scored(story).scores.rows == 100
        if answers.dtype == np.float64:
            assert _scored(story).scores.counts == expected.scores.counts

    told(tell)


def test_of_a_calibrated_profile_classes_are_no_scores_and_stop_nothing() -> None:
    """Answers of some requests have probabilities and of others do not: rows are counted of all, scores of those that have them."""

    async def tell(story: Story) -> None:
        story.profiles[3] = CALIBRATED
        story.ask(rows(0, 20), (CHANCES[:20] > 0.5).astype(np.int64))
        await story.profiling.count()
        assert (_scored(story).rows, _scored(story).scores.rows) == (20, 0)
        story.ask(rows(20, 30), CHANCES[20:30])
        story.ask(rows(30, 40), np.array(["yes"] * 10, dtype=object))
        story.ask(rows(40, 50), np.column_stack([CHANCES[40:50], CHANCES[40:50] * 7]))  # two numbers, no classes
        await story.profiling.count()
        assert (_scored(story).rows, _scored(story).scores.rows) == (50, 10)

    told(tell)


def test_a_model_that_gives_probabilities_when_asked_gives_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its usual answer is a class, also where classes are numbers such as 0.0 and 1.0."""

    async def tell(story: Story) -> None:
        story.profiles[3] = CALIBRATED
        route = story.world.router.routes["fraud-api"]
        layout = route.serving[0].execution.layout
        more = (Field("predict_proba", "float", "float64", (-1, 2)),)
        monkeypatch.setattr(route.serving[0].execution, "layout", structs.replace(layout, more=more), raising=False)
        story.ask(rows(0, 20), (CHANCES[:20] > 0.5).astype(np.float64))
        await story.profiling.count()
        assert (_scored(story).rows, _scored(story).scores.rows) == (20, 0)
        asked = {"predict_proba": np.column_stack([1 - CHANCES[:20], CHANCES[:20]])}
        request_id = route.serving[0].ids.made(1_700_000_000_000, 1)
        assert route.samples is not None
        route.samples.take(0, request_id, Asked(inputs=rows(0, 20), rows=20, id="", outputs=()), asked)
        await story.profiling.count()
        assert (_scored(story).rows, _scored(story).scores.rows) == (40, 20)

    told(tell)


def pid(number: int) -> Any:
    from uuid import UUID

    return UUID(int=number)

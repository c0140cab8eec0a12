"""The link of a gateway to a control plane that is away, late, mad, or set back to a backup."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from chopmark.domain.endpoints import RouterReport, Routing, RoutingMark
from chopmark.domain.experiment_units import UnitMet
from chopmark.domain.feedback import Feedback
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.errors import Unavailable
from chopmark.gateway.linking import Link
from tests.gateway.world import World, routing, settled, whole


class FakeControl:
    """Answers with a routing, or raises; keeps reports as a catalog does."""

    def __init__(self, offered: Routing | None) -> None:
        self.offered = offered
        self.faults: dict[str, Exception] = {}
        self.rows: dict[tuple[UUID, object], OutcomeWindow] = {}
        self.reports: list[RouterReport] = []
        self.feedback: list[Feedback] = []
        self.exposures: list[UnitMet] = []
        self.asked = 0
        self.gate: threading.Event | None = None
        self.waits = threading.Event()

    def routing(self, known: RoutingMark) -> Routing | None:
        self.asked += 1
        self._fail("routing")
        return None if self.offered is None or self.offered.mark == known else self.offered

    def report(
        self,
        report: RouterReport,
        outcomes: Sequence[OutcomeWindow],
        profiles: Sequence[ProfileWindow] = (),  # noqa: ARG002
        feedback: Sequence[Feedback] = (),
        exposures: Sequence[UnitMet] = (),
    ) -> None:
        self._fail("report")
        gate, self.gate = self.gate, None
        if gate is not None:
            self.waits.set()
            gate.wait(10)
        self.reports.append(report)
        self.feedback += feedback
        self.exposures += exposures
        for each in outcomes:
            self.rows[each.version, each.start] = each

    def wait(self, timeout_s: float) -> None:
        self._fail("wait")
        threading.Event().wait(timeout_s)

    def _fail(self, what: str) -> None:
        if what in self.faults:
            raise self.faults[what]


def story(tell: Callable[[World, FakeControl, Link], Awaitable[None]]) -> None:
    async def told() -> None:
        world, control = World(), FakeControl(routing(whole(3)))
        link = Link(
            world.router,
            control,
            router_id="r1",
            address="here",
            poll_s=0.01,
            took=lambda: None,
            counted=lambda _: None,
            clock=world.clock,
        )
        await link.start()
        await settled()
        await tell(world, control, link)
        if not link._threads._shutdown:
            await link.close()
        await world.holding.close()

    asyncio.run(told())


async def until(met: Callable[[], Any], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not met():  # noqa: ASYNC110 - of what has no event
            await asyncio.sleep(0.005)


def test_a_routing_older_than_the_known_one_is_refused_said_once_and_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def tell(world: World, control: FakeControl, link: Link) -> None:
        control.offered = routing(whole(4, 7), generation=7)
        await until(lambda: world.answers() == [4])
        control.offered = routing(whole(3, 5), generation=5)
        asked = control.asked
        await until(lambda: control.asked > asked + 5)
        assert world.answers() == [4]
        assert "older than generation 7" in link.note
        refusals = [r for r in caplog.records if r.levelno == logging.ERROR and "refused" in r.getMessage()]
        assert len(refusals) == 1
        control.offered = routing(whole(4, 7), generation=7)
        await until(lambda: not link.note)

    story(tell)


def test_a_restored_backup_is_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(world: World, control: FakeControl, link: Link) -> None:
        control.offered = routing(whole(4, 70), generation=70)
        await until(lambda: world.answers() == [4])
        assert "epoch" not in caplog.text
        control.offered = routing(whole(3, 5), generation=5, epoch="b")
        await until(lambda: world.answers() == [3])
        assert "generation 5 is taken after 70" in caplog.text
        assert not link.note
        control.offered = routing(whole(4, 99), generation=99, epoch="a")  # who serves the old database still
        asked = control.asked
        await until(lambda: control.asked > asked + 5)
        assert world.answers() == [3]
        assert "older" in link.note

    story(tell)


@pytest.mark.parametrize("what", ["wait", "routing"])
@pytest.mark.parametrize("fault", [Unavailable("away"), RuntimeError("a surprise"), OSError("no")])
def test_whatever_the_control_plane_raises_it_is_followed_again(what: str, fault: Exception) -> None:
    async def tell(world: World, control: FakeControl, link: Link) -> None:  # noqa: ARG001
        control.faults[what] = fault
        asked = control.asked
        await until(lambda: control.asked > asked + 3)
        del control.faults[what]
        control.offered = routing(whole(4, 2), generation=2)
        await until(lambda: world.answers() == [4])

    story(tell)


def test_a_stop_that_comes_together_with_a_change_is_a_stop() -> None:
    async def tell(world: World, control: FakeControl, link: Link) -> None:  # noqa: ARG001
        link._confirms.set()
        async with asyncio.timeout(60):
            await link.close()
        assert control.reports[-1].note == "It was stopped."

    story(tell)


def test_a_routing_that_cannot_be_dealt_by_ends_neither_following_nor_reporting() -> None:
    async def tell(world: World, control: FakeControl, link: Link) -> None:  # noqa: ARG001
        broken = routing(whole(5, 2), generation=2)
        control.offered = Routing(mark=broken.mark, endpoints=broken.endpoints, secret="no hexadecimal")
        asked, reported = control.asked, len(control.reports)
        await until(lambda: control.asked > asked + 3)
        assert world.answers() == [3]
        control.offered = routing(whole(4, 3), generation=3)
        await until(lambda: world.answers() == [4])
        await until(lambda: len(control.reports) > reported + 1)

    story(tell)


def test_the_last_report_is_never_overtaken_by_the_one_before() -> None:
    """A report that is under way at the end is waited for: should it arrive last, its totals would replace newer ones."""

    async def tell(world: World, control: FakeControl, link: Link) -> None:
        tally = world.router.routes["fraud-api"].serving[0].tally
        tally.answered(1_000, 1, 1, 1)
        gate = control.gate = threading.Event()
        await asyncio.to_thread(control.waits.wait, 10)
        tally.answered(1_000, 1, 1, 1)
        asyncio.get_running_loop().call_later(0.2, gate.set)
        await link.close()
        await asyncio.sleep(0.3)
        assert [each.requests for each in control.rows.values()] == [2]
        assert control.reports[-1].note == "It was stopped."

    story(tell)


def test_at_the_end_everything_that_waits_is_reported() -> None:
    async def tell(world: World, control: FakeControl, link: Link) -> None:
        control.faults["report"] = Unavailable("away")
        tally = world.router.routes["fraud-api"].serving[0].tally
        for _ in range(1_200):
            tally.answered(1_000, 1, 1, 1)
            link._minutes.add(world.router.counted(), world.clock())
            world.clock.advance(timedelta(minutes=1))
        del control.faults["report"]
        await link.close()
        assert sum(each.requests for each in control.rows.values()) == 1_200

    story(tell)

"""The gateway's link to its control plane: takes routings as they come, and reports what it serves and how that goes.

The link may be down for as long as it likes: the router goes on with what it has, and reports catch up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from chopmark.base.clock import Clock
from chopmark.domain.endpoints import RouterReport, Routing, RoutingMark
from chopmark.domain.experiment_units import UnitMet
from chopmark.domain.feedback import Feedback
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.errors import Unavailable
from chopmark.gateway.exposing import Exposing
from chopmark.gateway.feedback import WaitingFeedback
from chopmark.gateway.minutes import Minutes
from chopmark.gateway.profiling import Profiling
from chopmark.gateway.recording import Counts, TallyKey
from chopmark.gateway.router import Router
from chopmark.gateway.telling import LOGGER

__all__ = ["Control", "Link"]

_T = TypeVar("_T")

REPORT_S = 1.0
AWAY_S = 1.0
"""A control plane that does not answer is asked again after so long."""

_WINDOWS_AT_ONCE = 500
_EXPOSURES_AT_ONCE = 10_000
_PROFILES_AT_ONCE = 50
_FEEDBACK_AT_ONCE = 1_000
_FIRST_WAIT_S = 5.0


class Control(Protocol):
    """What a router asks and tells; calls block."""

    def routing(self, known: RoutingMark) -> Routing | None:
        """The newest routing; None when that is the one it knows."""
        ...

    def report(
        self,
        report: RouterReport,
        outcomes: Sequence[OutcomeWindow],
        profiles: Sequence[ProfileWindow] = (),
        feedback: Sequence[Feedback] = (),
        exposures: Sequence[UnitMet] = (),
    ) -> None:
        """Say what it serves, what became of requests, what they looked like, and what callers said of answers."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Return when something may have changed, or so many seconds have passed."""
        ...


class Link:
    """Keeps a router in step with its control plane.

    Parameters
    ----------
    router, control
        The two.
    router_id, address, only
        What the router is called, where it listens, and the endpoints that it was told to serve.
    poll_s
        How often it asks for a newer routing of which it hears nothing.
    took
        Called after each routing that was taken.
    counted
        Is given what was counted in each second.
    feedback
        That callers sent.
    profiling
        Counts what requests look like.
    exposing
        Notes who met a variant of an experiment.
    noted
        What else people should know of the router; empty when nothing.
    clock
        Where the time comes from.
    """

    def __init__(
        self,
        router: Router,
        control: Control,
        *,
        router_id: str,
        address: str,
        only: tuple[str, ...] = (),
        poll_s: float,
        took: Callable[[], None],
        counted: Callable[[Mapping[TallyKey, Counts]], None],
        feedback: WaitingFeedback | None = None,
        profiling: Profiling | None = None,
        exposing: Exposing | None = None,
        noted: Callable[[], str] = str,
        clock: Clock,
    ) -> None:
        self._router = router
        self._control = control
        self._id = router_id
        self._address = address
        self._only = only
        self._poll_s = poll_s
        self._took = took
        self._counted = counted
        self._feedback = WaitingFeedback() if feedback is None else feedback
        self._profiling = profiling
        self._exposing = Exposing(clock) if exposing is None else exposing
        self._noted = noted
        self._clock = clock
        self._started_at = clock()
        self._minutes = Minutes()
        self._away: str = ""
        self._confirms = asyncio.Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="chopmark-link")
        self._sending: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the routing that is there, and go on in the background; without a control plane it begins empty."""
        self._router.on_change(self._confirms.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_WAIT_S):
                await self._ask()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._tell())]

    @property
    def note(self) -> str:
        """What people should know of it; empty when all is well."""
        return self._router.note or self._away

    async def close(self) -> None:
        """Report once more, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=REPORT_S)
        is_underway = self._sending is not None and not self._sending.done()
        if not is_underway:  # else that one might arrive last, and replace newer totals by its own
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_S):
                    await self._report_the_last()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _follow(self) -> None:
        while True:
            try:
                is_there = await self._ask()
                if is_there:
                    await self._blocking(self._control.wait, self._poll_s)
            except Exception:  # noqa: BLE001 - a gateway that follows no longer would look as if nothing had changed
                LOGGER.exception("The routing could not be followed")
                is_there = False
            if not is_there:
                await asyncio.sleep(min(self._poll_s, AWAY_S))

    async def _ask(self) -> bool:
        """Ask for a newer routing; whether there was an answer."""
        try:
            routing = await self._blocking(self._control.routing, self._router.mark)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from answering, the gateway goes on
            self._is_away(error)
            return False
        if self._away:
            LOGGER.warning("The control plane answers again.")
            self._away = ""
        if routing is None:
            self._router.note = ""  # both know the same: what was refused before is over
        elif self._router.take(routing):
            self._took()
        return True

    def _is_away(self, error: Exception) -> None:
        if not self._away:
            self._away = f"The control plane does not answer since {self._clock():%Y-%m-%d %H:%M:%S} UTC."
            told = "%s The last routing is served. %s"  # why is for the log: it may name addresses, and anybody reads the note
            if isinstance(error, Unavailable):
                LOGGER.warning(told, self._away, error.message)
            else:
                LOGGER.error(told, self._away, repr(error), exc_info=error)

    async def _tell(self) -> None:
        """Report each second, and as soon as a table was replaced: a change counts as made when the routers say so."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_S):
                    await self._confirms.wait()
            self._confirms.clear()
            try:
                self._router.settle()
                await self._report()
                if self._profiling is not None:
                    await self._profiling.count()
            except Exception:  # noqa: BLE001 - as above
                LOGGER.exception("What is served could not be reported")

    async def _report_the_last(self) -> None:
        while await self._report(is_last=True):
            pass

    async def _report(self, *, is_last: bool = False) -> bool:
        """Say what is served, and the oldest of what was counted; whether it was received and there is more."""
        counted = self._router.counted()
        self._counted(counted)
        self._minutes.add(counted, self._clock())
        windows = self._minutes.unreported(_WINDOWS_AT_ONCE)
        profiles = self._profiling.unreported(_PROFILES_AT_ONCE) if self._profiling is not None else []
        feedback = self._feedback.oldest(_FEEDBACK_AT_ONCE)
        secret = self._router.routing.secret if self._router.routing is not None else ""
        exposures = self._exposing.oldest(_EXPOSURES_AT_ONCE, secret)
        report = RouterReport(
            id=self._id,
            address=self._address,
            mark=self._router.mark,
            started_at=self._started_at,
            served=() if is_last else tuple(self._router.served()),
            note="It was stopped." if is_last else self._router.note or self._noted(),
            only=self._only,
        )
        loop = asyncio.get_running_loop()
        self._sending = loop.run_in_executor(
            self._threads, self._control.report, report, windows, profiles, feedback, exposures
        )
        try:
            await asyncio.shield(self._sending)
        except Exception as error:  # noqa: BLE001 - as above
            LOGGER.debug("A report was not received", exc_info=error)
            return False
        self._minutes.received(windows, self._clock())
        if self._profiling is not None:
            self._profiling.received(profiles)
        self._feedback.received(len(feedback))
        self._exposing.received(exposures)
        return self._minutes.has_unreported or len(self._feedback) + len(self._exposing) > 0

    async def _blocking(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

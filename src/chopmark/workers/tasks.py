"""One attempt at a job: what does it, what it may ask, and how it ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from chopmark.base.jsons import plain_values
from chopmark.base.settings import Settings
from chopmark.domain.jobs import Job, failed, finished, given_up, returned
from chopmark.errors import ChopmarkError, Denied, InvalidRequest, Unsupported
from chopmark.sdk.registry import Registry
from chopmark.wiring import LocalTransport
from chopmark.workers.acting import ActingTransport, actor_of

__all__ = ["GiveUp", "Outcome", "Stopped", "Task", "Work", "attempted", "settled"]

HOPELESS = (InvalidRequest, Denied, Unsupported)
"""Errors that another attempt would meet again: somebody has to change something first."""


class Stopped(Exception):
    """The worker ends, or the job is no longer its own: the attempt is broken off."""


class GiveUp(Exception):
    """The work was done, and what it found needs somebody; another attempt would not help.

    Parameters
    ----------
    message
        What it found.
    result
        What the job keeps.
    """

    def __init__(self, message: str, result: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.message = message
        self.result = result


class Outcome(NamedTuple):
    """How an attempt ended."""

    job: Job
    how: Literal["finished", "failed", "given_up", "returned"]
    result: dict[str, Any] | None = None
    error: str = ""


class Task:
    """What the function of a kind of work is given.

    Attributes
    ----------
    job
        What is to be done.
    registry
        The registry, in which this job acts in its own name.
    settings
        Those of the worker.
    """

    def __init__(self, job: Job, transport: LocalTransport, settings: Settings) -> None:
        self.job = job
        self.settings = settings
        self._transport = transport
        self._stop = threading.Event()
        self._ending = Outcome(job, "returned")

    @property
    def transport(self) -> ActingTransport:
        """What is behind the registry."""
        return ActingTransport(self._transport, actor_of(self.job))

    @property
    def registry(self) -> Registry:
        """See the class."""
        return Registry(self.transport, self.settings)

    def stop(self, why: str = "") -> None:
        """Ask for its end at the next `check`: handed back, or failed when there is a reason."""
        if why:
            self._ending = Outcome(self.job, "failed", None, why)
        self._stop.set()

    @property
    def ending(self) -> Outcome:
        """How the attempt ends when it is broken off."""
        return self._ending

    def check(self) -> None:
        """Go on, or not: to be called between steps.

        Raises
        ------
        Stopped
            When the worker ends or the job is no longer its own.
        """
        if self._stop.is_set():
            raise Stopped


Work = Callable[[Task], Mapping[str, Any]]
"""Does a kind of work. It may be called twice for one job, and must do no harm then. What it answers, the job keeps."""


def attempted(work: Work, task: Task) -> Outcome:
    """Do the work; whatever it raises is an outcome."""
    job = task.job
    try:
        return Outcome(job, "finished", plain_values(work(task), "result"))
    except Stopped:
        return task.ending
    except GiveUp as found:
        return Outcome(job, "given_up", plain_values(found.result, "result"), _storable(found.message))
    except HOPELESS as error:
        return Outcome(job, "given_up", None, _told(error))
    except ChopmarkError as error:
        return Outcome(job, "failed", None, _told(error))
    except Exception as error:  # noqa: BLE001 - a fault of one job must not end the worker
        return Outcome(job, "failed", None, _storable(f"{type(error).__name__}: {error}"))


def settled(outcome: Outcome, now: datetime) -> Job:
    """The job as its attempt leaves it."""
    job = outcome.job
    match outcome.how:
        case "finished":
            return finished(job, now, outcome.result or {})
        case "failed":
            return failed(job, now, outcome.error, random.random(), outcome.result)  # noqa: S311 - no secret
        case "given_up":
            return given_up(job, now, outcome.error, outcome.result)
        case "returned":
            return returned(job, now)


def _told(error: ChopmarkError) -> str:
    return _storable(f"{error.message} {error.hint}".strip())


def _storable(text: str) -> str:
    """Text that every database takes."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")

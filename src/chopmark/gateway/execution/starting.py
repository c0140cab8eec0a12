"""A version is loaded where it is to run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chopmark.abc.predicting import Predictor
from chopmark.domain.endpoints import EndpointConfig
from chopmark.gateway.execution.choosing import chosen
from chopmark.gateway.execution.inline import Inline
from chopmark.gateway.execution.kinds import Execution, Host, Loadable, Opened
from chopmark.gateway.execution.threads import Threaded
from chopmark.gateway.execution.trial import tried
from chopmark.gateway.telling import LOGGER

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["started"]


class _Here:
    """A model in this process."""

    def __init__(self, loadable: Loadable) -> None:
        self._load = loadable.load
        self.predictor: Predictor | None = None

    def open(self) -> Opened:
        self.predictor = self._load()
        self._predict = self.predictor.predict
        return tried(self.predictor)

    def ask(self, inputs: Inputs, outputs: Sequence[str], limit_s: float) -> Outputs:  # noqa: ARG002
        return self._predict(inputs, outputs)

    def rest(self) -> None:
        return

    def kill(self) -> None:
        return

    def close(self) -> None:
        if self.predictor is not None:
            with contextlib.suppress(Exception):
                self.predictor.close()


async def started(config: EndpointConfig, loadable: Loadable) -> Execution:
    """A version, running; see `chopmark.gateway.execution.start`."""
    if chosen(config, loadable.runs_code, None) == "process":
        from chopmark.gateway.execution.processes import Worker

        host: Host = Worker(loadable, config.memory_mib_max)
        threaded = Threaded("process", loadable.ref, host, config)
        _tell(loadable, await threaded.open())
        return threaded
    here = _Here(loadable)
    threaded = Threaded("thread", loadable.ref, here, config)
    opened = await threaded.open()
    _tell(loadable, opened)
    if here.predictor is not None and chosen(config, loadable.runs_code, opened.measured_us) == "inline":
        return Inline(loadable.ref, here.predictor, opened, threaded)
    return threaded


def _tell(loadable: Loadable, opened: Opened) -> None:
    if opened.note:
        LOGGER.warning("%s: %s", loadable.ref, opened.note)

"""A fast model: asked on the event loop, and on its thread where a request is large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chopmark.abc.predicting import Predictor
from chopmark.gateway.execution.choosing import now_rows
from chopmark.gateway.execution.failing import raised
from chopmark.gateway.execution.kinds import ExecutionKind, Opened
from chopmark.gateway.execution.threads import Threaded

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["Inline"]


class Inline:
    """A model that is asked on the event loop.

    Parameters
    ----------
    ref
        What it is called in errors.
    predictor, opened
        The model, and what was seen of it.
    threaded
        The same model on its thread, for requests of more than `now_rows_max` rows.
    """

    kind: ExecutionKind = "inline"

    def __init__(self, ref: str, predictor: Predictor, opened: Opened, threaded: Threaded) -> None:
        self._ref = ref
        self._predict = predictor.predict
        self._threaded = threaded
        self.layout = opened.layout
        self.words = f"inline, {opened.words}"
        self.note = opened.note
        self.now_rows_max = now_rows(opened.measured_us, opened.row_us)

    @property
    def waiting(self) -> int:
        """Requests that wait for the thread, or are worked on there."""
        return self._threaded.waiting

    def now(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:
        """Answer at once.

        Raises
        ------
        ModelFailed
            When the model raises.
        """
        try:
            return self._predict(inputs, outputs)
        except (Exception, SystemExit) as error:
            raise raised(self._ref, error) from error

    async def run(self, inputs: Inputs, rows: int, outputs: Sequence[str], timeout_s: float) -> Outputs:
        """Answer on the thread, however large the request is."""
        return await self._threaded.run(inputs, rows, outputs, timeout_s)

    async def close(self, drain_s: float) -> None:
        """End what the thread has; let go of the model."""
        await self._threaded.close(drain_s)

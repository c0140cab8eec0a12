"""Requests and their answers, a share of them, as many as fit: for people who look, and for whoever compares them later."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from chopmark.domain.endpoints import EndpointConfig
from chopmark.gateway.protocols.asked import Asked

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["ROWS_MAX", "Sample", "Samples"]

ROWS_MAX = 100
"""Of one request; of a longer one the first so many are kept."""

_STRIDE = 0.6180339887498949  # the golden ratio: shares come out evenly, at once


class Sample(NamedTuple):
    """A request, and what it was answered.

    Attributes
    ----------
    at_ms
        When, in milliseconds since 1970.
    request_id
        Says who answered.
    inputs, outputs
        As `chopmark.abc.predicting` has them; the first rows of them.
    rows
        How many there were.
    """

    at_ms: int
    request_id: str
    inputs: Inputs
    outputs: Outputs
    rows: int


class Samples:
    """A ring of samples of one endpoint; the oldest go first.

    Parameters
    ----------
    share
        Of the requests that are kept.
    size_max
        How many are.

    Attributes
    ----------
    taken
        Samples that were kept so far.
    gone
        Those that were there and had to go.
    """

    __slots__ = ("_place", "_ring", "gone", "share", "size_max", "taken")

    def __init__(self, share: float, size_max: int) -> None:
        self.share = share
        self.size_max = size_max
        self.gone = 0
        self.taken = 0
        self._place = 0.0
        self._ring: deque[Sample] = deque(maxlen=size_max)

    @classmethod
    def of(cls, config: EndpointConfig, before: Samples | None) -> Samples | None:
        """Those of an endpoint, as it is configured now; what was kept stays where nothing about it has changed."""
        if not config.sample_share:
            return None
        if before is not None and (before.share, before.size_max) == (config.sample_share, config.samples_max):
            return before
        return cls(config.sample_share, config.samples_max)

    def take(self, at_ms: int, request_id: str, asked: Asked, outputs: Outputs) -> None:
        """Keep this one if it is its turn; takes the same time however many there are."""
        self._place = (self._place + _STRIDE) % 1.0
        if self._place >= self.share:
            return
        if len(self._ring) == self.size_max:
            self.gone += 1
        inputs: Any = asked.inputs
        if asked.rows > ROWS_MAX:  # a view would keep all of it
            inputs = (
                {name: array[:ROWS_MAX].copy() for name, array in inputs.items()}
                if isinstance(inputs, dict)
                else inputs[:ROWS_MAX].copy()
            )
            outputs = {name: array[:ROWS_MAX].copy() for name, array in outputs.items()}
        self.taken += 1
        self._ring.append(Sample(at_ms, request_id, inputs, outputs, asked.rows))

    def since(self, taken: int) -> list[Sample]:
        """Those that were kept after so many, as far as they are still there."""
        new = min(self.taken - taken, len(self._ring))
        return [self._ring[place] for place in range(len(self._ring) - new, len(self._ring))] if new > 0 else []

    def __iter__(self) -> Any:
        """The oldest first."""
        return iter(tuple(self._ring))

    def __len__(self) -> int:
        return len(self._ring)

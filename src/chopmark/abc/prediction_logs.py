"""Rows of a prediction log and its files, as whoever writes them is asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from chopmark.domain.prediction_logs import LogAbout

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Layout, Outputs

__all__ = ["LogBatch", "LogFormat", "LogRequest"]


class LogRequest(NamedTuple):
    """A request that is logged.

    Attributes
    ----------
    at_ms, request_id, variant, generation
        When it was answered, in milliseconds since 1970, and what the id says besides endpoint and version.
    inputs, outputs
        Of its first rows.
    kept, rows
        How many those are, and how many the request had.
    """

    at_ms: int
    request_id: str
    variant: str
    generation: int
    inputs: Inputs
    outputs: Outputs
    kept: int
    rows: int


class LogBatch(Protocol):
    """Rows as the files have them, in memory."""

    @property
    def num_rows(self) -> int:
        """How many."""
        ...

    @property
    def nbytes(self) -> int:
        """What they take."""
        ...


class LogFormat(Protocol):
    """Makes files of requests. No error of it says anything of a value."""

    def batch(self, about: LogAbout, requests: Sequence[LogRequest], layout: Layout) -> LogBatch:
        """Requests that one version answered, as rows.

        Raises
        ------
        Unsupported
            When there are values that no column holds.
        """
        ...

    def files(self, about: LogAbout, batches: Sequence[LogBatch]) -> list[bytes]:
        """The bytes of files with these rows, without the values of ``about.redacted``: one, or more where types differ.

        Raises
        ------
        Unsupported
            When they cannot be made.
        """
        ...

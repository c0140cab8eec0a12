"""What running models are to the gateway, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from chopmark.abc.predicting import Layout, Predictor

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs, Outputs

__all__ = ["Execution", "ExecutionKind", "Host", "Loadable", "Opened"]

ExecutionKind = Literal["inline", "thread", "process"]


class Loadable(NamedTuple):
    """A version that can be loaded.

    Attributes
    ----------
    ref
        What it is called in errors.
    runs_code
        Whether loading it runs code that came with it.
    load
        Loads it, in the thread or process where it is to run: a function of a module, or a `functools.partial` of one with
        arguments that can be pickled.
    """

    ref: str
    runs_code: bool
    load: Callable[[], Predictor]


class Execution(Protocol):
    """A running model.

    Attributes
    ----------
    kind, words
        Where it runs; the same for people, with how it predicts.
    layout
        What it takes and gives.
    now_rows_max
        Most rows that `now` should be asked for; 0 where there is no `now`.
    note
        What people should know, for example that it did not answer its sample; mostly empty.
    """

    kind: ExecutionKind
    words: str
    layout: Layout
    now_rows_max: int
    note: str

    @property
    def waiting(self) -> int:
        """Requests that wait or are worked on."""
        ...

    def now(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:
        """Answer at once, on the calling thread; for ``inline`` only.

        Raises
        ------
        ModelFailed
            When the model raises.
        """
        ...

    async def run(self, inputs: Inputs, rows: int, outputs: Sequence[str], timeout_s: float) -> Outputs:
        """Answer when it is this request's turn.

        Raises
        ------
        QueueFull
            When so many requests wait that no more are taken.
        ModelTimeout
            When there is no answer in time.
        ModelFailed
            When the model raises, answers other rows than it was asked about, or ends its process.
        Unavailable
            When it is being let go of, or its process is not back yet.
        """
        ...

    async def close(self, drain_s: float) -> None:
        """Take no more; end what was taken, for so many seconds at most; let go of the model."""
        ...


class Opened(NamedTuple):
    """A model that was loaded, and what was seen of it.

    Attributes
    ----------
    layout, words
        Of its predictor.
    measured_us
        Time for one row of its sample; None when it did not answer that.
    row_us
        Time for each further row.
    batches
        Whether rows are answered together as they are alone.
    note
        What people should know.
    """

    layout: Layout
    words: str
    measured_us: float | None
    row_us: float
    batches: bool
    note: str


class Host(Protocol):
    """Where a model lives: this process or one of its own. All but `kill` are called by one thread."""

    def open(self) -> Opened:
        """Load it and try it."""
        ...

    def ask(self, inputs: Inputs, outputs: Sequence[str], limit_s: float) -> Outputs:
        """Have it predict; a process that takes longer than the limit is ended."""
        ...

    def rest(self) -> None:
        """What is to be done between two requests."""
        ...

    def kill(self) -> None:
        """End it, whatever it does; from any thread, as often as wanted. A thread of this process cannot be ended."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

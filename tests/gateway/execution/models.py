"""Models that behave, and models that do not; imported by worker processes too."""

import contextlib
import ctypes
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.gateway.execution import Loadable

WIDTH = 3
LAYOUT = Layout(
    kind="matrix",
    inputs=tuple(Field(f"x{i}", "float", "float64") for i in range(WIDTH)),
    dtype="float64",
    outputs=(Field("y", "float", "float64", (-1,)),),
    more=(Field("double", "float", "float64", (-1,)),),
)
POISON = 1e6


class Summing:
    """Answers the sum of each row, and does what it is told with a row that begins with `POISON`."""

    words = "sums"
    layout = LAYOUT

    def __init__(self, poison: Callable[[], None] | None = None, row_s: float = 0.0, call_s: float = 0.0) -> None:
        self.poison = poison
        self.row_s, self.call_s = row_s, call_s
        self.batches: list[int] = []
        self.closed = 0
        self.threads: set[int] = set()

    def sample(self, rows: int) -> np.ndarray:
        return np.arange(rows * WIDTH, dtype=np.float64).reshape(rows, WIDTH)

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        self.batches.append(len(inputs))
        self.threads.add(threading.get_ident())
        if self.poison is not None and (inputs[:, 0] == POISON).any():
            self.poison()
        if self.row_s or self.call_s:
            time.sleep(self.call_s + self.row_s * len(inputs))
        sums = inputs.sum(axis=1)
        found = {"y": sums, "double": 2 * sums}
        return {name: found[name] for name in outputs or ("y",)}

    def close(self) -> None:
        self.closed += 1


class Leaking(Summing):
    """Keeps 4 MiB of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytearray] = []

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        self.kept.append(bytearray(os.urandom(1 << 12) * (1 << 10)))
        return super().predict(inputs, outputs) | {"double": np.full(len(inputs), float(os.getpid()))}


class Printing(Summing):
    """Prints, and reads from standard input."""

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        print("a stray print of a model")  # noqa: T201
        sys.stdout.flush()
        os.write(1, b"a stray write of a model\n")
        assert sys.stdin.read() == ""
        return super().predict(inputs, outputs)


class Telling(Summing):
    """Answers with its process id."""

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        super().predict(inputs, outputs)
        return {"y": np.full(len(inputs), float(os.getpid()))}


class Averaging(Summing):
    """Rows of one batch change each other's answers."""

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        answer = super().predict(inputs, outputs)
        return {name: values - values.mean() for name, values in answer.items()}


class Shortening(Summing):
    """Answers one row, whatever was asked."""

    def predict(self, inputs: Any, outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        return {name: values[:1] for name, values in super().predict(inputs, outputs).items()}


class Fussy(Summing):
    """Does not answer its sample."""

    def sample(self, rows: int) -> np.ndarray:
        return np.full((rows, WIDTH), POISON)


def raises() -> None:
    raise ValueError("this row cannot be")


def exits() -> None:
    sys.exit(3)


def ends() -> None:
    os._exit(4)


def crashes() -> None:
    ctypes.string_at(0)


def hangs() -> None:
    time.sleep(3_600)


def hangs_in_c() -> None:
    """Holds the interpreter's lock: nothing within the process can end it."""
    ctypes.PyDLL(None).sleep(3_600)


def eats() -> None:
    """More than a limit of a test, and less than a machine gives."""
    bytearray(1 << 30)


def interrupts() -> None:
    raise KeyboardInterrupt


def babbles() -> None:
    """Writes to every socket that the process has."""
    for path in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            os.write(int(path.name), b"\xff" * 64)


def fails_to_load() -> Summing:
    raise RuntimeError("these bytes are no model")


def ends_while_loading() -> Summing:
    os._exit(5)


def make(kind: str = "Summing", **arguments: Any) -> Summing:
    found: Summing = globals()[kind](**arguments)
    return found


def loadable(kind: str = "Summing", *, runs_code: bool = False, **arguments: Any) -> Loadable:
    return Loadable("fraud:3", runs_code, functools.partial(make, kind, **arguments))

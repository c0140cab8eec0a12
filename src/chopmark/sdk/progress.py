"""Progress of what takes long: a bar on the terminal when there is one, silence otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

__all__ = ["SHOWN_FROM_BYTES", "progress_bar"]

SHOWN_FROM_BYTES = 8 * 1024 * 1024
"""Below this no bar is shown: it would be gone before it is read."""


@contextmanager
def progress_bar(
    what: str, total_bytes: int, mode: Literal["auto", "never"] = "auto"
) -> Iterator[Callable[[int], None]]:
    """Give a function to call with bytes just moved.

    Shows bytes, rate and time left on standard error when that is a terminal and there is enough
    to wait for.
    """
    if mode == "never" or total_bytes < SHOWN_FROM_BYTES or not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=total_bytes)
        yield lambda moved: bars.advance(task, moved)


def _silent(moved: int) -> None:
    """No terminal, nobody to tell."""

"""The command line: one module per noun; each parses, calls the SDK and prints."""

from __future__ import annotations

import sys

from chopmark.cli.program import run
from chopmark.cli.streams import make_usable

__all__ = ["main"]


def main() -> None:
    """Run the program with the process's arguments and end the process with its exit code."""
    make_usable()
    sys.exit(run(sys.argv[1:]))

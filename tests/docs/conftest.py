"""The program as the pages run it: forked from a process that has imported it."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.running import shell_environment

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("chopmark")
START_TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
def warm_programs() -> Iterator[Path]:
    """Give a directory for the front of a path, whose ``chopmark`` starts in a twentieth of the time."""
    with tempfile.TemporaryDirectory(prefix="chopmark-") as made:
        directory = Path(made)
        place, script = directory / "socket", directory / "bin" / "chopmark"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{HERE / "asker.py"}" "{place}" "{PROGRAM}" "$@"\n')
        script.chmod(0o755)
        starter = subprocess.Popen(
            [sys.executable, HERE / "starter.py", place, PROGRAM],
            stdin=subprocess.PIPE,
            env=shell_environment(directory, {}),
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not place.exists() and starter.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            assert place.exists(), "the starter of programs did not begin"
            yield script.parent
        finally:
            assert starter.stdin is not None
            starter.stdin.close()
            starter.wait(START_TIMEOUT_S)

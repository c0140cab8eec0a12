"""The project's own files, as its tests look at them."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked_files() -> list[Path]:
    """List every file that git tracks; skips the test outside a git checkout, such as in an unpacked sdist."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing is tracked here")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]

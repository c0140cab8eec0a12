"""These are about the disk."""

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(on_disk: Path) -> Path:
    """A directory on the disk; elsewhere it is in memory."""
    return on_disk

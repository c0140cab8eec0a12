"""What many tests begin with and then change: made once a worker process, copied for each."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Furnish = Callable[[Path, Callable[[], object]], None]
"""Fills a directory: by what it is given at the first time, with a copy of that from then on."""


@pytest.fixture(scope="module")
def furnish_once(tmp_path_factory: pytest.TempPathFactory) -> Furnish:
    """For one kind of furniture in a module. What makes it leaves nothing open, and stores no path of the directory."""
    copy = tmp_path_factory.mktemp("furnished") / "copy"

    def furnish(directory: Path, make: Callable[[], object]) -> None:
        if copy.exists():
            shutil.copytree(copy, directory, dirs_exist_ok=True)
            return
        make()
        shutil.copytree(directory, copy.with_name("begun"))
        copy.with_name("begun").rename(copy)

    return furnish

"""What every test can count on: no settings from outside, one thread a worker, servers that end with the run."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.backends import servers
from tests.backends.required import VARIABLE, required_backends

pytest_plugins = ["tests.backends.fixtures", "tests.furnished", "tests.registries"]

# Two workers share two cores with whatever else runs there: how long one example took says nothing.
# Two runs of one commit say the same; `make explore` looks where nobody has looked yet.
settings.register_profile("chopmark", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("explore" if os.environ.get("CHOPMARK_TEST_EXPLORE") else "chopmark")


MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 << 30


def has_room_in_memory() -> bool:
    """Whether this machine has a file system in memory that will do: in a container it is often 64 MB, and without programs."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        return False
    return shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC


def is_controller(config: pytest.Config) -> bool:
    """Say whether this is the process that the person started, not one of its xdist workers."""
    return not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Clear what the surroundings could change about a test, before anything of Chopmark is imported."""
    required_backends(os.environ.get(VARIABLE, ""))
    if not is_controller(config):
        return
    for name in [name for name in os.environ if name.startswith("CHOPMARK_") and name != VARIABLE]:
        del os.environ[name]
    # Some five hundred processes import the package in a run: without bytecode each would compile it, for a second.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Where a registry syncs what it stores, ten times in an ordinary test. What is about a disk asks for one: `on_disk`.
    if has_room_in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    servers.open_run()
    # A person's own settings file must not decide a test, and libraries' thread pools must not fight over two cores.
    os.environ["XDG_CONFIG_HOME"] = str(servers.run_directory() / "no-config")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A directory on the disk, for what a file system in memory does otherwise: holes, and writes past the cache."""
    with tempfile.TemporaryDirectory(prefix="chopmark-") as made:
        yield Path(made)


def pytest_xdist_auto_num_workers() -> int | None:
    """Half as many again as there are cores: a third of the tests' time is waiting for sockets, leases and processes."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_finish() -> None:
    """Take the eleven thousand tests, and the libraries they need, out of what the collector of garbage looks through each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, also when tests failed or the run was interrupted."""
    if is_controller(config) and servers.RUN_DIRECTORY in os.environ:
        servers.close_run()

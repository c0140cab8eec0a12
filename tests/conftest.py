"""What every test can count on: no settings from outside, one thread a worker, servers that end with the run."""

import os

import pytest
from hypothesis import settings

from tests.backends import servers
from tests.backends.required import VARIABLE, required_backends

pytest_plugins = ["tests.backends.fixtures", "tests.registries"]

# Two workers share two cores with whatever else runs there: how long one example took says nothing.
settings.register_profile("chopmark", deadline=None, print_blob=True)
settings.load_profile("chopmark")


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
    servers.open_run()
    # A person's own settings file must not decide a test, and libraries' thread pools must not fight over two cores.
    os.environ["XDG_CONFIG_HOME"] = str(servers.run_directory() / "no-config")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, also when tests failed or the run was interrupted."""
    if is_controller(config) and servers.RUN_DIRECTORY in os.environ:
        servers.close_run()

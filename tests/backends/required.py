"""What happens to a test whose back end this machine does not have: the one place that decides it."""

import importlib
import os
from types import ModuleType
from typing import NoReturn

import pytest

VARIABLE = "CHOPMARK_TEST_REQUIRE"

# Every name that CHOPMARK_TEST_REQUIRE may hold. A misspelt name must not turn a gate into a skip.
BACKENDS = frozenset({"azure", "clients", "postgres", "s3", "torch"})


def required_backends(setting: str) -> frozenset[str]:
    """Read the comma-separated setting; raises ``ValueError`` for a name that is not a back end."""
    names = frozenset(name.strip() for name in setting.split(",") if name.strip())
    if unknown := names - BACKENDS:
        raise ValueError(f"{VARIABLE} names {sorted(unknown)}; the back ends are {sorted(BACKENDS)}")
    return names


def require(backend: str, reason: str) -> NoReturn:
    """End the running test because `backend` is missing: skipped on a laptop, failed where CI requires it.

    Parameters
    ----------
    backend
        One of `BACKENDS`.
    reason
        What is missing and how to get it, for the person who reads the report.

    """
    if backend not in BACKENDS:
        raise ValueError(f"{backend!r} is not a back end; they are {sorted(BACKENDS)}")
    if backend in required_backends(os.environ.get(VARIABLE, "")):
        pytest.fail(f"{backend} is required here ({VARIABLE}) and missing: {reason}", pytrace=False)
    pytest.skip(f"no {backend}: {reason}")


def import_backend(module: str, backend: str | None = None) -> ModuleType:
    """Import a library that the locked environment cannot carry, or end the test as `require` does."""
    backend = backend or module
    try:
        return importlib.import_module(module)
    except ImportError:
        require(backend, f"the library is not installed; get it with: .uv/bin/uv pip install {module}")

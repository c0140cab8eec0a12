"""Optional libraries: imported when a format is used, with a sentence about what to install."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from chopmark.errors import Unsupported

__all__ = ["derives_from", "import_library", "installed_version", "qualified_name"]

# One library, several wheels: the first that is installed tells the version.
_OTHER_WHEELS = {
    "catboost": ("catboost-dev",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-directml"),
    "polars": ("polars-lts-cpu",),
    "xgboost": ("xgboost-cpu",),
}


def import_library(module: str, *, extra: str, purpose: str) -> Any:
    """Import a library that Chopmark does not depend on.

    Raises
    ------
    Unsupported
        When it is not installed, with the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = module.partition(".")[0]
        msg = f"{purpose} needs {root}, which cannot be imported here ({error})."
        raise Unsupported(msg, hint=f"Install it with: pip install 'chopmark[{extra}]'", extra=extra) from error


def installed_version(distribution: str) -> str:
    """Version of an installed distribution, under any of its wheels' names; empty when absent."""
    for name in (distribution, *_OTHER_WHEELS.get(distribution, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def derives_from(value: object, root: str, *class_names: str) -> bool:
    """Whether a class of the object's ancestry comes from a package, without importing it.

    Parameters
    ----------
    root
        Top-level package, for example ``sklearn``.
    class_names
        Only these classes count; any class when none is given.
    """
    return any(
        c.__module__.partition(".")[0] == root and (not class_names or c.__name__ in class_names)
        for c in type(value).__mro__
    )


def qualified_name(kind: type) -> str:
    """``module.Class`` of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"

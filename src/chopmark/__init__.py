"""Chopmark: a model registry and model lifecycle platform.

A registry holds models; a model has numbered, immutable versions; a version is a manifest of files
by their hash. Stages say how far a version has come, aliases are movable pointers, and every change
leaves an event in a chain that shows any tampering.

>>> import chopmark as cm
>>> registry = cm.open()                                    # ./.chopmark
>>> version = registry.register("fraud", {"threshold": 0.7}, metrics={"f1": 0.91})
>>> registry.alias("fraud@champion", version).number
1
>>> registry.load("fraud@champion")
{'threshold': 0.7}
>>> registry.close()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chopmark import errors
    from chopmark.base.settings import Settings
    from chopmark.domain.datasets import DatasetRef
    from chopmark.domain.llm import LlmConfig
    from chopmark.domain.manifest import Manifest
    from chopmark.domain.retention import Retention
    from chopmark.domain.semver import SemVer
    from chopmark.domain.signature import Field, Signature
    from chopmark.domain.versions import Alias, Model, Project, ProjectRules, Version
    from chopmark.formats.data import dataset
    from chopmark.sdk.async_registry import AsyncRegistry
    from chopmark.sdk.ensemble import Ensemble
    from chopmark.sdk.opening import open_registry as open  # noqa: A004 - the verb users expect
    from chopmark.sdk.opening import rebuild_registry as rebuild
    from chopmark.sdk.registry import Registry
    from chopmark.sdk.restoring import restore_registry as restore

__version__ = "0.1.0"

_HOMES = {
    "Alias": "chopmark.domain.versions",
    "AsyncRegistry": "chopmark.sdk.async_registry",
    "DatasetRef": "chopmark.domain.datasets",
    "Ensemble": "chopmark.sdk.ensemble",
    "Field": "chopmark.domain.signature",
    "LlmConfig": "chopmark.domain.llm",
    "Manifest": "chopmark.domain.manifest",
    "Model": "chopmark.domain.versions",
    "Project": "chopmark.domain.versions",
    "ProjectRules": "chopmark.domain.versions",
    "Registry": "chopmark.sdk.registry",
    "Retention": "chopmark.domain.retention",
    "SemVer": "chopmark.domain.semver",
    "Settings": "chopmark.base.settings",
    "Signature": "chopmark.domain.signature",
    "Version": "chopmark.domain.versions",
    "dataset": "chopmark.formats.data",
}
_RENAMED = {
    "open": ("chopmark.sdk.opening", "open_registry"),
    "rebuild": ("chopmark.sdk.opening", "rebuild_registry"),
    "restore": ("chopmark.sdk.restoring", "restore_registry"),
}

__all__ = [
    "Alias",
    "AsyncRegistry",
    "DatasetRef",
    "Ensemble",
    "Field",
    "LlmConfig",
    "Manifest",
    "Model",
    "Project",
    "ProjectRules",
    "Registry",
    "Retention",
    "SemVer",
    "Settings",
    "Signature",
    "Version",
    "dataset",
    "errors",
    "open",
    "rebuild",
    "restore",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that importing the package is cheap."""
    if name == "errors":
        value: Any = importlib.import_module("chopmark.errors")
    elif name in _RENAMED:
        module, attribute = _RENAMED[name]
        value = getattr(importlib.import_module(module), attribute)
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

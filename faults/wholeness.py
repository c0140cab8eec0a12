"""What is not as it should be in a registry that something was done to: asked after each fault, in a fresh process."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import chopmark as cm
from chopmark.errors import ChopmarkError

__all__ = ["bytes_faults", "check_faults", "digests_of", "faults_of", "register_scenario"]

_MODEL = {"threshold": 0.7}


def faults_of(place: Path, acknowledged: str, scenario: str = "", files: str = "") -> list[str]:
    """What is wrong with a registry after a registration of ``scenario`` that may have been cut off anywhere.

    Parameters
    ----------
    acknowledged
        ``ref digest`` of the version that was acknowledged; empty when none was.
    scenario, files
        What was registered; it is registered again, which must work. Nothing is when ``scenario`` is empty.
    """
    try:
        with warnings.catch_warnings(), cm.open(place, actor="check", progress="never") as registry:
            warnings.simplefilter("ignore")
            found = _faults(registry, acknowledged)
            if scenario:
                found += _again(registry, scenario, files)
    except ChopmarkError as error:
        return [f"the registry does not open any more: {type(error).__name__}: {error}"]
    return found


def _faults(registry: cm.Registry, acknowledged: str) -> list[str]:
    versions = list(registry.versions.each())
    found = [fault for version in versions for fault in bytes_faults(registry, version)]
    numbers: dict[str, list[int]] = {}
    for version in versions:
        numbers.setdefault(version.model, []).append(version.number)
    found += [
        f"{model} has the numbers {sorted(given)}"
        for model, given in numbers.items()
        if sorted(given) != list(range(1, len(given) + 1))
    ]
    if acknowledged and acknowledged not in {f"{v.ref} {v.digest}" for v in versions}:
        found.append(f"{acknowledged} was acknowledged and is not there")
    return found + check_faults(registry)


def bytes_faults(registry: cm.Registry, version: Any) -> list[str]:
    """What is wrong with the bytes of a version: each is read, and those of a small model are loaded."""
    verified = registry.files.verify(version)
    found = [f"{version.ref}: {fault.path} {fault.reason}" for fault in verified.faults]
    if version.state != "ready":
        found.append(f"{version.ref} is visible and {version.state}")
    if not found and version.format == "json" and not isinstance(registry.load(version), dict):
        found.append(f"{version.ref} loads as something else")
    return found


def check_faults(registry: cm.Registry, *, content: bool = True) -> list[str]:
    """Errors and warnings of the registry's own check. Bytes that nothing refers to, and leftovers, are neither."""
    found = registry.storage.check(content=content).findings
    return [f"check: {f.severity} {f.code} {f.where}: {f.what}" for f in found if f.severity != "info"]


def register_scenario(registry: cm.Registry, scenario: str, files: str) -> Any:
    """Register what a scenario registers: a directory, or a small model."""
    if scenario == "files":
        return registry.register("fraud", path=files)
    return registry.register("fraud", _MODEL)


def _again(registry: cm.Registry, scenario: str, files: str) -> list[str]:
    """Register the same once more: it must work, and hold the right bytes."""
    try:
        version = register_scenario(registry, scenario, files)
        found = bytes_faults(registry, version) + check_faults(registry)
        if scenario == "files":
            stored = {Path(f.path).name: f.digest for f in registry.files.manifest(version).files}
            is_right = stored == digests_of(Path(files))
        else:
            is_right = registry.load(version) == _MODEL
    except ChopmarkError as error:
        return [f"registering again does not work: {type(error).__name__}: {error}"]
    return found if is_right else [*found, f"{version.ref} holds something else than was registered"]


def digests_of(directory: Path) -> dict[str, str]:
    """Name → digest of the files of a directory, by nothing of ours."""
    return {f.name: f"sha256:{hashlib.sha256(f.read_bytes()).hexdigest()}" for f in directory.iterdir()}

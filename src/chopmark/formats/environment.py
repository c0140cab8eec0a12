"""What a model was made with, as far as loading it elsewhere needs to know."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from chopmark.domain.manifest import Environment
from chopmark.formats.libraries import installed_version

__all__ = [
    "capture_environment",
    "framework_mismatch",
    "framework_of",
    "installed_environment",
]

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python"}

# Python byte code is part of what these write, so another minor version may not run it.
_HOLDS_BYTECODE = ("cloudpickle", "dill")


def capture_environment(framework: str, distributions: Iterable[str] = ()) -> Environment:
    """The environment of this process.

    Parameters
    ----------
    framework
        Distribution that made the model; empty when there is none.
    distributions
        What loading needs besides; those that are not installed are left out.
    """
    versions = {d: installed_version(d) for d in distributions if d != framework}
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        framework=framework,
        framework_version=installed_version(framework) if framework else "",
        dependencies={d: v for d, v in sorted(versions.items()) if v},
    )


def installed_environment(recorded: Environment) -> Environment:
    """What this process has of the distributions that a record names."""
    return capture_environment(recorded.framework, recorded.dependencies)


def framework_of(model: object) -> str:
    """Distribution that the model's class comes from; empty when no installed one is known."""
    root = type(model).__module__.partition(".")[0]
    distribution = _DISTRIBUTIONS.get(root, root)
    return distribution if installed_version(distribution) else ""


def framework_mismatch(recorded: Environment, installed: Environment) -> str:
    """Why a load here may differ from where the version was made, as a sentence; or nothing.

    The same major and minor version is taken as the same. Python counts only where byte code is
    part of the files.
    """
    sentences = [
        _framework_sentence(recorded, installed),
        _python_sentence(recorded, installed),
    ]
    return " ".join(s for s in sentences if s)


def _framework_sentence(recorded: Environment, installed: Environment) -> str:
    name, was = recorded.framework, recorded.framework_version
    if not name or not was or _release(was) == _release(installed.framework_version):
        return ""
    have = installed.framework_version
    here = f"here it is {have}" if have else "it is not installed here"
    return (
        f"The version was made with {name} {was} and {here}: loading may fail or predictions differ. "
        f"Install '{name}=={'.'.join(_release(was))}.*', or register the model again."
    )


def _python_sentence(recorded: Environment, installed: Environment) -> str:
    if not any(d in recorded.dependencies for d in _HOLDS_BYTECODE):
        return ""
    if not recorded.python or _release(recorded.python) == _release(installed.python):
        return ""
    return (
        f"The version holds byte code of Python {recorded.python} and this is Python "
        f"{installed.python}: it may not run. Use Python {'.'.join(_release(recorded.python))}."
    )


def _release(version: str) -> list[str]:
    return version.split(".")[:2]

"""Checks of what is installed: programs, formats, and the libraries that stored versions need."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from chopmark.cli.check import Check
from chopmark.cli.words import count
from chopmark.domain.versions import Version
from chopmark.errors import Unsupported
from chopmark.formats import format_names, framework_mismatch, get_format, installed_environment
from chopmark.formats.libraries import installed_version
from chopmark.sdk.registry import Registry

__all__ = [
    "extras_check",
    "formats_check",
    "git_check",
    "libraries_check",
    "newest_by_format",
    "programs",
    "programs_check",
    "unknown_formats",
]

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?[^;]*;.*extra\s*==\s*['\"]([A-Za-z0-9_-]+)['\"]")


def git_check(path: str | None = None) -> Check:
    """Whether git is there, from which a registration takes the commit."""
    if shutil.which("git", path=path) is None:
        advice = "Install git to have commit and branch recorded with each version."
        return Check("git", "warn", "git is not on the path: versions are registered without their commit", advice)
    return Check("git", "ok", "found")


def programs(path: str) -> list[Path]:
    """Every program called chopmark on a path, each once, in the order in which a shell looks."""
    names = ("chopmark.exe", "chopmark") if os.name == "nt" else ("chopmark",)
    places = (Path(directory) / name for directory in path.split(os.pathsep) if directory for name in names)
    found = (p for p in places if p.is_file() and os.access(p, os.X_OK))
    return list({p.resolve(): p for p in found}.values())


def programs_check(found: Iterable[Path], running: Path) -> Check:
    """Whether the shell's ``chopmark`` is the one of this Python.

    Parameters
    ----------
    found
        Programs in the order of the path.
    running
        Directory of this Python's programs.
    """
    others = list(found)
    if not others:
        advice = f"Add {running} to PATH, or run: python -m chopmark"
        return Check("programs", "warn", "the program is not on the path", advice)
    if len(others) == 1 and others[0].parent.resolve() == running.resolve():
        return Check("programs", "ok", str(others[0]))
    finding = "the shell finds " + ", then ".join(map(str, others))
    if others[0].parent.resolve() == running.resolve():
        return Check("programs", "warn", finding, "Remove the others, or know which one a script calls.")
    advice = f"This one belongs to {sys.executable}: put {running} first in PATH, or remove the others."
    return Check("programs", "warn", finding, advice)


def formats_check() -> Check:
    """Whether every format that a package offers can be imported."""
    usable, broken = [], []
    for name in format_names():
        try:
            get_format(name)
        except Unsupported as error:
            broken.append(error.message)
        else:
            usable.append(name)
    if broken:
        return Check("formats", "warn", " ".join(broken), "Install the package that offers it again.")
    return Check("formats", "ok", ", ".join(usable))


def newest_by_format(registry: Registry) -> Iterator[Version]:
    """The newest version of each format that is known here."""
    for name in format_names():
        yield from registry.versions.search(f"format = '{name}' order by created_at desc", limit=1)


def unknown_formats(registry: Registry) -> list[Version]:
    """Newest versions in formats that no installed package offers."""
    others = " and ".join(f"format != '{name}'" for name in format_names())
    return list(registry.versions.search(f"format != '' and {others} order by created_at desc", limit=3))


def libraries_check(newest: Iterable[Version], unknown: Iterable[Version]) -> Check:
    """Whether the versions that are stored could be loaded here, by their newest of each format."""
    foreign = [f"{v.ref} is in the format {v.format!r}, which nothing here offers" for v in unknown]
    if foreign:
        return Check("libraries", "warn", "; ".join(foreign), "Install the package that offers the format.")
    missing: dict[str, str] = {}
    others = []
    for version in newest:
        recorded = version.environment
        wanted = [recorded.framework, *recorded.dependencies]
        absent = [name for name in wanted if name and not installed_version(name)]
        missing |= dict.fromkeys(absent, version.ref)
        mismatch = "" if absent else framework_mismatch(recorded, installed_environment(recorded))
        if mismatch:
            others.append(f"{version.ref}: {mismatch}")
    if missing:
        finding = "; ".join(f"{ref} needs {name}, which is not installed" for name, ref in missing.items())
        return Check("libraries", "warn", finding, f"To load it here: pip install {' '.join(missing)}")
    if others:
        return Check(
            "libraries", "warn", " ".join(others), "Or set framework_mismatch to 'ignore' when you know better."
        )
    return Check("libraries", "ok", "those of the newest version of each format are here")


def extras_check() -> Check:
    """Which optional libraries are installed."""
    wanted: dict[str, list[str]] = {}
    for line in metadata.requires("chopmark") or []:
        found = _REQUIREMENT.match(line)
        if found and found[2] != "all":
            wanted.setdefault(found[2], []).append(found[1])
    versions = {name: {d: installed_version(d) for d in names} for name, names in wanted.items()}
    there = {d: v for names in versions.values() for d, v in names.items() if v}
    missing = [name for name, names in versions.items() if not all(names.values())]
    finding = ", ".join(f"{d} {v}" for d, v in sorted(there.items())) or "none"
    if missing:
        finding += f"; {count(len(missing), 'extra')} not installed: {', '.join(missing)}"
    advice = f"When you need one: pip install 'chopmark[{missing[0]}]'" if missing else ""
    return Check("extras", "ok", finding, advice)

"""What must hold of a registry after a power cut, by what it had told before the cut."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chopmark as cm
from chopmark.domain.versions import Version

__all__ = ["Known", "broken", "known_at"]

SETTINGS: dict[str, Any] = {"actor": "ada", "gc_grace_hours": 0, "purge_after_days": 0, "progress": "never"}


@dataclass
class Known:
    """What was acknowledged before the cut, and what was under way (one thing at most)."""

    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    under_way: dict[str, Any] | None = None


def known_at(marks: Sequence[str]) -> Known:
    """Read the marks of `faults.powercut_workload` up to the cut."""
    known = Known()
    for told in (json.loads(line) for text in marks for line in text.splitlines()):
        if told["what"] == "begin":
            known.under_way = told
            continue
        done, known.under_way = known.under_way or {}, None
        match done["do"]:
            case "register":
                known.versions[told["ref"]] = {**done, "digest": told["digest"]}
            case "alias":
                known.aliases[done["alias"]] = done["ref"]
            case "promote":
                known.stages[done["ref"]] = done["stage"]
            case "delete":
                known.deleted.add(done["ref"])
            case _:
                pass
    return known


def broken(place: Path, known: Known) -> list[str]:
    """Open what the cut left and say which promises it broke; any exception is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step = "open"
        found: list[str] = []
        try:
            with cm.open(place, **SETTINGS) as registry:
                step = "look"
                found += _of_versions(registry, known)
                found += _of_pointers(registry, known)
                step = "check"
                found += _of_check(registry)
                step = "register again"
                again = registry.register("again", {"after": "the cut"})
                if registry.load(again) != {"after": "the cut"}:
                    found.append("what was registered after the cut is not what is loaded")
                step = "collect"
                registry.storage.collect()
                found += _of_versions(registry, known, besides={again.ref})
                step = "check after a collection"
                found += _of_check(registry)
        except Exception as error:  # noqa: BLE001 - whatever it is, a user would see it
            found.append(f"{step}: {type(error).__name__}: {error}")
        return found


def _of_versions(registry: cm.Registry, known: Known, besides: set[str] | None = None) -> Iterator[str]:
    """Every acknowledged version is there with its bytes, and besides them at most the one that was under way."""
    there = {v.ref: v for v in registry.versions.each() if v.ref not in (besides or ())}
    doing = known.under_way or {}
    for ref, told in known.versions.items():
        if ref in known.deleted:
            if ref in there:
                yield f"{ref} was deleted and is there again"
        elif ref not in there:
            if not (doing.get("do") == "delete" and doing["ref"] == ref):
                yield f"{ref} was acknowledged and is lost"
        else:
            if there[ref].digest != told["digest"]:
                yield f"{ref} is {there[ref].digest}, and {told['digest']} was acknowledged"
            yield from _of_bytes(registry, there[ref], told)
    extra = [v for ref, v in there.items() if ref not in known.versions]
    if len(extra) > 1 or (extra and doing.get("do") != "register"):
        yield f"{[v.ref for v in extra]} are there, and nobody registered them"
    elif extra:
        yield from _of_bytes(registry, extra[0], doing)


def _of_bytes(registry: cm.Registry, version: Version, told: dict[str, Any]) -> Iterator[str]:
    if not registry.files.verify(version).ok:
        yield f"{version.ref} does not verify"
        return
    if "files" in told:
        found = {Path(f.path).name: f.digest.removeprefix("sha256:") for f in registry.files.list(version)}
        if found != told["files"]:
            yield f"{version.ref} has other files than were registered"
    elif registry.load(version) != told["value"]:
        yield f"{version.ref} loads as another value than was registered"


def _of_pointers(registry: cm.Registry, known: Known) -> Iterator[str]:
    doing = known.under_way or {}
    for alias, ref in known.aliases.items():
        may = {ref, doing["ref"]} if doing.get("alias") == alias else {ref}
        if registry.get(alias).ref not in may:
            yield f"{alias} is {registry.get(alias).ref}, and {ref} was acknowledged"
    for ref, stage in known.stages.items():
        may = {stage, doing["stage"]} if doing.get("do") == "promote" and doing["ref"] == ref else {stage}
        if ref not in known.deleted and registry.get(ref).stage not in may:
            yield f"{ref} stands in {registry.get(ref).stage}, and {stage} was acknowledged"


def _of_check(registry: cm.Registry) -> Iterator[str]:
    for finding in registry.storage.check().findings:
        if finding.severity == "error":
            yield f"fsck tells {finding.code} of {finding.where}: {finding.what}"

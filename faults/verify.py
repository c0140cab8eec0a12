"""What a fresh process finds in a registry after a kill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import chopmark as cm
from chopmark.base.clock import Clock, system_clock
from chopmark.base.settings import load_settings
from chopmark.errors import ChopmarkError
from chopmark.wiring import open_blobs
from faults.contents import artifacts_of, metrics_of, model_of
from faults.performing import perform
from faults.places import Place
from faults.scripts import ANY, Held, Known, Op

__all__ = ["Asked", "Fault", "differences", "judge", "least_different", "read_known"]

LATER = timedelta(days=61)
"""Past the grace time of bytes and the time that deleted versions stay."""

Fault = tuple[str, str]
"""What kind of promise was broken, and how."""


@dataclass(frozen=True)
class Asked:
    """What is to be looked at.

    Attributes
    ----------
    probe
        Token of a version to register, to see that the registry works again.
    probe_first
        Whether that comes before the checks, or after them.
    collect
        Whether to collect within the grace time, which may free no bytes.
    at_end
        Whether to collect long after the grace time, which must free all that nothing refers to.
    loaded
        Tokens of versions that are to be loaded, compared byte by byte and searched for by their tag, when they are there.
        None loads all. The bytes of all are hashed by the check in any case.
    """

    probe: str = ""
    probe_first: bool = True
    collect: bool = False
    at_end: bool = False
    loaded: tuple[str, ...] | None = None


def judge(place: Place, asked: Asked) -> dict[str, Any]:
    """Open the registry and look at everything; faults, how long it took to answer, and what was seen."""
    faults: list[Fault] = []
    clock: Clock = (lambda: system_clock() + LATER) if asked.at_end else system_clock
    begun = time.perf_counter()
    with cm.open(**place.settings(), clock=clock) as registry:
        registry.search(limit=1)
        if asked.probe and asked.probe_first:
            perform(registry, Op("register", asked.probe), {})
        answer_ms = (time.perf_counter() - begun) * 1e3
        seen = _seen(registry, faults)
        for token, held in seen.versions.items():
            if not held.is_deleted and (asked.loaded is None or token in asked.loaded):
                faults += _content_faults(registry, token, held)
        faults += _check_faults(registry)
        if asked.collect or asked.at_end:
            faults += _collection_faults(registry, place, seen, at_end=asked.at_end)
        if asked.probe and not asked.probe_first:
            perform(registry, Op("register", asked.probe), {})
        if asked.probe:
            seen = _seen(registry, [])
            if asked.probe not in seen.versions:
                faults.append(("lost", f"{asked.probe} was registered a moment ago and is not there"))
    return {
        "faults": faults,
        "answer_ms": answer_ms,
        "versions": {t: [h.ref, h.stage, h.turn, h.is_deleted] for t, h in seen.versions.items()},
        "aliases": dict(seen.aliases),
    }


def read_known(judged: dict[str, Any]) -> Known:
    """What was seen, as it came through the pipe."""
    return Known({token: Held(*held) for token, held in judged["versions"].items()}, judged["aliases"])


def _seen(registry: cm.Registry, faults: list[Fault]) -> Known:
    versions: dict[str, Held] = {}
    aliases: dict[str, str] = {}
    deleted = registry.versions.search(deleted=True, limit=1000)
    for version in [*registry.versions.each(), *deleted]:
        token = str(version.params.get("token"))
        if token in versions:
            faults.append(("half_visible", f"{token} is there twice: {versions[token].ref} and {version.ref}"))
        if version.state != "ready":
            faults.append(("half_visible", f"{version.ref} is {version.state}"))
        is_deleted = version.deleted_at is not None
        versions[token] = Held(version.ref, version.stage, version.tags.get("turn", ""), is_deleted)
        for name in version.aliases:
            aliases[f"{version.model}@{name}"] = token
    for name, token in aliases.items():
        if (found := registry.get(name).ref) != versions[token].ref:
            faults.append(("half_visible", f"{name} means {found}, and {versions[token].ref} says it has it"))
    return Known(versions, aliases)


def _content_faults(registry: cm.Registry, token: str, held: Held) -> Iterator[Fault]:
    version = registry.get(held.ref)
    said = (version.params, version.metrics, version.tags.get("token"))
    if said != ({"token": token}, metrics_of(token), token):
        yield "half_visible", f"{held.ref} says {said}"
    if [v.ref for v in registry.search(f'tags.token = "{token}"')] != [held.ref]:
        yield "half_visible", f"a search by the tag does not find {held.ref}"
    try:
        if (model := registry.load(held.ref)) != model_of(token):
            yield "half_visible", f"{held.ref} loads as {str(model)[:200]}"
        for path, data in artifacts_of(token).items():
            with registry.files.open(held.ref, path) as stream:
                if stream.read() != data:
                    yield "half_visible", f"{path} of {held.ref} has other bytes"
    except ChopmarkError as error:
        yield "dangling", f"{held.ref} cannot be loaded: {type(error).__name__}: {error}"


_EXPECTED = frozenset({"blobs_orphaned", "leftovers"})
"""What a check mentions and is none of our concern before the grace time: bytes that a killed process had put."""


def _check_faults(registry: cm.Registry, expected: frozenset[str] = _EXPECTED) -> Iterator[Fault]:
    for finding in registry.storage.check().findings:
        if finding.severity != "info" or finding.code not in expected:
            kind = "dangling" if finding.code in {"blob_missing", "edge_dangling"} else "fsck"
            yield kind, f"fsck: {finding.severity} {finding.code} {finding.where}: {finding.what}"


def _collection_faults(registry: cm.Registry, place: Place, seen: Known, *, at_end: bool) -> Iterator[Fault]:
    """A collection within the grace time frees no bytes; one long after it frees all that nothing refers to."""
    before = _stored(place)
    registry.storage.collect()
    stored = _stored(place)
    if not at_end:
        if gone := before - stored:
            yield "early", f"a collection within the grace time freed {sorted(gone)[:3]}"
        return
    live = [held.ref for held in seen.versions.values() if not held.is_deleted]
    needed = {file.digest for ref in live for file in registry.files.manifest(ref).files}
    if left := stored - needed:
        yield "late", f"a collection after the grace time left {sorted(left)[:3]}"
    if gone := needed - stored:
        yield "dangling", f"a collection freed {sorted(gone)[:3]}, which versions need"
    yield from _check_faults(registry, frozenset())
    for token, held in seen.versions.items():
        if not held.is_deleted:
            yield from _content_faults(registry, token, held)


def _stored(place: Place) -> set[str]:
    """Digests that the store itself lists."""
    store = open_blobs(load_settings(place.settings()).settings)
    try:
        return {stat.digest for stat in store.list()}
    finally:
        store.close()


def differences(known: Known, seen: Known, *, may_vanish: bool) -> list[Fault]:
    """Where what is seen is not what must be there.

    ``may_vanish``: whether a collection ran that may have purged deleted versions.
    """
    found: list[Fault] = []
    for token, held in known.versions.items():
        there = seen.versions.get(token)
        if there is None:
            if not (held.is_deleted and may_vanish):
                found.append(("lost", f"{token} ({held.ref}) is not there"))
        elif (held.ref if held.ref != ANY else there.ref, held.stage, held.turn, held.is_deleted) != (
            there.ref,
            there.stage,
            there.turn,
            there.is_deleted,
        ):
            found.append(("wrong", f"{token} must be {held} and is {there}"))
    found += [("wrong", f"{token} is there and must not be") for token in seen.versions.keys() - known.versions.keys()]
    for name in known.aliases.keys() | seen.aliases.keys():
        must, is_ = known.aliases.get(name), seen.aliases.get(name)
        if must != is_:
            found.append(("wrong", f"{name} must point to {must} and points to {is_}"))
    return found


def least_different(possible: list[Known], seen: Known, *, may_vanish: bool) -> tuple[int, list[Fault]]:
    """Which of what is possible is nearest, and the differences to it; none when it is what is seen."""
    found = [differences(known, seen, may_vanish=may_vanish) for known in possible]
    nearest = min(range(len(found)), key=lambda n: len(found[n]))
    return nearest, found[nearest]

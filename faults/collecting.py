"""Collections without any grace against registrations of the very bytes that they free.

In each round the same few contents are registered, read back, deleted and purged, while another process does nothing but
collect. What a version that was acknowledged refers to is there, in every round, and at the end.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

import chopmark as cm
from chopmark.domain.versions import Version
from chopmark.errors import NotFound
from faults.options import Options
from faults.places import Pair, in_place_of
from faults.report import Outcome
from faults.wholeness import bytes_faults, check_faults

__all__ = ["collide", "register_in_rounds", "run"]

PAIRS = (Pair("SQLite", "directory"), Pair("PostgreSQL", "S3"))
CONTENTS = 3
START_S, LONGEST_S = 120.0, 3_600.0
AT_ONCE: dict[str, Any] = {"gc_grace_hours": 0, "purge_after_days": 0}
FINDINGS_MAX = 50


def run(options: Options) -> list[Outcome]:
    """Collide on each pair of catalog and store."""
    return [_on(pair, options) for pair in PAIRS]


def _on(pair: Pair, options: Options) -> Outcome:
    what = f"collection against registration of the same bytes, {pair}"
    rounds = options.rounds(10_000, 250) if pair.store == "directory" else options.rounds(10_000, 50)
    how = f"{CONTENTS} contents, registered, read, deleted and purged in turn beside a process that collects, no grace"
    planned = Outcome(what, rounds, how=how)
    return in_place_of(
        pair, "collecting", options, planned, lambda place: collide({**place.settings(), **AT_ONCE}, rounds)
    )


def collide(settings: Mapping[str, Any], rounds: int) -> tuple[list[str], dict[str, float | int | str]]:
    """Register in so many rounds beside a process that collects; what is wrong, and figures."""
    with cm.open(**settings) as registry:
        registry.register("stays", {"content": -1})
        context = multiprocessing.get_context("spawn")
        ready, stop = context.Event(), context.Event()
        ours, theirs = context.Pipe(duplex=False)
        collector = context.Process(target=_collect, args=(settings, ready, stop, theirs), daemon=True)
        collector.start()
        if not ready.wait(START_S):
            raise RuntimeError("the process that collects did not start")
        begun = time.perf_counter()
        try:
            findings = register_in_rounds(registry, rounds)
        finally:
            stop.set()
        seconds = time.perf_counter() - begun
        collections, freed, error = ours.recv() if ours.poll(START_S) else (0, 0, "it told nothing")
        collector.join(START_S)
        if error:
            findings.append(f"the process that collects: {error}")
        if freed == 0:
            findings.append("nothing was ever freed: the rounds and the collections did not meet")
        findings += _faults_after(registry)
    return findings, {"collections": collections, "freed_blobs": freed, "rounds_per_s": round(rounds / seconds, 1)}


def _collect(settings: Mapping[str, Any], ready: Event, stop: Event, told: Connection) -> None:
    collections = freed = 0
    error = ""
    try:
        with cm.open(**{**settings, "actor": "gc"}) as registry:
            ready.set()
            while not stop.is_set():
                freed += registry.storage.collect().counts.get("blob", 0)
                collections += 1
    except Exception:  # noqa: BLE001 - an error that a user sees is what is looked for
        error = traceback.format_exc()
        ready.set()
    told.send((collections, freed, error))


def register_in_rounds(registry: cm.Registry, rounds: int) -> list[str]:
    """Register contents over and over, and make them garbage again; what was wrong with the versions meanwhile."""
    findings: list[str] = []
    begun = time.monotonic()
    for turn in range(rounds):
        try:
            version = registry.register("comes-and-goes", {"content": turn % CONTENTS}, allow_twin=True)
            found = bytes_faults(registry, version)
            registry.versions.delete(version)
            if turn % 2:  # otherwise the collection purges it, in its own time
                _purge(registry, version)
        except Exception:  # noqa: BLE001 - the same
            found = [traceback.format_exc()]
        findings += [f"round {turn}: {fault}" for fault in found]
        if len(findings) > FINDINGS_MAX:
            findings.append(f"given up after {turn + 1} rounds")
            break
        if time.monotonic() - begun > LONGEST_S:
            findings.append(f"only {turn + 1} of {rounds} rounds were done in {LONGEST_S:.0f} s")
            break
    return findings


def _purge(registry: cm.Registry, version: Version) -> None:
    with suppress(NotFound):  # the collection was first
        registry.versions.purge(version, reason="its turn")


def _faults_after(registry: cm.Registry) -> list[str]:
    found = [fault for version in registry.versions.each() for fault in bytes_faults(registry, version)]
    found += check_faults(registry)
    for _ in range(2):  # what is purged by the first is garbage for the second
        registry.storage.collect()
    found += check_faults(registry)
    left = [str(item) for item in registry.storage.garbage()]
    return found + ([f"after the collections there is still garbage: {left[:5]}"] if left else [])

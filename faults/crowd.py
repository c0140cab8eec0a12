"""Many processes with many threads each that register the same models and different ones at once.

Every number is given once and none is left out, nobody sees an error, bytes that are equal are stored once, and every
version that was acknowledged can be loaded.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from statistics import quantiles
from typing import Any, NamedTuple

import chopmark as cm
from faults.options import Options
from faults.places import Pair, Place, in_place_of
from faults.report import Outcome
from faults.wholeness import bytes_faults, check_faults

__all__ = ["Acknowledged", "acknowledgement_faults", "crowd", "run", "storage_faults"]

PAIRS = (Pair("SQLite", "directory"), Pair("PostgreSQL", "directory"), Pair("PostgreSQL", "S3"))
PROCESSES, THREADS = 8, 4
CONTENTS = 5
START_S, END_S = 120.0, 1_800.0
SHARED_MODELS = ("everybody", "most")


class Acknowledged(NamedTuple):
    """What a thread was told of a version, and how long it waited for that."""

    model: str
    number: int
    digest: str
    seconds: float


class _Member(NamedTuple):
    """A process: how it opens the registry, which it is, and how often each of its threads registers."""

    settings: Mapping[str, Any]
    process: int
    rounds: int


def run(options: Options) -> list[Outcome]:
    """Let a crowd register on each pair of catalog and store."""
    return [_on(pair, options) for pair in PAIRS]


def _on(pair: Pair, options: Options) -> Outcome:
    what = f"{PROCESSES} processes × {THREADS} threads register, {pair}"
    rounds = options.rounds(40, 3) if pair.store == "directory" else options.rounds(15, 2)
    how = f"{rounds} registrations a thread, of a model of its own, or one of {len(SHARED_MODELS)} that all share"

    def work(place: Place) -> tuple[list[str], dict[str, float | int | str]]:
        with cm.open(**place.settings()):
            pass  # its tables are made, once: what is measured is registrations
        return crowd(place.settings(), rounds)

    return in_place_of(pair, "crowd", options, Outcome(what, PROCESSES * THREADS * rounds, how=how), work)


def crowd(settings: Mapping[str, Any], rounds: int) -> tuple[list[str], dict[str, float | int | str]]:
    """Let the crowd register ``rounds`` times a thread; what is wrong afterwards, and figures."""
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(PROCESSES + 1), context.Queue()
    members = [
        context.Process(target=_be_member, args=(_Member(settings, n, rounds), start, told), daemon=True)
        for n in range(PROCESSES)
    ]
    for member in members:
        member.start()
    start.wait(START_S)
    begun = time.perf_counter()
    acknowledged, findings = _heard(members, told)
    seconds = time.perf_counter() - begun
    for member in members:
        member.join(START_S)
    findings += [f"process {n} ended with {m.exitcode}" for n, m in enumerate(members) if m.exitcode]
    with cm.open(**settings) as registry:
        findings += _faults_after(registry, acknowledged)
    if len(acknowledged) != PROCESSES * THREADS * rounds and not findings:
        findings.append(f"{len(acknowledged)} of {PROCESSES * THREADS * rounds} registrations were acknowledged")
    waits_ms = [1000 * each.seconds for each in acknowledged]
    last = quantiles(waits_ms, n=100)[98] if len(waits_ms) > 1 else 0.0
    return findings, {
        "registrations_per_s": round(len(acknowledged) / seconds, 1),
        "latency_ms_p99": round(last, 1),
        "latency_ms_max": round(max(waits_ms, default=0.0), 1),
    }


def _heard(members: Sequence[Any], told: Queue[Any]) -> tuple[list[Acknowledged], list[str]]:
    acknowledged: list[Acknowledged] = []
    findings: list[str] = []
    limit = time.monotonic() + END_S
    waiting = len(members)
    while waiting and time.monotonic() < limit:
        try:
            mine, errors = told.get(timeout=1.0)
        except queue.Empty:
            if not any(m.is_alive() for m in members) and told.empty():
                break
            continue
        waiting -= 1
        acknowledged += [Acknowledged(*each) for each in mine]
        findings += errors
    if waiting:
        findings.append(f"{waiting} processes told nothing")
    return acknowledged, findings


def _be_member(member: _Member, start: Barrier, told: Queue[Any]) -> None:
    """Register from several threads that share one registry."""
    acknowledged: list[Acknowledged] = []
    errors: list[str] = []
    threading.excepthook = lambda a: errors.append(f"process {member.process}, in the background: {a.exc_value!r}")
    warnings.simplefilter("error")
    with cm.open(**member.settings) as registry:

        def live(thread: int) -> None:
            try:
                who = member.process * THREADS + thread
                acknowledged.extend(_register(registry, who, turn) for turn in range(member.rounds))
            except Exception:  # noqa: BLE001 - an error that a user sees is what is looked for
                errors.append(f"process {member.process}, thread {thread}: {traceback.format_exc()}")

        start.wait(START_S)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(live, range(THREADS)))
    told.put(([tuple(each) for each in acknowledged], errors))


def _register(registry: cm.Registry, who: int, turn: int) -> Acknowledged:
    """A model that all share or one's own, with bytes that others have too and bytes that nobody has."""
    model = f"own-{who}" if turn % 3 == 2 else SHARED_MODELS[turn % 3]
    content = {"content": (who + turn) % CONTENTS}
    artifacts = {"other/shared": f"shared {turn % CONTENTS}".encode() * 900}
    if turn % 2:
        artifacts["other/own"] = f"{who} in turn {turn}".encode() * 100
    begun = time.perf_counter()
    version = registry.register(model, content, artifacts=artifacts, allow_twin=True)
    return Acknowledged(version.model, version.number, version.digest, time.perf_counter() - begun)


def _faults_after(registry: cm.Registry, acknowledged: Sequence[Acknowledged]) -> list[str]:
    versions = list(registry.versions.each())
    held = {(v.model, v.number): v.digest for v in versions}
    found = acknowledgement_faults(acknowledged, held)
    found += [fault for version in versions for fault in bytes_faults(registry, version)]
    digests = {file.digest: file.size_bytes for v in versions for file in registry.files.manifest(v).files}
    totals = registry.storage.totals()
    return found + storage_faults(digests, totals.blobs, totals.raw_bytes) + check_faults(registry)


def acknowledgement_faults(acknowledged: Sequence[Acknowledged], held: Mapping[tuple[str, int], str]) -> list[str]:
    """What is wrong with the numbers that were told, against (model, number) → digest as the catalog holds them."""
    found = [
        f"{model}:{number} was given {count} times"
        for (model, number), count in Counter((a.model, a.number) for a in acknowledged).items()
        if count > 1
    ]
    found += [
        f"{a.model}:{a.number} was acknowledged with {a.digest}, the catalog has {held.get((a.model, a.number))}"
        for a in acknowledged
        if held.get((a.model, a.number)) != a.digest
    ]
    for model in sorted({model for model, _ in held}):
        numbers = sorted(number for name, number in held if name == model)
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"{model} has the numbers {numbers}")
    return found


def storage_faults(digests: Mapping[str, int], blobs: int, raw_bytes: int) -> list[str]:
    """Whether the store holds each of the bytes that versions refer to once, and nothing else."""
    if (blobs, raw_bytes) == (len(digests), sum(digests.values())):
        return []
    wanted = f"{len(digests)} blobs of {sum(digests.values())} bytes"
    return [f"the store holds {blobs} blobs of {raw_bytes} bytes for {wanted} that differ"]

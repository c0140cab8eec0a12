"""A server killed by SIGKILL at random moments of registrations and uploads, and started again at the same address.

Two lanes, on SQLite with a directory and on PostgreSQL with S3. While the server is down the registry is opened beside it and
looked at; its clients know nothing but their one address, and go on when it is back.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import chopmark as cm
from chopmark.base.calls import Caller
from chopmark.base.settings import load_settings
from chopmark.wiring import open_blobs
from faults.contents import artifacts_of, model_of
from faults.options import Options
from faults.places import Grounds, Pair, Place, make_grounds
from faults.report import Outcome
from faults.servers import Missing
from faults.serving_clients import Acknowledged, Client, Parts, Registering, Uploading
from faults.serving_processes import Installation, Running
from faults.tally import FAULT_KINDS

__all__ = ["Lane", "run"]

PAIRS = (Pair("SQLite", "directory"), Pair("PostgreSQL", "S3"))
TURNS_A_LIFE = 10
KILLS_MAX, KILLS_MAX_SHORT = 500, 16
FINDINGS_MAX = 25
_KILLED_WITHIN_S = 1.5

_HOW = (
    "four clients register and upload, in one piece and in parts, through one server; it is killed at a random moment, the registry"
    " read and checked beside it, and the server started again at its address; at the end it is stopped, and all content hashed"
)
_EXPECTED = frozenset({"blobs_orphaned", "leftovers"})
_AFTER_A_KILL = _EXPECTED | {"records_behind"}


def run(options: Options) -> list[Outcome]:
    """Kill as many servers as asked for, up to what takes minutes; half on each pair."""
    kills = min(options.kills, options.rounds(KILLS_MAX, KILLS_MAX_SHORT))
    share = -(-kills // len(PAIRS))
    with ThreadPoolExecutor(len(PAIRS)) as pool:
        return list(pool.map(lambda pair: _lane(pair, share, options), PAIRS))


def _lane(pair: Pair, kills: int, options: Options) -> Outcome:
    what = f"kill -9 of a server: {pair}"
    try:
        grounds = make_grounds(pair, options.place("serving") / f"{pair.catalog}-{pair.store}")
    except Missing as missing:
        return Outcome(what, 0, missing=str(missing))
    lane = Lane(grounds, options)
    lane.run(kills)
    figures: dict[str, Any] = {
        **{name: lane.counts[name] for name in ("registered", "put", "assembled", "uploads_gone_on")},
        **{kind: lane.faults[kind] for kind in FAULT_KINDS if lane.faults[kind]},
        "killed_while": " ".join(f"{name}:{count}" for name, count in sorted(lane.killed_while.items())),
        "start_to_answer_ms_p50": statistics.median(lane.starts_ms or [0.0]),
    }
    findings = [f"--seed {options.seed}: {finding}" for finding in lane.findings]
    return Outcome(what, lane.kills, findings=findings, figures=figures, how=_HOW)


@dataclass
class Lane:
    """Lives of registries on one pair, each served, and its server killed, some times."""

    grounds: Grounds
    options: Options
    module: str = "chopmark"
    kills: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    killed_while: Counter[str] = field(default_factory=Counter)
    starts_ms: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def run(self, kills: int) -> None:
        """Kill so many servers, unless there are too many findings before."""
        life = 0
        while self.kills < kills and len(self.findings) < FINDINGS_MAX:
            life += 1
            with ExitStack() as stack:
                place = self.grounds.new_place(f"life-{life}", stack)
                Life(self, place, life, stack).run(min(TURNS_A_LIFE, kills - self.kills))

    def find(self, life: int, turn: int, faults: list[tuple[str, str]]) -> None:
        """Keep what was found."""
        for kind, what in faults:
            self.faults[kind] += 1
            self.findings.append(f"life {life}, turn {turn}: {kind}: {what}")


class Life:
    """One registry."""

    def __init__(self, lane: Lane, place: Place, number: int, stack: ExitStack) -> None:
        self._lane = lane
        self._place = place
        self._number = number
        self._spread = lane.options.random("serving", lane.grounds.pair, number)
        self._told = Acknowledged()
        self._checked: set[str] = set()
        settings = place.settings()
        settings.pop("cache_dir")
        self._installation = Installation(place.directory, module=lane.module, **settings)
        stack.callback(self._installation.close)
        self._stack = stack

    def run(self, turns: int) -> None:
        """Serve, kill and look, so often; then serve once more, stop it, and look again."""
        server = self._started(None)
        clients = self._clients(server.url)
        for turn in range(1, turns + 1):
            self._turn(server, clients, turn)
            server = self._started(server)
            if len(self._lane.findings) >= FINDINGS_MAX:
                break
        for client in clients:
            client.go()
        time.sleep(0.5)
        for client in clients:
            client.end()
        server.stop()
        self._look(turns + 1, _EXPECTED, content=True)
        self._lane.counts += self._told.counts

    def _turn(self, server: Running, clients: list[Client], turn: int) -> None:
        for client in clients:
            client.go()
        time.sleep(self._spread.uniform(0, _KILLED_WITHIN_S))
        doing = [client.doing for client in clients if client.doing]
        server.kill()
        self._lane.kills += 1
        self._lane.killed_while.update(doing)
        for client in clients:
            client.pause()
        self._look(turn, _AFTER_A_KILL)

    def _started(self, before: Running | None) -> Running:
        begun = time.perf_counter()
        server = self._installation.serve() if before is None else self._installation.again(before)
        self._lane.starts_ms.append((time.perf_counter() - begun) * 1e3)
        return server

    def _clients(self, url: str) -> list[Client]:
        def registry(n: int) -> cm.Registry:
            return self._stack.enter_context(
                self._installation.client(url, cache_dir=str(self._place.directory / f"c{n}"))
            )

        def caller() -> Caller:
            made = Caller(url, timeout_s=30)
            self._stack.callback(made.close)
            return made

        def spread(name: str) -> random.Random:
            return self._lane.options.random("serving", self._lane.grounds.pair, self._number, name)

        return [
            Registering("one", self._told, registry(1), spread("one")),
            Registering("two", self._told, registry(2), spread("two")),
            Uploading("whole", self._told, caller(), spread("whole")),
            Parts("parts", self._told, caller(), spread("parts")),
        ]

    def _look(self, turn: int, expected: frozenset[str], *, content: bool = False) -> None:
        with self._told.lock:
            versions, blobs = dict(self._told.versions), set(self._told.blobs)
            faults, self._told.faults[:] = list(self._told.faults), []
        with cm.open(**self._place.settings()) as registry:
            faults += self._faults(registry, versions, blobs)
            faults += _check_faults(registry, expected, content=content)
        self._lane.find(self._number, turn, faults)

    def _faults(
        self, registry: cm.Registry, versions: dict[str, tuple[str, str]], blobs: set[str]
    ) -> Iterator[tuple[str, str]]:
        """Promises that the registry, as it is now, does not keep."""
        found: dict[str, cm.Version] = {}
        for version in registry.versions.each(""):
            token = version.tags.get("token", "")
            if token in found:
                yield "wrong", f"{token} was registered once and is there as {found[token].ref} and {version.ref}"
            if token not in self._told.asked or version.state != "ready":
                yield "half_visible", f"{version.ref} is {version.state}, of {token!r}"
            found[token] = version
        for token, (ref, digest) in versions.items():
            if token not in found or (found[token].ref, found[token].digest) != (ref, digest):
                yield "lost", f"{token} was acknowledged as {ref} and is {found.get(token)}"
        for token in found.keys() - self._checked:
            yield from _content_faults(registry, found[token], token)
            self._checked.add(token)
        with closing(open_blobs(load_settings(self._place.settings()).settings)) as store:
            there = {stat.digest for stat in store.list()}
        for digest in sorted(blobs - there):
            yield "lost", f"the bytes {digest} were acknowledged and are not there"


def _check_faults(registry: cm.Registry, expected: frozenset[str], *, content: bool) -> Iterator[tuple[str, str]]:
    if verdict := registry.audit.verify().fault:
        yield "fsck", f"the audit: {verdict}"
    for finding in registry.storage.check(content=content).findings:
        if finding.code not in expected:
            yield "fsck", f"{finding.severity} {finding.code} {finding.where}: {finding.what}"


def _content_faults(registry: cm.Registry, version: cm.Version, token: str) -> Iterator[tuple[str, str]]:
    try:
        if registry.load(version) != model_of(token):
            yield "half_visible", f"{version.ref} loads as something else"
        for path, data in artifacts_of(token).items():
            with registry.files.open(version, path) as stream:
                if stream.read() != data:
                    yield "half_visible", f"{path} of {version.ref} has other bytes"
    except cm.errors.ChopmarkError as error:
        yield "dangling", f"{version.ref} cannot be loaded: {type(error).__name__}: {error}"

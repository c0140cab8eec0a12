"""A server, a gateway apart from it and the processes of their models, killed by SIGKILL at random while clients ask.

Meanwhile an operator splits the traffic anew and anew. Each answer is held against the table of its generation, and what failed
against what was killed.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chopmark.base.settings import load_settings
from chopmark.domain.endpoints import Endpoint
from chopmark.errors import ChopmarkError
from chopmark.wiring import connect
from faults.gateway_checks import KINDS, Down, History, asked_at_most, faults_in
from faults.gateway_clients import Asking, Told, numbered_model, rows
from faults.options import Options
from faults.report import Outcome
from faults.serving_processes import Installation, Running, until

__all__ = ["Life", "run"]

KILLS_MAX, KILLS_MAX_SHORT = 200, 4
TURNS_A_LIFE = 10
FINDINGS_MAX = 25
VERSIONS = 3
_WHAT = ("server", "gateway", "workers of the server", "workers of the gateway")
_WITHIN_S = 180.0
_KILLED_WITHIN_S = 0.5
_WORKER_BACK_S = 30.0

_HOW = (
    "clients ask two endpoints of a server and of a gateway apart, one of which runs its models in processes; an operator splits the"
    " traffic; one of them all is killed at a random moment and started again; every answer is held against the table of its generation"
)


def run(options: Options) -> list[Outcome]:
    """Kill as often as asked for, up to what takes minutes."""
    kills = min(options.kills, options.rounds(KILLS_MAX, KILLS_MAX_SHORT))
    done, counts, recoveries_s = 0, Counter[str](), []
    findings: list[str] = []
    while done < kills and len(findings) < FINDINGS_MAX:
        number = done // TURNS_A_LIFE + 1
        with ExitStack() as stack:
            life = Life(options.place("gateway") / f"life-{number}", options.random("gateway", number), stack)
            life.run(min(TURNS_A_LIFE, kills - done), first=done)
        done += life.kills
        counts += life.counts
        recoveries_s += life.recoveries_s
        findings += [f"--seed {options.seed}, life {number}: {finding}" for finding in life.findings]
    figures: dict[str, Any] = {
        **dict(sorted(counts.items())),
        "back_s_p50": round(statistics.median(recoveries_s or [0.0]), 2),
    }
    return [Outcome("kill -9 under predictions", done, findings=findings, figures=figures, how=_HOW)]


@dataclass
class Life:
    """One registry with two routers.

    Attributes
    ----------
    directory, spread, stack
        Where it is, its randomness, and what ends it.
    """

    directory: Path
    spread: random.Random
    stack: ExitStack
    kills: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def run(self, turns: int, first: int = 0) -> None:
        """Serve, kill and look, so often; then see what is live."""
        self.directory.mkdir(parents=True)
        installation = self._installation = Installation(self.directory, gateway_poll_s=0.1)
        self.stack.callback(installation.close)
        with installation.client() as behind:
            for number in range(1, VERSIONS + 1):
                behind.register("fraud", numbered_model(number), example=rows(20))
        self._server = installation.serve("--workers", "0")
        self._history = {name: History() for name in ("api", "work")}
        self._told: dict[str, list[tuple[str, Told]]] = {"api": [], "work": []}
        self._registry = self.stack.enter_context(installation.client(self._server.url, retry_for_s=0))
        made = self._registry.endpoints.create("api", "fraud:1")
        self._note(made)
        self._note(self._registry.endpoints.create("work", "fraud:1", config={"execution": "process"}))
        self._gateway = installation.gateway(self._server.url)
        self._split()
        asking = [
            self.stack.enter_context(self._asking(running.url, name))
            for running in (self._server, self._gateway)
            for name in self._told
        ]
        for turn in range(turns):
            self._turn(_WHAT[(first + turn) % len(_WHAT)])
        for each in asking:
            each.end()
        self._judge(made)

    def _asking(self, url: str, name: str) -> Asking:
        told = self._told[name]
        return Asking(url, name, connections=1, pause_s=0.02, seen=lambda each: told.append((url, each)))

    def _turn(self, what: str) -> None:
        """Change the split, kill in the midst of it or soon after, and wait until all is as it was set."""
        running = self._server if what.endswith("server") else self._gateway
        self._split(wait=self.spread.random() < 0.5)
        time.sleep(self.spread.uniform(0, _KILLED_WITHIN_S))
        begun_s = time.monotonic()
        if what.startswith("workers"):
            self._kill_workers(running)
            self._until_answered(running)
            self._history["work"].downs.append(Down(running.url, begun_s, time.monotonic() + _WORKER_BACK_S / 10))
        else:
            running.kill()
            self._restart(what)
            for history in self._history.values():
                history.downs.append(Down(running.url, begun_s, time.monotonic()))
        self.kills += 1
        self.counts[what.replace(" ", "_")] += 1
        self.recoveries_s.append(time.monotonic() - begun_s)
        self._split()

    def _restart(self, what: str) -> None:
        if what == "server":
            self._server = self._installation.again(self._server, "--workers", "0")
            until(lambda: self._is_answered(self._server), _WITHIN_S)
        else:
            port = int(self._gateway.url.rpartition(":")[2])
            self._gateway = self._installation.gateway(self._server.url, port=port, ready=False)
            self._gateway.until_ready(_WITHIN_S)
        self._until_answered(self._server if what == "server" else self._gateway)

    def _kill_workers(self, running: Running) -> None:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if stat.read_text().rpartition(")")[2].split()[1] == str(running.pid):
                    os.kill(int(stat.parent.name), signal.SIGKILL)

    def _is_answered(self, running: Running) -> bool:
        """Whether the last request to each endpoint was answered."""
        last = {}
        for name, told in self._told.items():
            last[name] = next((t.status for url, t in reversed(told[-200:]) if url == running.url), 0)
        return set(last.values()) == {200}

    def _until_answered(self, running: Running) -> None:
        seen = {name: len(told) for name, told in self._told.items()}
        until(lambda: all(len(told) > seen[name] + 8 for name, told in self._told.items()), _WITHIN_S)
        until(lambda: self._is_answered(running), _WITHIN_S)

    def _split(self, *, wait: bool = True) -> None:
        """Deal all traffic anew, and wait until all routers say that they do."""
        weight = self.spread.randrange(0, 101, 5)
        one, other = self.spread.sample(range(1, VERSIONS + 1), 2)
        split = {f"fraud:{one}": 100 - weight, f"fraud:{other}": weight}
        for name in self._told:
            with suppress(ChopmarkError):
                self._registry.endpoints.split(name, split, reason="a campaign")
            self._note(self._registry.endpoints.get(name))
        if wait:
            until(self._is_confirmed, _WITHIN_S)
            at_s = time.monotonic()
            for history in self._history.values():
                history.confirmed.append((at_s, max(history.tables)))

    def _note(self, endpoint: Endpoint) -> None:
        table = {v.name: (v.version.number, v.weight) for v in endpoint.variants}
        self._history[endpoint.name].tables[endpoint.generation] = table

    def _is_confirmed(self) -> bool:
        for name, history in self._history.items():
            (live,) = self._registry.endpoints.live(name).endpoints
            newest = max(history.tables)
            serving = [v for v in live.variants if v.served.state == "serving" and v.served.generation == newest]
            if len(live.routers) != len(("server", "gateway")) or len(serving) != len(history.tables[newest]):
                return False
            if any(v.routers != live.routers for v in serving):
                return False
        return True

    def _judge(self, api: Endpoint) -> None:
        """Hold everything against what was told and done."""
        for name, told in self._told.items():
            self.counts[f"answers_{name}"] += sum(t.status == 200 for _, t in told)
            for kind, what in faults_in(self._history[name], list(told)):
                self._find(kind, f"{name}: {what}")
        try:
            until(self._is_confirmed, _WITHIN_S / 6)
        except TimeoutError:
            self._find("live", f"{self._registry.endpoints.live()} is not {self._history}")
        time.sleep(1.5)  # the last reports come
        kept, asked = self._kept(self._installation, api), asked_at_most(self._told["api"])
        self.counts["counted"] += kept
        if not 0 < kept <= asked:
            self._find("counted", f"{kept} requests are counted, and {asked} were asked")

    @staticmethod
    def _kept(installation: Installation, api: Endpoint) -> int:
        day, now = timedelta(days=1), datetime.now(UTC)
        settings = {"url": installation.settings["url"], "actor": "ada"}
        with (
            closing(connect(load_settings(settings, environ={}))) as behind,
            behind.catalog.reading() as tx,
        ):
            found = tx.outcomes.list(api.id, since=now - day, until=now + day, limit=100_000)
            return sum(each.window.requests for each in found)

    def _find(self, kind: str, what: str) -> None:
        assert kind in KINDS
        self.counts[kind] += 1
        self.findings.append(f"{kind}: {what}")

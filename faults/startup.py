"""How soon a large registry answers again when the process that wrote to it was killed.

Its catalog is filled by SQL; then a child registers versions until SIGKILL, and a new interpreter opens the registry, gets a
version and registers one. What it takes from its first line to its last counts, with all imports.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chopmark as cm
from benchmarks.filling import fill_sqlite
from benchmarks.made_registry import model_name
from faults.children import Announce, Child, kill
from faults.options import Options
from faults.performing import perform
from faults.places import Place
from faults.report import Outcome
from faults.scripts import Op

__all__ = ["run"]

LIMIT_MS = 1_000.0
CHILD_LIMIT_S = 60.0

ANSWER = """
import time
begun = time.perf_counter()
import json, sys
import chopmark as cm
steps = {}
def told(step):
    steps[step] = (time.perf_counter() - begun) * 1e3
with cm.open(sys.argv[1], actor="ada", progress="never") as registry:
    told("open")
    assert registry.get(sys.argv[3]).number == 1
    told("get")
    registry.register("after", {"token": sys.argv[2]}, params={"token": sys.argv[2]})
    told("register")
    steps["there"] = [v.params["token"] for v in registry.versions.each(model="fraud")]
print(json.dumps(steps))
"""


def run(options: Options) -> list[Outcome]:
    """Kill a writer at so many versions, and time a fresh process."""
    place = Place(options.place("startup"))
    file = place.directory / "registry" / "chopmark.db"
    file.parent.mkdir()
    begun = time.perf_counter()
    fill_sqlite(file, options.versions)
    filled_s = time.perf_counter() - begun
    rounds = options.rounds(20, 5)
    spread = options.random("startup")
    findings: list[str] = []
    answers: list[dict[str, Any]] = []
    acknowledged: set[str] = set()
    for n in range(rounds):
        delay_s = spread.uniform(0.05, 1.5)
        acknowledged |= _killed_writer(place, n, delay_s)
        wal_bytes = (file.parent / "chopmark.db-wal").stat().st_size
        done = subprocess.run(
            [sys.executable, "-c", ANSWER, str(file.parent), f"after-{n}", f"{model_name(0)}:1"],
            capture_output=True,
            text=True,
            check=False,
            timeout=CHILD_LIMIT_S,
        )
        if done.returncode != 0:
            findings.append(f"--seed {options.seed}, round {n}, killed after {delay_s:.3f} s: {done.stderr[-3_000:]}")
            continue
        answers.append({**json.loads(done.stdout), "wal_bytes": wal_bytes})
        if lost := acknowledged - set(answers[-1]["there"]):
            findings.append(f"--seed {options.seed}, round {n}: lost {sorted(lost)[:5]}")
    figures: dict[str, Any] = {
        "versions": options.versions,
        "file_mib": file.stat().st_size >> 20,
        "filled_s": filled_s,
    }
    if answers:
        for step in ("open", "get", "register"):
            figures[f"{step}_ms_p50"] = statistics.median(answer[step] for answer in answers)
        figures["register_ms_max"] = max(answer["register"] for answer in answers)
        figures["wal_mib_max"] = max(answer["wal_bytes"] for answer in answers) / 2**20
        if figures["register_ms_p50"] > LIMIT_MS:
            findings.append(
                f"half of the answers took longer than {LIMIT_MS:.0f} ms: {figures['register_ms_p50']:.0f} ms"
            )
    figures["acknowledged"] = len(acknowledged)
    how = "SQLite; a writer is killed, a new interpreter imports, opens, gets and registers; times are from its first line"
    return [Outcome("answers after a kill at size", rounds, findings, figures, how)]


def _killed_writer(place: Place, n: int, delay_s: float) -> set[str]:
    """Register until killed; the tokens that were acknowledged."""
    tokens = [f"fraud-{n}-{k}-small" for k in range(10_000)]

    def write(tell: Announce) -> None:
        with cm.open(**place.settings()) as registry:
            for k, token in enumerate(tokens):
                perform(registry, Op("register", token), {})
                tell({"at": "done", "k": k})

    child = Child(write, place.directory / "stderr.txt")
    if not kill(child, [], lambda: bool(child.heard), delay_s, CHILD_LIMIT_S) or child.heard[-1]["at"] == "error":
        raise RuntimeError(f"the writer never came to write: {child.heard}\n{_end_of(place.directory / 'stderr.txt')}")
    return {tokens[heard["k"]] for heard in child.heard}


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]

"""How soon a large registry answers again when the process that wrote to it was killed.

Its catalog is filled by SQL; then a child registers versions until SIGKILL, and a new interpreter opens the registry, gets a
version and registers one. What it takes from its first line to its last counts, with all imports.

A busy machine slows whatever runs on it: the same steps on an empty registry that nobody killed are timed in the same rounds.
It is a finding when the CPU time is above the limit, or when size and kill together cost more than the limit beyond that.
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
    steps["there"] = [v.params.get("token") for v in registry.versions.each(model="fraud")]
steps["cpu"] = time.process_time() * 1e3
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
    empty = _empty_registry(options)
    empty_ms: list[float] = []
    for n in range(rounds):
        delay_s = spread.uniform(0.05, 1.5)
        acknowledged |= _killed_writer(place, n, delay_s)
        wal_bytes = (file.parent / "chopmark.db-wal").stat().st_size
        try:
            answer = _answer(file.parent, f"after-{n}", f"{model_name(0)}:1")
            empty_ms.append(_answer(empty, f"after-{n}", "fraud:1")["register"])
        except RuntimeError as error:
            findings.append(f"--seed {options.seed}, round {n}, killed after {delay_s:.3f} s: {error}")
            continue
        answers.append({**answer, "wal_bytes": wal_bytes})
        if lost := acknowledged - set(answer["there"]):
            findings.append(f"--seed {options.seed}, round {n}: lost {sorted(lost)[:5]}")
    figures: dict[str, Any] = {
        "versions": options.versions,
        "file_mib": file.stat().st_size >> 20,
        "filled_s": filled_s,
    }
    if answers:
        for step in ("open", "get", "register", "cpu"):
            figures[f"{step}_ms_p50"] = statistics.median(answer[step] for answer in answers)
        figures["register_ms_max"] = max(answer["register"] for answer in answers)
        figures["empty_ms_p50"] = statistics.median(empty_ms)
        figures["wal_mib_max"] = max(answer["wal_bytes"] for answer in answers) / 2**20
        findings += too_slow(
            figures["register_ms_p50"], min(answer["cpu"] for answer in answers), figures["empty_ms_p50"]
        )
    figures["acknowledged"] = len(acknowledged)
    how = "SQLite; a writer is killed, a new interpreter imports, opens, gets and registers; times are from its first line"
    return [Outcome("answers after a kill at size", rounds, findings, figures, how)]


def too_slow(wall_ms: float, cpu_ms: float, empty_ms: float) -> list[str]:
    """Findings about the median answer after a kill, the least CPU time of one, and the median of an empty registry."""
    if cpu_ms <= LIMIT_MS and wall_ms - empty_ms <= LIMIT_MS:
        return []
    told = f"after {wall_ms:.0f} ms, with {cpu_ms:.0f} ms of CPU, where an empty registry takes {empty_ms:.0f} ms"
    return [f"the answer comes {told}; the limit is {LIMIT_MS:.0f} ms"]


def _empty_registry(options: Options) -> Path:
    """A registry with one version."""
    directory = options.place("startup-empty") / "registry"
    make = "import sys, chopmark as cm\nwith cm.open(sys.argv[1], actor='ada') as r: r.register('fraud', {'a': 1})"
    subprocess.run([sys.executable, "-c", make, str(directory)], check=True, timeout=CHILD_LIMIT_S)
    return directory


def _answer(directory: Path, token: str, known: str) -> dict[str, Any]:
    """The times of a new interpreter; `RuntimeError` with what it says when it fails."""
    command = [sys.executable, "-c", ANSWER, str(directory), token, known]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CHILD_LIMIT_S)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3_000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _killed_writer(place: Place, n: int, delay_s: float) -> set[str]:
    """Register until killed; the tokens that were acknowledged."""
    tokens = [f"fraud-{n}-{k}-small" for k in range(10_000)]

    def write(tell: Announce) -> None:
        with cm.open(**place.settings()) as registry:
            for k, token in enumerate(tokens):
                perform(registry, Op("register", token), {})
                tell({"at": "done", "k": k})

    child = Child(write, place.directory / "stderr.txt")
    never = kill(child, [], lambda: bool(child.heard), delay_s, CHILD_LIMIT_S)
    if never or child.heard[-1]["at"] == "error":
        raise RuntimeError(
            f"the writer never came to write: {never} {child.heard}\n{_end_of(place.directory / 'stderr.txt')}"
        )
    return {tokens[heard["k"]] for heard in child.heard}


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]

"""Processes killed by SIGKILL at random moments of registering, moving, collecting, backing up, restoring and rebuilding.

On every pair of catalog and store, two lanes a pair. A lane forks each child from a process that has imported
everything and opened nothing; kills it; then a fresh process opens the registry and looks at all of it.
"""

from __future__ import annotations

import gc
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import chopmark as cm
from faults.children import Child, listen
from faults.lives import Life
from faults.options import Options
from faults.performing import perform
from faults.places import PAIRS, Grounds, Pair, Place, make_grounds
from faults.report import Outcome
from faults.scripts import Op
from faults.servers import Missing
from faults.tally import FAULT_KINDS, Tally
from faults.verify import Asked, judge

__all__ = ["lane", "preload", "run"]

TURNS_A_LIFE = 9
"""Rounds until a registry is thrown away, so that looking at all of it stays quick."""

FINDINGS_MAX = 25
LANES_A_PAIR = 2
"""Processes that kill, each its own registries: while one waits for a disk or a server another works."""

_HOW = (
    "a forked child announces each op by one unbuffered write and is killed at a random moment; a fresh process then reads"
    " every version, runs fsck with content, registers and collects"
)


WARM_UP = (
    Op("register", "fraud-a-large"),
    Op("register", "fraud-b-many"),
    Op("promote", "fraud-a-large", "staging"),
    Op("alias", "fraud-a-large", "fraud@champion"),
    Op("tag", "fraud-a-large", "1"),
    Op("delete", "fraud-b-many"),
    Op("restore", "fraud-b-many"),
    Op("collect", argument="0"),
    Op("record"),
)


def run(options: Options) -> list[Outcome]:
    """Kill as many as asked for, a quarter on each pair."""
    outcomes: dict[Pair, Outcome] = {}
    grounds: dict[Pair, Grounds] = {}
    for pair in PAIRS:
        try:
            grounds[pair] = make_grounds(pair, options.place("kills") / f"{pair.catalog}-{pair.store}")
        except Missing as missing:
            outcomes[pair] = Outcome(f"kill -9: {pair}", 0, missing=str(missing))
    preload()
    share = -(-options.kills // max(1, len(grounds) * LANES_A_PAIR))
    lanes = {
        pair: [_lane_process(each, n, share, options) for n in range(LANES_A_PAIR)] for pair, each in grounds.items()
    }
    everybody = [child for children in lanes.values() for child in children]
    listen(everybody, lambda: all(child.ended for child in everybody), float("inf"))
    for pair, children in lanes.items():
        outcomes[pair] = _outcome(pair, children, options)
    return [outcomes[pair] for pair in PAIRS]


def _lane_process(grounds: Grounds, n: int, kills: int, options: Options) -> Child:
    log = grounds.directory / f"lane-{n}.txt"
    return Child(lambda tell: tell({"at": "tally", "tally": asdict(lane(grounds, kills, options, n))}), log)


def lane(grounds: Grounds, kills: int, options: Options, n: int = 0, *, findings_max: int = FINDINGS_MAX) -> Tally:
    """Lives of registries on one pair, until there were so many kills, or so many findings.

    What was counted so far stands in ``lane-….json`` of the scratch directory, for whoever waits.
    """
    tally = Tally()
    typical_ms: dict[str, float] = {}
    life = 0

    def keep(name: str, directory: Path) -> Path:
        return options.kept(f"{grounds.directory.name}-{name}", directory)

    while tally.kills < kills:
        life += 1
        spread = options.random("kills", grounds.pair, n, life)
        turns = min(TURNS_A_LIFE, kills - tally.kills)
        Life(grounds, f"l{n}x{life}", spread, tally, keep, typical_ms).run(turns)
        (grounds.directory / f"lane-{n}.json").write_text(json.dumps(asdict(tally)))
        if len(tally.findings) >= findings_max:
            break
    return tally


def _outcome(pair: Pair, children: Sequence[Child], options: Options) -> Outcome:
    what = f"kill -9: {pair}"
    tally = Tally()
    broken = []
    for child in children:
        if child.heard and child.heard[-1]["at"] == "tally":
            tally = tally.with_another(Tally(**child.heard[-1]["tally"]))
        else:
            broken.append(f"a lane broke: {child.heard or child.status}")
    figures: dict[str, Any] = {
        "opening": tally.opening,
        "within": tally.within,
        "after_ack": tally.after_ack,
        "done_unsaid": tally.done_unsaid,
        "undone": tally.undone,
        "acknowledged": tally.acknowledged,
        **{kind: tally.faults[kind] for kind in FAULT_KINDS},
        "answer_ms_p50": statistics.median(tally.answers_ms or [0.0]),
        "answer_ms_max": max(tally.answers_ms, default=0.0),
        "rounds": " ".join(f"{kind}:{count}" for kind, count in sorted(tally.turns.items())),
        "aimed_at": " ".join(f"{kind.replace(' ', '_')}:{count}" for kind, count in sorted(tally.hits.items())),
    }
    findings = [*broken, *(f"--seed {options.seed}: {finding}" for finding in tally.findings)]
    return Outcome(what, tally.kills, findings=findings, figures=figures, how=_HOW)


def preload() -> None:
    """Import all that a child will need, by use: of files only, as no connection may live through a fork.

    Nothing is open afterwards, and no garbage collector copies pages that are shared with the children.
    """
    import alembic.command  # noqa: F401
    import obstore.store  # noqa: F401
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg
    import sqlalchemy.dialects.sqlite.pysqlite  # noqa: F401

    with TemporaryDirectory(prefix="chopmark-faults-") as home:
        first, second, kept = (Place(Path(home) / name) for name in ("first", "second", "kept"))
        with cm.open(**first.settings()) as registry:
            refs: dict[str, str] = {}
            for op in WARM_UP:
                perform(registry, op, refs)
            registry.storage.backup(kept.directory)
        judge(first, Asked(probe="fraud-probe-small", collect=True, at_end=True))
        cm.restore(kept.directory, **second.settings())
    gc.collect()
    gc.freeze()

"""Seeded schedules of rollouts on a fake clock: the product's `advance` and commands under controllers, routers and metrics that fail.

    python -m faults.rollouts --schedules N --seed S        # and --replay SEED for one, told step by step

The controllers here are what a worker's shell has to be: read the row, observe, decide, and write row, split and events in one
transaction on condition that the revision is the one that was read. What can be broken on purpose is in `faults.rollouts_broken`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.domain import rollout_drift, rollout_steps
from chopmark.domain.alert_rules import AlertEvent
from chopmark.domain.rollout_commands import Command, allowed, commanded, retried, undone
from chopmark.domain.rollout_copies import copies_event
from chopmark.domain.rollout_plans import Check, PlanStep, RolloutPlan
from chopmark.domain.rollout_totals import Gauge
from chopmark.domain.rollouts import Advance, Rollout, SetSplit, asked_under
from chopmark.domain.traffic import Variant
from faults.options import Options
from faults.report import Outcome
from faults.rollouts_broken import BROKEN, broken_product
from faults.rollouts_checks import Measurement, Oracle, Truth
from faults.rollouts_world import World, version

__all__ = ["run", "schedule"]

SCHEDULES, SCHEDULES_SHORT = 100_000, 3_000

_COMMANDS: tuple[Command, ...] = ("pause", "resume", "promote", "promote_full", "abort", "approve", "resume")
_WEATHERS: tuple[dict[str, float], ...] = (
    {},
    {"pause": 2.0, "abort": 0.6, "command": 3.0},
    {"router": 3.0, "notice": 3.0},
    {"kill": 0.3, "together": 4.0},
    {"metrics": 4.0},
    {"measure": 8.0},
    {"clock": 2.0, "router": 1.0},
    {"begin": 1.5, "command": 1.0},
    {"restore": 0.6, "hand": 0.6, "command": 1.0},
    {
        "router": 1.5,
        "notice": 1.5,
        "kill": 0.15,
        "together": 2.0,
        "metrics": 1.0,
        "clock": 0.5,
        "command": 1.5,
        "begin": 0.4,
    },
)
_TURNS = (30, 60, 90)
_CALM_TURNS = 60


class Look(NamedTuple):
    """What a worker read and decided, and what it measured before."""

    row: Rollout
    after: Advance
    heard: AlertEvent | None
    truth: Truth
    measured: Measurement | None = None


@dataclass
class Controller:
    """A worker's process: what it read and has not written yet, and what it must not rely on."""

    name: str
    skew: timedelta
    read: Look | None = None
    measured: tuple[Measurement, dict[str, Gauge]] | None = None
    memory: dict[UUID, int] = field(default_factory=dict)


class Schedule:
    """One schedule: a world, two controllers, and everything that may happen."""

    def __init__(self, seed: int, broken: frozenset[str], told: Callable[[str], None] | None) -> None:
        self.rng = random.Random(seed)
        self.told = told
        self.world = World(self.rng, broken)
        self.oracle = Oracle(self.world)
        self.weather = self.rng.choice(_WEATHERS)
        self.controllers = [
            Controller(name, timedelta(seconds=self.rng.choice((-40, 0, 0, 15, 90)))) for name in ("c1", "c2")
        ]
        self.aborts: set[UUID] = set()
        self.measured_then: dict[tuple[UUID, int, str], Measurement] = {}
        self.count = 0
        self.steps: Counter[str] = Counter()
        self._begin()

    def run(self) -> list[str]:
        """Everything that may go wrong, then calm; what was broken."""
        usual = {"turn": 10.0, "tick": 6.0, "measure": 3.0}
        weights = {**usual, **{k: v for k, v in self.weather.items() if k not in {"kill", "pause", "abort"}}}
        names, odds = list(weights), list(weights.values())
        for name in self.rng.choices(names, odds, k=self.rng.choice(_TURNS)):
            getattr(self, f"_{name}")()
            if self.oracle.found or self.world.found:
                return self.oracle.found + self.world.found
        self._calm()
        return self.oracle.found + self.world.found

    def _say(self, what: str) -> None:
        if self.told is not None:
            self.told(f"{self.world.true.time()} {what}")

    # What may happen

    def _turn(self, *, may_die: bool = True) -> None:
        """A controller reads and decides, or writes what it decided earlier; killed in between, it forgets."""
        controller = self.rng.choice(self.controllers)
        kill = self.weather.get("kill", 0.0) if may_die else 0.0
        if controller.read is None:
            self._read(controller)
            if self.rng.random() < (0.2 if may_die else 0.0):
                return  # others come between
        if self.rng.random() < kill:
            self._say(f"{controller.name} killed before it wrote")
            controller.read = None
            controller.memory.clear()
            return
        self._write(controller)
        if self.rng.random() < kill:
            controller.memory.clear()

    def _together(self) -> None:
        """Both read before either writes."""
        for controller in self.controllers:
            self._read(controller)
        for controller in self.rng.sample(self.controllers, 2):
            self._write(controller)

    def _read(self, controller: Controller) -> None:
        world = self.world
        rows = [r for r in world.db.rollouts.values() if not (r.is_final and r.is_released)]
        if not rows:
            return
        self._look(controller, self.rng.choice(rows))

    def _measure(self) -> None:
        """A worker measures drift where it is due, and hands it in with a look, at once or once others have come between."""
        controller, world = self.rng.choice(self.controllers), self.world
        if controller.measured is None:
            due = [r for r in world.db.rollouts.values() if rollout_drift.due_metrics(r, world.now)]
            if not due:
                return
            rollout = self.rng.choice(due)
            gauges = world.measured(rollout)
            step = (rollout.id, rollout.step, rollout.state)
            made = Measurement(step, rollout.confirmed_at, world.true, gauges["drift"].value, world.set_back)
            self.oracle.measures(made)
            controller.measured = made, gauges
            self._say(f"{controller.name} measured {gauges}")
            if self.rng.random() < 0.5:
                return
        made, gauges = controller.measured
        controller.measured = None
        row = world.db.rollouts.get(made.step[0])
        if row is not None and not row.is_final:
            self._look(controller, row, made, gauges)
            self._write(controller)

    def _look(
        self,
        controller: Controller,
        rollout: Rollout,
        measured: Measurement | None = None,
        gauges: Mapping[str, Gauge] = MappingProxyType({}),
    ) -> None:
        world = self.world
        now = world.now + (controller.skew if "local_clock" in world.broken else timedelta(0))
        known = rollout
        if "step_in_memory" in world.broken and rollout.state == "progressing":
            known = structs.replace(rollout, step=controller.memory.setdefault(rollout.id, rollout.step))
        seen = world.observed(rollout, gauges)
        decided = rollout_steps.advance(known, seen, now)
        if decided.rollout.state == "progressing":
            controller.memory[rollout.id] = decided.rollout.step
        heard = copies_event(decided.rollout, seen, now)
        if heard is not None and (rollout.id in world.db.alerts) != (heard.kind == "resolved"):
            heard = None
        is_taken = measured is not None and bool(rollout_drift.of_this_step(rollout, gauges))
        controller.read = Look(rollout, decided, heard, Truth.of(world, rollout), measured if is_taken else None)

    def _write(self, controller: Controller) -> None:
        if controller.read is None:
            return
        world, (read, decided, heard, truth, measured) = self.world, controller.read
        controller.read = None
        old = world.db.rollouts.get(read.id)
        if old is None or (decided.rollout is read and not decided.actions and heard is None):
            return
        is_fresh = old.revision == read.revision
        if not is_fresh and "no_compare_and_set" not in world.broken:
            return
        if decided.rollout is read:
            self._hear(old, heard, truth)
            return
        row = structs.replace(decided.rollout, revision=old.revision + 1)
        is_taken = row.state == "preparing" and old.state == "queued" and bool(world.db.active())
        if is_taken and "no_compare_and_set" not in world.broken:
            return  # one active rollout an endpoint is a unique index
        for action in decided.actions:
            row = asked_under(row, world.set_split(action))
        world.db.rollouts[row.id] = row
        world.events += decided.events
        if self.told is not None:
            self._say(f"{controller.name} {old!r} → {row!r} {[e.kind for e in decided.events]}")
        self.steps[row.state] += row.state != old.state
        if measured is not None:
            self.oracle.handed_in(measured)
        self.oracle.committed(old, row, decided.events, truth)
        self._hear(row, heard, truth)
        if decided.actions:
            again = rollout_steps.advance(row, world.observed(row), world.now)
            if again.actions and not again.events:
                self.oracle.found.append(f"what was set was asked for again: {again.actions}")

    def _hear(self, row: Rollout, heard: AlertEvent | None, truth: Truth) -> None:
        """People are told in the same transaction, unless somebody told them since the look."""
        alerts = self.world.db.alerts
        is_forgotten = "alert_outlives" in self.world.broken and row.state != "progressing"
        if heard is not None and not is_forgotten and (row.id in alerts) == (heard.kind == "resolved"):
            self.oracle.told(row, heard.kind, truth)
            (alerts.add if heard.kind == "firing" else alerts.discard)(row.id)
            self.steps[f"alert {heard.kind}"] += 1
            self._say(heard.message)
        self.oracle.settled(row)

    def _tick(self) -> None:
        self.world.tick(self.rng.choice((0.5, 2.0, 10.0, 31.0, 120.0)), notice_rate=0.8)

    def _notice(self) -> None:
        """One of the notices arrives, in any order; some never do."""
        router = self.rng.choice(self.world.routers)
        if router.notices and router.is_alive:
            place = self.rng.randrange(len(router.notices))
            self.world.take(router, *router.notices[place])
            if self.rng.random() < 0.7:
                router.notices.pop(place)

    def _router(self) -> None:
        router = self.rng.choice(self.world.routers)
        what = self.rng.choice(("dead", "mute", "stale", "unloadable", "well", "well"))
        self._say(f"{router.id} {what}")
        router.is_alive, router.is_mute, router.is_stale = what != "dead", what == "mute", what == "stale"
        router.unloadable = frozenset({version(self.rng.randint(2, 3)).id}) if what == "unloadable" else frozenset()

    def _metrics(self) -> None:
        world = self.world
        world.gauge = self.rng.choice(("good", "good", "good", "nan", "empty", "late", "flapping", "bad"))
        world.drift = self.rng.choice(("good", "good", "good", "too few", "unknowable", "bad"))
        world.traffic = self.rng.choice((0, 5, 60, 200))
        self._say(f"the gauge is {world.gauge}, drift {world.drift}, traffic {world.traffic}")

    def _clock(self) -> None:
        """The database's clock is set back."""
        back = timedelta(seconds=self.rng.choice((1, 20, 200, 4_000)))
        self.world.clock_error -= back
        self.world.set_back += back
        self._say(f"the clock is set back, to {self.world.now.time()}")

    def _hand(self) -> None:
        """Somebody sets the split himself."""
        endpoint = self.world.db.endpoint
        first = endpoint.variants[0]
        split = [Variant(name="stable", version=first.version, weight=10_000)]
        self._say("somebody set the split")
        self.world.set_split(SetSplit(variants=tuple(split)))

    def _restore(self) -> None:
        world = self.world
        if world.backup is None or self.rng.random() < 0.5:
            world.backup = world.db.copy()
            self.measured_then = dict(self.oracle.measured)
            return
        self._say("restored")
        world.restore()
        self.aborts = {r.id for r in world.db.rollouts.values() if r.wants == "abort" or r.state == "aborting"}
        self.oracle.measured = dict(self.measured_then)
        for controller in self.controllers:
            controller.read = controller.measured = None

    def _command(self) -> None:
        rows = [r for r in self.world.db.rollouts.values() if not r.is_final]
        if not rows:
            return
        rollout = self.rng.choice(rows)
        both: list[Command] = ["pause", "abort"]
        commands = both if self.rng.random() < 0.15 else [self.rng.choice(_COMMANDS)]
        self.rng.shuffle(commands)
        for command in commands:
            self._give(rollout.id, command)
        if self.rng.random() < 0.1:
            self.world.alert = "" if self.world.alert else "slow"

    def _give(self, which: UUID, command: Command) -> None:
        world = self.world
        rollout = world.db.rollouts[which]
        if allowed(rollout, world.now)[command]:
            return
        after = commanded(rollout, command, by="ada", reason="so", now=world.now)
        self._say(f"{command} of {rollout!r}")
        world.db.rollouts[which] = structs.replace(after.rollout, revision=rollout.revision + 1)
        world.events += after.events
        if command == "abort":
            self.aborts.add(which)

    def _begin(self) -> None:
        """A new rollout, or one that is undone or tried again; perhaps in the place of the one that runs."""
        world, rng = self.world, self.rng
        self.count += 1
        new_id = UUID(int=1_000 + self.count)
        ended = [r for r in world.db.rollouts.values() if r.is_final and r.asked is not None]
        if ended and rng.random() < 0.4:
            last, now = ended[-1], world.now
            make = undone if last.state == "completed" else retried
            rollout = make(last, new_id, by="ada", now=now)
        else:
            number = 1 + self.count
            world.error_rates[number] = rng.choice((0.01, 0.01, 0.02, 0.6))
            rollout = Rollout(
                id=new_id,
                endpoint=world.db.endpoint.id,
                candidate=version(number),
                plan=_plan(rng),
                created_at=world.now,
                created_by="ada",
                since=world.now,
            )
        for other in world.db.rollouts.values():
            if not other.is_final:
                world.db.superseded[other.id] = str(new_id)
        world.db.rollouts[new_id] = rollout
        self._say(f"begun: {rollout!r} {rollout.plan!r}")

    def _calm(self) -> None:
        """All is well again: what was aborted must end, at weight 0."""
        world = self.world
        for router in world.routers:
            router.is_alive, router.is_mute, router.is_stale, router.unloadable = True, False, False, frozenset()
        world.alert, world.gauge, world.drift, world.traffic = "", "good", "good", 60
        for _ in range(_CALM_TURNS):
            world.tick(4.0, notice_rate=1.0)
            for controller in self.controllers:
                controller.read = None
            self._turn(may_die=False)
            if self.oracle.found or not any(self._is_open(which) for which in self.aborts):
                break
        for which in self.aborts:
            rollout = world.db.rollouts.get(which)
            if rollout is not None and not rollout.is_final:
                self.oracle.found.append(f"an abort never ended: {rollout!r} ({rollout.waiting})")

    def _is_open(self, which: UUID) -> bool:
        rollout = self.world.db.rollouts.get(which)
        return rollout is not None and not rollout.is_final


def _plan(rng: random.Random) -> RolloutPlan:
    weights = sorted(rng.sample((100, 1_000, 2_500, 5_000, 10_000), rng.randint(1, 3)))
    samples, gate = rng.choice((0, 20, 20)), rng.choice(("", "", "", "review"))
    steps = [PlanStep(weight=w, hold_s=rng.choice((0, 30, 60)), samples_min=samples, gate=gate) for w in weights]
    first = rng.random()
    if first < 0.2:
        steps.insert(0, PlanStep(weight=0, hold_s=0.0, samples_min=0))
    elif first < 0.4:
        steps.insert(0, PlanStep(weight=0, hold_s=30.0, samples_min=samples, mirror=rng.choice((100, 5_000))))
    checks = [Check(name="errors", kind="errors", threshold=0.2, versus_stable=rng.random() < 0.1)]
    if rng.random() < 0.4:
        checks.append(Check(name="quality", kind="gauge", threshold=5.0, samples_min=0))
    if rng.random() < 0.4:
        checks.append(Check(name="drift", kind="gauge", threshold=1.0))
    return RolloutPlan(
        steps=tuple(steps),
        bake=PlanStep(weight=10_000, hold_s=30.0, samples_min=samples),
        checks=tuple(checks),
        deadline_s=rng.choice((0, 0, 600)),
        rollback_window_s=rng.choice((0, 60)),
        copies_within_s=rng.choice((0, 5, 30)),
    )


def schedule(
    seed: int, broken: frozenset[str] = frozenset(), told: Callable[[str], None] | None = None
) -> tuple[list[str], Counter[str]]:
    """Run one; what it found, and which states were entered. A fault that lies in the product needs `broken_product` around it."""
    made = Schedule(seed, broken, told)
    return made.run(), made.steps


def run(options: Options) -> list[Outcome]:
    """As a part of ``python -m faults``."""
    count = options.rounds(SCHEDULES, SCHEDULES_SHORT)
    begun = time.process_time()
    found, states = _all(options.seed, count)
    figures = {"schedules_s": round(count / (time.process_time() - begun), 1), **states}
    return [
        Outcome("simulated rollouts", count, found, figures, "advance, commands, two controllers, one to three routers")
    ]


def _all(seed: int, count: int) -> tuple[list[str], Counter[str]]:
    found: list[str] = []
    states: Counter[str] = Counter()
    for each in range(seed * 1_000_000, seed * 1_000_000 + count):
        told, entered = schedule(each)
        found += [f"{text}\n  python -m faults.rollouts --replay {each}" for text in told]
        states.update(entered)
    return found, states


def main() -> int:
    """Run schedules one after the other, or one again."""
    parser = argparse.ArgumentParser(prog="python -m faults.rollouts", description="Run simulated rollouts.")
    parser.add_argument("--schedules", type=int, default=SCHEDULES_SHORT, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="where all chance comes from")
    parser.add_argument("--replay", type=int, help="run the schedule of this number and tell each step")
    parser.add_argument("--broken", choices=BROKEN, help="break this on purpose")
    asked = parser.parse_args()
    broken = frozenset({asked.broken} if asked.broken else ())
    with broken_product(broken):
        if asked.replay is not None:
            told, _ = schedule(asked.replay, broken, print)
            print("\n".join(told) or "nothing was broken")
            return 1 if told else 0
        begun = time.process_time()
        found: list[str] = []
        states: Counter[str] = Counter()
        for each in range(asked.seed * 1_000_000, asked.seed * 1_000_000 + asked.schedules):
            told, entered = schedule(each, broken)
            found += [f"{each}: {text}" for text in told]
            states.update(entered)
            if broken and found:
                print(f"found by schedule {each - asked.seed * 1_000_000 + 1}")
                break
    seconds = time.process_time() - begun
    print(*found[:20], sep="\n")
    print(
        f"{asked.schedules:,} schedules, {len(found)} findings, {asked.schedules / seconds:,.0f} schedules/s of CPU; {dict(states)}"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

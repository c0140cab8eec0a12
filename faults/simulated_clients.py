"""What the clients of a schedule are to do, drawn from its seed, and how they do it: by the SDK, as users do."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from chopmark.errors import ChopmarkError, Unavailable
from chopmark.sdk.registry import Registry
from faults.simulated_world import MAIN, World

__all__ = ["BACKUP", "Attempt", "Life", "Plan", "Step", "draw_plan", "make_sources", "start"]

BACKUP = "s3://backup/b"
MODELS = ("a", "b")
NUMBERS = (1, 2, 3)
STAGES = ("staging", "production", "development")
CONTENTS = 3
RETRIES = 2

Kind = Literal["register", "promote", "alias", "delete", "undelete", "collect", "backup", "restore", "sleep", "reopen"]

_ALL: dict[Kind, int] = {
    "register": 10,
    "promote": 3,
    "alias": 3,
    "delete": 4,
    "undelete": 2,
    "collect": 6,
    "backup": 1,
    "restore": 1,
    "sleep": 2,
    "reopen": 1,
}
_COLLECTING: dict[Kind, int] = {"register": 8, "delete": 4, "undelete": 2, "collect": 8, "sleep": 1}
_KEEPING: dict[Kind, int] = {
    "register": 6,
    "alias": 3,
    "promote": 2,
    "delete": 1,
    "collect": 1,
    "backup": 5,
    "restore": 2,
}

_WEIGHTS = (_ALL, _ALL, _COLLECTING, _KEEPING)
"""How often each step comes, in schedules about everything, about collections, about backups."""


@dataclass(frozen=True)
class Step:
    """One thing to do: what, to what, and how (a stage, an alias, hours; for a registration its parameters)."""

    kind: Kind
    target: str = ""
    how: str = ""
    contents: tuple[int, ...] = ()


@dataclass(frozen=True)
class Life:
    """What a process does until its end; it begins when the one before it (of that number) has ended or was killed."""

    name: str
    after: str
    skew: timedelta
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """A schedule before chance comes to it.

    Attributes
    ----------
    grace_hours, purge_after_days
        Settings of the registry.
    """

    lives: tuple[Life, ...]
    grace_hours: float
    purge_after_days: int

    def __str__(self) -> str:
        lines = [f"grace {self.grace_hours} h, purge after {self.purge_after_days} d"]
        for life in self.lives:
            steps = "; ".join(
                " ".join(filter(None, (s.kind, s.target, s.how, "+".join(map(str, s.contents))))) for s in life.steps
            )
            lines.append(f"{life.name} (after {life.after or 'nobody'}, clock {life.skew}): {steps}")
        return "\n".join(lines)


@dataclass
class Attempt:
    """A step that a client tried: how it ended (not at all, when the client was killed), and what it was told."""

    client: str
    step: Step
    ended: Literal["", "acknowledged", "refused", "unknown", "broke"] = ""
    answer: Any = None
    error: BaseException | None = None
    begun_at_event: int = 0


@dataclass
class Log:
    """What clients tried, in order, and which lives have ended."""

    attempts: list[Attempt] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)


def draw_plan(rng: random.Random) -> Plan:
    """Two to four processes with five to fifteen steps together, some of them in a second life."""
    weights = rng.choice(_WEIGHTS)
    total = rng.randint(5, 15)
    processes = rng.randint(2, 4)
    steps = [_draw_step(rng, kind) for kind in rng.choices(list(weights), weights=list(weights.values()), k=total)]
    steps[0] = _draw_step(rng, "register")
    lives = []
    for n in range(processes):
        own = steps[n::processes]
        cut = rng.randint(0, len(own)) if rng.random() < 0.5 else len(own)
        skew = rng.choice((timedelta(), timedelta(), timedelta(minutes=rng.randint(-5, 5)), timedelta(days=2)))
        lives.append(Life(f"p{n}", "", skew, tuple(own[:cut])))
        if own[cut:]:
            lives.append(Life(f"p{n}b", f"p{n}", skew, tuple(own[cut:])))
    grace = rng.choice((0.0, 0.0, 0.0, 24.0))
    return Plan(tuple(lives), grace, rng.choice((0, 0, 30)))


def _draw_step(rng: random.Random, kind: Kind) -> Step:
    model = rng.choice(MODELS)
    ref = f"{model}:{rng.choice(NUMBERS)}"
    match kind:
        case "register":
            contents = tuple(sorted(rng.sample(range(CONTENTS), rng.randint(1, 2))))
            return Step(kind, model, rng.choice("xy"), contents)
        case "promote":
            return Step(kind, ref, rng.choice(STAGES))
        case "alias":
            return Step(kind, ref, rng.choice(("champion", "old")))
        case "delete" | "undelete":
            return Step(kind, ref)
        case "sleep":
            return Step(kind, how=str(rng.choice((1, 25, 31 * 24))))
        case "collect" | "backup" | "restore" | "reopen":
            return Step(kind)


def make_sources(directory: Path) -> Path:
    """Files that versions are made of; the same bytes in many of them."""
    directory.mkdir(parents=True, exist_ok=True)
    for n in range(CONTENTS):
        (directory / f"{n}.bin").write_bytes(b"%d" % n * (5 + 9 * n))
    return directory


def start(world: World, plan: Plan, sources: Path) -> Log:
    """Let the clients of a plan take part in the schedule that `World.turns` runs."""
    log = Log()
    for life in plan.lives:
        world.skews[life.name] = life.skew
        client = _Client(world, plan, life, sources, log)
        world.turns.add(life.name, life.name, client.live)
    return log


class _Client:
    """A process, from its start to its end or its kill."""

    def __init__(self, world: World, plan: Plan, life: Life, sources: Path, log: Log) -> None:
        self._world = world
        self._plan = plan
        self._life = life
        self._sources = sources
        self._log = log
        self._registry: Registry | None = None

    def live(self) -> None:
        """Do all steps."""
        after = self._life.after
        if after:
            self._world.turns.wait_until(
                lambda: after in self._log.ended or after in self._world.turns.killed, f"comes after {after}"
            )
        for step in self._life.steps:
            self._do(step)
        self._log.ended.add(self._life.name)

    def _do(self, step: Step) -> None:
        for _ in range(1 + RETRIES):
            attempt = Attempt(self._life.name, step)
            self._log.attempts.append(attempt)
            catalog = self._world.catalog(MAIN)
            attempt.begun_at_event = catalog.length()
            catalog.doing[self._life.name] = attempt
            self._world.turns.tell(f"begins to {step.kind} {step.target} {step.how}")
            try:
                attempt.answer = self._done(step)
            except Unavailable as error:
                attempt.ended, attempt.error = "unknown", error
            except ChopmarkError as error:
                attempt.ended, attempt.error = "refused", error
            except Exception as error:  # noqa: BLE001 - a user must not see it: told as a finding
                attempt.ended, attempt.error = "broke", error
            else:
                attempt.ended = "acknowledged"
            finally:
                catalog.doing.pop(self._life.name, None)
            self._world.turns.tell(f"{step.kind} {step.target}: {attempt.ended} {attempt.error or ''}")
            if attempt.ended != "unknown":
                return

    def _done(self, step: Step) -> Any:
        if step.kind == "sleep":
            self._world.turns.now += timedelta(hours=int(step.how))
            return None
        if step.kind == "restore":
            name = f"restored-{self._life.name}"
            return name, self._world.restore(BACKUP, name)
        registry = self._registry or self._opened()
        match step.kind:
            case "register":
                files = {f"{n}.bin": self._sources / f"{n}.bin" for n in step.contents}
                return registry.register(step.target, files=files, format="raw", params={"p": step.how})
            case "promote":
                return registry.promote(step.target, step.how, reason="r")
            case "alias":
                return registry.alias(f"{step.target.partition(':')[0]}@{step.how}", step.target)
            case "delete":
                return registry.versions.delete(step.target)
            case "undelete":
                return registry.versions.restore(step.target)
            case "collect":
                return registry.storage.collect()
            case "backup":
                return registry.storage.backup(BACKUP)
            case "reopen":
                self._registry = None
                registry.close()
        return None

    def _opened(self) -> Registry:
        self._registry = self._world.open(
            MAIN, self._life.name, gc_grace_hours=self._plan.grace_hours, purge_after_days=self._plan.purge_after_days
        )
        return self._registry

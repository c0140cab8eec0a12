"""One registry's life: rounds of work, each of which is cut off by SIGKILL somewhere and looked at from a fresh process."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import chopmark as cm
from chopmark import wiring
from faults.children import Announce, Child, answer_of, ended_by_force, kill, listen
from faults.keeping import back_up, rebuilt, repeated, restored, upgraded
from faults.moments import MOMENTS, tell_moments
from faults.performing import perform
from faults.places import Grounds, Place
from faults.scripts import Held, Known, Op, after, candidates, script_of, side_of, token_of, without_touching
from faults.tally import Tally
from faults.verify import Asked, Fault, judge, least_different, read_known

__all__ = ["Life"]

LIMIT_S = 180.0
"""How long anything may take before it counts as a hang; much, as machines that test are busy."""

TURNS = {"work": 50, "crowd": 14, "sweep": 12, "backup": 7, "restore": 9, "rebuild": 8}
"""Kinds of rounds → how often."""

RECORDED_WITHIN_S = (0.002, 0.02, 0.1, 0.5)
"""How soon after a change the background records it, drawn for each child, so that kills meet it at any moment."""

FIRST_GUESS_MS = 30.0
OVER = 1.3
"""Delays are drawn up to so much of what an op typically takes, so that some kills come just after it."""

CUT_OFF = 1.4
"""An op that was cut off is taken to last so much longer."""


@dataclass(frozen=True)
class _Task:
    """A script for one child: its ops and how it opens the registry."""

    script: list[Op]
    settings: dict[str, Any] = field(default_factory=dict)


Keep = Callable[[str, Path], Path]


class Life:
    """A registry that is killed again and again.

    Parameters
    ----------
    grounds
        Where its place is made.
    name
        Of the life; unique in the run, and part of what its randomness comes from.
    spread
        The randomness.
    tally
        Where to count.
    keep
        Copies the directory of a finding to where it stays.
    typical_ms
        How long each kind of op has taken, which lives of a lane learn together.
    """

    def __init__(
        self,
        grounds: Grounds,
        name: str,
        spread: random.Random,
        tally: Tally,
        keep: Keep,
        typical_ms: dict[str, float],
    ) -> None:
        self._grounds = grounds
        self._name = name
        self._spread = spread
        self._tally = tally
        self._keep = keep
        self._stack = ExitStack()
        self._known = Known()
        self._typical_ms = typical_ms
        self._turn = 0
        self._place = Place(Path())
        self._faults: list[Fault] = []
        self._doing = ""

    def run(self, turns: int) -> None:
        """Live that many rounds and die, or fewer when something is found."""
        with self._stack:
            if self._spread.random() < 0.12:
                self._place = self._grounds.new_place(self._name, self._stack, with_tables=False)
                self._do(self._set_up, "setup")
            else:
                self._place = self._grounds.new_place(self._name, self._stack)
            kinds = {"work": self._work, "crowd": self._crowd, "sweep": self._sweep}
            kinds |= {"backup": self._backup, "restore": self._restore, "rebuild": self._rebuild}
            while self._turn < turns and not self._faults:
                (kind,) = self._spread.choices(list(TURNS), list(TURNS.values()))
                self._do(kinds[kind], kind if self._known.versions else "work")
            if not self._faults:
                self._doing = "the end"
                self._judge(Asked(at_end=True), self._place, [self._known], may_vanish=True)
                self._tell()

    def _do(self, turn: Callable[[], None], kind: str) -> None:
        self._turn += 1
        self._doing = kind
        self._tally.turns[kind] = self._tally.turns.get(kind, 0) + 1
        if kind == "work":
            self._work()
        else:
            turn()
        self._tell()

    def _tell(self) -> None:
        if not self._faults:
            return
        for kind, _ in self._faults:
            self._tally.faults[kind] += 1
        kept = self._keep(self._name, self._place.directory)
        told = "; ".join(f"{kind}: {text}" for kind, text in self._faults[:6])
        self._tally.findings.append(
            f"life {self._name}, round {self._turn}, {self._doing}: {told} [kept in {kept}; {self._place.database_url}]"
        )

    # The kinds of rounds

    def _work(self) -> None:
        tokens = [self._token() for _ in range(self._spread.randrange(1, 4))]
        script = script_of(self._known, tokens, set(self._known.versions), str(self._turn), self._spread)
        if self._spread.random() < 0.3:
            script.append(Op("close"))
        self._cut([_Task(script)], 0)

    def _crowd(self) -> None:
        """Two writers and a collection at once; one of the three is killed, the others must not notice."""
        tasks = []
        for side in (0, 1):
            tokens = [self._token(side) for _ in range(self._spread.randrange(1, 3))]
            own = {t for t in self._known.versions if side_of(t) == side}
            script = script_of(self._known, tokens, own, str(self._turn), self._spread)
            # Whether a deleted version can still be restored or purged is up to the collection that runs meanwhile.
            gone = {op.token for op in script if op.kind == "delete"}
            gone |= {t for t in own if self._known.versions[t].is_deleted}
            script = without_touching(script, gone)
            tasks.append(_Task(script))
        if self._spread.random() < 0.5:
            tasks.append(_Task([Op("sweep")] * 2, {"purge_after_days": 0}))
        else:
            tasks.append(_Task([Op("collect", argument=self._spread.choice(("0", "24")))] * 2))
        self._cut(tasks, self._spread.randrange(3))

    def _sweep(self) -> None:
        self._cut([_Task([Op("sweep")] * self._spread.randrange(1, 3), {"purge_after_days": 0})], 0)

    def _backup(self) -> None:
        """A backup that was cut off is brought to its end by the next one, and restores to the same registry."""
        place = self._place.backup(f"backup-{self._turn}")
        self._cut([_Task([Op("backup", argument=place)])], 0)
        if self._faults or not self._known.versions:
            return
        self._ask(lambda: back_up(self._place, place), "the backup could not be repeated")
        target = self._grounds.new_place(f"{self._name}-restored-{self._turn}", self._stack)
        if self._ask(lambda: restored(place, target), "the backup could not be restored"):
            self._judge(Asked(), target, [self._known], may_vanish=False)

    def _restore(self) -> None:
        """A restoring that was cut off succeeds when it is repeated, or was done."""
        place = self._place.backup(f"backup-{self._turn}")
        if not self._ask(lambda: back_up(self._place, place), "the registry could not be backed up"):
            return
        target = self._grounds.new_place(f"{self._name}-restored-{self._turn}", self._stack)
        self._cut_alone("restore", lambda: restored(place, target))
        if self._ask(lambda: repeated(lambda: restored(place, target)), "restoring could not be repeated"):
            self._judge(self._asked(), target, [self._known], may_vanish=False, remember=False)

    def _rebuild(self) -> None:
        """The database is lost; a rebuild that was cut off succeeds when it is repeated, or was done. Life goes on there."""
        self._place = place = self._grounds.without_database(self._place, self._stack)
        self._cut_alone("rebuild", lambda: rebuilt(place))
        if self._ask(lambda: repeated(lambda: rebuilt(place)), "the rebuild could not be repeated"):
            self._judge(self._asked(), place, [self._known], may_vanish=False)

    def _set_up(self) -> None:
        """The tables are made and a first version registered, by whoever is killed over it."""
        place, token = self._place, self._token()
        asked = Op("register", token)

        def begin() -> None:
            upgraded(place)
            with cm.open(**place.settings()) as registry:
                perform(registry, asked, {})

        child = self._cut_alone("setup", begin)
        is_done = any(heard["at"] == "done" for heard in child.heard)
        self._ask(lambda: upgraded(place), "making the tables could not be repeated")
        possible = [after(Known(), asked)] if is_done else candidates(Known(), [asked])
        self._judge(self._asked(), place, possible, may_vanish=False)

    # Killing

    def _cut(self, tasks: Sequence[_Task], victim: int) -> None:
        """Run the tasks at once, kill the victim somewhere, let the others end, and look."""
        refs = {token: held.ref for token, held in self._known.versions.items()}
        children = [self._child(task, refs, stays=n == victim) for n, task in enumerate(tasks)]
        self._kill(children[victim], [c for c in children if c is not children[victim]], tasks[victim].script)
        if not listen(children, lambda: all(c.ended for c in children), time.monotonic() + LIMIT_S):
            where = "\n".join(ended_by_force(child) for child in children if not child.ended)
            self._faults.append(("hang", f"the others did not end within {LIMIT_S:.0f} s; they were at:\n{where}"))
        known, in_flight = self._known, list[Op]()
        for n, (task, child) in enumerate(zip(tasks, children, strict=True)):
            for heard in child.heard:
                if heard["at"] == "done":
                    known = after(known, task.script[heard["k"]], heard["answer"])
                    self._tally.acknowledged += 1
                if heard["at"] == "error":
                    who = "the victim, before it was killed," if n == victim else "another child"
                    self._faults.append(("error", f"{who} saw {heard['text']}\n{heard['trace']}"))
            if child.heard and child.heard[-1]["at"] == "begin":
                in_flight.append(task.script[child.heard[-1]["k"]])
        ops = ", ".join(map(str, in_flight)) or "nothing"
        self._doing += f", of {[list(map(str, t.script)) for t in tasks]} child {victim} killed with {ops} in flight"
        swept = any(op.kind == "sweep" for task in tasks for op in task.script)
        self._judge(self._asked(tasks), self._place, candidates(known, in_flight), may_vanish=swept)

    def _child(self, task: _Task, refs: dict[str, str], *, stays: bool) -> Child:
        settings = {**self._place.settings(), **task.settings}
        recorded_within_s = self._spread.choice(RECORDED_WITHIN_S)

        def work(tell: Announce) -> None:
            wiring.RECORDED_WITHIN_S = recorded_within_s
            tell_moments(tell)
            tell({"at": "start"})
            begun = time.perf_counter()
            with cm.open(**settings) as registry:
                tell({"at": "open", "ms": (time.perf_counter() - begun) * 1e3})
                for k, op in enumerate(task.script):
                    tell({"at": "begin", "k": k})
                    begun = time.perf_counter()
                    answer = perform(registry, op, refs)
                    tell({"at": "done", "k": k, "answer": answer, "ms": (time.perf_counter() - begun) * 1e3})
                tell({"at": "end"})
                if stays:
                    signal.pause()

        return Child(work, self._place.directory / "stderr.txt")

    def _kill(self, child: Child, others: Sequence[Child], script: Sequence[Op]) -> None:
        """Choose an op, or the time before or after all, and a moment within it as long as such ops have taken."""
        where = self._spread.random()
        k = self._spread.randrange(len(script))
        fraction = self._spread.random() * OVER
        kind, delay_ms = _kind(script[k]), fraction * self._typical(_kind(script[k]))
        mark: Callable[[], bool] = partial(_has, child, "begin", k)
        if where < 0.06:
            kind, delay_ms = "open", fraction * self._typical("open")
            mark = partial(bool, child.heard)
        elif where < 0.16:
            kind, delay_ms = "end", fraction * self._spread.choice((5.0, 40.0, 300.0))
            mark = partial(_has, child, "end")
        elif where < 0.6:
            kind, mark = self._moment(child)
            delay_ms = self._soon_ms()
        if never := kill(child, others, mark, delay_ms / 1e3, LIMIT_S):
            self._faults.append(("hang", f"{kind}: {never}"))
        if not child.heard or (child.heard[-1]["at"] != "error" and child.status != signal.SIGKILL):
            self._faults.append(("hang", f"the child ended with {child.status} and was not killed: {child.heard[-3:]}"))
        for heard in child.heard:
            if heard["at"] == "open":
                self._learn("open", heard["ms"])
            if heard["at"] == "done":
                self._learn(_kind(script[heard["k"]]), heard["ms"])
        if child.heard and child.heard[-1]["at"] in {"start", "begin"} and kind not in MOMENTS:
            self._learn(kind, max(self._typical(kind), delay_ms * CUT_OFF))
        self._count(child)
        self._tally.hits[kind] = self._tally.hits.get(kind, 0) + 1

    def _moment(self, child: Child) -> tuple[str, Callable[[], bool]]:
        """The so-and-so-manieth time of some moment within an op, or the end if it does not come to that."""
        (what,) = self._spread.choices(list(MOMENTS), list(MOMENTS.values()))
        times = self._spread.choice((1, 1, 2, 3, 5, 8))
        return what, lambda: child.moments.count(what) >= times or _has(child, "end")

    def _soon_ms(self) -> float:
        """Some microseconds to some tens of milliseconds, each order of magnitude as often as the others."""
        return float(10 ** self._spread.uniform(-2.5, 1.6))

    def _cut_alone(self, kind: str, work: Callable[[], object]) -> Child:
        """Kill what is one call from beginning to end."""

        def told(tell: Announce) -> None:
            tell_moments(tell)
            tell({"at": "start"})
            tell({"at": "begin", "k": 0})
            begun = time.perf_counter()
            work()
            tell({"at": "done", "k": 0, "ms": (time.perf_counter() - begun) * 1e3})
            signal.pause()

        child = Child(told, self._place.directory / "stderr.txt")
        delay_ms = self._spread.random() * OVER * self._typical(kind)
        aim = kind
        mark: Callable[[], bool] = partial(_has, child, "begin", 0)
        if self._spread.random() < 0.4:
            aim, mark = self._moment(child)
            delay_ms = self._soon_ms()
        if never := kill(child, [], lambda: mark() or _has(child, "done"), delay_ms / 1e3, LIMIT_S):
            self._faults.append(("hang", f"{aim}: {never}"))
        self._faults += [("error", f"{h['text']}\n{h['trace']}") for h in child.heard if h["at"] == "error"]
        finished = next((heard["ms"] for heard in child.heard if heard["at"] == "done"), None)
        if finished is not None or aim == kind:
            self._learn(kind, finished if finished is not None else max(self._typical(kind), delay_ms * CUT_OFF))
        self._count(child)
        self._tally.hits[aim] = self._tally.hits.get(aim, 0) + 1
        return child

    def _count(self, child: Child) -> None:
        last = child.heard[-1]["at"] if child.heard else "start"
        self._tally.kills += 1
        self._tally.within += last == "begin"
        self._tally.after_ack += last in {"done", "end"}
        self._tally.opening += last in {"start", "open"}

    def _typical(self, kind: str) -> float:
        return self._typical_ms.get(kind, FIRST_GUESS_MS)

    def _learn(self, kind: str, took_ms: float) -> None:
        """Move what is typical towards what was seen; one that was cut off only says that it takes longer than that."""
        self._typical_ms[kind] = 0.7 * self._typical(kind) + 0.3 * took_ms

    # Looking

    def _asked(self, tasks: Sequence[_Task] = ()) -> Asked:
        """After a kill: what it was about is read through the SDK, and some other version; at the end of the life all are."""
        others = sorted(self._known.versions)
        touched = {op.token for task in tasks for op in task.script}
        return Asked(
            probe=self._token(shape="small"),
            probe_first=self._spread.random() < 0.5,
            collect=self._spread.random() < 0.4,
            loaded=(*touched, self._spread.choice(others)) if tasks and others else None,
        )

    def _judge(
        self, asked: Asked, place: Place, possible: list[Known], *, may_vanish: bool, remember: bool = True
    ) -> None:
        """Have a fresh process look at a place, and hold what it saw against what may be there."""
        answer, wrong = answer_of(lambda: judge(place, asked), self._place.directory / "stderr.txt", LIMIT_S)
        if wrong:
            self._faults.append(("hang" if wrong.startswith("no answer within") else "refused", wrong))
            return
        seen = read_known(answer)
        self._faults += [(kind, text) for kind, text in answer["faults"]]
        if asked.probe:
            self._tally.answers_ms.append(answer["answer_ms"])
            possible = [each.with_version(asked.probe, _probe(seen, asked.probe)) for each in possible]
        nearest, faults = least_different(possible, seen, may_vanish=may_vanish)
        self._faults += faults
        if len(possible) > 1 and possible[0] != possible[-1] and not faults:
            self._tally.done_unsaid += nearest > 0
            self._tally.undone += nearest == 0
        if remember and not asked.at_end and place is self._place:
            self._known = seen

    def _ask(self, work: Callable[[], Any], failing: str) -> bool:
        """Have a fresh process do something; whether it could."""
        _, wrong = answer_of(work, self._place.directory / "stderr.txt", LIMIT_S)
        if wrong:
            self._faults.append(("refused", f"{failing}: {wrong}"))
        return not wrong

    def _token(self, side: int | None = None, shape: str = "") -> str:
        model = self._spread.choice(("fraud", "churn"))
        token = token_of(model, f"{self._name}-{self._turn}", self._spread, side)
        if token.endswith("-huge") and self._place.store_url == "" and self._spread.random() < 0.8:
            shape = "large"  # a file is a file: only an object store takes large ones otherwise
        return f"{token.rpartition('-')[0]}-{shape}" if shape and side is None else token


def _probe(seen: Known, token: str) -> Held:
    return seen.versions.get(token, Held("?"))


def _has(child: Child, at: str, k: int | None = None) -> bool:
    return any(heard["at"] == at and (k is None or heard["k"] == k) for heard in child.heard)


def _kind(op: Op) -> str:
    return f"{op.kind} {op.token.rpartition('-')[2]}" if op.kind == "register" else op.kind

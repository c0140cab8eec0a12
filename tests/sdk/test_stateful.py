"""The whole SDK against a plain dictionary: random lives of a registry, on memory and on SQLite.

The dictionary knows the rules in their simplest form. Whatever is done, the registry must answer as it does, refuse what it
refuses with the same kind of error, and hold the same things at the end: also after it was closed and opened, after its
database was deleted and made again, and after its garbage was collected.
"""

import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.lifecycle import MOVES, STAGES
from chopmark.domain.semver import Bump
from chopmark.errors import AlreadyRegistered, ChopmarkError, Conflict, NotFound
from chopmark.testing.registry import memory_registry

NAMES = ("a", "b", "c")
ALIASES = ("best", "old")
REASON = "because"


@dataclass
class Entry:
    """What is known of a version."""

    content: int
    parent: str
    digest: str
    semver: tuple[int, int, int]
    metrics: dict[str, float]
    stage: str = "development"
    moves: list[tuple[str, str]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    evaluations: list[float] = field(default_factory=list)
    deleted: bool = False


@dataclass
class Known:
    """What is known of a model."""

    versions: dict[int, Entry] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    moves: dict[str, list[int | None]] = field(default_factory=dict)
    last: int = 0
    newest: int | None = None
    deleted: bool = False

    @property
    def live(self) -> dict[int, Entry]:
        """Versions that are not deleted."""
        return {n: v for n, v in self.versions.items() if not v.deleted}


numbers = st.integers(1, 4)
names = st.sampled_from(NAMES)
aliases = st.sampled_from(ALIASES)


class Life(RuleBasedStateMachine):
    """Rules on a registry in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(step=timedelta(seconds=1))
        self.models: dict[str, Known] = {}
        self.events = 0
        self.registry = self.opened()

    def opened(self) -> cm.Registry:
        """The registry."""
        return memory_registry(clock=self.clock, actor="ada")

    def teardown(self) -> None:
        """Close it."""
        self.registry.close()

    # What is expected

    def model(self, name: str) -> Known:
        """A model that can be seen, or `NotFound`."""
        known = self.models.get(name)
        if known is None or known.deleted:
            raise NotFound(name)
        return known

    def entry(self, name: str, number: int, *, deleted: bool = False) -> Entry:
        """A version that can be seen, or `NotFound`."""
        entry = self.model(name).versions.get(number)
        if entry is None or (entry.deleted and not deleted):
            raise NotFound(f"{name}:{number}")
        return entry

    def uses(self, name: str, number: int, *, without: str = "") -> bool:
        """Whether a version is used, not counting versions of the model ``without``."""
        known = self.models[name]
        entry = known.versions[number]
        serving = not entry.deleted and (entry.stage in ("production", "canary") or number in known.aliases.values())
        needed = any(
            other.parent == f"{name}:{number}"
            for model, held in self.models.items()
            if model != without
            for other in held.live.values()
        )
        return serving or needed

    def agree(self, expected: Callable[[], Any], real: Callable[[], Any]) -> Any:
        """Do both; when the dictionary refuses, the registry must, with the same kind of error."""
        try:
            want = expected()
        except ChopmarkError as refusal:
            before = self.registry.audit.verify()
            try:
                got = real()
            except type(refusal):
                assert self.registry.audit.verify() == before, "a refusal left an event"
                return None
            msg = f"expected {type(refusal).__name__}({refusal}), got {got!r}"
            raise AssertionError(msg) from refusal
        got = real()
        if want is not None:
            assert got == want
        return got

    # What is done

    @rule(
        name=names,
        content=st.integers(0, 5),
        bump=st.sampled_from(["patch", "minor", "major"]),
        parent=st.none() | numbers,
    )
    def register(self, name: str, content: int, bump: Bump, parent: int | None) -> None:
        """A version with its content as metric; the same again gives the first back."""
        ref = f"{name}:{parent}" if parent is not None else ""

        def expected() -> None:
            if ref:
                self.entry(name, parent or 0)
            known = self.models.get(name)
            if known is not None and known.deleted and known.versions:
                raise Conflict(name)

        def real() -> cm.Version:
            metrics = {"score": float(content)}
            parents = [ref] if ref else []
            return self.registry.register(name, {"content": content}, metrics=metrics, bump=bump, parents=parents)

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            version = self.agree(expected, real)
        if version is not None:
            self.registered(name, content, bump, ref, version, any(w.category is AlreadyRegistered for w in told))

    def registered(self, name: str, content: int, bump: str, parent: str, version: cm.Version, again: bool) -> None:
        """Note it, or see that the first was given back."""
        known = self.models.setdefault(name, Known())
        twins = [n for n, v in known.live.items() if (v.content, v.parent) == (content, parent)]
        assert again is bool(twins)
        if again:
            assert version.number == max(twins)
            return
        known.deleted = False
        highest = max((v.semver for v in known.versions.values()), default=None)
        known.last += 1
        entry = Entry(content, parent, version.digest, raised(highest, bump), {"score": float(content)})
        known.versions[known.last] = entry
        assert (version.number, version.semver) == (known.last, ".".join(map(str, entry.semver)))

    @rule(name=names, alias=aliases, number=numbers)
    def set_alias(self, name: str, alias: str, number: int) -> None:
        """An alias to a version that can be seen."""

        def expected() -> None:
            self.entry(name, number)

        set_to = self.agree(expected, lambda: self.registry.alias(f"{name}@{alias}", f"{name}:{number}", reason=REASON))
        if set_to is not None:
            known = self.models[name]
            if known.aliases.get(alias) != number:
                known.moves.setdefault(alias, []).append(number)
            known.aliases[alias] = number

    @rule(name=names, alias=aliases)
    def remove_alias(self, name: str, alias: str) -> None:
        """An alias that is there."""

        def expected() -> None:
            if alias not in self.model(name).aliases:
                raise NotFound(alias)

        if self.agree(expected, lambda: self.registry.aliases.remove(f"{name}@{alias}")) is not None:
            self.models[name].aliases.pop(alias)
            self.models[name].moves[alias].append(None)

    @rule(name=names, number=numbers, stage=st.sampled_from([s for s in STAGES if s != "deprecated"]))
    def move(self, name: str, number: int, stage: str) -> None:
        """A move that the table allows."""

        def expected() -> None:
            if stage not in MOVES[self.entry(name, number).stage]:
                raise Conflict(stage)

        ref = f"{name}:{number}"
        if stage == "archived":
            moved = self.agree(expected, lambda: self.registry.stages.archive(ref, reason=REASON))
        else:
            moved = self.agree(expected, lambda: self.registry.promote(ref, stage, reason=REASON))
        if moved is not None:
            entry = self.models[name].versions[number]
            entry.moves.append((entry.stage, stage))
            entry.stage = stage

    @rule(name=names, number=numbers, key=st.sampled_from(["x", "y"]), value=st.sampled_from(["1", "2"]))
    def tag(self, name: str, number: int, key: str, value: str) -> None:
        """A tag of a version that can be seen."""

        def expected() -> None:
            self.entry(name, number)

        if (
            self.agree(expected, lambda: self.registry.versions.update(f"{name}:{number}", tags={key: value}))
            is not None
        ):
            self.models[name].versions[number].tags[key] = value

    @rule(name=names, number=numbers, value=st.integers(0, 3))
    def evaluate(self, name: str, number: int, value: int) -> None:
        """Metrics on a data set."""

        def expected() -> None:
            self.entry(name, number)

        done = self.agree(
            expected,
            lambda: self.registry.versions.evaluate(f"{name}:{number}", {"f1": value}, dataset=f"set-{value}"),
        )
        if done is not None:
            self.models[name].versions[number].evaluations.append(float(value))

    @rule(name=names, number=numbers)
    def delete(self, name: str, number: int) -> None:
        """A version that nobody uses."""

        def expected() -> None:
            self.entry(name, number)
            if self.uses(name, number):
                raise Conflict(name)

        if self.agree(expected, lambda: self.registry.versions.delete(f"{name}:{number}", reason=REASON)) is not None:
            self.models[name].versions[number].deleted = True

    @rule(name=names, number=numbers)
    def restore(self, name: str, number: int) -> None:
        """A version that was deleted; within a deleted model too."""

        def expected() -> None:
            known = self.models.get(name)
            entry = known.versions.get(number) if known else None
            if entry is None:
                raise NotFound(name)
            if not entry.deleted:
                raise Conflict(name)

        if self.models.get(name, Known()).deleted:
            return
        if self.agree(expected, lambda: self.registry.versions.restore(f"{name}:{number}")) is not None:
            self.models[name].versions[number].deleted = False

    @rule(name=names, number=numbers)
    def purge(self, name: str, number: int) -> None:
        """A version that was deleted and that no other needs."""
        if self.models.get(name, Known()).deleted:
            return

        def expected() -> None:
            if not self.entry(name, number, deleted=True).deleted or self.uses(name, number):
                raise Conflict(name)

        if self.agree(expected, lambda: self.registry.versions.purge(f"{name}:{number}", reason=REASON)) is not None:
            del self.models[name].versions[number]

    @rule(name=names)
    def delete_model(self, name: str) -> None:
        """A model of which nobody uses a version."""

        def expected() -> None:
            known = self.models.get(name)
            if known is None:
                raise NotFound(name)
            if known.deleted or any(self.uses(name, n, without=name) for n in known.versions):
                raise Conflict(name)

        if self.agree(expected, lambda: self.registry.models.delete(name, reason=REASON)) is not None:
            self.models[name].deleted = True

    @rule(name=names)
    def restore_model(self, name: str) -> None:
        """A model that was deleted."""

        def expected() -> None:
            known = self.models.get(name)
            if known is None:
                raise NotFound(name)
            if not known.deleted or not known.versions:
                raise Conflict(name)

        if self.agree(expected, lambda: self.registry.models.restore(name)) is not None:
            self.models[name].deleted = False

    @rule(name=names)
    def purge_model(self, name: str) -> None:
        """A model that was deleted: its name and last number stay."""

        def expected() -> None:
            known = self.models.get(name)
            if known is None:
                raise NotFound(name)
            if not known.deleted or any(self.uses(name, n, without=name) for n in known.versions):
                raise Conflict(name)

        if self.agree(expected, lambda: self.registry.models.purge(name, reason=REASON)) is not None:
            self.models[name].versions.clear()
            self.models[name].aliases.clear()

    @rule(name=names, number=numbers, stage=st.sampled_from(["staging", "production"]))
    def rehearse(self, name: str, number: int, stage: str) -> None:
        """A dry run changes nothing, whatever it answers."""
        before = self.registry.audit.verify()
        dry = self.registry.dry_run()
        for attempt in (
            lambda: dry.promote(f"{name}:{number}", stage, reason=REASON),
            lambda: dry.versions.delete(f"{name}:{number}"),
            lambda: dry.alias(f"{name}@best", f"{name}:{number}"),
            lambda: dry.models.delete(name),
        ):
            try:
                attempt()
            except ChopmarkError:
                continue
        assert self.registry.audit.verify() == before

    @rule(name=names, newest=st.none() | st.integers(1, 3))
    def keep(self, name: str, newest: int | None) -> None:
        """A rule of retention, and a collection: what no rule keeps and nobody needs is deleted."""

        def expected() -> None:
            self.model(name)

        rules = None if newest is None else cm.Retention(newest=newest)
        if self.agree(expected, lambda: self.registry.models.update(name, retention=rules)) is None:
            return
        self.models[name].newest = newest
        going = [(model, n) for model in self.models for n in self.dropped(model)]
        planned = {item.what for item in self.registry.storage.garbage(grace_hours=0) if item.kind == "version"}
        assert planned == {f"{model}:{n}" for model, n in going}
        self.registry.storage.collect(grace_hours=0)
        for model, n in going:
            self.models[model].versions[n].deleted = True

    def dropped(self, name: str) -> set[int]:
        """Numbers of versions that the rule of their model drops."""
        known = self.models[name]
        if known.newest is None or known.deleted:
            return set()
        serving = {n for n, v in known.live.items() if v.stage in ("production", "canary")}
        kept = serving | set(known.aliases.values()) | set(sorted(known.live)[-known.newest :])
        while True:
            users = {
                v.parent for m, held in self.models.items() for n, v in held.live.items() if m != name or n in kept
            }
            more = {n for n in known.live if f"{name}:{n}" in users} - kept
            if not more:
                return set(known.live) - kept
            kept |= more

    @rule()
    def check(self) -> None:
        """Rows, history, audit and bytes never contradict each other."""
        findings = self.registry.storage.check().findings
        assert [f for f in findings if f.severity != "info"] == []

    # What must hold

    @rule(stage=st.sampled_from(STAGES), score=st.integers(0, 5), tag=st.sampled_from(["x", "y"]))
    def search(self, stage: str, score: int, tag: str) -> None:
        """Filters find what the dictionary finds."""
        filters: dict[str, Callable[[str, Entry], bool]] = {
            f'stage = "{stage}"': lambda _, v: v.stage == stage,
            f"metrics.score >= {score} and not tags.{tag}": lambda _, v: (
                v.metrics["score"] >= score and tag not in v.tags
            ),
            f'name in ("a", "b") and tags.{tag} = "1"': lambda n, v: n in "ab" and v.tags.get(tag) == "1",
        }
        for where, meets in filters.items():
            found = {v.ref for v in self.registry.versions.search(where, limit=1000)}
            # a deleted model's versions are still versions: they are found until they are purged
            want = {f"{n}:{i}" for n, m in self.models.items() for i, v in m.live.items() if meets(n, v)}
            assert found == want, where

    @invariant()
    def the_registry_is_what_the_dictionary_says(self) -> None:
        """Models, versions and aliases, one by one."""
        seen = {m.name for m in self.registry.models.list(limit=1000)}
        assert seen == {n for n, m in self.models.items() if not m.deleted}
        for name, known in self.models.items():
            if known.deleted:
                continue
            assert {a.name: a.number for a in self.registry.aliases.list(name)} == known.aliases
            usable = [n for n, v in known.live.items() if v.stage != "archived"]
            self.agree(partial(latest, name, usable), partial(self.found, name))

    def found(self, name: str) -> str:
        """What the bare name means."""
        return self.registry.get(name).ref

    @rule()
    def look_closely(self) -> None:
        """Every version, with its histories, and the bytes."""
        for name, known in self.models.items():
            if known.deleted:
                continue
            for number, entry in known.live.items():
                ref = f"{name}:{number}"
                version = self.registry.get(ref)
                assert (version.stage, version.tags, version.metrics) == (entry.stage, entry.tags, entry.metrics)
                assert version.digest == entry.digest
                assert set(version.aliases) == {a for a, n in known.aliases.items() if n == number}
                moves = [(m.from_stage, m.to_stage) for m in self.registry.stages.history(ref, limit=1000)]
                assert moves[::-1] == entry.moves
                done = [e.metrics["f1"] for e in self.registry.versions.evaluations(ref, limit=1000)]
                assert done[::-1] == entry.evaluations
                assert self.registry.load(ref) == {"content": entry.content}
            for alias, numbers_held in known.moves.items():
                told = self.registry.aliases.history(f"{name}@{alias}", limit=1000)
                assert [move.number for move in told][::-1] == numbers_held
        assert self.registry.audit.verify().fault == ""


def latest(name: str, usable: list[int]) -> str:
    """The highest number, or `NotFound`."""
    if not usable:
        raise NotFound("latest")
    return f"{name}:{max(usable)}"


def raised(highest: tuple[int, int, int] | None, bump: str) -> tuple[int, int, int]:
    """The next semantic version."""
    if highest is None:
        return (1, 0, 0)
    major, minor, patch = highest
    return {"major": (major + 1, 0, 0), "minor": (major, minor + 1, 0), "patch": (major, minor, patch + 1)}[bump]


class LifeOnDisk(Life):
    """The same on SQLite and a directory, with what only a disk can suffer."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="chopmark-life-"))
        super().__init__()

    def opened(self) -> cm.Registry:
        """The registry."""
        return cm.open(self.place / "registry", clock=self.clock, actor="ada")

    def teardown(self) -> None:
        """Close and remove it."""
        super().teardown()
        shutil.rmtree(self.place)

    @rule()
    def reopen(self) -> None:
        """Nothing is only in memory."""
        self.registry.close()
        self.registry = self.opened()

    @precondition(lambda self: self.registry.audit.verify().events > 0)
    @rule()
    def lose_the_database(self) -> None:
        """What the records tell is all there was."""
        head = self.registry.audit.verify().head
        self.registry.close()
        for file in (self.place / "registry").glob("chopmark.db*"):
            file.unlink()
        assert cm.rebuild(self.place / "registry", clock=self.clock, actor="ada").head == head
        self.registry = self.opened()


Life.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
LifeOnDisk.TestCase.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLife = Life.TestCase
TestLifeOnDisk = LifeOnDisk.TestCase

"""What must hold after every schedule, whatever went wrong in it: the invariants of the design, over the simulated world."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from chopmark.app.rebuild import whole_of
from chopmark.app.recording import registry_id, within
from chopmark.base.jsons import decode
from chopmark.domain.audit import AuditEvent, find_fault
from chopmark.domain.manifest import Manifest
from chopmark.domain.versions import Alias, Model, Version
from chopmark.errors import ChopmarkError
from chopmark.ops.keeping import Backup, RebuildCatalog
from chopmark.testing.memory_state import State
from chopmark.wiring import connect
from faults.simulated_clients import BACKUP, Attempt, Log, Plan
from faults.simulated_world import MAIN, World

__all__ = ["findings"]

_COMMITTING = ("register", "promote", "alias", "delete", "undelete")


def findings(world: World, plan: Plan, log: Log, *, checked: bool, again: bool) -> list[str]:
    """Every promise that the schedule broke.

    Parameters
    ----------
    checked
        Whether `fsck` is asked too.
    again
        Whether the registry is also rebuilt from its records, backed up and restored.
    """
    world.clear_sky()
    found = [f"{a.client} broke at {a.step.kind}: {a.error!r}" for a in log.attempts if a.ended == "broke"]
    found += _of_history(world, log)
    found += _of_bytes(world, MAIN)
    found += _of_grace(world, plan)
    if checked:
        found += _of_check(world, MAIN)
    found += _of_restores(world, log)
    if again and not found and _state(world, MAIN).audit:
        found += _of_rebuild(world)
        found += _of_a_last_backup(world)
    return found


def _state(world: World, name: str) -> State:
    return world.catalog(name).inner._state  # noqa: SLF001 - the double is open to its tests


def _events(state: State) -> list[AuditEvent]:
    return [decode(body, AuditEvent) for body in state.audit]


@dataclass
class _Expected:
    """A registry as its commits, one after the other, must have left it."""

    digests: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, AuditEvent] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)


def _of_history(world: World, log: Log) -> Iterator[str]:
    """Acknowledged means committed; and what is there is what the commits said, in their order."""
    state = _state(world, MAIN)
    events = _events(state)
    fault = find_fault(events)
    if fault is not None:
        yield f"the audit chain is broken at {fault.seq}: {fault.reason}"
    expected = _Expected()
    committed: set[int] = set()
    for commit in world.catalog(MAIN).commits:
        own = events[commit.first_event - 1 : commit.last_event]
        for event in own:
            yield from _expect(expected, event)
        if isinstance(commit.doing, Attempt):
            committed.add(id(commit.doing))
            yield from _expect_of(expected, commit.doing, own)
    for attempt in log.attempts:
        if attempt.ended == "acknowledged" and attempt.step.kind in _COMMITTING and id(attempt) not in committed:
            yield f"{attempt.client}'s {attempt.step.kind} {attempt.step.target} was acknowledged and never committed"
    yield from _compared(expected, state)


def _expect(expected: _Expected, event: AuditEvent) -> Iterator[str]:
    match event.event:
        case "version.registered":
            if event.target in expected.digests:
                yield f"{event.target} was given twice"
            model, digest = event.target.partition(":")[0], event.data["digest"]
            twins = [r for r, d in expected.digests.items() if d == digest and r.partition(":")[0] == model]
            if any(twin not in expected.deleted for twin in twins):
                yield f"{event.target} was registered, and {twins} is the same"
            expected.digests[event.target] = event.data["digest"]
            expected.stages[event.target] = "development"
        case "version.purged":
            if event.target not in expected.deleted:
                yield f"{event.target} was purged and not deleted before"
            for known in (expected.digests, expected.deleted, expected.stages):
                known.pop(event.target, None)
        case _:
            pass


def _expect_of(expected: _Expected, attempt: Attempt, own: list[AuditEvent]) -> Iterator[str]:
    """What a client asked for, by its own words: only that it was committed is the catalog's."""
    step = attempt.step
    match step.kind:
        case "register" if attempt.ended == "acknowledged":
            version: Version = attempt.answer
            if expected.digests.get(version.ref) != version.digest or version.ref in expected.deleted:
                yield f"{attempt.client} was told of {version.ref} {version.digest}, which was not there then"
        case "promote":
            expected.stages[step.target] = step.how
        case "alias":
            expected.aliases[f"{step.target.partition(':')[0]}@{step.how}"] = int(step.target.partition(":")[2])
        case "delete":
            expected.deleted[step.target] = own[-1]
        case "undelete":
            expected.deleted.pop(step.target, None)
        case _:
            pass


def _compared(expected: _Expected, state: State) -> Iterator[str]:
    versions = [decode(body, Version) for body in state.versions.values()]
    there = {v.ref: v for v in versions}
    if len(there) != len(versions):
        yield f"numbers are not unique: {sorted(v.ref for v in versions)}"
    for ref in sorted(there.keys() | expected.digests.keys()):
        version = there.get(ref)
        if version is None:
            yield f"{ref} is lost"
        elif version.digest != expected.digests.get(ref):
            yield f"{ref} is {version.digest}, not {expected.digests.get(ref)}"
        elif (version.deleted_at is not None) != (ref in expected.deleted):
            yield f"{ref} is {'' if version.deleted_at else 'not '}deleted, against the last acknowledged word"
        elif version.stage != expected.stages[ref]:
            yield f"{ref} stands in {version.stage}, and the last move went to {expected.stages[ref]}"
    models = {m: decode(body, Model).name for m, body in state.models.items()}
    aliases = {f"{models[m]}@{name}": decode(body, Alias).number for (m, name), body in state.aliases.items()}
    if aliases != expected.aliases:
        yield f"aliases are {aliases}, and the last moves said {expected.aliases}"


def _of_bytes(world: World, name: str) -> Iterator[str]:
    """Every row leads to bytes that are there, whole and right, deleted versions' too."""
    state, objects = _state(world, name), world.bucket.objects
    for version in (decode(body, Version) for body in state.versions.values()):
        for file in decode(state.manifests[version.digest], Manifest).files:
            digits = file.digest.removeprefix("sha256:")
            stored = objects.get(f"{name}/r/blobs/sha256/{digits[:2]}/{digits}")
            if stored is None:
                yield f"{name}: {version.ref} refers to {file.digest[:19]}, which is not there"
            elif hashlib.sha256(stored.data).hexdigest() != digits or len(stored.data) != file.size_bytes:
                yield f"{name}: {version.ref} refers to {file.digest[:19]}, which holds other bytes ({stored.data!r})"


def _of_grace(world: World, plan: Plan) -> Iterator[str]:
    """A blob was deleted only when, as its collector saw it, it had been put long enough ago."""
    grace = timedelta(hours=plan.grace_hours)
    for deletion in world.bucket.deletions:
        key = deletion.key
        if not key.startswith(f"{MAIN}/r/blobs/") or key.endswith(".touched") or not deletion.process:
            continue
        put_at = world.bucket.written_until(key, deletion.looked_at)
        if put_at is None:
            continue
        age = deletion.looked_at + world.skews.get(deletion.process, timedelta()) - put_at
        if age < grace:
            yield f"{deletion.process} collected {key} {age} after it was put, and the grace is {grace}"


def _of_check(world: World, name: str) -> Iterator[str]:
    with world.open(name, "checker") as registry:
        for finding in registry.storage.check().findings:
            if finding.severity == "error":
                yield f"{name}: fsck tells {finding.code} of {finding.where}: {finding.what}"


def _of_restores(world: World, log: Log) -> Iterator[str]:
    """What a backup was acknowledged to hold is restored; a restore that was cut off is repeated and ends."""
    backups: list[Backup] = [a.answer for a in log.attempts if a.step.kind == "backup" and a.ended == "acknowledged"]
    if not backups:
        return
    for attempt in log.attempts:
        is_done = attempt.step.kind == "backup" and attempt.ended == "acknowledged"
        if is_done and attempt.answer.events < attempt.begun_at_event:
            yield f"a backup begun at event {attempt.begun_at_event} has {attempt.answer.events} events"
    tried = sorted({f"restored-{a.client}" for a in log.attempts if a.step.kind == "restore"})
    done = {a.answer[0] for a in log.attempts if a.step.kind == "restore" and a.ended == "acknowledged"}
    for name in [*tried, "restored-last"]:
        if name not in done and not _state(world, name).audit:
            try:
                world.restore(BACKUP, name)
            except ChopmarkError as error:
                yield f"{name} cannot be restored from a backup that was acknowledged: {error}"
                continue
        yield from _of_bytes(world, name)
        chain, restored = _events(_state(world, MAIN)), _events(_state(world, name))
        if restored[-1].event != "registry.rebuilt" or restored[:-1] != chain[: len(restored) - 1]:
            yield f"{name} tells of another course of events"
        least = max(b.events for b in backups)
        if name == "restored-last" and len(restored) - 1 < least:
            yield f"{name} has {len(restored) - 1} events, and a backup of {least} was acknowledged"


def _same(world: World, name: str, what: str) -> Iterator[str]:
    """Whether a registry made again is the one it was made of, but for the event that says so."""
    one, other = _state(world, MAIN), _state(world, name)
    if _events(one) != _events(other)[:-1]:
        yield f"{what}: another course of events"
    for part in ("models", "versions", "aliases", "edges"):
        if getattr(one, part) != getattr(other, part):
            yield f"{what}: other {part}"
    for part in ("stage_moves", "alias_moves", "evaluations"):
        if sorted(map(repr, getattr(one, part))) != sorted(map(repr, getattr(other, part))):
            yield f"{what}: other {part}"


def _of_rebuild(world: World) -> Iterator[str]:
    """The records, brought up to date by a process that comes after all, make the same registry."""
    with world.open(MAIN, "checker") as registry:
        transport: Any = registry._transport  # noqa: SLF001 - its records are asked
        transport.catch_up()
        records = within(transport.records, registry_id(_events(_state(world, MAIN))[0]))
        _, faults = whole_of(records)
        yield from (f"the records are not whole: {fault}" for fault in faults)
    resolved = world.resolved("rebuilt", "checker", store_url_of=MAIN)
    transport = connect(resolved, clock=world.clock, rebuilding=True)
    transport.call(RebuildCatalog())
    yield from _same(world, "rebuilt", "rebuilt from records")


def _of_a_last_backup(world: World) -> Iterator[str]:
    """A backup at the end, over what earlier ones left there, restores to the same registry."""
    with world.open(MAIN, "checker") as registry:
        registry.storage.backup(BACKUP)
    world.restore(BACKUP, "again")
    yield from _same(world, "again", "restored from a last backup")
    yield from _of_bytes(world, "again")

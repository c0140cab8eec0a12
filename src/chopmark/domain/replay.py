"""What the registry looked like at a time, from nothing but its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from chopmark.base.jsons import converted
from chopmark.domain.audit import AuditEvent
from chopmark.domain.names import counted
from chopmark.domain.refs import Ref
from chopmark.domain.semver import Range, SemVer
from chopmark.domain.versions import ProjectRules

__all__ = [
    "ModelThen",
    "ProjectThen",
    "RegistryThen",
    "Replay",
    "VersionThen",
    "selected",
]


class VersionThen(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it was at a time."""

    ref: str
    number: int
    semver: str
    digest: str
    kind: str
    format: str = ""
    stage: str = "development"
    aliases: tuple[str, ...] = ()
    is_deleted: bool = False
    registered_at: datetime
    registered_by: str


class ModelThen(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it was at a time, with its versions by number and where its aliases pointed.

    A deleted model still has its versions; they are found no more until it is restored.
    """

    ref: str
    kind: str
    is_deleted: bool = False
    aliases: dict[str, int] = {}
    versions: tuple[VersionThen, ...] = ()


class ProjectThen(msgspec.Struct, frozen=True, kw_only=True):
    """A project and its rules as they were at a time."""

    name: str
    rules: ProjectRules = ProjectRules()


class RegistryThen(msgspec.Struct, frozen=True, kw_only=True):
    """The registry, or the part that was asked for, as it was at a time.

    Attributes
    ----------
    at
        The time.
    seq
        Number of the last event that counted; 0 when none did.
    projects, models
        By name; models that were deleted are among them, purged ones are not.
    """

    at: datetime
    seq: int
    projects: tuple[ProjectThen, ...] = ()
    models: tuple[ModelThen, ...] = ()

    def __repr__(self) -> str:
        versions = sum(len(m.versions) for m in self.models)
        return (
            f"<registry at {self.at:%Y-%m-%d %H:%M:%S} UTC, after event {self.seq} · {counted(len(self.models), 'model')}, "
            f"{counted(versions, 'version')}>"
        )


class _Model:
    """A model while it is replayed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.is_deleted = False
        self.aliases: dict[str, int] = {}
        self.versions: dict[int, VersionThen] = {}


class Replay:
    """The state that a run of events leads to; apply them in order of ``seq``.

    Attributes
    ----------
    seq
        Number of the last event that was applied; 0 before the first.
    version_count
        How many versions there are, deleted ones too.

    Events of kinds that change nothing told here (tags, evaluations, trust, lineage) are passed
    over, and so are kinds that are not known.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.version_count = 0
        self._projects: dict[str, ProjectThen] = {}
        self._models: dict[str, _Model] = {}

    def apply(self, event: AuditEvent) -> None:
        """Take the next event into account."""
        self.seq = event.seq
        noun, _, verb = event.event.partition(".")
        match noun:
            case "project":
                self._project(event, verb)
            case "model":
                self._model(event, verb)
            case "version":
                self._version(event, verb)
            case "alias":
                self._alias(event, verb)
            case "registry" if verb == "rebuilt":
                self._leave_out(event.data.get("left_out", ()))
            case _:
                pass

    def _project(self, event: AuditEvent, verb: str) -> None:
        rules = event.data.get({"created": "rules", "configured": "after"}.get(verb, ""))
        if verb == "created" or rules is not None:
            self._projects[event.target] = ProjectThen(name=event.target, rules=converted(rules or {}, ProjectRules))

    def _model(self, event: AuditEvent, verb: str) -> None:
        model = self._models.get(event.target)
        if verb in ("created", "purged"):
            gone = self._models.pop(event.target, None)
            self.version_count -= len(gone.versions) if gone else 0
        if verb == "created":
            self._models[event.target] = _Model(event.data.get("kind", ""))
        elif model is not None and verb in ("deleted", "restored"):
            model.is_deleted = verb == "deleted"

    def _version(self, event: AuditEvent, verb: str) -> None:
        name, _, number = event.target.rpartition(":")
        model = self._models.get(name)
        if model is None or not number.isdecimal():
            return
        if verb in ("registered", "imported"):
            self.version_count += int(number) not in model.versions
            model.versions[int(number)] = _registered(event, int(number))
            return
        version = model.versions.get(int(number))
        if version is None:
            return
        if verb == "purged":
            del model.versions[version.number]
            self.version_count -= 1
            return
        model.versions[version.number] = _changed(version, verb, event.data)
        if verb == "deleted":  # a forced one takes its aliases along
            model.aliases = {k: v for k, v in model.aliases.items() if v != version.number}

    def _leave_out(self, refs: Iterable[str]) -> None:
        """What a rebuild could not bring back is gone from then on, with the aliases that pointed to it."""
        for ref in refs:
            name, _, number = ref.rpartition(":")
            model = self._models.get(name)
            if model is not None and model.versions.pop(int(number), None) is not None:
                self.version_count -= 1
                model.aliases = {k: v for k, v in model.aliases.items() if v != int(number)}

    def _alias(self, event: AuditEvent, verb: str) -> None:
        name, _, alias = event.target.partition("@")
        model = self._models.get(name)
        if model is None:
            return
        if verb == "set":
            model.aliases[alias] = event.data["number"]
        elif verb == "removed":
            model.aliases.pop(alias, None)

    def projects(self) -> tuple[ProjectThen, ...]:
        """Projects by name."""
        return tuple(self._projects[name] for name in sorted(self._projects))

    def models(self) -> tuple[ModelThen, ...]:
        """Models by reference, those of the default project as the others by their name."""
        return tuple(_told(ref, self._models[ref]) for ref in sorted(self._models))


def _registered(event: AuditEvent, number: int) -> VersionThen:
    data = event.data
    return VersionThen(
        ref=event.target,
        number=number,
        semver=data.get("semver", ""),
        digest=data.get("digest", ""),
        kind=data.get("kind", ""),
        format=data.get("format", ""),
        registered_at=event.at,
        registered_by=event.actor,
    )


def _changed(version: VersionThen, verb: str, data: dict[str, Any]) -> VersionThen:
    if verb in ("deleted", "restored"):
        return msgspec.structs.replace(version, is_deleted=verb == "deleted")
    return msgspec.structs.replace(version, stage=data["to_stage"]) if "to_stage" in data else version


def _told(ref: str, model: _Model) -> ModelThen:
    names: dict[int, list[str]] = {}
    for name in sorted(model.aliases):
        names.setdefault(model.aliases[name], []).append(name)
    return ModelThen(
        ref=ref,
        kind=model.kind,
        is_deleted=model.is_deleted,
        aliases=dict(sorted(model.aliases.items())),
        versions=tuple(
            msgspec.structs.replace(model.versions[number], aliases=tuple(names.get(number, ())))
            for number in sorted(model.versions)
        ),
    )


def selected(model: ModelThen, ref: Ref) -> tuple[VersionThen, ...]:
    """Those versions of a model that a reference meant at that time; none when it meant nothing.

    A stage may hold several. Deleted versions, and those of a deleted model, are found by number,
    SemVer and digest only, as what they were.
    """
    versions = model.versions
    shown = () if model.is_deleted else tuple(v for v in versions if not v.is_deleted)
    match ref.kind:
        case "number":
            return tuple(v for v in versions if v.number == int(ref.value))
        case "semver":
            return tuple(v for v in versions if v.semver == str(SemVer.parse(ref.value)))
        case "digest":
            return tuple(v for v in versions if v.digest.startswith(ref.value))
        case "alias":
            return tuple(v for v in shown if model.aliases.get(ref.value) == v.number)
        case "stage":
            return tuple(v for v in shown if v.stage == ref.value)
        case "range":
            return _highest(shown, Range.parse(ref.value))
        case "latest":
            usable = [v for v in shown if v.stage != "archived"]
            return tuple(usable[-1:])


def _highest(versions: Iterable[VersionThen], wanted: Range) -> tuple[VersionThen, ...]:
    keys = {v: SemVer.parse(v.semver) for v in versions if v.stage != "archived"}
    inside = [
        v
        for v, semver in keys.items()
        if not semver.prerelease and wanted.low.sort_key <= semver.sort_key < wanted.high.sort_key
    ]
    return (max(inside, key=lambda v: keys[v].sort_key),) if inside else ()

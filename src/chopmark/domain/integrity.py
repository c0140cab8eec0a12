"""Where what the registry says of a version, an alias or a model contradicts its history or the audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from chopmark.domain.audit import AuditEvent
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.manifest import Manifest, manifest_digest
from chopmark.domain.versions import Alias, AliasMove, Version

__all__ = ["Contradiction", "alias_faults", "manifest_faults", "move_faults", "version_faults"]

_FROM_MANIFEST = ("kind", "format", "runs_code", "untrusted", "params", "config", "environment", "signature", "parents")
_ADDED = ("version.registered", "version.imported")


class Contradiction(msgspec.Struct, frozen=True):
    """One thing that two places do not agree about: a stable code, and what is wrong in words."""

    code: str
    what: str


def manifest_faults(version: Version, manifest: Manifest | None) -> Iterator[Contradiction]:
    """Whether the manifest is there, is the one that was registered, and says what the version's row says."""
    if manifest is None:
        yield Contradiction("manifest_missing", "its manifest is missing from the catalog")
        return
    if manifest_digest(manifest) != version.digest:
        yield Contradiction("manifest_altered", f"its manifest is not the one with the digest {version.digest[:19]}")
        return
    different = [name for name in _FROM_MANIFEST if getattr(version, name) != getattr(manifest, name)]
    if (version.size_bytes, version.file_count) != (manifest.size_bytes, len(manifest.files)):
        different.append("size_bytes")
    if different:
        yield Contradiction("version_altered", f"its row and its manifest differ in {', '.join(different)}")


def version_faults(version: Version, events: Sequence[AuditEvent]) -> Iterator[Contradiction]:
    """Whether digest, stage and deletion are what the audit's last word on them is.

    Parameters
    ----------
    version
        As its row says.
    events
        All events of the version, newest first.
    """
    added = next((e for e in events if e.event in _ADDED), None)
    if added is None:
        yield Contradiction("version_unrecorded", "the audit has no event of its registration")
        return
    digest = added.data.get("digest", version.digest)
    if digest != version.digest:
        yield Contradiction("digest_altered", f"its digest is {version.digest[:19]}, the audit says {digest[:19]}")
    stage = next((e.data["to_stage"] for e in events if "to_stage" in e.data), "development")
    if stage != version.stage:
        yield Contradiction("stage_altered", f"it is in {version.stage}, and the audit's last word is {stage}")
    removal = next((e.event for e in events if e.event in ("version.deleted", "version.restored")), "")
    if (removal == "version.deleted") != (version.deleted_at is not None):
        now, said = ("deleted", "not") if version.deleted_at is not None else ("not deleted", "that it was")
        yield Contradiction("deletion_altered", f"it is {now}, and the audit says {said}")
    purged = next((e for e in events if e.event == "version.purged"), None)
    if purged is not None and purged.seq > added.seq:
        yield Contradiction("version_revived", "the audit says that it was purged")


def move_faults(version: Version, last: StageMove | None) -> Iterator[Contradiction]:
    """Whether the stage is where the last move in the history led."""
    stage = last.to_stage if last is not None else "development"
    if stage != version.stage:
        yield Contradiction("stage_altered", f"it is in {version.stage}, and its history ends in {stage}")


def alias_faults(alias: Alias | None, last: AliasMove | None, event: AuditEvent | None) -> Iterator[Contradiction]:
    """Whether an alias points where its last move, and the audit's last word, say.

    Parameters
    ----------
    alias
        As its row says; None when there is none.
    last
        The last entry of its history.
    event
        The last event that set or removed it.
    """
    number = alias.number if alias is not None else None
    moved = last.number if last is not None else None
    if number != moved:
        yield Contradiction(
            "alias_altered", f"it points to {_target(number)}, and its history ends at {_target(moved)}"
        )
    if alias is None:
        return  # it may have been removed together with its version
    said = event.data.get("number") if event is not None and event.event == "alias.set" else None
    if said != number:
        yield Contradiction("alias_altered", f"it points to {_target(number)}, and the audit says {_target(said)}")


def _target(number: int | None) -> str:
    return "nothing" if number is None else f"number {number}"

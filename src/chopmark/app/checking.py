"""The check of a registry: rows against rows and the audit, and rows against bytes.

A check goes through phases, each in parts that a cursor leads to. To check more, add a function to ``_PHASES``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from chopmark.abc.blobs import BlobStat, BlobStore, KeepsLeftovers
from chopmark.abc.checking import UNREADABLE_TIME, CheckedModel, CheckedVersion
from chopmark.app.audit import verify
from chopmark.app.checking_records import record_findings
from chopmark.app.checking_states import state_findings
from chopmark.app.context import Context, Outside
from chopmark.app.garbage import stored_after
from chopmark.app.recording import registry_id, spans_of, within
from chopmark.base.jsons import canonical
from chopmark.base.paging import decode_cursor, encode_cursor
from chopmark.domain.audit import AuditEvent
from chopmark.domain.integrity import Contradiction, alias_faults, manifest_faults, move_faults, version_faults
from chopmark.domain.lineage import Edge, version_id_of, version_node
from chopmark.domain.names import counted
from chopmark.domain.records import Span
from chopmark.domain.storage import side_by_side
from chopmark.domain.versions import Version
from chopmark.errors import ChopmarkError, IntegrityFailure, InvalidRequest, NotFound
from chopmark.ops.requests import VerifyAudit
from chopmark.ops.storage import CheckPage, CheckStorage, Finding

__all__ = ["BYTES_A_PART", "backing", "check", "content_fault", "look", "lost"]

BLOBS_A_PART = 5_000
BYTES_A_PART = 256 * 1024 * 1024
ROWS_A_PART = 200
EVENTS_MAX = 10_000
USERS_SHOWN = 3

_VERSION = re.compile("version:[0-9a-f]{32}")
_NODE = re.compile("version:[0-9a-f]{32}|dataset:.+|run:.*", re.DOTALL)
_UNREAD = "the check of {}"
_UNREADABLE = (IntegrityFailure, InvalidRequest, NotFound)  # a row is damaged, or a name in it is none

_RESTORE = "Restore the registry from a backup, or make the catalog again from the records: chopmark rebuild"
_BYTES = "Register the same files again, which stores them anew, or take the bytes from a backup."
_TAMPERED = "Look who changed the database, then restore it from a backup; its events: chopmark audit list --target {}"


class _Asked(NamedTuple):
    """What a phase is asked: with which view, whether to read bytes, and after what to go on."""

    ctx: Context
    content: bool
    after: str | int | None


class _Part(NamedTuple):
    """What a part of a phase found, how much it looked at, and after what the next one begins (None: nothing)."""

    findings: list[Finding]
    checked: int
    read_bytes: int = 0
    after: str | int | None = None


def look(outside: Outside, request: CheckStorage) -> list[Span]:
    """The segments of the records, for the phase that checks them, listed before the view of the catalog begins.

    What is recorded was committed before, and so a view that begins afterwards has it.
    """
    phase, _ = _position(request)
    if phase != "records":
        return []
    own = [registry_id(first) for first in _first_event(outside)]
    return [span for each in own for span in spans_of(within(outside.records, each))]


def _first_event(outside: Outside) -> list[AuditEvent]:
    with outside.catalog.reading() as tx:
        return tx.audit.list(limit=1)


def _position(request: CheckStorage) -> tuple[str, str | int | None]:
    if not request.cursor:
        return next(iter(_PHASES)), None
    phase, after = decode_cursor(request.cursor, canonical(["check", request.content]))
    return phase, after


def check(ctx: Context, request: CheckStorage) -> CheckPage:
    """Check a part of the registry."""
    query = canonical(["check", request.content])
    phase, after = _position(request)
    try:
        part = _PHASES[phase](_Asked(ctx, request.content, after))
    except _UNREADABLE as error:  # a row that a whole phase depends on: the others go on
        part = _Part([_unreadable(_UNREAD.format(phase), error)], 0)
    then: tuple[str, str | int | None] | None = (phase, part.after)
    if part.after is None:
        following = list(_PHASES)[list(_PHASES).index(phase) + 1 :]
        then = (following[0], None) if following else None
    return CheckPage(
        findings=part.findings,
        phase=phase,
        checked=part.checked,
        read_bytes=part.read_bytes,
        cursor=encode_cursor(list(then), query) if then else "",
    )


# Bytes


def backing(store: BlobStore) -> BlobStore:
    """The store behind a cache: what is cached says nothing of what is stored."""
    backing: BlobStore = getattr(store, "remote", store)
    return backing


def _blobs(asked: _Asked) -> _Part:
    store = backing(asked.ctx.store)
    last = str(asked.after or "")
    findings: list[Finding] = []
    orphans: list[BlobStat] = []
    checked = read_bytes = 0
    more = False
    stored = ((s.digest, s) for s in stored_after(store, last))
    for digest, listed, size_bytes in side_by_side(stored, asked.ctx.tx.collection.live_blobs(None, after=last)):
        if checked == BLOBS_A_PART or read_bytes >= BYTES_A_PART:
            more = True
            break
        checked, last = checked + 1, digest
        stat = listed or store.stat(digest)  # it may have been put between the listing and the view of the catalog
        if stat is None:
            findings.append(lost(asked.ctx, digest, "blob_missing", "its bytes are missing from the store"))
            continue
        if size_bytes is None:
            orphans.append(stat)
        fault, read = content_fault(store, stat) if asked.content else ("", 0)
        read_bytes += read
        if fault:
            findings.append(lost(asked.ctx, digest, "blob_corrupt", fault))
        elif size_bytes is not None and stat.size_bytes != size_bytes:
            what = f"it has {counted(stat.size_bytes, 'byte')}, the catalog says {counted(size_bytes, 'byte')}"
            findings.append(lost(asked.ctx, digest, "blob_size", what))
    if orphans:
        size = sum(s.stored_bytes for s in orphans)
        what = f"{counted(len(orphans), 'blob')} ({counted(size, 'byte')}) that no version refers to"
        step = "When they are older than the grace time, this frees them: chopmark gc"
        findings.append(Finding("info", "blobs_orphaned", orphans[0].digest, what, step))
    return _Part(findings, checked, read_bytes, last if more else None)


def content_fault(store: BlobStore, stat: BlobStat) -> tuple[str, int]:
    """What is wrong with the bytes of a blob, and how many were read."""
    try:
        store.open(stat.digest).close()  # verifies all of it
    except IntegrityFailure as error:
        return error.message, stat.size_bytes
    except NotFound:
        return "", 0  # deleted since it was listed, which a collection may do
    return "", stat.size_bytes


def lost(ctx: Context, digest: str, code: str, what: str) -> Finding:
    """What is lost with the bytes of a blob."""
    try:
        users = ctx.tx.versions.blob_users(digest, limit=USERS_SHOWN + 1)
        named = [_named(ctx, version, digest) for version in users[:USERS_SHOWN]]
        more = " and others" if len(users) > USERS_SHOWN else ""
    except IntegrityFailure:
        named, more = ["versions whose rows cannot be read"], ""
    lost_by = f"; {', '.join(named)}{more} cannot be loaded" if named else ""
    severity: Literal["error", "warning"] = "error" if named else "warning"
    step = _BYTES if named else "No version refers to it, and this frees it: chopmark gc"
    return Finding(severity, code, digest, what + lost_by, step)


def _named(ctx: Context, version: Version, digest: str) -> str:
    manifest = ctx.tx.manifests.get(version.digest)
    paths = [f.path for f in manifest.files if f.digest == digest] if manifest is not None else []
    return f"{version.ref} ({', '.join(paths[:USERS_SHOWN])})" if paths else version.ref


def _store(asked: _Asked) -> _Part:
    store = asked.ctx.store
    if not isinstance(store, KeepsLeftovers):
        return _Part([], 0)
    left, strange = list(store.leftovers(asked.ctx.now)), list(store.strangers())
    findings = []
    if left:
        what = f"{counted(len(left), 'file')} ({counted(sum(f.size_bytes for f in left), 'byte')}) of interrupted puts"
        findings.append(Finding("info", "leftovers", left[0].name, what, "This removes what is old: chopmark gc"))
    step = "Move it away: nothing here was put by Chopmark."
    findings += [Finding("warning", "stranger", f.name, "a file among the blobs that is none", step) for f in strange]
    return _Part(findings, len(left) + len(strange))


# Rows


def _versions(asked: _Asked) -> _Part:
    page = asked.ctx.tx.rows.versions(after=int(asked.after or 0), limit=ROWS_A_PART)
    findings = [finding for checked in page for finding in _version_findings(asked.ctx, checked)]
    return _Part(findings, len(page), 0, page[-1].key if len(page) == ROWS_A_PART else None)


def _version_findings(ctx: Context, checked: CheckedVersion) -> list[Finding]:
    found = [Finding("error", "row_altered", checked.ref, fault, _RESTORE) for fault in checked.faults]
    version = checked.version
    if version is None:
        return found
    try:
        manifest = ctx.tx.manifests.get(version.digest)
        contradictions = list(manifest_faults(version, manifest))
    except IntegrityFailure as error:
        contradictions = [Contradiction("manifest_altered", error.message)]
    try:
        moves = ctx.tx.stages.history(version.id, limit=1)
        contradictions += move_faults(version, moves[0] if moves else None)
        ctx.tx.evaluations.list(version.id, limit=EVENTS_MAX)
        events = ctx.tx.audit.list(target=version.ref, newest_first=True, limit=EVENTS_MAX)
        contradictions += version_faults(version, events)
    except _UNREADABLE as error:
        found.append(_unreadable(checked.ref, error))
    return found + [_contradicted(c, version.ref) for c in contradictions]


def _unreadable(where: str, error: ChopmarkError) -> Finding:
    return Finding("error", "row_altered", where, error.message, _RESTORE)


def _contradicted(found: Contradiction, where: str) -> Finding:
    step = _RESTORE if found.code.startswith("manifest") else _TAMPERED.format(where)
    return Finding("error", found.code, where, found.what, step)


def _models(asked: _Asked) -> _Part:
    page = asked.ctx.tx.rows.models(after=int(asked.after or 0), limit=ROWS_A_PART)
    findings = [finding for model in page for finding in _model_findings(asked.ctx, model)]
    return _Part(findings, len(page), 0, page[-1].key if len(page) == ROWS_A_PART else None)


def _model_findings(ctx: Context, model: CheckedModel) -> list[Finding]:
    if model.id is None:
        return [Finding("error", "row_altered", model.ref, "its row cannot be read", _RESTORE)]
    found = []
    if model.last_number < model.highest_number:
        what = f"its last number is {model.last_number}, and it has a version {model.highest_number}"
        found.append(Finding("error", "number_altered", model.ref, what, _RESTORE))
    for name in model.alias_names:
        where = f"{model.ref}@{name}"
        try:
            alias = ctx.tx.aliases.get(model.id, name)
            moves = ctx.tx.aliases.history(model.id, name, limit=1)
            contradictions = alias_faults(alias, moves[0] if moves else None, _last_alias_event(ctx, where))
        except _UNREADABLE as error:
            found.append(_unreadable(where, error))
            continue
        found += [_contradicted(c, where) for c in contradictions]
    return found


def _last_alias_event(ctx: Context, alias: str) -> AuditEvent | None:
    events = ctx.tx.audit.list(target=alias, newest_first=True, limit=1)
    return events[0] if events else None


def _edges(asked: _Asked) -> _Part:
    page = asked.ctx.tx.rows.edges(after=int(asked.after or 0), limit=ROWS_A_PART)
    ids = {version_id_of(node) for _, edge in page for node in _ends(edge) if _VERSION.fullmatch(node)}
    gone = {version_node(i) for i in asked.ctx.tx.rows.missing(sorted(ids))}
    findings = []
    for _, edge in page:
        where = f"{edge.source} {edge.relation} {edge.target}"
        if any(node in gone or not _NODE.fullmatch(node) for node in _ends(edge)):
            findings.append(Finding("error", "edge_dangling", where, "it leads to no version", _RESTORE))
        if edge.at == UNREADABLE_TIME:
            findings.append(Finding("error", "row_altered", where, "its row cannot be read", _RESTORE))
    return _Part(findings, len(page), 0, page[-1][0] if len(page) == ROWS_A_PART else None)


def _ends(edge: Edge) -> tuple[str, str]:
    return edge.source, edge.target


def _orphans(asked: _Asked) -> _Part:
    found = asked.ctx.tx.rows.orphans()
    return _Part([Finding("error", "rows_orphaned", "catalog", what, _RESTORE) for what in found], len(found))


def _audit(asked: _Asked) -> _Part:
    verdict = verify(asked.ctx, VerifyAudit())
    if not verdict.fault:
        return _Part([], verdict.events)
    step = "Compare it with a copy or a signed checkpoint: chopmark audit verify"
    finding = Finding("error", "audit_broken", f"event {verdict.fault_seq}", verdict.fault, step)
    return _Part([finding], verdict.events)


def _records(asked: _Asked) -> _Part:
    findings, checked, then = record_findings(asked.ctx, str(asked.after or ""), content=asked.content)
    if then is None and asked.content:
        findings += state_findings(asked.ctx)
    return _Part(findings, checked, 0, then)


_PHASES: dict[str, Callable[[_Asked], _Part]] = {
    "blobs": _blobs,
    "leftovers": _store,
    "versions": _versions,
    "models": _models,
    "edges": _edges,
    "rows": _orphans,
    "events": _audit,
    "records": _records,
}

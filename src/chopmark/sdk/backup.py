"""Backups: everything a registry is, copied to another place, and back.

A backup is the layout of a registry's directory without its database: blobs by their hash, and records from which the
catalog is made again. It is as old as its last event, whole at every moment, and made again only where it differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from chopmark.abc.blobs import BlobStore
from chopmark.abc.records import RecordStore
from chopmark.app.rebuild import chosen_registry, whole_of
from chopmark.app.recording import spans_of, within
from chopmark.base.settings import Settings
from chopmark.domain.manifest import FileEntry
from chopmark.domain.records import Segment, Whole, encode_segment
from chopmark.errors import Conflict, IntegrityFailure, InvalidRequest, NotFound, Unavailable, Unsupported
from chopmark.ops.keeping import Backup
from chopmark.ops.requests import ListAudit
from chopmark.ops.results import AuditPage
from chopmark.sdk.progress import progress_bar
from chopmark.sdk.transport import DryRun, Transport
from chopmark.wiring import open_place, store_url

__all__ = ["BytesGone", "back_up", "check_place", "copy_blobs", "files_of", "whole_records", "write_records"]

_ROUNDS = 3
_SHOWN = 5


class BytesGone(Exception):
    """Bytes were freed while they were copied: what they belonged to was purged meanwhile."""


class _Behind(Exception):
    """The records that were read end before what is known to be recorded: they are read again."""


def back_up(source: Transport, place: str | Path, settings: Settings, *, verify: bool = False) -> Backup:
    """Copy everything to a directory or an object store, or bring the backup that is there up to date.

    What is there is compared by its size; with ``verify`` every byte of it is read, and what is damaged copied again.

    Raises
    ------
    Conflict
        When the backup that is there tells of another course of events.
    IntegrityFailure
        When bytes or records of the registry are missing or damaged; the backup stays as it was.
    """
    if not str(place).strip():
        raise InvalidRequest("The place of the backup is empty.", hint="Pass a directory, or s3://bucket/prefix.")
    if isinstance(source, DryRun):
        raise Unsupported("A backup copies, and a dry run copies nothing.", hint="Call it on the registry itself.")
    check_place(str(place), settings)
    store, records = open_place(str(place), settings)
    try:
        behind = 0
        for _ in range(_ROUNDS):
            newest: AuditPage = source.call(ListAudit(newest_first=True, limit=1))
            source.catch_up()
            try:
                return _copy_all(source, store, records, str(place), settings, verify, _length(newest))
            except BytesGone:
                continue
            except _Behind:
                behind += 1
        if behind:
            msg = "The store lists fewer records than were written to it."
            raise Unavailable(msg, hint="Try again. When it stays so, see what is missing: chopmark fsck")
        msg = "Bytes that versions need are missing from the store."
        raise IntegrityFailure(msg, hint="See which: chopmark fsck --fast")
    finally:
        store.close()


def _copy_all(
    source: Transport, store: BlobStore, records: RecordStore, place: str, settings: Settings, verify: bool, least: int
) -> Backup:
    registry = _only(source.records)
    origin, target = within(source.records, registry), within(records, registry)
    whole = whole_records(origin)
    if whole.events[-1].seq < least:
        raise _Behind  # a listing that is not up to date left some out
    _check_same_course(target, whole, place)
    files = files_of(whole)
    copied = copy_blobs(source.store, store, files.values(), f"Backing up to {place}", settings, verify=verify)
    write_records(target, whole)
    return Backup(
        place=place,
        registry=registry,
        events=len(whole.events),
        head=whole.head,
        versions=len(whole.versions),
        blobs=len(files),
        size_bytes=sum(f.size_bytes for f in files.values()),
        copied_blobs=len(copied),
        copied_bytes=sum(f.size_bytes for f in copied),
    )


def _length(newest: AuditPage) -> int:
    return newest.items[0].seq if newest.items else 0


def _only(records: RecordStore) -> str:
    try:
        return chosen_registry(records, "")
    except NotFound as error:
        raise NotFound(
            "The registry is empty; there is nothing to back up.", hint="Register a version first."
        ) from error


def whole_records(records: RecordStore) -> Whole:
    """All that the records of one registry tell; `IntegrityFailure` when they are not whole."""
    whole, faults = whole_of(records)
    if faults:
        msg = "The records are not whole: " + "; ".join(faults[:_SHOWN]) + "."
        raise IntegrityFailure(msg, hint="See what is wrong: chopmark fsck", faults=faults)
    return whole


def _check_same_course(target: RecordStore, whole: Whole, place: str) -> None:
    hashes = {event.hash.removeprefix("sha256:")[:12] for event in whole.events}
    strangers = [span for span in spans_of(target) if span.head not in hashes]
    if strangers:
        msg = f"The backup in {place} tells of another course of events, up to event {strangers[-1].last}."
        raise Conflict(msg, hint="Choose another place: what is there may be all that is left of it.")


def files_of(whole: Whole) -> dict[str, FileEntry]:
    """The files of all versions, equal bytes once."""
    return {file.digest: file for state in whole.versions for file in whole.manifest_of(state).files}


def copy_blobs(
    source: BlobStore,
    target: BlobStore,
    files: Iterable[FileEntry],
    title: str,
    settings: Settings,
    *,
    verify: bool = False,
) -> list[FileEntry]:
    """Copy what the target has not, or not whole; verified on both sides."""
    wanted = [f for f in files if not _is_there(target, f, verify=verify)]
    with progress_bar(title, sum(f.size_bytes for f in wanted), settings.progress) as told:
        for file in wanted:
            try:
                reader = source.open(file.digest)
            except NotFound as error:
                raise BytesGone from error
            with reader:
                target.put(reader, expected=file.digest, progress=told)
    return wanted


def _is_there(target: BlobStore, file: FileEntry, *, verify: bool) -> bool:
    stat = target.stat(file.digest)
    if stat is None:
        return False
    if stat.size_bytes != file.size_bytes:
        return False  # what is put replaces it
    if verify:
        try:
            target.open(file.digest).close()
        except IntegrityFailure:
            target.delete(file.digest)
            return False
    return True


def check_place(place: str, settings: Settings) -> None:
    """Refuse a place that is the registry's own, within it, or around it; or a file.

    Raises
    ------
    InvalidRequest
        Saying which.
    """
    if "://" in place:
        own, other = store_url(settings).rstrip("/") + "/", place.rstrip("/") + "/"
        is_own = own.startswith(other) or other.startswith(own)
    else:
        there = Path(place).resolve()
        if there.exists() and not there.is_dir():
            raise InvalidRequest(f"{place} is not a directory.", hint="Pass a directory, or s3://bucket/prefix.")
        roots = [Path(root).resolve() for root in (settings.url, store_url(settings)) if "://" not in root]
        is_own = any(there == root or root in there.parents or there in root.parents for root in roots)
    if is_own:
        msg = f"{place} lies in the registry itself, or around it; a backup there would go with it."
        raise InvalidRequest(msg, hint="Choose another directory, or better another machine.")


def write_records(target: RecordStore, whole: Whole) -> None:
    """One file that tells all, then away with those it makes needless: at every moment one can be restored from."""
    needed = {state.version.digest for state in whole.versions}
    manifests = {digest: text for digest, text in whole.manifests.items() if digest in needed}
    segment = Segment(whole.events, [*whole.projects, *whole.models, *whole.versions, *whole.trust], manifests)
    before = spans_of(target)
    target.put(segment.span.name, encode_segment(segment))
    for span in before:
        # One that goes further is that of another backup, which began later and was quicker.
        if span != segment.span and span.last <= segment.span.last:
            target.delete(span.name)

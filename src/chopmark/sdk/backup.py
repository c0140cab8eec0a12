"""Backups: everything a registry is, copied to another place, and back.

A backup is the layout of a registry's directory without its database: blobs by their hash, and records from which the
catalog is made again. It is as old as its last event, whole at every moment, and made again only where it differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chopmark.abc.blobs import BlobStore
from chopmark.abc.records import RecordStore
from chopmark.app.rebuild import chosen_registry, whole_of
from chopmark.app.recording import spans_of, within
from chopmark.base.clock import Clock, system_clock
from chopmark.base.settings import Resolved, Settings, load_settings
from chopmark.domain.manifest import FileEntry
from chopmark.domain.records import Segment, Whole, encode_segment
from chopmark.errors import Conflict, IntegrityFailure, InvalidRequest, NotFound, Unsupported
from chopmark.ops.keeping import Backup, RebuildCatalog, Rebuilt
from chopmark.ops.requests import ListAudit
from chopmark.ops.results import AuditPage
from chopmark.sdk.opening import rebuild_resolved
from chopmark.sdk.progress import progress_bar
from chopmark.sdk.transport import DryRun, Transport
from chopmark.wiring import connect, database_file, open_blobs, open_place, open_record_store, store_url

__all__ = ["back_up", "restore_registry"]

_ROUNDS = 3
_SHOWN = 5


class _Collected(Exception):
    """Bytes were freed while they were copied: what they belonged to was purged meanwhile."""


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
    _check_place(str(place), settings)
    store, records = open_place(str(place), settings)
    try:
        for _ in range(_ROUNDS):
            source.catch_up()
            try:
                return _copy_all(source, store, records, str(place), settings, verify)
            except _Collected:
                continue
        msg = "Bytes that versions need are missing from the store."
        raise IntegrityFailure(msg, hint="See which: chopmark fsck --fast")
    finally:
        store.close()


def _copy_all(
    source: Transport, store: BlobStore, records: RecordStore, place: str, settings: Settings, verify: bool
) -> Backup:
    registry = _only(source.records)
    origin, target = within(source.records, registry), within(records, registry)
    whole = _whole(origin)
    _check_same_course(target, whole, place)
    files = _files(whole)
    copied = _copy_blobs(source.store, store, files.values(), f"Backing up to {place}", settings, verify=verify)
    _write_records(target, whole)
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


def _only(records: RecordStore) -> str:
    try:
        return chosen_registry(records, "")
    except NotFound as error:
        raise NotFound(
            "The registry is empty; there is nothing to back up.", hint="Register a version first."
        ) from error


def _whole(records: RecordStore) -> Whole:
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


def _files(whole: Whole) -> dict[str, FileEntry]:
    """The files of all versions, equal bytes once."""
    return {file.digest: file for state in whole.versions for file in whole.manifest_of(state).files}


def _copy_blobs(
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
                raise _Collected from error
            with reader:
                target.put(reader, expected=file.digest, progress=told)
    return wanted


def _is_there(target: BlobStore, file: FileEntry, *, verify: bool) -> bool:
    stat = target.stat(file.digest)
    if stat is None:
        return False
    if stat.size_bytes != file.size_bytes:
        target.delete(file.digest)
        return False
    if verify:
        try:
            target.open(file.digest).close()
        except IntegrityFailure:
            target.delete(file.digest)
            return False
    return True


def _check_place(place: str, settings: Settings) -> None:
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


def _write_records(target: RecordStore, whole: Whole) -> None:
    """One file that tells all, then away with those it makes needless: at every moment one can be restored from."""
    needed = {state.version.digest for state in whole.versions}
    manifests = {digest: text for digest, text in whole.manifests.items() if digest in needed}
    segment = Segment(whole.events, [*whole.projects, *whole.models, *whole.versions, *whole.trust], manifests)
    before = spans_of(target)
    target.put(segment.span.name, encode_segment(segment))
    for span in before:
        if span != segment.span:
            target.delete(span.name)


def restore_registry(
    backup: str | Path,
    url: str | Path | None = None,
    *,
    registry: str = "",
    clock: Clock = system_clock,
    **settings: Any,
) -> Rebuilt:
    """Make a registry again from a backup, in an empty place.

    Parameters
    ----------
    backup
        Where the backup is: a directory, ``s3://bucket/prefix``, ….
    url, clock, settings
        The new place, as for `chopmark.open`.
    registry
        Which one, when the backup holds several.

    Raises
    ------
    Conflict
        When the place holds a registry already.
    NotFound
        When there is no backup.
    IntegrityFailure
        When the backup is missing something or was changed. Repeat it once that is mended: what was copied stays.
    """
    resolved = load_settings({"url": str(url) if url is not None else None, **settings})
    if isinstance(backup, Path) or "://" not in backup:
        _check_directory(Path(backup))
    _check_place(str(backup), resolved.settings)
    source, told = open_place(str(backup), resolved.settings)
    target = open_blobs(resolved.settings)
    try:
        chosen = chosen_registry(told, registry)
        _refuse_what_is_used(resolved, clock)
        whole = _whole(within(told, chosen))
        try:
            _copy_blobs(source, target, _files(whole).values(), f"Restoring {backup}", resolved.settings)
        except _Collected as error:
            msg = f"The backup in {backup} lacks bytes that its versions need."
            raise IntegrityFailure(msg, hint="Take an older or another backup.") from error
        _write_records(within(open_record_store(resolved.settings), chosen), whole)
    finally:
        source.close()
        target.close()
    return rebuild_resolved(resolved, RebuildCatalog(registry=chosen), clock)


def _check_directory(backup: Path) -> None:
    if not backup.is_dir():
        msg = f"There is no backup in {backup}."
        raise NotFound(msg, hint="Pass the directory that chopmark backup wrote.")


def _refuse_what_is_used(resolved: Resolved, clock: Clock) -> None:
    file = database_file(resolved.settings)
    if file is not None and not file.exists():
        return  # and none is made before everything else is there
    transport = connect(resolved, clock=clock, rebuilding=True)
    try:
        page: AuditPage = transport.call(ListAudit(limit=1))
    finally:
        transport.close()
    if page.items:
        msg = f"{transport.location} holds a registry already."
        raise Conflict(msg, hint="Restore into an empty place: chopmark --at DIRECTORY restore --from BACKUP")

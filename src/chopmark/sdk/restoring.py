"""Restoring: from a backup to a registry in an empty place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chopmark.app.rebuild import chosen_registry
from chopmark.app.recording import within
from chopmark.base.clock import Clock, system_clock
from chopmark.base.settings import Resolved, load_settings
from chopmark.errors import Conflict, IntegrityFailure, NotFound
from chopmark.ops.keeping import RebuildCatalog, Rebuilt
from chopmark.ops.requests import ListAudit
from chopmark.ops.results import AuditPage
from chopmark.sdk.backup import BytesGone, check_place, copy_blobs, files_of, whole_records, write_records
from chopmark.sdk.opening import rebuild_resolved
from chopmark.wiring import connect, database_file, open_blobs, open_place, open_record_store

__all__ = ["restore_registry"]


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
    check_place(str(backup), resolved.settings)
    source, told = open_place(str(backup), resolved.settings)
    target = open_blobs(resolved.settings)
    try:
        chosen = chosen_registry(told, registry)
        _refuse_what_is_used(resolved, clock)
        whole = whole_records(within(told, chosen))
        try:
            copy_blobs(source, target, files_of(whole).values(), f"Restoring {backup}", resolved.settings)
        except BytesGone as error:
            msg = f"The backup in {backup} lacks bytes that its versions need."
            raise IntegrityFailure(msg, hint="Take an older or another backup.") from error
        write_records(within(open_record_store(resolved.settings), chosen), whole)
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

"""``chopmark.open``: from a place and settings to a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chopmark.base.clock import Clock, system_clock
from chopmark.base.settings import Resolved, load_settings
from chopmark.ops.keeping import RebuildCatalog, Rebuilt
from chopmark.sdk.registry import Registry
from chopmark.wiring import connect, connect_served, database_file, is_served

__all__ = ["open_registry", "rebuild_registry", "rebuild_resolved"]


def open_registry(url: str | Path | None = None, *, clock: Clock = system_clock, **settings: Any) -> Registry:
    """Open a registry, making it when it is a directory that is not there yet.

    Parameters
    ----------
    url
        Directory of the registry; without it ``CHOPMARK_URL``, the project file, the user file,
        or ``./.chopmark``.
    clock
        Where the time comes from.
    settings
        Any field of `chopmark.base.settings.Settings`, for example ``project="risk"``,
        ``database_url="postgresql://…"``, ``store_url="s3://bucket/models"``,
        ``trust="marked_only"``. They stand above the environment and the files.

    Raises
    ------
    Unavailable
        When the database or the store does not answer, or the schema is not current.
    IntegrityFailure
        When the database is empty and the records beside the blobs tell of one that was lost.
    InvalidRequest
        When a setting is not valid.
    """
    resolved = _resolved(url, settings)
    if is_served(resolved.settings):
        return Registry(connect_served(resolved, clock=clock), resolved.settings)
    return Registry(connect(resolved, clock=clock), resolved.settings)


def _resolved(url: str | Path | None, settings: dict[str, Any]) -> Resolved:
    said = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return load_settings({"url": str(url) if url is not None else None, **said})


def rebuild_registry(
    url: str | Path | None = None,
    *,
    registry: str = "",
    partial: bool = False,
    dry_run: bool = False,
    clock: Clock = system_clock,
    **settings: Any,
) -> Rebuilt:
    """Make the lost database of a registry again, from the records beside its blobs.

    Versions, models, aliases, histories, evaluations, lineage, trust and the audit come back as they were; the audit's
    last hash is the same, and one event tells of the rebuild. Counts of loads and keys of repeated calls do not.

    Parameters
    ----------
    url, clock, settings
        As for `open_registry`.
    registry
        Which one, when the store holds records of several.
    partial
        Whether to go on when records are missing or damaged, with what is left.
    dry_run
        Say what would come back; the database stays empty.

    Raises
    ------
    Conflict
        When the database is not empty, or it is not said which registry.
    IntegrityFailure
        When records are missing or damaged; nothing was put back then.
    NotFound
        When there are no records.
    """
    request = RebuildCatalog(registry=registry, partial=partial)
    return rebuild_resolved(_resolved(url, settings), request, clock, dry_run=dry_run)


def rebuild_resolved(resolved: Resolved, request: RebuildCatalog, clock: Clock, *, dry_run: bool = False) -> Rebuilt:
    """Rebuild the registry of these settings; a database that was made for it goes again when it fails."""
    file = database_file(resolved.settings)
    is_new = file is not None and not file.exists()
    done = False
    transport = connect(resolved, clock=clock, rebuilding=True)
    try:
        answer: Rebuilt = transport.call(request, dry_run=dry_run)
        done = not dry_run
    finally:
        transport.close()
        if is_new and not done and file is not None:
            for each in file.parent.glob(f"{file.name}*"):
                each.unlink()
    return answer

"""The checks of ``chopmark doctor``, one function each; none of them leaves anything behind."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from chopmark import __version__
from chopmark.base.clock import Clock, system_clock
from chopmark.base.digest import digest_of
from chopmark.base.settings import Resolved, Settings
from chopmark.cli.check import Check, failed, guarded
from chopmark.cli.install_checks import (
    extras_check,
    formats_check,
    git_check,
    libraries_check,
    newest_by_format,
    programs,
    programs_check,
    unknown_formats,
)
from chopmark.cli.place_checks import (
    MOUNTS,
    audit_key_check,
    cache_check,
    file_system_check,
    files_check,
    lock_check,
    room_check,
)
from chopmark.cli.session import Session
from chopmark.cli.words import count, size, when
from chopmark.errors import ChopmarkError
from chopmark.wiring import (
    CatalogStanding,
    catalog_standing,
    database_faults,
    database_revision,
    database_url,
    is_served,
    open_blobs,
    store_url,
)

__all__ = ["checks"]

SPACE_LOW_BYTES = 1024**3
SPACE_NONE_BYTES = 50 * 1024**2
_OLDEST_SANE = datetime(2025, 1, 1, tzinfo=UTC)
_CLOCK_SLACK = timedelta(minutes=2)


def _settings_check(resolved: Resolved) -> Check:
    settings = resolved.settings
    shared = settings.trust == "own_registry" and settings.database_url.startswith("postgres")
    trust = "'marked_only' (a shared registry is nobody's own)" if shared else repr(settings.trust)
    finding = f"project {settings.project!r}, actor {settings.actor!r}, trust {trust}"
    if not resolved.unknown:
        return Check("settings", "ok", finding)
    names = ", ".join(resolved.unknown)
    advice = f"{names} in the environment: no such setting. See their names with: chopmark config show"
    return Check("settings", "warn", finding, advice)


def checks(session: Session, clock: Clock = system_clock) -> Iterator[Check]:
    """Run the checks in the order in which one explains the next."""
    yield Check("chopmark", "ok", f"{__version__}, Python {platform.python_version()} on {platform.platform()}")
    try:
        resolved = session.resolved()
    except ChopmarkError as error:
        yield failed("settings", error)
        return
    settings = resolved.settings
    yield _settings_check(resolved)
    if is_served(settings):
        yield guarded("server", lambda: _server(session, settings))
        yield guarded("temporary", lambda: _writable(Path(tempfile.gettempdir()), "temporary"))
        yield guarded("libraries", lambda: _libraries(session))
    else:
        yield from _registry_here(session, settings, clock)
    yield audit_key_check(settings)
    yield formats_check()
    yield extras_check()
    yield git_check()
    yield programs_check(programs(os.environ.get("PATH", "")), Path(sys.executable).parent)


def _server(session: Session, settings: Settings) -> Check:
    projects = session.registry().projects.list()
    return Check("server", "ok", f"{settings.url} answers, with {count(len(projects), 'project')}")


def _registry_here(session: Session, settings: Settings, clock: Clock) -> Iterator[Check]:
    """Checks of a registry whose database and store this machine opens."""
    file = session.database_file()
    absent = file is not None and not file.exists()
    directory = Path(settings.url)
    if absent:
        finding = f"there is none at {directory.resolve()} yet"
        yield Check("registry", "warn", finding, "The first 'chopmark register' makes one; --at looks elsewhere.")
    if not (settings.database_url and settings.store_url):
        yield guarded("directory", lambda: _writable(directory))
        yield guarded("disk", lambda: _space(directory))
    yield guarded("temporary", lambda: _writable(Path(tempfile.gettempdir()), "temporary"))
    yield from _place(settings, file)
    last_event = None
    if not absent:
        database = guarded("database", lambda: _database(settings))
        yield database
        if database.status != "fail":
            yield from _standing(settings)
            yield guarded("store", lambda: _store(settings))
            yield guarded("room", lambda: _room(session, settings))
            yield guarded("libraries", lambda: _libraries(session))
            last_event = _last_event_at(session)
    yield _clock(clock(), last_event)


def _place(settings: Settings, file: Path | None) -> Iterator[Check]:
    """Where the database and the cache lie, as far as that is on this machine."""
    if file is not None and file.exists():
        if MOUNTS.exists():
            yield guarded("filesystem", lambda: file_system_check(file, MOUNTS.read_text(errors="replace")))
        yield guarded("files", lambda: files_check(file.parent))
        yield guarded("lock", lambda: lock_check(file.parent))
    if "://" in settings.store_url:
        yield guarded("cache", lambda: cache_check(settings, lambda place: shutil.disk_usage(place).free))


def _room(session: Session, settings: Settings) -> Check:
    if "://" in store_url(settings):
        return Check("room", "ok", "the store is not on this machine")
    newest = session.registry().versions.search("order by created_at desc", limit=50)
    largest = max(newest, key=lambda v: v.size_bytes, default=None)
    free_bytes = shutil.disk_usage(_existing(Path(store_url(settings)))).free
    return room_check(free_bytes, largest.size_bytes if largest else 0, largest.ref if largest else "")


def _standing(settings: Settings) -> Iterator[Check]:
    try:
        standing = catalog_standing(settings)
    except ChopmarkError as error:
        yield failed("catalog", error)
        return
    yield _collection(standing)
    yield _records(standing)


def _records(standing: CatalogStanding) -> Check:
    if standing.recorded >= standing.events:
        return Check("records", "ok", "what the audit tells is recorded beside the blobs")
    behind = standing.events - standing.recorded
    advice = "The next change or backup records them. If that does not help, look at the store's check below."
    return Check("records", "warn", f"{count(behind, 'event')} not recorded beside the blobs yet", advice)


def _collection(standing: CatalogStanding) -> Check:
    if not standing.collects:
        return Check("collection", "ok", "none was cut off")
    advice = "Unless one is running at this moment, finish it with: chopmark gc"
    return Check("collection", "warn", "a collection of garbage is running, or was cut off", advice)


def _libraries(session: Session) -> Check:
    registry = session.registry()
    return libraries_check(newest_by_format(registry), unknown_formats(registry))


def _existing(directory: Path) -> Path:
    return next(p for p in (directory.absolute(), *directory.absolute().parents) if p.exists())


def _writable(directory: Path, name: str = "directory") -> Check:
    place = _existing(directory)
    if not place.is_dir():
        return Check(name, "fail", f"{place} is not a directory", "Remove it, or choose another place with --at.")
    advice = "Give yourself the right to write there, or choose another place."
    if place != directory.absolute():
        may = os.access(place, os.W_OK | os.X_OK)
        finding = f"{directory.absolute()} can{'' if may else 'not'} be made"
        return Check(name, "ok" if may else "fail", finding, "" if may else advice)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Check(name, "fail", f"{place} cannot be written to: {error.strerror}", advice)
    return Check(name, "ok", f"{place} can be written to")


def _space(directory: Path) -> Check:
    usage = shutil.disk_usage(_existing(directory))
    finding = f"{size(usage.free)} of {size(usage.total)} are free"
    if usage.free < SPACE_NONE_BYTES:
        return Check("disk", "fail", finding, "Make room: nothing can be registered.")
    if usage.free < SPACE_LOW_BYTES:
        return Check("disk", "warn", finding, "Make room before the next large model.")
    return Check("disk", "ok", finding)


def _database(settings: Settings) -> Check:
    there, known = database_revision(settings)
    where = database_url(settings).rpartition("@")[2]
    if there != known:
        finding = f"{where} has the schema {there or 'none'}; this release knows {known}"
        if there > known:
            return Check("database", "fail", finding, "Upgrade this installation: pip install -U chopmark")
        return Check("database", "fail", finding, "chopmark db upgrade")
    faults = database_faults(settings)
    if faults:
        return Check("database", "fail", f"{where}: {'; '.join(faults)}", "Restore the database from a backup.")
    return Check("database", "ok", f"{where}, schema {there} is current, its own check finds nothing")


def _store(settings: Settings) -> Check:
    """Put, read and delete a few bytes that nobody else has."""
    content = b"chopmark doctor " + os.urandom(32)
    where = store_url(settings)
    store = open_blobs(settings)
    try:
        stat = store.put(BytesIO(content))
        try:
            with store.open(stat.digest) as stream:
                same = stream.read() == content and stat.digest == digest_of(content)
        finally:
            gone = store.delete(stat.digest)
    finally:
        store.close()
    if not same or not gone:
        advice = "Do not register there: use another disk or bucket, and verify what is in this one."
        return Check("store", "fail", f"{where} does not give back what was put there", advice)
    return Check("store", "ok", f"{where}: put, read and deleted a probe")


def _last_event_at(session: Session) -> datetime | None:
    try:
        newest = session.registry().audit.list(newest_first=True, limit=1)
    except ChopmarkError:
        return None  # the database check has told why
    return newest[0].at if newest else None


def _clock(now: datetime, last_event: datetime | None) -> Check:
    zone = now.astimezone().tzname() or "unknown"
    finding = f"{when(now)}, local zone {zone}"
    advice = "Set the clock, or let NTP set it: times of events come from it."
    if now < _OLDEST_SANE:
        return Check("clock", "fail", f"{finding}, which is in the past", advice)
    if last_event is not None and last_event > now + _CLOCK_SLACK:
        return Check("clock", "warn", f"{finding}, before the registry's last event ({when(last_event)})", advice)
    return Check("clock", "ok", finding)

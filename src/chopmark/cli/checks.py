"""The checks of ``chopmark doctor``, one function each; none of them leaves anything behind."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Literal

import msgspec

from chopmark import __version__
from chopmark.base.clock import Clock, system_clock
from chopmark.base.digest import digest_of
from chopmark.base.settings import Resolved, Settings
from chopmark.cli.session import Session
from chopmark.cli.words import count, size, when
from chopmark.errors import ChopmarkError, Unsupported
from chopmark.formats import format_names, get_format
from chopmark.formats.libraries import installed_version
from chopmark.wiring import database_faults, database_revision, database_url, open_blobs, store_url

__all__ = ["Check", "checks"]

SPACE_LOW_BYTES = 1024**3
SPACE_NONE_BYTES = 50 * 1024**2
_OLDEST_SANE = datetime(2025, 1, 1, tzinfo=UTC)
_CLOCK_SLACK = timedelta(minutes=2)


class Check(msgspec.Struct, frozen=True):
    """What one check found.

    Attributes
    ----------
    name
        What was looked at.
    status
        ``ok``, ``warn`` (it works, for now) or ``fail``.
    finding
        What is there.
    advice
        What to do; empty when nothing is.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    finding: str
    advice: str = ""


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
        yield _failed("settings", error)
        return
    settings = resolved.settings
    yield _settings_check(resolved)
    file = session.database_file()
    absent = file is not None and not file.exists()
    directory = Path(settings.url)
    if absent:
        finding = f"there is none at {directory.resolve()} yet"
        yield Check("registry", "warn", finding, "The first 'chopmark register' makes one; --at looks elsewhere.")
    if not (settings.database_url and settings.store_url):
        yield _guarded("directory", lambda: _writable(directory))
        yield _guarded("disk", lambda: _space(directory))
    yield _guarded("temporary", lambda: _writable(Path(tempfile.gettempdir()), "temporary"))
    last_event = None
    if not absent:
        database = _guarded("database", lambda: _database(settings))
        yield database
        if database.status != "fail":
            yield _guarded("store", lambda: _store(settings))
            last_event = _last_event_at(session)
    yield _clock(clock(), last_event)
    yield _formats()
    yield _extras()


def _failed(name: str, error: Exception) -> Check:
    if isinstance(error, ChopmarkError):
        return Check(name, "fail", error.message, error.hint)
    return Check(name, "fail", f"{type(error).__name__}: {error}")


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """The check's answer, or its error as one: the next check must still be made."""
    try:
        return check()
    except (ChopmarkError, OSError) as error:
        return _failed(name, error)


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


def _formats() -> Check:
    usable, broken = [], []
    for name in format_names():
        try:
            get_format(name)
        except Unsupported as error:
            broken.append(error.message)
        else:
            usable.append(name)
    if broken:
        return Check("formats", "warn", " ".join(broken), "Install the package that offers it again.")
    return Check("formats", "ok", ", ".join(usable))


_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?[^;]*;.*extra\s*==\s*['\"]([A-Za-z0-9_-]+)['\"]")


def _extras() -> Check:
    wanted: dict[str, list[str]] = {}
    for line in metadata.requires("chopmark") or []:
        found = _REQUIREMENT.match(line)
        if found and found[2] != "all":
            wanted.setdefault(found[2], []).append(found[1])
    versions = {name: {d: installed_version(d) for d in names} for name, names in wanted.items()}
    there = {d: v for names in versions.values() for d, v in names.items() if v}
    missing = [name for name, names in versions.items() if not all(names.values())]
    finding = ", ".join(f"{d} {v}" for d, v in sorted(there.items())) or "none"
    if missing:
        finding += f"; {count(len(missing), 'extra')} not installed: {', '.join(missing)}"
    advice = f"When you need one: pip install 'chopmark[{missing[0]}]'" if missing else ""
    return Check("extras", "ok", finding, advice)

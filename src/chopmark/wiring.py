"""Settings → parts: the only place that knows which catalog, store and transport go together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.abc.blobs import BlobStore
from chopmark.abc.catalog import Catalog
from chopmark.abc.hints import Hints
from chopmark.abc.notify import Post
from chopmark.abc.records import RecordStore
from chopmark.app.dispatch import Dispatch
from chopmark.app.handlers import HANDLERS
from chopmark.app.identities import Identities
from chopmark.app.recording import Recorder
from chopmark.app.routing import MOVES_ROUTING
from chopmark.base.calls import Caller
from chopmark.base.clock import Clock, system_clock
from chopmark.base.deferred import Deferred
from chopmark.base.digest import digest_of
from chopmark.base.hints import ProcessHints
from chopmark.base.ids import uuid7
from chopmark.base.settings import Resolved, Settings
from chopmark.base.tally import Tally
from chopmark.blobs import open_store
from chopmark.blobs.cache import CachedStore
from chopmark.blobs.filesystem import sync_directory
from chopmark.blobs.records import open_records
from chopmark.blobs.served import ServedStore
from chopmark.catalog import open_catalog, open_hints, schema_revision, upgrade_catalog
from chopmark.catalog.checking import sqlite_faults
from chopmark.catalog.migrations import HEAD
from chopmark.domain.access import Actor
from chopmark.domain.audit import AuditEvent
from chopmark.errors import ChopmarkError, IntegrityFailure, InvalidRequest, Unavailable, Unsupported
from chopmark.notify.post import CheckedPost
from chopmark.ops.requests import Request
from chopmark.ops.table import BY_REQUEST
from chopmark.ops.usage import DailyLoads, RecordUsage
from chopmark.remote.known import KnownAnswers
from chopmark.remote.transport import ServedTransport

__all__ = [
    "DATABASE_FILE",
    "CatalogStanding",
    "LocalTransport",
    "catalog_standing",
    "connect",
    "connect_served",
    "connect_when_up",
    "database_faults",
    "database_file",
    "database_revision",
    "database_url",
    "has_records",
    "is_served",
    "open_blobs",
    "open_place",
    "open_record_store",
    "store_url",
    "upgrade_database",
]

DATABASE_FILE = "chopmark.db"
RECORDED_WITHIN_S = 0.5
_PAUSE_MAX_S = 10.0
STORE_DIRECTORY = "blobs"
_NO_BYTES = digest_of(b"")


class LocalTransport:
    """Calls ops in this process.

    Parameters
    ----------
    dispatch
        The door.
    actor
        Who calls.
    location
        For people.
    own
        Whether catalog and store are the caller's own.
    revisions
        Gives the revision of the tables that are there, and of those this release needs.
    hints
        Wake routers when what they deal by has changed; without them, those of this process.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        actor: Actor,
        location: str,
        *,
        own: bool,
        revisions: Callable[[], tuple[str, str]] = lambda: (HEAD, HEAD),
        hints: Hints | None = None,
    ) -> None:
        self._dispatch = dispatch
        self._actor = actor
        self.catalog: Catalog = dispatch.catalog
        self.store: BlobStore = dispatch.store
        self.records: RecordStore = dispatch.records
        self.post: Post = dispatch.post
        self.location = location
        self.own = own
        self._revisions = revisions
        self.routing_hints: Hints = hints if hints is not None else ProcessHints()
        self._closed = threading.Event()
        self._had_blobs = False
        self._was_told = False
        self.identities = Identities(dispatch.catalog, dispatch.clock)
        self._recorder = Recorder(dispatch.catalog, dispatch.records)
        self._recording = Deferred(self._record, RECORDED_WITHIN_S)
        self._loads: Tally[tuple[UUID, date]] = Tally(self._record_loads, _tell_loads_wait)

    def call(self, request: Request, *, key: str = "", dry_run: bool = False) -> Any:
        """Do the op that this request belongs to."""
        return self.act(request, self._actor, key=key, dry_run=dry_run)

    def act(
        self,
        request: Request,
        actor: Actor,
        *,
        key: str = "",
        dry_run: bool = False,
        expected: str = "",
        absent: bool = False,
    ) -> Any:
        """Do the op of a request as somebody; see `chopmark.app.dispatch.Dispatch`."""
        op = BY_REQUEST[type(request)]
        answer = self._dispatch(op.name, request, actor, key=key, dry_run=dry_run, expected=expected, absent=absent)
        if op.event is not None and not dry_run:
            self._recording.ask()
        if op.name in MOVES_ROUTING and not dry_run:
            self.routing_hints.tell()
        return answer

    def act_at_once(self, request: Request, actor: Actor) -> Any:
        """Do the op of a request that only reads a few rows, if nothing need be waited for; None otherwise."""
        return self._dispatch.at_once(BY_REQUEST[type(request)].name, request, actor)

    def hides_bytes(self, digest: str, actor: Actor) -> bool:
        """Whether a blob is to the actor as if it were not there."""
        return self.identities.hides_bytes(digest, actor)

    def note_put(self, digest: str, actor: Actor) -> None:
        """Let somebody know of the bytes that they put."""
        self.identities.note_put(digest, actor)

    def check(self) -> None:
        """Ask the database something; raises what keeps it from answering."""
        with self._dispatch.catalog.reading() as tx:
            tx.audit.head()

    def check_tables(self) -> None:
        """Raise `Unavailable` when the tables are older than this release needs: the database was restored from long ago."""
        there, needed = self._revisions()
        if there < needed:
            msg = f"The tables are of revision {there or 'none'}; this release needs {needed}."
            raise Unavailable(msg, hint="Run: chopmark db upgrade")

    def check_store(self) -> None:
        """Ask the store something; raises what keeps it from answering."""
        root = getattr(self.store, "root", None)  # of a directory, which is made with the first blob
        is_there = isinstance(root, Path) and root.is_dir()
        self._had_blobs = self._had_blobs or is_there
        if self._had_blobs and not is_there:
            raise Unavailable(f"The directory of the blobs is gone: {root}.", hint="Mount it again, or restore it.")
        self.store.stat(_NO_BYTES)

    def events(self, after_seq: int, limit: int) -> list[AuditEvent]:
        """Events of the audit after one, oldest first."""
        with self._dispatch.catalog.reading() as tx:
            return tx.audit.list(after_seq=after_seq, limit=limit)

    def last_seq(self) -> int:
        """Number of the last event; 0 before the first."""
        with self._dispatch.catalog.reading() as tx:
            return tx.audit.head()[0]

    def catch_up(self) -> int:
        """Record now what is not recorded beside the blobs yet; how many events that were."""
        return self._recorder.catch_up()

    def record_again(self) -> int:
        """Write all records beside the blobs anew; how many events they tell of."""
        return self._recorder.record_again()

    def record_soon(self) -> None:
        """Record what is not recorded yet, in the background: a process before this one may have left something."""
        self._recording.ask()

    def _record(self) -> bool:
        """Record in the background: what fails here is tried again, and `fsck` tells of it until then."""
        try:
            self._recorder.catch_up()
        except ChopmarkError as error:
            if not self._was_told:
                _tell_records_wait(error)
            self._was_told = True
            return False
        self._was_told = False
        return True

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of that name."""
        return self._dispatch.on(event, listener)

    def count_load(self, version_id: UUID) -> None:
        """Count a load of a version, today; written down some seconds later, with others."""
        self._loads.add((version_id, self._dispatch.clock().date()))

    def flush(self) -> None:
        """Write down the loads that were counted so far."""
        self._loads.flush()

    def _record_loads(self, counts: Mapping[tuple[UUID, date], int]) -> None:
        loads = [DailyLoads(version=version, day=day, count=count) for (version, day), count in counts.items()]
        self.call(RecordUsage(loads=tuple(loads)))

    def close(self) -> None:
        """Close catalog and store, once."""
        if not self._closed.is_set():
            self._closed.set()
            with ExitStack() as rest:  # each, whatever becomes of those before it
                rest.callback(self._dispatch.store.close)
                rest.callback(self._dispatch.catalog.close)
                rest.callback(self.routing_hints.close)
                rest.callback(self.identities.close)
                rest.callback(self._recording.close)
                self._loads.close()


def connect(resolved: Resolved, *, clock: Clock = system_clock, rebuilding: bool = False) -> LocalTransport:
    """Open catalog and store of the settings and put the door before them.

    Parameters
    ----------
    resolved
        The settings.
    clock
        Where the time comes from.
    rebuilding
        Whether an empty catalog beside old records is what is expected.

    Raises
    ------
    Unavailable
        When the database or the store does not answer, or its schema is not current.
    IntegrityFailure
        When the catalog is empty and the records beside the blobs tell of another one: its database was lost.
    InvalidRequest, Unsupported
        When the settings do not name a registry that this release can open.
    """
    settings = resolved.settings
    _check_url(settings.url)
    _make_directory(settings)
    post = CheckedPost(settings, None if settings.database_url and settings.store_url else Path(settings.url))
    catalog = _catalog(settings)
    try:
        store = _store(settings, clock)
    except BaseException:
        catalog.close()
        raise
    dispatch = Dispatch(catalog, store, open_record_store(settings), HANDLERS, clock=clock, new_id=uuid7, post=post)
    try:
        if not rebuilding:
            _refuse_a_lost_catalog(dispatch, settings)
    except BaseException:
        catalog.close()
        store.close()
        raise
    own = not settings.database_url.startswith("postgresql")
    return LocalTransport(
        dispatch,
        Actor(settings.actor),
        _location(settings),
        own=own,
        revisions=lambda: database_revision(settings),
        hints=open_hints(
            database_url(settings),
            schema=settings.db_schema,
            table_prefix=settings.db_table_prefix,
            connect_timeout_s=settings.connect_timeout_s,
        ),
    )


def _tell_loads_wait(error: ChopmarkError) -> None:
    import logging

    logging.getLogger("chopmark").warning("Loads are counted in memory for now; they cannot be written down: %s", error)


def _tell_records_wait(error: ChopmarkError) -> None:
    import logging

    logging.getLogger("chopmark").warning(
        "Nothing can be recorded beside the blobs for now; it is tried again: %s", error
    )


def _refuse_a_lost_catalog(dispatch: Dispatch, settings: Settings) -> None:
    """A database that was lost must not be taken for a registry that begins."""
    with dispatch.catalog.reading() as tx:
        begun = tx.audit.head()[0] > 0
    if not begun and next(dispatch.records.names(), None) is not None:
        msg = (
            f"The catalog of {_location(settings)} is empty, and the records beside its blobs tell of one that is not."
        )
        hint = (
            "If this is another registry, give it a store of its own, as two never share one. "
            "If its database was lost: chopmark rebuild"
        )
        raise IntegrityFailure(msg, hint=hint)


def _make_directory(settings: Settings) -> None:
    if settings.database_url and settings.store_url:
        return
    directory = Path(settings.url)
    try:
        _make_durably(directory)
    except (FileExistsError, NotADirectoryError) as error:
        msg = f"{directory} is not a directory."
        raise InvalidRequest(msg, hint="Choose another place for the registry.") from error
    except OSError as error:
        msg = f"The registry cannot be made at {directory}: {error.strerror}."
        hint = "Choose a directory that may be written to, or set CHOPMARK_URL."
        raise Unavailable(msg, hint=hint) from error


def _make_durably(directory: Path) -> None:
    """Make a directory whose name survives a power cut: all that is stored in it is lost with its name."""
    if (directory / DATABASE_FILE).exists():
        return  # whoever made that has synced the name
    missing = [each for each in (directory, *directory.parents) if each == directory or not each.is_dir()]
    directory.mkdir(parents=True, exist_ok=True)
    for each in missing:
        with suppress(PermissionError):  # a parent that may be passed and not read
            sync_directory(each.absolute().parent)


def connect_when_up(
    resolved: Resolved, tell: Callable[[ChopmarkError], None], *, wait: Callable[[float], object] = time.sleep
) -> LocalTransport:
    """`connect`, as soon as a PostgreSQL that is not up yet answers; a file does not come up by itself.

    Parameters
    ----------
    resolved
        The settings.
    tell
        Is told, once, what is waited for.
    wait
        Waits so many seconds; something true says to wait no longer.

    Raises
    ------
    Unavailable
        As `connect`, for a registry that is not waited for, or when ``wait`` says so.
    """
    pause_s, told = 0.5, False
    while True:
        try:
            return connect(resolved)
        except Unavailable as error:
            if not resolved.settings.database_url.startswith("postgresql"):
                raise
            if not told:
                tell(error)
            told = True
            if wait(pause_s):
                raise
        pause_s = min(2 * pause_s, _PAUSE_MAX_S)


def is_served(settings: Settings) -> bool:
    """Whether a server keeps the registry of these settings."""
    return settings.url.startswith(("http://", "https://"))


def connect_served(resolved: Resolved, *, clock: Clock = system_clock) -> ServedTransport:
    """Reach the registry that a server keeps; nothing is sent yet.

    What is read of its bytes, and what it says of the versions that are loaded, is kept in the local cache.

    Raises
    ------
    InvalidRequest
        When the address cannot be meant, or the token would pass readable by others.
    """
    settings = resolved.settings
    caller = Caller(
        settings.url,
        token=settings.token,
        timeout_s=settings.request_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        retry_for_s=settings.retry_for_s,
        connections=settings.pool_size,
    )
    blobs = ServedStore(caller)
    store = CachedStore(blobs, Path(settings.cache_dir), settings.cache_quota_bytes)
    known = KnownAnswers(
        Path(settings.cache_dir),
        settings.url,
        settings.token,
        clock=clock,
        moving_for=timedelta(hours=settings.offline_hours),
    )
    return ServedTransport(
        caller,
        store,
        clock=clock,
        tell_loads_wait=_tell_loads_wait,
        known=known if settings.offline_hours else None,
    )


def _check_url(url: str) -> None:
    if url.startswith(("http://", "https://")):
        msg = f"{url} is a server; this is for where its database and store are."
        raise Unsupported(msg, hint="Run it on the server, with the server's settings.")
    if "://" in url:
        msg = f"{_without_password(url)} is not the directory of a registry."
        hint = "Pass a database as database_url=… and a store as store_url=…."
        raise InvalidRequest(msg, hint=hint)


def database_url(settings: Settings) -> str:
    """Address of the database: the one set, or the SQLite file in the registry's directory."""
    return settings.database_url or str(Path(settings.url) / DATABASE_FILE)


def store_url(settings: Settings) -> str:
    """Address of the blob store: the one set, or a directory in the registry's."""
    return settings.store_url or str(Path(settings.url) / STORE_DIRECTORY)


def database_file(settings: Settings) -> Path | None:
    """The SQLite file of the settings, there or not; None when the database is a server's."""
    url = database_url(settings).removeprefix("sqlite:///")
    return None if "://" in url else Path(url)


def database_revision(settings: Settings) -> tuple[str, str]:
    """Revision of the tables that are there (empty: none), and of those this release knows."""
    there = schema_revision(
        database_url(settings),
        schema=settings.db_schema,
        table_prefix=settings.db_table_prefix,
        connect_timeout_s=settings.connect_timeout_s,
    )
    return there, HEAD


def upgrade_database(settings: Settings) -> tuple[str, str]:
    """Make the tables or bring them up to date; their revision before and after."""
    return upgrade_catalog(
        database_url(settings),
        schema=settings.db_schema,
        table_prefix=settings.db_table_prefix,
        lock_timeout_s=settings.lock_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
    )


def database_faults(settings: Settings) -> list[str]:
    """What the database's own check finds; empty when nothing. A server looks after its files itself."""
    file = database_file(settings)
    return sqlite_faults(file) if file is not None else []


class CatalogStanding(NamedTuple):
    """What a check of an installation asks a catalog.

    ``collects``: a collection of garbage runs at this moment, or was cut off; ``recorded``, ``events``: how many events
    are recorded beside the blobs, of how many.
    """

    collects: bool
    recorded: int
    events: int


def catalog_standing(settings: Settings) -> CatalogStanding:
    """Ask the catalog of the settings."""
    catalog = _catalog(settings)
    try:
        with catalog.reading() as tx:
            return CatalogStanding(tx.collection.generation() % 2 == 1, tx.recorded.position(), tx.audit.head()[0])
    finally:
        catalog.close()


def open_blobs(settings: Settings) -> BlobStore:
    """The blob store of the settings; the caller closes it."""
    return _store(settings)


def open_place(place: str, settings: Settings) -> tuple[BlobStore, RecordStore]:
    """Blobs and records of a place beside the registry's own, for a backup; a directory is laid out as a registry's."""
    url = place if "://" in place else str(Path(place) / STORE_DIRECTORY)
    elsewhere = structs.replace(settings, store_url=url)
    return _store(elsewhere, cached=False), open_record_store(elsewhere)


def open_record_store(settings: Settings) -> RecordStore:
    """The records beside the blobs of the settings."""
    url = store_url(settings)
    if "://" not in url:
        return open_records(url)
    return open_records(url, endpoint_url=settings.store_endpoint or None, options=_options(settings))


def has_records(settings: Settings) -> bool:
    """Whether there are records of a registry beside the blobs of the settings."""
    return next(open_record_store(settings).names(), None) is not None


def _options(settings: Settings) -> dict[str, str] | None:
    is_s3 = store_url(settings).startswith("s3:")
    return {"region": settings.store_region} if settings.store_region and is_s3 else None


def _location(settings: Settings) -> str:
    if not settings.database_url and not settings.store_url:
        return str(Path(settings.url).resolve())
    return f"{_without_password(database_url(settings))} and {store_url(settings)}"


def _without_password(url: str) -> str:
    scheme, sep, rest = url.partition("://")
    return scheme + sep + rest.rpartition("@")[2] if sep else url


def _catalog(settings: Settings) -> Catalog:
    return open_catalog(
        database_url(settings),
        schema=settings.db_schema,
        table_prefix=settings.db_table_prefix,
        lock_timeout_s=settings.lock_timeout_s,
        pool_size=settings.pool_size,
        connect_timeout_s=settings.connect_timeout_s,
    )


def _store(settings: Settings, clock: Clock = system_clock, *, cached: bool = True) -> BlobStore:
    url = store_url(settings)
    if "://" not in url:
        return open_store(
            url,
            compression=settings.compression,
            packs=settings.small_blobs == "packed",
            tensors=settings.safetensors == "tensors",
            clock=clock,
        )
    return open_store(
        url,
        cache_dir=Path(settings.cache_dir) if cached else None,
        cache_quota_bytes=settings.cache_quota_bytes,
        endpoint_url=settings.store_endpoint or None,
        options=_options(settings),
        clock=clock,
    )

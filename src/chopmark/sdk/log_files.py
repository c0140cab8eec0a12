"""Files of a prediction log: found, read, and held against the ids of their requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.prediction_logs import (
    FAULTS_MAX,
    LogAbout,
    LogCheck,
    LogFault,
    Logged,
    fault_of,
    may_hold,
    parse_log_file,
)
from chopmark.domain.request_ids import mark_of, read_request_id
from chopmark.errors import IntegrityFailure, InvalidRequest, Unsupported
from chopmark.formats.prediction_files import read_log_file

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LogFile", "Wanted", "checked", "log_files"]


class Wanted(NamedTuple):
    """Which rows of a log.

    Attributes
    ----------
    directory
        Of the log.
    endpoint
        ``[project/]name``; all when empty.
    since, until
        Aware; when the rows were answered, the end left out.
    version_id
        That answered them; any when None.
    """

    directory: Path
    endpoint: str = ""
    since: datetime | None = None
    until: datetime | None = None
    version_id: UUID | None = None


class LogFile(NamedTuple):
    """Rows of one file; ``place`` is below the directory."""

    place: str
    about: LogAbout
    rows: pa.Table


def log_files(wanted: Wanted, damaged: Callable[[str, str], None] | None = None) -> Iterator[LogFile]:
    """Files with rows that are wanted, the oldest first; one that is gone before it is read was old, and is passed over.

    Parameters
    ----------
    damaged
        Is told of a file that cannot be read, and why; without it that is raised.

    Raises
    ------
    InvalidRequest
        When there is no such directory.
    IntegrityFailure
        When a file is damaged.
    Unsupported
        When pyarrow is not installed.
    """
    if not wanted.directory.is_dir():
        msg = f"There is no directory {str(wanted.directory)!r}."
        raise InvalidRequest(msg, hint="Name the directory of the setting gateway_log_dir.")
    for path in _paths(wanted):
        place = path.relative_to(wanted.directory).as_posix()
        try:
            about, rows = read_log_file(path, _utc(wanted.since), _utc(wanted.until))
        except (IntegrityFailure, InvalidRequest, Unsupported) as error:
            if not path.exists():
                continue
            if damaged is None or isinstance(error, Unsupported):
                raise
            damaged(place, error.message)
            continue
        if rows.num_rows and wanted.version_id in (None, about.version_id):
            yield LogFile(place, about, rows)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _paths(wanted: Wanted) -> list[Path]:
    pattern = "*/*"
    if wanted.endpoint:
        ref = parse_endpoint(wanted.endpoint)
        pattern = f"{ref.project}/{ref.name}"
    found = []
    for path in wanted.directory.glob(f"{pattern}/*/*.parquet"):
        parts = path.relative_to(wanted.directory).parts
        if parse_log_file(parts) is not None and may_hold(parts[2], _utc(wanted.since), _utc(wanted.until)):
            found.append(path)
    return sorted(found, key=lambda path: path.parts[-2:])


def checked(wanted: Wanted, secret: bytes, fault_in: Callable[[LogAbout], str]) -> LogCheck:
    """Hold every row against its request id, which only gateways of the registry can make.

    Parameters
    ----------
    secret
        Of the routing.
    fault_in
        What is wrong with what a file says of itself, by the registry; empty when nothing.
    """
    faults: list[LogFault] = []
    faulty_rows = faulty_files = 0

    def note(fault: LogFault) -> None:
        if len(faults) < FAULTS_MAX:
            faults.append(fault)

    def damaged(place: str, why: str) -> None:
        nonlocal faulty_files
        faulty_files += 1
        note(LogFault(file=place, why=why))

    seen: set[tuple[bytes, int]] = set()
    files = rows = 0
    for file in log_files(wanted, damaged):
        files += 1
        rows += file.rows.num_rows
        why = fault_in(file.about)
        if why:
            damaged(file.place, why)
        for fault in _row_faults(file, secret, seen):
            faulty_rows += 1
            note(fault)
    return LogCheck(files=files, rows=rows, faulty_rows=faulty_rows, faulty_files=faulty_files, faults=tuple(faults))


def _row_faults(file: LogFile, secret: bytes, seen: set[tuple[bytes, int]]) -> Iterator[LogFault]:
    about = file.about
    said_of_all = (about.endpoint, about.model, about.version, about.digest)
    names = ("request_id", "row", "at", "variant", "generation", "endpoint", "model", "version", "digest")
    known: dict[tuple[object, ...], tuple[str, bytes]] = {}
    for request_id, row, at, variant, generation, *who in zip(
        *(file.rows.column(name).to_pylist() for name in names), strict=True
    ):
        key = (request_id, at, variant, generation)
        if key not in known:
            at_ms = round(at.timestamp() * 1_000)
            logged = Logged(request_id, at_ms, about.endpoint_id, about.version_id, variant, generation)
            known[key] = _held_against(logged, secret)
        why, mark = known[key]
        if not why and tuple(who) != said_of_all:
            why = "the row says otherwise than its file who answered"
        if not why and (mark, row) in seen:
            why = "the row is there twice"
        if why:
            yield LogFault(file=file.place, request_id=request_id, row=row, why=why)
        seen.add((mark, row))


def _held_against(logged: Logged, secret: bytes) -> tuple[str, bytes]:
    try:
        said = read_request_id(logged.request_id, secret)
    except InvalidRequest:
        return "no gateway of this registry gave this request id", b""
    return fault_of(logged, said), mark_of(logged.request_id)

"""Logs of predictions: what their files are called, what is left out of them, and what a check or a replay of them found.

Nouns
-----
log
    Sampled requests and their answers, a row for each row of a request, in Parquet files of one endpoint and one version each.
seat
    A place in a log's directory that one gateway has at a time: its files are its own, and those of the gateway that sat there before.
redaction
    Columns that are null in every file from the beginning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from chopmark.domain.names import counted, shown
from chopmark.domain.request_ids import AnsweredBy
from chopmark.domain.signature import Field
from chopmark.errors import InvalidRequest

__all__ = [
    "DIFFERING_MAX",
    "FAULTS_MAX",
    "IDENTITY",
    "INPUT",
    "LOG_FORM",
    "OUTPUT",
    "LogAbout",
    "LogCheck",
    "LogFault",
    "LogFileName",
    "LogReplay",
    "Logged",
    "ReplayedRow",
    "StoredLog",
    "check_redaction",
    "fault_of",
    "may_hold",
    "parse_log_file",
    "to_go",
    "unknown_columns",
]

LOG_FORM = 1
INPUT, OUTPUT = "input.", "output."
"""What the names of columns begin with."""

IDENTITY = (
    "at",
    "request_id",
    "endpoint",
    "model",
    "version",
    "digest",
    "variant",
    "generation",
    "row",
    "rows",
)
"""Columns that every file has, in this order."""

DIFFERING_MAX = 100
FAULTS_MAX = 1_000

_REDACTED_MAX = 1_000
_NAME_LENGTH_MAX = 300
_SLACK = timedelta(days=1)
_FILE = re.compile(
    r"(?P<time>\d{2}-\d{2}-\d{2}\.\d{3})-(?P<number>\d{6,})-g(?P<seat>\d+)-(?P<router>[0-9a-f]+)\.parquet"
)


class LogAbout(msgspec.Struct, frozen=True, kw_only=True):
    """What the metadata of a file says of all its rows.

    Attributes
    ----------
    form
        Of the file; readers refuse one that they do not know.
    endpoint, endpoint_id
        Of which.
    model, version, version_id, digest
        Which version answered.
    router
        Which wrote it.
    inputs
        What that version takes.
    redacted
        Columns that are null because the endpoint asks for that.
    columns
        Names and Arrow types of all columns.
    columns_digest
        SHA-256 of their canonical JSON.
    """

    form: int = LOG_FORM
    endpoint: str
    endpoint_id: UUID
    model: str
    version: int
    version_id: UUID
    digest: str
    router: str = ""
    inputs: tuple[Field, ...] = ()
    redacted: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    columns_digest: str = ""


class LogFileName(NamedTuple):
    """``<project>/<endpoint>/<date>/<time>-<number>-g<seat>-<router>.parquet`` below the directory; never used twice.

    Attributes
    ----------
    project, endpoint
        Of the endpoint.
    began_at
        UTC, when the first of its rows was taken.
    number
        Counts the files of a router.
    seat, router
        Who wrote it.
    """

    project: str
    endpoint: str
    began_at: datetime
    number: int
    seat: int
    router: str

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Directories, and the name of the file."""
        at = f"{self.began_at:%H-%M-%S}.{self.began_at.microsecond // 1000:03d}"
        name = f"{at}-{self.number:06d}-g{self.seat}-{self.router}.parquet"
        return self.project, self.endpoint, f"{self.began_at:%Y-%m-%d}", name


class StoredLog(NamedTuple):
    """A file that is there: its place below the directory, and its size."""

    parts: tuple[str, str, str, str]
    size_bytes: int

    @property
    def order(self) -> tuple[str, str]:
        """Older files come first."""
        return self.parts[2], self.parts[3]


class Logged(NamedTuple):
    """Who answered a row, as the row says it."""

    request_id: str
    at_ms: int
    endpoint_id: UUID
    version_id: UUID
    variant: str
    generation: int


class LogFault(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is not what a gateway wrote, or a file that is not.

    Attributes
    ----------
    file
        Below the directory.
    request_id, row
        As the row says; empty and -1 for the whole file.
    why
        What is wrong.
    """

    file: str
    request_id: str = ""
    row: int = -1
    why: str


class LogCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a log found.

    Attributes
    ----------
    files, rows
        That were read.
    faulty_rows, faulty_files
        How many are wrong.
    faults
        The first of them.
    """

    files: int
    rows: int
    faulty_rows: int = 0
    faulty_files: int = 0
    faults: tuple[LogFault, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.faults

    def __repr__(self) -> str:
        read = f"{counted(self.rows, 'row')} in {counted(self.files, 'file')}"
        if self.is_sound:
            return f"<log · {read} · every request id is genuine>"
        return (
            f"<log · {read} · {counted(self.faulty_rows, 'faulty row')}, {counted(self.faulty_files, 'faulty file')}>"
        )


class ReplayedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is answered otherwise now.

    Attributes
    ----------
    request_id, row, at
        Which.
    answered_by
        The version that answered it.
    logged, now
        By output, where they differ.
    """

    request_id: str
    row: int
    at: datetime
    answered_by: str
    logged: dict[str, Any]
    now: dict[str, Any]


class LogReplay(msgspec.Struct, frozen=True, kw_only=True):
    """What a version answers to logged inputs, beside what was answered.

    Attributes
    ----------
    version, digest
        That answered again.
    rows, agreeing
        That were compared, and those of which all outputs are the same: numbers within a billionth of each other.
    outputs
        That were compared.
    shift_mean, shift_mean_abs, shift_max_abs
        Of the first output of numbers, its mean over what is given for a row: now less then. None where no output is of numbers.
    differing
        The first rows that differ.
    """

    version: str
    digest: str
    rows: int
    agreeing: int
    outputs: tuple[str, ...] = ()
    shift_mean: float | None = None
    shift_mean_abs: float | None = None
    shift_max_abs: float | None = None
    differing: tuple[ReplayedRow, ...] = ()

    @property
    def agreement(self) -> float:
        """Share of the rows that agree."""
        return self.agreeing / self.rows

    def __repr__(self) -> str:
        return f"<replay by {self.version} · {self.agreeing:,} of {counted(self.rows, 'row')} the same>"


def check_redaction(names: Sequence[str]) -> None:
    """Refuse what can be no column of a log.

    Raises
    ------
    InvalidRequest
        When one does not begin as columns do, is there twice, or there are too many.
    """
    if len(names) > _REDACTED_MAX:
        raise InvalidRequest(f"log_redact names {len(names):,} columns; {_REDACTED_MAX:,} is the limit.")
    for name in names:
        is_column = name.startswith((INPUT, OUTPUT)) and name not in (INPUT, OUTPUT) and len(name) <= _NAME_LENGTH_MAX
        if not is_column:
            msg = f"log_redact names {shown(name)}, which is no column of a log."
            raise InvalidRequest(msg, hint="Write input.NAME or output.NAME, for example input.iban.")
    if len(set(names)) < len(names):
        raise InvalidRequest("log_redact names a column twice.")


def unknown_columns(redacted: Iterable[str], known: Collection[str]) -> list[str]:
    """Columns that are to be left out, and that nobody has: perhaps mistyped, and then nothing would be left out."""
    return [name for name in redacted if name not in known]


def parse_log_file(parts: tuple[str, ...]) -> LogFileName | None:
    """What the place of a file below the directory says; None when no gateway made it.

    >>> name = LogFileName("default", "fraud-api", datetime(2026, 3, 1, 12, 30), 7, 1, "ab12")
    >>> name.parts[3]
    '12-30-00.000-000007-g1-ab12.parquet'
    >>> parse_log_file(name.parts) == name
    True
    """
    if len(parts) != 4:  # noqa: PLR2004
        return None
    project, endpoint, day, name = parts
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    try:
        began_at = datetime.strptime(f"{day} {found['time']}", "%Y-%m-%d %H-%M-%S.%f")  # noqa: DTZ007 - all are UTC
    except ValueError:
        return None
    return LogFileName(project, endpoint, began_at, int(found["number"]), int(found["seat"]), found["router"])


def may_hold(day: str, since: datetime | None, until: datetime | None) -> bool:
    """Whether a directory of files that began on a day can hold rows of a time; aware, UTC."""
    try:
        began = date.fromisoformat(day)
    except ValueError:
        return False
    is_late_enough = since is None or began >= (since - _SLACK).date()
    return is_late_enough and (until is None or began <= until.date())


def to_go(stored: Iterable[StoredLog], bytes_max: int, coming_bytes: int = 0) -> list[StoredLog]:
    """Files that have to go, the oldest first, so that with what comes there are at most so many bytes.

    >>> three = [StoredLog(("p", "e", "2026-03-01", name), 10) for name in "bac"]
    >>> [each.parts[3] for each in to_go(three, 25, 10)]
    ['a', 'b']
    """
    ordered = sorted(stored, key=lambda each: each.order)
    excess = sum(each.size_bytes for each in ordered) + coming_bytes - bytes_max
    going = []
    for each in ordered:
        if excess <= 0:
            break
        going.append(each)
        excess -= each.size_bytes
    return going


def fault_of(logged: Logged, said: AnsweredBy) -> str:
    """What a row says otherwise than its request id, in words; empty when nothing."""
    pairs = (
        ("endpoint", logged.endpoint_id, said.endpoint_id),
        ("version", logged.version_id, said.version_id),
        ("variant", logged.variant, said.variant),
        ("generation", logged.generation, said.generation),
        ("time", logged.at_ms, round(said.at.timestamp() * 1_000)),
    )
    other = [name for name, mine, its in pairs if mine != its]
    return f"the request id is of another {', '.join(other)}" if other else ""

"""The audit in a file: one event a line, with a signed checkpoint beside it; verified without a registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from chopmark.base.jsons import canonical, decoder
from chopmark.domain.audit import AuditEvent, ChainEnd, ChainFault, walk
from chopmark.domain.checkpoint import Checkpoint, origin_of
from chopmark.errors import Conflict, InvalidRequest, NotFound, Unavailable
from chopmark.ops.results import AuditVerdict
from chopmark.sdk.audit_keys import open_note

__all__ = ["CHECKPOINT_SUFFIX", "read_note", "verdict_of", "verify_export", "write_events"]

CHECKPOINT_SUFFIX = ".checkpoint"
LINE_BYTES_MAX = 64 * 1024 * 1024
_NOTE_BYTES_MAX = 200_000

_decode = decoder(AuditEvent)


def write_events(events: Iterable[AuditEvent], file: Path) -> ChainEnd:
    """Write events to a new file, each on a line as its hash sees it; walked on the way.

    Nothing is left behind when it fails, or when the chain is broken.

    Raises
    ------
    Conflict
        When the file is there already.
    Unavailable
        When it cannot be written.
    """
    if file.exists():
        raise Conflict(f"There is a file {file} already.", hint="Choose another name.")
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as stream:
            end = walk(_written(events, stream))
            stream.flush()
            os.fsync(stream.fileno())
        if end.fault is None:
            part.replace(file)
    except OSError as error:
        msg = f"The events cannot be written to {file}: {error.strerror}."
        raise Unavailable(msg, hint="Choose another place.") from error
    finally:
        part.unlink(missing_ok=True)
    return end


def _written(events: Iterable[AuditEvent], stream: BinaryIO) -> Iterator[AuditEvent]:
    for event in events:
        stream.write(canonical(event) + b"\n")
        yield event


def read_note(checkpoint: str | Path) -> str:
    """Text of a checkpoint: of a file, or the text itself when it has several lines.

    Raises
    ------
    NotFound
        When there is no such file.
    InvalidRequest
        When it cannot be read.
    """
    if isinstance(checkpoint, str) and "\n" in checkpoint:
        return checkpoint
    try:
        with Path(checkpoint).open("rb") as stream:
            return stream.read(_NOTE_BYTES_MAX).decode()
    except FileNotFoundError as error:
        raise NotFound(f"There is no checkpoint at {checkpoint}.", hint="Pass the file that was kept.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The checkpoint {checkpoint} cannot be read: {error}.") from error


def verify_export(
    file: str | Path,
    checkpoint: str | Path,
    key: str,
    *,
    may_have_grown: bool = False,
    told: Callable[[int], None] | None = None,
) -> AuditVerdict:
    """Verify exported events against a checkpoint: nothing but the three is needed.

    Parameters
    ----------
    file
        What ``audit.export`` wrote.
    checkpoint
        A file, or its text.
    key
        The verifier key of whoever signed it, taken from them and not from where the file came.
    may_have_grown
        Whether the events may go on after those of the checkpoint: for a later export, held
        against an earlier checkpoint. Nothing vouches for what goes on.
    told
        Called with the bytes of each line that was read.

    Returns
    -------
    AuditVerdict
        Its ``fault`` says what was changed, removed or inserted, if anything was.

    Raises
    ------
    IntegrityFailure
        When the checkpoint is not signed by that key.
    InvalidRequest, NotFound
        When the checkpoint or the key is none, or a file is missing.
    """
    known = open_note(read_note(checkpoint), key)
    place = Path(file)
    damage: list[ChainFault] = []
    try:
        with place.open("rb") as stream:
            end = walk(_read(stream, damage, told), known.mark)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {place}.") from error
    except OSError as error:
        raise InvalidRequest(f"{place} cannot be read: {error.strerror}.") from error
    if damage:
        end = msgspec.structs.replace(end, fault=damage[0])
    if end.fault is None and end.events > known.size and not may_have_grown:
        fault = ChainFault(known.size + 1, f"the checkpoint is of {known.size} events; this one was added")
        end = msgspec.structs.replace(end, fault=fault)
    return verdict_of(end, known)


def _read(stream: BinaryIO, damage: list[ChainFault], told: Callable[[int], None] | None) -> Iterator[AuditEvent]:
    """Events of lines, to the first line that is not exactly one event."""
    number = 0
    while line := stream.readline(LINE_BYTES_MAX):
        number += 1
        if told is not None:
            told(len(line))
        try:
            event = _decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # not JSON, not UTF-8, too deep
            damage.append(ChainFault(number, f"line {number} is no event: {error}"))
            return
        # Nothing may stand in a line that its hash does not cover: further fields, blanks, a key twice.
        if canonical(event) + b"\n" != line:
            damage.append(ChainFault(number, f"line {number} is not as it was exported"))
            return
        yield event


def verdict_of(end: ChainEnd, known: Checkpoint) -> AuditVerdict:
    """What a walk found, and whether the checkpoint is of this chain at all."""
    fault = end.fault
    if fault is None and known.size and known.origin != origin_of(end.first):
        fault = ChainFault(1, f"the checkpoint is of {known.origin}, and this is {origin_of(end.first)}")
    return AuditVerdict(
        events=end.events,
        head=end.head,
        first=end.first,
        fault=fault.reason if fault else "",
        fault_seq=fault.seq if fault else 0,
    )

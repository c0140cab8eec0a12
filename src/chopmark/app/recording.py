"""Recording: what the audit tells, written beside the blobs with the states it left, soon after each change.

The catalog remembers up to which event that was done, so that whoever is killed, the next one goes on there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from chopmark.abc.catalog import Catalog, Transaction
from chopmark.abc.records import RecordStore
from chopmark.base.digest import PREFIX
from chopmark.base.jsons import canonical
from chopmark.domain.audit import AuditEvent, find_fault
from chopmark.domain.lineage import version_node
from chopmark.domain.records import (
    Gone,
    ModelState,
    ProjectState,
    Segment,
    Span,
    State,
    Subject,
    TrustState,
    VersionState,
    decode_segment,
    encode_segment,
    merge_segments,
    span_of,
    subjects_of,
)
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.domain.versions import Model, Version
from chopmark.errors import ChopmarkError, NotFound

__all__ = [
    "Recorder",
    "is_of_chain",
    "read_segments",
    "registry_id",
    "registry_ids",
    "spans_of",
    "state_of_model",
    "state_of_version",
    "within",
]

EVENTS_A_SEGMENT = 20_000
"""As many as are ever likely to wait: a segment's states are those after its last event, so that it is whole by itself."""

EVENTS_MERGED = 32
LOOKS_MAX = 10
"""How often segments are listed anew because some were put together while they were read."""

_IN_REGISTRY = re.compile(r"([0-9a-f]{16})/events/")
_ADDED = frozenset(("version.registered", "version.imported"))
HISTORY_MAX = 10_000
"""Entries of one history that a state holds; what is older is in the audit."""


def registry_id(first: AuditEvent) -> str:
    """Identifier of a registry: how the hash of its first event begins, which no other registry has."""
    return first.hash.removeprefix(PREFIX)[:16]


def registry_ids(records: RecordStore) -> list[str]:
    """Identifiers of the registries that have records here."""
    return sorted({found[1] for name in records.names() if (found := _IN_REGISTRY.match(name))})


def within(records: RecordStore, registry: str) -> RecordStore:
    """The records of one registry: those under its identifier."""
    return _Within(records, registry)


class _Within:
    """`chopmark.abc.records.RecordStore` over the names below one folder of another."""

    def __init__(self, records: RecordStore, registry: str) -> None:
        self._records = records
        self._folder = registry + "/"

    def put(self, name: str, data: bytes) -> None:
        """See `chopmark.abc.records.RecordStore`."""
        self._records.put(self._folder + name, data)

    def get(self, name: str) -> bytes:
        """See `chopmark.abc.records.RecordStore`."""
        return self._records.get(self._folder + name)

    def names(self, prefix: str = "") -> Iterator[str]:
        """See `chopmark.abc.records.RecordStore`."""
        return (name.removeprefix(self._folder) for name in self._records.names(self._folder + prefix))

    def delete(self, name: str) -> bool:
        """See `chopmark.abc.records.RecordStore`."""
        return self._records.delete(self._folder + name)


class Recorder:
    """Keeps the records of a catalog.

    Parameters
    ----------
    catalog
        What is recorded.
    records
        Where to.
    """

    def __init__(self, catalog: Catalog, records: RecordStore) -> None:
        self._catalog = catalog
        self._records = records

    def catch_up(self) -> int:
        """Write what is not recorded yet; what happens meanwhile is left to who is asked for it.

        Returns
        -------
        int
            Events that were recorded. Two that record at once write the same twice, which does no harm.

        Raises
        ------
        Unavailable, TimedOut
            When the store or the catalog does not answer; what was written stays good.
        """
        with self._catalog.reading() as tx:
            last = tx.audit.head()[0]
        done, seq = 0, -1
        while seq < last and (written := self._next_segment()) is not None:
            done += written.last - written.first + 1
            seq = written.last
        return done

    def record_again(self) -> int:
        """Write all records anew from the catalog, then remove those that were there; how many events that were.

        At every moment one of the two is whole.
        """
        with self._catalog.reading() as tx:
            first = tx.audit.list(limit=1)
        if not first:
            return 0
        records = within(self._records, registry_id(first[0]))
        before, written, seq = spans_of(records), set[Span](), 0
        while (segment := self._segment_after(seq)) is not None:
            records.put(segment.span.name, encode_segment(segment))
            written.add(segment.span)
            seq = segment.span.last
        for span in before:
            if span not in written:
                records.delete(span.name)
        with self._catalog.writing() as writing:
            writing.recorded.move(seq)
        return seq

    def _next_segment(self) -> Span | None:
        with self._catalog.reading() as tx:
            position = tx.recorded.position()
        segment = self._segment_after(position)
        if segment is None:
            return None
        with self._catalog.reading() as tx:
            records = within(self._records, registry_id(tx.audit.list(limit=1)[0]))
        records.put(segment.span.name, encode_segment(segment))
        with self._catalog.writing() as writing:
            writing.recorded.move(segment.span.last)
        _merge(records, segment.span)
        return segment.span

    def _segment_after(self, position: int) -> Segment | None:
        with self._catalog.reading() as tx:
            events = tx.audit.list(after_seq=position, limit=EVENTS_A_SEGMENT)
            if not events:
                return None
            seq = tx.audit.head()[0]
            states = _states(tx, events, seq)
            added = {event.target for event in events if event.event in _ADDED}
            new = (s.version for s in states if isinstance(s, VersionState) and s.version.ref in added)
            digests = {version.digest for version in new}
            found = {digest: tx.manifests.get(digest) for digest in sorted(digests)}
        manifests = {digest: canonical(manifest) for digest, manifest in found.items() if manifest is not None}
        return Segment(events, states, manifests)


def _merge(records: RecordStore, written: Span) -> None:
    """Put small files together whenever their number comes round, so that they never are many.

    The files of 32 events become one, 32 of those become one, and so on: each state is copied a few times in all.
    """
    size = EVENTS_MERGED
    while written.last // size > (written.first - 1) // size:
        end = written.last // size * size
        inside = [s for s in spans_of(records) if end - size < s.first and s.last <= end]
        if len(inside) > 1:
            _merge_files(records, inside)
        size *= EVENTS_MERGED


def _merge_files(records: RecordStore, spans: list[Span]) -> None:
    try:
        segments = [decode_segment(records.get(s.name), s.name) for s in spans]
    except ChopmarkError:
        return  # merged by somebody else meanwhile, or damaged: left as it is for `fsck` to tell
    merged = merge_segments(segments)
    if find_fault(merged.events, merged.events[0].previous, merged.span.first) is not None:
        return  # one between them is missing, or tells of another course of events
    records.put(merged.span.name, encode_segment(merged))
    for span in spans:
        if span != merged.span:
            records.delete(span.name)


def is_of_chain(tx: Transaction, span: Span) -> bool:
    """Whether the catalog has the last event of a segment: the segment tells of its own course of events."""
    event = tx.audit.list(after_seq=span.last - 1, before_seq=span.last + 1, limit=1)
    return bool(event) and event[0].hash.removeprefix(PREFIX).startswith(span.head)


def spans_of(records: RecordStore) -> list[Span]:
    """Spans of the segments of one registry, in order."""
    return sorted(span for span in map(span_of, records.names("events/")) if span is not None)


def read_segments(records: RecordStore) -> tuple[list[Segment], list[str]]:
    """All segments that can be read, and what is wrong with the others.

    What was put together with others while this read is read where it is now: a segment that was listed and is gone has
    the listing taken again, or the end of the chain could be missing and nobody would see it.
    """
    for _ in range(LOOKS_MAX):
        segments, faults, gone = _read_listed(records)
        if not gone:
            return segments, faults
    return segments, [*faults, *(f"{name} is listed and is not there" for name in gone)]


def _read_listed(records: RecordStore) -> tuple[list[Segment], list[str], list[str]]:
    """One look: segments, faults, and names that were gone when they were read."""
    segments: list[Segment] = []
    faults: list[str] = []
    gone: list[str] = []
    for span in spans_of(records):
        try:
            segments.append(decode_segment(records.get(span.name), span.name))
        except NotFound:
            gone.append(span.name)
        except ChopmarkError as error:
            faults.append(error.message)
    return segments, faults, gone


def _states(tx: Transaction, events: list[AuditEvent], seq: int) -> list[State]:
    subjects = sorted({subject for event in events for subject in subjects_of(event)})
    projects = {Subject("project", parse_model(s.ref).project) for s in subjects if s.kind == "model"}

    @cache
    def model_of(project: str, name: str) -> Model | None:  # of many versions of a few models
        return tx.models.get(project, name, deleted=True)

    return [_state(tx, subject, seq, model_of) for subject in sorted({*subjects, *projects})]


def _state(tx: Transaction, subject: Subject, seq: int, model_of: Callable[[str, str], Model | None]) -> State:
    match subject.kind:
        case "project":
            project = tx.projects.get(subject.ref)
            found: State | None = None if project is None else ProjectState(seq=seq, project=project)
        case "model":
            found = state_of_model(tx, subject.ref, seq)
        case "version":
            ref = parse_ref(subject.ref)
            model = model_of(ref.model.project, ref.model.name)
            version = tx.versions.by_number(model.id, int(ref.value), deleted=True) if model else None
            found = None if version is None else state_of_version(tx, version, seq)
        case "trust":
            found = TrustState(seq=seq, digest=subject.ref, decisions=tx.trust.get(subject.ref)[::-1])
    return found or Gone(seq=seq, kind=subject.kind, ref=subject.ref)


def state_of_model(tx: Transaction, text: str, seq: int) -> ModelState | None:
    """A model with its aliases and their history, as the transaction sees it; None when it is not there."""
    ref = parse_model(text)
    model = tx.models.get(ref.project, ref.name, deleted=True)
    if model is None:
        return None
    aliases = tx.aliases.list(model.id)
    moves = tx.aliases.history(model.id, limit=HISTORY_MAX)
    return ModelState(seq=seq, model=model, aliases=aliases, alias_moves=moves[::-1])


def state_of_version(tx: Transaction, version: Version, seq: int) -> VersionState:
    """A version with all that hangs on it, as the transaction sees it."""
    node = version_node(version.id)
    edges = [*tx.lineage.outgoing(node), *tx.lineage.incoming(node)]
    return VersionState(
        seq=seq,
        version=version,
        stage_moves=tx.stages.history(version.id, limit=HISTORY_MAX)[::-1],
        evaluations=tx.evaluations.list(version.id, limit=HISTORY_MAX)[::-1],
        edges=edges,
        datasets=sorted(tx.datasets.get({e.target for e in edges}), key=lambda d: d.node),
    )

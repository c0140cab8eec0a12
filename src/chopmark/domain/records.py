"""Records: the audit, and the state of what each event concerns, as files from which a catalog can be made again.

A *segment* is a run of events with the states, after its last event, of everything they concern. Segments of one
registry, put together, hold the whole chain of events and the latest state of every project, model
and version: `put_together` is the inverse of having lived.

As text a segment is JSON lines: a header, the events, the manifests of versions that were added, the states, and a last
line with the SHA-256 of all before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from chopmark.base.digest import digest_of
from chopmark.base.jsons import decode, decoder, encode
from chopmark.domain.audit import GENESIS, AuditEvent, ChainFault, find_fault
from chopmark.domain.datasets import DatasetRecord
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.lineage import Edge, version_node
from chopmark.domain.manifest import Manifest
from chopmark.domain.refs import ModelRef, parse_model
from chopmark.domain.versions import Alias, AliasMove, Evaluation, Model, Project, TrustDecision, Version
from chopmark.errors import ChopmarkError, IntegrityFailure

__all__ = [
    "Gone",
    "ModelState",
    "ProjectState",
    "Segment",
    "Span",
    "State",
    "Subject",
    "TrustState",
    "VersionState",
    "Whole",
    "decode_segment",
    "edges_of",
    "encode_segment",
    "merge_segments",
    "put_together",
    "span_of",
    "subject_of_state",
    "subjects_of",
]

SCHEMA = 1
_NAME = re.compile(r"events/(\d{12})-(\d{12})-([0-9a-f]{12})\.jsonl")

Kind = Literal["project", "model", "version", "trust"]


class Subject(msgspec.Struct, frozen=True, order=True):
    """What an event concerns: a kind, and the reference that never means another (of ``trust``: the digest)."""

    kind: Kind
    ref: str


class ProjectState(msgspec.Struct, frozen=True, kw_only=True, tag="project"):
    """A project as it was after event ``seq``."""

    seq: int
    project: Project


class ModelState(msgspec.Struct, frozen=True, kw_only=True, tag="model", omit_defaults=True):
    """A model as it was after event ``seq``, with its aliases and their history, oldest move first."""

    seq: int
    model: Model
    aliases: list[Alias] = []
    alias_moves: list[AliasMove] = []


class VersionState(msgspec.Struct, frozen=True, kw_only=True, tag="version", omit_defaults=True):
    """A version as it was after event ``seq``, with all that hangs on it, oldest first.

    ``datasets`` are those that its edges lead to.

    Its manifest, which never changes and may be large, is told once: in the segment in which it was added.
    """

    seq: int
    version: Version
    stage_moves: list[StageMove] = []
    evaluations: list[Evaluation] = []
    edges: list[Edge] = []
    datasets: list[DatasetRecord] = []


class TrustState(msgspec.Struct, frozen=True, kw_only=True, tag="trust"):
    """Decisions on the bytes of a manifest digest as they stood after event ``seq``, oldest first.

    They are about bytes, not about a version: twins share them, and a purge leaves them.
    """

    seq: int
    digest: str
    decisions: list[TrustDecision] = []


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag="gone"):
    """That a model or version was no longer there after event ``seq``."""

    seq: int
    kind: Kind
    ref: str


State = ProjectState | ModelState | VersionState | TrustState | Gone


class _Header(msgspec.Struct, frozen=True, kw_only=True, tag="chopmark-records"):
    schema: int = SCHEMA
    first: int
    last: int


class _Event(msgspec.Struct, frozen=True, tag="event"):
    event: AuditEvent


class _Manifest(msgspec.Struct, frozen=True, tag="manifest"):
    manifest: msgspec.Raw  # canonical, so that its hash is the digest


class _End(msgspec.Struct, frozen=True, tag="end"):
    sha256: str


_Line = _Header | _Event | _Manifest | ProjectState | ModelState | VersionState | TrustState | Gone | _End
_decode_line = decoder(_Line)


class Span(msgspec.Struct, frozen=True, order=True):
    """What the name of a segment's file says: its first and last event, and how the last one's hash begins."""

    first: int
    last: int
    head: str

    @property
    def name(self) -> str:
        """The name."""
        return f"events/{self.first:012d}-{self.last:012d}-{self.head}.jsonl"


def span_of(name: str) -> Span | None:
    """The span in a file's name; None when it is no segment's."""
    matched = _NAME.fullmatch(name)
    return Span(int(matched[1]), int(matched[2]), matched[3]) if matched else None


class Segment(msgspec.Struct, frozen=True):
    """A run of events, and states of what they concern as of the last of them.

    ``manifests`` are those of the versions that were added, in canonical JSON, by their digests.
    """

    events: list[AuditEvent]
    states: list[State]
    manifests: dict[str, bytes] = {}

    @property
    def span(self) -> Span:
        """First and last event."""
        last = self.events[-1]
        return Span(self.events[0].seq, last.seq, last.hash.removeprefix("sha256:")[:12])


def encode_segment(segment: Segment) -> bytes:
    """Text of a segment."""
    span = segment.span
    lines: list[_Line] = [_Header(first=span.first, last=span.last), *map(_Event, segment.events)]
    lines += [_Manifest(msgspec.Raw(manifest)) for manifest in segment.manifests.values()]
    lines += segment.states
    body = b"".join(encode(line) + b"\n" for line in lines)
    return body + encode(_End(digest_of(body))) + b"\n"


def decode_segment(data: bytes, name: str) -> Segment:
    """A segment of its text.

    Raises
    ------
    IntegrityFailure
        When the text was cut or changed, or is not of this layout.
    """
    body, newline, end = data.rstrip(b"\n").rpartition(b"\n")
    body += newline
    try:
        header, *lines = [_decode_line(line) for line in body.splitlines()]
        last = _decode_line(end)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _damaged(name, "it is not readable") from error
    if not isinstance(last, _End) or last.sha256 != digest_of(body):
        raise _damaged(name, "its checksum does not fit")
    if not isinstance(header, _Header) or header.schema != SCHEMA:
        raise _damaged(name, "its layout is not known to this release")
    events = [line.event for line in lines if isinstance(line, _Event)]
    states: list[State] = [line for line in lines if not isinstance(line, (_Event, _Header, _Manifest, _End))]
    texts = [bytes(line.manifest) for line in lines if isinstance(line, _Manifest)]
    return Segment(events, states, {digest_of(text): text for text in texts})


def _damaged(name: str, what: str) -> IntegrityFailure:
    msg = f"The record {name} is damaged: {what}."
    return IntegrityFailure(msg, hint="Restore that file from a backup of the store.", name=name)


def subjects_of(event: AuditEvent) -> set[Subject]:
    """Whose state an event changed."""
    noun = event.event.partition(".")[0]
    if noun not in ("project", "model", "version", "alias", "lineage"):
        return set()
    if noun == "project":
        return {Subject("project", event.target)}
    try:
        model = parse_model(event.target.partition(":")[0].partition("@")[0])
    except ChopmarkError:
        return set()
    found = {Subject("model", str(model))}
    number = event.target.partition(":")[2]
    if number.isdecimal():
        found.add(Subject("version", event.target))
    if event.event in ("version.trusted", "version.distrusted"):
        found.add(Subject("trust", str(event.data.get("digest", ""))))
    return found


def subject_of_state(state: State) -> Subject:
    """Whose state it is."""
    match state:
        case ProjectState():
            return Subject("project", state.project.name)
        case ModelState():
            return Subject("model", state.model.ref)
        case VersionState():
            return Subject("version", state.version.ref)
        case TrustState():
            return Subject("trust", state.digest)
        case Gone():
            return Subject(state.kind, state.ref)


def merge_segments(segments: Sequence[Segment]) -> Segment:
    """One segment that says what several, one after the other, say."""
    events = {event.seq: event for segment in segments for event in segment.events}
    manifests = {digest: text for segment in segments for digest, text in segment.manifests.items()}
    return Segment([events[seq] for seq in sorted(events)], list(_latest(segments).values()), manifests)


def _latest(segments: Iterable[Segment]) -> dict[Subject, State]:
    latest: dict[Subject, State] = {}
    for segment in segments:
        for state in segment.states:
            subject = subject_of_state(state)
            known = latest.get(subject)
            if known is None or known.seq <= state.seq:
                latest[subject] = state
    return latest


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A registry, put together from its records.

    Attributes
    ----------
    events
        The chain, oldest first.
    projects, models, versions, trust
        Latest states, each by its reference or digest.
    manifests
        Manifests in canonical JSON, by their digests.
    fault
        What keeps the chain from being whole; None when it is.
    left_out
        Names of segments that tell of another course of events than the chain: written before the catalog was
        set back to an older copy, say.
    """

    events: list[AuditEvent]
    projects: list[ProjectState]
    models: list[ModelState]
    versions: list[VersionState]
    trust: list[TrustState]
    manifests: dict[str, bytes]
    fault: ChainFault | None = None
    left_out: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """Hash of the last event."""
        return self.events[-1].hash if self.events else GENESIS

    def manifest_of(self, state: VersionState) -> Manifest:
        """The manifest of a version.

        Raises
        ------
        IntegrityFailure
            When it is not among the records.
        """
        text = self.manifests.get(state.version.digest)
        if text is None:
            raise IntegrityFailure(f"the manifest of {state.version.ref} is missing from the records")
        return decode(text, Manifest)


def put_together(segments: Sequence[Segment]) -> Whole:
    """A registry of all its segments, in any order; overlapping ones are welcome.

    Where segments contradict each other, the chain that ends last (by number, then by time) is taken, and those that
    do not lie on it are left out.
    """
    by_hash = {event.hash: event for segment in segments for event in segment.events}
    chain = _chain(by_hash)
    on_chain = {event.hash for event in chain}
    taken = [s for s in segments if s.events[-1].hash in on_chain]
    latest = _latest(taken)
    purged = {e.target: e.seq for e in chain if e.event == "model.purged"}
    versions = [s for s in latest.values() if isinstance(s, VersionState)]
    return Whole(
        events=chain,
        projects=sorted((s for s in latest.values() if isinstance(s, ProjectState)), key=lambda s: s.project.name),
        models=sorted((s for s in latest.values() if isinstance(s, ModelState)), key=lambda s: s.model.ref),
        versions=sorted(
            (s for s in versions if s.seq >= purged.get(_model_of(s.version), 0)),
            key=lambda s: (s.version.created_at, s.version.ref),
        ),
        trust=sorted((s for s in latest.values() if isinstance(s, TrustState)), key=lambda s: s.digest),
        manifests={digest: text for segment in taken for digest, text in segment.manifests.items()},
        fault=find_fault(chain),
        left_out=tuple(s.span.name for s in segments if s.events[-1].hash not in on_chain),
    )


def edges_of(versions: Iterable[VersionState]) -> list[Edge]:
    """Edges that stand, oldest first: of the states at an edge's two ends, the later one knows."""
    states = {version_node(state.version.id): state for state in versions}
    held = {node: {_key(edge) for edge in state.edges} for node, state in states.items()}
    found: dict[tuple[str, str, str], Edge] = {}
    for state in states.values():
        for edge in state.edges:
            ends = [node for node in (edge.source, edge.target) if node.startswith("version:")]
            if any(node not in states for node in ends):
                continue  # it went with the version
            latest = max(ends, key=lambda node: states[node].seq)
            if _key(edge) in held[latest]:
                found[_key(edge)] = edge
    return sorted(found.values(), key=lambda e: (e.at, *_key(e)))


def _key(edge: Edge) -> tuple[str, str, str]:
    return edge.source, edge.relation, edge.target


def _model_of(version: Version) -> str:
    return str(ModelRef(version.project, version.model))


def _chain(by_hash: dict[str, AuditEvent]) -> list[AuditEvent]:
    """The events from the last one back to the first; where one is missing, on from the next lower number."""
    ordered = sorted(by_hash.values(), key=lambda e: (e.seq, e.at))
    chain: list[AuditEvent] = []
    while ordered:
        event: AuditEvent | None = ordered.pop()
        if chain and event is not None and event.seq >= chain[-1].seq:
            continue
        while event is not None:
            chain.append(event)
            event = by_hash.get(event.previous)
    return chain[::-1]

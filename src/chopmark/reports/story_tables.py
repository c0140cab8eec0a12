"""The parts of a story as texts, one place for what HTML and Markdown both say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import relation_words
from chopmark.domain.names import counted
from chopmark.domain.story import Sibling, VersionStory
from chopmark.domain.trail import told as in_words
from chopmark.reports.page import cell_text, short, size_text, when

__all__ = [
    "ALIAS_HEAD",
    "DATASET_HEAD",
    "EVALUATION_HEAD",
    "EVENT_HEAD",
    "FILE_HEAD",
    "LOAD_HEAD",
    "RELATIVE_HEAD",
    "ROWS_MAX",
    "SIGNATURE_HEAD",
    "STAGE_HEAD",
    "TRUST_HEAD",
    "alias_moves",
    "dataset",
    "environment",
    "evaluations",
    "events",
    "files",
    "identity",
    "loads",
    "pairs",
    "predecessor",
    "relatives",
    "remarks",
    "signature",
    "stage_moves",
    "tags",
    "trust",
    "warnings",
]

ROWS_MAX = 200
"""Rows of a table; a page that nobody can read to its end says nothing."""

_VALUE_LENGTH_MAX = 1_000

ALIAS_HEAD = ("when", "alias", "from", "to", "by", "reason")
DATASET_HEAD = ("data set", "relation", "split", "rows", "digest", "where")
EVALUATION_HEAD = ("data set", "split", "when", "metrics", "by", "comment")
EVENT_HEAD = ("seq", "when", "what happened", "by", "reason")
FILE_HEAD = ("path", "role", "size", "digest")
LOAD_HEAD = ("days", "loads", "most on one day", "last load")
RELATIVE_HEAD = ("relation", "neighbour", "kind", "what is known of it")
SIGNATURE_HEAD = ("name", "side", "type", "shape", "may be missing")
STAGE_HEAD = ("when", "from", "to", "by", "reason")
TRUST_HEAD = ("when", "basis", "names", "by", "reason")

Rows = Iterator[list[str]]


def identity(story: VersionStory) -> dict[str, str]:
    """Who and what the version is; blank where nothing is known."""
    version = story.version
    git = version.git
    return {
        "reference": version.ref,
        "digest": version.digest,
        "semver": "; ".join([version.semver, *version.bump_reasons]),
        "kind": version.kind,
        "format": version.format + (" — runs code on load" if version.runs_code else ""),
        "task": version.task,
        "owner": version.owner,
        "team": version.team,
        "risk tier": version.risk_tier,
        "compliance": ", ".join(version.compliance),
        "business value": version.business_value,
        "cost per request": cell_text(version.cost_per_request),
        "size": f"{size_text(version.size_bytes)} in {counted(version.file_count, 'file')}"
        if version.file_count
        else "",
        "made": f"{when(version.created_at)} by {version.created_by}",
        "imported from": version.origin.ref if version.origin else "",
        "git": " ".join(p for p in (git.commit, git.branch, "(changed)" if git.dirty else "") if p) if git else "",
        "run": version.run_id,
        "experiment": version.experiment_id,
        "state": "" if version.state == "ready" else version.state,
        "deprecated": f"from {when(version.deprecation.at)}: {version.deprecation.reason}"
        if version.deprecation
        else "",
        "deleted": when(version.deleted_at) if version.deleted_at else "",
    }


def warnings(story: VersionStory) -> list[str]:
    """What one must know before anything else."""
    version = story.version
    marks = []
    if version.runs_code:
        marks.append("runs code on load")
    if version.deprecation is not None:
        marks.append(f"deprecated from {version.deprecation.at:%Y-%m-%d}")
    if version.state != "ready":
        marks.append(version.state)
    if version.deleted_at is not None:
        marks.append("deleted")
    return marks


def predecessor(story: VersionStory) -> Sibling | None:
    """The version before this one by number, among those that are there."""
    before = [s for s in story.siblings if s.number < story.version.number]
    return before[-1] if before else None


def evaluations(story: VersionStory) -> Rows:
    """Evaluations, newest first."""
    for e in story.evaluations[:ROWS_MAX]:
        metrics = ", ".join(f"{k} = {cell_text(v)}" for k, v in e.metrics.items())
        name = " ".join(p for p in (e.dataset.name, e.dataset.version) if p)
        yield [name, e.dataset.split, when(e.at), short(metrics, _VALUE_LENGTH_MAX), e.actor, short(e.comment, 300)]


def pairs(entries: Mapping[str, Any]) -> Rows:
    """Keys and values, the values cut where they are long."""
    for key, value in list(entries.items())[:ROWS_MAX]:
        yield [key, short(cell_text(value) or "none", _VALUE_LENGTH_MAX)]
    if len(entries) > ROWS_MAX:
        yield ["…", f"{len(entries) - ROWS_MAX:,} more"]


def signature(story: VersionStory) -> Rows:
    """Inputs, then outputs."""
    if story.version.signature is None:
        return
    sides = (("input", story.version.signature.inputs), ("output", story.version.signature.outputs))
    for side, fields in sides:
        for f in fields[:ROWS_MAX]:
            shape = " × ".join("any" if n < 0 else str(n) for n in f.shape)
            yield [f.name, side, f.dtype or f.type, shape, "yes" if f.nullable else ""]
        if len(fields) > ROWS_MAX:
            yield ["…", side, f"{len(fields) - ROWS_MAX:,} more", "", ""]


def dataset(data: DatasetRef) -> list[str]:
    """A data set as a row."""
    rows = f"{data.row_count:,}" if data.row_count is not None else ""
    name = " ".join(p for p in (data.name, data.version) if p)
    return [name, data.relation.replace("_", " "), data.split, rows, data.digest[:19], data.uri]


def relatives(story: VersionStory) -> Rows:
    """Neighbours in the lineage: what it comes from, then what comes from it."""
    graph = story.lineage
    if graph is None:
        return
    known = {node.id: node for node in graph.nodes}
    (root,) = graph.roots
    for upstream in (True, False):
        for edge in graph.edges:
            here, there = (edge.downstream, edge.upstream) if upstream else (edge.upstream, edge.downstream)
            if here == root:
                node = known[there]
                yield [relation_words(edge.relation, upstream=upstream), node.label, node.kind, node.summary]


def stage_moves(story: VersionStory) -> Rows:
    """Stage moves, newest first."""
    for m in story.stage_moves[:ROWS_MAX]:
        yield [when(m.at), m.from_stage, m.to_stage, m.actor, short(m.reason, 300)]


def alias_moves(story: VersionStory) -> Rows:
    """Alias moves to this version and away from it, newest first."""
    for m in story.alias_moves[:ROWS_MAX]:
        before, after = (f"version {n}" if n else "nothing" for n in (m.previous, m.number))
        yield [when(m.at), f"@{m.name}", before, after, m.actor, short(m.reason, 300)]


def files(story: VersionStory) -> Rows:
    """Files in the order of the manifest."""
    for f in story.manifest.files[:ROWS_MAX]:
        yield [f.path, f.role, size_text(f.size_bytes), f.digest[:19]]


def loads(story: VersionStory) -> Rows:
    """One row of how often it was loaded lately; none where it was not."""
    use = story.use
    if use is not None:
        days = story.load_days
        yield [f"{days[0]} to {days[-1]}", f"{use.loads:,}", f"{max(use.daily):,}", str(use.last_day)]


def environment(story: VersionStory) -> dict[str, str]:
    """What it was made with."""
    e = story.version.environment
    return {
        "framework": f"{e.framework} {e.framework_version}".strip(),
        "python": e.python,
        "platform": e.platform,
        "dependencies": ", ".join(f"{name} {v}" for name, v in sorted(e.dependencies.items())),
    }


def trust(story: VersionStory) -> Rows:
    """Trust decisions, newest first."""
    for d in story.trust[:ROWS_MAX]:
        yield [when(d.at), d.basis, short(", ".join(d.names), 300), d.actor, short(d.reason, 300)]


def tags(story: VersionStory) -> list[str]:
    """Tags, one text each."""
    return [f"{k} = {v}" if v else k for k, v in story.version.tags.items()]


def remarks(story: VersionStory) -> dict[str, str]:
    """Tags, annotations and metadata."""
    version = story.version
    return {
        "tags": "\n".join(tags(story)),
        **{f"metadata {k}": short(cell_text(v), _VALUE_LENGTH_MAX) for k, v in version.metadata.items()},
        **{f"annotation {k}": short(cell_text(v), _VALUE_LENGTH_MAX) for k, v in version.annotations.items()},
    }


def events(story: VersionStory) -> Rows:
    """Events of the audit in words, newest first."""
    for e in story.events[:ROWS_MAX]:
        words = short(in_words(e, story.version.number), _VALUE_LENGTH_MAX)
        yield [str(e.seq), when(e.at), words, e.actor, short(str(e.data.get("reason", "")), 300)]

"""How a version is shown to people, wherever one is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chopmark.cli.output import Fact
from chopmark.cli.tables import Column
from chopmark.cli.words import FEW_LENGTH, count, few, number, pairs, size, value, when
from chopmark.domain.versions import Version

__all__ = ["RUNS_CODE", "VERSION_COLUMNS", "brief_facts", "version_facts", "version_line"]

RUNS_CODE = "runs code on load"

_DIGEST_SHOWN = 19  # "sha256:" and twelve digits


def version_line(version: Version) -> str:
    """One line: reference, SemVer, stage, aliases, and what one must know before loading it."""
    marks = [version.ref, version.semver, version.stage, *(f"@{a}" for a in version.aliases)]
    if version.runs_code:
        marks.append(RUNS_CODE)
    if version.state != "ready":
        marks.append(version.state)
    if version.deleted_at is not None:
        marks.append("deleted")
    return " · ".join(marks)


def _format(version: Version) -> str:
    name = version.format or version.kind
    return f"{name} ({RUNS_CODE})" if version.runs_code else name


def _deprecation(version: Version) -> str:
    mark = version.deprecation
    if mark is None:
        return ""
    successor = f"; use {mark.successor}" if mark.successor else ""
    return f"from {when(mark.at)}: {mark.reason}{successor}"


def brief_facts(version: Version) -> list[Fact]:
    """What one wants to see right after a registration."""
    return [
        ("format", _format(version)),
        ("size", f"{size(version.size_bytes)} in {count(version.file_count, 'file')}" if version.file_count else ""),
        ("digest", version.digest),
        ("metrics", pairs(version.metrics)),
    ]


def _origin_words(version: Version) -> str:
    origin = version.origin
    if origin is None:
        return ""
    return f"was {origin.ref} elsewhere, registered by {origin.created_by} on {origin.created_at:%Y-%m-%d}"


def version_facts(version: Version) -> list[Fact]:
    """Everything worth reading about one version; facts that it lacks are empty."""
    environment = version.environment
    git = version.git
    return [
        ("description", version.description),
        ("stage", f"{version.stage} since {when(version.stage_since)}"),
        ("deprecated", _deprecation(version)),
        ("deleted", when(version.deleted_at)),
        ("aliases", ", ".join(version.aliases)),
        ("state", "" if version.state == "ready" else version.state),
        *brief_facts(version),
        ("semver", f"{version.semver}: {'; '.join(version.bump_reasons)}" if version.bump_reasons else ""),
        ("untrusted", ", ".join(version.untrusted)),
        ("params", _params(version.params)),
        ("config", pairs(version.config)),
        ("tags", pairs(version.tags)),
        ("inputs", _fields(version, "inputs")),
        ("outputs", _fields(version, "outputs")),
        ("parents", "\n".join(f"{p.relation} {p.ref}" for p in version.parents)),
        ("data sets", "\n".join(_dataset(version))),
        ("framework", f"{environment.framework} {environment.framework_version}"),
        ("python", f"{environment.python} on {environment.platform}" if environment.python else ""),
        ("imported", _origin_words(version)),
        ("git", f"{git.commit[:12]} {git.branch}{', changed' if git.dirty else ''}" if git and git.commit else ""),
        ("run", version.run_id),
        ("experiment", version.experiment_id),
        ("task", version.task),
        ("owner", version.owner),
        ("team", version.team),
        ("risk tier", version.risk_tier),
        ("compliance", ", ".join(version.compliance)),
        ("business value", version.business_value),
        ("cost per request", "" if version.cost_per_request is None else value(version.cost_per_request)),
        ("metadata", pairs(version.metadata)),
        ("annotations", pairs(version.annotations)),
        ("made", f"{when(version.created_at)} by {version.created_by}"),
        ("card", version.card),
    ]


def _fields(version: Version, side: str) -> str:
    fields = getattr(version.signature, side, ())
    return few([f"{f.name}: {f.dtype or f.type}{list(f.shape) if f.shape else ''}" for f in fields], len(fields))


def _params(params: Mapping[str, Any]) -> str:
    """All of them when they are few, else those that say most.

    A pipeline lists every setting of every part. What was chosen is mostly a number, and what was
    left as it is mostly none or a switch.
    """
    parts = _sorted_parts(params) if len(pairs(params)) > FEW_LENGTH else [pairs({k: v}) for k, v in params.items()]
    return few(parts, len(params))


def _sorted_parts(params: Mapping[str, Any]) -> list[str]:
    said = [(k, v) for k, v in params.items() if v is not None]
    return [pairs({k: v}) for k, v in sorted(said, key=lambda entry: _rank(entry[1]))]


def _rank(setting: Any) -> int:
    if isinstance(setting, bool):
        return 2
    if isinstance(setting, int | float):
        return 0
    return 1 if isinstance(setting, str) else 3


def _dataset(version: Version) -> list[str]:
    return [
        " ".join(
            part
            for part in (
                d.relation,
                d.name,
                d.version,
                d.split,
                count(d.row_count, "row") if d.row_count is not None else "",
                d.digest[:_DIGEST_SHOWN],
            )
            if part
        )
        for d in version.datasets
    ]


def _first_metric(version: Version) -> str:
    """The metric named first, to four digits, and how many there are beside it."""
    for name, metric in version.metrics.items():
        more = len(version.metrics) - 1
        return f"{name}={metric:.4g}" + (f" +{more}" if more else "")
    return ""


VERSION_COLUMNS = (
    Column("REFERENCE", lambda v: v.ref, whole=True),
    Column("SEMVER", lambda v: v.semver, whole=True),
    Column("STAGE", lambda v: v.stage if v.deleted_at is None else "(deleted)", whole=True),
    Column("ALIASES", lambda v: ", ".join(v.aliases)),
    Column("FORMAT", _format),
    Column("METRICS", lambda v: ",\n".join(f"{k}={number(m)}" for k, m in v.metrics.items()), narrow=_first_metric),
    Column("MADE", lambda v: f"{v.created_at:%Y-%m-%d}", whole=True, narrow=lambda _: ""),
)

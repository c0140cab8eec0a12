"""One call of each verb that can be sent as it stands: in OpenAPI, and as a line of curl at ``/docs``; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["BODIES", "curl_line", "sample"]

_TIME = "2026-01-31T12:00:00Z"
_REASON = "the champion since March"
_EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_FILE = {"path": "model.bin", "role": "weights", "size_bytes": 0, "digest": _EMPTY}
_MANIFEST = {"kind": "artifact", "format": "raw", "files": [_FILE]}
_VERSION = {"model": "fraud", "manifest": _MANIFEST, "metrics": {"roc_auc": 0.94}}
_MADE_OF = "sha256:7bf051a0f342631a9121dd63a28e5ea3a67b9334d604cf65f9af46005e490a8d"  # the digest of that manifest
_SPLIT = [{"version": "fraud:1", "percent": 90}, {"version": "fraud:2", "percent": 10}]
_PLAN = {"steps": [{"weight": 1_000, "hold_s": 600}, {"weight": 5_000, "hold_s": 1_800}]}
_ID = "018f4b5e-0000-7000-8000-000000000001"

BODIES: dict[str, Any] = {
    "project.configure": {"description": "models of the risk team"},
    "model.create": {"model": "churn", "description": "who will leave"},
    "model.update": {"owner": "ada"},
    "version.register": _VERSION,
    "version.plan": _VERSION,
    "version.import": _VERSION
    | {"origin": {"ref": "fraud:1", "digest": _MADE_OF, "created_by": "ada", "created_at": _TIME, "exported_at": _TIME}},
    "version.update": {"tags": {"team": "risk"}},
    "version.promote": {"stage": "staging", "reason": _REASON},
    "version.archive": {"reason": "nobody asks for it"},
    "version.deprecate": {"reason": "the next one is better"},
    "version.evaluate": {"dataset": {"name": "march", "split": "test"}, "metrics": {"roc_auc": 0.93}},
    "alias.set": {"target": "fraud:2", "reason": _REASON},
    "lineage.link": {"source": "fraud:2", "relation": "replaces", "target": "fraud:1", "reason": "trained on more"},
    "usage.record": {"loads": [{"version": _ID, "day": "2026-11-22", "count": 3}]},
    "schedule.set": {"kind": "integrity", "cron": "17 3 * * *"},
    "job.run": {"kind": "integrity"},
    "storage.sweep": {"prefix": "a"},
    "token.create": {"name": "ci", "scopes": ["read"]},
    "member.set": {"role": "viewer"},
    "role.define": {"permissions": ["read", "evaluate"]},
    "webhook.create": {"project": "*", "url": "https://receiver.example/hook", "events": ["version.*"]},
    "webhook.update": {"state": "paused"},
    "endpoint.create": {"endpoint": "scores-api", "split": [{"version": "fraud@champion"}], "config": {"timeout_ms": 500}},
    "endpoint.update": {"config": {"timeout_ms": 500}},
    "endpoint.split": {"split": _SPLIT, "reason": "a first look"},
    "monitor.create": {
        "monitor": "fraud-api.slow",
        "on": "fraud-api",
        "metric": "latency_ms_p95",
        "rule": {"kind": "threshold", "threshold": 250, "for_s": 300},
        "severity": "critical",
    },
    "rollout.start": {"candidate": "fraud:3", "plan": _PLAN, "supersede": True, "reason": "does better in March"},
    "rollout.command": {"command": "pause", "reason": "lunch"},
    "rollout.rollback": {"to": "fraud:1", "reason": "wrong answers"},
    "rollout.rehearse": {"candidate": "fraud:3", "stable": "fraud:2", "plan": _PLAN, "since": _TIME, "until": "2026-01-31T18:00:00Z"},
    "alert.silence": {"for_s": 7_200, "reason": "a load test"},
    "experiment.start": {
        "experiment": "scores-test",
        "variants": [{"name": "control", "version": "fraud:1"}, {"name": "treatment", "version": "fraud:2"}],
        "control": "control",
        "metrics": [{"name": "success", "role": "primary"}],
    },
    "experiment.extend": {"max_duration_s": 1_814_400, "reason": "the holidays were quiet"},
    "experiment.decide": {"winner": "control", "reason": "it is cheaper"},
    "experiment.expose": {"exposures": [{"unit": "user-1", "variant": "treatment"}]},
    "experiment.record": {"records": [{"unit": "user-1", "values": {"success": 1}}]},
    "router.report": {"report": {"id": _ID, "mark": {"epoch": _ID, "generation": 1}, "started_at": _TIME, "served": []}},
    "outcome.record": {"ref": "fraud:1", "source": "checkout-1", "minutes": [{"at": _TIME, "requests": 2, "latencies_ms": [4.5, 6]}]},
    "blob.missing": {"digests": [_EMPTY]},
    "blob.assemble": {"parts": [_EMPTY]},
}  # fmt: skip
"""Bodies by verb; what is not here is put together of what the schema says (`sample`)."""

_PLACES: dict[str, Any] = {
    "digest": _EMPTY,
    "path": "model/model.json",
    "version.purge.ref": "fraud:1",
    "version.restore.ref": "fraud:1",
    "project": "*",
    "member": "ada",
    "lineage.unlink.source": "fraud:2",
    "lineage.unlink.relation": "replaces",
    "lineage.unlink.target": "fraud:1",
    "version.compare.refs": ["fraud:1", "fraud:2"],
    "outcome.summary.endpoint": "fraud-api",
    "outcome.sampled.endpoint": "fraud-api",
    "outcome.trend.model": "fraud",
    "outcome.compare.baseline": "fraud:1",
    "outcome.compare.candidate": "fraud:2",
    "monitor": "fraud-api.error_rate",
    "project.get.name": "default",
    "role.get.name": "viewer",
    "project.configure.name": "default",
}
_SCHEMAS = "#/components/schemas/"


def sample(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """A value that a schema allows: its example, its default, or the least there is.

    Parameters
    ----------
    schema, components
        The schema, and those that it may name.
    """
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return sample(components[schema["$ref"].removeprefix(_SCHEMAS)], components)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], components)
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            needed = schema.get("required", ())
            return {name: sample(schema["properties"][name], components) for name in needed}
        case "array":
            return [sample(schema["items"], components)] if schema.get("minItems") else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return _ID if schema.get("format") == "uuid" else "text"


def curl_line(method: str, path: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> str:
    """A line for a shell in which ``CHOPMARK_URL`` and ``CHOPMARK_TOKEN`` are set.

    Parameters
    ----------
    method, path, operation
        Of the document; the path with its prefix.
    components
        Its schemas.
    """
    name: str = operation["operationId"]
    pairs: list[str] = []
    for parameter in operation["parameters"]:
        field = parameter["name"]
        is_needed = parameter.get("required") or f"{name}.{field}" in _PLACES
        if parameter["in"] == "header" or not is_needed:
            continue
        value = _PLACES.get(f"{name}.{field}", _PLACES.get(field))
        if value is None:
            value = sample(parameter["schema"], components)
        if parameter["in"] == "path":
            path = path.replace(f"{{{field}}}", quote(str(value), safe=":@^~"))
        else:
            pairs += [
                f"{field}={quote(str(each), safe=':@^~')}" for each in (value if isinstance(value, list) else [value])
            ]
    address = f'"$CHOPMARK_URL{path}{"?" + "&".join(pairs) if pairs else ""}"'
    return " ".join([*_how(method, operation, components), '-H "Authorization: Bearer $CHOPMARK_TOKEN"', address])  # fmt: skip


def _how(method: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> Iterable[str]:
    yield "curl"
    if method != "GET":
        yield f"-X {method}"
    content = operation.get("requestBody", {}).get("content", {})
    if "application/octet-stream" in content:
        yield "--data-binary @model.bin -H 'Content-Type: application/octet-stream'"
    elif content:
        body = BODIES.get(operation["operationId"], sample(content["application/json"]["schema"], components))
        text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
        yield f"-H 'Content-Type: application/json' -d '{text}'"
    if any(kind == "text/event-stream" for kind in operation["responses"].get("200", {}).get("content", ())):
        yield "-N"

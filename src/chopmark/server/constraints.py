"""What the OpenAPI document says of values beyond their types: grammars, lengths, ranges; pure.

The rules themselves are in `chopmark.domain`, whose words say better what is wrong than a schema could. Here they are said once
more in JSON Schema, for who writes or generates a client; the tests send what the schema allows and what it forbids, and look
whether the server agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.domain.access import PERMISSIONS
from chopmark.domain.job_kinds import KINDS
from chopmark.domain.lifecycle import STAGES
from chopmark.domain.lineage import RELATIONS
from chopmark.domain.monitors import METRICS, MINUTES_MAX
from chopmark.domain.names import KEY_LENGTH_MAX, NAME_LENGTH_MAX, RESERVED_ALIASES, TEXT_LENGTH_MAX
from chopmark.domain.policy import REQUIRABLE_FIELDS
from chopmark.domain.retention import DAYS_MAX
from chopmark.domain.traffic import SHADOWS_MAX, VARIANTS_MAX

__all__ = ["COMPONENTS", "TEXTS", "added", "constrained"]

_LENGTH = f"(?=[A-Za-z0-9._-]{{1,{NAME_LENGTH_MAX}}}(?![A-Za-z0-9._-]))"
_NAME = _LENGTH + "[A-Za-z0-9](?:(?:[.]?[A-Za-z0-9_-])*[.]?[A-Za-z0-9])?"
_MODEL = f"(?:{_NAME}/)?{_NAME}"
_PART = "(?:0|[1-9][0-9]*)"
_IDENTIFIER = "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = (
    rf"{_PART}[.]{_PART}[.]{_PART}(?:-{_IDENTIFIER}(?:[.]{_IDENTIFIER})*)?(?:[+][0-9A-Za-z-]+(?:[.][0-9A-Za-z-]+)*)?"
)
_RANGE = rf"[\^~]{_PART}(?:[.]{_PART})?(?:[.]{_PART})?"
_RESERVED = "|".join("".join(f"[{c}{c.upper()}]" for c in word) for word in sorted(RESERVED_ALIASES))
_ALIAS = rf"(?!(?:{_RESERVED})(?:$|[^A-Za-z0-9._-]))(?![vV]?[0-9]+(?:[.][0-9]+)*(?:[-+.]|$)){_NAME}"
_STAGES = "|".join(STAGES)
_SELECTOR = rf":latest|:[1-9][0-9]{{0,17}}|:(?=.{{1,100}}$)(?:{_RANGE}|{_SEMVER})|#(?:{_STAGES})|@sha256:[0-9a-f]{{6,64}}|@{_ALIAS}"
_NODE = "dataset:.+|run:.+"

_REFERENCE = rf"{_MODEL}(?:{_SELECTOR})?"
_SHOWN = r"[^\u0000-\u001f\u007f-\u00a0\u00ad\u2028\u2029 ]"


def _text(pattern: str, examples: list[str], description: str, length_max: int | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "string", "pattern": f"^(?:{pattern})$", "minLength": 1}
    if length_max is not None:
        said["maxLength"] = length_max
    return said | {"description": description, "examples": examples}


TEXTS: dict[str, dict[str, Any]] = {
    "Name": _text(_NAME, ["risk"], "ASCII letters, digits, '.', '_' and '-'; letters or digits at its ends.", NAME_LENGTH_MAX),
    "ProjectOrAll": _text(rf"[*]|{_NAME}", ["risk", "*"], "A project, or * for the whole registry.", NAME_LENGTH_MAX),
    "ModelName": _text(_MODEL, ["fraud", "risk/fraud"], "A model: [project/]name.", 2 * NAME_LENGTH_MAX + 1),
    "EndpointName": _text(_MODEL, ["fraud-api", "risk/fraud-api"], "An endpoint: [project/]name.", 2 * NAME_LENGTH_MAX + 1),
    "ExperimentName": _text(
        _MODEL, ["ranker-test", "search/ranker-test"], "An experiment: [project/]name.", 2 * NAME_LENGTH_MAX + 1
    ),
    "MonitorName": _text(
        _MODEL, ["fraud-api.error_rate", "risk/fraud-api.slow"], "A monitor: [project/]name.", 2 * NAME_LENGTH_MAX + 1
    ),
    "WatchedThing": _text(_REFERENCE, ["fraud-api", "fraud-api@watched"], "An endpoint, or a version with its selector.", 512),
    "WatchedMetric": _text(
        rf"{'|'.join(METRICS)}|metrics[.][A-Za-z0-9_.-]+", ["error_rate"], "What is sampled, or metrics.NAME of what callers record.", 200
    ),
    "Reference": _text(
        _REFERENCE,
        ["fraud", "fraud:3", "fraud@champion"],
        "A version: [project/]name, and then nothing (latest), :number, :semver, :^range, @alias, #stage or @sha256:digits.",
        512,
    ),
    "AliasReference": _text(rf"{_MODEL}@{_ALIAS}", ["fraud@champion"], "An alias of a model: [project/]name@alias.", 512),
    "NodeReference": _text(
        rf"{_REFERENCE}|{_NODE}", ["fraud:3"], "A version, a data set (dataset:name) or a run (run:id).", 500
    ),
    "SemVer": _text(_SEMVER, ["1.4.2"], "A semantic version.", 100),
    "Digest": _text("sha256:[0-9a-f]{64}", ["sha256:" + "0" * 64], "SHA-256 of some bytes."),
    "DigestPrefix": _text("sha256:[0-9a-f]{8,64}", ["sha256:" + "0" * 64], "A digest, or what it begins with."),
    "Key": _text(
        r"[A-Za-z0-9_](?:[A-Za-z0-9_.:/ @%+()\[\]=-]*[A-Za-z0-9_)\]%])?", ["roc_auc"], "Key of a tag or metric.", KEY_LENGTH_MAX
    ),
    "ActorName": _text(rf"{_SHOWN}(?:(?:{_SHOWN}| )*{_SHOWN})?", ["ada"], "Who acts: one line, no blanks at its ends.", 200),
    "TokenId": _text("[0-9a-f]{16}", ["0123456789abcdef"], "Id of a token, which is no secret."),
    "DeliveryId": _text(
        "msg_[0-9a-f]{32}_[1-9][0-9]{0,17}", ["msg_" + "0" * 32 + "_1"], "Id of a delivery: its header webhook-id."
    ),
    "Stage": {"type": "string", "enum": list(STAGES), "description": "A position of governance."},
    "Permission": {"type": "string", "enum": sorted(PERMISSIONS), "description": "What an op asks for."},
    "Relation": {"type": "string", "enum": list(RELATIONS), "description": "What an edge of the lineage says."},
    "JobKind": {"type": "string", "enum": sorted(KINDS), "description": "A kind of work."},
    "Cursor": {
        "type": "string",
        "format": "chopmark-cursor",
        "maxLength": 4_000,
        "description": "Where a page begins, as the page before it says; empty for the first.",
    },
    "Filter": {
        "type": "string",
        "format": "chopmark-filter",
        "maxLength": 8_000,  # in an address; longer ones are refused before they are read
        "description": "Conditions on versions, as in docs/how-to/find-versions.",
        "examples": ["metrics.roc_auc >= 0.9 and tags.team = 'risk'"],
    },
    "Words": {
        "type": "string",
        "format": "chopmark-words",
        "maxLength": 10_000,
        "description": "Words that all have to be there.",
        "examples": ["odd payments"],
    },
    "CronExpression": {
        "type": "string",
        "format": "chopmark-cron",
        "description": "Minute, hour, day of month, month, day of week.",
        "examples": ["17 3 * * *"],
    },
    "TimeZone": {"type": "string", "format": "chopmark-zone", "description": "An IANA time zone.", "examples": ["UTC"]},
    "PageSize": {"type": "integer", "minimum": 1, "maximum": PAGE_SIZE_MAX, "description": "Most entries of a page."},
    "Time": {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"], "description": "With its zone."},
    "Reason": {
        "type": "string",
        "maxLength": 5_000,
        "description": "Why; kept in the audit.",
    },
    "GivenReason": {
        "type": "string",
        "minLength": 1,
        "maxLength": 5_000,
        "pattern": "\\S",
        "description": "Why; kept in the audit. It has to be said.",
        "examples": ["beats the champion on the March data"],
    },
    "FreeText": {"type": "string", "maxLength": TEXT_LENGTH_MAX, "description": "For people."},
}  # fmt: skip
"""Values that mean more than a text or a number, by their names in the document."""

_BY_FIELD = {
    "model": "ModelName",
    "ref": "Reference",
    "alias": "AliasReference",
    "target": "Reference",
    "stage": "Stage",
    "limit": "PageSize",
    "cursor": "Cursor",
    "where": "Filter",
    "text": "Words",
    "reason": "Reason",
    "at": "Time",
    "expires_at": "Time",
    "relation": "Relation",
    "cron": "CronExpression",
    "zone": "TimeZone",
    "description": "FreeText",
    "card": "FreeText",
    "comment": "FreeText",
    "project": "Name",
    "of": "NodeReference",
    "token": "TokenId",
    "task": "FreeText",
    "owner": "FreeText",
    "team": "FreeText",
    "by": "Key",
    "member": "ActorName",
    "semver": "SemVer",
    "successor": "Reference",
    "delivery": "DeliveryId",
    "endpoint": "EndpointName",
    "experiment": "ExperimentName",
    "monitor": "MonitorName",
}
_BY_OP = {
    "project.create.name": "Name",
    "project.get.name": "Name",
    "project.configure.name": "Name",
    "schedule.set.name": "Name",
    "schedule.get.name": "Name",
    "schedule.remove.name": "Name",
    "schedule.pause.name": "Name",
    "schedule.resume.name": "Name",
    "role.define.name": "Name",
    "role.get.name": "Name",
    "role.remove.name": "Name",
    "token.create.name": "ActorName",
    "token.create.owner": "ActorName",
    "member.set.role": "Name",
    "schedule.set.kind": "JobKind",
    "job.run.kind": "JobKind",
    "job.run.schedule": "Name",
    "lineage.link.source": "Reference",
    "lineage.link.target": "NodeReference",
    "lineage.unlink.source": "Reference",
    "lineage.unlink.target": "NodeReference",
    "storage.why.digest": "DigestPrefix",
    "webhook.create.project": "ProjectOrAll",
    "webhook.list.project": "ProjectOrAll",
    "member.set.project": "ProjectOrAll",
    "member.remove.project": "ProjectOrAll",
    "member.get.project": "ProjectOrAll",
    "member.list.project": "ProjectOrAll",
    "token.create.project": "ProjectOrAll",
    "audit.verify.head": "Digest",
    "audit.at.of": "Reference",
    "version.compare.baseline": "Reference",
    "outcome.compare.baseline": "Reference",
    "outcome.compare.candidate": "Reference",
    "rollout.start.candidate": "Reference",
    "rollout.rehearse.candidate": "Reference",
    "rollout.rehearse.stable": "Reference",
    "rollout.rollback.to": "Reference",
    "monitor.create.on": "WatchedThing",
    "monitor.create.metric": "WatchedMetric",
    "rollout.rehearse.since": "Time",
    "rollout.rehearse.until": "Time",
}
_GIVEN = frozenset(
    f"{op}.reason"
    for op in (
        "version.promote", "version.archive", "version.deprecate", "version.purge", "model.purge", "lineage.link", "lineage.unlink",
    )
)  # fmt: skip
"""Verbs that are refused without a reason."""

_LENGTHS = {"contains": 500, "event": 200}
_RANGES: dict[str, dict[str, Any]] = {
    "version.promote.stage": {"enum": [stage for stage in STAGES if stage not in ("archived", "deprecated")]},
    "audit.list.target": {"maxLength": 1_000},
    "token.list.owner": {"description": "Whose; one's own when empty."},
    "lineage.graph.depth": {"minimum": 1, "maximum": 1_000},
    "lineage.graph.limit": {"minimum": 1, "maximum": 10_000},
    "audit.verify.size": {"minimum": 0},
    "monitor.create.minutes": {"minimum": 1, "maximum": MINUTES_MAX},
    "monitor.create.variant": {"maxLength": NAME_LENGTH_MAX},
}
_KEYS = {"propertyNames": {"$ref": "#/components/schemas/Key"}, "maxProperties": 2_000}
_SPLIT = {"minItems": 1, "maxItems": VARIANTS_MAX}
_TAG = {"type": "string", "maxLength": 5_000}
_ITEMS: dict[str, dict[str, Any]] = {
    "version.compare.refs": {"items": {"$ref": "#/components/schemas/Reference"}, "minItems": 2},
    "token.create.scopes": {"items": {"$ref": "#/components/schemas/Permission"}},
    "role.define.permissions": {"items": {"$ref": "#/components/schemas/Permission"}},
    "model.update.remove_tags": {"items": {"$ref": "#/components/schemas/Key"}},
    "version.update.remove_tags": {"items": {"$ref": "#/components/schemas/Key"}},
    "usage.record.loads": {"maxItems": PAGE_SIZE_MAX},
    "endpoint.create.split": _SPLIT,
    "endpoint.split.split": _SPLIT,
    "endpoint.create.shadows": {"maxItems": SHADOWS_MAX},
    "endpoint.split.shadows": {"maxItems": SHADOWS_MAX},
}
_VERSION = {"$ref": "#/components/schemas/Reference"}
COMPONENTS: dict[str, dict[str, Any]] = {
    "ProjectRules": {"required_fields": {"items": {"type": "string", "enum": list(REQUIRABLE_FIELDS)}}},
    "DailyLoads": {"count": {"minimum": 1, "maximum": 2**40}},
    "Share": {"version": _VERSION, "name": {"maxLength": NAME_LENGTH_MAX}},
    "ShadowShare": {"version": _VERSION},
    "RouterReport": {"id": {"minLength": 1, "maxLength": 200}, "note": {"maxLength": 5_000}},
    "Retention": {field: {"minimum": 1, "maximum": DAYS_MAX} for field in ("newest", "days", "used_days")},
}
"""What is added to properties of the structs that requests hold."""


def constrained(op: str, field: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a field of a request, with what else is known of its values.

    Parameters
    ----------
    op, field
        Which.
    schema
        What its type says.
    """
    key = f"{op}.{field}"
    if key in _RANGES or key in _ITEMS:
        return added(schema, (_RANGES | _ITEMS)[key])
    if field in ("tags", "metrics") and "items" not in schema:
        values = _TAG if field == "tags" else schema["additionalProperties"]
        return {**schema, **_KEYS, "additionalProperties": values}
    if field in _LENGTHS and _types(schema) == {"string"}:
        return {**schema, "maxLength": _LENGTHS[field]}
    name = "GivenReason" if key in _GIVEN else _BY_OP.get(key) or _BY_FIELD.get(field, "")
    if not name or not _types(schema) <= {"string", "integer", "null"}:
        return dict(schema)
    return _as(name, schema)


def _as(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of a plain type, as the value of that name; what its default allows stays allowed."""
    named = {"$ref": f"#/components/schemas/{name}"}
    rest = {key: value for key, value in schema.items() if key == "default"}
    default = schema.get("default", ...)
    if default is None:
        return {"anyOf": [named, {"type": "null"}], **rest}
    if default == "" and TEXTS[name].get("minLength", "enum" in TEXTS[name]):
        return {"anyOf": [named, {"const": ""}], **rest}
    return named | rest


def added(schema: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with more said of its values; null stays allowed where it was."""
    if "anyOf" not in schema:
        return {**schema, **more}
    options = [option if option.get("type") == "null" else {**option, **more} for option in schema["anyOf"]]
    return {**schema, "anyOf": options}


def _types(schema: Mapping[str, Any]) -> set[str]:
    return {str(option.get("type")) for option in schema.get("anyOf", (schema,))}

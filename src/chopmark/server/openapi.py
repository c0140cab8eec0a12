"""The API described in OpenAPI 3.1, drawn from the table of ops; pure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from chopmark.ops.http import PREFIX, Problem, in_query, path_fields, statuses_of
from chopmark.ops.table import OPS, Op

__all__ = ["described"]

_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")
_REF = "#/components/schemas/{name}"


def described() -> dict[str, Any]:
    """The document."""
    import chopmark

    kinds = [op.request for op in OPS.values()] + [op.result for op in OPS.values()] + [Problem]
    unique = list({id(kind): kind for kind in kinds}.values())
    found, components = msgspec.json.schema_components(unique, ref_template=_REF)
    schemas = {id(kind): schema for kind, schema in zip(unique, found, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for op in OPS.values():
        asked = _resolved(schemas[id(op.request)], components)
        paths.setdefault(PREFIX + op.path, {})[op.method.lower()] = _operation(op, asked, schemas[id(op.result)])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chopmark",
            "version": chopmark.__version__,
            "description": "Model registry and model lifecycle. Every verb of the library, with the same types and errors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Problem": {
                    "description": "What happened, why, and what to do next.",
                    "content": {"application/problem+json": {"schema": schemas[id(Problem)]}},
                }
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _operation(op: Op, asked: Mapping[str, Any], answered: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = dict(asked.get("properties", {}))
    required = set(asked.get("required", ()))
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {**properties.pop(name), "minLength": 1}}
        for name in path_fields(op)
    ]
    operation: dict[str, Any] = {
        "operationId": op.name,
        "summary": _first_line(op.request),
        "tags": [op.name.partition(".")[0]],
        "x-permission": op.permission,
        "parameters": parameters,
    }
    if in_query(op):
        parameters += [_in_query(name, schema, name in required) for name, schema in properties.items()]
    else:
        body = {
            "type": "object",
            "properties": properties,
            "required": sorted(required & properties.keys()),
            "additionalProperties": False,
        }
        operation["requestBody"] = {
            "required": bool(body["required"]),
            "content": {"application/json": {"schema": body}},
        }
    if op.writes:
        parameters += _WRITING
        if op.moves:
            parameters.append(_IF_MATCH)
    answer = {"description": "The answer.", "content": {"application/json": {"schema": answered}}}
    operation["responses"] = {str(status): answer for status in statuses_of(op)} | {
        "default": {"$ref": "#/components/responses/Problem"}
    }
    return operation


_WRITING: list[dict[str, Any]] = [
    {"name": "dry_run", "in": "query", "schema": {"type": "boolean", "default": False},
     "description": "Give the answer, or the refusal, of a real call, and change nothing."},
    {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200, "minLength": 1},
     "description": "A second call with the same key and request gets the first answer."},
]  # fmt: skip
_IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of what is to be changed: it is changed only while it is what the caller saw.",
}


def _in_query(name: str, schema: Mapping[str, Any], required: bool) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": "query", "required": required}
    if schema.get("type") == "object" or "$ref" in schema:
        return parameter | {"content": {"application/json": {"schema": schema}}}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": True}
    return parameter | {"schema": schema}


def _resolved(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]

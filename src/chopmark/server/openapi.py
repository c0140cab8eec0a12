"""The API described in OpenAPI 3.1, drawn from the table of ops; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, get_type_hints

import msgspec

from chopmark.ops.http import PREFIX, MissingBlobs, PartsOfBlob, Problem, in_query, path_fields, statuses_of
from chopmark.ops.table import OPS, Op
from chopmark.server.constraints import COMPONENTS, TEXTS, added, constrained
from chopmark.server.docstrings import said_by
from chopmark.server.examples import BODIES
from chopmark.server.openapi_streams import STREAM_PATHS, STREAM_TYPES

__all__ = ["described"]

_SCHEMAS = "#/components/schemas/"
_GATED = frozenset(("version.register", "version.plan", "version.import", "version.promote"))
"""Verbs that a policy may refuse, or that name bytes."""

_PROBLEMS = {
    400: "The request cannot be meant.",
    401: "The request does not say who sends it, or says it wrongly.",
    403: "Who asks may not do this.",
    404: "Nothing has that name, or who asks may not see it.",
    409: "The state of the registry forbids it.",
    412: "What was to be changed is no longer what the caller saw.",
    413: "The body is longer than it may be.",
    415: "The body is of a type, or packed in a way, that is not read.",
    422: "A policy refuses it (`details.findings` says why), or the bytes are not those that were named.",
    429: "It was asked too often.",
    503: "The registry, or what it needs, does not answer for now.",
    504: "It took too long.",
}
_WAITING = frozenset((429, 503))


def described() -> dict[str, Any]:
    """The document."""
    import chopmark

    kinds = [op.request for op in OPS.values()] + [op.result for op in OPS.values()]
    unique = list({id(kind): kind for kind in [*kinds, *STREAM_TYPES, Problem, MissingBlobs, PartsOfBlob]}.values())
    found, components = msgspec.json.schema_components(unique, ref_template=_SCHEMAS + "{name}")
    schemas = {id(kind): schema for kind, schema in zip(unique, found, strict=True)}
    _say_more(unique, components)
    paths: dict[str, dict[str, Any]] = {}
    for op in OPS.values():
        asked = _resolved(schemas[id(op.request)], components)
        paths.setdefault(PREFIX + op.path, {})[op.method.lower()] = _operation(op, asked, schemas[id(op.result)])
    for path, methods in STREAM_PATHS.items():
        for method, operation in methods.items():
            paths.setdefault(PREFIX + path, {})[method] = {**operation, "responses": _stream_answers(operation)}
    for name, properties in COMPONENTS.items():
        for field, more in properties.items():
            components[name]["properties"][field] = added(components[name]["properties"][field], more)
    for request in {op.request.__name__ for op in OPS.values()}:
        components.pop(request, None)  # they are told as parameters and bodies, beside the paths
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chopmark",
            "version": chopmark.__version__,
            "description": "Model registry and model lifecycle. Every verb of the library, with the same types and errors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that gave this document."}],
        "tags": [
            {"name": noun} for noun in sorted({op.name.partition(".")[0] for op in OPS.values()} | {"blob", "event"})
        ],
        "paths": paths,
        "components": {
            "schemas": {**components, **TEXTS},
            "responses": {_named(status): _problem(status) for status in _PROBLEMS} | {"Problem": _problem(0)},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the registry (cm_…), or one of the issuer that the server trusts.",
                }
            },
        },
        "security": [{"bearer": []}],
    }


def _operation(op: Op, asked: Mapping[str, Any], answered: Mapping[str, Any]) -> dict[str, Any]:
    said = said_by(op.request)
    properties = {name: constrained(op.name, name, schema) for name, schema in asked.get("properties", {}).items()}
    for name in properties.keys() & said.attributes.keys():
        properties[name]["description"] = said.attributes[name]
    required = set(asked.get("required", ()))
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _in_path(properties.pop(name))}
        for name in path_fields(op)
    ]
    operation: dict[str, Any] = {
        "operationId": op.name,
        "summary": said.about.partition(". ")[0].rstrip(".") + ".",
        "description": said.about,
        "tags": [op.name.partition(".")[0]],
        "x-permission": op.permission,
        "parameters": parameters,
    }
    if in_query(op):
        parameters += [_in_query(name, schema, name in required) for name, schema in properties.items()]
    else:
        body: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        needed = sorted(required & properties.keys())
        if needed:
            body["required"] = needed
        content = {"schema": body}
        if op.name in BODIES:
            content["example"] = BODIES[op.name]
        operation["requestBody"] = {"required": bool(needed), "content": {"application/json": content}}
    if op.writes:
        parameters += _WRITING
        if op.moves:
            parameters.append(_IF_MATCH)
            if op.method == "PUT" and OPS[op.moves].path == op.path:
                parameters.append(_IF_NONE_MATCH)
    operation["responses"] = _answers(op, answered)
    return operation


def _answers(op: Op, answered: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer.", "content": {"application/json": {"schema": answered}}}
    if op.method == "GET":
        answer["headers"] = {"ETag": {"description": "Of this answer.", "schema": {"type": "string"}, "required": True}}
    good = {str(status): answer for status in statuses_of(op)}
    return good | {str(status): _refusal(status) for status in _refusals(op)} | {"default": _refusal(0)}


def _refusals(op: Op) -> Iterator[int]:
    yield from (400, 401, 403, 404)
    if op.event is not None:
        yield 409
    if op.moves:
        yield 412
    if not in_query(op):
        yield from (413, 415)
    if op.name in _GATED:
        yield 422
    yield from (429, 503, 504)


def _stream_answers(operation: Mapping[str, Any]) -> dict[str, Any]:
    refused = {str(status): _refusal(status) for status in operation["x-refusals"]}
    return {**operation["responses"], **refused, "default": _refusal(0)}


def _refusal(status: int) -> dict[str, str]:
    return {"$ref": "#/components/responses/" + (_named(status) if status else "Problem")}


def _named(status: int) -> str:
    return f"Problem{status}"


def _problem(status: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "description": _PROBLEMS.get(status, "What happened, why, and what to do next."),
        "content": {"application/problem+json": {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }
    if status == 401:  # noqa: PLR2004 - the status of `Unauthenticated`
        said["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    if status in _WAITING:
        said["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds.", "required": True}}
    return said


_WRITING: list[dict[str, Any]] = [
    {"name": "dry_run", "in": "query", "schema": {"type": "boolean", "default": False},
     "description": "Give the answer, or the refusal, of a real call, and change nothing."},
    {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200},
     "description": "A second call with the same key and request gets the first answer."},
]  # fmt: skip
_IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of what is to be changed: it is changed only while it is what the caller saw.",
}
_IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"const": "*"},
    "description": "It is made only, and not changed when it is there already.",
}


def _in_path(schema: Mapping[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in schema.items() if key != "default"}  # what is in the path is always said
    return said if "$ref" in said else {"minLength": 1, **said}


def _in_query(name: str, schema: Mapping[str, Any], required: bool) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": "query", "required": required}
    if "description" in schema:
        parameter["description"] = schema["description"]
    if schema.get("type") == "object" or _is_struct(schema):
        return parameter | {"content": {"application/json": {"schema": schema}}}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": True}
    return parameter | {"schema": schema}


def _is_struct(schema: Mapping[str, Any]) -> bool:
    return "$ref" in schema and schema["$ref"].removeprefix(_SCHEMAS) not in TEXTS


def _say_more(kinds: list[Any], components: dict[str, Any]) -> None:
    """Say what each field is for, and which texts are times: msgspec leaves it open, as a time may lack its zone."""
    for kind in _structs(kinds):
        if kind.__name__ not in components:
            continue
        said = said_by(kind)
        components[kind.__name__]["description"] = said.about
        for field, meaning in said.attributes.items():
            if field in components[kind.__name__]["properties"]:
                components[kind.__name__]["properties"][field]["description"] = meaning
        for field, hint in get_type_hints(kind).items():
            if hint is datetime or hint == datetime | None:
                schema = components[kind.__name__]["properties"][field]
                for option in schema.get("anyOf", [schema]):
                    if option.get("type") == "string":
                        option["format"] = "date-time"


def _structs(kinds: list[Any]) -> set[type[msgspec.Struct]]:
    """All structs that some types hold, however deep."""
    found: set[type[msgspec.Struct]] = set()
    left = list(kinds)
    while left:
        kind = left.pop()
        left += getattr(kind, "__args__", ())
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
            found.add(kind)
            left += get_type_hints(kind).values()
    return found


def _resolved(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = components[schema["$ref"].removeprefix(_SCHEMAS)] if "$ref" in schema else schema
    return found

"""What OpenAPI says of the routes that no row of the table makes: bytes, and events as they come."""

from __future__ import annotations

from typing import Any

from chopmark.abc.blobs import BlobStat
from chopmark.ops.direct import DIRECT_BYTES_MAX, UploadAddress

__all__ = ["STREAM_PATHS", "STREAM_TYPES"]

STREAM_TYPES = (BlobStat, UploadAddress)
_SCHEMAS = "#/components/schemas/"
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_READ, _SENT = (400, 401, 403, 404, 429, 503), (400, 401, 403, 413, 422, 429, 503)


def _path(name: str, schema: str | dict[str, Any]) -> dict[str, Any]:
    said = {"$ref": _SCHEMAS + schema} if isinstance(schema, str) else schema
    return {"name": name, "in": "path", "required": True, "schema": said}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


def _json(schema: dict[str, Any], description: str = "The answer.") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _struct(name: str) -> dict[str, Any]:
    return {"$ref": _SCHEMAS + name}


def _streamed(op: str, summary: str, permission: str, refusals: tuple[int, ...], **rest: Any) -> dict[str, Any]:
    return {
        "operationId": op,
        "summary": summary,
        "tags": ["blob" if op.startswith("blob.") else op.partition(".")[0]],
        "x-permission": permission,
        "x-refusals": list(refusals),
        **rest,
    }


_RANGED = [
    _header("Range", "A range of bytes, as bytes=0-99."),
    _header("If-None-Match", "The ETag of what the caller has: 304 when it is this."),
    _header("If-Range", "The range only while the ETag is this, or else the whole."),
]
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "The digest of the bytes.", "required": True}}
_RANGES: dict[str, Any] = {
    "200": {"description": "The bytes.", "content": _BYTES, "headers": _ETAG},
    "206": {"description": "A range of the bytes.", "content": _BYTES, "headers": _ETAG},
    "304": {"description": "The caller has it."},
    "307": {"description": "Where the store itself gives the bytes, for some minutes; only when asked for."},
    "416": {"description": "The range begins after the last byte.", "content": _BYTES},
}
_DIRECT = {
    "name": "direct",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "Be sent to the store itself, where it gives bytes to who holds a signed address; else as without.",
}
_RESOLVED = {
    "type": "object",
    "required": ["asked", "ref", "project", "model", "number", "semver", "digest", "stage", "format", "href", "files"],
    "properties": {
        "asked": {"type": "string"},
        "ref": {"type": "string"},
        "project": {"type": "string"},
        "model": {"type": "string"},
        "number": {"type": "integer"},
        "semver": {"type": "string"},
        "digest": _struct("Digest"),
        "stage": _struct("Stage"),
        "format": {"type": "string"},
        "href": {"type": "string", "description": "Where the version is."},
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "role", "size_bytes", "digest", "href"],
                "properties": {
                    "path": {"type": "string"},
                    "role": {"type": "string"},
                    "size_bytes": {"type": "integer"},
                    "digest": _struct("Digest"),
                    "href": {"type": "string", "description": "Where its bytes are."},
                },
            },
        },
    },
}

STREAM_PATHS: dict[str, dict[str, dict[str, Any]]] = {
    "/resolve": {
        "get": _streamed(
            "version.resolve",
            "A reference's number, digest and addresses to download from.",
            "read",
            _READ,
            parameters=[{"name": "ref", "in": "query", "required": True, "schema": _struct("Reference")}],
            responses={"200": _json(_RESOLVED)},
        )
    },
    "/versions/{ref}/files/{path}": {
        "get": _streamed(
            "version.file",
            "A file of a version by its path in the manifest; the path may hold slashes.",
            "read",
            _READ,
            parameters=[_path("ref", "Reference"), _path("path", {"type": "string", "minLength": 1, "examples": ["model/model.json"]}), _DIRECT, *_RANGED],
            responses=_RANGES,
        )
    },
    "/blobs/{digest}": {
        "get": _streamed(
            "blob.get",
            "A blob by its digest, or a range of it.",
            "read",
            _READ,
            parameters=[_path("digest", "Digest"), _DIRECT, *_RANGED],
            responses=_RANGES,
        ),
        "put": _streamed(
            "blob.put",
            "Store a blob: its bytes are hashed as they come, and refused when they are not those of the digest.",
            "register",
            _SENT,
            parameters=[_path("digest", "Digest")],
            requestBody={"required": True, "content": _BYTES},
            responses={"200": _json(_struct("BlobStat"))},
        ),
    },
    "/blobs/{digest}/stat": {
        "get": _streamed(
            "blob.stat",
            "What the store knows of a blob.",
            "read",
            _READ,
            parameters=[_path("digest", "Digest")],
            responses={"200": _json(_struct("BlobStat"))},
        )
    },
    "/blobs/missing": {
        "post": _streamed(
            "blob.missing",
            "Which of some blobs are not there, as far as the caller may know.",
            "register",
            _SENT,
            parameters=[],
            requestBody={
                "required": True,
                "content": {"application/json": {"schema": {
                    "type": "object",
                    "required": ["digests"],
                    "properties": {"digests": {"type": "array", "items": _struct("Digest"), "maxItems": 10_000}},
                }}},
            },
            responses={"200": _json(_struct("MissingBlobs"))},
        )
    },
    "/blobs/{digest}/assemble": {
        "post": _streamed(
            "blob.assemble",
            "Store the bytes of some blobs, one behind the other, as one blob.",
            "register",
            (*_SENT, 409),
            parameters=[_path("digest", "Digest")],
            requestBody={
                "required": True,
                "content": {"application/json": {"schema": {
                    "type": "object",
                    "required": ["parts"],
                    "properties": {"parts": {"type": "array", "items": _struct("Digest")}},
                }}},
            },
            responses={"200": _json(_struct("BlobStat"))},
        )
    },
    "/blobs/{digest}/address": {
        "post": _streamed(
            "blob.address",
            "Where the bytes of a blob may be brought to the store itself, for some minutes.",
            "register",
            (*_SENT, 404),
            parameters=[_path("digest", "Digest")],
            requestBody={"required": True, "content": {"application/json": {"schema": {
                "type": "object",
                "required": ["size_bytes"],
                "properties": {"size_bytes": {"type": "integer", "minimum": 0, "maximum": DIRECT_BYTES_MAX}},
                "additionalProperties": False,
            }}}},
            responses={"200": _json(_struct("UploadAddress"))},
        )
    },
    "/blobs/{digest}/arrived": {
        "post": _streamed(
            "blob.arrived",
            "Make a blob of what was brought to the store; it counts when its bytes are those of the digest.",
            "register",
            (*_SENT, 404),
            parameters=[_path("digest", "Digest")],
            requestBody={"required": True, "content": {"application/json": {"schema": {
                "type": "object",
                "required": ["upload", "size_bytes"],
                "properties": {
                    "upload": {"type": "string", "pattern": "^[0-9a-f]{32}$", "examples": ["0" * 32]},
                    "size_bytes": {"type": "integer", "minimum": 0, "maximum": DIRECT_BYTES_MAX},
                },
                "additionalProperties": False,
            }}}},
            responses={"200": _json(_struct("BlobStat"))},
        )
    },
    "/events": {
        "get": _streamed(
            "event.hear",
            "Events as they happen: CloudEvents 1.0 in server-sent events, until the caller leaves.",
            "read",
            (400, 401, 403, 429, 503),
            parameters=[
                {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string", "pattern": "^[0-9]{0,18}$"}, "description": "Go on after the event of this id; without it from now on."},
                {"name": "after", "in": "query", "schema": {"type": "string", "pattern": "^[0-9]{0,18}$"}, "description": "The same, for callers that set no header."},
                {"name": "project", "in": "query", "schema": _struct("Name"), "description": "Of this project only."},
                {"name": "model", "in": "query", "schema": _struct("ModelName"), "description": "Of this model only."},
                {"name": "kind", "in": "query", "schema": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}}, "style": "form", "explode": True, "description": "Of these kinds only; version.* means all that begin so."},
            ],
            responses={"200": {"description": "The events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
        )
    },
}  # fmt: skip
"""By path below the prefix, and method; what may refuse them is under ``x-refusals``."""

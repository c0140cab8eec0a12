"""The gateway's protocols described in OpenAPI 3.1; pure.

``/v1`` of language models is described by those whose protocol it is. Which endpoints there are is told only of those that whoever
asks may call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chopmark.gateway.protocols.metadata import EXTENSIONS

__all__ = ["described"]

_DATATYPES = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
_BYTES = "application/octet-stream"
_JSON = "application/json"
_REFUSALS = {
    400: "The request cannot be meant; or it does not fit what the model takes.",
    401: "The request does not say who sends it, or says it wrongly.",
    403: "Who asks may not call this endpoint, or not choose the variant.",
    404: "There is no such endpoint, or version of it, that who asks may call.",
    405: "The path is asked by another method.",
    408: "The body did not arrive in time.",
    413: "The body is longer than the endpoint takes.",
    415: "The body is of a type that is not read.",
    500: "The model failed on this request.",
    503: "The endpoint is loading, or has more waiting than it takes. Send it again.",
    504: "The model did not answer in time.",
}
_PREDICTING = (400, 401, 403, 404, 405, 408, 413, 415, 500, 503, 504)
_TELLING = (400, 401, 403, 404, 405, 503)
_AGAIN = 503

_TEXT: dict[str, Any] = {"type": "string"}
_ANY: dict[str, Any] = {}
_ROW = {"oneOf": [{"type": "object"}, {"type": "array"}]}
_IDENTITY = {
    "model": {"type": "string", "description": "The registered model that answered, `[project/]name`."},
    "digest": {"type": "string", "description": "Of the version that answered."},
    "variant": {"type": "string", "description": "As what it answered."},
    "generation": {"type": "integer", "description": "Of the routing by which the request was dealt."},
    "request_id": {"type": "string", "description": "Carries all of this, authenticated; feedback is given by it."},
}


def described(release: str, endpoints: Sequence[str] = ()) -> dict[str, Any]:
    """The document.

    Parameters
    ----------
    release
        Of Chopmark.
    endpoints
        Names that the paths may have; any when empty.
    """
    name = {"type": "string", "minLength": 1} | ({"enum": sorted(endpoints)} if endpoints else {})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chopmark gateway",
            "version": release,
            "description": (
                "Predictions of registered versions: the Open Inference Protocol under `/v2`, rows of JSON or CSV at `/predict`, and MLflow's "
                "scoring protocol at `/invocations`. JSON knows neither NaN nor infinities: they are answered as null."
            ),
        },
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "parameters": {
                "endpoint": {"name": "endpoint", "in": "path", "required": True, "schema": name},
                "version": {
                    "name": "version",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1},
                },
                "outputs": {
                    "name": "x-chopmark-outputs",
                    "in": "header",
                    "description": "With CSV: what is wanted other than what the model gives by itself, with commas between the names.",
                    "schema": {"type": "string"},
                    "example": "predict_proba",
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _paths() -> dict[str, Any]:
    model, version = "/v2/models/{endpoint}", "/v2/models/{endpoint}/versions/{version}"
    infer = _asked("Ask for predictions of tensors", "InferRequest", "InferResponse", binary=True)
    score = _asked("Score rows as MLflow does", "Invocation", "Predictions", csv=True)
    for status in set(score["responses"]) - {"200"}:  # what leads to no endpoint is refused before MLflow is thought of
        score["responses"][status]["content"][_JSON]["schema"] = {"anyOf": [_ref("MlflowError"), _ref("Error")]}
    return {
        "/v2": {"get": _told("The server and what it understands", "Server")},
        "/v2/health/live": {"get": _told("Whether the gateway runs", "Live")},
        "/v2/health/ready": {"get": _told("Whether all endpoints can answer", "Ready", not_yet="Ready")},
        "/v2/models": {"get": _index(), "post": _index(asks=True)},
        "/v2/repository/index": {"get": _index(), "post": _index(asks=True)},
        "/v2/openapi.json": {"get": _told("This description", "Description")},
        model: _of(("endpoint",), {"get": _told("What an endpoint takes and gives", "ModelMetadata")}),
        f"{model}/ready": _of(
            ("endpoint",), {"get": _told("Whether it can answer", "ModelReady", not_yet="ModelReady")}
        ),
        f"{model}/infer": _of(("endpoint",), {"post": infer}),
        version: _of(
            ("endpoint", "version"),
            {"get": _told("What a version behind an endpoint takes and gives", "ModelMetadata")},
        ),
        f"{version}/ready": _of(
            ("endpoint", "version"), {"get": _told("Whether it can answer", "ModelReady", not_yet="ModelReady")}
        ),
        f"{version}/infer": _of(("endpoint", "version"), {"post": infer}),
        "/predict/{endpoint}": _of(
            ("endpoint",),
            {"post": _asked("Ask for predictions of rows", "Rows", "Predictions", csv=True, outputs=True)},
        ),
        "/endpoints/{endpoint}/invocations": _of(("endpoint",), {"post": score}),
        "/endpoints/{endpoint}/samples": _of(
            ("endpoint",), {"get": _told("Requests and answers that are kept of an endpoint", "Samples")}
        ),
        "/feedback": {"post": _feedback()},
        "/ping": {"get": _told("Whether the gateway runs", "Live")},
    }


def _feedback() -> dict[str, Any]:
    """Taken, and passed on with the next report."""
    one = _ref("Feedback")
    many = {"type": "array", "items": one, "maxItems": 1_000}
    return {
        "summary": "Say what turned out to be true of answers, one or many, by their request ids",
        "requestBody": {"required": True, "content": {_JSON: {"schema": {"anyOf": [one, many]}}}},
        "responses": {
            "202": _good({_JSON: {"schema": _object({"taken": {"type": "integer"}})}}),
            **_answers((*_TELLING, 413, 415)),
        },
    }


def _of(parameters: tuple[str, ...], methods: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": [{"$ref": f"#/components/parameters/{name}"} for name in parameters], **methods}


def _told(summary: str, schema: str, *, not_yet: str = "") -> dict[str, Any]:
    answers = _answers(_TELLING)
    if not_yet:
        answers[str(_AGAIN)] = {
            "description": "Not yet.",
            "content": {_JSON: {"schema": {"anyOf": [_ref(not_yet), _ref("Error")]}}},
        }
    return {"summary": summary, "responses": {"200": _good({_JSON: {"schema": _ref(schema)}}), **answers}}


def _index(*, asks: bool = False) -> dict[str, Any]:
    index = {"type": "array", "items": _ref("Indexed")}
    operation: dict[str, Any] = {"summary": "The endpoints that may be called, and their versions"}
    if asks:
        operation["requestBody"] = {"content": {_JSON: {"schema": _ref("IndexRequest")}}}
    answers = _answers((*_TELLING, 413, 415) if asks else _TELLING)
    return {**operation, "responses": {"200": _good({_JSON: {"schema": index}}), **answers}}


def _asked(
    summary: str, request: str, answer: str, *, binary: bool = False, csv: bool = False, outputs: bool = False
) -> dict[str, Any]:
    sent: dict[str, Any] = {_JSON: {"schema": _ref(request)}}
    good: dict[str, Any] = {_JSON: {"schema": _ref(answer)}}
    operation: dict[str, Any] = {"summary": summary}
    if binary:
        operation["description"] = (
            "The bytes of tensors may follow the JSON, in a body of application/octet-stream whose header Inference-Header-Content-Length "
            "says how long the JSON is; the answer has its tensors as bytes likewise where that is asked for."
        )
        good[_BYTES] = {"schema": {"type": "string", "contentMediaType": _BYTES}}
    if csv:
        sent["text/csv"] = {"schema": {"type": "string"}, "example": "amount,age\n1.5,30\n"}
    if outputs:
        operation["parameters"] = [{"$ref": "#/components/parameters/outputs"}]
    operation["requestBody"] = {"required": True, "content": sent}
    operation["responses"] = {"200": _good(good), **_answers(_PREDICTING)}
    return operation


def _good(content: dict[str, Any]) -> dict[str, Any]:
    return {"description": "The answer.", "content": content}


def _answers(statuses: tuple[int, ...]) -> dict[str, Any]:
    answers = {}
    for status in statuses:
        answer: dict[str, Any] = {"description": _REFUSALS[status], "content": {_JSON: {"schema": _ref("Error")}}}
        if status == _AGAIN:
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
        answers[str(status)] = answer
    return answers


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], *, optional: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, **({"required": required} if required else {}), **more}


def _schemas() -> dict[str, Any]:
    return {**_messages(), **_tensors(), **_plain(), **_errors()}


def _messages() -> dict[str, Any]:
    extensions = {"type": "array", "items": {"type": "string", "enum": list(EXTENSIONS)}}
    tensors = {"type": "array", "items": _ref("TensorMetadata")}
    shape = {"type": "array", "items": {"type": "integer", "minimum": -1}, "minItems": 1}
    state = {"type": "string", "enum": ["READY", "UNAVAILABLE"]}
    return {
        "Description": {"type": "object", "required": ["openapi", "paths"]},
        "Samples": _object({"samples": {"type": "array", "items": _sample()}, "gone": {"type": "integer"}}),
        "Feedback": _said(),
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": extensions}),
        "Live": _object({"live": {"type": "boolean"}}),
        "Ready": _object({"ready": {"type": "boolean"}}),
        "ModelReady": _object({"name": _TEXT, "ready": {"type": "boolean"}}),
        "ModelMetadata": _object(
            {
                "name": _TEXT,
                "versions": {"type": "array", "items": _TEXT},
                "platform": _TEXT,
                "inputs": tensors,
                "outputs": tensors,
            }
        ),
        "TensorMetadata": _object(
            {"name": _TEXT, "datatype": _datatype(), "shape": shape, "parameters": {"type": "object"}},
            optional=("parameters",),
        ),
        "IndexRequest": _object({"ready": {"type": "boolean"}}, optional=("ready",)),
        "Indexed": _object({"name": _TEXT, "version": _TEXT, "state": state, "reason": _TEXT}),
    }


def _sample() -> dict[str, Any]:
    arrays = {"type": ["array", "object"]}
    whole = {"type": "integer"}
    return _object(
        {"at_ms": whole, "request_id": _TEXT, "rows": whole, "inputs": arrays, "outputs": {"type": "object"}}
    )


def _said() -> dict[str, Any]:
    """Feedback on one answer: who sends it knows an id that a gateway gave."""
    label = {"type": ["string", "number", "boolean", "null"]}
    number = {"type": ["number", "null"]}
    return _object(
        {
            "request_id": _TEXT,
            "label": label,
            "prediction": label,
            "correct": {"type": ["boolean", "null"]},
            "value": number,
            "at": {"type": ["string", "null"], "format": "date-time"},
        },
        optional=("label", "prediction", "correct", "value", "at"),
    )


def _datatype() -> dict[str, Any]:
    return {"type": "string", "enum": _DATATYPES}


def _tensors() -> dict[str, Any]:
    size = {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}}
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 32}
    data = {
        "type": ["array", "null"],
        "items": _ANY,
        "description": "The elements, row by row, flat or nested as the shape says.",
    }
    maybe = {"type": ["object", "null"]}
    wanted = {
        "type": ["object", "null"],
        "properties": {"binary_data": {"type": "boolean", "description": "As bytes after the JSON."}},
    }
    everything = {"type": ["object", "null"], "properties": {"binary_data_output": {"type": "boolean"}}}
    tensor = {
        "name": _TEXT,
        "shape": shape,
        "datatype": _datatype(),
        "data": data,
        "parameters": {**maybe, "properties": size["properties"]},
    }
    answered = {"name": _TEXT, "shape": shape, "datatype": _datatype(), "data": {"type": "array"}, "parameters": size}
    output = _object({"name": _TEXT, "parameters": wanted}, optional=("parameters",))
    return {
        "InferRequest": _object(
            {
                "id": {"type": ["string", "null"], "description": "Is given back."},
                "inputs": {"type": "array", "minItems": 1, "items": _ref("Tensor")},
                "outputs": {
                    "type": ["array", "null"],
                    "items": output,
                    "description": "What is wanted, where it is not all.",
                },
                "parameters": everything,
            },
            optional=("id", "outputs", "parameters"),
        ),
        "Tensor": _object(tensor, optional=("data", "parameters")),
        "InferResponse": _object(
            {
                "model_name": {"type": "string", "description": "The endpoint."},
                "model_version": {"type": "string", "description": "The number of the version that answered."},
                "id": _TEXT,
                "parameters": _object(_IDENTITY),
                "outputs": {"type": "array", "items": _object(answered, optional=("data", "parameters"))},
            },
            optional=("id",),
        ),
    }


def _plain() -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "items": _ANY}
    named = {"outputs": {"type": ["array", "null"], "items": _TEXT}, "id": {"type": ["string", "null"]}}
    columns = {"type": ["array", "null"], "items": {"type": ["string", "integer"]}}
    return {
        "Rows": {
            "anyOf": [
                _object({"rows": rows, **named}, optional=tuple(named)),
                _object({"row": _ROW, **named}, optional=tuple(named)),
                {**rows, "items": _ROW},
            ],
            "examples": [{"rows": [{"amount": 1.5}]}],
        },
        "Invocation": {
            "oneOf": [
                _object(
                    {
                        "dataframe_split": _object(
                            {"columns": columns, "data": {**rows, "items": {"type": "array"}}}, optional=("columns",)
                        )
                    }
                ),
                _object({"dataframe_records": {**rows, "items": {"type": "object"}}}),
                _object({"instances": rows}),
                _object({"inputs": {"oneOf": [{"type": "object", "minProperties": 1}, rows]}}),
            ]
        },
        "Predictions": _object(
            {
                "predictions": {
                    "type": ["array", "object"],
                    "description": "A value a row; of several outputs such lists by name.",
                },
                "endpoint": _TEXT,
                "version": {"type": "integer", "description": "The number of the version that answered."},
                **_IDENTITY,
                "id": {"type": "string", "description": "As the request named itself."},
            },
            optional=("id",),
        ),
    }


def _errors() -> dict[str, Any]:
    hint = {"type": "string", "description": "What to do next."}
    return {
        "Error": _object(
            {"error": {"type": "string", "description": "What happened and why."}, "code": _TEXT, "hint": hint},
            optional=("hint",),
        ),
        "MlflowError": _object({"error_code": _TEXT, "message": _TEXT, "hint": hint}, optional=("hint",)),
    }

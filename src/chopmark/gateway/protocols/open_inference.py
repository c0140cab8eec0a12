"""The Open Inference Protocol, version 2, over HTTP: ``/v2/models/{name}/infer``.

Tensors come as JSON or as the binary tensor extension has it, and the answer's likewise. JSON knows neither NaN nor infinities:
they are answered as null, and a null in the data of a request is a missing value. Binary tensors carry them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.base.jsons import encode
from chopmark.errors import InvalidRequest
from chopmark.gateway.protocols.asked import Answered, Asked, Identity, Limits
from chopmark.gateway.protocols.errors import refused
from chopmark.gateway.protocols.json_bodies import JSON, check_json, read_json
from chopmark.gateway.protocols.messages import AnsweredTensor, BinaryWanted, SentRequest
from chopmark.gateway.protocols.plans import plan_of

if TYPE_CHECKING:
    from chopmark.abc.predicting import Layout, Outputs

__all__ = ["JSON_LENGTH", "read", "refused", "write"]

JSON_LENGTH = b"inference-header-content-length"
"""The header that says how long the JSON is before the bytes of tensors."""


class _Who(msgspec.Struct, frozen=True):
    model: str
    digest: str
    variant: str
    generation: int
    request_id: str


class _AnsweredRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    model_name: str
    model_version: str
    parameters: _Who
    outputs: list[AnsweredTensor]
    id: str = ""


def read(body: bytes, headers: Mapping[bytes, bytes], layout: Layout, limits: Limits) -> Asked:
    """A request as the layout wants it; see `chopmark.gateway.protocols.asked`."""
    from chopmark.gateway.protocols.sent_tensors import json_and_rest, tensors_of

    length = headers.get(JSON_LENGTH)
    if length is None:
        check_json(headers.get(b"content-type", b""))
        request, rest = read_json(body, SentRequest), b""
    else:
        text, rest = json_and_rest(body, length)
        request = read_json(text, SentRequest)
    plan = plan_of(layout)
    tensors = tensors_of(request.inputs, rest, limits)
    inputs = plan.of_tensors(tensors, limits.elements_max)
    wanted = request.outputs
    names = plan.check_outputs([output.name for output in wanted]) if wanted else ()
    form = _binary_wanted(request) if wanted or request.parameters else None
    return Asked(inputs, tensors[0].shape[0], names, request.id or "", form)


def write(asked: Asked, outputs: Outputs, identity: Identity) -> Answered:
    """The answer, its tensors as the request wanted them."""
    who = _Who(identity.model, identity.digest, identity.variant, identity.generation, identity.request_id)
    if asked.form is None and (tensors := _plain_tensors(outputs)) is not None:
        answer = _AnsweredRequest(identity.endpoint, str(identity.version), who, tensors, asked.id)
        return Answered(JSON, (), encode(answer))
    from chopmark.gateway.protocols.answered_tensors import answered_tensors

    tensors, rest = answered_tensors(outputs, asked.form)
    text = encode(_AnsweredRequest(identity.endpoint, str(identity.version), who, tensors, asked.id))
    if not rest:
        return Answered(JSON, (), text)
    headers = ((JSON_LENGTH, b"%d" % len(text)),)
    return Answered(b"application/octet-stream", headers, b"".join((text, *rest)))


_PLAIN = {"?": "BOOL", "b": "INT8", "h": "INT16", "i": "INT32", "f": "FP32", "d": "FP64", "l": "INT64", "e": "FP16"}
"""Characters by which numpy knows element types that are the same on all machines where Chopmark runs, but for ``l``."""


def _plain_tensors(outputs: Outputs) -> list[AnsweredTensor] | None:
    """Numbers as JSON without asking numpy for anything but the elements; None when there are others."""
    tensors = []
    for name, array in outputs.items():
        dtype = array.dtype
        datatype = _PLAIN.get(dtype.char)
        if datatype is None or (dtype.char == "l" and dtype.itemsize != 8):  # noqa: PLR2004 - Windows: 4
            return None
        data = array.tolist() if array.ndim == 1 else array.ravel().tolist()
        tensors.append(AnsweredTensor(name, datatype, array.shape, data))
    return tensors


def _binary_wanted(request: SentRequest) -> BinaryWanted | None:
    """None when all of the answer is to be JSON."""
    others = _flag(request.parameters, "binary_data_output")
    named = {
        output.name: _flag(output.parameters, "binary_data")
        for output in request.outputs or ()
        if output.parameters and "binary_data" in output.parameters
    }
    return BinaryWanted(named, others) if others or any(named.values()) else None


def _flag(parameters: dict[str, Any] | None, name: str) -> bool:
    value = parameters.get(name, False) if parameters else False
    if not isinstance(value, bool):
        raise InvalidRequest(f"The parameter {name} is true or false.")
    return value

"""What the Open Inference Protocol tells of a server and its models; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from chopmark.base.jsons import encode
from chopmark.gateway.protocols.asked import Answered
from chopmark.gateway.protocols.json_bodies import JSON, read_json

if TYPE_CHECKING:
    from chopmark.abc.predicting import Layout
    from chopmark.domain.signature import Field

__all__ = [
    "Indexed",
    "live",
    "model_metadata",
    "model_ready",
    "ready",
    "repository_index",
    "server_metadata",
    "wants_ready_only",
]

EXTENSIONS = ("binary_tensor_data", "model_repository(index)")
MATRIX_NAME = "input-0"


class Indexed(NamedTuple):
    """A line of the index: an endpoint's ``[project/]name``, the number of a version that answers behind it, and whether it does."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""


class _Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    datatype: str
    shape: Sequence[int]
    parameters: dict[str, Any] | None = None


class _IndexWanted(msgspec.Struct, frozen=True):
    ready: bool = False


def live(*, is_live: bool) -> tuple[int, Answered]:
    """``/v2/health/live``."""
    return (200 if is_live else 503), _json({"live": is_live})


def ready(is_ready: bool) -> tuple[int, Answered]:
    """``/v2/health/ready``."""
    return (200 if is_ready else 503), _json({"ready": is_ready})


def model_ready(name: str, is_ready: bool) -> tuple[int, Answered]:
    """``/v2/models/{name}/ready``."""
    return (200 if is_ready else 503), _json({"name": name, "ready": is_ready})


def server_metadata(version: str) -> Answered:
    """``/v2``."""
    return _json({"name": "chopmark", "version": version, "extensions": EXTENSIONS})


def model_metadata(name: str, versions: Sequence[str], layout: Layout) -> Answered:
    """``/v2/models/{name}``.

    A matrix is told as one tensor, with its columns in a parameter; its columns may be sent each as a tensor as well. Outputs that
    are given only when asked for stand after the others, and a parameter says so.
    """
    inputs = _inputs(layout)
    outputs = [_output(field) for field in layout.outputs]
    outputs += [_output(field, {"only_when_asked_for": True}) for field in layout.more]
    told = {"name": name, "versions": versions, "platform": "chopmark", "inputs": inputs, "outputs": outputs}
    return _json(told)


def repository_index(lines: Iterable[Indexed], *, ready_only: bool = False) -> Answered:
    """``/v2/repository/index``."""
    return _json([line._asdict() for line in lines if not ready_only or line.state == "READY"])


def wants_ready_only(body: bytes) -> bool:
    """Whether a question for the index wants to know only of what answers.

    Raises
    ------
    InvalidRequest
        When the body is neither empty nor such a question.
    """
    return read_json(body, _IndexWanted).ready if body.strip() else False


def _inputs(layout: Layout) -> list[_Tensor]:
    if layout.kind == "matrix":
        from chopmark.gateway.protocols.tensors import datatype_of

        names = [field.name for field in layout.inputs]
        datatype = datatype_of("", layout.dtype or "float64")
        return [_Tensor(MATRIX_NAME, datatype, (-1, len(names)), {"columns": names})]
    return [_Tensor(field.name, _datatype(field), field.shape or (-1,)) for field in layout.inputs]


def _output(field: Field, parameters: dict[str, Any] | None = None) -> _Tensor:
    return _Tensor(field.name, _datatype(field), field.shape or (-1,), parameters)


def _datatype(field: Field) -> str:
    from chopmark.gateway.protocols.elements import element_of
    from chopmark.gateway.protocols.tensors import datatype_of

    return datatype_of(field.type, element_of(field).dtype)


def _json(value: Any) -> Answered:
    return Answered(JSON, (), encode(value))

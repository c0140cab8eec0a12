"""The models that can be asked, as ``/v1/models`` tells them: endpoints of language models by their names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from chopmark.base.jsons import encode
from chopmark.domain.endpoints import Endpoint

__all__ = ["listed", "listed_one"]


class _Model(msgspec.Struct, frozen=True):
    id: str
    created: int
    owned_by: str
    object: str = "model"


class _List(msgspec.Struct, frozen=True):
    data: list[_Model]
    object: str = "list"


def listed(endpoints: Iterable[Endpoint]) -> bytes:
    """The answer to ``GET /v1/models``."""
    return encode(_List([_model(endpoint) for endpoint in sorted(endpoints, key=lambda each: each.ref)]))


def listed_one(endpoint: Endpoint) -> bytes:
    """The answer to ``GET /v1/models/{name}``."""
    return encode(_model(endpoint))


def _model(endpoint: Endpoint) -> _Model:
    created: datetime = endpoint.created_at
    return _Model(endpoint.ref, int(created.timestamp()), endpoint.project)

"""What every surface of the registry is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chopmark.base.settings import Settings
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.experiments import Experiment
from chopmark.domain.jobs import Job
from chopmark.domain.receivers import Webhook
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.domain.versions import Alias, Model, Version
from chopmark.errors import InvalidRequest
from chopmark.ops.requests import GetVersion, Request
from chopmark.sdk.transport import Transport

__all__ = [
    "EndpointReference",
    "ExperimentReference",
    "JobReference",
    "ModelReference",
    "Reference",
    "Surface",
    "WebhookReference",
    "checked_mapping",
]

Reference = str | Version
ModelReference = str | Model
EndpointReference = str | Endpoint
ExperimentReference = str | Experiment
JobReference = Job | UUID | str
WebhookReference = Webhook | UUID | str


def checked_mapping(value: object, what: str) -> Mapping[str, Any]:
    """The mapping, or an empty one for None.

    Raises
    ------
    InvalidRequest
        When it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        msg = f"{what} is a {type(value).__name__}, not a mapping from name to value."
        raise InvalidRequest(msg, hint=f"Pass {what}={{'name': value}}.")
    return value


class Surface:
    """A group of verbs over one transport."""

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport = transport
        self._settings = settings

    def _call(self, request: Request, *, key: str = "") -> Any:
        return self._transport.call(request, key=key)

    def _ref(self, reference: Reference) -> str:
        if isinstance(reference, Version):
            return reference.ref
        return str(parse_ref(reference, self._settings.project))

    def _model(self, model: ModelReference) -> str:
        if isinstance(model, Model):
            return model.ref
        return str(parse_model(model, self._settings.project))

    def _alias(self, alias: object) -> str:
        if isinstance(alias, Alias):
            return alias.ref
        if not isinstance(alias, str):
            msg = f"An alias is a text such as 'fraud@champion', not a {type(alias).__name__}."
            raise InvalidRequest(msg)
        name, at, pointer = alias.partition("@")
        return f"{self._model(name)}{at}{pointer}"

    def _version(self, reference: Reference, *, deleted: bool = False) -> Version:
        found: Version = self._call(GetVersion(ref=self._ref(reference), deleted=deleted))
        return found

"""What every surface of the registry is made of."""

from __future__ import annotations

from typing import Any

from chopmark.base.settings import Settings
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.domain.versions import Alias, Model, Version
from chopmark.ops.requests import GetVersion, Request
from chopmark.sdk.transport import Transport

__all__ = ["ModelReference", "Reference", "Surface"]

Reference = str | Version
ModelReference = str | Model


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

    def _alias(self, alias: str | Alias) -> str:
        if isinstance(alias, Alias):
            return alias.ref
        name, at, pointer = alias.partition("@")
        return f"{self._model(name)}{at}{pointer}"

    def _version(self, reference: Reference, *, deleted: bool = False) -> Version:
        found: Version = self._call(GetVersion(ref=self._ref(reference), deleted=deleted))
        return found

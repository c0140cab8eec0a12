"""The target ``external``: others serve the endpoint, and what is meant is recorded, with all they need to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from chopmark.abc.targets import RenderedFile
from chopmark.base.jsons import encode
from chopmark.domain.endpoints import EXTERNAL, Endpoint
from chopmark.domain.live import LiveEndpoint
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion

__all__ = ["TARGET", "ExternalOptions"]


class ExternalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the target takes: nothing."""


class _External:
    name = EXTERNAL
    options: type[msgspec.Struct] = ExternalOptions

    def render(self, endpoint: Endpoint, options: msgspec.Struct) -> Sequence[RenderedFile]:  # noqa: ARG002
        """One JSON file: versions with their digests and shares."""
        told = {
            "endpoint": endpoint.ref,
            "generation": endpoint.generation,
            "variants": [
                {"name": each.name, "share": each.weight / WEIGHT_TOTAL, **_told(each.version)}
                for each in endpoint.variants
            ],
            "shadows": [{"share": each.weight / WEIGHT_TOTAL, **_told(each.version)} for each in endpoint.shadows],
        }
        text = msgspec.json.format(encode(told), indent=2).decode()
        return (RenderedFile(f"{endpoint.name}.json", text + "\n"),)

    def apply(self, endpoint: Endpoint, options: msgspec.Struct) -> str:  # noqa: ARG002
        """Nothing is to be done: that it is meant is recorded already."""
        return f"{endpoint.ref} is recorded; those who serve it read what is meant from the registry"

    def observe(self, endpoint: Endpoint, live: LiveEndpoint) -> LiveEndpoint:  # noqa: ARG002
        """What the registry sees of it: only what was meant."""
        return live


def _told(version: PinnedVersion) -> dict[str, Any]:
    return {"version": version.ref, "digest": version.digest}


TARGET = _External()

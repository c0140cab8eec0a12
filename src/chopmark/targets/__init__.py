"""Places other than the local gateways that make endpoints answer, by name: found by entry point, loaded when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import fields

from chopmark.abc.targets import RenderedFile, Target
from chopmark.base.jsons import converted, explained
from chopmark.base.plugins import Plugins
from chopmark.errors import InvalidRequest

__all__ = ["ENTRY_POINTS", "RenderedFile", "Target", "get_target", "options_of", "target_names"]

ENTRY_POINTS = "chopmark.targets"


_TARGETS: Plugins[Target] = Plugins(
    ENTRY_POINTS, "target", "; what is local is served by gateways, and needs no files."
)


def target_names() -> tuple[str, ...]:
    """Names of all installed targets, sorted; nothing is imported."""
    return _TARGETS.names


def get_target(name: str) -> Target:
    """The target of this name.

    Raises
    ------
    NotFound
        When no installed package offers it; the hint lists what exists.
    Unsupported
        When the package that offers it cannot be imported.
    """
    return _TARGETS.get(name)


def options_of(target: Target, given: Mapping[str, Any]) -> msgspec.Struct:
    """What a target takes, of what somebody gave: numbers may be texts.

    Raises
    ------
    InvalidRequest
        When a name is not known, or a value has another type.
    """
    try:
        options: msgspec.Struct = converted(dict(given), target.options, strict=False)
    except msgspec.ValidationError as error:
        names = ", ".join(field.name for field in fields(target.options)) or "nothing"
        msg = f"The target {target.name} cannot be told so: {explained(error, target.options)}."
        raise InvalidRequest(msg, hint=f"It takes {names}.") from error
    return options

"""``chopmark.open``: from a place and settings to a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chopmark.base.clock import Clock, system_clock
from chopmark.base.settings import load_settings
from chopmark.sdk.registry import Registry
from chopmark.wiring import connect

__all__ = ["open_registry"]


def open_registry(url: str | Path | None = None, *, clock: Clock = system_clock, **settings: Any) -> Registry:
    """Open a registry, making it when it is a directory that is not there yet.

    Parameters
    ----------
    url
        Directory of the registry; without it ``CHOPMARK_URL``, the project file, the user file,
        or ``./.chopmark``.
    clock
        Where the time comes from.
    settings
        Any field of `chopmark.base.settings.Settings`, for example ``project="risk"``,
        ``database_url="postgresql://…"``, ``store_url="s3://bucket/models"``,
        ``trust="marked_only"``. They stand above the environment and the files.

    Raises
    ------
    Unavailable
        When the database or the store does not answer, or the schema is not current.
    InvalidRequest
        When a setting is not valid.
    """
    arguments = {"url": str(url) if url is not None else None, **settings}
    resolved = load_settings(arguments)
    return Registry(connect(resolved, clock=clock), resolved.settings)

"""The check of a registry: rows against rows, and rows against bytes."""

from __future__ import annotations

from chopmark.app.context import Context
from chopmark.ops.storage import CheckPage, CheckStorage

__all__ = ["check"]


def check(ctx: Context, request: CheckStorage) -> CheckPage:
    """Check a part of the registry."""
    raise NotImplementedError

"""Keys that a search names and no version has: mistyped, most often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import cast

from chopmark.abc.catalog import KeyedField
from chopmark.app.context import Context
from chopmark.domain.query import FieldName, fold

__all__ = ["did_you_mean", "unknown_keys"]

KEYS_COMPARED_MAX = 1_000
_NEAR_MAX = 3


def unknown_keys(ctx: Context, fields: Iterable[FieldName]) -> dict[str, tuple[str, ...]]:
    """Those of the fields by key that no version of the registry has, each with what is written alike.

    Parameters
    ----------
    ctx
        Where to look: one index probe a field, and for those unknown the first keys of their kind.
    fields
        As a query names them.
    """
    unknown = {}
    for field in fields:
        kind = cast("KeyedField", field.name)
        if not ctx.tx.versions.has_key(kind, field.key):
            unknown[str(field)] = tuple(f"{kind}.{key}" for key in _near(ctx, kind, field.key))
    return unknown


def _near(ctx: Context, kind: KeyedField, key: str) -> list[str]:
    there: dict[str, str] = {fold(k): k for k in ctx.tx.versions.keys(kind, limit=KEYS_COMPARED_MAX)}
    alike = get_close_matches(fold(key), list(there), _NEAR_MAX)
    return [there[near] for near in alike or [k for k in there if fold(key) in k][:_NEAR_MAX]]


def did_you_mean(unknown: Mapping[str, tuple[str, ...]]) -> str:
    """A question for those that have something alike; empty when none has."""
    near = [name for names in unknown.values() for name in names]
    return f"Did you mean {' or '.join(near)}?" if near else ""

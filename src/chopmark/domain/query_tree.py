"""Conditions, orders and queries as values: what the filter language is read into.

The language is described in `chopmark.domain.query`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from chopmark.domain.lifecycle import STAGES

__all__ = [
    "CHOICES",
    "DEPTH_MAX",
    "FIELDS",
    "KEYED",
    "TERMS_MAX",
    "TEXT_LENGTH_MAX",
    "And",
    "Compare",
    "Expr",
    "FieldName",
    "FieldType",
    "In",
    "Not",
    "Operator",
    "Or",
    "Order",
    "Present",
    "Query",
    "Value",
    "both",
]

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "~", "like"]
FieldType = Literal["text", "number", "time", "semver", "bool", "any", "words"]

FIELDS: dict[str, FieldType] = {
    "project": "text",
    "name": "text",
    "number": "number",
    "semver": "semver",
    "digest": "text",
    "kind": "text",
    "state": "text",
    "stage": "text",
    "alias": "text",
    "format": "text",
    "framework": "text",
    "task": "text",
    "owner": "text",
    "team": "text",
    "description": "text",
    "run_id": "text",
    "experiment_id": "text",
    "risk_tier": "text",
    "created_by": "text",
    "created_at": "time",
    "updated_at": "time",
    "size_bytes": "number",
    "cost_per_request": "number",
    "runs_code": "bool",
    "text": "words",
}
CHOICES: dict[str, tuple[str, ...]] = {
    "stage": STAGES,
    "state": ("pending", "ready", "failed"),
    "kind": ("artifact", "llm_config", "ensemble", "external"),
}
KEYED: dict[str, FieldType] = {"metrics": "number", "params": "any", "tags": "text"}

TEXT_LENGTH_MAX = 10_000
DEPTH_MAX = 50
TERMS_MAX = 200


class FieldName(msgspec.Struct, frozen=True):
    """A field, and the key within ``metrics``, ``params`` or ``tags``."""

    name: str
    key: str = ""

    @property
    def type(self) -> FieldType:
        """What its values are."""
        return KEYED[self.name] if self.key else FIELDS[self.name]

    def __str__(self) -> str:
        return f"{self.name}.{self.key}" if self.key else self.name


Value = str | float | int | bool


class Compare(msgspec.Struct, frozen=True, tag=True):
    """``field operator value``; times are microseconds, a semver its sort key."""

    field: FieldName
    op: Operator
    value: Value


class In(msgspec.Struct, frozen=True, tag=True):
    """``field in (…)``."""

    field: FieldName
    values: tuple[Value, ...]


class Present(msgspec.Struct, frozen=True, tag=True):
    """The field has a value."""

    field: FieldName


class Not(msgspec.Struct, frozen=True, tag=True):
    """Negation."""

    term: Expr


class And(msgspec.Struct, frozen=True, tag=True):
    """All of them."""

    terms: tuple[Expr, ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """Any of them."""

    terms: tuple[Expr, ...]


Expr = Compare | In | Present | Not | And | Or


class Order(msgspec.Struct, frozen=True):
    """One term of an order; versions without the field come last either way."""

    field: FieldName
    descending: bool = False


class Query(msgspec.Struct, frozen=True):
    """A whole query."""

    where: Expr | None = None
    order: tuple[Order, ...] = ()


def both(first: Expr | None, second: Expr) -> Expr:
    """The conjunction of two conditions, of which the first may be none."""
    return second if first is None else And((first, second))

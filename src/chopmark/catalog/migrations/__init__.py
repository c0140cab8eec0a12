"""Migrations of the catalog's tables.

Every step suits the code that still runs: it adds first, and only a later release takes away.
"""

from __future__ import annotations

from chopmark.base.clock import system_clock
from chopmark.base.ids import random_bytes, uuid7

__all__ = ["COMPATIBLE_FROM", "FIRST_FACTS", "HEAD", "first_moves", "first_routing", "protect_audit"]

HEAD = "0010"
"""Revision that this code needs. Revisions are numbers with leading zeros, and sort as texts."""

COMPATIBLE_FROM = "compatible_from"
"""Name of the fact that says the oldest code's ``HEAD`` that still works on these tables."""

FIRST_FACTS = {COMPATIBLE_FROM: "0001", "collection": "0", "recorded_seq": "0"}
"""What the steps have noted when the last of them is done in an empty database."""

_SECRET_BYTES = 32


def protect_audit(prefix: str, schema: str, dialect: str) -> list[str]:
    """SQL of triggers that refuse to change or remove an event of the audit."""
    table = f"{prefix}audit_events"
    what = "events of the audit never change"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{what}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    place = f"{schema}." if schema else ""
    function = f"{place}{table}_refuse"
    body = f"BEGIN RAISE EXCEPTION '{what}'; END"
    when = f"BEFORE UPDATE OR DELETE OR TRUNCATE ON {place}{table} FOR EACH STATEMENT"
    return [
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER {table}_no_change {when} EXECUTE FUNCTION {function}()",
    ]


def first_routing(table: str) -> str:
    """SQL that puts the only row into the table of the routing: an epoch that begins now, and a secret of its own."""
    epoch, secret = uuid7(system_clock()), random_bytes(_SECRET_BYTES).hex()
    return f"INSERT INTO {table} (key, epoch, generation, secret) VALUES (1, '{epoch}', 0, '{secret}')"  # noqa: S608


def first_moves(table: str) -> str:
    """SQL that notes that neither minutes nor hours of outcomes were moved yet."""
    return f"INSERT INTO {table} (grain, upto_us) VALUES ('minute', 0), ('hour', 0), ('day', 0)"  # noqa: S608

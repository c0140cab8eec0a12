"""Migrations of the catalog's tables.

Every step suits the code that still runs: it adds first, and only a later release takes away.
"""

from __future__ import annotations

__all__ = ["COMPATIBLE_FROM", "FIRST_FACTS", "HEAD", "protect_audit"]

HEAD = "0006"
"""Revision that this code needs. Revisions are numbers with leading zeros, and sort as texts."""

COMPATIBLE_FROM = "compatible_from"
"""Name of the fact that says the oldest code's ``HEAD`` that still works on these tables."""

FIRST_FACTS = {COMPATIBLE_FROM: "0001", "collection": "0", "recorded_seq": "0"}
"""What the steps have noted when the last of them is done in an empty database."""


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

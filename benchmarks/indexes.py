"""Which index serves a call: the statements that it runs, and what the database says it will do for the last of them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg

from chopmark.catalog.execution import Executor, Prepared

__all__ = ["Ran", "leading_index", "postgres_index", "ran", "sqlite_index"]

Ran = tuple[str, dict[str, Any]]
_STEP = re.compile(
    r"(?:SEARCH|SCAN) (?P<table>\w+)(?: USING (?:COVERING )?(?:INDEX (?P<index>\w+)|(?:INTEGER )?PRIMARY KEY))?"
    r"(?: \((?P<columns>[^)]*)\))?"
)
_NAMES = frozenset(("projects", "models", "in_model", "in_project", "named", "page", "led"))
"""Tables that say which model or project is meant, and parts of a statement."""


@contextmanager
def ran() -> Iterator[list[Ran]]:
    """Note every statement that a catalog runs meanwhile, with its values."""
    noted: list[Ran] = []
    run = Executor._run  # noqa: SLF001 - the one place through which all statements go

    def note(executor: Executor, prepared: Prepared, values: Mapping[str, Any]) -> Any:
        noted.append((prepared.sql, {**prepared.defaults, **values}))
        return run(executor, prepared, values)

    with patch.object(Executor, "_run", note):
        yield noted


def leading_index(statements: list[Ran], explain: Callable[[str, dict[str, Any]], str]) -> str:
    """The index that leads the last statement that reads versions."""
    reading = [(sql, values) for sql, values in statements if "versions" in sql and "audit" not in sql]
    return explain(*reading[-1]) if reading else "none"


def sqlite_index(connection: sqlite3.Connection) -> Callable[[str, dict[str, Any]], str]:
    """Ask SQLite."""

    def explain(sql: str, values: dict[str, Any]) -> str:
        steps = (_STEP.match(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))
        reading = [step for step in steps if step and step["table"] not in _NAMES]
        if not reading:
            return "none"
        first, columns = reading[0], reading[0]["columns"]
        if columns is None and first["index"] is None:
            return f"scan of {first['table']}"
        name = first["index"] or f"{first['table']} primary key"
        # what SQLite calls the index of a constraint says nothing
        name = re.sub(r"sqlite_autoindex_(\w+)_\d+", r"\1 unique", name)
        return f"{name} ({columns})" if columns else name

    return explain


def postgres_index(connection: psycopg.Connection[Any]) -> Callable[[str, dict[str, Any]], str]:
    """Ask PostgreSQL."""

    def explain(sql: str, values: dict[str, Any]) -> str:
        row = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", values).fetchone()
        connection.rollback()
        assert row is not None
        nodes = list(_leaves(row[0][0]["Plan"]))
        named = [n for n in nodes if n.get("Index Name") and not n["Index Name"].startswith(("projects", "models"))]
        scans = [n for n in nodes if n["Node Type"] == "Seq Scan" and n["Relation Name"] not in ("projects", "models")]
        if scans:
            return f"scan of {scans[0]['Relation Name']}"
        return str(named[0]["Index Name"]) if named else "none"

    return explain


def _leaves(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Nodes that read a table, in the order in which a nested loop asks them."""
    if "Index Name" in plan or "Relation Name" in plan:
        yield plan
    for below in plan.get("Plans", []):
        if below.get("Parent Relationship") not in ("InitPlan", "SubPlan"):
            yield from _leaves(below)

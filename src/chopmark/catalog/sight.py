"""Limits of what is read to some projects, as conditions in SQL.

For who may not read everything: names of projects are bound as ``seen0`` … , a power of two of them, so that few statements
do for any number of projects.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.schema import Column

from chopmark.catalog.columns import WORD
from chopmark.catalog.filters import place
from chopmark.catalog.schema import Tables

__all__ = [
    "NODE_UID",
    "dataset_in_sight",
    "event_in_sight",
    "in_sight",
    "keys_in_sight",
    "node_in_sight",
    "node_uid",
    "places_of",
    "seen_values",
]

NODE_UID = "chopmark_node_uid"
"""Name of the function that SQLite connections bring: the id in the text of a version's node."""


def node_uid(node: str | None) -> bytes | None:
    """The id in ``version:<32 hexadecimal digits>``; None for another text."""
    if node is None or not node.startswith("version:"):
        return None
    try:
        return bytes.fromhex(node[len("version:") :])
    except ValueError:
        return None


class _uid_of_node(FunctionElement[bytes]):  # noqa: N801 - SQL functions are written small
    name = "uid_of_node"
    type = LargeBinary(16)
    inherit_cache = True


@compiles(_uid_of_node, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"{NODE_UID}({compiler.process(element.clauses, **options)})"


@compiles(_uid_of_node, "postgresql")
def _on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    node = compiler.process(element.clauses, **options)
    return f"CASE WHEN {node} ~ '^version:[0-9a-f]{{32}}$' THEN decode(substr({node}, 9), 'hex') END"


def places_of(among: Collection[str] | None) -> int:
    """How many places a statement has for the names of projects; 0 without a limit."""
    if among is None:
        return 0
    return 1 << max(len(among) - 1, 0).bit_length()


def seen_values(among: Collection[str] | None) -> dict[str, Any]:
    """The names as values of a statement's places; of none, a name that no project has."""
    if among is None:
        return {}
    names = sorted(among) or [""]
    return {f"seen{n}": names[min(n, len(names) - 1)] for n in range(places_of(among))}


def in_sight(name: Column[Any] | ColumnElement[Any], places: int) -> ColumnElement[bool]:
    """That the name of a project is among those seen."""
    return name.in_([bindparam(f"seen{n}", type_=WORD) for n in range(places)])


def keys_in_sight(tables: Tables, places: int) -> Any:
    """Keys of the projects that are seen."""
    p = tables.projects.alias("seen")
    return select(p.c.key).where(in_sight(p.c.name, places))


def node_in_sight(node: ColumnElement[Any], tables: Tables, places: int) -> ColumnElement[bool]:
    """That a node is no version, or one of a project that is seen."""
    v = tables.versions.alias("seen_version")
    there: Select[Any] = select(literal_column("1")).where(
        v.c.uid == _uid_of_node(node), v.c.project_key.in_(keys_in_sight(tables, places))
    )
    is_other = func.substr(node, 1, literal_column("8")) != literal_column("'version:'")
    return or_(is_other, there.correlate_except(v).exists())


def dataset_in_sight(node: ColumnElement[Any], tables: Tables, places: int) -> ColumnElement[bool]:
    """That a version of a project that is seen was trained or evaluated on a data set."""
    e, v = tables.edges.alias("seen_edge"), tables.versions.alias("seen_version")
    joined = e.join(v, v.c.uid == _uid_of_node(e.c.source))
    users: Select[Any] = select(literal_column("1")).select_from(joined)
    users = users.where(e.c.target == node, v.c.project_key.in_(keys_in_sight(tables, places)))
    return users.correlate_except(e, v).exists()


def event_in_sight(event: Any, target: Any, places: int, default: str) -> ColumnElement[bool]:
    """That an event of the audit happened in a project that is seen (`chopmark.domain.sight.project_of`)."""
    noun = _before(event, "'.'")
    cut = place(target, literal_column("'/'"))
    of_name = case(
        (cut > literal_column("0"), func.substr(target, 1, cut - literal_column("1"))),
        else_=literal_column(f"'{default}'"),
    )
    of_project = and_(_one_of(noun, ("project", "member")), in_sight(type_coerce(target, WORD), places))
    of_model = and_(
        _one_of(noun, ("model", "version", "alias", "lineage", "endpoint", "monitor", "alert")),
        in_sight(type_coerce(of_name, WORD), places),
    )
    return or_(of_project, of_model)


def _before(text: Any, mark: str) -> Any:
    return func.substr(text, 1, place(text, literal_column(mark)) - literal_column("1"), type_=Text())


def _one_of(text: Any, names: tuple[str, ...]) -> ColumnElement[bool]:
    found: ColumnElement[bool] = text.in_([literal_column(f"'{name}'") for name in names])
    return found

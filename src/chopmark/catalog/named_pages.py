"""Pages of what has a project and a name, in SQL: endpoints, experiments, monitors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, Table, and_, bindparam, or_

from chopmark.catalog.columns import WORD
from chopmark.catalog.sight import in_sight, seen_values

__all__ = ["named_page", "named_page_values"]


def named_page(rows: Select[Any], table: Table, *, in_project: bool, places: int) -> Select[Any]:
    """Those after ``after_project`` and ``after_name``, of ``project``, or of those in sight; up to ``limit``."""
    c = table.c
    project, name = bindparam("after_project", type_=WORD), bindparam("after_name", type_=WORD)
    page = rows.where(or_(c.project > project, and_(c.project == project, c.name > name)))
    if in_project:
        page = page.where(c.project == bindparam("project"))
    if places:
        page = page.where(in_sight(c.project, places))
    return page.order_by(c.project, c.name).limit(bindparam("limit"))


def named_page_values(
    project: str | None, among: Collection[str] | None, after: tuple[str, str], limit: int
) -> dict[str, Any]:
    """What a `named_page` is run with."""
    values: dict[str, Any] = {"after_project": after[0], "after_name": after[1], "limit": limit, **seen_values(among)}
    return values if project is None else {**values, "project": project}

"""Pages of what has a project and a name: endpoints, experiments, monitors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from chopmark.base.jsons import canonical
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.names import check_name

__all__ = ["named_page"]


class _Asked(Protocol):
    @property
    def project(self) -> str | None: ...
    @property
    def cursor(self) -> str: ...
    @property
    def limit(self) -> int: ...


class _Named(Protocol):
    @property
    def project(self) -> str: ...
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def named_page(
    request: _Asked, query: list[Any], found: Callable[[tuple[str, str], int], list[N]]
) -> tuple[list[N], str]:
    """A page by project and name, and the cursor of the next; empty when there is none.

    Parameters
    ----------
    request
        What was asked.
    query
        Of which list: a cursor of another is refused.
    found
        Rows after a project and a name, so many at most.
    """
    limit = check_limit(request.limit)
    if request.project is not None:
        check_name(request.project, "project")
    key = canonical(query)
    project, name = map(str, decode_cursor(request.cursor, key)) if request.cursor else ("", "")
    items = found((project, name), limit + 1)
    if len(items) <= limit:
        return items, ""
    last = items[limit - 1]
    return items[:limit], encode_cursor([last.project, last.name], key)

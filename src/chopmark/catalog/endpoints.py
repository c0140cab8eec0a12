"""Endpoints in SQL."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, select, update

from chopmark.abc.catalog import Taken
from chopmark.abc.routing import EndpointList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.named_pages import named_page, named_page_values
from chopmark.catalog.records import json_text
from chopmark.catalog.sight import places_of
from chopmark.domain.endpoints import Endpoint, EndpointConfig
from chopmark.domain.traffic import Shadow, Variant
from chopmark.domain.variants import versions_of

__all__ = ["EndpointStatements", "SqlEndpoints"]


class _Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is said of an endpoint and never asked by, as one JSON text in its row."""

    description: str = ""
    variants: tuple[Variant, ...]
    shadows: tuple[Shadow, ...] = ()
    config: EndpointConfig = EndpointConfig()


_read_body = decoder(_Body)
_MOVED = ("body", "generation", "updated_us", "updated_by")


class EndpointStatements:
    """Statements on endpoints, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def get(self) -> Prepared:
        """By ``project`` and ``name``."""
        return self.compiler(self._endpoints().where(self._is_named()))

    @cached_property
    def lock(self) -> Prepared:
        """The same, for this transaction alone."""
        return self.compiler(self._endpoints().where(self._is_named()).with_for_update())

    def list(self, *, in_project: bool, places: int) -> Prepared:
        """After ``after_project`` and ``after_name``, of ``project``, or of those in sight."""
        return self.compiler.shaped(
            ("endpoints", in_project, places),
            lambda: named_page(self._endpoints(), self.tables.endpoints, in_project=in_project, places=places),
        )

    @cached_property
    def using(self) -> Prepared:
        """With the version ``version``."""
        c, u = self.tables.endpoints.c, self.tables.endpoint_versions.c
        having = select(u.endpoint_key).where(u.version_uid == bindparam("version"))
        found = self._endpoints().where(c.key.in_(having)).order_by(c.project, c.name)
        return self.compiler(found.limit(bindparam("limit")))

    @cached_property
    def insert(self) -> Prepared:
        """Returns nothing when the name or id is taken."""
        e = self.tables.endpoints
        return self.compiler(self.compiler.insert_once(e).returning(e.c.key))

    @cached_property
    def put(self) -> Prepared:
        """What may change of ``endpoint``."""
        e = self.tables.endpoints
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _MOVED}
        return self.compiler(update(e).where(e.c.uid == bindparam("endpoint")).values(**values))

    @cached_property
    def remove(self) -> Prepared:
        """By ``uid``, with what says which versions it has."""
        e = self.tables.endpoints
        return self.compiler(delete(e).where(e.c.uid == bindparam("uid")))

    @cached_property
    def forget_versions(self) -> Prepared:
        """Of ``endpoint``."""
        e, u = self.tables.endpoints, self.tables.endpoint_versions
        key = select(e.c.key).where(e.c.uid == bindparam("endpoint")).scalar_subquery()
        return self.compiler(delete(u).where(u.c.endpoint_key == key))

    @cached_property
    def add_version(self) -> Prepared:
        """That ``endpoint`` has ``version_uid``."""
        e, u = self.tables.endpoints, self.tables.endpoint_versions
        return self.compiler(self.compiler.insert_for(u, e.c.uid == bindparam("endpoint"), endpoint_key=e.c.key))

    def _endpoints(self) -> Select[Any]:
        c = self.tables.endpoints.c
        return select(
            c.uid, c.project, c.name, c.body, c.generation, c.created_us, c.created_by, c.updated_us, c.updated_by
        )

    def _is_named(self) -> ColumnElement[bool]:
        c = self.tables.endpoints.c
        return and_(c.project == bindparam("project"), c.name == bindparam("name"))


class SqlEndpoints:
    """`chopmark.abc.routing.Endpoints`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: EndpointStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, project: str, name: str) -> Endpoint | None:
        """See the interface."""
        return self._one(self._sql.get, project, name)

    def lock(self, project: str, name: str) -> Endpoint | None:
        """See the interface."""
        self._run.check_writing()
        return self._one(self._sql.lock, project, name)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> EndpointList:
        """See the interface."""
        values = named_page_values(project, among, after, limit)
        prepared = self._sql.list(in_project=project is not None, places=places_of(among))
        return [_endpoint(row) for row in self._run.all(prepared, values)]

    def using(self, version_id: UUID, *, limit: int) -> EndpointList:
        """See the interface."""
        values = {"version": version_id.bytes, "limit": limit}
        return [_endpoint(row) for row in self._run.all(self._sql.using, values)]

    def insert(self, endpoint: Endpoint) -> None:
        """See the interface."""
        values = {
            "uid": endpoint.id.bytes,
            "project": endpoint.project,
            "name": endpoint.name,
            "created_us": to_us(endpoint.created_at),
            "created_by": endpoint.created_by,
            **_moved(endpoint),
        }
        if self._run.add(self._sql.insert, values) is None:
            raise Taken(f"There is an endpoint {endpoint.ref} already.")
        self._add_versions(endpoint)

    def put(self, endpoint: Endpoint) -> bool:
        """See the interface."""
        values = {f"new_{name}": value for name, value in _moved(endpoint).items()}
        if not self._run.change(self._sql.put, {"endpoint": endpoint.id.bytes, **values}):
            return False
        self._run.change(self._sql.forget_versions, {"endpoint": endpoint.id.bytes})
        self._add_versions(endpoint)
        return True

    def remove(self, endpoint_id: UUID) -> bool:
        """See the interface."""
        return self._run.change(self._sql.remove, {"uid": endpoint_id.bytes}) > 0

    def _one(self, prepared: Prepared, project: str, name: str) -> Endpoint | None:
        row = self._run.one(prepared, {"project": project, "name": name})
        return None if row is None else _endpoint(row)

    def _add_versions(self, endpoint: Endpoint) -> None:
        rows = ({"endpoint": endpoint.id.bytes, "version_uid": each.bytes} for each in sorted(versions_of(endpoint)))
        self._run.change_each(self._sql.add_version, rows)


def _moved(endpoint: Endpoint) -> dict[str, Any]:
    body = _Body(**{name: getattr(endpoint, name) for name in _Body.__struct_fields__})
    return {
        "body": json_text(body),
        "generation": endpoint.generation,
        "updated_us": to_us(endpoint.updated_at),
        "updated_by": endpoint.updated_by,
    }


@row_of("an endpoint", "bsssiisis")
def _endpoint(row: tuple[Any, ...]) -> Endpoint:
    uid, project, name, body, generation, created_us, created_by, updated_us, updated_by = row
    said = _read_body(body)
    return Endpoint(
        id=UUID(bytes=uid),
        project=project,
        name=name,
        description=said.description,
        variants=said.variants,
        shadows=said.shadows,
        config=said.config,
        generation=generation,
        created_at=from_us(created_us),
        created_by=created_by,
        updated_at=from_us(updated_us),
        updated_by=updated_by,
    )

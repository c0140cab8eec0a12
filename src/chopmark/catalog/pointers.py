"""Aliases and trust in SQL."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, select

from chopmark.abc.pointers import Moves
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text, version_from_row
from chopmark.catalog.version_statements import version_columns
from chopmark.domain.versions import Alias, AliasMove, TrustDecision, Version
from chopmark.errors import NotFound

__all__ = ["PointerStatements", "SqlAliases", "SqlTrust"]

LAST_US = 2**63 - 1

_decode_decision = decoder(TrustDecision)


class PointerStatements:
    """Statements on aliases and trust decisions, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def alias_get(self) -> Prepared:
        """By ``model`` and ``name``."""
        name = self.tables.aliases.c.name == bindparam("name")
        return self.compiler(self._aliases().where(name))

    @cached_property
    def alias_list(self) -> Prepared:
        """Of ``model``, by name."""
        return self.compiler(self._aliases().order_by(self.tables.aliases.c.name))

    @cached_property
    def alias_version(self) -> Prepared:
        """The version of an alias."""
        t, a = self.tables, self.tables.aliases.alias("pointer")
        of_model = t.models.c.uid == bindparam("model")
        columns = version_columns(self.compiler)
        source = columns.get_final_froms()[0].join(
            a, (a.c.version_key == t.versions.c.key) & (a.c.model_key == t.models.c.key)
        )
        found = columns.select_from(source)
        return self.compiler(found.where(of_model, a.c.name == bindparam("name")))

    @cached_property
    def version_key(self) -> Prepared:
        """Keys of ``number`` of ``model`` and of the model."""
        m, v = self.tables.models, self.tables.versions
        joined = v.join(m, m.c.key == v.c.model_key)
        return self.compiler(
            select(v.c.key, m.c.key)
            .select_from(joined)
            .where(m.c.uid == bindparam("model"), v.c.number == bindparam("number"))
        )

    @cached_property
    def alias_put(self) -> Prepared:
        """Insert or move."""
        return self.compiler(self.compiler.upsert(self.tables.aliases, ["model_key", "name"]))

    @cached_property
    def alias_remove(self) -> Prepared:
        """By ``model`` and ``alias``."""
        a, m = self.tables.aliases, self.tables.models
        model = select(m.c.key).where(m.c.uid == bindparam("model")).scalar_subquery()
        return self.compiler(delete(a).where(a.c.model_key == model, a.c.name == bindparam("alias")))

    @cached_property
    def move_insert(self) -> Prepared:
        """An entry of an alias's history; adds nothing when ``model`` is not there."""
        m = self.tables.models.c
        of_model = m.uid == bindparam("model")
        return self.compiler(self.compiler.insert_for(self.tables.alias_moves, of_model, model_key=m.key))

    def moves(self, *, of_name: bool) -> Prepared:
        """History of ``name`` (or of all names) of ``model`` up to ``until``, newest first."""
        return self.compiler.shaped(("alias moves", of_name), lambda: self._moves(of_name))

    def _moves(self, of_name: bool) -> Select[Any]:
        p, m, h = self.tables.projects, self.tables.models, self.tables.alias_moves
        c = h.c
        joined = h.join(m, m.c.key == c.model_key).join(p, p.c.key == m.c.project_key)
        found = select(p.c.name, m.c.name, c.name, c.number, c.previous, c.actor, c.at_us, c.reason).select_from(joined)
        found = found.where(m.c.uid == bindparam("model"), c.at_us <= bindparam("until"))
        if of_name:
            found = found.where(c.name == bindparam("name"))
        return found.order_by(c.at_us.desc(), c.key.desc()).limit(bindparam("limit"))

    @cached_property
    def trust_get(self) -> Prepared:
        """Of ``digest``, newest first."""
        c = self.tables.trust.c
        found = select(c.body).where(c.digest == bindparam("digest"))
        return self.compiler(found.order_by(c.at_us.desc(), c.key.desc()))

    @cached_property
    def trust_insert(self) -> Prepared:
        """One decision."""
        return self.compiler(self.compiler.insert(self.tables.trust))

    @cached_property
    def trust_remove(self) -> Prepared:
        """All of ``digest``."""
        t = self.tables.trust
        return self.compiler(delete(t).where(t.c.digest == bindparam("digest")))

    def _aliases(self) -> Select[Any]:
        t = self.tables
        p, m, v, a = t.projects, t.models, t.versions, t.aliases
        joined = (
            a.join(v, v.c.key == a.c.version_key).join(m, m.c.key == a.c.model_key).join(p, p.c.key == m.c.project_key)
        )
        found = select(
            p.c.name, m.c.name, a.c.name, v.c.number, a.c.protected, a.c.updated_us, a.c.updated_by
        ).select_from(joined)  # fmt: skip
        return found.where(m.c.uid == bindparam("model"))


class SqlAliases:
    """`chopmark.abc.catalog.Aliases`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: PointerStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, model_id: UUID, name: str) -> Alias | None:
        """See the interface."""
        row = self._run.one(self._sql.alias_get, {"model": model_id.bytes, "name": name})
        return None if row is None else _alias(row)

    def version(self, model_id: UUID, name: str) -> Version | None:
        """See the interface."""
        values = {"model": model_id.bytes, "name": name}
        row = self._run.one(self._sql.alias_version, values)
        return None if row is None else version_from_row(row)

    def list(self, model_id: UUID) -> list[Alias]:
        """See the interface."""
        rows = self._run.all(self._sql.alias_list, {"model": model_id.bytes})
        return [_alias(row) for row in rows]

    def put(self, model_id: UUID, alias: Alias) -> None:
        """See the interface."""
        self._run.check_writing()
        values = {"model": model_id.bytes, "number": alias.number}
        row = self._run.one(self._sql.version_key, values)
        if row is None:
            msg = f"{alias.model} has no version {alias.number} to give the alias to."
            raise NotFound(msg)
        version_key, model_key = row
        values = {
            "model_key": model_key,
            "name": alias.name,
            "version_key": version_key,
            "protected": int(alias.protected),
            "updated_us": to_us(alias.updated_at),
            "updated_by": alias.updated_by,
        }
        self._run.change(self._sql.alias_put, values)

    def remove(self, model_id: UUID, name: str) -> None:
        """See the interface."""
        values = {"model": model_id.bytes, "alias": name}
        if not self._run.change(self._sql.alias_remove, values):
            msg = f"There is no alias {name} to remove."
            raise NotFound(msg)

    def record(self, model_id: UUID, move: AliasMove) -> None:
        """See the interface."""
        values = {
            "model": model_id.bytes,
            "name": move.name,
            "number": move.number,
            "previous": move.previous,
            "actor": move.actor,
            "at_us": to_us(move.at),
            "reason": move.reason,
        }
        if not self._run.change(self._sql.move_insert, values):
            raise NotFound(f"There is no model with the id {model_id}.")

    def history(self, model_id: UUID, name: str = "", *, until: datetime | None = None, limit: int) -> Moves:
        """See the interface."""
        values: dict[str, Any] = {
            "model": model_id.bytes,
            "until": LAST_US if until is None else to_us(until),
            "limit": limit,
        }
        if name:
            values["name"] = name
        return [_move(row) for row in self._run.all(self._sql.moves(of_name=bool(name)), values)]


class SqlTrust:
    """`chopmark.abc.catalog.Trust`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: PointerStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, digest: str) -> list[TrustDecision]:
        """See the interface."""
        rows = self._run.all(self._sql.trust_get, {"digest": digest})
        return [_decision(row) for row in rows]

    def insert(self, decision: TrustDecision) -> None:
        """See the interface."""
        values = {
            "digest": decision.digest,
            "at_us": to_us(decision.at),
            "body": json_text(decision),
        }
        self._run.change(self._sql.trust_insert, values)

    def remove(self, digest: str) -> int:
        """See the interface."""
        return self._run.change(self._sql.trust_remove, {"digest": digest})


@row_of("an alias", "sssiiis")
def _alias(row: tuple[Any, ...]) -> Alias:
    project, model, name, number, protected, updated_us, updated_by = row
    return Alias(
        project=project,
        model=model,
        name=name,
        number=number,
        protected=bool(protected),
        updated_at=from_us(updated_us),
        updated_by=updated_by,
    )


@row_of("a move of an alias", "sssIIsis")
def _move(row: tuple[Any, ...]) -> AliasMove:
    project, model, name, number, previous, actor, at_us, reason = row
    return AliasMove(
        project=project,
        model=model,
        name=name,
        number=number,
        previous=previous,
        actor=actor,
        at=from_us(at_us),
        reason=reason,
    )


@row_of("a trust decision", "s")
def _decision(row: tuple[Any, ...]) -> TrustDecision:
    return _decode_decision(row[0])

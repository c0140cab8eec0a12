"""Tokens, members, roles and who put bytes, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, or_, select, update

from chopmark.abc.access import HashedTokens, ManyMembers, ManyTokens, MemberKey
from chopmark.abc.catalog import Taken
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decode
from chopmark.catalog.columns import WORD
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text
from chopmark.catalog.sight import in_sight, keys_in_sight, places_of, seen_values
from chopmark.domain.access import CustomRole, Member
from chopmark.domain.tokens import Token

__all__ = ["AccessStatements", "SqlMembers", "SqlPuts", "SqlRoles", "SqlTokens"]

ASKED_AT_ONCE = 256


class AccessStatements:
    """Statements on who may do what, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def token_get(self) -> Prepared:
        """By ``id``, with the hash of its secret."""
        t = self.tables.tokens.c
        return self.compiler(self._tokens().add_columns(t.secret_hash).where(t.id == bindparam("id")))

    def token_list(self, *, of_owner: bool) -> Prepared:
        """By id after ``after``, of ``owner``."""
        return self.compiler.shaped(("tokens", of_owner), lambda: self._token_page(of_owner))

    @cached_property
    def token_hashed(self) -> Prepared:
        """By id after ``after``, with the hash of its secret."""
        return self.compiler(self._token_page(of_owner=False).add_columns(self.tables.tokens.c.secret_hash))

    @cached_property
    def token_insert(self) -> Prepared:
        """Returns nothing when the id is taken."""
        t = self.tables.tokens
        return self.compiler(self.compiler.insert_once(t).returning(t.c.id))

    @cached_property
    def token_revoke(self) -> Prepared:
        """Once."""
        t = self.tables.tokens
        one = (t.c.id == bindparam("token"), t.c.revoked_us.is_(None))
        return self.compiler(update(t).where(*one).values(revoked_us=bindparam("at_us")))

    @cached_property
    def token_used(self) -> Prepared:
        """Later than what is noted."""
        t = self.tables.tokens
        earlier = or_(t.c.used_us.is_(None), t.c.used_us < bindparam("at_us"))
        return self.compiler(update(t).where(t.c.id == bindparam("token"), earlier).values(used_us=bindparam("at_us")))

    @cached_property
    def tokens_remove(self) -> Prepared:
        """Expired or revoked before ``before``."""
        c = self.tables.tokens.c
        ended = or_(c.expires_us < bindparam("before"), c.revoked_us < bindparam("before"))
        return self.compiler(delete(self.tables.tokens).where(ended))

    @cached_property
    def member_get(self) -> Prepared:
        """By its key."""
        return self.compiler(self._members().where(self._is_member()))

    def member_list(self, *, in_project: bool, places: int) -> Prepared:
        """By key after ``after_project`` …, of ``project``, or of those that are seen."""
        return self.compiler.shaped(("members", in_project, places), lambda: self._member_page(in_project, places))

    def members_of(self, groups: int) -> Prepared:
        """Of ``actor``, and of ``group0`` and so on."""
        return self.compiler.shaped(("members of", groups), lambda: self._members_of(groups))

    @cached_property
    def members_with_role(self) -> Prepared:
        """In ``role``."""
        c = self.tables.members.c
        found = self._members().where(c.role == bindparam("role")).order_by(c.project, c.kind, c.member)
        return self.compiler(found.limit(bindparam("limit")))

    @cached_property
    def member_put(self) -> Prepared:
        """Adds or replaces."""
        return self.compiler(self.compiler.upsert(self.tables.members, ["project", "kind", "member"]))

    @cached_property
    def member_remove(self) -> Prepared:
        """By its key."""
        return self.compiler(delete(self.tables.members).where(self._is_member()))

    @cached_property
    def role_get(self) -> Prepared:
        """By ``name``."""
        return self.compiler(self._roles().where(self.tables.roles.c.name == bindparam("name")))

    @cached_property
    def role_list(self) -> Prepared:
        """By name."""
        return self.compiler(self._roles().order_by(self.tables.roles.c.name))

    @cached_property
    def role_put(self) -> Prepared:
        """Adds or replaces."""
        return self.compiler(self.compiler.upsert(self.tables.roles, ["name"]))

    @cached_property
    def role_remove(self) -> Prepared:
        """By ``name``."""
        return self.compiler(delete(self.tables.roles).where(self.tables.roles.c.name == bindparam("name")))

    @cached_property
    def put_note(self) -> Prepared:
        """Adds, or moves the time."""
        return self.compiler(self.compiler.upsert(self.tables.blob_puts, ["digest", "actor"]))

    def shown(self, digests: int, places: int) -> Prepared:
        """Digests of ``digest0`` … that ``actor`` put since ``since``, or that versions in sight have."""
        return self.compiler.shaped(("shown", digests, places), lambda: self._shown(digests, places))

    @cached_property
    def puts_remove(self) -> Prepared:
        """Before ``before``."""
        b = self.tables.blob_puts
        return self.compiler(delete(b).where(b.c.at_us < bindparam("before")))

    def _tokens(self) -> Select[Any]:
        c = self.tables.tokens.c
        return select(
            c.id, c.name, c.owner, c.kind, c.scopes, c.project, c.created_us, c.created_by, c.expires_us, c.revoked_us,
            c.used_us,
        )  # fmt: skip

    def _token_page(self, of_owner: bool) -> Select[Any]:
        c = self.tables.tokens.c
        page = self._tokens().where(c.id > bindparam("after")).order_by(c.id).limit(bindparam("limit"))
        return page.where(c.owner == bindparam("owner")) if of_owner else page

    def _members(self) -> Select[Any]:
        c = self.tables.members.c
        return select(c.project, c.kind, c.member, c.role, c.since_us, c.set_by)

    def _is_member(self) -> ColumnElement[bool]:
        c = self.tables.members.c
        return and_(*(column == bindparam(column.name) for column in (c.project, c.kind, c.member)))

    def _member_page(self, in_project: bool, places: int) -> Select[Any]:
        c = self.tables.members.c
        project, kind, member = (bindparam(f"after_{name}", type_=WORD) for name in ("project", "kind", "member"))
        beyond = or_(c.kind > kind, and_(c.kind == kind, c.member > member))
        page = self._members().where(or_(c.project > project, and_(c.project == project, beyond)))
        if in_project:
            page = page.where(c.project == bindparam("project"))
        if places:
            page = page.where(in_sight(c.project, places))
        return page.order_by(c.project, c.kind, c.member).limit(bindparam("limit"))

    def _members_of(self, groups: int) -> Select[Any]:
        c = self.tables.members.c
        found = and_(c.kind == bindparam("actor_kind", "actor"), c.member == bindparam("actor"))
        if groups:
            named = c.member.in_([bindparam(f"group{n}", type_=WORD) for n in range(groups)])
            found = or_(found, and_(c.kind == bindparam("group_kind", "group"), named))
        return self._members().where(found)

    def _roles(self) -> Select[Any]:
        c = self.tables.roles.c
        return select(c.name, c.permissions, c.description)

    def _shown(self, digests: int, places: int) -> Any:
        f, b, v = self.tables.files, self.tables.blob_puts, self.tables.versions
        asked = [bindparam(f"digest{n}", type_=WORD) for n in range(digests)]
        put = select(b.c.digest).where(
            b.c.digest.in_(asked), b.c.actor == bindparam("actor"), b.c.at_us >= bindparam("since")
        )
        joined = f.join(v, v.c.key == f.c.version_key)
        had = select(f.c.digest).select_from(joined).where(f.c.digest.in_(asked))
        return put.union(had.where(v.c.project_key.in_(keys_in_sight(self.tables, places))))


class SqlTokens:
    """`chopmark.abc.access.Tokens`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: AccessStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, token_id: str) -> tuple[Token, str] | None:
        """See the interface."""
        row = self._run.one(self._sql.token_get, {"id": token_id})
        return None if row is None else (_token(row[:-1]), str(row[-1]))

    def list(self, *, owner: str | None = None, after: str = "", limit: int) -> ManyTokens:
        """See the interface."""
        values: dict[str, Any] = {"after": after, "limit": limit}
        if owner is not None:
            values["owner"] = owner
        return [_token(row) for row in self._run.all(self._sql.token_list(of_owner=owner is not None), values)]

    def hashed(self, *, after: str = "", limit: int) -> HashedTokens:
        """See the interface."""
        rows = self._run.all(self._sql.token_hashed, {"after": after, "limit": limit})
        return [(_token(row[:-1]), str(row[-1])) for row in rows]

    def insert(self, token: Token, secret_hash: str) -> None:
        """See the interface."""
        values = {
            "id": token.id,
            "secret_hash": secret_hash,
            "name": token.name,
            "owner": token.owner,
            "kind": token.kind,
            "scopes": json_text(token.scopes),
            "project": token.project,
            "created_us": to_us(token.created_at),
            "created_by": token.created_by,
            "expires_us": _us(token.expires_at),
            "revoked_us": _us(token.revoked_at),
            "used_us": _us(token.used_at),
        }
        if self._run.add(self._sql.token_insert, values) is None:
            raise Taken(f"There is a token {token.id} already.")

    def revoke(self, token_id: str, at: datetime) -> None:
        """See the interface."""
        self._run.change(self._sql.token_revoke, {"token": token_id, "at_us": to_us(at)})

    def used(self, times: Mapping[str, datetime]) -> None:
        """See the interface."""
        # in one order everywhere, so that two servers that note the same tokens do not wait for each other crosswise
        rows = ({"token": token_id, "at_us": to_us(times[token_id])} for token_id in sorted(times))
        self._run.change_each(self._sql.token_used, rows)

    def remove_ended(self, before: datetime) -> int:
        """See the interface."""
        return self._run.change(self._sql.tokens_remove, {"before": to_us(before)})


class SqlMembers:
    """`chopmark.abc.access.Members`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: AccessStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, key: MemberKey) -> Member | None:
        """See the interface."""
        row = self._run.one(self._sql.member_get, key._asdict())
        return None if row is None else _member(row)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: MemberKey = MemberKey("", "", ""),  # noqa: B008 - a value
        limit: int,
    ) -> ManyMembers:
        """See the interface."""
        values: dict[str, Any] = {f"after_{name}": text for name, text in after._asdict().items()}
        values |= {"limit": limit, **seen_values(among)}
        if project is not None:
            values["project"] = project
        prepared = self._sql.member_list(in_project=project is not None, places=places_of(among))
        return [_member(row) for row in self._run.all(prepared, values)]

    def of(self, actor: str, groups: Sequence[str] = ()) -> ManyMembers:
        """See the interface."""
        found: ManyMembers = []
        names, first = iter(dict.fromkeys(groups)), True
        while (asked := list(islice(names, ASKED_AT_ONCE))) or first:
            values = {"actor": actor, **_numbered("group", asked)}
            found += [_member(row) for row in self._run.all(self._sql.members_of(len(values) - 1), values)]
            first = False
        return list({(m.project, m.kind, m.member): m for m in found}.values())

    def with_role(self, role: str, *, limit: int) -> ManyMembers:
        """See the interface."""
        return [_member(row) for row in self._run.all(self._sql.members_with_role, {"role": role, "limit": limit})]

    def put(self, member: Member) -> None:
        """See the interface."""
        values = {
            "project": member.project,
            "kind": member.kind,
            "member": member.member,
            "role": member.role,
            "since_us": to_us(member.since),
            "set_by": member.by,
        }
        self._run.change(self._sql.member_put, values)

    def remove(self, key: MemberKey) -> bool:
        """See the interface."""
        return self._run.change(self._sql.member_remove, key._asdict()) > 0


class SqlRoles:
    """`chopmark.abc.access.Roles`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: AccessStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, name: str) -> CustomRole | None:
        """See the interface."""
        row = self._run.one(self._sql.role_get, {"name": name})
        return None if row is None else _role(row)

    def list(self) -> list[CustomRole]:
        """See the interface."""
        return [_role(row) for row in self._run.all(self._sql.role_list, {})]

    def put(self, role: CustomRole) -> None:
        """See the interface."""
        values = {"name": role.name, "permissions": json_text(role.permissions), "description": role.description}
        self._run.change(self._sql.role_put, values)

    def remove(self, name: str) -> bool:
        """See the interface."""
        return self._run.change(self._sql.role_remove, {"name": name}) > 0


class SqlPuts:
    """`chopmark.abc.access.Puts`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: AccessStatements) -> None:
        self._run = run
        self._sql = statements

    def note(self, digest: str, actor: str, at: datetime) -> None:
        """See the interface."""
        self._run.change(self._sql.put_note, {"digest": digest, "actor": actor, "at_us": to_us(at)})

    def shown(self, digests: Iterable[str], actor: str, since: datetime, among: Collection[str]) -> set[str]:
        """See the interface."""
        wanted, found = iter(dict.fromkeys(digests)), set[str]()
        while asked := list(islice(wanted, ASKED_AT_ONCE)):
            numbered = _numbered("digest", asked)
            values = {"actor": actor, "since": to_us(since), **seen_values(among), **numbered}
            found |= {_digest(row) for row in self._run.all(self._sql.shown(len(numbered), places_of(among)), values)}
        return found

    def remove(self, before: datetime) -> int:
        """See the interface."""
        return self._run.change(self._sql.puts_remove, {"before": to_us(before)})


def _numbered(name: str, values: Sequence[str]) -> dict[str, str]:
    """Values for a power of two of places, the last repeated: few statements do for any number of them."""
    if not values:
        return {}
    size = 1 << (len(values) - 1).bit_length()
    return {f"{name}{n}": values[min(n, len(values) - 1)] for n in range(size)}


def _us(time: datetime | None) -> int | None:
    return None if time is None else to_us(time)


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


@row_of("a token", "ssssssisIII")
def _token(row: tuple[Any, ...]) -> Token:
    token_id, name, owner, kind, scopes, project, created_us, created_by, expires_us, revoked_us, used_us = row
    return Token(
        id=token_id,
        name=name,
        owner=owner,
        kind=kind,
        scopes=decode(scopes, tuple[str, ...]),
        project=project,
        created_at=from_us(created_us),
        created_by=created_by,
        expires_at=_time(expires_us),
        revoked_at=_time(revoked_us),
        used_at=_time(used_us),
    )


@row_of("a member", "ssssis")
def _member(row: tuple[Any, ...]) -> Member:
    project, kind, member, role, since_us, by = row
    return Member(project=project, kind=kind, member=member, role=role, since=from_us(since_us), by=by)


@row_of("a role", "sss")
def _role(row: tuple[Any, ...]) -> CustomRole:
    name, permissions, description = row
    return CustomRole(name=name, permissions=decode(permissions, tuple[str, ...]), description=description)


@row_of("a digest", "s")
def _digest(row: tuple[Any, ...]) -> str:
    digest: str = row[0]
    return digest

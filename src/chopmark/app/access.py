"""Tokens, members and roles: made, listed, taken back. Nobody hands out more than they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from msgspec import structs

from chopmark.abc.access import MemberKey
from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context, the_project
from chopmark.app.routing import advance
from chopmark.base.ids import random_bytes
from chopmark.base.jsons import canonical
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.access import (
    EVERYWHERE,
    ROLES,
    Actor,
    CustomRole,
    Member,
    check_member,
    check_permission,
    check_permissions,
    grants_of,
    narrowed,
)
from chopmark.domain.names import check_name, check_text, counted, shown
from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.domain.tokens import ID_BYTES, SECRET_BYTES, Token, check_id, limits_of, secret_hash, written
from chopmark.errors import Conflict, Denied, InvalidRequest, NotFound
from chopmark.ops import access as q
from chopmark.ops.results import Done

__all__ = [
    "Holder",
    "actor_of",
    "create_token",
    "define_role",
    "get_member",
    "get_role",
    "holder_of",
    "list_members",
    "list_roles",
    "list_tokens",
    "remove_member",
    "remove_role",
    "revoke_token",
    "set_member",
    "whoami",
]

_SHOWN = 5


class Holder(NamedTuple):
    """A token as a server checks it: what is known of it, the hash of its secret, and who acts with it."""

    token: Token
    secret_hash: str
    actor: Actor


def holder_of(tx: Transaction, token_id: str) -> Holder | None:
    """Who acts with a token; None for an id that is none."""
    found = tx.tokens.get(token_id)
    if found is None:
        return None
    token, stored_hash = found
    owner = actor_of(tx, token.owner)
    limits = limits_of(token.scopes, token.project)
    grants = narrowed(owner.grants or {}, limits)
    return Holder(token, stored_hash, structs.replace(owner, kind=token.kind, grants=grants, limits=limits))


def actor_of(
    tx: Transaction,
    name: str,
    groups: Sequence[str] = (),
    group_roles: Mapping[str, Iterable[tuple[str, str]]] | None = None,
) -> Actor:
    """Somebody with the grants of their memberships.

    Parameters
    ----------
    tx, name
        Where and who.
    groups
        That whoever knows the actor says it belongs to.
    group_roles
        What settings give to groups, beside what the registry does.
    """
    members = tx.members.of(name, groups)
    held = [(m.project, m.role) for m in members]
    held += [pair for group in groups for pair in (group_roles or {}).get(group, ())]
    names = {role for _, role in held} - ROLES.keys()
    custom = {role.name: frozenset(role.permissions) for role in map(tx.roles.get, sorted(names)) if role is not None}
    return Actor(name, "viewer", grants=grants_of(held, custom))


def whoami(ctx: Context, request: q.WhoAmI) -> q.Whoami:  # noqa: ARG001 - every handler's signature
    """Who asks, and what they may."""
    actor = ctx.actor
    grants = actor.grants if actor.grants is not None else {EVERYWHERE: ROLES[actor.role]}
    return q.Whoami(
        name=actor.name, kind=actor.kind, grants={project: tuple(sorted(held)) for project, held in grants.items()}
    )


def create_token(ctx: Context, request: q.CreateToken) -> q.NewToken:
    """Make a token; only the hash of its secret is kept."""
    owner = check_member(request.owner or ctx.actor.name, "owner")
    check_member(request.name, "token")
    scopes = check_permissions(request.scopes, "A token")
    if request.project:
        _known_project(ctx, request.project)
    if request.expires_at is not None and request.expires_at <= ctx.now:
        raise InvalidRequest("The token would be expired already.", hint="Choose a time that is to come.")
    _check_within_own(ctx.actor, owner, scopes, request.project)
    token_id, secret = random_bytes(ID_BYTES).hex(), random_bytes(SECRET_BYTES)
    token = Token(
        id=token_id,
        name=request.name,
        owner=owner,
        kind=request.kind,
        scopes=scopes,
        project=request.project,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        expires_at=request.expires_at,
    )
    ctx.tx.tokens.insert(token, secret_hash(secret))
    advance(ctx)
    ctx.emit(
        token.id,
        name=token.name,
        owner=token.owner,
        scopes=list(token.scopes),
        project=token.project,
        expires_at=token.expires_at.isoformat() if token.expires_at else None,
        reason=request.reason,
    )
    return q.NewToken(token=token, secret=written(token_id, secret))


def _check_within_own(actor: Actor, owner: str, scopes: Iterable[str], project: str) -> None:
    """Refuse a token that could do more than who makes it."""
    if owner != actor.name:
        check_permission(actor, "admit", "make a token for somebody else", EVERYWHERE)
        _check_holds(actor, scopes, project or EVERYWHERE, "A token for somebody else")
    limits = actor.limits
    if limits is None:
        return
    beyond = set(scopes) - limits.scopes
    if beyond or (limits.project and project != limits.project):
        what = f"keeps {', '.join(sorted(beyond))}" if beyond else f"is not only for {limits.project}"
        msg = f"The token would be able to do more than the one you use: it {what}."
        raise Denied(msg, hint="Ask for less, or make it with another token.")


def list_tokens(ctx: Context, request: q.ListTokens) -> q.TokenPage:
    """A page of tokens by id; nothing of their secrets."""
    limit = check_limit(request.limit)
    owner = None if request.all else request.owner or ctx.actor.name
    if owner != ctx.actor.name:
        check_permission(ctx.actor, "admit", "list tokens of others", EVERYWHERE)
    query = canonical(["tokens", owner])
    after = str(decode_cursor(request.cursor, query)[0]) if request.cursor else ""
    items = ctx.tx.tokens.list(owner=owner, after=after, limit=limit + 1)
    more, items = len(items) > limit, items[:limit]
    return q.TokenPage(items=items, cursor=encode_cursor([items[-1].id], query) if more else "")


def revoke_token(ctx: Context, request: q.RevokeToken) -> Token:
    """Refuse a token from now on; once more changes nothing."""
    token_id = check_id(request.token)
    found = ctx.tx.tokens.get(token_id)
    if found is None or not (found[0].owner == ctx.actor.name or ctx.actor.may("admit", EVERYWHERE)):
        raise NotFound(f"There is no token {token_id}.", hint="See yours with: chopmark token list")
    token, _ = found
    if token.revoked_at is not None:
        return token
    ctx.tx.tokens.revoke(token_id, ctx.now)
    advance(ctx)
    ctx.emit(token_id, name=token.name, owner=token.owner, reason=request.reason)
    return structs.replace(token, revoked_at=ctx.now)


def set_member(ctx: Context, request: q.SetMember) -> Member:
    """Give somebody a role."""
    project = _known_project(ctx, request.project)
    check_member(request.member)
    _check_holds(ctx.actor, _permissions(ctx, request.role), project, f"The role {request.role}")
    before = ctx.tx.members.get(MemberKey(project, request.kind, request.member))
    if before is not None and before.role == request.role:
        return before
    if before is not None:
        _check_above(ctx, before)
    member = Member(
        project=project,
        kind=request.kind,
        member=request.member,
        role=request.role,
        since=ctx.now,
        by=ctx.actor.name,
    )
    with _leaving_somebody_who_admits(ctx, before):
        ctx.tx.members.put(member)
    advance(ctx)
    ctx.emit(
        project,
        member=member.member,
        kind=member.kind,
        role=member.role,
        previous=before.role if before else None,
        reason=request.reason,
    )
    return member


def get_member(ctx: Context, request: q.GetMember) -> Member:
    """Look up a membership."""
    project = _known_project(ctx, request.project)
    member = ctx.tx.members.get(MemberKey(project, request.kind, request.member))
    if member is None:
        msg = f"{shown(request.member)} is no member of {project}."
        raise NotFound(msg, hint=f"See who is with: chopmark member list --in {project}")
    return member


def remove_member(ctx: Context, request: q.RemoveMember) -> Done:
    """Take a role."""
    asked = q.GetMember(project=request.project, kind=request.kind, member=request.member)
    member = get_member(ctx, asked)
    _check_above(ctx, member)
    with _leaving_somebody_who_admits(ctx, member):
        ctx.tx.members.remove(MemberKey(member.project, member.kind, member.member))
    advance(ctx)
    ctx.emit(member.project, member=member.member, kind=member.kind, previous=member.role, reason=request.reason)
    return Done(member.member, f"no longer {member.role} in {member.project}")


def list_members(ctx: Context, request: q.ListMembers) -> q.MemberPage:
    """A page of members, of projects that one may read."""
    limit = check_limit(request.limit)
    if request.project not in (None, EVERYWHERE):
        _known_project(ctx, request.project or "")
    query = canonical(["members", request.project])
    after = MemberKey(*decode_cursor(request.cursor, query)) if request.cursor else MemberKey("", "", "")
    items = ctx.tx.members.list(project=request.project, after=after, limit=limit + 1)
    more, items = len(items) > limit, items[:limit]
    last = [items[-1].project, items[-1].kind, items[-1].member] if more else []
    return q.MemberPage(items=items, cursor=encode_cursor(last, query) if more else "")


def define_role(ctx: Context, request: q.DefineRole) -> CustomRole:
    """Define a role, or change what everybody who has it may."""
    name = check_name(request.name, "role")
    if name in ROLES:
        msg = f"The role {name} is always there, and stays as it is."
        raise Conflict(msg, hint="Choose another name.")
    role = CustomRole(
        name=name,
        permissions=check_permissions(request.permissions, "The role"),
        description=check_text(request.description, "description"),
    )
    before = ctx.tx.roles.get(name)
    _check_holds(ctx.actor, {*role.permissions, *(before.permissions if before else ())}, EVERYWHERE, "The role")
    if before == role:
        return role
    with _leaving_somebody_who_admits(ctx):
        ctx.tx.roles.put(role)
    advance(ctx)
    ctx.emit(
        name,
        permissions=list(role.permissions),
        previous=list(before.permissions) if before else None,
        reason=request.reason,
    )
    return role


def remove_role(ctx: Context, request: q.RemoveRole) -> Done:
    """Remove a role that nobody has."""
    role = ctx.tx.roles.get(request.name)
    if role is None:
        hint = "See them with: chopmark role list"
        raise NotFound(f"There is no role {shown(request.name)} that was defined.", hint=hint)
    _check_holds(ctx.actor, role.permissions, EVERYWHERE, "The role")
    having = ctx.tx.members.with_role(role.name, limit=_SHOWN + 1)
    if having:
        names = ", ".join(f"{m.member} in {m.project}" for m in having[:_SHOWN])
        more = " and others" if len(having) > _SHOWN else ""
        raise Conflict(f"The role {role.name} is held by {names}{more}.", hint="Give them another role first.")
    ctx.tx.roles.remove(role.name)
    advance(ctx)
    ctx.emit(role.name, previous=list(role.permissions), reason=request.reason)
    return Done(role.name, f"removed, with {counted(len(role.permissions), 'permission')}")


def list_roles(ctx: Context, request: q.ListRoles) -> q.RoleList:  # noqa: ARG001 - every handler's signature
    """All roles."""
    return q.RoleList([*map(_built_in, ROLES), *ctx.tx.roles.list()])


def get_role(ctx: Context, request: q.GetRole) -> CustomRole:
    """Look up a role."""
    if request.name in ROLES:
        return _built_in(request.name)
    found = ctx.tx.roles.get(request.name)
    if found is None:
        raise NotFound(f"There is no role {shown(request.name)}.", hint="See them with: chopmark role list")
    return found


def _built_in(name: str) -> CustomRole:
    return CustomRole(name=name, permissions=tuple(sorted(ROLES[name])), built_in=True)


def _known_project(ctx: Context, name: str) -> str:
    """The name of a project that is there, as far as the actor sees; `EVERYWHERE` is none and always there."""
    if name != EVERYWHERE:
        check_name(name, "project")
        if name != DEFAULT_PROJECT or not ctx.actor.sees(name):
            the_project(ctx, name)
    return name


def _permissions(ctx: Context, role: str) -> frozenset[str]:
    if role in ROLES:
        return ROLES[role]
    custom = ctx.tx.roles.get(role)
    if custom is None:
        having = ", ".join([*ROLES, *(r.name for r in ctx.tx.roles.list())])
        raise InvalidRequest(f"There is no role {shown(role)}.", hint=f"Roles are {having}.")
    return frozenset(custom.permissions)


def _check_holds(actor: Actor, permissions: Iterable[str], project: str, what: str) -> None:
    beyond = sorted(set(permissions) - actor.permissions(project))
    if beyond:
        msg = f"{what} would bring {', '.join(beyond)}, which {actor.name} does not hold there."
        raise Denied(msg, hint="Nobody hands out or takes more than they hold.", permission=beyond[0])


@contextmanager
def _leaving_somebody_who_admits(ctx: Context, changed: Member | None = None) -> Iterator[None]:
    """Refuse a change that takes from the last members who may let others in everywhere that they may.

    Members by name count: whether anybody is in a group only its issuer knows. Who changes somebody else stays, and may let others in.
    Whoever opens the database itself is not asked who they are, and can always let somebody in again.
    """
    is_of_another = changed is not None and changed.kind != "group" and changed.member != ctx.actor.name
    could = ctx.actor.grants is not None and not is_of_another and _somebody_admits(ctx)
    yield
    if could and not _somebody_admits(ctx):
        msg = "Nobody would be left who may let others in."
        hint = "Give somebody else the role first: chopmark member set NAME admin"
        raise Conflict(msg, hint=hint)


def _somebody_admits(ctx: Context) -> bool:
    roles = [name for name, held in ROLES.items() if "admit" in held]
    roles += [role.name for role in ctx.tx.roles.list() if "admit" in role.permissions]
    for role in roles:
        # Everywhere comes before any project, and there people come before groups.
        first = ctx.whole.members.with_role(role, limit=1)
        if first and first[0].project == EVERYWHERE and first[0].kind != "group":
            return True
    return False


def _check_above(ctx: Context, member: Member) -> None:
    """Refuse to take a role that may more than who takes it; one that is gone may nothing."""
    custom = ctx.tx.roles.get(member.role)
    held = ROLES.get(member.role) or (custom.permissions if custom else ())
    _check_holds(ctx.actor, held, member.project, f"{member.member}'s role {member.role}")

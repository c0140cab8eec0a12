"""Verbs about who may do what: what they are asked with and what they answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.access import CustomRole, Member, MemberKind
from chopmark.domain.tokens import Token
from chopmark.ops.requests import Request

__all__ = [
    "CreateToken",
    "DefineRole",
    "GetMember",
    "GetRole",
    "ListMembers",
    "ListRoles",
    "ListTokens",
    "MemberPage",
    "NewToken",
    "RemoveMember",
    "RemoveRole",
    "RevokeToken",
    "RoleList",
    "SetMember",
    "TokenPage",
    "WhoAmI",
    "Whoami",
]


class CreateToken(Request, frozen=True, kw_only=True):
    """Make a token; its secret is in the answer and nowhere else.

    Attributes
    ----------
    name
        What it is for.
    owner, kind
        Who acts with it; whoever asks when empty. Tokens of others take ``admit`` on the whole registry.
    scopes
        Permissions of the owner that it keeps; ``read`` is always among them.
    project
        Where it keeps them; everywhere when empty.
    expires_at
        From when on it is refused; None for never.
    """

    name: str
    owner: str = ""
    kind: Literal["person", "service"] = "person"
    scopes: tuple[str, ...] = ("read",)
    project: str = ""
    expires_at: datetime | None = None
    reason: str = ""


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just made.

    Attributes
    ----------
    token
        What is kept of it.
    secret
        The whole token as it is sent, ``cm_…``; empty in the answer to a repeated call, as nobody knows it any more.
    """

    token: Token
    secret: str = ""

    def __repr__(self) -> str:
        return f"<new {repr(self.token)[1:]}"


class ListTokens(Request, frozen=True, kw_only=True):
    """A page of tokens by id: one's own; with ``admit`` everywhere those of an ``owner``, or ``all``."""

    owner: str = ""
    all: bool = False
    limit: int = PAGE_SIZE
    cursor: str = ""


class TokenPage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, and the cursor of the next page."""

    items: list[Token]
    cursor: str = ""


class RevokeToken(Request, frozen=True, kw_only=True):
    """Refuse a token from now on: one's own, or with ``admit`` on the whole registry anybody's."""

    token: str
    reason: str = ""


class SetMember(Request, frozen=True, kw_only=True):
    """Give an actor or a group a role in a project, or with ``*`` everywhere; it replaces the one it had there."""

    project: str
    member: str
    kind: MemberKind = "actor"
    role: str
    reason: str = ""


class RemoveMember(Request, frozen=True, kw_only=True):
    """Take an actor's or a group's role in a project, or with ``*`` the one everywhere."""

    project: str
    member: str
    kind: MemberKind = "actor"
    reason: str = ""


class GetMember(Request, frozen=True, kw_only=True):
    """Look up the role of an actor or a group in a project, or with ``*`` the one everywhere."""

    project: str
    member: str
    kind: MemberKind = "actor"


class ListMembers(Request, frozen=True, kw_only=True):
    """A page of members by project, kind and name."""

    project: str | None = None
    limit: int = PAGE_SIZE
    cursor: str = ""


class MemberPage(msgspec.Struct, frozen=True, kw_only=True):
    """Members, and the cursor of the next page."""

    items: list[Member]
    cursor: str = ""


class DefineRole(Request, frozen=True, kw_only=True):
    """Define a role, or change what it may; ``read`` is always among its permissions."""

    name: str
    permissions: tuple[str, ...]
    description: str = ""
    reason: str = ""


class RemoveRole(Request, frozen=True, kw_only=True):
    """Remove a role that nobody has."""

    name: str
    reason: str = ""


class GetRole(Request, frozen=True, kw_only=True):
    """Look up a role."""

    name: str


class ListRoles(Request, frozen=True, kw_only=True):
    """All roles, those that are always there first."""


class RoleList(msgspec.Struct, frozen=True):
    """Roles and what they may."""

    items: list[CustomRole]


class WhoAmI(Request, frozen=True, kw_only=True):
    """Who asks, and what they may."""


class Whoami(msgspec.Struct, frozen=True, kw_only=True):
    """An actor as the registry knows it.

    Attributes
    ----------
    name, kind
        Who.
    grants
        Permissions by project; those under ``*`` hold everywhere.
    """

    name: str
    kind: str
    grants: dict[str, tuple[str, ...]]

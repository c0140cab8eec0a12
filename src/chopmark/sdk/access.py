"""``registry.access``: tokens, members and roles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from chopmark.domain.access import EVERYWHERE, CustomRole, Member, MemberKind
from chopmark.domain.tokens import Token, parse_token
from chopmark.ops import access as q
from chopmark.ops.access import NewToken, Whoami
from chopmark.ops.results import Done
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Surface

__all__ = ["Access"]


class Access(Surface):
    """Verbs about who may do what. Whoever opens the registry's own database may do everything already."""

    def whoami(self) -> Whoami:
        """Who one is to the registry, and what one may.

        >>> from chopmark.testing.registry import memory_registry
        >>> memory_registry(actor="ada").access.whoami().name
        'ada'
        """
        found: Whoami = self._call(q.WhoAmI())
        return found

    def create_token(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("read",),
        project: str = "",
        owner: str = "",
        kind: Literal["person", "service"] = "person",
        expires_at: datetime | None = None,
        reason: str = "",
    ) -> NewToken:
        """Make a token; ``secret`` of the answer is shown this once.

        Parameters
        ----------
        name
            What it is for.
        scopes
            Permissions of the owner that it keeps; ``read`` is always among them.
        project
            Where it keeps them; everywhere when empty.
        owner, kind
            Who acts with it, a person or a service account; oneself when empty.
        expires_at
            From when on it is refused; None for never.

        Raises
        ------
        Denied
            When it would be able to do more than whoever makes it.

        >>> from chopmark.testing.registry import memory_registry
        >>> made = memory_registry(actor="ada").access.create_token("ci", scopes=["register"])
        >>> made.token.scopes, made.secret.startswith("cm_"), made.secret in repr(made)
        (('read', 'register'), True, False)
        """
        request = q.CreateToken(
            name=name,
            owner=owner,
            kind=kind,
            scopes=(scopes,) if isinstance(scopes, str) else tuple(scopes),
            project=project,
            expires_at=expires_at,
            reason=reason,
        )
        made: NewToken = self._call(request)
        return made

    def tokens(self, *, owner: str = "", everybodys: bool = False, limit: int = 50, cursor: str = "") -> Page[Token]:
        """One's own tokens, or those of an owner or of everybody, a page at a time; nothing of their secrets."""
        page: q.TokenPage = self._call(q.ListTokens(owner=owner, all=everybodys, limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def revoke(self, token: str | Token, *, reason: str = "") -> Token:
        """Refuse a token from now on.

        Parameters
        ----------
        token
            It, its id, or all of it: then only its id is sent.
        """
        token_id = token.id if isinstance(token, Token) else token
        whole = parse_token(token_id)
        revoked: Token = self._call(q.RevokeToken(token=whole[0] if whole else token_id, reason=reason))
        return revoked

    def set_member(
        self, member: str, role: str, *, project: str = EVERYWHERE, kind: MemberKind = "actor", reason: str = ""
    ) -> Member:
        """Give an actor, or everybody of a group, a role in a project, or everywhere.

        Raises
        ------
        Denied
            When the role, or the one that it replaces, may more than whoever gives it.

        >>> from chopmark.testing.registry import memory_registry
        >>> memory_registry().access.set_member("bob", "viewer")
        <bob is viewer in *>
        """
        request = q.SetMember(project=project, member=member, kind=kind, role=role, reason=reason)
        given: Member = self._call(request)
        return given

    def remove_member(
        self, member: str, *, project: str = EVERYWHERE, kind: MemberKind = "actor", reason: str = ""
    ) -> Done:
        """Take the role that an actor or a group has in a project, or the one everywhere."""
        done: Done = self._call(q.RemoveMember(project=project, member=member, kind=kind, reason=reason))
        return done

    def member(self, member: str, *, project: str = EVERYWHERE, kind: MemberKind = "actor") -> Member:
        """The role that an actor or a group has in a project, or the one everywhere."""
        found: Member = self._call(q.GetMember(project=project, member=member, kind=kind))
        return found

    def members(self, project: str | None = None, *, limit: int = 50, cursor: str = "") -> Page[Member]:
        """Members of a project, or of all that one sees, a page at a time; those of ``*`` are members everywhere."""
        page: q.MemberPage = self._call(q.ListMembers(project=project, limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def define_role(
        self, name: str, permissions: Sequence[str], *, description: str = "", reason: str = ""
    ) -> CustomRole:
        """Define a role, or change what everybody who has it may.

        >>> from chopmark.testing.registry import memory_registry
        >>> memory_registry().access.define_role("tester", ["evaluate"]).permissions
        ('evaluate', 'read')
        """
        wanted = (permissions,) if isinstance(permissions, str) else tuple(permissions)
        request = q.DefineRole(name=name, permissions=wanted, description=description, reason=reason)
        defined: CustomRole = self._call(request)
        return defined

    def remove_role(self, name: str, *, reason: str = "") -> Done:
        """Remove a role that nobody has."""
        done: Done = self._call(q.RemoveRole(name=name, reason=reason))
        return done

    def role(self, name: str) -> CustomRole:
        """A role and what it may.

        >>> from chopmark.testing.registry import memory_registry
        >>> memory_registry().access.role("viewer").permissions
        ('read', 'token')
        """
        found: CustomRole = self._call(q.GetRole(name=name))
        return found

    def roles(self) -> list[CustomRole]:
        """All roles, those that are always there first."""
        found: q.RoleList = self._call(q.ListRoles())
        return found.items

"""Who may do what: actors, roles, members, grants.

Nouns
-----
actor
    Who asks: a person, a service account, or the system itself.
permission
    What the row of an op asks for (`chopmark.ops.table`): ``read``, ``promote``, …
role
    A named set of permissions: four that are always there (`ROLES`), and those that a registry defines.
member
    That an actor, or everybody of a group, has a role in a project, or everywhere (`EVERYWHERE`).
grant
    What an actor may in a project: the permissions of all its roles there, cut down to the scopes of its token.

Where it is checked
-------------------
1. The permission of an op's row, against the project that the request is about: in the one door (`chopmark.app.dispatch`),
   which finds that project in the request (`chopmark.ops.subjects`). What one may read and not change is `Denied`.
2. What one may not read does not exist: whoever may not read everything is given a transaction that shows their projects
   and nothing else (`chopmark.app.sight`), so that what is hidden is `NotFound` in the very words of what is not there.
3. Bytes, where they are served and where a registration names them: `chopmark.app.bytes_shown`.

Who opens a registry's own database and store (a laptop, the server itself) holds everything in them already, and is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from chopmark.domain.names import check_name, check_text, shown
from chopmark.errors import Denied, InvalidRequest

__all__ = [
    "EVERYWHERE",
    "PERMISSIONS",
    "ROLES",
    "Actor",
    "CustomRole",
    "Limits",
    "Member",
    "MemberKind",
    "Role",
    "check_member",
    "check_permission",
    "check_permissions",
    "grants_of",
    "narrowed",
    "parse_group_roles",
]

Role = Literal["viewer", "contributor", "maintainer", "admin"]
MemberKind = Literal["actor", "group"]
Grants = dict[str, frozenset[str]]

EVERYWHERE = "*"
"""Stands for all projects, and for what belongs to none."""

_VIEWER = frozenset(("read", "token"))
_CONTRIBUTOR = _VIEWER | {"register", "annotate", "evaluate", "invoke", "record"}
_MAINTAINER = _CONTRIBUTOR | {
    "promote",
    "alias",
    "archive",
    "deprecate",
    "delete",
    "trust",
    "deploy",
}
_ADMIN = _MAINTAINER | {"purge", "configure", "admit", "route"}

ROLES: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "contributor": _CONTRIBUTOR,
    "maintainer": _MAINTAINER,
    "admin": _ADMIN,
}
PERMISSIONS = _ADMIN

_NONE: frozenset[str] = frozenset()
_NAME_LENGTH_MAX = 200


class Limits(msgspec.Struct, frozen=True):
    """What a token keeps of its owner's grants: these permissions, in one project or (empty) in all."""

    scopes: frozenset[str]
    project: str = ""


class Actor(msgspec.Struct, frozen=True):
    """Who asks: a person or a service account.

    Attributes
    ----------
    name
        As the audit has it.
    role
        Held everywhere by an actor without ``grants``: whoever opens the registry's own database.
    kind
        A person, a service account, or the system itself.
    grants
        Permissions by project, and by `EVERYWHERE`; None for an actor that only has a role.
    limits
        Of the token it came with, if any.

    >>> ada = Actor("ada", grants={"risk": ROLES["viewer"]})
    >>> ada.may("read", "risk"), ada.may("promote", "risk"), ada.may("read", "other"), ada.sight
    (True, False, False, frozenset({'risk'}))
    """

    name: str
    role: Role = "admin"
    kind: Literal["person", "service", "system"] = "person"
    grants: dict[str, frozenset[str]] | None = None
    limits: Limits | None = None

    def permissions(self, project: str) -> frozenset[str]:
        """What it may in a project; with `EVERYWHERE`, what it may in each and with what belongs to none."""
        if self.grants is None:
            return ROLES[self.role]
        everywhere = self.grants.get(EVERYWHERE, _NONE)
        return everywhere | self.grants.get(project, _NONE)

    def may(self, permission: str, project: str) -> bool:
        """Whether it holds a permission in a project, or everywhere."""
        return permission in self.permissions(project)

    def may_somewhere(self, permission: str) -> bool:
        """Whether it holds a permission at all."""
        if self.grants is None:
            return permission in ROLES[self.role]
        return any(permission in held for held in self.grants.values())

    @property
    def sight(self) -> frozenset[str] | None:
        """Projects that it may read; None when it may read everything."""
        if self.may("read", EVERYWHERE):
            return None
        return frozenset(project for project, held in (self.grants or {}).items() if "read" in held)

    def sees(self, project: str) -> bool:
        """Whether it may read what belongs to a project."""
        return self.may("read", project)


def check_permission(actor: Actor, permission: str, op: str, project: str = "") -> None:
    """Refuse an op that the actor may not do.

    Parameters
    ----------
    actor, permission, op
        Who, what its row asks for, and its name.
    project
        That it is about; `EVERYWHERE` when it is about the whole registry, empty when any project will do.

    Raises
    ------
    Denied
        Naming the permission and the roles that have it.
    """
    if actor.may(permission, project) if project else actor.may_somewhere(permission):
        return
    having = ", ".join(r for r, granted in ROLES.items() if permission in granted)
    who = actor.name if actor.grants is not None else f"{actor.name} ({actor.role})"
    where = {"": "", EVERYWHERE: " on the whole registry"}.get(project, f" in {project}")
    lacking = _what_the_token_lacks(actor.limits, permission, project)
    if lacking:
        msg = f"{who} may not {op}{where} with this token: {lacking}."
        hint = f"Roles that have it: {having}. Make another: chopmark token create NAME --scope {permission}"
        raise Denied(msg, hint=hint, permission=permission)
    msg = f"{who} may not {op}{where}: it needs the permission {permission!r}."
    raise Denied(msg, hint=f"Roles that have it: {having}.", permission=permission)


def _what_the_token_lacks(limits: Limits | None, permission: str, project: str) -> str:
    """Why a token keeps its owner from something, whatever role that has; empty when it does not."""
    if limits is None:
        return ""
    if permission not in limits.scopes:
        return f"it lacks the scope {permission!r}, and has {', '.join(sorted(limits.scopes))}"
    if limits.project and project not in ("", limits.project):
        return f"it is only for {limits.project}"
    return ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """That an actor, or everybody of a group, has a role.

    Attributes
    ----------
    project
        Where; `EVERYWHERE` for the whole registry.
    kind, member
        Whether an actor or a group, and its name.
    role
        One of `ROLES` or of those that the registry defines.
    since, by
        When it was last set, and by whom.
    """

    project: str
    kind: MemberKind
    member: str
    role: str
    since: datetime
    by: str

    def __repr__(self) -> str:
        group = "group " if self.kind == "group" else ""
        return f"<{group}{self.member} is {self.role} in {self.project}>"


class CustomRole(msgspec.Struct, frozen=True, kw_only=True):
    """A named set of permissions that a registry defines; ``built_in`` tells of those that are always there."""

    name: str
    permissions: tuple[str, ...]
    description: str = ""
    built_in: bool = False


def check_permissions(names: Iterable[str], what: str) -> tuple[str, ...]:
    """Permissions in order, ``read`` among them: without it nobody finds what the others are about.

    Raises
    ------
    InvalidRequest
        When one is unknown.
    """
    wanted = frozenset(names)
    unknown = sorted(wanted - PERMISSIONS)
    if unknown:
        msg = f"{what} names {', '.join(map(shown, unknown))}, which no op asks for."
        raise InvalidRequest(msg, hint=f"Permissions are {', '.join(sorted(PERMISSIONS))}.")
    return tuple(sorted(wanted | {"read"}))


def check_member(name: str, what: str = "member") -> str:
    """The name of an actor or group, when it can be one.

    Raises
    ------
    InvalidRequest
        When it is empty, too long, or holds what nobody sees.
    """
    check_text(name, what, _NAME_LENGTH_MAX)
    if not name or name != name.strip() or not name.isprintable():
        msg = f"{shown(name)} is not the name of a {what}."
        raise InvalidRequest(msg, hint="Write it in one line, without blanks around it.")
    return name


def grants_of(roles_held: Iterable[tuple[str, str]], custom: Mapping[str, frozenset[str]]) -> Grants:
    """Grants that follow from roles.

    Parameters
    ----------
    roles_held
        Project (or `EVERYWHERE`) and role; one that is not defined grants nothing.
    custom
        Permissions of the roles that the registry defines.

    >>> sorted(grants_of([("risk", "viewer"), ("risk", "tester")], {"tester": frozenset({"evaluate"})})["risk"])
    ['evaluate', 'read', 'token']
    """
    grants: Grants = {}
    for project, role in roles_held:
        permissions = ROLES.get(role) or custom.get(role, _NONE)
        if permissions:
            grants[project] = grants.get(project, _NONE) | permissions
    return grants


def narrowed(grants: Mapping[str, frozenset[str]], limits: Limits) -> Grants:
    """What a token leaves of its owner's grants.

    >>> narrowed({"*": ROLES["admin"]}, Limits(frozenset({"read"}), "risk"))
    {'risk': frozenset({'read'})}
    """
    if limits.project:
        held = grants.get(EVERYWHERE, _NONE) | grants.get(limits.project, _NONE)
        grants = {limits.project: held}
    cut = {project: held & limits.scopes for project, held in grants.items()}
    return {project: held for project, held in cut.items() if held}


def parse_group_roles(text: str) -> dict[str, list[tuple[str, str]]]:
    """Read the setting that maps groups to roles: ``ml-admins=*:admin, risk-team=risk:maintainer``.

    Returns
    -------
    dict
        Group → (project or `EVERYWHERE`, role), several where it is named several times.

    Raises
    ------
    InvalidRequest
        When an entry is not of that form.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in filter(None, (each.strip() for each in text.split(","))):
        group, _, held = entry.rpartition("=")
        project, _, role = held.partition(":")
        if not (group.strip() and project.strip() and role.strip()):
            msg = f"{shown(entry)} gives no group a role."
            raise InvalidRequest(msg, hint="Write GROUP=PROJECT:ROLE, such as ml-admins=*:admin, with commas between.")
        if project.strip() != EVERYWHERE:
            check_name(project.strip(), "project")
        found.setdefault(group.strip(), []).append((project.strip(), role.strip()))
    return found

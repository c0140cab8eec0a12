"""Who may do what: actors, roles and their permissions."""

from __future__ import annotations

from typing import Literal

import msgspec

from chopmark.errors import Denied

__all__ = ["PERMISSIONS", "ROLES", "Actor", "Role", "check_permission"]

Role = Literal["viewer", "contributor", "maintainer", "admin"]

_VIEWER = frozenset(("read",))
_CONTRIBUTOR = _VIEWER | {"register", "annotate", "evaluate"}
_MAINTAINER = _CONTRIBUTOR | {
    "promote",
    "alias",
    "archive",
    "deprecate",
    "delete",
    "trust",
}
_ADMIN = _MAINTAINER | {"purge", "configure"}

ROLES: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "contributor": _CONTRIBUTOR,
    "maintainer": _MAINTAINER,
    "admin": _ADMIN,
}
PERMISSIONS = _ADMIN


class Actor(msgspec.Struct, frozen=True):
    """Who asks: a person or a service account, with a role."""

    name: str
    role: Role = "admin"
    kind: Literal["person", "service", "system"] = "person"


def check_permission(actor: Actor, permission: str, op: str) -> None:
    """Refuse an op that the actor's role does not carry.

    Raises
    ------
    Denied
        Naming the permission and the roles that have it.
    """
    if permission in ROLES[actor.role]:
        return
    having = ", ".join(r for r, granted in ROLES.items() if permission in granted)
    msg = f"{actor.name} ({actor.role}) may not {op}: it needs the permission {permission!r}."
    raise Denied(msg, hint=f"Roles that have it: {having}.", permission=permission)

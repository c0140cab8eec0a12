"""What a catalog keeps of who may do what: tokens, members, roles, and who put bytes lately."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from chopmark.domain.access import CustomRole, Member
from chopmark.domain.tokens import Token

__all__ = ["MemberKey", "Members", "Puts", "Roles", "Tokens"]

ManyTokens = list[Token]
HashedTokens = list[tuple[Token, str]]
ManyMembers = list[Member]


class MemberKey(NamedTuple):
    """What a membership is known by; also a place in a list of them."""

    project: str
    kind: str
    member: str


class Tokens(Protocol):
    """Tokens by their id."""

    def get(self, token_id: str) -> tuple[Token, str] | None:
        """The token and the hash of its secret, or None."""
        ...

    def list(self, *, owner: str | None = None, after: str = "", limit: int) -> ManyTokens:
        """By id from the first after ``after``; of one owner or of all."""
        ...

    def hashed(self, *, after: str = "", limit: int) -> HashedTokens:
        """All by id from the first after ``after``, each with the hash of its secret: for who checks tokens elsewhere."""
        ...

    def insert(self, token: Token, secret_hash: str) -> None:
        """Add one; `Taken` when the id is."""
        ...

    def revoke(self, token_id: str, at: datetime) -> None:
        """Refuse it from now on; the first time counts."""
        ...

    def used(self, times: Mapping[str, datetime]) -> None:
        """Note when tokens were last used; an earlier time than the one noted changes nothing."""
        ...

    def remove_ended(self, before: datetime) -> int:
        """Remove tokens that expired or were revoked before a time; how many."""
        ...


class Members(Protocol):
    """Who has which role where."""

    def get(self, key: MemberKey) -> Member | None:
        """The membership, or None."""
        ...

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: MemberKey = MemberKey("", "", ""),  # noqa: B008 - a value
        limit: int,
    ) -> ManyMembers:
        """By project, kind and name from the first after ``after``; of one project, or of those ``among``, or of all."""
        ...

    def of(self, actor: str, groups: Sequence[str] = ()) -> ManyMembers:
        """Memberships of an actor and of these groups."""
        ...

    def with_role(self, role: str, *, limit: int) -> ManyMembers:
        """Memberships in a role, by project, kind and name."""
        ...

    def put(self, member: Member) -> None:
        """Add or replace one."""
        ...

    def remove(self, key: MemberKey) -> bool:
        """Remove one; whether it was there."""
        ...


class Roles(Protocol):
    """Roles that the registry defines."""

    def get(self, name: str) -> CustomRole | None:
        """The role, or None."""
        ...

    def list(self) -> list[CustomRole]:
        """All, by name."""
        ...

    def put(self, role: CustomRole) -> None:
        """Add or replace one."""
        ...

    def remove(self, name: str) -> bool:
        """Remove one; whether it was there."""
        ...


class Puts(Protocol):
    """Who put which bytes lately: until a version has them, they are shown to nobody else."""

    def note(self, digest: str, actor: str, at: datetime) -> None:
        """Note that an actor put bytes."""
        ...

    def shown(self, digests: Iterable[str], actor: str, since: datetime, among: Collection[str]) -> set[str]:
        """Those of the digests that the actor put since a time, or that a version in one of these projects has.

        Soft-deleted versions count.
        """
        ...

    def remove(self, before: datetime) -> int:
        """Forget what was put before a time; how many."""
        ...

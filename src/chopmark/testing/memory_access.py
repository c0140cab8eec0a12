"""Tokens, members, roles and who put bytes, in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from chopmark.abc.access import HashedTokens, ManyMembers, ManyTokens, MemberKey
from chopmark.abc.catalog import Taken
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.access import CustomRole, Member
from chopmark.domain.tokens import Token
from chopmark.domain.versions import Version
from chopmark.testing.memory_state import Surface

__all__ = ["MemoryMembers", "MemoryPuts", "MemoryRoles", "MemoryTokens"]


class MemoryTokens(Surface):
    """`chopmark.abc.access.Tokens`."""

    def get(self, token_id: str) -> tuple[Token, str] | None:
        """See the interface."""
        found = self._scope.read.tokens.get(token_id)
        return None if found is None else (decode(found[0], Token), found[1])

    def list(self, *, owner: str | None = None, after: str = "", limit: int) -> ManyTokens:
        """See the interface."""
        tokens = (decode(body, Token) for _, (body, _) in sorted(self._scope.read.tokens.items()))
        return [t for t in tokens if t.id > after and owner in (None, t.owner)][:limit]

    def hashed(self, *, after: str = "", limit: int) -> HashedTokens:
        """See the interface."""
        stored = sorted(self._scope.read.tokens.items())
        return [(decode(body, Token), digest) for key, (body, digest) in stored if key > after][:limit]

    def insert(self, token: Token, secret_hash: str) -> None:
        """See the interface."""
        stored = self._scope.write.tokens
        if token.id in stored:
            raise Taken(f"There is a token {token.id} already.")
        stored[token.id] = encode(token), secret_hash

    def revoke(self, token_id: str, at: datetime) -> None:
        """See the interface."""
        found = self.get(token_id)
        if found is not None and found[0].revoked_at is None:
            self._replace(*found, revoked_at=at)
        _ = self._scope.write

    def used(self, times: Mapping[str, datetime]) -> None:
        """See the interface."""
        _ = self._scope.write
        for token_id, at in times.items():
            found = self.get(token_id)
            if found is not None and (found[0].used_at is None or found[0].used_at < at):
                self._replace(*found, used_at=at)

    def remove_ended(self, before: datetime) -> int:
        """See the interface."""
        stored = self._scope.write.tokens
        tokens = [decode(body, Token) for body, _ in stored.values()]
        ended = [t.id for t in tokens if any(end and end < before for end in (t.expires_at, t.revoked_at))]
        for token_id in ended:
            del stored[token_id]
        return len(ended)

    def _replace(self, token: Token, secret_hash: str, **changes: datetime) -> None:
        self._scope.write.tokens[token.id] = encode(msgspec.structs.replace(token, **changes)), secret_hash


class MemoryMembers(Surface):
    """`chopmark.abc.access.Members`."""

    def get(self, key: MemberKey) -> Member | None:
        """See the interface."""
        body = self._scope.read.members.get((key.project, key.kind, key.member))
        return None if body is None else decode(body, Member)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: MemberKey = MemberKey("", "", ""),  # noqa: B008 - a value
        limit: int,
    ) -> ManyMembers:
        """See the interface."""
        return [
            m
            for m in self._all()
            if (m.project, m.kind, m.member) > after
            and project in (None, m.project)
            and (among is None or m.project in among)
        ][:limit]

    def of(self, actor: str, groups: Sequence[str] = ()) -> ManyMembers:
        """See the interface."""
        return [m for m in self._all() if (m.member == actor if m.kind == "actor" else m.member in groups)]

    def with_role(self, role: str, *, limit: int) -> ManyMembers:
        """See the interface."""
        return [m for m in self._all() if m.role == role][:limit]

    def put(self, member: Member) -> None:
        """See the interface."""
        to_us(member.since)
        self._scope.write.members[member.project, member.kind, member.member] = encode(member)

    def remove(self, key: MemberKey) -> bool:
        """See the interface."""
        return self._scope.write.members.pop((key.project, key.kind, key.member), None) is not None

    def _all(self) -> ManyMembers:
        return [decode(body, Member) for _, body in sorted(self._scope.read.members.items())]


class MemoryRoles(Surface):
    """`chopmark.abc.access.Roles`."""

    def get(self, name: str) -> CustomRole | None:
        """See the interface."""
        body = self._scope.read.roles.get(name)
        return None if body is None else decode(body, CustomRole)

    def list(self) -> list[CustomRole]:
        """See the interface."""
        return [decode(body, CustomRole) for _, body in sorted(self._scope.read.roles.items())]

    def put(self, role: CustomRole) -> None:
        """See the interface."""
        self._scope.write.roles[role.name] = encode(role)

    def remove(self, name: str) -> bool:
        """See the interface."""
        return self._scope.write.roles.pop(name, None) is not None


class MemoryPuts(Surface):
    """`chopmark.abc.access.Puts`."""

    def note(self, digest: str, actor: str, at: datetime) -> None:
        """See the interface."""
        self._scope.write.puts[digest, actor] = at

    def shown(self, digests: Iterable[str], actor: str, since: datetime, among: Collection[str]) -> set[str]:
        """See the interface."""
        state, wanted = self._scope.read, set(digests)
        put = {digest for (digest, who), at in state.puts.items() if who == actor and at >= since}
        seen = [vid for vid, body in state.versions.items() if decode(body, Version).project in among]
        return wanted & put.union(*(state.files[vid] for vid in seen))

    def remove(self, before: datetime) -> int:
        """See the interface."""
        puts = self._scope.write.puts
        gone = [key for key, at in puts.items() if at < before]
        for key in gone:
            del puts[key]
        return len(gone)

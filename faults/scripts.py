"""What a child is told to do, and what must hold afterwards: pure, so that parent, child and judge agree."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from faults.contents import SHAPES

__all__ = [
    "ALLOWED_MOVES",
    "ANY",
    "Held",
    "Known",
    "Op",
    "after",
    "candidates",
    "model_name",
    "script_of",
    "side_of",
    "token_of",
]

ANY = "?"
"""In place of a fact that nobody was told."""

# The moves that the design allows, written down a second time on purpose.
ALLOWED_MOVES = {
    "development": ("staging",),
    "staging": ("development", "canary", "production"),
    "canary": ("staging", "production"),
    "production": ("staging",),
}


@dataclass(frozen=True)
class Op:
    """One call: a kind, the token of the version it is about, and an argument (a stage, a tag, an alias, a place)."""

    kind: str
    token: str = ""
    argument: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.token, self.argument) if part)


@dataclass(frozen=True)
class Held:
    """What is known of a version."""

    ref: str
    stage: str = "development"
    turn: str = ""
    is_deleted: bool = False


@dataclass(frozen=True)
class Known:
    """What must be there: versions by token, and aliases (``model@alias``) with the token they point to."""

    versions: Mapping[str, Held] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def without(self, token: str) -> Known:
        """The same without a version and its aliases."""
        versions = {t: held for t, held in self.versions.items() if t != token}
        return Known(versions, {name: t for name, t in self.aliases.items() if t != token})

    def with_version(self, token: str, held: Held) -> Known:
        """The same with a version as it is now."""
        return replace(self, versions={**self.versions, token: held})


def model_name(token: str) -> str:
    """The model that a token's version belongs to: the first word of the token."""
    return token.partition("-")[0]


def side_of(token: str) -> int:
    """Which of two children that run at once may touch the version: 0 or 1."""
    return zlib.crc32(token.encode()) % 2


def token_of(model: str, turn: str, spread: random.Random, side: int | None = None) -> str:
    """A token that no other version has; its first word is the model, its last the shape."""
    (shape,) = spread.choices(list(SHAPES), list(SHAPES.values()))
    while True:
        token = f"{model}-{turn}-{spread.randrange(10**6)}-{shape}"
        if side is None or side_of(token) == side:
            return token


def after(known: Known, op: Op, ref: str = ANY) -> Known:
    """What is known when the op was done; ``ref`` is what a registration answered."""
    held = known.versions.get(op.token)
    if op.kind == "register":
        return known.with_version(op.token, Held(ref))
    if held is None:
        return known
    match op.kind:
        case "promote":
            return known.with_version(op.token, replace(held, stage=op.argument))
        case "tag":
            return known.with_version(op.token, replace(held, turn=op.argument))
        case "alias":
            return replace(known, aliases={**known.aliases, op.argument: op.token})
        case "delete":
            return known.without(op.token).with_version(op.token, replace(held, is_deleted=True))
        case "restore":
            return known.with_version(op.token, replace(held, is_deleted=False))
        case "purge":
            return known.without(op.token)
        case "sweep":
            return Known({t: h for t, h in known.versions.items() if not h.is_deleted}, known.aliases)
        case _:
            return known


def candidates(known: Known, in_flight: Sequence[Op]) -> list[Known]:
    """What may be there after a kill: with each op that was in flight done or not."""
    found = [known]
    for op in in_flight:
        found += [after(each, op) for each in found]
    return found


def script_of(known: Known, tokens: Sequence[str], own: set[str], turn: str, spread: random.Random) -> list[Op]:
    """A script that succeeds when nobody else touches the versions in ``own``: registrations of the tokens, and moves.

    The moves are drawn from what is known by then, also of versions that the script itself registers.
    """
    script: list[Op] = []
    waiting = list(tokens)
    while waiting:
        if spread.random() < 0.45 or not own:
            token = waiting.pop(0)
            op = Op("register", token)
            own = own | {token}
        else:
            op = _move(known, own, f"{turn}.{len(script)}", spread)
        script.append(op)
        known = after(known, op)
    return script


def _move(known: Known, own: set[str], turn: str, spread: random.Random) -> Op:
    token = spread.choice(sorted(own & known.versions.keys()) or sorted(own))
    held = known.versions.get(token)
    if held is None:
        return Op("collect", argument="24")
    if held.is_deleted:
        return Op(spread.choice(("restore", "purge")), token)
    (kind,) = spread.choices(("promote", "alias", "tag", "delete", "collect", "record"), (30, 30, 20, 15, 5, 2))
    match kind:
        case "promote":
            return Op(kind, token, spread.choice(ALLOWED_MOVES[held.stage]))
        case "alias":
            return Op(kind, token, f"{model_name(token)}@{spread.choice(('champion', 'challenger'))}{side_of(token)}")
        case "tag":
            return Op(kind, token, turn)
        case "collect":
            return Op(kind, argument=spread.choice(("24", "24", "0")))
        case _:
            return Op(kind, token if kind == "delete" else "")


def without_touching(script: list[Op], gone: set[str]) -> list[Op]:
    """The script without what touches a version again that may be purged by then."""
    kept, deleted = [], set[str]()
    for op in script:
        if op.token in gone and (op.kind in {"restore", "purge"} or op.token in deleted):
            deleted.add(op.token)
            continue
        kept.append(op)
        if op.kind == "delete":
            deleted.add(op.token)
    return kept

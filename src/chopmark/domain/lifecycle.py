"""Stages of a version and the moves between them; states of its bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from chopmark.domain.names import shown
from chopmark.errors import Conflict, InvalidRequest

__all__ = [
    "MOVES",
    "STAGES",
    "Stage",
    "StageMove",
    "State",
    "check_move",
    "check_stage",
]

Stage = Literal["development", "staging", "canary", "production", "deprecated", "archived"]
State = Literal["pending", "ready", "failed"]

MOVES: dict[str, tuple[Stage, ...]] = {
    "development": ("staging", "archived"),
    "staging": ("development", "canary", "production", "archived"),
    "canary": ("staging", "production", "archived"),
    "production": ("staging", "deprecated", "archived"),
    "deprecated": ("production", "archived"),
    "archived": ("development",),
}
STAGES: tuple[str, ...] = tuple(MOVES)


class StageMove(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a version's stage history."""

    project: str
    model: str
    number: int
    from_stage: str
    to_stage: str
    actor: str
    at: datetime
    reason: str

    def __repr__(self) -> str:
        when = f"{self.at:%Y-%m-%d %H:%M} UTC"
        return f"<{self.from_stage} → {self.to_stage} · {when} by {self.actor}: {self.reason}>"


def check_stage(stage: str) -> str:
    """Return the stage when there is one of that name.

    Raises
    ------
    InvalidRequest
        With the list of stages.
    """
    if stage not in MOVES:
        msg = f"{shown(stage)} is not a stage."
        raise InvalidRequest(msg, hint="Stages are " + ", ".join(STAGES) + ".")
    return stage


def check_move(ref: str, from_stage: str, to_stage: str) -> None:
    """Refuse a stage move that is not in the table.

    Raises
    ------
    InvalidRequest
        When ``to_stage`` is no stage.
    Conflict
        When the move is not allowed; the message lists those that are.
    """
    check_stage(to_stage)
    allowed = MOVES[from_stage]
    if to_stage in allowed:
        return
    if to_stage == from_stage:
        msg = f"{ref} is in {from_stage} already."
    else:
        msg = f"{ref} cannot move from {from_stage} to {to_stage}."
    hint = f"From {from_stage} it can move to " + ", ".join(allowed) + "."
    raise Conflict(msg, hint=hint, allowed=list(allowed))

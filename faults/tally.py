"""What the kill harness counts."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["FAULT_KINDS", "Tally"]

FAULT_KINDS = ("lost", "dangling", "half_visible", "wrong", "fsck", "early", "late", "refused", "error", "hang")
"""Kinds of broken promises: acknowledged versions lost, references to nothing, versions seen in part, pointers that are
neither before nor after, what `fsck` tells, bytes collected too early or never, a registry that does not work again,
an error that a child saw, and one that did not end."""


@dataclass
class Tally:
    """What one lane has counted.

    Attributes
    ----------
    kills, opening, within, after_ack
        How many; before any op had begun, within one, and after an acknowledgement with none begun.
    done_unsaid, undone
        Of those within: how often what was in flight had been done, or not.
    """

    kills: int = 0
    opening: int = 0
    within: int = 0
    after_ack: int = 0
    done_unsaid: int = 0
    undone: int = 0
    acknowledged: int = 0
    answers_ms: list[float] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULT_KINDS, 0))
    turns: dict[str, int] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def with_another(self, other: Tally) -> Tally:
        """Both added up."""
        return Tally(**{each.name: _sum(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)})


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {name: one.get(name, 0) + other.get(name, 0) for name in one | other}
    return one + other

"""What clients of a gateway were told, held against what was set and what was killed: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from faults.gateway_clients import Told

__all__ = ["KINDS", "Down", "History", "asked_at_most", "faults_in"]

KINDS = ("wrong", "no_table", "moved", "stale", "failed", "counted", "live")
"""Kinds of broken promises: answers that are not of who they say, or of nobody in the table of their generation; keys that met
another variant of the same table; answers by a table that all routers had replaced; requests that failed while their process ran;
more requests counted than asked; and a live state that is not the truth."""

_OK = 200
_NEVER_SENT = 0


class Down(NamedTuple):
    """That something did not work between two times: a process by its address, or its workers."""

    what: str
    begun_s: float
    ended_s: float


@dataclass
class History:
    """What happened.

    Attributes
    ----------
    tables
        By generation: variants, with version and weight.
    confirmed
        From when on all routers said that they had a generation.
    downs
        When what was not there.
    """

    tables: dict[int, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    confirmed: list[tuple[float, int]] = field(default_factory=list)
    downs: list[Down] = field(default_factory=list)

    def was_down(self, what: str, begun_s: float, ended_s: float) -> bool:
        """Whether that was away at any time between."""
        return any(d.what == what and d.begun_s <= ended_s and begun_s <= d.ended_s for d in self.downs)


def faults_in(history: History, told: Sequence[tuple[str, Told]]) -> Iterator[tuple[str, str]]:
    """Broken promises: their kind, and what they are.

    Parameters
    ----------
    told
        With the address that was asked. Those of one endpoint.
    """
    met: dict[tuple[int, str], int] = {}
    for url, each in told:
        if each.status != _OK:
            if not history.was_down(url, each.begun_s, each.ended_s):
                yield "failed", f"{url}: {each.status} {each.text[:200]}"
            continue
        if each.predicted != each.version:
            yield "wrong", each.fault()
        version, weight = history.tables.get(each.generation, {}).get(each.variant, (0, 0))
        if version != each.version or not weight:
            yield "no_table", f"{each.variant} of version {each.version} answered by generation {each.generation}"
        first = met.setdefault((each.generation, each.key), each.version)
        if first != each.version:
            yield "moved", f"{each.key} met {first} and {each.version} in generation {each.generation}"
        newest = max((g for at_s, g in history.confirmed if at_s < each.begun_s), default=0)
        if each.generation < newest:
            yield "stale", f"{url} answered by generation {each.generation} after all had {newest}"


def asked_at_most(told: Sequence[tuple[str, Told]]) -> int:
    """Requests that a router may have seen: all but those that were never sent."""
    return sum(each.status != _NEVER_SENT for _, each in told)

"""Units that met their variant of an experiment, kept until the control plane knows of them: bounded, and constant work for a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from chopmark.base.clock import Clock, to_us
from chopmark.domain.experiment_units import UnitMet, unit_hash

__all__ = ["Exposing"]

WAITING_MAX = 100_000
"""Exposures that may wait for a control plane that is away; beyond them a unit is told when it comes again."""

TOLD_MAX = 200_000
"""Units that are remembered as told; beyond them they are told again, which changes nothing."""


class _Met(NamedTuple):
    endpoint: UUID
    unit: bytes


class _How(NamedTuple):
    variant: str
    at_us: int


class Exposing:
    """Notes who met which variant, once for each unit. All of it happens on the gateway's event loop."""

    def __init__(self, clock: Clock) -> None:
        self.endpoints: Mapping[UUID, int] = {}
        self.dropped = 0
        self._clock = clock
        self._waiting: dict[_Met, _How] = {}
        self._told: dict[_Met, None] = {}

    def know(self, endpoints: Mapping[UUID, int]) -> None:
        """Note who meets a variant of these endpoints from now on, as of their generations: a table before deals otherwise."""
        if endpoints != self.endpoints:
            self._told = {}
            self.endpoints = endpoints

    def note(self, endpoint: UUID, unit: bytes, variant: str) -> None:
        """Note that a unit meets a variant of an endpoint on which an experiment runs."""
        met = _Met(endpoint, unit)
        if met in self._told or met in self._waiting:
            return
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            return
        self._waiting[met] = _How(variant, to_us(self._clock()))

    def oldest(self, limit: int, secret: str) -> list[UnitMet]:
        """The first of those that wait, each unit by its hash."""
        return [
            UnitMet(endpoint=met.endpoint, unit=unit_hash(secret, met.unit), variant=how.variant, at_us=how.at_us)
            for met, how in islice(self._waiting.items(), limit)
        ]

    def received(self, told: Sequence[UnitMet]) -> None:
        """Forget the first so many, which the control plane knows."""
        for met in list(islice(self._waiting, len(told))):
            del self._waiting[met]
            if met.endpoint in self.endpoints:
                self._told[met] = None
        while len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]

    def __len__(self) -> int:
        return len(self._waiting)

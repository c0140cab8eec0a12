"""What a split makes of an endpoint's variants: their names and their order, so that nobody's variant changes without need.

For two variants both name and order decide who gets which (`chopmark.stats.assign`); for more, the name does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from chopmark.base.jsons import converted, explained
from chopmark.domain.endpoints import Endpoint, EndpointConfig
from chopmark.domain.names import shown
from chopmark.domain.traffic import PinnedVersion, Variant
from chopmark.errors import InvalidRequest

__all__ = ["STABLE", "Wanted", "changed_config", "named_variants", "versions_of"]

STABLE = "stable"
_NEXT = "candidate"


class Wanted(NamedTuple):
    """A version that shall answer, its weight, and its name if one was said."""

    version: PinnedVersion
    weight: int
    name: str = ""


def named_variants(wanted: Sequence[Wanted], before: Sequence[Variant] = ()) -> tuple[Variant, ...]:
    """The variants of a split.

    A version that stays keeps its name and its place, unless another name is said or it is the only one: then it is ``stable``.
    Others are called by the first of ``stable``, ``candidate``, ``candidate-2``, … that is free. ``stable`` comes first.

    Parameters
    ----------
    wanted
        What shall answer, in order.
    before
        What answers now.
    """
    names = _names(wanted, before)
    made = [Variant(name=n, version=w.version, weight=w.weight) for n, w in zip(names, wanted, strict=True)]
    return tuple(_placed(made, {variant.name: place for place, variant in enumerate(before)}))


def versions_of(endpoint: Endpoint) -> frozenset[UUID]:
    """Ids of the versions that answer, or are asked beside."""
    return frozenset((*(v.version.id for v in endpoint.variants), *(s.version.id for s in endpoint.shadows)))


def _names(wanted: Sequence[Wanted], before: Sequence[Variant]) -> list[str]:
    if len(wanted) == 1:
        return [wanted[0].name or STABLE]
    said = {each.name for each in wanted if each.name}
    kept = {variant.version.id: variant.name for variant in before if variant.name not in said}
    names = [each.name or kept.pop(each.version.id, "") for each in wanted]
    taken = set(names)
    for place, name in enumerate(names):
        if not name:
            names[place] = _free(taken)
            taken.add(names[place])
    return names


def _free(taken: set[str]) -> str:
    defaults = [STABLE, _NEXT, *(f"{_NEXT}-{n}" for n in range(2, len(taken) + 2))]
    return next(name for name in defaults if name not in taken)


def _placed(variants: Sequence[Variant], places: Mapping[str, int]) -> list[Variant]:
    """In places: ``stable`` in the first, those that were there in theirs, the others where there is room."""
    placed: list[Variant | None] = [None] * len(variants)
    rest: list[Variant] = []
    for variant in sorted(variants, key=lambda v: v.name != STABLE):
        place = 0 if variant.name == STABLE else places.get(variant.name, len(variants))
        if place < len(variants) and placed[place] is None:
            placed[place] = variant
        else:
            rest.append(variant)
    others = iter(rest)
    return [variant if variant is not None else next(others) for variant in placed]


def changed_config(config: EndpointConfig, changes: Mapping[str, Any]) -> EndpointConfig:
    """A configuration with some fields another way; one that is None is as if it had never been said.

    Raises
    ------
    InvalidRequest
        When there is no such field, or a value is not one for it.

    >>> changed = changed_config(EndpointConfig(timeout_ms=50), {"timeout_ms": None, "queue_max": 10})
    >>> changed.timeout_ms, changed.queue_max
    (30000, 10)
    """
    unknown = [name for name in changes if name not in EndpointConfig.__struct_fields__]
    if unknown:
        hint = f"There are {', '.join(EndpointConfig.__struct_fields__)}."
        raise InvalidRequest(f"An endpoint's configuration has no {shown(unknown[0])}.", hint=hint)
    values = {**msgspec.structs.asdict(config), **changes}
    said = {name: value for name, value in values.items() if value is not None}
    try:
        return converted(said, EndpointConfig)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The configuration is not valid: {explained(error, EndpointConfig)}.") from error

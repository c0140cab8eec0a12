"""Who gets which version: exact versions with weights, and the tables by which routers deal requests.

Weights are integers of `WEIGHT_TOTAL`. A unit's arm is that of `chopmark.stats.assign` for the endpoint's salt, so that it is the
same in every process, language and restart, and raising a weight only adds units to that arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from chopmark.domain.manifest import Kind
from chopmark.domain.names import check_name, counted
from chopmark.errors import InvalidRequest

__all__ = [
    "SHADOW",
    "SHADOWS_MAX",
    "VARIANTS_MAX",
    "WEIGHT_TOTAL",
    "PinnedVersion",
    "Shadow",
    "Variant",
    "check_split",
    "weight_of",
]

WEIGHT_TOTAL = 10_000
"""All of the traffic: a weight of 2,500 is a quarter, and the finest step is a hundredth of a percent."""

SHADOW = "shadow"
"""What the requests of shadows are counted under; they are no answers, and count only for who asks for them."""

VARIANTS_MAX = 20
SHADOWS_MAX = 5

_PERCENT = WEIGHT_TOTAL // 100


class PinnedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one version, as it was resolved; never an alias.

    Attributes
    ----------
    id
        Of the version.
    model
        ``[project/]name``.
    number, digest
        Of the version.
    kind
        Of the model.
    """

    id: UUID
    model: str
    number: int
    digest: str
    kind: Kind = "artifact"

    @property
    def ref(self) -> str:
        """``[project/]name:number``."""
        return f"{self.model}:{self.number}"


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A version that answers, and its share.

    Attributes
    ----------
    name
        ``stable``, ``candidate``, or an experiment's arm.
    version
        What answers.
    weight
        Its share, of `WEIGHT_TOTAL`.
    """

    name: str
    version: PinnedVersion
    weight: int

    def __repr__(self) -> str:
        return f"{self.name} {self.version.ref} {self.weight / _PERCENT:g} %"


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A version that gets copies of requests, and whose answers nobody gets.

    Attributes
    ----------
    version
        What is asked.
    weight
        The share of requests that is copied to it, of `WEIGHT_TOTAL`.
    """

    version: PinnedVersion
    weight: int = WEIGHT_TOTAL


def weight_of(percent: float) -> int:
    """A share in percent as a weight.

    Raises
    ------
    InvalidRequest
        When it is not within 0 and 100, or finer than a hundredth of a percent.

    >>> weight_of(12.5), weight_of(100)
    (1250, 10000)
    """
    weight = percent * _PERCENT
    if not 0 <= weight <= WEIGHT_TOTAL:
        raise InvalidRequest(f"{percent:g} % is no share of the traffic.", hint="A share is from 0 to 100 percent.")
    if abs(weight - round(weight)) > 1e-6:  # noqa: PLR2004 - a float's own error
        msg = f"{percent!r} % is finer than a hundredth of a percent."
        raise InvalidRequest(msg, hint=f"Use {round(weight) / _PERCENT:g}.")
    return round(weight)


def check_split(variants: Sequence[Variant], shadows: Sequence[Shadow] = ()) -> None:
    """Refuse a split that cannot be dealt.

    Raises
    ------
    InvalidRequest
        When there are no or too many variants, two have one name or one version, the weights do not sum up to all of the
        traffic, or versions of different kinds would answer.
    """
    if not 1 <= len(variants) <= VARIANTS_MAX:
        msg = f"An endpoint has 1 to {VARIANTS_MAX} variants, not {len(variants)}."
        raise InvalidRequest(msg, hint="Name a version: fraud:3=100.")
    if len(shadows) > SHADOWS_MAX:
        raise InvalidRequest(f"An endpoint has at most {SHADOWS_MAX} shadows, not {len(shadows)}.")
    for variant in variants:
        check_name(variant.name, "variant")
    _check_once([v.name for v in variants], "variants are named")
    _check_once([v.version.ref for v in variants], "variants are of")
    _check_once([s.version.ref for s in shadows], "shadows are of")
    total = sum(v.weight for v in variants)
    if total != WEIGHT_TOTAL:
        msg = f"The shares sum up to {total / _PERCENT:g} %, not to 100 %."
        raise InvalidRequest(msg, hint="Say each version's share: fraud:3=90 fraud:4=10.")
    for shadow in shadows:
        if not 1 <= shadow.weight <= WEIGHT_TOTAL:
            raise InvalidRequest(f"The shadow {shadow.version.ref} must get a share above 0 %, and at most 100 %.")
    if shadows and any(v.version.kind == "llm_config" for v in variants):
        msg = "Language models have no shadows: what they say twice costs twice, and is never the same."
        raise InvalidRequest(msg, hint="Give the other version a share of the traffic instead.")
    versions = [v.version for v in variants] + [s.version for s in shadows]
    if len({version.kind == "llm_config" for version in versions}) > 1:
        msg = "A language model and another model cannot answer behind one name: they are asked differently."
        raise InvalidRequest(msg, hint="Make an endpoint for each.")


def _check_once(texts: Sequence[str], what: str) -> None:
    twice = next((t for i, t in enumerate(texts) if t in texts[:i]), None)
    if twice is not None:
        raise InvalidRequest(f"{counted(texts.count(twice), 'time')} {what} {twice}.", hint="Name each once.")

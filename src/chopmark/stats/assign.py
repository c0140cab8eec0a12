"""Which arm of an experiment a unit belongs to: a keyed hash, the same in every process, language and restart.

A unit's fraction for a salt is u = (h >> 11) / 2⁵³, where h is the 8-byte BLAKE2b (RFC 7693, no key) of the salt, a NUL and the
unit in UTF-8, read big-endian. Three salts are made of an experiment's one, so that they are independent:

- ``<salt>:coverage``: the unit takes part when u < coverage. Raising the coverage keeps everybody who takes part.
- ``<salt>:arm`` for two arms: the second when u < its share of the weights, else the first.
- ``<salt>:arm:<name>`` for three arms and more: the arm with the least −ln(u) / weight, the earlier of equals; weighted
  rendezvous hashing (Schindelhauer and Schomaker 2005, "Weighted distributed hash tables", SPAA, the logarithmic method).

Either way raising one weight only brings units to that arm, and takes none from it. So does a new arm beside three or more,
and an arm that is left out of four or more moves nobody but its own units. A *third* arm changes from a border to rendezvous, and
deals everybody anew: of two equal arms two thirds move, half of them between the two. An arm that is named from the start with a
weight of 0 counts among the three, and may be given a weight later. The order of two arms matters, that of more does not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_between, check_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ARMS_MAX", "Assignment", "fraction", "fractions", "hash_64"]

ARMS_MAX = 100

_BITS = 53
_DROPPED = 64 - _BITS
_NAME_LENGTH_MAX = 200
_ONE_BORDER = 2  # so many arms lie on either side of one border; more need rendezvous
# Logarithms of two machines may differ in their last bit, and so may numpy's; where two arms are closer than that the
# arm is decided by the exact function once more.
_CLOSE = 1e-12


def hash_64(salt: str, unit: str) -> int:
    """BLAKE2b of salt, NUL and unit, 8 bytes, as a big-endian number.

    Examples
    --------
    >>> hash_64("salt", "u1")
    10117931768506494254
    """
    return int.from_bytes(hashlib.blake2b(_prefix(salt) + _bytes(unit), digest_size=8).digest(), "big")


def fraction(salt: str, unit: str) -> float:
    """Where a unit lies for a salt: the top 53 bits of `hash_64` by 2⁵³; 0 or more, below 1.

    Raises
    ------
    InvalidRequest
        When the salt holds a NUL, which would move the border between salt and unit.

    Examples
    --------
    >>> fraction("salt", "u1")
    0.5484941802237421
    """
    return (hash_64(salt, unit) >> _DROPPED) / (1 << _BITS)


def fractions(salt: str, units: Sequence[str]) -> NDArray[np.float64]:
    """`fraction` of many units: shape (n,), in their order."""
    import numpy as np

    start = hashlib.blake2b(_prefix(salt), digest_size=8)
    digests = bytearray()
    for unit in units:
        digest = start.copy()
        digest.update(_bytes(unit))
        digests += digest.digest()
    numbers = np.frombuffer(digests, dtype=">u8").astype(np.uint64) >> np.uint64(_DROPPED)
    exact: NDArray[np.float64] = numbers.astype(np.float64) / float(1 << _BITS)
    return exact


class Assignment(msgspec.Struct, frozen=True):
    """The arms of an experiment, and who takes part.

    Attributes
    ----------
    salt
        The experiment's own; another salt gives other arms, independent of these.
    weights
        Arm → weight, in order, the control first; any scale, not negative, not all 0. An arm of weight 0 gets nobody.
    coverage
        Share of units that take part, from 0 to 1.

    Raises
    ------
    InvalidRequest
        When there are no arms or too many, a name is empty or too long, or a weight or the coverage is out of range.

    Examples
    --------
    >>> split = Assignment("ranker-test", {"control": 90, "treatment": 10})
    >>> [split.arm(f"user-{i}") for i in range(4, 8)]
    ['control', 'treatment', 'control', 'control']
    """

    salt: str
    weights: Mapping[str, float]
    coverage: float = 1.0

    def __post_init__(self) -> None:
        _prefix(self.salt)
        check_between("coverage", self.coverage, 0, 1)
        if not isinstance(self.weights, Mapping):
            raise InvalidRequest("Arms have weights.", hint='Give {"control": 90, "treatment": 10}.')
        if not 1 <= len(self.weights) <= ARMS_MAX:
            raise InvalidRequest(f"An experiment has 1 to {ARMS_MAX} arms, not {len(self.weights):,}.")
        for name, weight in self.weights.items():
            if not 1 <= len(name) <= _NAME_LENGTH_MAX or "\0" in name:
                raise InvalidRequest(f"{name[:80]!r} cannot be the name of an arm.", hint="Use a short name.")
            check_number(f"weight of {name}", weight, least=0.0)
        if not 0 < sum(self.weights.values()) < math.inf:
            raise InvalidRequest("The weights of the arms must sum up to more than 0.", hint="Raise one of them.")

    @property
    def arms(self) -> tuple[str, ...]:
        """Names in their order, the control first."""
        return tuple(self.weights)

    def arm(self, unit: str) -> str | None:
        """Arm of a unit; None when the unit does not take part."""
        return self._chosen(unit) if self.covers(unit) else None

    def covers(self, unit: str) -> bool:
        """Whether the unit takes part, whatever its arm."""
        return fraction(f"{self.salt}:coverage", unit) < self.coverage

    def arm_indices(self, units: Sequence[str]) -> NDArray[np.int64]:
        """Positions of the units' arms in `arms`, shape (n,); -1 for one that does not take part."""
        import numpy as np

        covered = fractions(f"{self.salt}:coverage", units) < self.coverage
        return np.where(covered, self._indices(units), -1).astype(np.int64)

    def with_coverage(self, coverage: float) -> Self:
        """The same arms for another share of units."""
        return type(self)(self.salt, self.weights, coverage)

    def _chosen(self, unit: str) -> str:
        weights = self.weights
        if len(weights) <= _ONE_BORDER:
            return self.arms[-1] if fraction(f"{self.salt}:arm", unit) < self._last_share() else self.arms[0]
        return min(
            (arm for arm in weights if weights[arm]),
            key=lambda arm: _cost(fraction(f"{self.salt}:arm:{arm}", unit), weights[arm]),
        )

    def _indices(self, units: Sequence[str]) -> NDArray[np.int64]:
        import numpy as np

        arms = self.arms
        if len(arms) <= _ONE_BORDER:
            last = fractions(f"{self.salt}:arm", units) < self._last_share()
            return np.where(last, len(arms) - 1, 0).astype(np.int64)
        costs = np.full((len(arms), len(units)), np.inf)
        with np.errstate(divide="ignore", over="ignore"):
            for i, (arm, weight) in enumerate(self.weights.items()):
                if weight:
                    costs[i] = -np.log(fractions(f"{self.salt}:arm:{arm}", units)) / weight
        indices: NDArray[np.int64] = costs.argmin(axis=0)
        least, second = np.partition(costs, 1, axis=0)[:2]
        for row in np.flatnonzero(~(second > least * (1 + _CLOSE))):
            indices[row] = arms.index(self._chosen(units[int(row)]))
        return indices

    def _last_share(self) -> float:
        *_, last = self.weights.values()
        return last / sum(self.weights.values())


def _cost(u: float, weight: float) -> float:
    return -math.log(u) / weight if u else math.inf


def _prefix(salt: str) -> bytes:
    if not isinstance(salt, str):
        raise InvalidRequest(f"{salt!r} cannot be a salt.", hint="Use the experiment's id, a text.")
    if "\0" in salt or not salt:
        raise InvalidRequest(f"{salt[:80]!r} cannot be a salt.", hint="Use the experiment's id; it must hold no NUL.")
    return _bytes(salt) + b"\0"


def _bytes(text: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidRequest(
            f"{text!r} cannot be a unit.", hint="Units are texts: give str(…) of a number, always in one form."
        )
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{text[:80]!r} is no text in Unicode.", hint="Give whole characters.") from error

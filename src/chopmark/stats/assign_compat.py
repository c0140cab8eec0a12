"""Buckets of other experiment platforms, for moving a running experiment here without moving anybody's arm.

- FNV-1a, 32 bits: Fowler, Noll and Vo; RFC 9923. Used by GrowthBook.
- MurmurHash3, x86, 32 bits: Appleby (2011), public domain. Used by Unleash and Optimizely.
- SHA-1, its first 60 bits: LaunchDarkly.

They are for reading what others decided; new experiments are assigned by `chopmark.stats.assign`.
"""

from __future__ import annotations

import hashlib

__all__ = [
    "fnv1a_32",
    "growthbook_v1",
    "growthbook_v2",
    "launchdarkly_bucket",
    "murmur3_32",
    "optimizely_bucket",
    "unleash_percent",
]

_MASK = 0xFFFF_FFFF
_LAUNCHDARKLY_DIGITS = 15
_LAUNCHDARKLY_MOST = 0xFFF_FFFF_FFFF_FFFF


def fnv1a_32(text: str) -> int:
    """FNV-1a of the UTF-8 bytes, 32 bits: h ← (h xor byte) · 16777619, from 2166136261.

    Examples
    --------
    >>> hex(fnv1a_32("a"))
    '0xe40c292c'
    """
    value = 0x811C_9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x0100_0193 & _MASK
    return value


def growthbook_v1(seed: str, unit: str) -> float:
    """GrowthBook's hash version 1: FNV-1a of unit and seed, mod 1000, by 1000; 0 or more, below 1."""
    return fnv1a_32(unit + seed) % 1000 / 1000


def growthbook_v2(seed: str, unit: str) -> float:
    """GrowthBook's hash version 2: FNV-1a of the decimal FNV-1a of seed and unit, mod 10,000, by 10,000."""
    return fnv1a_32(str(fnv1a_32(seed + unit))) % 10_000 / 10_000


def unleash_percent(group: str, unit: str) -> int:
    """Unleash's normalised value: MurmurHash3 of ``group:unit``, seed 0, mod 100, from 1 to 100."""
    return murmur3_32(f"{group}:{unit}") % 100 + 1


def optimizely_bucket(experiment: str, unit: str) -> int:
    """Optimizely's bucket: MurmurHash3 of unit and experiment, seed 1, by 2³², of 10,000; from 0."""
    return murmur3_32(unit + experiment, seed=1) * 10_000 >> 32


def launchdarkly_bucket(flag: str, unit: str, salt: str = "salt0") -> float:
    """LaunchDarkly's bucket: the first 15 hexadecimal digits of SHA-1 of ``flag.salt.unit``, by the largest such number."""
    digits = hashlib.sha1(f"{flag}.{salt}.{unit}".encode(), usedforsecurity=False).hexdigest()[:_LAUNCHDARKLY_DIGITS]
    return int(digits, 16) / _LAUNCHDARKLY_MOST


def murmur3_32(text: str, seed: int = 0) -> int:
    """MurmurHash3 of the UTF-8 bytes, x86, 32 bits, unsigned.

    Examples
    --------
    >>> hex(murmur3_32("", seed=1))
    '0x514e28b7'
    """
    data = text.encode()
    value = seed & _MASK
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        value = (
            _rotated(value ^ _mixed(int.from_bytes(data[start : start + 4], "little")), 13) * 5 + 0xE654_6B64 & _MASK
        )
    value ^= _mixed(int.from_bytes(data[whole:], "little"))  # nothing is left: 0, which changes nothing
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EB_CA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2_AE35 & _MASK
    return value ^ value >> 16


def _mixed(block: int) -> int:
    return _rotated(block * 0xCC9E_2D51 & _MASK, 15) * 0x1B87_3593 & _MASK


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK

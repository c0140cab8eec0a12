"""Reference cases of assignment: `bucketing_hash_vectors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chopmark.stats.assign import fraction, hash_64
from chopmark.stats.assign_compat import (
    growthbook_v1,
    growthbook_v2,
    launchdarkly_bucket,
    murmur3_32,
    optimizely_bucket,
    unleash_percent,
)

__all__ = ["METHODS"]


def _bucketing_hash_vectors(case: Mapping[str, Any]) -> dict[str, Any]:
    salt, unit = str(case["salt_or_experiment"]), str(case["unit_id"])
    grouped = f"{salt}:{unit}"
    return {
        "growthbook_v1": growthbook_v1(salt, unit),
        "growthbook_v2": growthbook_v2(salt, unit),
        "unleash_percent_1_to_100": unleash_percent(salt, unit),
        "murmur3_32_unsigned_seed0": murmur3_32(grouped),
        "murmur3_32_unsigned_seed1": murmur3_32(unit + salt, seed=1),
        "optimizely_bucket_0_to_9999": optimizely_bucket(salt, unit),
        "launchdarkly_bucket": launchdarkly_bucket(salt, unit),
        "blake2b_8_u64_big_endian": str(hash_64(salt, unit)),
        "blake2b_unit_float53": fraction(salt, unit),
    }


METHODS = {"bucketing_hash_vectors": _bucketing_hash_vectors}

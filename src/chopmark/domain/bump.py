"""Which part of the semantic version a new version should raise, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chopmark.domain.manifest import Manifest
from chopmark.domain.semver import Bump, SemVer
from chopmark.domain.signature import breaking_changes, changed_features
from chopmark.errors import GateRefused

__all__ = ["Proposal", "check_breaking", "propose_bump"]


_SHOWN_LENGTH = 40


class Proposal(msgspec.Struct, frozen=True):
    """A level and the reasons for it; ``breaking`` lists what would break callers."""

    level: Bump
    reasons: tuple[str, ...]
    breaking: tuple[str, ...] = ()


def propose_bump(old: Manifest, new: Manifest) -> Proposal:
    """Compare two manifests.

    A signature that breaks callers is major; changed features, algorithm, framework or
    hyperparameters are minor; the same recipe on new data is patch.
    """
    breaking = tuple(breaking_changes(old.signature, new.signature))
    if breaking:
        return Proposal("major", breaking, breaking)
    reasons = (
        *_feature_reasons(old, new),
        *_framework_reasons(old, new),
        *_mapping_reasons("parameter", old.params, new.params),
        *_mapping_reasons("configuration", old.config, new.config),
        *_member_reasons(old, new),
    )
    if reasons:
        return Proposal("minor", reasons)
    return Proposal("patch", ("same signature, framework and parameters; only the bytes differ",))


def _feature_reasons(old: Manifest, new: Manifest) -> list[str]:
    changed = changed_features(old.signature, new.signature)
    return [f"features changed: {', '.join(changed[:10])}"] if changed else []


def _framework_reasons(old: Manifest, new: Manifest) -> list[str]:
    reasons = []
    if old.kind != new.kind:
        reasons.append(f"kind was {old.kind}, is {new.kind}")
    if old.format != new.format:
        reasons.append(f"format was {old.format or 'none'}, is {new.format or 'none'}")
    before, after = old.environment, new.environment
    if before.framework != after.framework:
        reasons.append(f"framework was {before.framework}, is {after.framework}")
    elif _release(before.framework_version) != _release(after.framework_version):
        reasons.append(f"{after.framework} was {before.framework_version}, is {after.framework_version}")
    return reasons


def _release(version: str) -> list[str]:
    return version.split(".")[:2]


def _mapping_reasons(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    reasons = []
    for key in {**old, **new}:
        if key not in new:
            reasons.append(f"{what} {key} is gone")
        elif key not in old:
            reasons.append(f"{what} {key} is new")
        elif old[key] != new[key]:
            reasons.append(f"{what} {key} was {_short(old[key])}, is {_short(new[key])}")
    return reasons[:20]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


def _member_reasons(old: Manifest, new: Manifest) -> list[str]:
    def members(manifest: Manifest) -> list[tuple[str, float | None]]:
        return sorted((p.digest, p.weight) for p in manifest.parents if p.relation == "ensemble_member_of")

    return ["members of the ensemble changed"] if members(old) != members(new) else []


def check_breaking(breaking: Sequence[str], old: SemVer, new: SemVer, ref: str) -> None:
    """Refuse a signature that breaks callers when the number promises that it does not.

    Below 1.0.0 a minor may break callers (SemVer 2.0.0, item 4). A version that is not above the
    one it is compared with promises nothing about it.

    Raises
    ------
    GateRefused
        With every reason.
    """
    if not breaking or new <= old or new.major > old.major:
        return
    if new.major == 0 and new.minor > old.minor:
        return
    msg = f"{new} promises callers of {ref} ({old}) that nothing breaks, but " + "; ".join(breaking) + "."
    hint = "Use bump='major', or say allow_breaking=True (--allow-breaking)."
    raise GateRefused(msg, hint=hint, findings=list(breaking))

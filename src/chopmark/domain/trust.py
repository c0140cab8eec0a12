"""Whether bytes that bring code, or types nobody vouched for, may be built into objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Literal

import msgspec

from chopmark.domain.versions import TrustDecision, Version

__all__ = ["TrustMode", "TrustVerdict", "judge_trust"]

_NAMES_SHOWN = 8

TrustMode = Literal["own_registry", "marked_only", "never"]


class TrustVerdict(msgspec.Struct, frozen=True):
    """What to do about a load.

    Attributes
    ----------
    action
        ``load``; ``record`` a decision of the setting first, then load; or ``refuse``.
    names
        Type names let through.
    reason
        Why it is refused.
    """

    action: Literal["load", "record", "refuse"]
    names: tuple[str, ...] = ()
    reason: str = ""


def judge_trust(mode: TrustMode, version: Version, decisions: Sequence[TrustDecision]) -> TrustVerdict:
    """Decide on a load.

    Parameters
    ----------
    mode
        ``own_registry`` trusts what this registry's own actors registered and records that it
        did, but not what was imported; ``marked_only`` asks for a person's decision on these bytes; ``never`` refuses.
    version
        What is to be loaded.
    decisions
        Recorded decisions on its digest, newest first. What stands before a revocation does not
        count, and after one only a person can begin anew.
    """
    needed = version.untrusted
    if not version.runs_code and not needed:
        return TrustVerdict("load")
    what = _what(version)
    if mode == "never":
        return TrustVerdict("refuse", reason=f"{what}, and the trust setting is 'never'")
    if mode == "own_registry" and version.origin is not None:
        mode = "marked_only"  # its bytes were made elsewhere, whatever registry they lie in now
    standing = list(takewhile(lambda d: d.basis != "revoked", decisions))
    is_revoked = len(standing) < len(decisions)
    counted = [d for d in standing if d.basis == "person" or (mode == "own_registry" and not is_revoked)]
    if counted and set(needed) <= _names(counted):
        return TrustVerdict("load", needed)
    if is_revoked:
        return TrustVerdict("refuse", reason=f"{what}, and trust in these bytes was revoked")
    if mode == "own_registry":
        return TrustVerdict("record", needed)
    return TrustVerdict("refuse", reason=f"{what}, and nobody has recorded trust in these bytes")


def _names(decisions: Iterable[TrustDecision]) -> set[str]:
    return {name for decision in decisions for name in decision.names}


def _what(version: Version) -> str:
    names = ", ".join(version.untrusted[:_NAMES_SHOWN])
    hidden = len(version.untrusted) - _NAMES_SHOWN
    more = f" and {hidden} more" if hidden > 0 else ""
    if version.runs_code:
        uses = f" (it uses {names}{more})" if names else ""
        return f"Loading {version.ref} ({version.format}) runs code that its files bring{uses}"
    return f"Loading {version.ref} builds types that are not known to be harmless: {names}{more}"

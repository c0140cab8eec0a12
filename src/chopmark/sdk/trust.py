"""``registry.trust``: decisions to let the code of a version run."""

from __future__ import annotations

from collections.abc import Sequence

from chopmark.domain.versions import TrustDecision
from chopmark.ops import requests as q
from chopmark.ops.results import Done, TrustList
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Reference, Surface

__all__ = ["Trust"]


class Trust(Surface):
    """Verbs about trust; a decision is about bytes, so it holds for twins and for no other version."""

    def grant(self, ref: Reference, *, reason: str, names: Sequence[str] = ()) -> TrustDecision:
        """Record that a version's code may run, or that its named types may be built.

        Parameters
        ----------
        ref
            A version that runs code or lists untrusted types.
        reason
            Why it can be trusted.
        names
            Only these type names; all those the version lists when empty.
        """
        request = q.TrustVersion(ref=self._ref(ref), names=tuple(names), reason=reason)
        decision: TrustDecision = self._call(request)
        return decision

    def revoke(self, ref: Reference, *, reason: str = "") -> Done:
        """Withdraw all trust in a version's bytes."""
        done: Done = self._call(q.RevokeTrust(ref=self._ref(ref), reason=reason))
        return done

    def list(self, ref: Reference) -> Page[TrustDecision]:
        """Decisions on a version's bytes, newest first."""
        found: TrustList = self._call(q.GetTrust(ref=self._ref(ref)))
        return Page(found.items)

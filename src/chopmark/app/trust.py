"""Trust decisions, by the digest of what is trusted."""

from __future__ import annotations

from chopmark.app.context import Context, resolve
from chopmark.domain.names import check_text, counted
from chopmark.domain.versions import TrustDecision
from chopmark.errors import Conflict, InvalidRequest
from chopmark.ops import requests as q
from chopmark.ops.results import Done, TrustList

__all__ = ["grant", "list_all", "revoke"]


def grant(ctx: Context, request: q.TrustVersion) -> TrustDecision:
    """Record that the code of a version may run, or that its named types may be built.

    Without names, all those that the version lists are meant.
    """
    version = resolve(ctx, request.ref)
    if not version.runs_code and not version.untrusted:
        msg = f"{version.ref} brings no code and no unknown types; it needs no trust."
        raise Conflict(msg)
    unknown = set(request.names) - set(version.untrusted)
    if unknown:
        msg = f"{version.ref} does not use " + ", ".join(sorted(unknown)) + "."
        raise InvalidRequest(msg, hint="It uses " + ", ".join(version.untrusted) + ".")
    decision = TrustDecision(
        digest=version.digest,
        names=request.names or version.untrusted,
        basis=request.basis,
        actor=ctx.actor.name,
        at=ctx.now,
        reason=check_text(request.reason, "reason", 5_000),
    )
    ctx.tx.trust.insert(decision)
    ctx.emit(
        version.ref,
        digest=version.digest,
        names=list(decision.names),
        basis=decision.basis,
        reason=decision.reason,
    )
    return decision


def revoke(ctx: Context, request: q.RevokeTrust) -> Done:
    """Withdraw all trust in a version's bytes; from then on only a person can trust them again."""
    version = resolve(ctx, request.ref, deleted=True)
    if not version.runs_code and not version.untrusted:
        msg = f"{version.ref} brings no code and no unknown types; there is no trust to withdraw."
        raise Conflict(msg)
    if any(d.basis == "revoked" for d in ctx.tx.trust.get(version.digest)[:1]):
        msg = f"Trust in {version.ref} was revoked already."
        raise Conflict(msg)
    count = ctx.tx.trust.remove(version.digest)
    revocation = TrustDecision(
        digest=version.digest, basis="revoked", actor=ctx.actor.name, at=ctx.now, reason=request.reason
    )
    ctx.tx.trust.insert(revocation)
    ctx.emit(version.ref, digest=version.digest, reason=request.reason, decisions=count)
    return Done(version.ref, f"{counted(count, 'trust decision')} withdrawn")


def list_all(ctx: Context, request: q.GetTrust) -> TrustList:
    """Decisions on a version's bytes, newest first."""
    version = resolve(ctx, request.ref, deleted=True)
    return TrustList(ctx.tx.trust.get(version.digest))

"""Aliases: free, movable pointers with a history."""

from __future__ import annotations

from datetime import datetime

from chopmark.app.context import Context, parse_alias, resolve, the_model
from chopmark.app.models import check_reason, locked
from chopmark.base.clock import later, to_us
from chopmark.base.paging import check_limit
from chopmark.domain.names import check_text
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.domain.versions import Alias, AliasMove, Model, Version
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops import requests as q
from chopmark.ops.results import AliasHistoryAnswer, AliasList, Done

__all__ = ["at", "get", "history", "list_all", "remove", "set_alias"]


def set_alias(ctx: Context, request: q.SetAlias) -> Alias:
    """Point an alias to a version of the same model."""
    ref, name = parse_alias(request.alias)
    check_text(request.reason, "reason", 5_000)
    model = locked(ctx, str(ref))
    target = _target(ctx, model, request.target)
    before = ctx.tx.aliases.get(model.id, name)
    protected = request.protected
    if protected is None:
        protected = before.protected if before else False
    if before and before.number == target.number and before.protected == protected:
        return before
    if before:
        _respect_protection(before, request.force, request.reason)
    at = _after_last_move(ctx, model, name)
    alias = Alias(
        project=model.project,
        model=model.name,
        name=name,
        number=target.number,
        protected=protected,
        updated_at=at,
        updated_by=ctx.actor.name,
    )
    ctx.tx.aliases.put(model.id, alias)
    if before is None or before.number != target.number:
        _record(ctx, model, name, target.number, before, request.reason)
    ctx.emit(
        alias.ref,
        number=target.number,
        previous=before.number if before else None,
        digest=target.digest,
        protected=protected or None,
        reason=request.reason,
    )
    return alias


def _target(ctx: Context, model: Model, text: str) -> Version:
    if parse_ref(text).model != parse_model(model.ref):
        msg = f"The alias belongs to {model.ref}; it cannot point to {text!r}."
        raise InvalidRequest(msg)
    target = resolve(ctx, text)
    if target.state != "ready":
        msg = f"{target.ref} is {target.state}, not ready."
        raise Conflict(msg)
    return target


def _respect_protection(alias: Alias, force: bool, reason: str) -> None:
    if not alias.protected:
        return
    if not force:
        msg = f"The alias {alias.ref} is protected."
        raise Conflict(msg, hint="Pass force with a reason (--force --reason '…').")
    check_reason(reason, f"Moving the protected alias {alias.ref}")


def _after_last_move(ctx: Context, model: Model, name: str) -> datetime:
    """Now, or just after the last move when the clock stands before it."""
    return later(ctx.now, *(move.at for move in ctx.tx.aliases.history(model.id, name, limit=1)))


def _record(ctx: Context, model: Model, name: str, number: int | None, before: Alias | None, reason: str) -> None:
    move = AliasMove(
        project=model.project,
        model=model.name,
        name=name,
        number=number,
        previous=before.number if before else None,
        actor=ctx.actor.name,
        at=_after_last_move(ctx, model, name),
        reason=reason,
    )
    ctx.tx.aliases.record(model.id, move)


def remove(ctx: Context, request: q.RemoveAlias) -> Done:
    """Remove an alias; its history stays."""
    ref, name = parse_alias(request.alias)
    model = locked(ctx, str(ref))
    alias = ctx.tx.aliases.get(model.id, name)
    if alias is None:
        raise _no_alias(ctx, model, name)
    _respect_protection(alias, request.force, request.reason)
    ctx.tx.aliases.remove(model.id, name)
    _record(ctx, model, name, None, alias, request.reason)
    ctx.emit(alias.ref, previous=alias.number, reason=request.reason)
    return Done(alias.ref, f"removed; it pointed to {model.ref}:{alias.number}")


def get(ctx: Context, request: q.GetAlias) -> Alias:
    """Look up an alias."""
    ref, name = parse_alias(request.alias)
    model = the_model(ctx, ref)
    alias = ctx.tx.aliases.get(model.id, name)
    if alias is None:
        raise _no_alias(ctx, model, name)
    return alias


def list_all(ctx: Context, request: q.ListAliases) -> AliasList:
    """Aliases of a model by name."""
    model = the_model(ctx, parse_model(request.model))
    return AliasList(ctx.tx.aliases.list(model.id))


def history(ctx: Context, request: q.AliasHistory) -> AliasHistoryAnswer:
    """Moves of an alias, newest first; also of one that was removed."""
    ref, name = parse_alias(request.alias)
    model = the_model(ctx, ref, deleted=True)
    moves = ctx.tx.aliases.history(model.id, name, limit=check_limit(request.limit))
    if not moves:
        raise _no_alias(ctx, model, name)
    return AliasHistoryAnswer(moves)


def at(ctx: Context, request: q.AliasAt) -> Version:
    """The version that an alias pointed to at a time, as it is now."""
    ref, name = parse_alias(request.alias)
    model = the_model(ctx, ref, deleted=True)
    to_us(request.at)  # refuses a time without zone
    moves = ctx.tx.aliases.history(model.id, name, until=request.at, limit=1)
    if not moves or moves[0].number is None:
        msg = f"{model.ref}@{name} pointed to nothing on {request.at.isoformat()}."
        raise NotFound(msg, hint=f"See its moves with: chopmark alias history {model.ref}@{name}")
    version = ctx.tx.versions.by_number(model.id, moves[0].number, deleted=True)
    if version is None:
        msg = f"{model.ref}@{name} pointed to {model.ref}:{moves[0].number}, which was purged since."
        raise NotFound(msg)
    return version


def _no_alias(ctx: Context, model: Model, name: str) -> NotFound:
    names = [a.name for a in ctx.tx.aliases.list(model.id)]
    having = "It has " + ", ".join(names) + "." if names else "It has none."
    return NotFound(f"{model.ref} has no alias {name!r}.", hint=having)

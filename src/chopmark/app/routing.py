"""What routers ask and tell: the routing as a whole, their reports, and what is live by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from chopmark.abc.access import MemberKey
from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context
from chopmark.app.experiment_units import on_endpoints, take_met
from chopmark.app.feedback import keep_reported
from chopmark.app.outcomes import kept_minutes
from chopmark.base.jsons import canonical
from chopmark.base.paging import PAGE_SIZE_MAX, check_limit, decode_cursor, encode_cursor
from chopmark.domain.access import CustomRole, Member, grants_of, narrowed
from chopmark.domain.endpoints import Endpoint, EndpointCaller, Router, Routing, RoutingMark, parse_endpoint
from chopmark.domain.live import LiveEndpoint, what_is_live
from chopmark.domain.names import check_text
from chopmark.domain.outcomes import check_window
from chopmark.domain.profile_windows import check_profile_window
from chopmark.domain.refs import parse_model
from chopmark.domain.tokens import Token, is_usable, limits_of
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops import endpoints as q

__all__ = [
    "MOVES_ROUTING",
    "advance",
    "all_routers",
    "begin_epoch",
    "get",
    "list_routers",
    "live",
    "report",
    "routing_of",
]

MOVES_ROUTING = frozenset((
    "endpoint.create", "endpoint.split", "endpoint.update", "endpoint.delete", "alert.rollback", "token.create", "token.revoke",
    "member.set", "member.remove", "role.define", "role.remove", "registry.rebuild", "router.report",
    "experiment.start", "experiment.stop", "experiment.decide", "rollout.advance",
))  # fmt: skip
"""Ops that may change what routers deal by; the last only when it finds that the database was set back."""

_ROUTER_ID_LENGTH_MAX = 200
_NOTE_LENGTH_MAX = 5_000

K = TypeVar("K")
T = TypeVar("T")


def advance(ctx: Context) -> int:
    """Make this change a new generation of the routing; gives it. All that changes endpoints, or who may call, comes here."""
    return ctx.whole.routing.advance()


def begin_epoch(ctx: Context, seen: str = "") -> RoutingMark:
    """Begin an epoch: what routers will deal by does not follow from what they know.

    Parameters
    ----------
    seen
        An epoch that a router knows: the new one is later than it, and than the present one, however the clock stands.
    """
    made = ctx.new_id()
    for before in (ctx.whole.routing.mark().epoch, seen):
        with suppress(ValueError):
            made = max(made, UUID(int=UUID(before).int + 1))
    return ctx.whole.routing.begin(str(made))


def get(ctx: Context, request: q.GetRouting) -> q.CurrentRouting:
    """All that a router deals by, unless it has it: then one row was read."""
    mark = ctx.whole.routing.mark()
    if mark == RoutingMark(request.epoch, request.generation):
        return q.CurrentRouting(mark=mark)
    return q.CurrentRouting(mark=mark, routing=routing_of(ctx.whole, ctx.now))


def routing_of(tx: Transaction, now: datetime) -> Routing:
    """The routing as a transaction sees it, without tokens that are of no use any more."""
    endpoints = tuple(_all_endpoints(tx))
    return Routing(
        mark=tx.routing.mark(),
        endpoints=endpoints,
        callers=tuple(_callers(tx, now)),
        experiments=tuple(on_endpoints(tx, endpoints)),
        secret=tx.routing.secret(),
    )


def report(ctx: Context, request: q.ReportRouter) -> q.ReportReceipt:
    """Keep what a router says, and tell it the newest mark.

    One that knows a generation which the database has not, or a later epoch, has seen what was lost: the database was set back
    to an older copy. Then an epoch begins, so that routers take what the database says now.
    """
    told = request.report
    check_text(told.id, "router's id", _ROUTER_ID_LENGTH_MAX)
    if not told.id:
        raise InvalidRequest("A router without an id reports.", hint="Give it one for each process.")
    check_text(told.note, "router's note", _NOTE_LENGTH_MAX)
    windows = kept_minutes(ctx, [check_window(window) for window in request.outcomes])
    at = ctx.catalog_now()
    ctx.whole.routers.put(told, at)
    ctx.whole.outcomes.put(told.id, windows, grows=True)
    ctx.whole.profile_counts.put(told.id, [check_profile_window(window) for window in request.profiles])
    keep_reported(ctx, request.feedback)
    take_met(ctx, request.exposures)
    mark = ctx.whole.routing.mark()
    if (told.mark.epoch, told.mark.generation) > (mark.epoch, mark.generation) and _is_epoch(told.mark.epoch):
        mark = begin_epoch(ctx, told.mark.epoch)
    return q.ReportReceipt(mark=mark, at=at)


def list_routers(ctx: Context, request: q.ListRouters) -> q.RouterPage:
    """A page of routers by id."""
    limit = check_limit(request.limit)
    query = canonical(["routers"])
    after = str(decode_cursor(request.cursor, query)[0]) if request.cursor else ""
    items = ctx.whole.routers.list(after=after, limit=limit + 1)
    more, items = len(items) > limit, items[:limit]
    return q.RouterPage(items=items, cursor=encode_cursor([items[-1].report.id], query) if more else "")


def live(ctx: Context, request: q.ShowLive) -> q.Live:
    """What is live, of what the actor may read."""
    mark = ctx.whole.routing.mark()
    at = ctx.catalog_now()
    routers = list(all_routers(ctx.whole))
    if request.endpoint:
        ref = parse_endpoint(request.endpoint)
        endpoint = ctx.tx.endpoints.get(ref.project, ref.name)
        found = what_is_live([endpoint] if endpoint else [], routers, mark, at)
        found = [each for each in found if each.endpoint == str(ref) and ctx.actor.sees(ref.project)]
        if not found:
            raise NotFound(f"There is no endpoint {str(ref)!r}.", hint="See what there is with: chopmark endpoint list")
    else:
        found = what_is_live(_all_endpoints(ctx.tx), routers, mark, at)
    return q.Live(at=at, mark=mark, endpoints=tuple(each for each in found if _is_seen(ctx, each)))


def _is_seen(ctx: Context, live: LiveEndpoint) -> bool:
    return ctx.actor.sees(parse_model(live.endpoint).project)


def _is_epoch(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _all_endpoints(tx: Transaction) -> Iterator[Endpoint]:
    return _walked(
        lambda after: tx.endpoints.list(after=after, limit=PAGE_SIZE_MAX), lambda e: (e.project, e.name), ("", "")
    )


def all_routers(tx: Transaction) -> Iterator[Router]:
    """All that reported lately, a page at a time."""
    return _walked(lambda after: tx.routers.list(after=after, limit=PAGE_SIZE_MAX), lambda r: r.report.id, "")


def _all_tokens(tx: Transaction) -> Iterator[tuple[Token, str]]:
    return _walked(lambda after: tx.tokens.hashed(after=after, limit=PAGE_SIZE_MAX), lambda pair: pair[0].id, "")


def _all_members(tx: Transaction) -> Iterator[Member]:
    return _walked(
        lambda after: tx.members.list(after=after, limit=PAGE_SIZE_MAX),
        lambda m: MemberKey(m.project, m.kind, m.member),
        MemberKey("", "", ""),
    )


def _walked(page: Callable[[K], list[T]], place: Callable[[T], K], first: K) -> Iterator[T]:
    """Everything, a page at a time."""
    after = first
    while items := page(after):
        yield from items
        after = place(items[-1])


def _callers(tx: Transaction, now: datetime) -> Iterator[EndpointCaller]:
    """Tokens that may call endpoints somewhere."""
    roles = {role.name: role for role in tx.roles.list()}
    held = _roles_held(_all_members(tx))
    for token, secret_hash in _all_tokens(tx):
        if "invoke" in token.scopes and is_usable(token, now):
            caller = _caller(token, secret_hash, held.get(token.owner, ()), roles)
            if caller.invoke:
                yield caller


def _roles_held(members: Iterable[Member]) -> dict[str, list[tuple[str, str]]]:
    """Project and role by actor; a token's owner belongs to no group."""
    held: dict[str, list[tuple[str, str]]] = {}
    for member in members:
        if member.kind == "actor":
            held.setdefault(member.member, []).append((member.project, member.role))
    return held


def _caller(
    token: Token, secret_hash: str, held: Iterable[tuple[str, str]], roles: Mapping[str, CustomRole]
) -> EndpointCaller:
    custom = {name: frozenset(role.permissions) for name, role in roles.items()}
    grants = narrowed(grants_of(held, custom), limits_of(token.scopes, token.project))

    def where(permission: str) -> tuple[str, ...]:
        return tuple(sorted(project for project, may in grants.items() if permission in may))

    return EndpointCaller(
        token=token.id,
        secret_hash=secret_hash,
        expires_at=token.expires_at,
        name=token.owner,
        kind=token.kind,
        invoke=where("invoke"),
        deploy=where("deploy"),
    )

"""``chopmark endpoint`` and ``chopmark live``: what answers behind which name, and what really does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from chopmark.cli.changes import show_done
from chopmark.cli.command import Group, command
from chopmark.cli.options import (
    cursor_option,
    dry_run_option,
    json_value,
    limit_option,
    option,
    pairs_option,
    pass_session,
    reason_option,
)
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count, pairs, stamp, when
from chopmark.domain.endpoints import Endpoint, LiveVariant, Router
from chopmark.domain.live import LiveEndpoint
from chopmark.domain.traffic import WEIGHT_TOTAL

__all__ = ["endpoint", "live"]

F = TypeVar("F", bound=Callable[..., Any])

_ALL = 100.0

endpoint = Group(
    "endpoint",
    help="Names that callers keep, and the versions that answer behind them.",
    examples="""
    chopmark endpoint create fraud-api fraud@champion
    chopmark endpoint split fraud-api fraud:3=90 fraud:4=10 --reason "a first look"
    chopmark live fraud-api
    """,
)


def _percent(weight: int) -> str:
    return f"{100 * weight / WEIGHT_TOTAL:g} %"


_COLUMNS = (
    Column("ENDPOINT", lambda e: e.ref, whole=True),
    Column("ANSWERS", lambda e: ", ".join(f"{v.version.ref} {_percent(v.weight)}" for v in e.variants)),
    Column("SHADOWS", lambda e: ", ".join(s.version.ref for s in e.shadows)),
    Column("CHANGED (UTC)", lambda e: stamp(e.updated_at), whole=True),
    Column("BY", lambda e: e.updated_by),
)


def _endpoint_argument(*, required: bool = True) -> Callable[[F], F]:
    return click.argument(
        "called",
        metavar="ENDPOINT" if required else "[ENDPOINT]",
        required=required,
        default=None if required else "",
        help="An endpoint: fraud-api, or risk/fraud-api in the project risk.",
    )


def _share(text: str, ctx: click.Context, param: click.Parameter) -> tuple[str, float]:
    """``VERSION`` or ``VERSION=SHARE``."""
    version, sign, share = text.rpartition("=")
    if not sign:
        return text, _ALL
    try:
        return version, float(share.removesuffix("%"))
    except ValueError as error:
        raise click.BadParameter(f"{share!r} is no share in percent.", ctx, param) from error


def _shares(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for version, share in (_share(text, ctx, param) for text in values):
        if version in found:
            raise click.BadParameter(f"{version!r} is given twice.", ctx, param)
        found[version] = share
    return found


def _split_arguments(function: F) -> F:
    for decorate in (
        pairs_option("--name", "What a variant is called, if not stable or candidate.", metavar="VERSION=NAME"),
        option(
            "--shadow",
            "shadows",
            multiple=True,
            metavar="VERSION[=SHARE]",
            callback=_shares,
            help="Gets copies of that share of the requests, and answers nobody; can be given again.",
        ),
        click.argument(
            "split",
            metavar="VERSION[=SHARE]...",
            nargs=-1,
            required=True,
            callback=_shares,
            help="What answers, and its share of the requests in percent: fraud:3=90 fraud:4=10.",
        ),
    ):
        function = decorate(function)
    return function


def _config_option() -> Callable[[F], F]:
    return pairs_option(
        "--config",
        "How requests are taken and run: timeout_ms=500, execution=thread, access=anybody …; can be given again.",
        json_value,
    )


def _show(session: Session, found: Endpoint) -> None:
    facts: list[Fact] = [
        *((v.name, f"{v.version.ref} · {_percent(v.weight)} · {v.version.digest[:19]}") for v in found.variants),
        *(("shadow", f"{s.version.ref} · {_percent(s.weight)} · {s.version.digest[:19]}") for s in found.shadows),
        ("config", pairs(_said(found))),
        ("generation", str(found.generation)),
        ("changed", f"{when(found.updated_at)} by {found.updated_by}"),
        ("about", found.description),
    ]
    session.output.record(found, name=found.ref, title=f"endpoint {found.ref}", facts=facts)


def _said(found: Endpoint) -> dict[str, Any]:
    """What its configuration says that is not said of itself."""
    import msgspec

    said: dict[str, Any] = msgspec.to_builtins(found.config)
    return said


@endpoint.command(
    "create",
    examples="""
    chopmark endpoint create fraud-api fraud@champion
    chopmark endpoint create fraud-api fraud:3=90 fraud:4=10 --shadow fraud:5 --config timeout_ms=500
    """,
)
@_endpoint_argument()
@_split_arguments
@_config_option()
@option("--description", default="", metavar="TEXT", help="What it is for.")
@reason_option()
@dry_run_option()
@pass_session
def create(
    session: Session,
    called: str,
    split: dict[str, float],
    shadows: dict[str, float],
    config: dict[str, Any],
    name: dict[str, str],
    description: str,
    reason: str,
) -> None:
    """Make an endpoint.

    What a reference means now is kept: moving an alias later moves no traffic.
    """
    made = session.registry().endpoints.create(
        called, split, shadows=shadows or None, names=name, config=config, description=description, reason=reason
    )
    _show(session, made)


@endpoint.command(
    "list",
    examples="""
    chopmark endpoint list --in risk
    """,
)
@option("--in", "project", default=None, metavar="PROJECT", help="Only of this project.")
@limit_option()
@cursor_option()
@pass_session
def list_endpoints(session: Session, project: str | None, limit: int, cursor: str) -> None:
    """List endpoints as they are meant to be; 'chopmark live' says what answers."""
    found = session.registry().endpoints.list(project, limit=limit, cursor=cursor)
    session.output.page(found, _COLUMNS, name=lambda e: e.ref, cursor=found.cursor, empty="There are no endpoints.")


@endpoint.command(
    "show",
    examples="""
    chopmark endpoint show fraud-api
    """,
)
@_endpoint_argument()
@pass_session
def show(session: Session, called: str) -> None:
    """Show an endpoint as it is meant to be; 'chopmark live' says what answers."""
    _show(session, session.registry().endpoints.get(called))


@endpoint.command(
    "split",
    examples="""
    chopmark endpoint split fraud-api fraud:3=90 fraud:4=10 --reason "a first look"
    chopmark endpoint split fraud-api fraud:4 --reason "it does better"
    """,
)
@_endpoint_argument()
@_split_arguments
@reason_option()
@dry_run_option()
@pass_session
def split_endpoint(
    session: Session,
    called: str,
    split: dict[str, float],
    shadows: dict[str, float],
    name: dict[str, str],
    reason: str,
) -> None:
    """Say which versions answer from now on, all of them, and which are asked beside them.

    A version that stays keeps its name and, as far as its share allows, its callers.
    """
    changed = session.registry().endpoints.split(called, split, shadows=shadows or None, names=name, reason=reason)
    _show(session, changed)


@endpoint.command(
    "update",
    examples="""
    chopmark endpoint update fraud-api --config timeout_ms=500 --config execution=thread
    chopmark endpoint update fraud-api --config timeout_ms=null --reason "back to what it was"
    """,
)
@_endpoint_argument()
@_config_option()
@option("--description", default=None, metavar="TEXT", help="What it is for.")
@reason_option()
@dry_run_option()
@pass_session
def update(session: Session, called: str, config: dict[str, Any], description: str | None, reason: str) -> None:
    """Change what is said of an endpoint, or how it takes and runs requests."""
    if not config and description is None:
        raise click.UsageError("Give at least one thing to change.")
    changed = session.registry().endpoints.update(called, config=config, description=description, reason=reason)
    _show(session, changed)


@endpoint.command(
    "delete",
    examples="""
    chopmark endpoint delete fraud-api --reason "nobody calls it"
    """,
)
@_endpoint_argument()
@reason_option()
@dry_run_option()
@pass_session
def delete(session: Session, called: str, reason: str) -> None:
    """Remove an endpoint: its name answers no more, and its versions may go."""
    show_done(session, session.registry().endpoints.delete(called, reason=reason))


@endpoint.command(
    "render",
    examples="""
    chopmark endpoint render fraud-api --to k8s --target kubernetes --set image=registry.example/chopmark:1 --set control=https://models.example
    chopmark endpoint render fraud-api --target external
    """,
)
@_endpoint_argument()
@option(
    "--target",
    default="",
    metavar="NAME",
    help="kubernetes, external, or one of a plug-in; the endpoint's own unless given.",
)
@option(
    "--to", "directory", type=click.Path(file_okay=False), help="Directory for the files; standard output unless given."
)
@pairs_option("--set", "What the target takes: image=…, control=https://…, gateway=…, host=…; can be given again.")
@pass_session
def render(session: Session, called: str, target: str, directory: str | None, set: dict[str, str]) -> None:  # noqa: A002
    """Write the files by which a target is told of an endpoint: manifests of Kubernetes, or what others are to serve."""
    files = session.registry().endpoints.render(called, directory, target=target, options=set)
    if session.json:
        session.output.record([file._asdict() for file in files], name="")
        return
    for file in files:
        if directory is None:
            click.echo(("---\n" if len(files) > 1 else "") + file.text, nl=False)
        else:
            click.echo(str(Path(directory) / file.name))


class _Row(NamedTuple):
    endpoint: LiveEndpoint
    variant: LiveVariant


_LIVE = (
    Column("ENDPOINT", lambda r: r.endpoint.endpoint, whole=True),
    Column("VARIANT", lambda r: r.variant.served.variant),
    Column("VERSION", lambda r: r.variant.served.version, whole=True),
    Column("SHARE", lambda r: _percent(r.variant.served.weight), right=True),
    Column("REQUESTS/S", lambda r: f"{r.variant.served.requests_per_s:.1f}", right=True),
    Column("SINCE (UTC)", lambda r: stamp(r.variant.served.since), whole=True),
    Column("STATE", lambda r: r.variant.served.state),
    Column("ROUTERS", lambda r: str(len(r.variant.routers)), right=True),
    Column("GENERATION", lambda r: str(r.variant.served.generation), right=True),
    Column("DIGEST", lambda r: r.variant.served.digest[:19]),
    Column("RUNS", lambda r: r.variant.served.execution),
)

_ROUTERS = (
    Column("ROUTER", lambda r: r.report.id, whole=True),
    Column("WHERE", lambda r: r.report.address),
    Column("SERVES", lambda r: count({s.endpoint for s in r.report.served}, "endpoint")),
    Column("GENERATION", lambda r: str(r.report.mark.generation), right=True),
    Column("SINCE (UTC)", lambda r: stamp(r.report.started_at), whole=True),
    Column("REPORTED (UTC)", lambda r: f"{r.seen_at:%Y-%m-%d %H:%M:%S}", whole=True),
    Column("NOTE", lambda r: r.report.note),
)


@command(
    "live",
    examples="""
    chopmark live
    chopmark live fraud-api --json
    chopmark live --routers
    """,
)
@_endpoint_argument(required=False)
@option("--routers", is_flag=True, help="Who reports, instead: routers that did within an hour.")
@pass_session
def live(session: Session, called: str, routers: bool) -> None:
    """Say what is live, as the routers report it: that is a fact, and not what somebody typed.

    What is not as it was asked for is said beside it: a router that serves an older generation or has fallen silent, a version
    that cannot be loaded, an endpoint that nobody serves.
    """
    if routers and called:
        raise click.UsageError("Routers serve all endpoints: give the one or the other.")
    if routers:
        _show_routers(session)
        return
    found = session.registry().endpoints.live(called)
    if session.json:
        session.output.record(found, name="")
        return
    rows = [_Row(each, variant) for each in found.endpoints for variant in each.variants]
    session.output.page(rows, _LIVE, name=lambda r: r.variant.served.version, empty="Nothing is live.")
    for each in found.endpoints:
        for finding in each.findings:
            note(f"{each.endpoint}: {finding}")


def _show_routers(session: Session) -> None:
    found = session.registry().endpoints.routers(limit=1_000)
    name: Callable[[Router], str] = lambda r: r.report.id  # noqa: E731
    session.output.page(found, _ROUTERS, name=name, cursor=found.cursor, empty="No router reported within an hour.")

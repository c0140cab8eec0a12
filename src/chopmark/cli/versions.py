"""Everyday verbs that find versions."""

from __future__ import annotations

from typing import Literal

import click

from chopmark.cli.command import command
from chopmark.cli.completion_items import complete_model
from chopmark.cli.options import (
    cursor_option,
    deleted_option,
    limit_option,
    model_argument,
    option,
    pass_session,
    reference_argument,
)
from chopmark.cli.output import note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.version_view import VERSION_COLUMNS, version_facts, version_line
from chopmark.domain.versions import Version
from chopmark.sdk.results import Page, words_about_unknown

__all__ = ["best", "get", "list_versions", "search", "uses"]


def _show(session: Session, version: Version) -> None:
    session.output.record(version, name=version.ref, title=version_line(version), facts=version_facts(version))


@command(
    "get",
    examples="""
    chopmark get fraud                      the latest version
    chopmark get fraud@champion --json
    chopmark get fraud#production -q        only its reference
    """,
)
@reference_argument()
@deleted_option("Find a soft-deleted version too, by number, SemVer or digest.")
@pass_session
def get(session: Session, ref: str, deleted: bool) -> None:
    """Show the version a reference means."""
    _show(session, session.registry().versions.get(ref, deleted=deleted))


@command(
    "list",
    examples="""
    chopmark list
    chopmark list fraud --limit 10
    chopmark list fraud --json | jq '.items[].semver'
    """,
)
@model_argument(required=False, text="Only versions of this model.")
@deleted_option("List the soft-deleted ones instead.")
@limit_option()
@cursor_option()
@pass_session
def list_versions(session: Session, model: str | None, deleted: bool, limit: int, cursor: str) -> None:
    """List versions, newest first.

    Without a model, those of all models (of the project, when one was chosen).
    """
    _print_page(session, _search(session, "", "", model, deleted, limit, cursor))


@command(
    "search",
    examples="""
    chopmark search 'metrics.roc_auc >= 0.9 and tags.team = "risk"'
    chopmark search 'stage = "production" order by metrics.f1 desc' --model fraud
    chopmark search 'name ~ "fraud" and not tags.approved' -q
    chopmark search --text 'isolation forest'
    """,
)
@click.argument("where", metavar="FILTER", default="", help="Conditions on fields, and an order.")
@option("--text", default="", metavar="WORDS", help="Only with these words in name, description, tags, card.")
@option("--model", metavar="MODEL", shell_complete=complete_model, help="Only versions of this model.")
@deleted_option("Search the soft-deleted ones instead.")
@limit_option()
@cursor_option()
@pass_session
def search(session: Session, where: str, text: str, model: str | None, deleted: bool, limit: int, cursor: str) -> None:
    """Find versions that meet a filter.

    Fields: name, project, number, semver, stage, alias, format, framework, kind, task, owner,
    team, created_at, …, and metrics.KEY, params.KEY, tags.KEY. Operators: = != < <= > >= ~
    (contains), in (…), like, and, or, not. A field alone asks whether it is there. Words:
    text ~ "isolation fore*", or --text.
    """
    _print_page(session, _search(session, where, text, model, deleted, limit, cursor))


def _search(
    session: Session, where: str, text: str, model: str | None, deleted: bool, limit: int, cursor: str
) -> Page[Version]:
    project = session.chosen_project() if model is None else None
    return session.registry().versions.search(
        where, text=text, model=model, project=project, deleted=deleted, limit=limit, cursor=cursor
    )


def _print_page(session: Session, page: Page[Version]) -> None:
    more = {"unknown": page.unknown} if page.unknown else None
    session.output.page(
        page, VERSION_COLUMNS, name=lambda v: v.ref, cursor=page.cursor, empty="No versions found.", more=more
    )
    for key, near in page.unknown.items():
        note(words_about_unknown(key, near))


@command(
    "best",
    examples="""
    chopmark best fraud roc_auc
    chopmark best fraud latency_ms --where 'metrics.recall >= 0.8'
    chopmark best fraud roc_auc --limit 5    the best five, best first
    """,
)
@model_argument()
@click.argument("metric", help="Name of a metric.")
@option("--where", default="", metavar="FILTER", help="What the version must meet as well.")
@option("--minimize", "direction", flag_value="minimize", default=None, help="Low values are good.")
@option("--maximize", "direction", flag_value="maximize", help="High values are good.")
@option("--limit", type=click.IntRange(1, 1000), metavar="N", help="List so many, best first.")
@pass_session
def best(
    session: Session,
    model: str,
    metric: str,
    where: str,
    direction: Literal["minimize", "maximize"] | None,
    limit: int | None,
) -> None:
    """Show the version of a model with the best value of a metric.

    By default the name of the metric tells which way is better: low for losses, errors, latencies and costs,
    high for all others.
    """
    versions = session.registry().versions
    if limit is None:
        _show(session, versions.best(model, metric, where=where, direction=direction))
    else:
        _print_page(session, versions.best(model, metric, where=where, direction=direction, limit=limit))


@command(
    "uses",
    examples="""
    chopmark uses fraud:3
    """,
)
@reference_argument()
@pass_session
def uses(session: Session, ref: str) -> None:
    """Say who uses a version: what stands in the way of deleting it."""
    found = session.registry().versions.uses(ref)
    if not found and not session.json:
        note(f"Nobody uses {ref}.")
        return
    session.output.page(found, [Column("USED BY", str)], name=str)

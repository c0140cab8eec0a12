"""``chopmark model``: registered names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chopmark.cli.changes import confirm_purge, show_done
from chopmark.cli.command import Group
from chopmark.cli.describing import read_text
from chopmark.cli.keeping_rules import retention_of, retention_options, retention_words
from chopmark.cli.options import (
    cursor_option,
    deleted_option,
    dry_run_option,
    force_option,
    limit_option,
    model_argument,
    option,
    pairs_option,
    pass_session,
    reason_option,
    yes_option,
)
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import pairs, when
from chopmark.domain.versions import Model

__all__ = ["model"]

model = Group(
    "model",
    help="Registered names: what a model is, who owns it, what is said about it.",
    examples="""
    chopmark model list
    chopmark model get fraud
    """,
)

_COLUMNS = (
    Column("MODEL", lambda m: m.ref, whole=True),
    Column("KIND", lambda m: m.kind if m.deleted_at is None else "(deleted)"),
    Column("LAST", lambda m: str(m.last_number or ""), right=True),
    Column("TASK", lambda m: m.task),
    Column("OWNER", lambda m: m.owner),
    Column("TEAM", lambda m: m.team),
    Column("TAGS", lambda m: pairs(m.tags)),
    Column("DESCRIPTION", lambda m: m.description),
)

_CARD_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _facts(found: Model) -> list[Fact]:
    return [
        ("kind", found.kind),
        ("description", found.description),
        ("deleted", when(found.deleted_at)),
        ("last version", f"{found.ref}:{found.last_number}" if found.last_number else "none yet"),
        ("task", found.task),
        ("owner", found.owner),
        ("team", found.team),
        ("tags", pairs(found.tags)),
        ("retention", retention_words(found.retention)),
        ("made", f"{when(found.created_at)} by {found.created_by}"),
        ("card", found.card),
    ]


def _show(session: Session, found: Model) -> None:
    session.output.record(found, name=found.ref, facts=_facts(found))


def _about(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say something about a model."""
    for decorate in reversed(
        (
            option("--task", metavar="TEXT", default=None, help="What it is for: classification, ranking …"),
            option("--owner", metavar="NAME", default=None, help="Who answers for it."),
            option("--team", metavar="NAME", default=None, help="Whose it is."),
            option("--description", metavar="TEXT", default=None, help="What people read first."),
            option("--card", metavar="FILE", type=_CARD_FILE, help="Text (Markdown) of the model card."),
            pairs_option("--tag", "A tag; can be given again."),
        )
    ):
        function = decorate(function)
    return function


def _texts(about: dict[str, Any]) -> dict[str, Any]:
    card: Path | None = about.pop("card")
    given = {name: text for name, text in about.items() if text is not None}
    return given if card is None else {**given, "card": read_text(card)}


@model.command(
    "create",
    examples="""
    chopmark model create fraud --owner ana --team risk --task classification
    """,
)
@model_argument(text="Its name: fraud, or risk/fraud in the project risk.")
@option(
    "--kind",
    type=click.Choice(["artifact", "llm_config", "ensemble", "external"]),
    default="artifact",
    help="What its versions are.  [artifact]",
)
@_about
@dry_run_option()
@pass_session
def create(session: Session, /, model: str, kind: Any, tag: dict[str, str], **about: Any) -> None:
    """Make a model before it has a version; registering makes one as well."""
    registry = session.registry(create=True)
    _show(session, registry.models.create(model, kind=kind, tags=tag, **_texts(about)))


@model.command(
    "get",
    examples="""
    chopmark model get fraud --json
    """,
)
@model_argument()
@deleted_option("Find a soft-deleted one too.")
@pass_session
def get(session: Session, model: str, deleted: bool) -> None:
    """Show a model."""
    _show(session, session.registry().models.get(model, deleted=deleted))


@model.command(
    "list",
    examples="""
    chopmark model list
    chopmark model list --contains fraud -q
    chopmark model list --text 'card risk*'
    """,
)
@option("--contains", default="", metavar="TEXT", help="Only names with this in them.")
@option(
    "--text", default="", metavar="WORDS", help="Only with these words in name, description, tags, owner, team, card."
)
@deleted_option("List the soft-deleted ones too.")
@limit_option()
@cursor_option()
@pass_session
def list_models(session: Session, contains: str, text: str, deleted: bool, limit: int, cursor: str) -> None:
    """List models by project and name (of the project, when one was chosen)."""
    page = session.registry().models.list(
        project=session.chosen_project(), contains=contains, text=text, deleted=deleted, limit=limit, cursor=cursor
    )
    session.output.page(page, _COLUMNS, name=lambda m: m.ref, cursor=page.cursor, empty="No models found.")


@model.command(
    "update",
    examples="""
    chopmark model update fraud --owner ben --tag tier=1
    chopmark model update fraud --keep-newest 10 --keep-used-days 90
    chopmark model update fraud --card MODEL_CARD.md --reason "yearly review"
    """,
)
@model_argument()
@_about
@option("--remove-tag", metavar="KEY", multiple=True, help="Remove a tag; can be given again.")
@retention_options("Leave it to the project which versions are kept.")
@reason_option()
@dry_run_option()
@pass_session
def update(
    session: Session, /, model: str, tag: dict[str, str], remove_tag: tuple[str, ...], reason: str, **about: Any
) -> None:
    """Change what is said about a model; what is not given stays."""
    given, retention = retention_of(about)
    texts = _texts(about)
    if given:
        texts["retention"] = retention
    if not (texts or tag or remove_tag):
        raise click.UsageError("Give at least one thing to change.")
    changed = session.registry().models.update(model, tags=tag, remove_tags=remove_tag, reason=reason, **texts)
    _show(session, changed)


@model.command(
    "delete",
    examples="""
    chopmark model delete fraud --dry-run
    chopmark model delete fraud --reason "never used"
    """,
)
@model_argument()
@reason_option()
@force_option("Delete it although a version is used; needs a reason.")
@dry_run_option()
@pass_session
def delete(session: Session, model: str, reason: str, force: bool) -> None:
    """Soft-delete a model with its versions; it can be restored.

    Refused while one of its versions is in production or canary, aliased, or needed by another model's version.
    """
    _show(session, session.registry().models.delete(model, reason=reason, force=force))


@model.command(
    "restore",
    examples="""
    chopmark model restore fraud
    """,
)
@model_argument(text="A soft-deleted model.")
@reason_option()
@dry_run_option()
@pass_session
def restore(session: Session, model: str, reason: str) -> None:
    """Bring a soft-deleted model back with its versions."""
    _show(session, session.registry().models.restore(model, reason=reason))


@model.command(
    "purge",
    examples="""
    chopmark model purge fraud --reason "end of contract" --dry-run
    chopmark model purge fraud --reason "end of contract" --yes
    """,
)
@model_argument(text="A soft-deleted model.")
@reason_option(required=True)
@force_option("Purge it although a version is needed by another model's.")
@dry_run_option()
@yes_option()
@pass_session
def purge(session: Session, model: str, reason: str, force: bool, yes: bool) -> None:
    """Remove a soft-deleted model and its versions for good.

    The audit keeps what they were. Without --yes it asks, and where there is no terminal to ask at, it refuses.
    """
    registry = session.registry()
    found = registry.models.get(model, deleted=True)
    if not session.dry_run:
        # Nobody is asked about what would be refused.
        registry.dry_run().models.purge(found, reason=reason, force=force)
        confirm_purge(f"{found.ref} with its versions (last number {found.last_number})", yes=yes)
    show_done(session, registry.models.purge(found, reason=reason, force=force))

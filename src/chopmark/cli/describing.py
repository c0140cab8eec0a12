"""What is said of a version after its registration: tags, description, card, annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chopmark.cli.command import command
from chopmark.cli.options import (
    dry_run_option,
    json_value,
    mapping,
    option,
    pass_session,
    reason_option,
    reference_argument,
)
from chopmark.cli.session import Session
from chopmark.cli.version_view import version_line
from chopmark.cli.words import pairs
from chopmark.domain.versions import Version

__all__ = ["annotate", "describe", "tag"]


def _texts(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    return mapping(values, str, ctx, param)


def _json(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    return mapping(values, json_value, ctx, param)


def _show(session: Session, version: Version, what: str, text: str) -> None:
    session.output.record(version, name=version.ref, title=version_line(version), facts=[(what, text or "none")])


@command(
    "tag",
    examples="""
    chopmark tag fraud:4 team=risk feature_set=v2
    chopmark tag fraud:4 --remove feature_set
    """,
)
@reference_argument()
@click.argument("tags", metavar="[KEY=VALUE]...", nargs=-1, callback=_texts, help="Tags to set.")
@option("--remove", metavar="KEY", multiple=True, help="Remove a tag; can be given again.")
@reason_option()
@dry_run_option()
@pass_session
def tag(session: Session, ref: str, tags: dict[str, str], remove: tuple[str, ...], reason: str) -> None:
    """Set or remove tags of a version; the others stay."""
    if not tags and not remove:
        raise click.UsageError("Give KEY=VALUE to set a tag, or --remove KEY.")
    changed = session.registry().versions.update(ref, tags=tags, remove_tags=remove, reason=reason)
    _show(session, changed, "tags", pairs(changed.tags))


@command(
    "describe",
    examples="""
    chopmark describe fraud:4 "Trained without the holiday week."
    chopmark describe fraud:4 --card MODEL_CARD.md
    """,
)
@reference_argument()
@click.argument("text", metavar="[TEXT]", required=False, help="The description; '' removes it.")
@option(
    "--card",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text (Markdown) of the model card.",
)
@reason_option()
@dry_run_option()
@pass_session
def describe(session: Session, ref: str, text: str | None, card: Path | None, reason: str) -> None:
    """Set the description or the card of a version."""
    if text is None and card is None:
        raise click.UsageError("Give a TEXT, or --card FILE.")
    card_text = None if card is None else read_text(card)
    changed = session.registry().versions.update(ref, description=text, card=card_text, reason=reason)
    _show(session, changed, "description", changed.description)


def read_text(file: Path) -> str:
    """Text of a file.

    Raises
    ------
    click.UsageError
        When it is not text in UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        msg = f"{file} is not text in UTF-8."
        raise click.UsageError(msg) from error


@command(
    "annotate",
    examples="""
    chopmark annotate fraud:4 reviewed=true 'limits={"amount": 5000}'
    chopmark annotate fraud:4 --remove reviewed
    """,
)
@reference_argument()
@click.argument("annotations", metavar="[KEY=JSON]...", nargs=-1, callback=_json, help="Values as JSON, or text.")
@option("--remove", metavar="KEY", multiple=True, help="Remove an annotation; can be given again.")
@reason_option()
@dry_run_option()
@pass_session
def annotate(session: Session, ref: str, annotations: dict[str, Any], remove: tuple[str, ...], reason: str) -> None:
    """Set or remove annotations of a version: free JSON values beside its tags."""
    if not annotations and not remove:
        raise click.UsageError("Give KEY=JSON to set an annotation, or --remove KEY.")
    wanted = {**annotations, **dict.fromkeys(remove)}
    changed = session.registry().versions.update(ref, annotations=wanted, reason=reason)
    _show(session, changed, "annotations", pairs(changed.annotations))

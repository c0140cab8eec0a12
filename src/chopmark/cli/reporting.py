"""A version's story, written or printed."""

from __future__ import annotations

from pathlib import Path

import click

from chopmark.cli.command import command
from chopmark.cli.options import option, pass_session, reference_argument
from chopmark.cli.session import Session
from chopmark.cli.words import plain

__all__ = ["report"]


@command(
    "report",
    examples="""
    chopmark report fraud@champion -o fraud.html
    chopmark report fraud:4 --format markdown
    chopmark report fraud:4 --format card -o README.md
    """,
)
@reference_argument()
@option(
    "--format",
    "form",
    type=click.Choice(["html", "htm", "markdown", "md", "json", "card"]),
    default=None,
    help="What to write; card is a model card for Hugging Face.  [by the file's suffix; markdown without a file]",
)
@option(
    "--output",
    "-o",
    metavar="FILE",
    default=None,
    type=click.Path(path_type=Path),
    help="Write into this file, .html, .md or .json, instead of printing.",
)
@pass_session
def report(session: Session, ref: str, form: str | None, output: Path | None) -> None:
    """Write a version's whole story, or its model card.

    Identity, metrics and evaluations with plots, parameters, data, lineage, stage and alias moves,
    files, trust, users and audit. The HTML page is one file that needs nothing else.
    """
    if form is None and output is None:
        form = "json" if session.json else "markdown"
    text = session.registry().versions.report(ref, form or "", output)
    if output is None:
        # Texts of strangers must not steer a terminal; JSON escapes them itself.
        click.echo(text if form == "json" else plain(text), nl=False)
    else:
        session.output.text(str(output), record={"path": str(output), "size_bytes": output.stat().st_size})

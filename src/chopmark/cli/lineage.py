"""``chopmark lineage``, ``impact``, ``link`` and ``unlink``: where versions come from and what comes from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from chopmark.cli.changes import show_done
from chopmark.cli.command import command
from chopmark.cli.completion_items import complete_reference
from chopmark.cli.options import dry_run_option, option, pass_session, reason_option, reference_argument
from chopmark.cli.output import note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count

if TYPE_CHECKING:
    from chopmark.domain.lineage_graph import Impact
    from chopmark.sdk.lineage import LineageView

__all__ = ["impact", "lineage", "link", "unlink"]

_THING = "A version (fraud:4, fraud@champion …), dataset:NAME, dataset:sha256:… or run:ID."
_FORMATS = ("tree", "svg", "json", "openlineage")
_SUFFIXES = {".txt": "tree", ".svg": "svg", ".json": "json", ".jsonl": "openlineage", ".ndjson": "openlineage"}


@command(
    "lineage",
    examples="""
    chopmark lineage fraud@champion
    chopmark lineage fraud:4 --up --depth 2
    chopmark lineage dataset:transactions --down
    chopmark lineage fraud:4 -o lineage.svg
    chopmark lineage fraud:4 --format openlineage    one event a line
    """,
)
@reference_argument(text=_THING)
@option("--up", "direction", flag_value="up", help="Only what it comes from.")
@option("--down", "direction", flag_value="down", help="Only what comes from it.")
@option("--depth", type=int, default=None, metavar="N", help="Only so many steps away.  [to the end]")
@option("--limit", type=int, default=1_000, metavar="N", help="Most edges, the nearest first.  [1000]")
@option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default=None,
    help="How it is written.  [tree, or by the suffix of the file]",
)
@option(
    "--output",
    "-o",
    metavar="FILE",
    default=None,
    type=click.Path(path_type=Path),
    help="Write it into a file: .svg, .json, .jsonl (OpenLineage) or .txt.",
)
@pass_session
def lineage(
    session: Session,
    ref: str,
    direction: Literal["up", "down"] | None,
    depth: int | None,
    limit: int,
    form: str | None,
    output: Path | None,
) -> None:
    """Draw where a version comes from, and what comes from it.

    Versions that were only evaluated on a data set do not come from it: such edges are shown, and
    not followed. Quiet, only the names of versions are printed.
    """
    chosen = form or _form_of(output)
    found = session.registry().lineage.graph(ref, direction=direction or "both", depth=depth, limit=limit)
    if output is not None:
        _write(session, output, _rendered(found, chosen), found)
    elif session.quiet and not session.json:
        for node in found.nodes:
            if node.kind == "version":
                click.echo(node.label)
    elif session.json or chosen == "tree":
        session.output.text(found.to_text(), record=found)
    else:
        click.echo(_rendered(found, chosen), nl=False)
    if found.truncated and not session.json:
        note(f"There are more edges than the limit of {limit:,}: repeat with a larger --limit, or with a --depth.")


@command(
    "impact",
    examples="""
    chopmark impact dataset:transactions
    chopmark impact fraud:1 --json
    chopmark impact run:8f14e45f -q       only the versions
    """,
)
@reference_argument("of", _THING)
@pass_session
def impact(session: Session, of: str) -> None:
    """Say what is affected when a data set, a run or a version turns out to be bad.

    Versions in production or canary, or with an alias, come first. Versions that were only
    evaluated on a data set are named apart: their metrics are in doubt, they themselves are not.
    """
    found = session.registry().lineage.impact(of)
    if session.json:
        session.output.record(found, name="")
        return
    session.output.page(found.affected, _AFFECTED, name=lambda a: a.node.label, empty=f"Nothing comes from {of}.")
    _comment(found)


_AFFECTED = (
    Column("VERSION", lambda a: a.node.label, whole=True),
    Column("STAGE", lambda a: "deleted" if a.node.deleted else a.node.stage),
    Column("ALIASES", lambda a: " ".join(f"@{alias}" for alias in a.node.aliases)),
    Column("STEPS", lambda a: str(a.depth), right=True),
    Column("BECAUSE", lambda a: f"{a.relation} {a.via}"),
)


def _comment(found: Impact) -> None:
    if found.affected:
        note(f"{count(len(found.affected), 'version')}, {len(found.live):,} of them live.")
    if found.evaluated:
        names = ", ".join(node.label for node in found.evaluated[:10])
        more = f" and {len(found.evaluated) - 10:,} more" if len(found.evaluated) > 10 else ""  # noqa: PLR2004 - as many as above
        note(f"Only evaluated on it: {names}{more}.")
    if found.truncated:
        note("There are more than are looked for; ask about one of these versions to go on.")


@command(
    "link",
    examples="""
    chopmark link fraud:4 derived_from fraud:2 --reason "began as a copy"
    chopmark link fraud:4 replaces fraud:3 --reason "same callers"
    chopmark link fraud:4 trained_on dataset:transactions --reason "forgotten at registration"
    """,
)
@reference_argument("source", "A version.")
@click.argument(
    "relation",
    metavar="RELATION",
    help="trained_on, evaluated_on, produced_by, derived_from, retrained_from, fine_tuned_from, ensemble_member_of "
    "or replaces.",
)
@click.argument("target", metavar="TARGET", help=_THING, shell_complete=complete_reference)
@reason_option(required=True)
@dry_run_option()
@pass_session
def link(session: Session, source: str, relation: str, target: str, reason: str) -> None:
    """Add an edge to the lineage that was not recorded.

    A link by which something would come from itself is refused.
    """
    made = session.registry().lineage.link(source, relation, target, reason=reason)
    title = f"{made.source.label} {made.relation} {made.target.label}"
    session.output.record(made, name=made.source.label, title=title)


@command(
    "unlink",
    examples="""
    chopmark unlink fraud:4 derived_from fraud:2 --reason "it was fraud:3"
    """,
)
@reference_argument("source", "A version.")
@click.argument("relation", metavar="RELATION", help="As it was linked.")
@click.argument("target", metavar="TARGET", help=_THING, shell_complete=complete_reference)
@reason_option(required=True)
@dry_run_option()
@pass_session
def unlink(session: Session, source: str, relation: str, target: str, reason: str) -> None:
    """Take back an edge that was linked.

    What a registration or an evaluation recorded stays.
    """
    show_done(session, session.registry().lineage.unlink(source, relation, target, reason=reason))


def _form_of(output: Path | None) -> str:
    if output is None:
        return "tree"
    form = _SUFFIXES.get(output.suffix.lower())
    if form is None:
        msg = f"What to write into {str(output)!r} cannot be told from its name; give a --format."
        raise click.UsageError(msg)
    return form


def _rendered(found: LineageView, form: str) -> str:
    from chopmark.base.jsons import encode

    match form:
        case "svg":
            return found.to_svg() + "\n"
        case "json":
            return found.to_json() + "\n"
        case "openlineage":
            return "".join(encode(event).decode() + "\n" for event in found.to_openlineage())
        case _:
            return found.to_text() + "\n"


def _write(session: Session, path: Path, text: str, found: LineageView) -> None:
    from chopmark.sdk.reporting import write_text

    write_text(path, text)
    session.output.text(str(path), record={"path": str(path), "nodes": len(found.nodes), "edges": len(found.edges)})

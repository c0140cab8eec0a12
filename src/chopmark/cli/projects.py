"""``chopmark project``: namespaces and what they ask of their versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from chopmark.cli.command import Group
from chopmark.cli.completion_items import complete_project
from chopmark.cli.keeping_rules import retention_of, retention_options, retention_words
from chopmark.cli.options import cursor_option, dry_run_option, limit_option, option, pass_session, reason_option
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import stamp, when
from chopmark.domain.versions import Project, ProjectRules

__all__ = ["project"]

project = Group(
    "project",
    help="Namespaces of models, and what they ask of versions.",
    examples="""
    chopmark project create risk --require-field owner --require-tag team
    chopmark project configure risk --one-production
    """,
)


def _rules_words(rules: ProjectRules) -> list[Fact]:
    return [
        ("required fields", ", ".join(rules.required_fields)),
        ("required tags", ", ".join(rules.required_tags)),
        ("required metrics", ", ".join(rules.required_metrics)),
        ("production", "one version of a model" if rules.one_production_version else ""),
        ("retention", retention_words(rules.retention)),
    ]


_COLUMNS = (
    Column("PROJECT", lambda p: p.name, whole=True),
    Column("RULES", lambda p: "; ".join(f"{what}: {fact}" for what, fact in _rules_words(p.rules) if fact)),
    Column("DESCRIPTION", lambda p: p.description),
    Column("MADE (UTC)", lambda p: stamp(p.created_at), whole=True),
)


def _show(session: Session, found: Project) -> None:
    facts: list[Fact] = [
        ("description", found.description),
        *_rules_words(found.rules),
        ("made", f"{when(found.created_at)} by {found.created_by}"),
    ]
    session.output.record(found, name=found.name, facts=facts)


def _rule_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what a project asks of its versions."""
    for decorate in reversed(
        (
            option(
                "--require-field",
                "fields",
                multiple=True,
                metavar="FIELD",
                help="A field that must not be empty: owner, team, datasets, signature, git …; can be given again.",
            ),
            option("--require-tag", "tags", multiple=True, metavar="KEY", help="A tag that must be there."),
            option("--require-metric", "metrics", multiple=True, metavar="NAME", help="A metric that must be there."),
            option(
                "--one-production/--many-production",
                "one_production",
                default=None,
                help="Whether a model may have only one version in production.",
            ),
            retention_options("Keep all versions of models that say nothing themselves."),
        )
    ):
        function = decorate(function)
    return function


def _merged(old: ProjectRules, rules: dict[str, Any]) -> ProjectRules:
    one = rules["one_production"]
    given, retention = retention_of(rules)
    return ProjectRules(
        retention=retention if given else old.retention,
        required_fields=tuple(dict.fromkeys((*old.required_fields, *rules["fields"]))),
        required_tags=tuple(dict.fromkeys((*old.required_tags, *rules["tags"]))),
        required_metrics=tuple(dict.fromkeys((*old.required_metrics, *rules["metrics"]))),
        one_production_version=old.one_production_version if one is None else one,
    )


def _name_argument(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.argument("name", help=text, shell_complete=complete_project)


@project.command(
    "create",
    examples="""
    chopmark project create risk --require-field owner --require-tag team
    """,
)
@_name_argument("Its name.")
@option("--description", default="", metavar="TEXT", help="What it is for.")
@_rule_options
@dry_run_option()
@pass_session
def create(session: Session, /, name: str, description: str, **rules: Any) -> None:
    """Make a project."""
    registry = session.registry(create=True)
    _show(session, registry.projects.create(name, description=description, rules=_merged(ProjectRules(), rules)))


@project.command(
    "get",
    examples="""
    chopmark project get risk
    """,
)
@_name_argument("A project.")
@pass_session
def get(session: Session, name: str) -> None:
    """Show a project and its rules."""
    _show(session, session.registry().projects.get(name))


@project.command(
    "list",
    examples="""
    chopmark project list
    """,
)
@limit_option()
@cursor_option()
@pass_session
def list_projects(session: Session, limit: int, cursor: str) -> None:
    """List projects by name."""
    page = session.registry().projects.list(limit=limit, cursor=cursor)
    session.output.page(page, _COLUMNS, name=lambda p: p.name, cursor=page.cursor, empty="No projects yet.")


@project.command(
    "configure",
    examples="""
    chopmark project configure risk --require-metric roc_auc
    chopmark project configure risk --reset --require-field owner --reason "fewer rules"
    """,
)
@_name_argument("A project.")
@option("--description", default=None, metavar="TEXT", help="What it is for.")
@_rule_options
@option("--reset", is_flag=True, help="Start from no rules; otherwise rules are added to those there are.")
@reason_option()
@dry_run_option()
@pass_session
def configure(session: Session, /, name: str, description: str | None, reset: bool, reason: str, **rules: Any) -> None:
    """Change what a project asks of its versions.

    Rules are asked when a version is registered or enters production; versions that are there
    already stay as they are.
    """
    given = reset or any(v not in (None, False, ()) for k, v in rules.items() if k != "one_production")
    given = given or rules["one_production"] is not None
    if not given and description is None:
        raise click.UsageError("Give at least one thing to change.")
    registry = session.registry()
    wanted = None
    if given:
        wanted = _merged(ProjectRules() if reset else registry.projects.get(name).rules, rules)
    _show(session, registry.projects.configure(name, description=description, rules=wanted, reason=reason))

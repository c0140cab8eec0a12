"""Projects and their rules."""

from __future__ import annotations

from msgspec import UNSET, structs

from chopmark.app.context import Context, the_project
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.names import check_name, check_text
from chopmark.domain.policy import check_rules
from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.domain.versions import Project
from chopmark.errors import Conflict, NotFound
from chopmark.ops import requests as q
from chopmark.ops.results import ProjectPage

__all__ = ["configure", "create", "get", "list_page"]


def create(ctx: Context, request: q.CreateProject) -> Project:
    """Make a project."""
    check_name(request.name, "project")
    check_text(request.description, "description")
    check_rules(request.rules)
    if ctx.tx.projects.get(request.name) is not None:
        msg = f"There is a project {request.name!r} already."
        raise Conflict(msg, hint=f"Change its rules with: chopmark project configure {request.name}")
    project = Project(
        id=ctx.new_id(),
        name=request.name,
        description=request.description,
        rules=request.rules,
        created_at=ctx.now,
        created_by=ctx.actor.name,
    )
    ctx.tx.projects.insert(project)
    ctx.emit(project.name, rules=structs.asdict(project.rules))
    return project


def get(ctx: Context, request: q.GetProject) -> Project:
    """Look up a project; ``default`` exists as soon as something is written to it."""
    project = ctx.tx.projects.get(check_name(request.name, "project"))
    if project is None:
        msg = f"There is no project {request.name!r}."
        hint = (
            "It appears with the first registration."
            if request.name == DEFAULT_PROJECT
            else f"Make it with: chopmark project create {request.name}"
        )
        raise NotFound(msg, hint=hint)
    return project


def list_page(ctx: Context, request: q.ListProjects) -> ProjectPage:
    """A page of projects by name."""
    limit = check_limit(request.limit)
    after = decode_cursor(request.cursor, b"projects")[0] if request.cursor else ""
    items = ctx.tx.projects.list(after=after, limit=limit + 1)
    more = len(items) > limit
    items = items[:limit]
    return ProjectPage(items=items, cursor=encode_cursor([items[-1].name], b"projects") if more else "")


def configure(ctx: Context, request: q.ConfigureProject) -> Project:
    """Change description or rules."""
    project = the_project(ctx, check_name(request.name, "project"))
    changed = project
    if request.description is not UNSET:
        check_text(request.description, "description")
        changed = structs.replace(changed, description=request.description)
    if request.rules is not UNSET:
        check_rules(request.rules)
        changed = structs.replace(changed, rules=request.rules)
    if changed == project:
        return project
    ctx.tx.projects.update(changed)
    ctx.emit(
        project.name,
        reason=request.reason,
        before=structs.asdict(project.rules),
        after=structs.asdict(changed.rules),
    )
    return changed

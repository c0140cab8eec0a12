"""``registry.projects``: namespaces and what they ask of their versions."""

from __future__ import annotations

from msgspec import UNSET

from chopmark.domain.versions import Project, ProjectRules
from chopmark.ops import requests as q
from chopmark.ops.results import ProjectPage
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Surface

__all__ = ["Projects"]


class Projects(Surface):
    """Verbs about projects."""

    def create(self, name: str, *, description: str = "", rules: ProjectRules | None = None) -> Project:
        """Make a project.

        Raises
        ------
        Conflict
            When the name is taken.
        """
        request = q.CreateProject(name=name, description=description, rules=rules or ProjectRules())
        made: Project = self._call(request)
        return made

    def get(self, name: str) -> Project:
        """The project of that name."""
        found: Project = self._call(q.GetProject(name=name))
        return found

    def list(self, *, limit: int = 50, cursor: str = "") -> Page[Project]:
        """Projects by name, a page at a time."""
        page: ProjectPage = self._call(q.ListProjects(limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def configure(
        self,
        name: str,
        *,
        description: str | None = None,
        rules: ProjectRules | None = None,
        reason: str = "",
    ) -> Project:
        """Change description or rules; rules are replaced as a whole."""
        request = q.ConfigureProject(
            name=name,
            description=UNSET if description is None else description,
            rules=UNSET if rules is None else rules,
            reason=reason,
        )
        changed: Project = self._call(request)
        return changed

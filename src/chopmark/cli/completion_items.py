"""What the shell may offer for a word: names that are in the registry, a bounded number of them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from chopmark.cli.session import Session

if TYPE_CHECKING:
    from chopmark.sdk.registry import Registry

__all__ = ["complete_alias", "complete_model", "complete_project", "complete_reference", "complete_stage"]

OFFERED_MAX = 50
_WAIT_S = 1.0

Items = list[CompletionItem[str]]


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Models whose name starts so."""
    return _offered(ctx, lambda registry: _models(registry, incomplete))


def complete_project(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Projects whose name starts so."""

    def find(registry: Registry) -> list[str]:
        return [p.name for p in registry.projects.list(limit=500) if p.name.startswith(incomplete)]

    return _offered(ctx, find)


def complete_alias(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Models, and after ``@`` the aliases of one."""
    return _offered(ctx, lambda registry: _aliases(registry, incomplete))


def complete_reference(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Models; after ``:`` numbers, after ``@`` aliases, after ``#`` stages."""
    return _offered(ctx, lambda registry: _references(registry, incomplete))


def complete_stage(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """Stages that a version can be promoted to."""
    from chopmark.domain.lifecycle import STAGES

    return [CompletionItem(s) for s in STAGES if s.startswith(incomplete) and s not in ("deprecated", "archived")]


def _models(registry: Registry, incomplete: str) -> list[str]:
    project, slash, start = incomplete.rpartition("/")
    found = registry.models.list(project=project if slash else None, contains=start, limit=500)
    own = registry.settings.project
    names = [m.name if m.project == own and not slash else f"{m.project}/{m.name}" for m in found]
    return [n for n in names if n.startswith(incomplete)]


def _aliases(registry: Registry, incomplete: str) -> list[str]:
    model, at, start = incomplete.partition("@")
    if not at:
        return [f"{name}@" for name in _models(registry, incomplete)]
    return [f"{model}@{a.name}" for a in registry.aliases.list(model) if a.name.startswith(start)]


def _references(registry: Registry, incomplete: str) -> list[str]:
    end = next((i for i, c in enumerate(incomplete) if c in ":@#"), len(incomplete))
    model, sign, start = incomplete[:end], incomplete[end : end + 1], incomplete[end + 1 :]
    match sign:
        case "":
            return _models(registry, incomplete)
        case "@":
            return _aliases(registry, incomplete)
        case "#":
            from chopmark.domain.lifecycle import STAGES

            return [f"{model}#{s}" for s in STAGES if s.startswith(start)]
        case _:
            numbers = [v.number for v in registry.versions.list(model, limit=OFFERED_MAX)]
            return [f"{model}:{n}" for n in numbers if str(n).startswith(start)]


def _offered(ctx: click.Context, find: Callable[[Registry], list[str]]) -> Items:
    with _quiet_registry(ctx) as registry:
        if registry is None:
            return []
        try:
            return [CompletionItem(text) for text in find(registry)[:OFFERED_MAX]]
        except Exception:  # noqa: BLE001 - somebody is typing: no error may appear in the middle of their line
            return []


@contextlib.contextmanager
def _quiet_registry(ctx: click.Context) -> Iterator[Registry | None]:
    """The registry when there is one and it answers soon; nothing is made, nothing is said."""
    session = ctx.ensure_object(Session)
    limits = {"lock_timeout_s": _WAIT_S, "connect_timeout_s": _WAIT_S, "retry_for_s": 0, "progress": "never"}
    session.arguments = {**limits, **session.arguments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            registry = session.registry()
        except Exception:  # noqa: BLE001 - as above
            registry = None
        try:
            yield registry
        finally:
            session.close()

"""A version's story as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chopmark.domain.story import VersionStory
from chopmark.reports import story_tables as told
from chopmark.reports.markdown import bullet_list, code_block, escaped, markdown_table
from chopmark.reports.page import cell_text, when

__all__ = ["story_markdown"]


def story_markdown(story: VersionStory) -> str:
    """The whole story; sections without content are left out."""
    version = story.version
    card = version.card or story.model.card
    marks = [version.stage, *(f"@{a}" for a in version.aliases), *told.warnings(story)]
    metrics = [[k, cell_text(v)] for k, v in version.metrics.items()]
    parts = [
        f"# {escaped(version.ref)} · {version.semver}",
        escaped(" · ".join(marks)),
        escaped(version.description or story.model.description),
        _facts("Identity", told.identity(story)),
        _table("Metrics", ("metric", "value"), metrics),
        _table("Evaluations", told.EVALUATION_HEAD, told.evaluations(story)),
        _table("Parameters", ("parameter", "value"), told.pairs(version.params)),
        _table("Configuration", ("setting", "value"), told.pairs(version.config)),
        _table("Inputs and outputs", told.SIGNATURE_HEAD, told.signature(story)),
        _table("Data", told.DATASET_HEAD, [told.dataset(d) for d in version.datasets]),
        _table("Lineage", told.RELATIVE_HEAD, told.relatives(story)),
        _table("Stages", told.STAGE_HEAD, told.stage_moves(story)),
        _table("Aliases", told.ALIAS_HEAD, told.alias_moves(story)),
        _table("Files", told.FILE_HEAD, told.files(story)),
        _facts("Environment", told.environment(story)),
        _table("Trust", told.TRUST_HEAD, told.trust(story)),
        _table("Loads", told.LOAD_HEAD, told.loads(story)),
        _titled("Used by", bullet_list(story.uses)),
        _facts("What people say", {**told.remarks(story), "tags": ", ".join(told.tags(story))}),
        _titled("Card", code_block(card, "markdown") if card.strip() else ""),
        _table("Audit", told.EVENT_HEAD, told.events(story)),
        f"As of {when(story.told_at)}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _titled(title: str, content: str) -> str:
    return f"## {title}\n\n{content}" if content else ""


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _titled(title, markdown_table(head, rows))


def _facts(title: str, facts: Mapping[str, str]) -> str:
    kept = [(name, fact) for name, fact in facts.items() if fact.strip()]
    return _titled(title, "\n".join(f"- {escaped(name)}: {escaped(fact)}" for name, fact in kept))

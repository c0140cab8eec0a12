"""A version's story as an HTML page: one file that can be mailed, printed and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chopmark.domain.comparison import change_of
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.metrics import direction_of
from chopmark.domain.names import counted
from chopmark.domain.story import VersionStory
from chopmark.reports import story_tables as told
from chopmark.reports.card_text import card_html
from chopmark.reports.comparison_page import change_html
from chopmark.reports.lineage_svg import lineage_svg
from chopmark.reports.page import cell_text, columns, facts, html_page, section, short, table, when
from chopmark.reports.plots import Point, column_ranges, file_sizes, line, loads_per_day, stage_timeline
from chopmark.reports.svg import Markup, element

__all__ = ["story_html"]

_PLOTS_MAX = 12
_COLUMNS_PLOTTED_MAX = 30
_CARD_LENGTH_MAX = 100_000


def story_html(story: VersionStory) -> str:
    """The page."""
    version = story.version
    parts = [
        *_head(story),
        section("Identity", facts(told.identity(story))),
        section("Metrics", *_metrics(story)),
        section("Evaluations", _evaluations(story)),
        section("Parameters", _pairs(version.params, "parameter")),
        section("Configuration", _pairs(version.config, "setting")),
        section("Inputs and outputs", table(told.SIGNATURE_HEAD, told.signature(story))),
        section("Data", *_data(version.datasets)),
        section("Lineage", *_lineage(story)),
        section("Stages", *_stages(story)),
        section("Aliases", table(told.ALIAS_HEAD, told.alias_moves(story))),
        section("Files", *_files(story)),
        section("Environment", facts(told.environment(story))),
        section("Trust", table(told.TRUST_HEAD, told.trust(story))),
        section("Loads", *_loads(story)),
        section("Used by", *_uses(story)),
        section("What people say", facts(told.remarks(story))),
        section("Card", card_html(short(version.card or story.model.card, _CARD_LENGTH_MAX))),
        section("Audit", table(told.EVENT_HEAD, told.events(story))),
    ]
    return html_page(f"{version.ref} · {version.semver}", *parts, footer=f"As of {when(story.told_at)}.")


def _head(story: VersionStory) -> Iterator[Markup]:
    version = story.version
    yield element("h1", None, f"{version.ref} · {version.semver}")
    marks = [version.stage, *(f"@{a}" for a in version.aliases), *told.warnings(story)]
    yield element("p", None, *(element("span", {"class": "chip"}, mark) for mark in marks))
    about = version.description or story.model.description
    if about:
        yield element("p", {"class": "lead"}, short(about))


def _metrics(story: VersionStory) -> Iterator[Markup]:
    version = story.version
    if not version.metrics:
        return
    plots: list[Markup] = []
    for name in version.metrics:
        points = [Point(s.number, s.metrics[name]) for s in story.siblings if name in s.metrics]
        if len(points) > 1 and len(plots) < _PLOTS_MAX:
            plots.append(line(name, points, version.number))
    yield columns(*plots)
    before = told.predecessor(story)
    if before is None:
        yield table(["metric", "value"], [[k, cell_text(v)] for k, v in version.metrics.items()], numbers=[1])
        return
    rows: list[list[str | Markup]] = []
    for name, value in version.metrics.items():
        old = before.metrics.get(name)
        change = None if old is None else change_of(value, old, direction_of(name))
        rows.append([name, cell_text(value), cell_text(old), change_html(change)])
    yield table(["metric", "value", f"version {before.number}", "change"], rows, numbers=[1, 2, 3])


def _evaluations(story: VersionStory) -> Markup:
    return table(told.EVALUATION_HEAD, told.evaluations(story))


def _pairs(entries: Mapping[str, Any], head: str) -> Markup:
    return table([head, "value"], told.pairs(entries))


def _data(datasets: tuple[DatasetRef, ...]) -> Iterator[Markup]:
    if datasets:
        yield table(told.DATASET_HEAD, [told.dataset(d) for d in datasets])
    for data in datasets:
        numeric = [c for c in data.columns if c.minimum is not None and c.maximum is not None and c.mean is not None]
        if numeric:
            shown = numeric[:_COLUMNS_PLOTTED_MAX]
            left = len(numeric) - len(shown)
            title = f"{data.name} {data.split}: range, mean and deviation".replace(" :", ":")
            yield element("figure", None, column_ranges(title, shown))
            if left:
                yield element("p", {"class": "muted"}, f"{counted(left, 'more column')} not drawn.")


def _lineage(story: VersionStory) -> Iterator[Markup]:
    if story.lineage is None:
        return
    yield element("div", {"class": "tree"}, Markup(lineage_svg(story.lineage)))
    yield table(told.RELATIVE_HEAD, told.relatives(story))


def _stages(story: VersionStory) -> Iterator[Markup]:
    version = story.version
    if story.stage_moves:
        yield element("figure", None, stage_timeline(version.created_at, story.stage_moves[::-1], story.told_at))
    yield table(told.STAGE_HEAD, told.stage_moves(story))
    if not story.stage_moves:
        yield element("p", None, f"In {version.stage} since it was made.")


def _files(story: VersionStory) -> Iterator[Markup]:
    files = story.manifest.files
    if len(files) > 1:
        yield element("figure", None, file_sizes(files))
    yield table(told.FILE_HEAD, told.files(story), numbers=[2])
    left = len(files) - told.ROWS_MAX
    if left > 0:
        yield element("p", {"class": "muted"}, f"{counted(left, 'more file')} not listed.")


def _loads(story: VersionStory) -> Iterator[Markup]:
    use = story.use
    if use is not None:
        yield element("figure", None, loads_per_day(story.load_days, use.daily))
        yield table(told.LOAD_HEAD, told.loads(story), numbers=[1, 2])


def _uses(story: VersionStory) -> Iterator[Markup]:
    if story.uses:
        yield element("ul", None, *(element("li", None, use) for use in story.uses))

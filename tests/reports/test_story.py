"""Reports of a version: everything is in them, nothing hostile comes through, and they stand alone."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from time import thread_time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.lineage import relation_words
from chopmark.domain.manifest import Manifest
from chopmark.domain.story import VersionStory
from chopmark.reports.model_card import model_card
from chopmark.reports.story_markdown import story_markdown
from chopmark.reports.story_page import story_html
from tests.domain.records import a_version
from tests.reports.stories import EVIL, a_story

VOID = frozenset(("meta", "rect", "line", "circle", "polyline", "path"))


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails where tags are not closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.headings: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


def test_every_part_is_told() -> None:
    page = Page(story_html(a_story(card="# Why\n\nFor **March**.")))
    assert page.headings == [
        "Identity",
        "Metrics",
        "Evaluations",
        "Parameters",
        "Inputs and outputs",
        "Data",
        "Lineage",
        "Stages",
        "Aliases",
        "Files",
        "Environment",
        "Trust",
        "Loads",
        "Used by",
        "What people say",
        "Card",
        "Audit",
    ]
    text = " ".join(page.texts)
    for said in (
        "fraud:2 · 1.1.0",
        "@champion",
        "february",
        "0.95",
        relation_words("fine_tuned_from", upstream=True),
        "moved fraud:2 from staging to production",
        "2.0 KiB",
    ):
        assert said in text, said
    assert page.tags.count("svg") == 6  # a metric over versions, columns, lineage, stages, files, loads


def test_nothing_of_strangers_is_markup() -> None:
    card = f"# Hi {EVIL}\n\n<img src=x onerror=alert(1)> [x](javascript:alert(1))\n\n```\n{EVIL}\n```"
    html = story_html(a_story(card=card))
    page = Page(html)
    assert not {"script", "img", "iframe", "a", "link", "object", "form", "b"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("href", "src", "xlink:href")]
    assert html.count("<script") == 0
    assert " ".join(page.texts).count("alert(1)") > 10  # shown, and not obeyed


def test_a_page_needs_nothing_from_elsewhere() -> None:
    html = story_html(a_story())
    assert "default-src 'none'" in html
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "@import" not in html
    assert "url(" not in html


def test_an_empty_version_has_a_short_story() -> None:
    version = a_version()
    story = a_story()
    bare = VersionStory(told_at=story.told_at, version=version, model=story.model, manifest=Manifest("artifact"))
    page = Page(story_html(bare))
    assert page.headings == ["Identity", "Stages"]
    assert "svg" not in page.tags
    assert story_markdown(bare).startswith("# fraud:1 · 1.0.0\n\ndevelopment\n\n## Identity\n")


def test_markdown_shows_what_strangers_wrote_as_text() -> None:
    text = story_markdown(a_story(card=f"```\n{EVIL}\n```\n````"))
    outside = re.sub(r"^(`{3,})markdown\n.*?\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert outside != text
    assert EVIL not in outside
    assert r"&lt;script\>alert(1)&lt;/script\>" in outside
    assert "## Audit" in text


def test_loads_are_a_row() -> None:
    story = a_story()
    last = story.told_at.date()
    day = story.loads[0].day
    row = f"| {last - timedelta(days=59)} to {last} | 1,234 | 1,200 | {day} |"
    text = story_markdown(story)
    assert f"## Loads\n\n| days | loads | most on one day | last load |\n| --- | --- | --- | --- |\n{row}\n" in text
    assert "1,234 loads from" in " ".join(Page(story_html(story)).texts)
    never = msgspec.structs.replace(story, loads=())
    assert "Loads" not in Page(story_html(never)).headings
    assert "## Loads" not in story_markdown(never)


def test_json_is_the_story_again() -> None:
    story = a_story()
    assert msgspec.json.decode(msgspec.json.encode(story), type=VersionStory) == story


HOSTILE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(HOSTILE, HOSTILE, st.dictionaries(HOSTILE, HOSTILE, max_size=2))
def test_any_texts_make_a_whole_page(card: str, description: str, tags: dict[str, str]) -> None:
    fields: dict[str, Any] = {"card": card, "description": description, "tags": tags}
    page = Page(story_html(a_story(**fields)))
    assert set(page.tags) <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "span", "section", "dl", "dt", "dd", "div",
        "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "pre", "code", "strong", "figure", "footer",
        "svg", "desc", "g", "rect", "line", "circle", "polyline", "text", "path",
    }  # fmt: skip


@pytest.mark.parametrize(
    "card",
    [
        "# " + " " * 90_000 + "x",
        "```\n" * 20_000,
        "`" * 90_000,
        "**" * 45_000,
        "- a\n" * 20_000,
        "---\n" * 20_000,
        "<" * 90_000,
        "](&" * 30_000,
        "---\n" + 'a: "b"\n' * 12_000 + "---\n",
    ],
)
def test_no_card_takes_long(card: str) -> None:
    started = thread_time()
    story = a_story(card=card, metrics={"m" * 200: 1.0})
    story_html(story)
    story_markdown(story)
    model_card(story)
    assert thread_time() - started < 5


@pytest.mark.parametrize("count", [1, 250])
def test_long_tables_end(count: int) -> None:
    text = " ".join(Page(story_html(a_story(params={f"p{i}": i for i in range(count)}))).texts)
    assert ("50 more" in text) == (count == 250)


def test_tags_stand_below_each_other_and_times_are_not_broken() -> None:
    story = a_story(tags={"team": "risk", "approved": ""})
    page = story_html(story)
    assert "<dd>team = risk\napproved</dd>" in page
    assert '<td class="brief">2026-03-03 12:00 UTC</td>' in page
    assert "- tags: team = risk, approved" in story_markdown(story)

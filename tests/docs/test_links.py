"""No page points at something that is not there, and every page can be reached."""

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, anchors, blocks, links, name_of, pages

LINKING = [*pages(), ROOT / "CHANGELOG.md", ROOT / "ARCHITECTURE.md"]


def is_elsewhere(target: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*:", target) is not None


def dead_links(page: Path) -> list[str]:
    dead = []
    for target in links(page.read_text()):
        if is_elsewhere(target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text())):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in links(index.read_text())}
    missing = {name_of(page) for page in pages() if page not in linked} - {"docs/index.md"}
    assert missing == set()


def test_the_makefile_has_the_targets_that_pages_name() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in LINKING:
        text = page.read_text()
        named = set(re.findall(r"`make ([a-z-]+)", text))
        shown = (b.text for b in blocks(text) if b.language == "text")
        named |= {target for each in shown for target in re.findall(r"^make ([a-z-]+)", each, re.MULTILINE)}
        assert named <= known, name_of(page)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](b.md)", ["b.md"]),
        ("`[a](b.md)`", []),
        ("```text\n[a](b.md)\n```", []),
        ("[a `x[0]`](b.md#c-d) and [e](f)", ["b.md#c-d", "f"]),
    ],
)
def test_links_are_found(text: str, found: list[str]) -> None:
    assert links(text) == found


def test_anchors_are_made_as_renderers_make_them() -> None:
    assert anchors("# `chopmark alias set`\n## What, why?\n## What, why?\n```text\n# no\n```") == {
        "chopmark-alias-set",
        "what-why",
        "what-why-1",
    }

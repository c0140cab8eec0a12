"""Cards made harmless, as a renderer of CommonMark with GitHub's tables sees them."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from chopmark.reports.card_markdown import harmless_markdown, plain_lines


class Trusting(MarkdownIt):
    """A renderer that obeys all HTML and follows every link."""

    def validateLink(self, url: str) -> bool:  # noqa: N802, ARG002 - the library's name
        return True


RENDERER = Trusting("commonmark", {"html": True}).enable("table")


def tokens(markdown: str) -> Iterator[Token]:
    for token in RENDERER.parse(markdown):
        yield token
        yield from token.children or ()


def faults(markdown: str) -> list[str]:
    found = [t.content for t in tokens(markdown) if t.type in ("html_block", "html_inline", "image")]
    targets = [str(t.attrGet("href")) for t in tokens(markdown) if t.type == "link_open"]
    schemes = [scheme for t in targets if (scheme := urlsplit(t).scheme)]
    return found + [scheme for scheme in schemes if scheme not in ("http", "https", "mailto")]


PIECES = st.sampled_from(
    [
        "<script>",
        "</b>",
        "<!--",
        "<img src=x>",
        "`",
        "``",
        "```",
        "~~~",
        "\n",
        "\n\n",
        "    ",
        "  ",
        "\t",
        "- ",
        "1. ",
        "> ",
        "# ",
        "a",
        " ",
        "|",
        "\n| a |\n| - |\n",
        "\\",
        "![x](javascript:y)",
        "[x](javascript:y)",
        "[x](java&Tab;script\\:y)",
        "[x]: javascript:y\n",
        "[x]:\n> data:y\n",
        "[x]",
        "![x][x]",
        "!",
        "[",
        "](",
        "<javascript:y>",
        "(<javascript:y>)",
        "[^1]: ",
        "\r",
        "---\n",
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join))
@example("`<script>``")
@example("\\`<script>\\`")
@example("`a\n`<script>`")
@example("  ```\na\n```\n<script>\n```\n")
@example("```\n```a\n```\n<script>\n```")
@example("| a |\n| - |\n| `x|<script>` |")
@example("- a\n\n        <script>")
@example("[^1]: a\n\n    <script>")
@example("\\\\![x](y)")
def test_nothing_in_a_card_acts(markdown: str) -> None:
    assert faults(harmless_markdown(markdown)) == []


@pytest.mark.parametrize(
    "markdown",
    [
        "a\n\n    <b>indented code</b>\n    [x](javascript:y)\n\nb",
        "```html\n<i>shown</i>\n![x](y)\n```",
        "~~~\n<i>\n```\n~~~~\nafter",
        "`<b>code</b>` and ``a ` <b>``",
        "<https://ok.org/a?b=c> and <ada@example.org> and <mailto:ada@example.org>",
        "[docs](https://ok.org) [mail](mailto:a@b.c) [here](#part) [file](notes/a.md 'title')",
        "[a]: https://ok.org\n\n3 < 4, !important, [note]: yes",
    ],
)
def test_what_does_no_harm_stays_as_it_is_written(markdown: str) -> None:
    assert harmless_markdown(markdown) == markdown


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("![logo](https://ok.org/a.png)", "[logo](https://ok.org/a.png)"),
        ("[click](javascript:alert(1))", "[click]\\(javascript:alert(1))"),
        ("[click](java\nscript:x)", "[click](java\nscript:x)"),
        ("[click]( &#106;avascript:x)", "[click]\\( &#106;avascript:x)"),
        ("[x](" + "&Tab;" * 90 + "javascript:y)", "[x]\\(" + "&Tab;" * 90 + "javascript:y)"),
        ("[x]: data:text/html,x", "[x]\\: data:text/html,x"),
        ("<b>bold</b>", "&lt;b>bold&lt;/b>"),
        ("\\<b>", "&lt;b>"),
        ("\x1b[31mred\x07\x9b\r\nnext\tcell", "�[31mred��\nnext\tcell"),
    ],
)
def test_what_acts_is_shown(markdown: str, expected: str) -> None:
    assert harmless_markdown(markdown) == expected


@given(st.text())
def test_no_control_characters_are_left(text: str) -> None:
    assert not any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 for c in plain_lines(text))

"""Facts as an HTML card, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping

__all__ = ["html_card"]


def html_card(title: str, facts: Mapping[str, str]) -> str:
    """A title and a table of facts; blank facts are left out, and every text is escaped."""
    left = "style='text-align:left'"
    rows = "".join(
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(fact)}</td></tr>"
        for name, fact in facts.items()
        if fact.strip()
    )
    return f"<div><strong>{html.escape(title)}</strong><table>{rows}</table></div>"

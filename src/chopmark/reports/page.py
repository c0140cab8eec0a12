"""HTML of reports: one file without scripts or anything from elsewhere, light and dark, fit to print.

Everything is built of elements that escape what they hold. Texts of strangers (names, tags, cards)
are never markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from chopmark.base.jsons import encode
from chopmark.reports.svg import DARK, LIGHT, Markup, element

__all__ = ["cell_text", "columns", "facts", "html_page", "section", "short", "size_text", "table", "when"]

TEXT_LENGTH_MAX = 2_000
_KIB = 1024.0

_CSS = """
*{box-sizing:border-box}
html{color-scheme:light dark}
body{margin:0 auto;padding:1.5rem 1.25rem 3rem;max-width:72rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,'Segoe UI','Helvetica Neue',Arial,sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2.25rem 0 .6rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{font-size:.95rem;margin:1.25rem 0 .4rem;overflow-wrap:anywhere}
p{margin:.4rem 0}p,li,strong{overflow-wrap:anywhere}
.lead{color:var(--muted)}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line);
overflow-wrap:break-word;max-width:26rem}
thead th{color:var(--muted);font-weight:600;white-space:nowrap}
tbody th{font-weight:500;min-width:7rem;max-width:18rem;overflow-wrap:anywhere}
td.long{overflow-wrap:anywhere;min-width:9rem}
td.brief{white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(7rem,max-content) minmax(0,1fr);gap:.2rem 1.25rem;margin:.4rem 0;font-size:.93rem}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere;white-space:pre-line}
.chip{display:inline-block;border:1px solid var(--line);border-radius:1rem;padding:0 .6rem;margin:0 .35rem .25rem 0;
font-size:.82rem;background:var(--panel);overflow-wrap:anywhere}
.good{color:var(--good)}.bad{color:var(--bad)}.muted{color:var(--muted)}
.same td,.same th{color:var(--muted)}
.call{background:var(--panel);border-left:4px solid var(--1);padding:.7rem 1rem;margin:1rem 0;border-radius:0 .3rem .3rem 0}
.call.warn{border-left-color:var(--warn)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr));gap:1rem}
.plots>*{min-width:0}
figure,.plots{margin:.9rem 0}
.tree{overflow-x:auto}
pre{background:var(--panel);padding:.8rem 1rem;border-radius:.3rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;
font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
footer{margin-top:3rem;color:var(--muted);font-size:.82rem}
@media (max-width:40rem){body{padding:1rem .8rem 2rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.45rem}}
@media print{body{max-width:none;padding:0;font-size:11pt}.wide,.tree{overflow:visible}td.brief{white-space:normal}section,figure,tr{break-inside:avoid}
h2{break-after:avoid}}
"""


def html_page(title: str, *children: Markup, footer: str = "", style: str = "") -> str:
    """A whole page; ``style`` is CSS of its own, which is trusted."""
    head = element(
        "head",
        None,
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'),
        # Nothing may be fetched and nothing may run, whatever came into the page.
        Markup(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            'img-src data:">'
        ),
        element("title", None, title),
        element("style", None, Markup(_variables() + _CSS + style)),
    )
    foot = [element("footer", None, footer)] if footer else []
    return f'<!doctype html>\n<html lang="en">{head}{element("body", None, *children, *foot)}</html>\n'


def _variables() -> str:
    light = "".join(f"--{name}:{colour};" for name, colour in LIGHT.items())
    dark = "".join(f"--{name}:{colour};" for name, colour in DARK.items())
    # Paper is white whatever the screen is.
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def section(title: str, *children: Markup) -> Markup:
    """A section with its heading; nothing at all when it has no content."""
    kept = [child for child in children if child]
    return element("section", None, element("h2", None, title), *kept) if kept else Markup("")


def facts(entries: Mapping[str, str | Markup]) -> Markup:
    """Names and facts; blank facts are left out."""
    kept = [(name, fact) for name, fact in entries.items() if fact.strip()]
    parts = [part for name, fact in kept for part in (element("dt", None, name), element("dd", None, fact))]
    return element("dl", None, *parts) if parts else Markup("")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str | Markup]],
    *,
    numbers: Sequence[int] = (),
    muted: Sequence[int] = (),
) -> Markup:
    """A table whose first column names its rows; other columns that are blank in all rows are left out.

    Parameters
    ----------
    head, rows
        Texts, or markup.
    numbers
        Columns of numbers, aligned to the right.
    muted
        Rows to be overlooked.
    """
    cells = [list(row) for row in rows]
    kept = [j for j in range(len(head)) if j == 0 or any(row[j].strip() for row in cells)]
    cells, head = [[row[j] for j in kept] for row in cells], [head[j] for j in kept]
    numbers = [kept.index(j) for j in numbers if j in kept]
    body = [
        element(
            "tr", {"class": "same"} if i in muted else None, *(_cell(j, cell, numbers) for j, cell in enumerate(row))
        )
        for i, row in enumerate(cells)
    ]
    if not body:
        return Markup("")
    heads = [element("th", {"class": "n"} if j in numbers else None, text) for j, text in enumerate(head)]
    inside = element("table", None, element("thead", None, element("tr", None, *heads)), element("tbody", None, *body))
    return element("div", {"class": "wide"}, inside)


_LONG = 32
_BRIEF = 20  # a time to the minute; broken into words it could not be read, and a table that is too wide is scrolled


def _cell(column: int, cell: str | Markup, numbers: Sequence[int]) -> Markup:
    if column == 0:
        return element("th", {"scope": "row"}, cell)
    kind = "n" if column in numbers else "long" if len(cell) > _LONG else "brief" if len(cell) <= _BRIEF else ""
    return element("td", {"class": kind} if kind else None, cell)


def columns(*plots: Markup) -> Markup:
    """Plots beside each other as far as there is room."""
    return element("div", {"class": "plots"}, *plots) if plots else Markup("")


def cell_text(value: Any) -> str:
    """A JSON value as people read it; nothing for None."""
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ", ".join(value)
    return encode(value).decode()


def short(text: str, length: int = TEXT_LENGTH_MAX) -> str:
    """A text, cut where it is too long to be read in its place."""
    return text if len(text) <= length else text[: length - 1] + "…"


def when(time: datetime) -> str:
    """Time in UTC to the minute."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def size_text(size_bytes: float) -> str:
    """Bytes in the unit that fits."""
    if size_bytes < _KIB:
        return f"{size_bytes:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= _KIB
        if size_bytes < _KIB:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / _KIB:.1f} TiB"

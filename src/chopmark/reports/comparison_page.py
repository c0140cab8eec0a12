"""A comparison as a page, as Markdown, and as the table that a notebook shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chopmark.domain.agreement import DataComparison, PairAgreement
from chopmark.domain.comparison import SECTIONS, Change, ComparedRow, Section, VersionComparison
from chopmark.domain.names import counted
from chopmark.domain.recommendation import Recommendation
from chopmark.reports.markdown import bullet_list, escaped, markdown_table
from chopmark.reports.page import cell_text, facts, html_page, section, short, size_text, table, when
from chopmark.reports.plots import NARROW, Bar, bars
from chopmark.reports.svg import Markup, element

__all__ = [
    "ARROWS",
    "SECTION_TITLES",
    "change_html",
    "change_text",
    "comparison_html",
    "comparison_markdown",
    "comparison_table",
    "remarks",
    "row_texts",
]

SECTION_TITLES: dict[Section, str] = {
    "facts": "Facts",
    "metrics": "Metrics",
    "evaluations": "Evaluations on the same data",
    "params": "Parameters",
    "config": "Configuration",
    "signature": "Signature",
    "tags": "Tags",
    "files": "Files",
    "environment": "Environment",
    "datasets": "Data sets",
}
ARROWS = {"better": "▲", "worse": "▼", "same": "", "unknown": "△"}
FALLS = "▽"
_CLASSES = {"better": "good", "worse": "bad", "same": "muted", "unknown": "muted"}
_VALUE_LENGTH_MAX = 300
_PLOTTED_MAX = 12
_ROWS_MAX = 300
_REASONS_MAX = 10
_TITLE_LENGTH_MAX = 90
_PERCENT_FINE = 1_000
_PERCENT_PLAIN = 1e6


def change_text(change: Change) -> str:
    """``▲ +0.012 (+1.3 %)``: the arrow points up for better and down for worse, an empty one where the number goes."""
    if change.verdict == "same":
        return "="
    percent = "" if change.percent is None else f" ({_percent(change.percent)})"
    arrow = FALLS if change.verdict == "unknown" and change.difference < 0 else ARROWS[change.verdict]
    return f"{arrow} {change.difference:+.4g}{percent}"


def remarks(recommendation: Recommendation) -> list[str]:
    """Reasons, as many as one reads (twenty versions make 190 pairs), and every caution."""
    reasons = list(recommendation.reasons[:_REASONS_MAX])
    left = len(recommendation.reasons) - len(reasons)
    return [*reasons, *([f"and {counted(left, 'more pair')}"] if left else []), *recommendation.cautions]


def _percent(percent: float) -> str:
    if abs(percent) < _PERCENT_FINE:
        return f"{percent:+.3g} %"
    return f"{percent:+,.0f} %" if abs(percent) < _PERCENT_PLAIN else f"{percent:+.1g} %"


def change_html(change: Change | None) -> Markup:
    """`change_text` in the colour of what it means; nothing where there is no change to tell."""
    if change is None or change.verdict == "same":
        return Markup("")
    return element("span", {"class": _CLASSES[change.verdict]}, change_text(change))


def row_texts(row: ComparedRow) -> list[str]:
    """The values of a row as texts; a dash where a version has none."""
    if row.key == "size_bytes":
        return ["–" if value is None else size_text(value) for value in row.values]
    return [cell_text(value) or "–" for value in row.values]


def comparison_html(comparison: VersionComparison) -> str:
    """A page of its own: the recommendation, what differs, then what is alike."""
    refs = list(comparison.refs)
    title = "Comparison of " + ", ".join(refs)
    if len(title) > _TITLE_LENGTH_MAX:
        title = f"Comparison of {len(refs)} versions"
    parts = [
        element("h1", None, title),
        element("p", {"class": "lead"}, f"Changes are counted from {comparison.baseline}."),
        _call(comparison.recommendation),
        section("The versions", _versions_table(comparison)),
    ]
    if comparison.data is not None:
        parts += _data_sections(comparison.data)
    parts += [_html_section(comparison, name) for name in SECTIONS]
    parts += [section("For callers", _signature_list(comparison)), section("Bytes", _files_table(comparison))]
    return html_page(
        title,
        *parts,
        footer="▲ better than the baseline, ▼ worse, △ ▽ more or less, where nobody knows which is better.",
    )


def comparison_table(comparison: VersionComparison) -> str:
    """What differs and how the versions answer on the data, as a fragment of HTML for a notebook."""
    rows = [row for row in comparison.rows if row.differs]
    found = table(["", *comparison.refs], [[f"{row.section} · {row.key}", *_html_cells(row)] for row in rows])
    sentence = element("p", None, comparison.recommendation.sentence)
    told = found or element("p", None, "The versions do not differ.")
    if comparison.data is None:
        return element("div", None, sentence, told)
    return element("div", None, sentence, *_notes(comparison), _answers_table(comparison.data), told)


def _notes(comparison: VersionComparison) -> list[Markup]:
    """What a reader should know before trusting the figures, each once."""
    data = comparison.data
    about = [] if data is None else [_about(data), *data.cautions]
    told = dict.fromkeys([*about, *comparison.recommendation.cautions])
    return [element("ul", None, *(element("li", None, text) for text in told))]


def _about(data: DataComparison) -> str:
    return f"{data.dataset.name}: {counted(data.row_count, 'row')}, {'with' if data.labelled else 'without'} labels."


def _call(recommendation: Recommendation) -> Markup:
    more = [element("li", None, text) for text in remarks(recommendation)]
    return element(
        "div",
        {"class": "call" if recommendation.winner else "call warn"},
        element("strong", None, recommendation.sentence),
        *([element("ul", None, *more)] if more else []),
    )


def _versions_table(comparison: VersionComparison) -> Markup:
    rows = [
        [
            v.ref,
            v.semver,
            v.stage,
            ", ".join(v.aliases),
            size_text(v.size_bytes),
            f"{when(v.created_at)} by {v.created_by}",
        ]
        for v in comparison.versions
    ]
    return table(["version", "semver", "stage", "aliases", "size", "made"], rows, numbers=[4])


def _html_section(comparison: VersionComparison, name: Section) -> Markup:
    rows, left = _first_rows(comparison, name)
    muted = [i for i, row in enumerate(rows) if not row.differs]
    head = ["", *comparison.refs]
    plots = _metric_plots(comparison, rows) if name in ("metrics", "evaluations") else []
    grid = [element("div", {"class": "plots"}, *plots)] if plots else []
    more = [element("p", {"class": "muted"}, f"{counted(left, 'more row')} not shown.")] if left else []
    found = table(head, [[row.key, *_html_cells(row)] for row in rows], muted=muted)
    return section(SECTION_TITLES[name], found, *more, *grid)


def _first_rows(comparison: VersionComparison, name: Section) -> tuple[list[ComparedRow], int]:
    """Rows to show, those that differ first, and how many are not shown."""
    rows = sorted(comparison.section(name), key=lambda row: not row.differs)
    return rows[:_ROWS_MAX], max(len(rows) - _ROWS_MAX, 0)


def _metric_plots(comparison: VersionComparison, rows: Sequence[ComparedRow]) -> list[Markup]:
    return [_metric_bars(comparison.refs, row) for row in rows if row.differs][:_PLOTTED_MAX]


def _metric_bars(refs: Sequence[str], row: ComparedRow) -> Markup:
    colours = {"better": "good", "worse": "bad", "same": "1", "unknown": "1"}
    entries = [
        Bar(ref, value, f"{value:.6g}", colours[change.verdict] if change else "muted")
        for ref, value, change in zip(refs, row.values, row.changes, strict=True)
        if value is not None
    ]
    return bars(row.key, entries, width=NARROW)


def _html_cells(row: ComparedRow) -> Iterator[Markup]:
    changes = row.changes or (None,) * len(row.values)
    for text, change in zip(row_texts(row), changes, strict=True):
        shown = short(text, _VALUE_LENGTH_MAX)
        told = change_html(change)
        yield element("span", None, shown, " ", told) if told else element("span", None, shown)


def _signature_list(comparison: VersionComparison) -> Markup:
    entries: dict[str, str | Markup] = {}
    for changes in comparison.signatures:
        if changes.breaking:
            entries[changes.ref] = f"breaks callers of {comparison.baseline}: " + "; ".join(changes.breaking)
        elif changes.changed:
            entries[changes.ref] = "inputs changed without breaking callers: " + ", ".join(changes.changed)
        else:
            entries[changes.ref] = f"takes what {comparison.baseline} takes"
    return facts(entries)


def _files_table(comparison: VersionComparison) -> Markup:
    rows = [
        [
            f.ref,
            size_text(f.shared_bytes),
            size_text(f.own_bytes),
            short(", ".join(f.added), _VALUE_LENGTH_MAX),
            short(", ".join(f.removed), _VALUE_LENGTH_MAX),
            short(", ".join(f.changed), _VALUE_LENGTH_MAX),
        ]
        for f in comparison.files
    ]
    head = [f"against {comparison.baseline}", "shared", "own", "files added", "removed", "changed"]
    return table(head, rows, numbers=[1, 2])


def _data_sections(data: DataComparison) -> list[Markup]:
    told = [element("p", {"class": "lead"}, _about(data))]
    told += [element("p", {"class": "muted"}, caution) for caution in data.cautions]
    timed = [v for v in data.versions if v.latency]
    latency = (
        bars(
            f"Milliseconds for {timed[0].latency.batch_rows:,} rows: mean and deviation",
            [
                Bar(
                    v.ref,
                    v.latency.mean_ms,
                    f"{v.latency.mean_ms:.3g} ± {v.latency.deviation_ms:.2g}",
                    "1",
                    v.latency.deviation_ms,
                )
                for v in timed
                if v.latency
            ],
        )
        if timed and timed[0].latency
        else Markup("")
    )
    return [
        section("On the data", *told, _answers_table(data), element("figure", None, latency) if latency else latency),
        section("Agreement", _pairs_table(data)),
    ]


def _answers_table(data: DataComparison) -> Markup:
    return table(["", *(v.ref for v in data.versions)], data_rows(data))


def data_rows(data: DataComparison) -> list[list[str]]:
    """Rows of what was measured: metrics, rates, latencies, failures; a dash where there is nothing."""
    versions = data.versions
    metrics = list(dict.fromkeys(name for v in versions for name in v.metrics))
    rates = list(dict.fromkeys(name for v in versions for name in v.rates))[:20]
    rows = [[name, *(_or_dash(v.metrics.get(name)) for v in versions)] for name in metrics]
    rows += [[f"share of {name}", *(_share(v.rates.get(name)) for v in versions)] for name in rates]
    if any(v.latency for v in versions):
        rows += [
            ["latency mean (ms)", *(_or_dash(v.latency.mean_ms if v.latency else None, 3) for v in versions)],
            ["latency deviation (ms)", *(_or_dash(v.latency.deviation_ms if v.latency else None, 3) for v in versions)],
            ["latency p95 (ms)", *(_or_dash(v.latency.p95_ms if v.latency else None, 3) for v in versions)],
            ["batch (rows)", *(f"{v.latency.batch_rows:,}" if v.latency else "–" for v in versions)],
        ]
    if any(v.failure for v in versions):
        rows.append(["failed", *(short(v.failure, _VALUE_LENGTH_MAX) or "–" for v in versions)])
    if any(v.unjudged for v in versions):
        rows.append(["not judged", *(short(v.unjudged, _VALUE_LENGTH_MAX) or "–" for v in versions)])
    return rows


def _or_dash(value: float | None, digits: int = 6) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _pairs_table(data: DataComparison) -> Markup:
    return table(list(_PAIR_HEAD), [pair_texts(pair) for pair in data.pairs])


_PAIR_HEAD = ("versions", "same answer", "who flips", "Pearson", "Spearman", "mean difference")


def pair_texts(pair: PairAgreement) -> list[str]:
    """A pair as texts, one for each column; empty where there is nothing."""
    flips = "; ".join(f"{f.count:,} from {f.before} to {f.after}" for f in pair.flips[:5])
    more = len(pair.flips) - 5
    return [
        f"{pair.first} – {pair.second}",
        "" if pair.agreement is None else f"{pair.agreement:.2%}",
        flips + (f" and {more} more directions" if more > 0 else ""),
        "" if pair.pearson is None else f"{pair.pearson:.4f}",
        "" if pair.spearman is None else f"{pair.spearman:.4f}",
        "" if pair.mean_difference is None else f"{pair.mean_difference:.4g}",
    ]


def comparison_markdown(comparison: VersionComparison) -> str:
    """The comparison as Markdown, differences first."""
    recommendation = comparison.recommendation
    parts = [
        f"# Comparison of {escaped(', '.join(comparison.refs))}",
        f"**{escaped(recommendation.sentence)}**",
        bullet_list(remarks(recommendation)),
        f"Changes are counted from {escaped(comparison.baseline)}: ▲ better, ▼ worse, △ ▽ nobody knows.",
    ]
    if comparison.data is not None:
        data = comparison.data
        head = ["", *(v.ref for v in data.versions)]
        pairs = [pair_texts(pair) for pair in data.pairs]
        parts += [
            f"## On {escaped(data.dataset.name)} ({counted(data.row_count, 'row')})",
            bullet_list(data.cautions),
            markdown_table(head, data_rows(data)),
            markdown_table(_PAIR_HEAD, pairs) if pairs else "",
        ]
    for name in SECTIONS:
        rows, left = _first_rows(comparison, name)
        if rows:
            parts += [
                f"## {SECTION_TITLES[name]}",
                markdown_table(["", *comparison.refs], [[row.key, *_markdown_cells(row)] for row in rows]),
                f"{counted(left, 'more row')} not shown." if left else "",
            ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_cells(row: ComparedRow) -> Iterator[str]:
    changes = row.changes or (None,) * len(row.values)
    for text, change in zip(row_texts(row), changes, strict=True):
        told = f" {change_text(change)}" if change is not None and change.verdict != "same" else ""
        yield short(text, _VALUE_LENGTH_MAX) + told

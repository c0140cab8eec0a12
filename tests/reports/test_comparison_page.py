"""Comparisons as pages: whole, escaped, and no longer than one reads."""

from typing import Any

from chopmark.domain.agreement import DataComparison, Flip, Latency, PairAgreement, VersionOnData
from chopmark.domain.comparison import Change, ComparedRow, ComparedVersion, VersionComparison
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.recommendation import Recommendation
from chopmark.reports.comparison_page import (
    change_text,
    comparison_html,
    comparison_markdown,
    comparison_table,
    remarks,
)
from tests.domain.records import NOON
from tests.reports.stories import EVIL
from tests.reports.test_story import Page

REFS = ("fraud:1", "fraud:2")


def a_version(ref: str) -> ComparedVersion:
    return ComparedVersion(
        ref=ref,
        semver="1.0.0",
        digest="sha256:x",
        stage="staging",
        aliases=(),
        created_at=NOON,
        created_by="ada",
        size_bytes=10,
    )


def a_comparison(**fields: Any) -> VersionComparison:
    f1 = ComparedRow(
        section="metrics",
        key="f1",
        values=(0.8, 0.9),
        differs=True,
        direction="maximize",
        changes=(None, Change(0.1, 12.5, "better")),
    )
    evil = ComparedRow(section="tags", key="note", values=(EVIL, None), differs=True)
    alike = ComparedRow(section="tags", key="team", values=("a", "a"), differs=False)
    base: dict[str, Any] = {
        "versions": tuple(map(a_version, REFS)),
        "baseline": "fraud:1",
        "rows": (f1, alike, evil),
        "signatures": (),
        "files": (),
        "recommendation": Recommendation(winner="", basis="none", sentence=f"No clear winner: {EVIL}."),
    }
    return VersionComparison(**{**base, **fields})


def on_data() -> DataComparison:
    def one(ref: str, **fields: Any) -> VersionOnData:
        latency = Latency(batch_rows=10, calls=3, mean_ms=1.5, deviation_ms=0.1, p95_ms=1.7)
        return VersionOnData(ref=ref, kind="anomaly", rates={"anomaly": 0.25}, latency=latency, **fields)

    flip = Flip(before="normal", after="anomaly", count=3, rows=(1, 2, 3))
    pair = PairAgreement(first="fraud:1", second="fraud:2", agreement=0.7, flips=(flip,), spearman=0.5)
    return DataComparison(
        dataset=DatasetRef(EVIL),
        row_count=10,
        labelled=True,
        versions=(one("fraud:1", metrics={"recall": 0.5}), VersionOnData(ref="fraud:2", failure=EVIL)),
        pairs=(pair,),
        cautions=(EVIL,),
    )


def test_a_notebook_shows_the_data_and_escapes_it() -> None:
    told = Recommendation(
        winner="", basis="answers", sentence=f"No clear winner: {EVIL}.", cautions=(EVIL, "Mind this.")
    )
    text = comparison_table(a_comparison(data=on_data(), recommendation=told))
    assert EVIL not in text
    page = Page(text)
    said = " ".join(page.texts)
    assert "10 rows, with labels." in said
    assert "Mind this." in said
    assert "25.00%" in said
    assert page.texts.count(EVIL) == 3  # a note, told once; what failed; and a tag


def test_a_page_is_whole_and_shows_what_strangers_wrote() -> None:
    page = Page(comparison_html(a_comparison(data=on_data())))
    assert page.headings == ["The versions", "On the data", "Agreement", "Metrics", "Tags"]
    text = " ".join(page.texts)
    for said in ("▲ +0.1 (+12.5 %)", "25.00%", "3 from normal to anomaly", "70.00%", "1.7"):
        assert said in text, said
    assert "script" not in page.tags
    assert text.count("alert(1)") >= 4


def test_differences_come_first_and_a_notebook_shows_only_them() -> None:
    html = comparison_html(a_comparison())
    assert html.index(">note<") < html.index(">team<")
    table = comparison_table(a_comparison())
    assert "team" not in table
    assert "&lt;script&gt;" in table
    assert "do not differ" in comparison_table(a_comparison(rows=()))


def test_markdown() -> None:
    text = comparison_markdown(a_comparison(data=on_data()))
    assert "| f1 | 0.8 | 0.9 ▲ +0.1 (+12.5 %) |" in text
    assert "<script" not in text
    assert "| share of anomaly | 25.00% | – |" in text


def test_changes_as_texts() -> None:
    assert change_text(Change(0.1, 12.5, "worse")) == "▼ +0.1 (+12.5 %)"
    assert change_text(Change(1.0, None, "unknown")) == "△ +1"
    assert change_text(Change(-1.0, None, "unknown")) == "▽ -1"
    assert change_text(Change(1.0, 25_000.4, "better")) == "▲ +1 (+25,000 %)"
    assert change_text(Change(1.0, 2.5e9, "better")) == "▲ +1 (+2e+09 %)"
    assert change_text(Change(0.0, 0.0, "same")) == "="


def test_many_pairs_and_many_rows_end() -> None:
    told = Recommendation(winner="", basis="answers", sentence="s", reasons=("r",) * 190, cautions=("c",))
    assert remarks(told) == [*["r"] * 10, "and 180 more pairs", "c"]
    rows = tuple(ComparedRow(section="files", key=f"f{i}", values=(1, 2), differs=True) for i in range(500))
    assert "200 more rows not shown." in comparison_html(a_comparison(rows=rows))
    assert "200 more rows not shown." in comparison_markdown(a_comparison(rows=rows))

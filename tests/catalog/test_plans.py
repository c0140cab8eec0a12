"""Searches among many versions walk an index, and do not sort or scan them all."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chopmark.catalog import open_catalog, plans
from chopmark.catalog.filters import Slots
from chopmark.catalog.plans import leaders_of, led_by, parts_of, plan_of
from chopmark.catalog.sqlite import SqliteCatalog
from chopmark.domain.query import parse_query
from chopmark.testing.catalog_records import Records

NEWEST = [1_767_225_600_000_000, "0" * 32]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    catalog = open_catalog(str(tmp_path / "catalog.db"))
    assert isinstance(catalog, SqliteCatalog)
    yield catalog
    catalog.close()


def steps(catalog: SqliteCatalog, text: str, **rest: Any) -> list[list[str]]:
    """SQLite's plan of each statement of a search, the part that finds the keys."""
    slots, led = Slots(), rest.pop("led", False)
    limits = {"after": None, "in_project": False, "in_model": False, "deleted": False, "limit": 50, **rest}
    plan = plan_of(parse_query(text), slots, **limits)
    if led:
        plan = led_by(plan, leaders_of(plan, slots)[0])
    values = {**slots.values, "limit": 50, "project": "default", "model": b"x" * 16}
    search = catalog.statements.versions.search
    with sqlite3.connect(catalog.path) as connection:
        found = []
        for part in parts_of(plan):
            prepared = catalog.statements.compiler(search._chosen(part)[1])
            rows = connection.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", {**prepared.defaults, **values})
            found.append([row[3] for row in rows])
    connection.close()
    return found


def walks(plan: list[str], index: str) -> bool:
    """Whether the plan begins with this index, and sorts at most rows of one moment."""
    sorts = [step for step in plan if "TEMP B-TREE" in step and "LAST" not in step and "RIGHT PART" not in step]
    return index in plan[0] and not sorts


@pytest.mark.parametrize("after", [None, NEWEST])
@pytest.mark.parametrize(
    ("text", "limits", "index"),
    [
        ("", {}, "versions_by_time"),
        ("order by created_at desc", {}, "versions_by_time"),
        ("order by created_at", {}, "versions_by_time"),
        ('task = "x" and not tags.x', {}, "versions_by_time"),
        ('owner = "ann" and not tags.x', {}, "versions_by_owner"),
        ('team = "x"', {}, "versions_by_team"),
        ('format = "skops" and metrics.auc > 0.5', {}, "versions_by_format"),
        ("metrics.auc > 0.5", {}, "versions_by_time"),
        ('stage = "production"', {}, "versions_by_stage"),
        ('stage = "production" and metrics.auc > 0.5', {}, "versions_by_stage"),
        ("", {"in_model": True}, "versions_by_model"),
        ("", {"in_project": True}, "versions_by_project"),
        ("", {"deleted": True}, "versions_deleted"),
        ('tags.team = "risk"', {}, "PRIMARY KEY (key=? AND head=?"),
        ('tags.team = "risk" and stage = "production"', {}, "PRIMARY KEY (key=? AND head=?"),
        ('text ~ "forest"', {}, "version_words USING PRIMARY KEY (word=?"),
        ('text ~ "forest fraud"', {}, "version_words USING PRIMARY KEY (word=?"),
        ('text ~ "forest fr*" and stage = "production"', {}, "version_words USING PRIMARY KEY (word=?"),
        ('text ~ "fr*"', {}, "versions_by_time"),
        ('tags.team = "risk" and metrics.auc > 0.5 order by created_at desc', {}, "PRIMARY KEY (key=? AND head=?"),
    ],
)
def test_a_page_in_time_walks_an_index(
    catalog: SqliteCatalog, text: str, limits: dict[str, Any], index: str, after: list[Any] | None
) -> None:
    if after and "order by" in text:
        after = [NEWEST[0], *after]
    (plan,) = steps(catalog, text, after=after, **limits)
    assert walks(plan, index), plan


@pytest.mark.parametrize("after", [None, [0.5, *NEWEST]])
def test_an_order_by_a_metric_walks_its_index(catalog: SqliteCatalog, after: list[Any] | None) -> None:
    for direction in ("", " desc"):
        present, _ = steps(catalog, f"order by metrics.auc{direction}", after=after)
        assert walks(present, "o0 USING PRIMARY KEY (key=?"), present


@pytest.mark.parametrize("after", [None, [0.95, *NEWEST]])
def test_an_order_by_a_metric_begins_at_its_bound(catalog: SqliteCatalog, after: list[Any] | None) -> None:
    for text in (
        "metrics.auc > 0.9 and metrics.auc <= 1 order by metrics.auc",
        "metrics.auc order by metrics.auc desc",
    ):
        (present,) = steps(catalog, text, after=after)  # and no part without the metric
        assert walks(present, "o0 USING PRIMARY KEY (key=?"), present
        assert "(key=? AND value>? AND value<?)" in present[0] or "metrics.auc order" in text, present
    assert len(steps(catalog, "metrics.f1 > 0.9 order by metrics.auc")) == 2
    assert steps(catalog, "metrics.auc order by metrics.auc", after=[None, *NEWEST]) == []


@pytest.mark.parametrize("after", [None, [NEWEST[0], *NEWEST]])
@pytest.mark.parametrize("where", ["", 'tags.team = "risk" '])
def test_what_was_changed_last_walks_its_index(catalog: SqliteCatalog, where: str, after: list[Any] | None) -> None:
    (plan,) = steps(catalog, f"{where}order by updated_at desc", after=after)
    assert walks(plan, "versions_by_update"), plan


def test_few_rows_lead(catalog: SqliteCatalog) -> None:
    for text in (
        "metrics.auc > 0.5 and metrics.auc < 0.6",
        'params.lr = 0.1 and stage = "production"',
        'tags.team = "risk" order by metrics.auc',
    ):
        (plan,) = steps(catalog, text, led=True)
        assert "USING PRIMARY KEY (key=?" in plan[0], plan


@pytest.mark.parametrize(
    ("text", "limits", "index"),
    [
        ("", {"in_model": True}, "model_key=?"),
        ("metrics.auc", {"in_model": True}, "model_key=?"),
        ("", {"in_project": True}, "project_key=?"),
        ("", {"deleted": True}, "versions_deleted"),
        ('name = "fraud"', {}, "model_key=?"),
        ('stage = "production"', {}, "versions_by_stage"),
        ('owner = "ann"', {}, "versions_by_owner"),
        ('team = "risk"', {}, "versions_by_team"),
        ('format = "skops" and text ~ "forest"', {}, "versions_by_format"),
    ],
)
def test_few_versions_of_one_kind_lead_an_order_by_a_metric(
    catalog: SqliteCatalog, text: str, limits: dict[str, Any], index: str
) -> None:
    (plan,) = steps(catalog, f"{text} order by metrics.auc desc", led=True, **limits)
    assert plan[0] == "MATERIALIZE led", plan
    assert index in plan[1], plan
    assert [step for step in plan if step.startswith("SCAN") and index not in step] == ["SCAN led"], plan


def test_a_tag_in_a_stage_leads_an_order_by_a_metric(catalog: SqliteCatalog) -> None:
    slots = Slots()
    limits: dict[str, Any] = {"after": None, "in_project": False, "in_model": False, "deleted": False, "limit": 50}
    plan = plan_of(parse_query('tags.team = "risk" and stage = "staging" order by metrics.auc'), slots, **limits)
    stage, tag = leaders_of(plan, slots)
    assert ([t.field for t in stage], [t.field for t in tag]) == (["stage"], ["tags", "stage"])
    prepared = catalog.statements.compiler(catalog.statements.versions.search._chosen(led_by(plan, tag))[1])
    assert prepared.sql.count("version_tags.stage = ") >= 1
    assert "EXISTS" not in prepared.sql


def test_few_words_lead(catalog: SqliteCatalog) -> None:
    for text in ('text ~ "forest"', 'text ~ "forest fraud" order by metrics.auc', 'text ~ "forest" order by number'):
        (plan,) = steps(catalog, text, led=True)
        assert "version_words USING PRIMARY KEY (word=?" in plan[0], plan
        assert not [step for step in plan if step.startswith("SCAN")], plan


def test_few_words_that_begin_alike_lead(catalog: SqliteCatalog) -> None:
    (plan,) = steps(catalog, 'text ~ "fore*" and stage != "production" order by metrics.auc', led=True)
    assert any("version_words USING PRIMARY KEY (word>? AND word<?)" in step for step in plan), plan
    assert [step for step in plan if step.startswith("SCAN")] == ["SCAN led"], plan


def test_a_word_of_a_version_is_looked_up(catalog: SqliteCatalog) -> None:
    for text in ('text ~ "forest" or stage = "staging"', 'not text ~ "forest"', 'text ~ "fo*" order by metrics.auc'):
        plan = steps(catalog, text)[0]
        assert any("version_words_version (version_key=? AND word" in step for step in plan), plan


def test_a_name_leads(catalog: SqliteCatalog) -> None:
    (plan,) = steps(catalog, 'name = "fraud"')
    assert "models_by_name" in plan[0], plan


def test_what_may_lead() -> None:
    def leaders(text: str, **limits: Any) -> list[int]:
        slots = Slots()
        given = {"after": None, "in_project": False, "in_model": False, "deleted": False, "limit": 50, **limits}
        return [len(tests) for tests in leaders_of(plan_of(parse_query(text), slots, **given), slots)]

    assert leaders("metrics.a > 1 and metrics.b < 2 and metrics.a <= 3 and params.x = 1") == [2, 1, 1]
    assert leaders("metrics.a > 1 or metrics.b < 2") == leaders("not metrics.a > 1") == []
    assert leaders("metrics.a != 1 and params.x > 1 and metrics.a") == []
    assert leaders('text ~ "a bb* c" and metrics.a > 1') == [1, 1, 1, 1]
    assert leaders('text ~ "a b c d e f g h i j k l"') == [1] * 8
    assert leaders('not text ~ "a" and (text ~ "b" or stage = "staging")') == []
    assert leaders('tags.a = "b" and stage = "staging" order by metrics.a', in_project=True) == [1, 1, 2]
    assert leaders("metrics.a > 1 order by metrics.a", in_model=True, deleted=True) == [1, 1]
    assert leaders("metrics.a > 1 order by metrics.a") == leaders('stage = "staging" order by number') == []
    assert leaders("metrics.a > 1", in_model=True) == leaders("metrics.a > 1", deleted=True) == []


@pytest.mark.parametrize("few", [0, 2, 5_000])
def test_the_answer_does_not_depend_on_who_leads(
    catalog: SqliteCatalog, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "FEW", few)
    records = Records()
    with catalog.writing() as tx:
        model = records.add_model(tx)
        for n in range(1, 10):
            words = "common " + ("rare rarity" if n in (3, 7) else "usual") + (" early" if n < 8 else " late")
            facts: dict[str, Any] = {"metrics": {"auc": n / 10}, "params": {"even": n % 2 == 0}, "description": words}
            facts |= {"tags": {"team": "risk"}, "stage": "staging" if n in (2, 8) else "development"}
            records.add_version(tx, model, n, **facts)
        found = {
            text: [v.number for v in tx.versions.search(parse_query(text), limit=5).versions]
            for text in (
                "metrics.auc > 0.3 and metrics.auc <= 0.6 and params.even = true",
                "metrics.auc > 0.75 order by metrics.auc",
                "metrics.auc > 0.1 and params.even = false order by number",
                'text ~ "rar*"',
                'text ~ "rare common"',
                'text ~ "common early" order by metrics.auc desc',
                'text ~ "usual late" and metrics.auc > 0.8',
                'tags.team = "risk" and stage = "staging" order by metrics.auc desc',
            )
        }
    in_project = numbers_in_project(catalog, 'text ~ "common late"')
    assert list(found.values()) == [[6, 4], [8, 9], [3, 5, 7, 9], [7, 3], [7, 3], [7, 6, 5, 4, 3], [9], [8, 2]]
    assert in_project == [9, 8]


def numbers_in_project(catalog: SqliteCatalog, text: str) -> list[int]:
    with catalog.reading() as tx:
        return [v.number for v in tx.versions.search(parse_query(text), project="default", limit=5).versions]

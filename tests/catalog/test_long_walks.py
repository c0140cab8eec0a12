"""A full-text search looks at a limited number of rows a page; its pages together are the whole answer, in order."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from chopmark.abc.catalog import Catalog
from chopmark.catalog import open_catalog, plans, upgrade_catalog
from chopmark.domain.query import parse_query
from chopmark.testing.catalog_records import Records
from chopmark.testing.memory_catalog import MemoryCatalog

VERSIONS = 26
SEARCHES = (
    'text ~ "odd even"',
    'text ~ "odd"',
    'text ~ "odd common" order by created_at desc',
    'text ~ "comm*"',
    'text ~ "od*" and stage = "staging"',
    'text ~ "odd" and tags.team = "risk"',
    'text ~ "odd" order by metrics.auc',
    'text ~ "odd" order by metrics.auc desc',
    'text ~ "odd rare" order by metrics.auc desc',
    'text ~ "rar*" and metrics.auc >= 0.2 and metrics.auc < 0.4 order by metrics.auc',
    'text ~ "odd" and metrics.auc <= 0.3 order by metrics.auc desc',
    'text ~ "even" order by metrics.flat desc',
    'text ~ "even" and not metrics.auc order by metrics.auc',
    'text ~ "odd" order by metrics.auc, metrics.flat',
    'text ~ "odd" order by number',
    'tags.team = "risk" and metrics.auc >= 0.1 and metrics.auc < 0.4',
    "metrics.auc >= 0.1 and metrics.auc < 0.4 order by created_at desc",
    "metrics.flat = 1 and runs_code = true",
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    url = str(tmp_path / "catalog.db")
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_catalog_url")
    upgrade_catalog(url)
    catalog = open_catalog(url)
    yield catalog
    catalog.close()


def fill(*catalogs: Catalog) -> None:
    """Versions of which several are of one moment, several have equal values, and some have none; the same in each."""
    records = Records()
    project, model = records.project(), records.model()
    versions = []
    start = records.now()
    for n in range(1, VERSIONS + 1):
        words = "odd" if n % 2 else "even"
        words += " common" if n % 3 else ""
        words += " rare rarity" if n % 13 == 5 else ""
        at = start + timedelta(seconds=n // 6)  # six of one moment
        metrics = {"flat": 1.0} | ({} if n % 7 == 0 else {"auc": n % 5 / 10})
        facts: dict[str, Any] = {"metrics": metrics, "description": words, "created_at": at, "tags": {"team": "risk"}}
        manifest = records.manifest()
        stage = "staging" if n % 4 else "development"
        versions.append((records.version(model, n, manifest, **facts, stage=stage), manifest))
    for catalog in catalogs:
        with catalog.writing() as tx:
            tx.projects.insert(project)
            tx.models.insert(model)
            for version, manifest in versions:
                tx.versions.insert(version, manifest)


def pages(catalog: Catalog, text: str, limit: int, project: str | None = None) -> list[list[int]]:
    found: list[list[int]] = []
    after: list[Any] | None = None
    while True:
        with catalog.reading() as tx:
            page = tx.versions.search(parse_query(text), project=project, after=after, limit=limit)
        found.append([v.number for v in page.versions])
        if page.position is None:
            return found
        assert page.position != after, "no way forward"
        after = page.position
        assert len(found) < 10 * VERSIONS


@pytest.mark.parametrize("looked_at", [1, 5])
@pytest.mark.parametrize("few", [0, 4, 1_000])
def test_pages_together_are_the_answer(
    catalog: Catalog, looked_at: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "FEW", few)
    monkeypatch.setattr(plans, "LOOKED_AT_MAX", looked_at)
    monkeypatch.setattr(plans, "_SIZES", (2, 6, 2**62))
    meaning = MemoryCatalog()
    fill(meaning, catalog)
    short = 0
    for text in SEARCHES:
        for limit, project in ((1, None), (4, None), (50, "default")):
            found = pages(catalog, text, limit, project)
            expected = pages(meaning, text, limit, project)
            assert list(chain(*found)) == list(chain(*expected)), (text, limit)
            short += sum(len(page) < limit for page in found[:-1])
    assert short > 0


def test_a_page_that_looks_at_nothing_it_wants_says_that_there_are_more(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "FEW", 0)
    monkeypatch.setattr(plans, "LOOKED_AT_MAX", 7)
    fill(catalog)
    with catalog.reading() as tx:
        page = tx.versions.search(parse_query('text ~ "odd even"'), limit=5)
        assert (page.versions, page.position is None) == ([], False)
    assert pages(catalog, 'text ~ "odd even"', 5)[-1] == []
    with catalog.reading() as tx:  # no words: as long as it takes
        page = tx.versions.search(parse_query('task = "none"'), limit=5)
    assert (page.versions, page.position) == ([], None)

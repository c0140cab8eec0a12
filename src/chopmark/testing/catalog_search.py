"""Laws of searches: whatever the versions, the filter and the order, every catalog answers alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chopmark.abc.catalog import Catalog, KeyedField, VersionChange
from chopmark.domain.manifest import Environment
from chopmark.domain.query import (
    FIELDS,
    KEYED,
    And,
    Compare,
    Expr,
    FieldName,
    In,
    Not,
    Or,
    Order,
    Present,
    Query,
    matches,
    parse_query,
    text_condition,
)
from chopmark.domain.semver import SemVer
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records
from chopmark.testing.memory_catalog import MemoryCatalog

__all__ = ["SearchLaws", "exprs", "orders", "version_facts"]

# Few values, so that they meet; odd ones, so that databases could disagree.
TEXTS = ("", "a", "A", "b", "ab", "aB_", "%", "a%", "\\", "'", "é", "É", "ß", "😀", "10", "9")
KEYS = ("x", "y", "f1 (macro)")
NUMBERS = (0.0, -1.0, 0.1, 0.1 + 0.2, 0.3, 1.0, 9.0, 10.0, 1e300, 5e-324)
PARAMS: tuple[Any, ...] = (True, False, 0, 1, 1.0, 2**53 + 1, 0.1, "", "a", "1", "true", None, [1], float("inf"))
SEMVERS = ("1.0.0", "1.2.0", "1.10.0", "1.10.0-rc.1", "1.10.0-rc.10", "1.10.0-rc.2", "2.0.0-1", "2.0.0-a", "2.0.0+b")
LONG = "x" * 200
EXAMPLES = 60

# Full text: words with odd cases and forms, prefixes, and one that is cut.
PHRASES = ("fraud", "FRAUD*", "a", "ß", "É", "ab* 10", "x*", "x y", "ﬁ", "nothing", LONG, LONG + "b", "1*", "ab ab* a")

texts = st.sampled_from(TEXTS)
numbers = st.sampled_from(NUMBERS)


def _maps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(KEYS), values, max_size=3)


@st.composite
def version_facts(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a version that a search can ask for."""
    return {
        "kind": draw(st.sampled_from(("artifact", "external"))),
        "state": draw(st.sampled_from(("ready", "pending"))),
        "stage": draw(st.sampled_from(("development", "production"))),
        "format": draw(st.sampled_from(("", "skops", "onnx"))),
        "environment": Environment(framework=draw(st.sampled_from(("", "scikit-learn")))),
        "owner": draw(texts),
        "description": draw(texts | st.sampled_from(("fi ss É ab", "a-b_10", LONG + "b"))),
        "card": draw(texts | st.just("# Card\n\nabc 10 x y é")),
        "runs_code": draw(st.booleans()),
        "size_bytes": draw(st.sampled_from((0, 1, 3, 4, 2**40))),
        "cost_per_request": draw(st.none() | numbers),
        "metrics": draw(_maps(numbers)),
        "params": draw(_maps(st.sampled_from(PARAMS))),
        "tags": draw(_maps(texts | st.sampled_from((LONG, LONG + "a", LONG + "b")))),
    }


def _fields() -> st.SearchStrategy[FieldName]:
    plain = st.sampled_from([FieldName(name) for name in FIELDS if name != "text"])
    keyed = st.builds(FieldName, st.sampled_from(list(KEYED)), st.sampled_from(KEYS))
    return plain | keyed


@st.composite
def conditions(draw: st.DrawFn) -> Expr:
    """A single condition, with values of the field's kind."""
    if draw(st.integers(0, 5)) == 0:
        return text_condition(draw(st.sampled_from(PHRASES)))
    field = draw(_fields())
    form = draw(st.sampled_from(("present", "in", "compare", "compare", "compare")))
    if form == "present":
        return Present(field)
    values = _values(field)
    if form == "in":
        return In(field, tuple(draw(st.lists(values, min_size=1, max_size=3))))
    value = draw(values)
    operators = ["=", "!="]
    if field.type != "bool":
        operators += ["<", "<=", ">", ">="]
    if field.type in ("text", "any") and isinstance(value, str):
        operators += ["~", "like"]
    return Compare(field, draw(st.sampled_from(operators)), value)


def _values(field: FieldName) -> st.SearchStrategy[Any]:
    match field.type:
        case "number" | "time":
            return st.sampled_from((0, 1, 3, 3.5, 10, 0.1 + 0.2, 1e300, 1_767_225_600_000_000))
        case "bool":
            return st.booleans()
        case "semver":
            return st.sampled_from([SemVer.parse(s).sort_key for s in SEMVERS])
        case "any":
            return st.booleans() | numbers | texts | st.just(2.0**53)
        case "text" | "words":
            stages = ("production", "development", "ready", "artifact", "p0", "fraud", "champion")
            return texts | st.sampled_from((*stages, LONG, LONG + "b"))


exprs = st.recursive(
    conditions(),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=5,
)


@st.composite
def orders(draw: st.DrawFn) -> tuple[Order, ...]:
    """Up to two terms; aliases give no order."""
    fields = _fields().filter(lambda f: f.name != "alias")
    return tuple(draw(st.lists(st.builds(Order, fields, st.booleans()), max_size=2)))


class SearchLaws:
    """Searching."""

    def test_pages_join_without_gap_or_repeat(self, catalog: Catalog, records: Records) -> None:
        """Versions of one moment too; the last page has no position."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            at = records.now()
            versions = [records.add_version(tx, model, n, created_at=at) for n in range(1, 12)]
            expected = sorted(versions, key=lambda v: v.id.hex, reverse=True)
            found, position = [], None
            while True:
                page = tx.versions.search(parse_query(""), after=position, limit=4)
                found += page.versions
                position = page.position
                if position is None:
                    break
                assert len(page.versions) == 4
        assert found == expected

    def test_a_page_holds_while_rows_are_added(self, catalog: Catalog, records: Records) -> None:
        """A new version goes before the position, and is not met again."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            for n in (1, 2, 3):
                records.add_version(tx, model, n)
        with catalog.reading() as tx:
            first = tx.versions.search(parse_query(""), limit=2)
        with catalog.writing() as tx:
            records.add_version(tx, model, 4)
        with catalog.reading() as tx:
            second = tx.versions.search(parse_query(""), after=first.position, limit=2)
        assert [v.number for v in (*first.versions, *second.versions)] == [3, 2, 1]
        assert second.position is None

    def test_a_position_of_another_order_is_refused(self, catalog: Catalog, records: Records) -> None:
        """`InvalidRequest`, whatever it holds."""
        with catalog.writing() as tx:
            records.add_version(tx, records.add_model(tx), 1)
        with catalog.reading() as tx:
            for position in ([], [1], ["x", "y"], [1, "nothex"], [None, None, None], [1, 2, 3, 4]):
                with pytest.raises(InvalidRequest):
                    tx.versions.search(parse_query(""), after=position, limit=2)
            with pytest.raises(InvalidRequest):
                tx.versions.search(parse_query("order by number"), after=[None, 1, "0" * 32], limit=2)

    def test_a_filter_is_no_sql(self, catalog: Catalog, records: Records) -> None:
        """Values and keys that look like SQL find what has them, and nothing else happens."""
        odd = "x'; DROP TABLE versions; --"
        with catalog.writing() as tx:
            model = records.add_model(tx)
            records.add_version(tx, model, 1, tags={"a": odd}, owner=odd, description="100%_\\")
            records.add_version(tx, model, 2, tags={"a": "x"})
        with catalog.reading() as tx:
            for query in (f'tags.a = "{odd}"', f'owner ~ "{odd}"', 'description like "100%_\\\\"'):
                found = tx.versions.search(parse_query(query), limit=9)
                assert [v.number for v in found.versions] == [1], query
            assert tx.versions.search(parse_query('tags."a\' OR 1=1 --"'), limit=9).versions == []

    def test_a_truth_is_there_when_it_is_true(self, catalog: Catalog, records: Records) -> None:
        """``runs_code`` alone, negated and in brackets, as the condition says it with ``= true``."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            records.add_version(tx, model, 1, runs_code=True)
            records.add_version(tx, model, 2, runs_code=False)
        with catalog.reading() as tx:
            for query, numbers in (
                ("runs_code", [1]),
                ("not runs_code", [2]),
                ("number > 0 and (runs_code or number = 2) order by number", [1, 2]),
            ):
                found = tx.versions.search(parse_query(query), limit=9)
                assert [v.number for v in found.versions] == numbers, query

    def test_words_of_all_texts_find_a_version(self, catalog: Catalog, records: Records) -> None:
        """Of name, description, tags and card, without regard to case, form and order; every word must be there."""
        with catalog.writing() as tx:
            model = records.add_model(tx, "card-fraud")
            texts: dict[str, Any] = {"description": "An Isolation-Forest, ﬁne", "card": "# Überwachung\n\ntrees: 200"}
            records.add_version(tx, model, 1, tags={"cost_centre": "R&D 42"}, **texts)
            records.add_version(tx, model, 2, description="a forest of trees")
        with catalog.reading() as tx:
            for text, numbers in (
                ("FRAUD", [2, 1]),
                ("forest isolation", [1]),
                ("fine überwachung", [1]),
                ("centre 42 d", [1]),
                ("fores*", [2, 1]),
                ("fores", []),
                ("fo* tre* 20*", [1]),
                ("forest nothing", []),
                ("x" * 100, []),
            ):
                found = tx.versions.search(parse_query(f'text ~ "{text}"'), limit=9)
                assert [v.number for v in found.versions] == numbers, text

    def test_words_follow_what_is_said_about_a_version(self, catalog: Catalog, records: Records) -> None:
        """A change of description, card or tags renews them, another leaves them; a version's end removes them."""

        def found(text: str) -> list[int]:
            with catalog.reading() as tx:
                page = tx.versions.search(parse_query(f'text ~ "{text}" order by number'), limit=9)
            return [v.number for v in page.versions]

        def change(**fields: Any) -> None:
            with catalog.writing() as tx:
                tx.versions.update(version.id, VersionChange(**fields), records.now())

        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1, description="old words", tags={"team": "risk"}, card="old card")
        change(description="new words")
        assert (found("new"), found("old words"), found("fraud risk words card")) == ([1], [1], [1])
        change(card="")
        assert (found("old"), found("card"), found("new words team")) == ([], [], [1])
        change(tags={"group": "blue"})
        assert (found("team"), found("risk"), found("group blue new")) == ([], [], [1])
        change(stage="staging", annotations={"a": "unseen"})
        assert (found("unseen"), found("words")) == ([], [1])
        with catalog.writing() as tx:
            tx.versions.purge(version.id)
            assert tx.versions.search(parse_query('text ~ "words"'), limit=9).versions == []

    def test_keys_are_listed_once_in_order(self, catalog: Catalog, records: Records) -> None:
        """Of what a search compares: an empty tag and a parameter that is a list are none."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            assert tx.versions.keys("metrics", limit=9) == []
            for n in (1, 2, 3):
                facts: dict[str, Any] = {"metrics": {"f1 (macro)": 0.1, "auc": n}, "tags": {"Z": "x", "empty": ""}}
                records.add_version(tx, model, n, params={"depth": n, "layers": [n], f"p{n}": True}, **facts)
        with catalog.reading() as tx:
            versions = tx.versions
            assert versions.keys("metrics", limit=9) == ["auc", "f1 (macro)"]
            assert versions.keys("params", limit=3) == ["depth", "p1", "p2"]
            assert versions.keys("tags", limit=9) == ["Z"]
            asked: tuple[tuple[KeyedField, str], ...] = (
                ("metrics", "auc"), ("metrics", "AUC"), ("params", "layers"), ("params", "p3"), ("tags", "empty"),
            )  # fmt: skip
            assert [versions.has_key(field, key) for field, key in asked] == [True, False, False, True, False]

    def test_every_search_means_what_matches_means(self, catalog: Catalog, records: Records) -> None:
        """The same versions in the same order as the double, on every page."""

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(
            facts=st.lists(version_facts(), min_size=1, max_size=8),
            semvers=st.permutations(SEMVERS),
            queries=st.lists(st.builds(Query, st.none() | exprs, orders()), min_size=1, max_size=6),
            limit=st.integers(1, 5),
            in_model=st.booleans(),
        )
        def check(
            facts: list[dict[str, Any]], semvers: list[str], queries: list[Query], limit: int, in_model: bool
        ) -> None:
            versions = [{**fact, "semver": semver} for fact, semver in zip(facts, semvers, strict=False)]
            both = _Twins(catalog, records, versions)
            for query in queries:
                both.compare(query, limit, in_model=in_model)

        check()


class _Twins:
    """The same versions in a catalog and in the double, in a project of their own."""

    def __init__(self, catalog: Catalog, records: Records, versions: list[dict[str, Any]]) -> None:
        self.catalog = catalog
        self.double = MemoryCatalog()
        self.count = len(versions)
        project = records.project(f"p{records.id().hex}")
        self.model = records.model("fraud", project.name)
        made = [records.manifest() for _ in versions]
        rows = [records.version(self.model, n, m, **v) for n, (m, v) in enumerate(zip(made, versions, strict=True), 1)]
        aliases = [records.alias(self.model, name, 1) for name in ("champion", "a")]
        change = VersionChange(deleted_at=records.now())
        for each in (catalog, self.double):
            with each.writing() as tx:
                tx.projects.insert(project)
                tx.models.insert(self.model)
                for version, manifest in zip(rows, made, strict=True):
                    tx.versions.insert(version, manifest)
                for alias in aliases:
                    tx.aliases.put(self.model.id, alias)
                tx.versions.update(rows[-1].id, change, aliases[0].updated_at)

    def compare(self, query: Query, limit: int, *, in_model: bool) -> None:
        """All pages of a query, those of soft-deleted versions too."""
        # Other examples are in the same catalog, so one limit is needed.
        limits: dict[str, Any] = {"model_id": self.model.id} if in_model else {"project": self.model.project}
        with self.catalog.reading() as tx, self.double.reading() as memory:
            for deleted in (False, True):
                position = None
                for _ in range(self.count + 1):
                    where = {**limits, "limit": limit, "deleted": deleted, "after": position}
                    page = tx.versions.search(query, **where)
                    expected = memory.versions.search(query, **where)
                    assert page == expected
                    assert all(matches(query.where, v) for v in page.versions)
                    position = page.position
                    if position is None:
                        break
                assert position is None

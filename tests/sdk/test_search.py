"""Finding versions and models: every field, words, orders, typing errors, and pages as tables."""

import pytest

import chopmark as cm
from chopmark.app import models as app_models
from chopmark.errors import InvalidRequest, NotFound


@pytest.fixture
def filled(registry: cm.Registry) -> cm.Registry:
    """Three versions of two models that differ in every field that a search can ask for."""
    registry.models.create("churn", task="ranking", owner="ben", team="growth", description="Who leaves us")
    registry.register(
        "fraud",
        {"a": 1},
        metrics={"roc_auc": 0.90, "log_loss": 0.30, "score": 1},
        params={"depth": 3, "solver": "lbfgs", "warm": True},
        tags={"team": "risk"},
        description="An isolation forest",
        card="# Fraud\n\nTrained on payments.",
        owner="ada",
        team="risk",
        task="anomaly",
    )
    registry.register("fraud", {"a": 2}, metrics={"roc_auc": 0.80, "log_loss": 0.20, "score": 2}, owner="ada")
    registry.register("churn", {"b": 1}, params={"depth": 5}, tags={"approved": "yes"}, owner="ben")
    registry.promote("fraud:2", "staging", reason="checked")
    registry.alias("fraud@champion", "fraud:1")
    return registry


def found(registry: cm.Registry, where: str = "", **options: str) -> list[str]:
    return [version.ref for version in registry.search(where, **options)]


FINDS: list[tuple[str, list[str]]] = [
    ('name = "churn"', ["churn:1"]),
    ('name ~ "RAU"', ["fraud:2", "fraud:1"]),
    ('name like "c%n"', ["churn:1"]),
    ('stage = "staging"', ["fraud:2"]),
    ('stage in ("production", "staging")', ["fraud:2"]),
    ('state = "ready" and number > 1', ["fraud:2"]),
    ('alias = "champion"', ["fraud:1"]),
    ("alias", ["fraud:1"]),
    ('format = "json" and not alias and number = 1', ["churn:1"]),
    ("not framework", ["churn:1", "fraud:2", "fraud:1"]),
    ('task = "anomaly"', ["fraud:2", "fraud:1"]),
    ('owner != "ada"', ["churn:1"]),
    ('team = "risk"', ["fraud:2", "fraud:1"]),
    ('created_at > "2026-01-01" order by created_at', ["fraud:1", "fraud:2", "churn:1"]),
    ('created_at < "2026-01-01"', []),
    ("number >= 2", ["fraud:2"]),
    ('semver > "1.0.0"', ["fraud:2"]),
    ("metrics.roc_auc >= 0.85", ["fraud:1"]),
    ("metrics.roc_auc", ["fraud:2", "fraud:1"]),
    ("params.depth > 2 and params.depth <= 3", ["fraud:1"]),
    ('params.solver = "lbfgs" and params.warm = true', ["fraud:1"]),
    ('tags.team ~ "is"', ["fraud:1"]),
    ("tags.approved", ["churn:1"]),
    ("not (tags.approved or tags.team)", ["fraud:2"]),
    ('text ~ "isolation"', ["fraud:1"]),
    ('text ~ "fraud" and not text ~ "payments"', ["fraud:2"]),
    ('text ~ "approv*" or number = 2', ["churn:1", "fraud:2"]),
    ("order by metrics.log_loss", ["fraud:2", "fraud:1", "churn:1"]),
    ("order by metrics.log_loss desc", ["fraud:1", "fraud:2", "churn:1"]),
    ("order by name desc, semver desc", ["fraud:2", "fraud:1", "churn:1"]),
    ("order by owner desc, params.depth", ["churn:1", "fraud:1", "fraud:2"]),
    ("order by stage, team desc", ["fraud:1", "churn:1", "fraud:2"]),
]


def test_every_field_finds_and_orders(filled: cm.Registry) -> None:
    wrong = {where: got for where, refs in FINDS if (got := found(filled, where)) != refs}
    assert wrong == {}


def test_words_join_the_filter(filled: cm.Registry) -> None:
    assert found(filled, text="PAYMENTS forest") == ["fraud:1"]
    assert found(filled, "number = 2", text="fraud") == ["fraud:2"]
    assert found(filled, 'owner = "ada" or owner = "ben"', text="churn") == ["churn:1"]
    assert found(filled, "order by number desc", text="fra*") == ["fraud:2", "fraud:1"]
    assert [v.ref for v in filled.versions.each(text="risk")] == ["fraud:1"]
    with pytest.raises(InvalidRequest, match="no word"):
        filled.search(text="--")
    with pytest.raises(InvalidRequest, match="at most 50 words"):
        filled.search(text=" ".join(map(str, range(60))))


def test_a_cursor_belongs_to_its_words(filled: cm.Registry) -> None:
    page = filled.search(text="fraud", limit=1)
    assert [v.ref for v in filled.search(text="fraud", limit=1, cursor=page.cursor)] == ["fraud:1"]
    with pytest.raises(InvalidRequest, match="cursor"):
        filled.search(text="other", limit=1, cursor=page.cursor)


def test_words_follow_an_update(filled: cm.Registry) -> None:
    filled.versions.update("fraud:1", description="A boosted tree", tags={"note": "überprüft"})
    assert found(filled, text="isolation") == []
    assert found(filled, text="boosted ÜBERPRÜFT payments") == ["fraud:1"]


def test_a_key_that_no_version_has_is_told(filled: cm.Registry) -> None:
    empty = filled.search('metrics.roc_acu > 0.5 and tags.Team = "risk" and params.depth = 99')
    assert empty.unknown == {"metrics.roc_acu": ("metrics.roc_auc",), "tags.Team": ("tags.team",)}
    assert "No version has metrics.roc_acu. Did you mean metrics.roc_auc?" in repr(empty)
    assert filled.search("order by metrics.los").unknown == {"metrics.los": ("metrics.log_loss",)}
    assert filled.search("params.nothing_like_it").unknown == {"params.nothing_like_it": ()}
    assert filled.search("metrics.roc_auc > 2").unknown == {}
    assert filled.search("not tags.unknown").unknown == {}


def test_the_best_is_the_lowest_of_what_should_be_low(filled: cm.Registry) -> None:
    best = filled.versions.best
    assert [best("fraud", m).ref for m in ("roc_auc", "log_loss", "score")] == ["fraud:1", "fraud:2", "fraud:2"]
    assert best("fraud", "log_loss", direction="maximize").ref == "fraud:1"
    assert best("fraud", "score", direction="minimize").ref == "fraud:1"
    with pytest.raises(NotFound, match="no version with the metric 'rocauc'") as caught:
        best("fraud", "rocauc")
    with pytest.raises(InvalidRequest, match=r"in order of metrics\.score and takes no other"):
        best("fraud", "score", where="number > 1 order by number")
    assert caught.value.hint == "Did you mean metrics.roc_auc?"


def test_models_are_found_by_words(filled: cm.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(**options: object) -> list[str]:
        return [m.name for m in filled.models.list(**options)]  # type: ignore[arg-type]

    filled.models.update("fraud", tags={"tier": "one"}, card="# Card\n\nOf the bank")
    assert names(text="growth LEAVES") == ["churn"]
    assert names(text="tier bank") == ["fraud"]
    assert names(text="fr*", contains="rau") == ["fraud"]
    assert names(text="nothing") == []
    for n in range(5):
        filled.models.create(f"m{n}", owner="eve" if n % 2 else "")
    monkeypatch.setattr(app_models, "PAGE_SIZE_MAX", 2)
    monkeypatch.setattr(app_models, "MODELS_READ_MAX", 4)
    seen, cursor, pages = [], "", 0
    while True:
        page = filled.models.list(text="eve", limit=1, cursor=cursor)
        seen += [m.name for m in page]
        pages, cursor = pages + 1, page.cursor
        if not cursor:
            break
    assert (seen, pages) == (["m1", "m3"], 2)
    short = filled.models.list(text="m4", limit=5)
    assert (len(short), bool(short.cursor)) == (0, True)
    assert [m.name for m in filled.models.list(text="m4", limit=5, cursor=short.cursor)] == ["m4"]


def test_a_search_turns_into_tables(filled: cm.Registry) -> None:
    page = filled.search("order by metrics.roc_auc desc")
    frames = [page.to_pandas(), page.to_polars().to_pandas(), page.to_arrow().to_pandas()]
    for frame in frames:
        assert frame["metrics.roc_auc"].tolist()[:2] == [0.90, 0.80]
        assert frame["number"].tolist() == [1, 2, 1]
        assert frame["metrics.roc_auc"].isna().tolist() == [False, False, True]


def test_values_of_several_types_share_a_column_as_text(local: cm.Registry) -> None:
    mixed: list[object] = [3, "auto", True, 0.5, None, [1, 2], {"a": 1}, 2**70]
    for n, value in enumerate(mixed):
        local.register("fraud", {"n": n}, params={"depth": value, "rate": 1 if n % 2 else 0.5, "large": 2**70 + n})
    page = local.search("order by number")
    depth = ["3", "auto", "true", "0.5", None, "[1,2]", '{"a":1}', str(2**70)]
    for table in (page.to_arrow().to_pydict(), page.to_polars().to_dict(as_series=False)):
        assert table["params.depth"] == depth
        assert table["params.rate"] == [0.5, 1.0] * 4
        assert table["params.large"] == [str(2**70 + n) for n in range(8)]
        assert table["number"] == list(range(1, 9))
    assert page.to_pandas()["params.depth"].tolist()[:3] == [3, "auto", True]

"""The life of a version on every back end: registered, found, moved, deleted, brought back."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.versions import ProjectRules
from chopmark.errors import AlreadyRegistered, Conflict, GateRefused, InvalidRequest, NotFound

_threshold = itertools.count()


def a_version(registry: cm.Registry, name: str = "fraud", **facts: object) -> cm.Version:
    """Register something small that was never registered before."""
    return registry.register(name, {"threshold": next(_threshold)}, **facts)  # type: ignore[arg-type]


def test_numbers_and_semver_count_up(registry: cm.Registry) -> None:
    first = a_version(registry)
    second = a_version(registry, bump="minor")
    third = a_version(registry, bump="major")
    fourth = a_version(registry, semver="3.0.0-rc.1")
    fifth = a_version(registry, bump="patch")
    assert [v.number for v in (first, second, third, fourth, fifth)] == [1, 2, 3, 4, 5]
    assert [v.semver for v in (first, second, third, fourth, fifth)] == [
        "1.0.0",
        "1.1.0",
        "2.0.0",
        "3.0.0-rc.1",
        "3.0.0",
    ]
    with pytest.raises(Conflict, match=r"has the version 2\.0\.0 already"):
        a_version(registry, semver="2.0.0")
    assert registry.get("fraud").number == 5


def test_every_reference_form_answers_number_and_digest(registry: cm.Registry) -> None:
    one, two = a_version(registry), a_version(registry, bump="minor")
    registry.alias("fraud@champion", one)
    registry.promote(one, "staging", reason="r")
    registry.promote(one, "production", reason="r")
    expected = {
        "fraud": two,
        "fraud:latest": two,
        "fraud:1": one,
        "fraud:1.0.0": one,
        "fraud:^1.0": two,
        "fraud:~1.0": one,
        "fraud@champion": one,
        "fraud#production": one,
        f"fraud@{one.digest}": one,
        f"fraud@{two.digest[:17]}": two,
        "models:/fraud/1": one,
        "models:/fraud/Production": one,
        "models:/fraud@champion": one,
        "default/fraud:2": two,
    }
    for ref, version in expected.items():
        found = registry.get(ref)
        assert (found.number, found.digest) == (version.number, version.digest), ref


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("nothing", "no model 'nothing'"),
        ("frau", "Did you mean fraud?"),
        ("fraud:9", "Its newest are fraud:1"),
        ("fraud@nobody", "It has the aliases champion"),
        ("fraud#canary", "no version in canary"),
        ("fraud:^7", "no release in ^7"),
        ("fraud@sha256:ffffff", "no version sha256:ffffff"),
        ("other/fraud", "no model 'other/fraud'"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(registry: cm.Registry, ref: str, says: str) -> None:
    registry.alias("fraud@champion", a_version(registry))
    with pytest.raises(NotFound) as caught:
        registry.get(ref)
    assert says in str(caught.value)


def test_the_same_content_is_one_version(registry: cm.Registry) -> None:
    first = registry.register("fraud", {"threshold": "same"})
    with pytest.warns(AlreadyRegistered, match="fraud:1"):
        again = registry.register("fraud", {"threshold": "same"})
    assert again.id == first.id
    twin = registry.register("fraud", {"threshold": "same"}, allow_twin=True)
    assert (twin.number, twin.digest) == (2, first.digest)
    elsewhere = registry.register("other", {"threshold": "same"})
    assert (elsewhere.number, elsewhere.digest) == (1, first.digest)


def test_everything_said_at_registration_is_read_back(registry: cm.Registry) -> None:
    facts = {
        "description": "finds fraud",
        "card": "# Card",
        "task": "binary-classification",
        "owner": "ada",
        "team": "risk",
        "risk_tier": "high",
        "compliance": ("GDPR", "SOX"),
        "business_value": "saves 2 M a year",
        "cost_per_request": 0.002,
        "run_id": "run-7",
        "experiment_id": "exp-1",
        "metadata": {"ticket": 42, "nested": {"a": [1, None]}},
    }
    made = registry.register(
        "fraud",
        {"threshold": "facts"},
        metrics={"f1": 0.9},
        params={"depth": 3},
        tags={"k": "v"},
        dataset=cm.dataset([1, 2], name="d"),
        **facts,  # type: ignore[arg-type]
    )
    read = registry.get(made)
    assert read == made
    for name, value in facts.items():
        assert getattr(read, name) == value
    assert (read.metrics, read.params, read.tags) == (
        {"f1": 0.9},
        {"depth": 3, **{k: v for k, v in read.params.items() if k != "depth"}},
        {"k": "v"},
    )
    assert read.created_by == "ada"
    assert read.datasets[0].name == "d"
    assert read.environment.python.count(".") == 2


def test_stages_move_as_designed_with_a_history(registry: cm.Registry, clock: FakeClock) -> None:
    version = a_version(registry)
    with pytest.raises(Conflict, match="cannot move from development to production"):
        registry.promote(version, "production", reason="now")
    with pytest.raises(InvalidRequest, match="needs a reason"):
        registry.promote(version, "staging", reason=" ")
    with pytest.raises(InvalidRequest, match="not a stage"):
        registry.promote(version, "prod", reason="r")
    with pytest.raises(InvalidRequest, match="its own verb"):
        registry.promote(version, "archived", reason="r")
    moved = registry.promote(version, "staging", reason="looks good")
    between = clock.now
    clock.advance(timedelta(hours=1))
    registry.promote(version, "production", reason="beats the champion")
    history = registry.stages.history(version)
    assert [(m.from_stage, m.to_stage, m.reason, m.actor) for m in history] == [
        ("staging", "production", "beats the champion", "ada"),
        ("development", "staging", "looks good", "ada"),
    ]
    assert moved.stage == "staging"
    assert registry.stages.at(version, between) == "staging"
    assert registry.stages.at(version, version.created_at) == "development"
    assert registry.stages.at(version, datetime(2020, 1, 1, tzinfo=UTC)) == ""


def test_deprecate_archive_and_back(registry: cm.Registry) -> None:
    old, new = a_version(registry), a_version(registry)
    for stage in ("staging", "production"):
        registry.promote(old, stage, reason="r")
    day = datetime(2027, 1, 1, tzinfo=UTC)
    announced = registry.stages.deprecate(old, reason="too slow", at=day, successor=new)
    assert announced.stage == "production"
    assert announced.deprecation is not None
    assert (announced.deprecation.at, announced.deprecation.successor) == (day, "fraud:2")
    assert registry.stages.deprecate(old, reason="too slow", successor=new).stage == "deprecated"
    back = registry.promote(old, "production", reason="the successor failed")
    assert back.deprecation is None
    archived = registry.stages.archive(old, reason="done")
    assert archived.stage == "archived"
    assert registry.get("fraud").number == 2
    with pytest.raises(Conflict, match="archived"):
        registry.stages.deprecate(old, reason="r")
    assert registry.promote(old, "development", reason="again").stage == "development"
    with pytest.raises(InvalidRequest, match="own successor"):
        registry.stages.deprecate(new, reason="r", successor=new)


def test_one_version_in_production_is_a_rule(registry: cm.Registry) -> None:
    one, two = a_version(registry), a_version(registry)
    registry.projects.configure("default", rules=ProjectRules(one_production_version=True), reason="policy")
    for version in (one, two):
        registry.promote(version, "staging", reason="r")
    registry.promote(one, "production", reason="r")
    with pytest.raises(GateRefused) as caught:
        registry.promote(two, "production", reason="r")
    assert caught.value.findings == ["fraud:1 is in production, and the project allows one version there"]
    assert registry.get(two).stage == "staging"


def test_aliases_have_a_history_and_answer_for_any_time(registry: cm.Registry, clock: FakeClock) -> None:
    one, two = a_version(registry), a_version(registry)
    before = clock.now
    clock.advance(timedelta(days=1))
    registry.alias("fraud@champion", one, reason="first")
    third_of_march = clock.now
    clock.advance(timedelta(days=1))
    registry.alias("fraud@champion", two, reason="better")
    registry.alias("fraud@champion", two)  # no change, no event
    assert registry.aliases.at("fraud@champion", third_of_march).number == 1
    assert registry.aliases.at("fraud@champion", clock.now).number == 2
    with pytest.raises(NotFound, match="pointed to nothing"):
        registry.aliases.at("fraud@champion", before)
    assert registry.get(two).aliases == ("champion",)
    registry.aliases.remove("fraud@champion", reason="end")
    moves = registry.aliases.history("fraud@champion")
    assert [(m.previous, m.number, m.reason) for m in moves] == [(2, None, "end"), (1, 2, "better"), (None, 1, "first")]
    with pytest.raises(NotFound, match="no alias"):
        registry.aliases.remove("fraud@champion")
    assert registry.get(two).aliases == ()


def test_a_protected_alias_needs_force_and_a_reason(registry: cm.Registry) -> None:
    one, two = a_version(registry), a_version(registry)
    registry.aliases.set("fraud@champion", one, protected=True)
    with pytest.raises(Conflict, match="protected"):
        registry.alias("fraud@champion", two)
    with pytest.raises(InvalidRequest, match="reason"):
        registry.aliases.set("fraud@champion", two, force=True)
    moved = registry.aliases.set("fraud@champion", two, force=True, reason="incident 7")
    assert moved.protected
    assert moved.number == 2
    with pytest.raises(Conflict):
        registry.aliases.remove("fraud@champion")


def test_an_alias_stays_in_its_model(registry: cm.Registry) -> None:
    other = a_version(registry, "other")
    a_version(registry)
    with pytest.raises(InvalidRequest, match="cannot point to"):
        registry.alias("fraud@champion", other)


def test_deleting_says_who_uses_it(registry: cm.Registry) -> None:
    base = a_version(registry)
    child = a_version(registry, parents=["fraud:1"])
    ensemble = registry.register("both", members=["fraud:1", "fraud:2"])
    registry.alias("fraud@champion", base)
    for stage in ("staging", "production"):
        registry.promote(base, stage, reason="r")
    with pytest.raises(Conflict) as caught:
        registry.versions.delete(base)
    for use in (
        "is in production",
        "alias 'champion'",
        f"{child.ref} is retrained from",
        f"{ensemble.ref} has as a member",
    ):
        assert use in str(caught.value)
    assert len(registry.versions.uses(base)) == 4
    with pytest.raises(InvalidRequest, match="needs a reason"):
        registry.versions.delete(base, force=True)
    registry.versions.delete(base, force=True, reason="legal hold")
    with pytest.raises(NotFound, match="was deleted"):
        registry.get("fraud:1")
    with pytest.raises(NotFound, match="no alias"):
        registry.get("fraud@champion")
    assert registry.aliases.history("fraud@champion")[0].number is None


def test_delete_restore_purge(registry: cm.Registry) -> None:
    one, two = a_version(registry), a_version(registry)
    with pytest.raises(Conflict, match="not deleted"):
        registry.versions.purge(one, reason="r")
    registry.versions.delete(two, reason="mistake")
    assert registry.get("fraud").number == 1
    assert [v.number for v in registry.versions.list("fraud")] == [1]
    assert [v.number for v in registry.versions.list("fraud", deleted=True)] == [2]
    assert registry.versions.restore("fraud:2").number == 2
    registry.versions.delete(two)
    registry.versions.purge(two, reason="privacy")
    with pytest.raises(NotFound):
        registry.versions.get("fraud:2", deleted=True)
    assert a_version(registry).number == 3  # a number is never given again
    events = [e.event for e in registry.audit.list(target="fraud:2")]
    assert events == ["version.registered", "version.deleted", "version.restored", "version.deleted", "version.purged"]


def test_models_are_deleted_whole(registry: cm.Registry) -> None:
    version = a_version(registry)
    a_version(registry, "other", parents={"derived_from": version})
    with pytest.raises(Conflict, match="other:1 is derived from fraud:1"):
        registry.models.delete("fraud")
    registry.versions.delete("other:1")
    registry.models.delete("fraud", reason="end of life")
    with pytest.raises(NotFound, match="model restore fraud"):
        registry.get("fraud")
    with pytest.raises(Conflict, match="was deleted"):
        a_version(registry)
    assert registry.models.get("fraud", deleted=True).deleted_at is not None
    registry.models.restore("fraud")
    assert registry.get("fraud").number == 1
    registry.models.delete("fraud")
    registry.models.purge("fraud", reason="privacy", force=True)
    again = a_version(registry, owner="bob")
    assert again.number == version.number + 1  # a number is never given again, so no reference changes its meaning
    assert registry.models.get("fraud").owner == "bob"
    with pytest.raises(NotFound):
        registry.get(version)


def test_what_is_said_later_is_audited(registry: cm.Registry) -> None:
    version = a_version(registry, tags={"a": "1", "b": "2"})
    changed = registry.versions.update(
        version,
        description="d",
        card="c",
        tags={"a": "9"},
        remove_tags=["b"],
        annotations={"x": [1], "y": None},
        reason="why",
    )
    assert (changed.description, changed.card, changed.tags, changed.annotations) == ("d", "c", {"a": "9"}, {"x": [1]})
    assert changed.updated_at > version.updated_at
    assert changed.digest == version.digest
    event = registry.audit.list(target="fraud:1", newest_first=True)[0]
    assert event.event == "version.updated"
    assert event.data["before"]["tags"] == {"a": "1", "b": "2"}
    assert event.data["reason"] == "why"
    count = len(registry.audit.list(limit=1000))
    registry.versions.update(version, description="d")
    assert len(registry.audit.list(limit=1000)) == count
    model = registry.models.update("fraud", owner="bob", tags={"k": "v"})
    assert (model.owner, model.tags) == ("bob", {"k": "v"})
    assert registry.search('tags.a = "9" and not tags.b')[0].ref == "fraud:1"


def test_evaluations_are_a_history(registry: cm.Registry) -> None:
    version = a_version(registry)
    registry.versions.evaluate(version, {"f1": 0.8}, dataset="march", comment="first")
    registry.versions.evaluate(
        version,
        {"f1": 0.7},
        dataset=cm.dataset([[1.0], [2.0]], name="april", version="v2", split="test", relation="evaluated_on"),
    )
    listed = registry.versions.evaluations(version)
    assert [(e.dataset.name, e.metrics["f1"], e.actor) for e in listed] == [
        ("april", 0.7, "ada"),
        ("march", 0.8, "ada"),
    ]
    assert listed[0].dataset.digest.startswith("sha256:")
    with pytest.raises(InvalidRequest, match="at least one metric"):
        registry.versions.evaluate(version, {}, dataset="march")


def test_best_by_metric_with_conditions(registry: cm.Registry) -> None:
    for f1, recall, features in ((0.9, 0.7, "v2"), (0.8, 0.85, "v2"), (0.95, 0.9, "v1")):
        a_version(registry, metrics={"f1": f1, "recall": recall}, tags={"feature_set": features})
    a_version(registry)
    assert registry.versions.best("fraud", by="f1").number == 3
    ranked = registry.versions.best("fraud", by="f1", limit=9)
    assert [v.metrics["f1"] for v in ranked] == sorted((v.metrics["f1"] for v in ranked), reverse=True)
    assert ranked[0].number == 3
    assert list(ranked.to_pandas()["number"]) == [v.number for v in ranked]
    assert list(registry.versions.best("fraud", by="f1", limit=1)) == [ranked[0]]
    assert (
        registry.versions.best("fraud", by="f1", where='metrics.recall >= 0.8 and tags.feature_set = "v2"').number == 2
    )
    assert registry.versions.best("fraud", by="f1", direction="minimize").number == 2
    with pytest.raises(NotFound, match="no version with the metric 'auc'"):
        registry.versions.best("fraud", by="auc")


def test_pages_follow_each_other(registry: cm.Registry) -> None:
    made = [a_version(registry, metrics={"f1": i % 3}) for i in range(7)]
    query = "metrics.f1 >= 0 order by metrics.f1 desc, number"
    expected = [v.number for v in sorted(made, key=lambda v: (-v.metrics["f1"], v.number))]
    seen: list[int] = []
    cursor = ""
    while True:
        page = registry.search(query, limit=2, cursor=cursor)
        seen += [v.number for v in page]
        cursor = page.cursor
        if not cursor:
            break
    assert seen == expected
    assert [v.number for v in registry.versions.each(query)] == expected
    first = registry.search(query, limit=2).cursor
    for bad in (first[:-3] + "AAA", "x", first + "A"):
        with pytest.raises(InvalidRequest, match="cursor"):
            registry.search(query, limit=2, cursor=bad)
    with pytest.raises(InvalidRequest, match="cursor"):
        registry.search("number > 0", limit=2, cursor=first)


def test_projects_are_namespaces_with_rules(registry: cm.Registry) -> None:
    with pytest.raises(NotFound, match="chopmark project create risk"):
        a_version(registry, "risk/fraud")
    rules = ProjectRules(required_fields=("owner", "description"), required_tags=("team",), required_metrics=("f1",))
    registry.projects.create("risk", rules=rules)
    with pytest.raises(GateRefused) as caught:
        a_version(registry, "risk/fraud", owner="ada")
    assert caught.value.findings == ["description is missing", "tag 'team' is missing", "metric 'f1' is missing"]
    assert len(registry.models.list(project="risk")) == 0
    made = a_version(registry, "risk/fraud", owner="a", description="d", tags={"team": "t"}, metrics={"f1": 1})
    assert made.ref == "risk/fraud:1"
    a_version(registry)
    assert [m.ref for m in registry.models.list()] == ["fraud", "risk/fraud"]
    assert [v.ref for v in registry.versions.search(project="risk")] == ["risk/fraud:1"]
    assert [p.name for p in registry.projects.list()] == ["default", "risk"]
    with pytest.raises(InvalidRequest, match="cannot be required: 'colour'"):
        registry.projects.configure("risk", rules=ProjectRules(required_fields=("colour",)))
    with pytest.raises(Conflict, match="already"):
        registry.projects.create("risk")


def test_the_audit_is_an_unbroken_chain_of_every_change(registry: cm.Registry) -> None:
    version = a_version(registry)
    registry.promote(version, "staging", reason="r")
    registry.alias("fraud@a", version)
    verdict = registry.audit.verify()
    assert (verdict.events, verdict.fault) == (5, "")
    events = registry.audit.list(limit=2)
    assert [e.event for e in events] == ["project.created", "model.created"]
    rest = registry.audit.list(limit=10, cursor=events.cursor)
    assert [e.event for e in rest] == ["version.registered", "version.promoted", "alias.set"]
    assert rest[0].data["digest"] == version.digest
    assert registry.audit.list(event="alias.set")[0].target == "fraud@a"


def test_a_listener_hears_all_of_one_kind(own: cm.Registry) -> None:
    heard: list[str] = []
    end = own.on("version.*", lambda e: heard.append(e.event))
    a_version(own)
    own.promote("fraud:1", "staging", reason="r")
    own.alias("fraud@a", "fraud:1")
    assert heard == ["version.registered", "version.promoted"]
    end()
    a_version(own)
    assert len(heard) == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("version.promote", "version.promoted"),
        ("versions.*", "version.*"),
        ("nonsense.evt", "model.*"),
        ("Version.promoted", "version.promoted"),
        ("", "version.*"),
    ],
)
def test_nobody_waits_for_an_event_that_never_comes(registry: cm.Registry, name: str, near: str) -> None:
    with pytest.raises(InvalidRequest, match="no event") as caught:
        registry.on(name, print)
    assert near in caught.value.hint


def test_listeners_hear_after_the_change_and_cannot_spoil_it(own: cm.Registry) -> None:
    heard: list[tuple[str, int]] = []
    end = own.on("version.registered", lambda e: heard.append((e.target, own.get(e.target).number)))
    own.on("*", lambda e: heard.append((e.event, 0)))
    a_version(own)
    assert ("fraud:1", 1) in heard
    assert ("model.created", 0) in heard
    end()
    a_version(own)
    assert ("fraud:2", 2) not in heard
    own.on("alias.set", lambda _: 1 / 0)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="ZeroDivisionError"):
        own.alias("fraud@a", "fraud:1")
    assert own.get("fraud@a").number == 1

"""The registry at a time, from its events alone, against what its rows said at that time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.replay import RegistryThen, Replay
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound
from chopmark.testing.registry import memory_registry

START = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = ("fraud", "fraud-api", "risk/fraud")
STAGES = ("development", "staging", "canary", "production")


def rows(registry: cm.Registry) -> dict[str, Any]:
    """What the catalog's rows say now, of models that have versions or are not deleted."""
    with registry._transport._dispatch.catalog.reading() as tx:
        projects = {p.name: p.rules for p in tx.projects.list(limit=100)}
        models: dict[str, Any] = {}
        for model in tx.models.list(project=None, limit=100, deleted=True):
            versions = tx.versions.in_model(model.id, deleted=True, limit=1_000)
            if model.deleted_at is not None and not versions:
                continue  # a bare name, purged perhaps
            models[model.ref] = (
                model.kind,
                model.deleted_at is not None,
                {a.name: a.number for a in tx.aliases.list(model.id)},
                {
                    v.number: (
                        v.ref,
                        v.semver,
                        v.digest,
                        v.format,
                        v.stage,
                        v.aliases,
                        v.deleted_at is not None,
                        v.created_at,
                    )
                    for v in versions
                },
            )
    return {"projects": projects, "models": models}


def replayed(then: RegistryThen) -> dict[str, Any]:
    """The same of a replay."""
    return {
        "projects": {p.name: p.rules for p in then.projects},
        "models": {
            m.ref: (
                m.kind,
                m.is_deleted,
                m.aliases,
                {
                    v.number: (v.ref, v.semver, v.digest, v.format, v.stage, v.aliases, v.is_deleted, v.registered_at)
                    for v in m.versions
                },
            )
            for m in then.models
            if m.versions or not m.is_deleted
        },
    }


def pick(registry: cm.Registry, model: str, number: int, *, deleted: bool = False) -> str:
    """A version of the model that is (or is not) deleted; one that is not there when there is none."""
    found = [v.ref for v in registry.versions.list(model, deleted=deleted)]
    return found[number % len(found)] if found else f"{model}:99"


def act(registry: cm.Registry, what: str, model: str, number: int, stage: str) -> None:
    """One step of a story; what is refused is no step."""
    why = "story"
    match what:
        case "register":
            registry.register(model, {"n": registry.audit.verify().events})
        case "twin":
            registry.register(model, {"n": number}, allow_twin=True)
        case "promote":
            registry.promote(pick(registry, model, number), stage, reason=why)
        case "archive":
            registry.stages.archive(pick(registry, model, number), reason=why)
        case "deprecate":
            registry.stages.deprecate(pick(registry, model, number), reason=why)
        case "alias":
            registry.alias(f"{model}@{'champion' if number % 2 else 'rival'}", pick(registry, model, number))
        case "protect":
            ref = pick(registry, model, number)
            registry.aliases.set(f"{model}@champion", ref, protected=stage == "canary", force=True, reason=why)
        case "unalias":
            for alias in registry.aliases.list(model)[:1]:
                registry.aliases.remove(alias, force=True, reason=why)
        case "delete":
            registry.versions.delete(pick(registry, model, number), force=True, reason=why)
        case "restore":
            registry.versions.restore(pick(registry, model, number, deleted=True), reason=why)
        case "purge":
            registry.versions.purge(pick(registry, model, number, deleted=True), force=True, reason=why)
        case "delete model":
            registry.models.delete(model, force=True, reason=why)
        case "restore model":
            registry.models.restore(model, reason=why)
        case "purge model":
            registry.models.purge(model, force=True, reason=why)
        case "create model":
            registry.models.create("bare" if stage == "staging" else model, kind="external")
        case "describe":
            registry.versions.update(pick(registry, model, number), tags={"n": str(number)})
        case "configure":
            rules = cm.ProjectRules(one_production_version=stage == "canary")
            registry.projects.configure("risk", rules=rules, reason=why)
        case _:
            raise ValueError(what)


ACTIONS = (
    "register", "register", "register", "twin", "promote", "promote", "archive", "deprecate", "alias", "alias", "protect",
    "unalias", "delete", "delete", "restore", "purge", "delete model", "restore model", "purge model", "create model",
    "describe", "configure",
)  # fmt: skip
STEPS = st.tuples(
    st.sampled_from(ACTIONS), st.sampled_from(MODELS), st.integers(1, 4), st.sampled_from(STAGES), st.integers(1, 90)
)
# Every kind of step once, each after what it needs.
TOUR = [
    (what, "fraud", number, stage, 10)
    for what, number, stage in (
        ("register", 1, "staging"), ("register", 1, "staging"), ("twin", 1, "staging"), ("alias", 1, "staging"),
        ("alias", 2, "staging"), ("protect", 1, "canary"), ("unalias", 1, "staging"), ("alias", 1, "staging"),
        ("promote", 1, "staging"), ("promote", 1, "canary"), ("promote", 1, "production"), ("deprecate", 1, "staging"),
        ("archive", 2, "staging"), ("delete", 1, "staging"), ("describe", 1, "staging"), ("restore", 1, "staging"),
        ("delete", 2, "staging"), ("purge", 1, "staging"), ("delete model", 1, "staging"), ("restore model", 1, "staging"),
        ("configure", 1, "canary"), ("delete model", 1, "staging"), ("purge model", 1, "staging"), ("register", 1, "staging"),
        ("create model", 1, "staging"),
    )
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@example(TOUR)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=10, max_size=30))
def test_any_story_replayed_to_any_moment_is_what_the_rows_said(steps: list[tuple[str, str, int, str, int]]) -> None:
    clock = FakeClock(START)
    registry = memory_registry(clock=clock, actor="ada")
    registry.projects.create("risk")
    snapshots = [(clock.now, rows(registry))]
    for what, model, number, stage, minutes in steps:
        clock.advance(timedelta(minutes=minutes))
        try:
            act(registry, what, model, number, stage)
        except ChopmarkError:
            continue
        snapshots.append((clock.now, rows(registry)))
    for time, snapshot in snapshots:
        assert replayed(registry.audit.at(time)) == snapshot
    replay = Replay()
    for event in registry.audit.list(limit=1_000):
        replay.apply(event)
    assert replay.version_count == sum(len(m.versions) for m in replay.models())
    time, snapshot = snapshots[len(snapshots) // 2]
    for ref, expected in snapshot["models"].items():
        assert replayed(registry.audit.at(time, ref))["models"] == {ref: expected}


def test_no_step_of_the_tour_is_refused() -> None:
    registry = memory_registry(clock=FakeClock(START, timedelta(minutes=1)), actor="ada")
    registry.projects.create("risk")
    for step in TOUR:
        events = registry.audit.verify().events
        act(registry, *step[:4])
        assert registry.audit.verify().events > events, step


def test_parts_of_the_registry(registry: cm.Registry, clock: FakeClock) -> None:
    registry.register("fraud", {"a": 1})
    registry.projects.create("risk", rules=cm.ProjectRules(required_tags=("team",)))
    registry.register("risk/fraud", {"a": 1}, tags={"team": "x"})
    registry.alias("fraud@champion", "fraud:1")
    then = clock.now
    clock.advance(timedelta(days=1))
    registry.register("fraud", {"a": 2})
    registry.alias("fraud@champion", "fraud:2")
    registry.promote("fraud:1", "staging", reason="r")
    registry.stages.archive("fraud:1", reason="r")

    def meant(of: str) -> list[str]:
        (model,) = registry.audit.at(then, of).models
        return [f"{v.ref} {v.stage}" for v in model.versions]

    for of in ("fraud", "fraud:1", "fraud@champion", "fraud:latest", "fraud:^1.0", "fraud:1.0.0", "fraud#development"):
        assert meant(of) == ["fraud:1 development"]
    assert meant(registry.get("fraud:1").digest.join(["fraud@", ""])) == ["fraud:1 development"]
    assert meant("risk/fraud") == ["risk/fraud:1 development"]
    for of in ("fraud:2", "fraud#staging", "fraud@other"):
        with pytest.raises(NotFound, match="meant no version"):
            registry.audit.at(then, of)
    with pytest.raises(NotFound, match="There was no model 'churn'"):
        registry.audit.at(then, "churn")
    only = registry.audit.at(then, project="risk")
    assert [p.name for p in only.projects] == ["risk"]
    assert only.projects[0].rules.required_tags == ("team",)
    assert [m.ref for m in only.models] == ["risk/fraud"]
    assert registry.audit.at(START - timedelta(days=1)).models == ()
    with pytest.raises(InvalidRequest, match="time zone"):
        registry.audit.at(datetime(2026, 1, 1))  # noqa: DTZ001 - what is tested


def test_a_clock_that_steps_back(registry: cm.Registry, clock: FakeClock) -> None:
    clock.step = timedelta(0)
    registry.register("fraud", {"a": 1})
    clock.advance(timedelta(hours=2))
    registry.register("fraud", {"a": 2})
    clock.advance(timedelta(hours=-1))
    registry.register("churn", {"a": 1})  # by the clock an hour before fraud:2
    between = registry.audit.at(START + timedelta(hours=1, minutes=30))
    assert [v.ref for m in between.models for v in m.versions] == ["fraud:1"]
    with pytest.raises(NotFound):
        registry.audit.at(START + timedelta(hours=1, minutes=30), "churn")
    after = registry.audit.at(START + timedelta(hours=2))
    assert [m.ref for m in after.models] == ["churn", "fraud"]


def test_too_many_versions_for_one_answer(local: cm.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from chopmark.app import audit

    monkeypatch.setattr(audit, "VERSIONS_THEN_MAX", 2)
    for number in range(3):
        local.register("fraud", {"a": number})
    local.register("churn", {"a": 1})
    now = START + timedelta(days=9)
    with pytest.raises(InvalidRequest, match="more than 2 versions"):
        local.audit.at(now)
    assert len(local.audit.at(now, "churn").models[0].versions) == 1

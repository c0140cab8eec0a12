"""Experiments as people run them: begun, told of units in any order, judged, decided."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.app.experiment_units import decision_of, known_of
from chopmark.base.clock import FakeClock
from chopmark.domain.experiment_judging import judged
from chopmark.domain.experiments import Experiment, ExperimentMetric
from chopmark.domain.request_ids import RequestIds
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.testing.registry import memory_registry

SECOND = timedelta(seconds=1)
RULES: dict[str, Any] = {"metric": "success", "window": "1m", "max_duration": 4_000, "look_every": 100}


@pytest.fixture
def ranked(registry: cm.Registry) -> cm.Registry:
    """A registry with three versions and an endpoint of the first."""
    return filled(registry)


@pytest.fixture
def memory() -> Iterator[tuple[cm.Registry, FakeClock]]:
    """The same in memory, whose clock stands still."""
    clock = FakeClock()
    with memory_registry(clock=clock, actor="ada") as opened:
        yield filled(opened), clock


def filled(registry: cm.Registry) -> cm.Registry:
    for depth in (3, 4, 5):
        registry.register("ranker", {"depth": depth})
    registry.endpoints.create("search", "ranker:1")
    return registry


def begin(registry: cm.Registry, name: str = "test", **said: Any) -> Experiment:
    return registry.experiments.start(name, **{**RULES, "control": "ranker:1", "treatment": "ranker:2", **said})


def told(
    experiment: Experiment, rates: Mapping[str, float], count: int, seed: int = 1, lasts_s: int = 3_000
) -> list[Any]:
    """Exposures and successes of users who come one after the other, as rows with times."""
    rng = random.Random(seed)
    rows: list[Any] = []
    for number in range(count):
        unit = f"user-{seed}-{number}"
        variant = experiment.assign(unit)
        at = experiment.started_at + timedelta(seconds=lasts_s * number / count)
        rows.append(("shown", {"unit": unit, "variant": variant, "at": at}))
        if rng.random() < rates[variant]:
            rows.append(("did", {"unit": unit, "at": at + 20 * SECOND, "success": 1}))
    return rows


def tell(registry: cm.Registry, experiment: Experiment, rows: list[Any], parts: int = 1) -> None:
    for first in range(parts):
        part = rows[first::parts]
        registry.experiments.record_batch(experiment, [row for kind, row in part if kind == "did"])
        registry.experiments.expose_batch(experiment, [row for kind, row in part if kind == "shown"])


def test_an_experiment_deals_its_variants_and_its_plan_is_frozen(ranked: cm.Registry) -> None:
    made = begin(ranked, endpoint="search", guardrails=["errors"], reason="a new depth")
    endpoint = ranked.endpoints.get("search")
    assert [(v.name, v.version.ref, v.weight) for v in endpoint.variants] == [
        ("control", "ranker:1", 5_000),
        ("treatment", "ranker:2", 5_000),
    ]
    assert made.plan.variants == endpoint.variants
    assert (made.plan.salt, made.endpoint_id) == (endpoint.salt, endpoint.id)
    assert ranked.experiments.get("test") == made
    (event,) = [each for each in ranked.audit.list() if each.event == "experiment.started"]
    assert event.data["plan_digest"] == made.plan.digest
    with pytest.raises(Conflict, match="already"):
        begin(ranked)
    with pytest.raises(Conflict, match="runs on search"):
        begin(ranked, "another", endpoint="search")
    assert [each.name for each in ranked.experiments.list()] == ["test"]


def test_an_experiment_is_judged_and_its_winner_promoted_by_a_rollout(ranked: cm.Registry, clock: FakeClock) -> None:
    made = begin(ranked, endpoint="search")
    with pytest.raises(Conflict, match="no winner"):
        ranked.experiments.decide(made)
    clock.advance(timedelta(seconds=3_100))
    tell(ranked, made, told(made, {"control": 0.4, "treatment": 0.55}, 3_000))
    status = ranked.experiments.status(made)
    assert (status.decision, status.winner, status.is_final) == ("winner", "treatment", True)
    assert status.sentence.endswith("Promote treatment.")
    control, treatment = status.variants
    assert control.observed + treatment.observed == status.units > 2_900
    assert abs((treatment.values["success"] or 0) - 0.55) < 0.05
    decided = ranked.experiments.decide(made)
    assert (decided.experiment.state, decided.experiment.winner) == ("decided", "treatment")
    assert decided.rollout is not None
    assert decided.rollout.candidate.ref == "ranker:2"
    assert [v.version.ref for v in ranked.endpoints.get("search").variants] == ["ranker:1"]
    assert ranked.rollouts.get("search").rollout.id == decided.rollout.id
    (event,) = [each for each in ranked.audit.list() if each.event == "experiment.decided"]
    assert event.data["winner"] == "treatment"
    assert event.data["sentence"].endswith("Promote treatment.")
    with pytest.raises(Conflict, match="decided"):
        ranked.experiments.stop(made)


def test_any_order_and_what_comes_again_give_the_same_answer(tmp_path: Path) -> None:
    with cm.open(tmp_path / "first", clock=FakeClock(), actor="ada") as registry:
        made = begin(filled(registry))
    rows = told(made, {"control": 0.4, "treatment": 0.5}, 800)
    answers = []
    for seed in range(3):
        shutil.copytree(tmp_path / "first", tmp_path / f"copy-{seed}")
        clock = FakeClock(made.started_at + 1_500 * SECOND)
        shuffled = random.Random(seed).sample(rows, len(rows)) if seed else rows
        with cm.open(tmp_path / f"copy-{seed}", clock=clock, actor="ada") as registry:
            early = [row for row in shuffled if row[1]["at"] < clock.now]
            tell(registry, made, early, parts=1 + seed)
            for _ in range(seed):  # that somebody looks changes nothing
                registry.experiments.status(made)
            clock.advance(1_700 * SECOND)
            tell(registry, made, [*shuffled[:200], *shuffled], parts=3)
            answers.append(registry.experiments.status(made))
    assert answers[0].units > 700
    assert answers[1:] == answers[:1] * 2


def test_a_look_is_never_lost(memory: tuple[cm.Registry, FakeClock]) -> None:
    """What an experiment says of its first batches is part of what it says later: more batches are added at the end."""
    registry, clock = memory
    made = begin(registry)
    clock.advance(1_500 * SECOND)
    rows = told(made, {"control": 0.4, "treatment": 0.5}, 800)
    tell(registry, made, [row for row in rows if row[1]["at"] <= clock.now])
    first = registry.experiments.status(made)
    clock.advance(1_500 * SECOND)
    tell(registry, made, rows)
    with registry._transport._dispatch.catalog.reading() as tx:
        known = known_of(tx, made)
    again = judged(made, known, first.at)
    assert again.sentence.partition(" ")[0] == first.sentence.partition(" ")[0]
    assert (again.readings, again.units, again.batches) == (first.readings, first.units, first.batches)


def test_what_does_not_count_is_counted_apart(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    made = begin(registry)
    experiments, start = registry.experiments, made.started_at
    clock.advance(1_000 * SECOND)
    other = {"control": "treatment", "treatment": "control"}
    experiments.expose(made, "plain", at=start + 10 * SECOND)
    assert experiments.expose(made, "two", other[made.assign("two")], at=start + 10 * SECOND).astray == 1
    experiments.expose(made, "two", made.assign("two"), at=start + 11 * SECOND)
    assert experiments.expose(made, "before", at=start - SECOND).outside == 1
    for unit, after_s in (("plain", 9), ("plain", 10), ("plain", 69), ("plain", 70), ("two", 12), ("nobody", 12)):
        experiments.record(made, unit=unit, at=start + after_s * SECOND, success=1)
    assert experiments.record(made, unit="plain", at=start - SECOND, success=1).outside == 1
    status = experiments.status(made)
    assert structs.asdict(status.uncounted) == {
        "units_in_two": 1,
        "of_units_in_two": 1,
        "never_exposed": 1,
        "early": 1,
        "late": 1,
    }
    assert (status.units, sum(v.exposed for v in status.variants)) == (1, 1)
    with pytest.raises(NotFound, match="no variant 'third'"):
        experiments.expose(made, "plain", "third")
    with pytest.raises(InvalidRequest, match="is to come"):
        experiments.expose(made, "plain", at=clock.now + 600 * SECOND)


def test_units_that_are_lost_make_it_invalid(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    made = begin(registry)
    clock.advance(3_100 * SECOND)
    rows = told(made, {"control": 0.4, "treatment": 0.6}, 4_000)
    lost = {
        row["unit"]
        for kind, row in rows
        if kind == "shown" and row["variant"] == "treatment" and row["unit"][-1] in "012"
    }
    tell(registry, made, [(kind, row) for kind, row in rows if row["unit"] not in lost])
    status = registry.experiments.status(made)
    assert status.decision == "invalid"
    assert status.ratio_p < 0.001
    with pytest.raises(Conflict, match="no winner"):
        registry.experiments.decide(made)
    stays = registry.experiments.decide(made, "control", reason="the treatment loses users")
    assert (stays.experiment.winner, stays.rollout) == ("control", None)


def test_equal_versions_seldom_win_and_different_ones_do(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    winners = []
    for number in range(30):
        made = begin(registry, f"equal-{number}")
        clock.advance(3_100 * SECOND)
        tell(registry, made, told(made, {"control": 0.5, "treatment": 0.5}, 600, seed=number))
        winners.append(registry.experiments.status(made).winner)
    assert sum(map(bool, winners)) <= 4  # P(5 or more of 30) is 0.016 at 5 %, and the bets err less often than that
    found = 0
    for number in range(5):
        made = begin(registry, f"better-{number}")
        clock.advance(3_100 * SECOND)
        tell(registry, made, told(made, {"control": 0.4, "treatment": 0.6}, 1_000, seed=number))
        found += registry.experiments.status(made).winner == "treatment"
    assert found == 5


def test_a_guardrail_forbids_and_one_that_is_never_recorded_does_not_pass(
    memory: tuple[cm.Registry, FakeClock],
) -> None:
    registry, clock = memory
    for name, guard_rate in (("silent", None), ("breached", 0.3), ("kept", 0.05)):
        made = begin(registry, name, guardrails=[{"name": "errors", "better": "lower", "threshold": 0.02}])
        clock.advance(3_100 * SECOND)
        rows = told(made, {"control": 0.4, "treatment": 0.6}, 3_000)
        rng = random.Random(3)
        for kind, row in list(rows):
            rate = 0.05 if made.assign(row["unit"]) == "control" else guard_rate
            if kind == "shown" and rate is not None and guard_rate is not None and rng.random() < rate:
                rows.append(("did", {"unit": row["unit"], "at": row["at"] + SECOND, "errors": 1}))
        tell(registry, made, rows)
        status = registry.experiments.status(made)
        expected = {"silent": "continue", "breached": "inconclusive", "kept": "winner"}[name]
        assert (name, status.decision) == (name, expected), status.sentence
        assert ("errors" in status.sentence) == (name != "kept")


def test_a_small_effect_is_given_up_and_time_runs_out(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    small = begin(registry, "small", minimum_effect=0.2)
    over = begin(registry, "over", max_duration=4_000)
    clock.advance(3_100 * SECOND)
    for made in (small, over):
        tell(registry, made, told(made, {"control": 0.5, "treatment": 0.5}, 3_000))
    status = registry.experiments.status(small)
    assert status.decision == "futile"
    assert status.units_needed is not None
    assert 100 < status.units_needed < 1_000
    running = registry.experiments.status(over)
    assert running.decision == "continue"
    assert running.days_left == pytest.approx(900 / 86_400)
    clock.advance(1_000 * SECOND)
    ended = registry.experiments.status(over)
    assert (ended.decision, ended.days_left) == ("inconclusive", None)
    assert "The time is over" in ended.sentence


def test_an_answers_id_exposes_the_unit_that_asked(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    made = begin(registry, endpoint="search")
    with registry._transport._dispatch.catalog.reading() as tx:
        secret = bytes.fromhex(tx.routing.secret())
    endpoint = registry.endpoints.get("search")
    clock.advance(100 * SECOND)

    def answer(unit: str, endpoint_id: Any = endpoint.id, variant: str = "") -> str:
        name = variant or made.assign(unit)
        version = next((v.version.id for v in made.plan.variants if v.name == name), made.id)
        at_ms = int((made.started_at + 10 * SECOND).timestamp() * 1_000)
        return RequestIds(secret, endpoint_id, version, 2, name).made(at_ms, 1)

    taken = registry.experiments.record(
        made, unit="ada", request_id=answer("ada"), at=made.started_at + 20 * SECOND, success=1
    )
    assert taken.rows == 1
    registry.experiments.expose(made, "bob", request_id=answer("bob"))
    early = {"unit": "eve", "request_id": answer("eve", variant="stable"), "success": 1}
    taken = registry.experiments.record_batch(made, [early, {**early, "unit": "ada", "request_id": answer("ada")}])
    assert (taken.rows, taken.outside) == (2, 1), "who was answered before the gateway heard of it was shown nothing"
    with pytest.raises(InvalidRequest, match="not which user asked") as refused:
        registry.experiments.record(made, request_id=answer("ada"), success=1)
    assert "ratio" in refused.value.hint
    with pytest.raises(InvalidRequest, match="another endpoint"):
        registry.experiments.record(made, unit="ada", request_id=answer("ada", made.id), success=1)
    with pytest.raises(InvalidRequest, match="no request id"):
        registry.experiments.record(made, unit="ada", request_id="made-up", success=1)
    with pytest.raises(InvalidRequest, match="is of"):
        registry.experiments.expose(made, "ada", "third", request_id=answer("ada"))
    clock.advance(100 * SECOND)
    status = registry.experiments.status(made)
    assert (status.units, sum(v.exposed for v in status.variants)) == (2, 2)
    assert sum(v.values["success"] or 0 for v in status.variants) > 0


def test_requests_of_sticky_units_are_not_judged_one_by_one(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    with pytest.raises(InvalidRequest, match="deals by key") as refused:
        begin(registry, endpoint="search", unit="request")
    assert '"kind": "ratio"' in refused.value.hint
    made = begin(registry, metric={"name": "success", "kind": "ratio"})
    clock.advance(3_100 * SECOND)
    rng = random.Random(1)
    for kind, row in told(made, {"control": 0, "treatment": 0}, 1_000):
        if kind == "shown":
            registry.experiments.expose_batch(made, [row])
            rate = 0.4 if row["variant"] == "control" else 0.6
            many = rng.randrange(1, 8)
            registry.experiments.record_batch(
                made,
                [
                    {**row, "variant": None, "id": f"{row['unit']}-{n}", "success": float(rng.random() < rate)}
                    for n in range(many)
                ],
            )
    status = registry.experiments.status(made)
    assert status.winner == "treatment"
    assert status.variants[1].values["success"] == pytest.approx(0.6, abs=0.03)


def test_callers_route_themselves_by_assign(registry: cm.Registry) -> None:
    filled(registry)
    made = registry.experiments.start(
        "three",
        variants={"a": "ranker:1", "b": "ranker:2", "c": "ranker:3"},
        control="a",
        shares={"a": 50, "b": 30, "c": 20},
        metric="success",
    )
    units = [f"u{n}" for n in range(2_000)]
    given = [registry.experiments.assign(made, unit) for unit in units]
    assert {name: round(given.count(name) / 2_000, 1) for name in "abc"} == {"a": 0.5, "b": 0.3, "c": 0.2}
    assert [registry.experiments.assign("three", unit) for unit in units[:3]] == given[:3]
    events = len(registry.audit.list())
    registry.experiments.assign(made, "u1", expose=True)
    registry.experiments.record(made, unit="u1", success=1)
    assert len(registry.audit.list()) == events  # measurements are no change of the registry
    assert sum(v.exposed for v in registry.experiments.status(made).variants) == 1
    stopped = registry.experiments.stop(made, reason="enough")
    assert {registry.experiments.assign(stopped, unit) for unit in units[:50]} == {"a"}
    with pytest.raises(InvalidRequest, match="Some variants"):
        registry.experiments.start(
            "x", variants={"a": "ranker:1", "b": "ranker:2"}, control="a", shares={"a": 50}, metric="s"
        )


def test_the_end_may_be_moved_and_nothing_else(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    made = begin(registry)
    longer = registry.experiments.extend(made, 8_000, reason="a quiet week")
    assert longer.ends_at - made.ends_at == 4_000 * SECOND
    assert longer.plan == made.plan
    (event,) = [each for each in registry.audit.list() if each.event == "experiment.extended"]
    assert event.data["reason"] == "a quiet week"
    clock.advance(5_000 * SECOND)
    with pytest.raises(Conflict, match="ended already"):
        registry.experiments.extend(made, 4_000)
    registry.experiments.stop(made)
    with pytest.raises(Conflict, match="stopped"):
        registry.experiments.extend(made, 9_000)


def test_a_stopped_experiment_goes_back_to_the_control_and_is_put_away(ranked: cm.Registry, clock: FakeClock) -> None:
    made = begin(ranked, endpoint="search")
    clock.advance(500 * SECOND)
    tell(ranked, made, told(made, {"control": 0.4, "treatment": 0.5}, 100, lasts_s=300))
    with pytest.raises(Conflict, match="running"):
        ranked.experiments.archive(made)
    ranked.experiments.stop(made, reason="enough")
    assert [v.version.ref for v in ranked.endpoints.get("search").variants] == ["ranker:1"]
    clock.advance(100 * SECOND)
    before = ranked.experiments.status(made)
    assert before.units == 100
    gone = ranked.experiments.archive(made, reason="enough")
    assert (gone.state, len(ranked.experiments.list())) == ("archived", 0)
    assert len(ranked.experiments.list(archived=True)) == 1
    assert ranked.experiments.status(made).units == 100
    assert ranked.experiments.status(made).sentence == before.sentence
    with pytest.raises(Conflict, match="archived"):
        ranked.experiments.record(made, unit="u", success=1)
    begin(ranked, "next", endpoint="search")


def test_a_split_by_somebody_else_is_told(ranked: cm.Registry) -> None:
    made = begin(ranked, endpoint="search")
    ranked.endpoints.split("search", "ranker:3", reason="an incident")
    assert "deals otherwise by now" in ranked.experiments.status(made).sentence
    ranked.experiments.stop(made)
    assert [v.version.ref for v in ranked.endpoints.get("search").variants] == ["ranker:3"]


def test_a_rollout_that_waits_hears_what_the_experiment_says(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    registry.endpoints.split("search", {"ranker:1": 50, "ranker:2": 50})
    made = begin(registry, endpoint="search")
    assert made.plan.names == ("stable", "candidate")
    versions = {v.name: v.version.id for v in made.plan.variants}
    assert made.endpoint_id is not None

    def heard(name: str) -> str:
        assert made.endpoint_id is not None
        with registry._transport._dispatch.catalog.reading() as tx:
            return decision_of(tx, made.endpoint_id, versions[name], clock.now)

    assert heard("candidate") == ""
    clock.advance(3_100 * SECOND)
    tell(registry, made, told(made, {"stable": 0.4, "candidate": 0.6}, 1_000))
    assert (heard("candidate"), heard("stable")) == ("winner", "loser")
    registry.experiments.stop(made)
    assert heard("candidate") == "inconclusive"


def test_what_is_rightly_sized_for_a_mean_is_no_share(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, _ = memory
    made = begin(registry, metric={"name": "spent", "kind": "mean"}, minimum_effect=5)
    assert made.plan.minimum_effect == 5
    with pytest.raises(InvalidRequest, match="more than success") as refused:
        begin(registry, "points", minimum_effect=5)
    assert refused.value.hint == "Shares go to 1: give 0.05 for 5 points."
    assert [each.name for each in registry.experiments.list()] == ["test"]


def test_an_experiment_that_cannot_be_judged_is_stopped_or_decided_all_the_same(
    memory: tuple[cm.Registry, FakeClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was begun when a minimum effect of five hundred points was taken."""
    registry, clock = memory
    monkeypatch.setattr("chopmark.app.experiments.check_plan", lambda plan: plan)
    monkeypatch.setattr("chopmark.sdk.experiments.check_effect", lambda *_: None)
    for end in ("stop", "decide"):
        made = begin(registry, f"zombie-{end}", endpoint="search", minimum_effect=5)
        registry.experiments.expose(made, "u", at=made.started_at)
        clock.advance(300 * SECOND)
        status = registry.experiments.status(made)
        assert (status.decision, status.is_final, sum(v.exposed for v in status.variants)) == ("invalid", True, 1)
        assert status.sentence.startswith("It cannot be judged: threshold of success is 5")
        assert status.sentence.endswith("Stop it, and start another one.")
        with pytest.raises(Conflict, match="cannot be judged"):
            registry.experiments.decide(made)
        if end == "stop":
            registry.experiments.stop(made, reason="it cannot be judged")
        else:
            registry.experiments.decide(made, "control", reason="it cannot be judged")
        assert [v.version.ref for v in registry.endpoints.get("search").variants] == ["ranker:1"]
        assert registry.experiments.status(made).sentence.startswith("It cannot be judged")
        assert registry.experiments.archive(made).state == "archived"


def test_of_a_deleted_endpoint_is_told_what_to_do(ranked: cm.Registry) -> None:
    made = begin(ranked, endpoint="search")
    ranked.endpoints.delete("search", reason="not needed")
    told_now = ranked.experiments.status(made).sentence
    assert "search was deleted" in told_now
    assert "chopmark experiment stop test --reason" in told_now
    assert "deals otherwise" not in told_now
    assert "Go on" not in told_now
    ranked.endpoints.create("search", "ranker:1")  # another one by its name
    assert "was deleted" in ranked.experiments.status(made).sentence
    assert ranked.experiments.stop(made).state == "stopped"
    assert "was deleted" not in ranked.experiments.status(made).sentence


def test_one_that_ended_or_has_met_nobody_is_not_told_to_go_on_at_a_rate(
    memory: tuple[cm.Registry, FakeClock],
) -> None:
    registry, clock = memory
    made = begin(registry, minimum_effect=0.05)
    assert registry.experiments.status(made).sentence == "Nothing can be said yet: 0 units so far. Go on."
    registry.experiments.expose(made, "u")
    clock.advance(10 * SECOND)
    assert "At the present rate" in registry.experiments.status(made).sentence
    registry.experiments.stop(made)
    assert registry.experiments.status(made).sentence == (
        "Nothing can be said yet: 0 units so far. 1 unit is observed still."
    )


def test_nothing_is_divided_by_less_than_something(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, _ = memory
    made = begin(registry, metric={"name": "errors", "kind": "ratio", "better": "lower"})
    for pair in ((1, 0), (0, 0), (1, -2)):
        with pytest.raises(InvalidRequest, match="nothing is divided by"):
            registry.experiments.record(made, unit="u", errors=pair)
    assert registry.experiments.record(made, unit="u", errors=(0, 2)).rows == 1


def test_an_empty_text_is_no_unit(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, _ = memory
    made = begin(registry)
    for asked in (made, "test"):
        with pytest.raises(InvalidRequest, match="empty text") as refused:
            registry.experiments.assign(asked, "")
        assert "the user that asks" in refused.value.hint


ROWS = [{"unit": "7", "success": 1.0}, {"unit": "8", "success": None}]


@pytest.mark.parametrize("form", ["rows", "columns", "pandas", "polars", "arrow"])
def test_rows_come_as_tables_of_any_kind(memory: tuple[cm.Registry, FakeClock], form: str) -> None:
    registry, _ = memory
    made = begin(registry)
    table: Any = ROWS
    if form == "columns":
        table = {"unit": ["7", "8"], "success": [1.0, None]}
    elif form != "rows":
        library = pytest.importorskip({"arrow": "pyarrow"}.get(form, form))
        table = library.Table.from_pylist(ROWS) if form == "arrow" else library.DataFrame(ROWS)
    registry.experiments.expose_batch(made, table)
    with pytest.raises(InvalidRequest, match="says nothing"):
        registry.experiments.record_batch(made, table)
    assert registry.experiments.record_batch(made, {"unit": ["7"], "success": [1.0]}).rows == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"unit": "u", "success": 2}, "0 or 1"),
        ({"unit": "u", "success": float("inf")}, "no number that can be added"),
        ({"unit": "u", "success": "much"}, "no number"),
        ({"unit": "u", "success": (1, 2)}, "has one value"),
        ({"unit": "u", "other": 1}, "no metric 'other'"),
        ({"unit": 7.0, "success": 1}, "unit of row 0"),
        ({"success": 1}, "of no unit"),
        ({"unit": "u", "at": "yesterday", "success": 1}, "not a time"),
        ("u", "not a mapping"),
    ],
)
def test_rows_that_mean_nothing_are_refused(memory: tuple[cm.Registry, FakeClock], row: Any, words: str) -> None:
    registry, _ = memory
    made = begin(registry)
    with pytest.raises(InvalidRequest, match=words):
        registry.experiments.record_batch(made, [row])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"treatment": None}, "nothing to compare"),
        ({"metric": {"name": "x", "kind": "median"}}, "metric cannot be"),
        ({"metric": {"name": "x", "way": "up"}}, "no field 'way'"),
        ({"metric": 7}, "no metric"),
        ({"alpha": 1.5}, "alpha"),
        ({"window": "60d"}, "observed for"),
        ({"look_every": "2h"}, "does not fit"),
        ({"shares": {"third": 10}}, "no variant"),
        ({"guardrails": ["success"]}, "one name"),
        ({"max_duration": "soon"}, "no (span|length)"),
        ({"minimum_effect": 5}, "minimum effect of 5 is more than success"),
        ({"minimum_effect": float("nan")}, "effect of nan"),
        ({"minimum_effect": float("inf"), "metric": {"name": "spent", "kind": "mean"}}, "effect of inf"),
        ({"minimum_effect": -0.1}, "effect of -0.1"),
        *(({"metric": name}, f"cannot be called {name}") for name in ("unit", "request_id", "at", "id", "variant")),
        ({"guardrails": ["at"]}, "cannot be called at"),
    ],
)
def test_plans_that_cannot_be_judged_by_are_refused(
    memory: tuple[cm.Registry, FakeClock], changes: dict[str, Any], words: str
) -> None:
    registry, _ = memory
    with pytest.raises(InvalidRequest, match=words):
        begin(registry, **changes)
    assert len(registry.experiments.list()) == 0


def test_a_metric_that_is_left_out_counts_those_of_whom_something_is_known(
    memory: tuple[cm.Registry, FakeClock],
) -> None:
    registry, clock = memory
    metric = ExperimentMetric(name="right", unrecorded="left_out")
    made = begin(registry, metric=metric, metrics=[{"name": "spent", "kind": "mean"}])
    clock.advance(200 * SECOND)
    for number in range(40):
        at = made.started_at + number * SECOND
        registry.experiments.expose(made, f"u{number}", at=at)
        if number % 2:
            registry.experiments.record(made, unit=f"u{number}", at=at, values={"right": number % 4 == 1, "spent": 3.0})
    values = [variant.values for variant in registry.experiments.status(made).variants]
    assert all(0.2 < (each["right"] or 0) < 0.8 for each in values)
    assert sum((each["spent"] or 0) for each in values) == pytest.approx(3.0, abs=0.6)


def test_zeros_are_not_told_of_what_was_recorded_too_late(memory: tuple[cm.Registry, FakeClock]) -> None:
    registry, clock = memory
    made = begin(registry)
    clock.advance(300 * SECOND)
    for unit in ("a", "b", "c"):
        registry.experiments.expose(made, unit, at=made.started_at)
        registry.experiments.record(made, unit=unit, at=made.started_at + 200 * SECOND, success=1)
    status = registry.experiments.status(made)
    assert (status.units, status.uncounted.late) == (3, 3)
    assert {variant.values["success"] for variant in status.variants} == {None}

"""Drift in the analysis of a rollout, end to end: sampled counts, a worker that measures, and what the step makes of it."""

from datetime import datetime, timedelta
from typing import Any, cast

import numpy as np
import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.outcomes import MetricSums, OutcomeWindow, window_start
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.domain.rollout_plans import Check, PlanStep, RolloutPlan, plan_for
from chopmark.domain.rollouts import CheckState
from chopmark.errors import InvalidRequest, Unavailable
from chopmark.sdk.profiles import Profiles
from chopmark.wiring import LocalTransport
from chopmark.workers.measuring import Measurer
from chopmark.workers.rolling_out import ACTOR, RolloutLoop
from tests.sdk.rollout_life import NAME, Life

MINUTE = timedelta(minutes=1)
DRIFT = Check(name="drift", kind="gauge", threshold=1.0)
AGE = Check(name="age", kind="gauge", metric="drift.age", threshold=1.0)
ANSWERS = Check(name="answers", kind="gauge", metric="drift.predictions", threshold=1.0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(step=timedelta(milliseconds=1))


def rows(seed: int, shift: float = 0.0, count: int = 2_000) -> dict[str, np.ndarray]:
    made = np.random.default_rng(seed).normal(size=(count, 3))
    return {"amount": made[:, 0] + shift, "age": made[:, 1], "score": made[:, 2]}


class Sampled(Life):
    """A life whose second version has a profile, and whose endpoint samples."""

    def __init__(self, registry: cm.Registry, clock: FakeClock) -> None:
        super().__init__(registry)
        self.clock = clock
        self.transport = cast("LocalTransport", registry._transport)
        with registry.draft("fraud") as draft:
            draft.add_model({"threshold": 0.5})
            draft.add_dataset(rows(0), name="train", scores="score")
            self.versions[1] = draft.register()
        self.ref = self.versions[1].ref
        registry.endpoints.update(NAME, config={"sample_share": 1.0}, reason="to see drift")
        with self.transport.catalog.reading() as tx:
            self.has_own_clock = tx.jobs.now() is not None
        self.measurer = self.a_measurer()

    def a_measurer(self) -> Measurer:
        clock = None if self.has_own_clock else self.clock
        return Measurer(self.transport, self.registry.settings, ACTOR, clock=clock)

    def sampled(self, table: dict[str, np.ndarray], variant: str, *, router: str = "r1") -> None:
        profile = self.registry.profiles.get(self.ref)
        inputs = {name: table[name] for name in ("amount", "age")}
        window = ProfileWindow(
            endpoint=self.endpoint.id,
            version=self.versions[1].id,
            variant=variant,
            start=beginning(self.now, "hour"),
            counts=profile.count(inputs, scores=table["score"]),
        )
        with self.transport.catalog.writing() as tx:
            tx.profile_counts.put(router, [window])

    @property
    def now(self) -> datetime:
        return self.registry.endpoints.live().at

    def begin(self, *checks: Check, mirror: int = 0, **options: Any) -> None:
        """The first step is confirmed."""
        first = PlanStep(weight=0 if mirror else 1_000, hold_s=0.0, samples_min=0, mirror=mirror)
        plan = RolloutPlan(steps=(first, PlanStep(weight=10_000, hold_s=0.0)), checks=checks, **options)
        self.registry.rollouts.start(NAME, self.ref, plan=plan)
        self.confirm()
        self.go()
        self.go()
        assert self.rollout.confirmed_at is not None

    def check(self, place: int = 0) -> CheckState:
        return self.rollout.checks[place]


@pytest.fixture
def life(own: cm.Registry, clock: FakeClock) -> Sampled:
    return Sampled(own, clock)


def test_a_step_passes_once_drift_was_measured_and_is_not_beyond(life: Sampled) -> None:
    life.begin(DRIFT, AGE, ANSWERS)
    assert life.check().verdict == "no_data"
    life.sampled(rows(1), "candidate")
    revision = life.rollout.revision
    life.measurer.turn()
    assert life.rollout.step == 1, "0 everywhere"
    assert life.rollout.revision == revision + 1
    moved = life.registry.rollouts.events(NAME)[-1]
    assert [each.words.split(",")[0] for each in moved.evidence] == ["drift: 0", "age: 0", "answers: 0"]


def test_a_candidate_whose_requests_drift_does_not_pass_and_the_column_is_named(life: Sampled) -> None:
    life.begin(DRIFT, AGE, ANSWERS)
    life.sampled(rows(1, shift=3.0), "candidate")
    life.sampled(rows(2), "stable", router="r2")
    life.measurer.turn()
    worst, age, answers = (life.check(place) for place in range(3))
    assert (worst.verdict, age.verdict, answers.verdict) == ("inconclusive", "pass", "pass")
    assert worst.last is not None
    assert worst.last.value is not None
    assert worst.last.value > 1
    life.look()
    assert life.rollout.step == 0
    assert life.check().beyond == 1, "a look counts nothing twice"


def test_copies_are_measured_of_a_shadow_and_nothing_else(life: Sampled) -> None:
    life.begin(DRIFT, mirror=10_000)
    life.sampled(rows(1), "candidate", router="r2")
    life.measurer.turn()
    assert life.check().evidence == f"drift: no copies of {life.ref} were sampled in this step"
    assert life.check().verdict == "no_data"


def test_a_shadow_passes_by_the_drift_of_its_copies(life: Sampled) -> None:
    life.begin(DRIFT, ANSWERS, mirror=10_000)
    life.sampled(rows(1), "shadow")
    life.measurer.turn()
    assert life.rollout.step == 1


def test_too_few_rows_wait(life: Sampled) -> None:
    life.begin(DRIFT)
    life.sampled(rows(1, count=20), "candidate")
    life.measurer.turn()
    assert life.check().evidence == "drift: Too few rows were sampled: 20."
    life.go()
    assert life.rollout.waiting == "waiting for requests and measurements"


def test_it_is_measured_once_a_minute_by_any_number_of_workers(life: Sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    life.begin(DRIFT)
    reads: list[str] = []
    read = Profiles.get

    def counted(self: Profiles, ref: Any, dataset: str = "") -> Any:
        reads.append(str(ref))
        return read(self, ref, dataset)

    monkeypatch.setattr(Profiles, "get", counted)
    others = [life.a_measurer() for _ in range(2)]
    for _ in range(3):
        for each in (life.measurer, *others):
            each.turn()
        life.go()
    assert reads == [life.ref]
    if not life.has_own_clock:
        life.clock.advance(MINUTE)
        for each in (life.measurer, *others):
            each.turn()
        assert reads == [life.ref] * 2


def test_a_plan_that_asks_for_none_is_never_measured(life: Sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    life.begin(Check(name="quality", kind="gauge", threshold=1.0))

    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(Profiles, "get", never)
    assert life.measurer.turn() > 0
    life.measurer._pulse.check()


def test_a_store_that_does_not_answer_is_why_nothing_is_known_and_keeps_no_abort_waiting(
    life: Sampled, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.begin(DRIFT)

    def gone(*_: Any) -> None:
        raise Unavailable("The store does not answer.")

    monkeypatch.setattr(Profiles, "get", gone)
    life.measurer.turn()
    assert life.check().evidence == "drift: The store does not answer."
    life.registry.rollouts.abort(NAME)
    RolloutLoop(life.transport, life.registry.settings).turn()
    assert life.rollout.state == "aborting"


def test_a_recorded_metric_of_that_name_is_no_drift(life: Sampled) -> None:
    life.begin(DRIFT)
    window = OutcomeWindow(
        endpoint=life.endpoint.id,
        version=life.versions[1].id,
        variant="candidate",
        start=window_start(life.now),
        requests=10,
        metrics={"drift": MetricSums.of_one(0.0)},
    )
    with life.transport.catalog.writing() as tx:
        tx.outcomes.put("r1", [window])
    life.look()
    assert life.check().evidence == "drift: no number"


def test_what_can_never_be_measured_is_refused_at_the_start(life: Sampled) -> None:
    plan = plan_for(checks=(DRIFT,))
    with pytest.raises(InvalidRequest, match="asks for drift, and fraud:3 has no profile of its data"):
        life.registry.rollouts.start(NAME, "fraud:3", plan=plan)
    life.registry.endpoints.update(NAME, config={"sample_share": None}, reason="too many")
    with pytest.raises(InvalidRequest, match="fraud-api samples no requests") as refused:
        life.registry.rollouts.start(NAME, life.ref, plan=plan)
    assert refused.value.hint == "Have some sampled: chopmark endpoint update fraud-api --config sample_share=0.1"


def test_a_way_back_to_a_version_without_a_profile_is_inconclusive_and_not_refused(life: Sampled) -> None:
    bake = PlanStep(weight=10_000, hold_s=0.0, samples_min=0)
    life.begin(DRIFT, rollback_window_s=0.0, bake=bake)
    for variant in ("candidate", "stable") * 6:
        life.sampled(rows(1), variant)
        life.answer(2, 200)
        life.go()
        life.measurer.turn()
        if life.look().is_final:
            break
    assert life.rollout.state == "completed"
    life.registry.rollouts.undo(NAME, reason="complaints")
    life.go()
    life.go()
    assert (life.rollout.state, life.rollout.candidate.ref) == ("progressing", "fraud:1")
    life.measurer.turn()
    assert life.rollout.waiting == "paused: inconclusive: drift"
    (check,) = life.rollout.checks
    assert (check.verdict, check.evidence) == ("inconclusive", "drift: fraud:1 has no profile of its data.")

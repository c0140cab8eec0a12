"""Experiments' pure parts: when batches are complete, what they are made of, and what may change of a plan."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chopmark.domain.experiment_judging import Known, judged
from chopmark.domain.experiment_units import (
    NOWHERE,
    SEEN_IN_TWO,
    ExposedUnits,
    ObservedTime,
    RecordedUnits,
    UnitMetric,
    batches_of,
    outcome_id,
    unit_hash,
)
from chopmark.domain.experiments import (
    Experiment,
    ExperimentMetric,
    ExperimentPlan,
    check_plan,
    extended,
    lengths_of,
    shares_of,
)
from chopmark.domain.traffic import PinnedVersion, Variant
from chopmark.errors import Conflict, InvalidRequest
from chopmark.stats.summaries import Mean, Proportion, Ratio

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_plan(**changes: object) -> ExperimentPlan:
    versions = [PinnedVersion(id=UUID(int=n), model="ranker", number=n, digest=f"sha256:{n:064}") for n in (1, 2)]
    plan = ExperimentPlan(
        variants=(
            Variant(name="a", version=versions[0], weight=5_000),
            Variant(name="b", version=versions[1], weight=5_000),
        ),
        control="a",
        metrics=(ExperimentMetric(name="success", role="primary"),),
        salt="salt",
        window_s=60.0,
        batch_s=100.0,
    )
    return structs.replace(plan, **changes)


def an_experiment(**changes: object) -> Experiment:
    made = Experiment(
        id=UUID(int=7),
        project="default",
        name="test",
        plan=a_plan(),
        started_at=NOON,
        started_by="ada",
        ends_at=NOON + 400 * SECOND,
    )
    return structs.replace(made, **changes)


def test_a_batch_is_complete_when_all_its_windows_are_over() -> None:
    time = ObservedTime(start_us=1_000, until_us=1_950, window_us=60, batch_us=100)
    assert [time.complete(now) for now in (0, 1_000, 1_159, 1_160, 1_259, 1_260)] == [0, 0, 0, 1, 1, 2]
    assert [time.complete(now) for now in (2_009, 2_010, 9_999)] == [9, 10, 10]  # the last one is half a batch
    assert [time.batch(at) for at in (1_000, 1_099, 1_100)] == [0, 0, 1]


def test_batches_hold_what_units_came_to() -> None:
    zero, left_out = True, False
    metrics = [
        UnitMetric("p", "proportion", zero),
        UnitMetric("m", "mean", left_out),
        UnitMetric("r", "ratio", zero),
        UnitMetric("none", "mean", zero),
    ]
    exposed = [
        ExposedUnits(0, 0, 10),
        ExposedUnits(1, 0, 12),
        ExposedUnits(1, 1, 5),
        ExposedUnits(SEEN_IN_TWO, 0, 3),
        ExposedUnits(0, 2, 9),
    ]
    recorded = [
        [RecordedUnits(0, 0, 4, 4.0, 0, 4.0, 0, 0, 4, 0, 0)],
        [RecordedUnits(0, 0, 2, 6.0, 0, 20.0, 0, 0, 2, 0, 0), RecordedUnits(NOWHERE, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0)],
        [RecordedUnits(1, 0, 2, 3.0, 4.0, 5.0, 8.0, 6.0, 4, 0, 0)],
        [RecordedUnits(0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 3), RecordedUnits(SEEN_IN_TWO, 0, 3, 3, 0, 3, 0, 0, 3, 0, 0)],
    ]
    first, second = batches_of(["a", "b"], metrics, exposed, recorded, 2)
    assert first.exposures.counts == {"a": 10, "b": 12}
    assert first.records == {
        "a": {"p": Proportion(4, 10), "m": Mean(2, 3.0, 2.0), "r": Ratio(10)},
        "b": {"p": Proportion(0, 12), "m": Mean(), "r": Ratio.from_sums(12, 3.0, 4.0, 5.0, 8.0, 6.0)},
    }
    assert second.exposures.counts == {"b": 5}
    assert batches_of(["a", "b"], metrics, exposed, recorded, 0) == []


COUNTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(1, 200)), max_size=12, unique_by=lambda t: t[:2]
)


@given(COUNTS, st.randoms(use_true_random=False))
def test_what_is_said_depends_on_no_order(counts: list[tuple[int, int, int]], rng: random.Random) -> None:
    """And what was complete before is a beginning of what is complete later."""
    exposed = [ExposedUnits(*each) for each in counts]
    recorded = [[RecordedUnits(v, b, n // 2, n // 2, n, n // 2, n, n, n, 0, 0) for v, b, n in counts if n > 1]]
    experiment = an_experiment(ends_at=NOON + 500 * SECOND)
    said = judged(experiment, Known(exposed, recorded), NOON + 700 * SECOND)
    rows, sums = list(exposed), list(recorded[0])
    rng.shuffle(rows)
    rng.shuffle(sums)
    assert judged(experiment, Known(rows, [sums]), NOON + 700 * SECOND) == said
    metrics = experiment.plan.unit_metrics
    whole = batches_of(["a", "b"], metrics, exposed, recorded, 5)
    if any(b < 3 and n > 1 for _, b, n in counts):  # before, the metric is not told at all
        for complete in (3, 4):
            part = batches_of(["a", "b"], metrics, exposed, recorded, complete)
            assert part == whole[: len(part)]


def test_hashes_are_the_same_for_ever() -> None:
    assert unit_hash("00" * 32, "Größe").hex() == unit_hash("00" * 32, "Größe".encode()).hex()
    assert unit_hash("01" * 32, "user-1") != unit_hash("00" * 32, "user-1")
    assert outcome_id("id", "7").hex() == "18ba41fc19c5cb779207bcc3cfc3e351"
    assert a_plan().digest == "sha256:6e454dcf74797fc2849d2ce1b7f9329bb808695e2157d232f578ff3a427fd01e"


def test_a_plan_says_what_it_compares() -> None:
    assert check_plan(a_plan()).comparison.variants == {"a": 0.5, "b": 0.5}
    for changes, words in (
        ({"metrics": ()}, "0 primary"),
        ({"metrics": (ExperimentMetric(name="x"),)}, "0 primary"),
        ({"metrics": tuple(ExperimentMetric(name=f"m{n}") for n in range(21))}, "too many"),
        ({"metrics": (ExperimentMetric(name="a b", role="primary"),)}, "metric"),
        ({"unit": "two words"}, "unit"),
        ({"endpoint": "search", "unit": "request"}, "deals by key"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            check_plan(a_plan(**changes))


def test_times_fit_each_other() -> None:
    assert lengths_of(14 * 86_400, 3_600, None) == (3_024.0, 14 * 86_400)
    assert lengths_of(10, 1, None) == (1.0, 10.0)
    assert lengths_of(95, 1, 10) == (10.0, 100.0)
    for said in ((10, 41, None), (10, 1, 0.5), (10, 1, 11), (40_010, 1, 10)):
        with pytest.raises(InvalidRequest):
            lengths_of(*said)


def test_shares_are_all_said_or_none() -> None:
    assert shares_of([None, None]) == [50.0, 50.0]
    assert sum(shares_of([None] * 7)) == pytest.approx(100)
    assert shares_of([90.0, 10.0]) == [90.0, 10.0]
    with pytest.raises(InvalidRequest):
        shares_of([90.0, None])


def test_an_end_moves_by_whole_batches() -> None:
    experiment = an_experiment()
    assert extended(experiment, 401, NOON).ends_at == NOON + 500 * SECOND
    assert extended(experiment, 300, NOON + 250 * SECOND).ends_at == NOON + 300 * SECOND
    assert extended(experiment, 500, NOON + 450 * SECOND).ends_at == NOON + 500 * SECOND
    with pytest.raises(Conflict):
        extended(experiment, 200, NOON + 250 * SECOND)
    with pytest.raises(InvalidRequest, match="too long"):
        extended(experiment, 400_001, NOON)
    with pytest.raises(Conflict, match="stopped"):
        extended(an_experiment(state="stopped"), 500, NOON)


def test_who_meets_what_after_the_end() -> None:
    running = an_experiment()
    assert {running.assign(f"u{n}") for n in range(20)} == {"a", "b"}
    assert {an_experiment(state="stopped").assign(f"u{n}") for n in range(20)} == {"a"}
    assert {an_experiment(state="decided", winner="b").assign(f"u{n}") for n in range(20)} == {"b"}
    ended = an_experiment(ended_at=NOON + 30 * SECOND)
    assert ended.exposes_until == NOON + 30 * SECOND
    assert an_experiment(ended_at=NOON + 900 * SECOND).exposes_until == running.ends_at

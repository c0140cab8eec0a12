"""The part of the catalog's contract that is about experiments and their units."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog, Taken
from chopmark.domain.experiment_status import ExperimentStatus, VariantStatus
from chopmark.domain.experiment_units import (
    NOWHERE,
    SEEN_IN_TWO,
    ExposedUnits,
    ObservedTime,
    RecordedUnits,
    UnitExposure,
    UnitOutcome,
)
from chopmark.domain.experiments import Experiment, ExperimentMetric, ExperimentPlan
from chopmark.domain.traffic import PinnedVersion, Variant
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_fixtures import CatalogFixtures

__all__ = ["ExperimentLaws", "ExperimentUnitLaws"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIME = ObservedTime(start_us=1_000, until_us=2_000, window_us=100, batch_us=250)


def a_plan(**changes: Any) -> ExperimentPlan:
    """A plan that has everything."""
    versions = [
        PinnedVersion(id=uuid4(), model="risk/fraud", number=n, digest=f"sha256:{n:064}", kind="ensemble")
        for n in (1, 2)
    ]
    whole = ExperimentPlan(
        variants=tuple(
            Variant(name=name, version=version, weight=weight)
            for name, version, weight in zip(("control", "treatment"), versions, (9_000, 1_000), strict=True)
        ),
        control="control",
        metrics=(
            ExperimentMetric(name="success", role="primary", threshold=0.01, baseline=0.5),
            ExperimentMetric(name="cost", kind="ratio", role="guardrail", better="lower", unrecorded="left_out"),
        ),
        alpha=0.01,
        power=0.9,
        minimum_effect=0.02,
        unit="household",
        endpoint="risk/fraud-api",
        salt="salt",
        window_s=90.5,
        batch_s=3.0,
    )
    return structs.replace(whole, **changes)


def an_experiment(project: str = "risk", name: str = "test", **changes: Any) -> Experiment:
    """An experiment that has everything."""
    variant = VariantStatus(
        name="control", version="risk/fraud:1", percent=90.0, exposed=3, observed=2, values={"cost": None}
    )
    final = ExperimentStatus(
        experiment=f"{project}/{name}",
        at=NOON,
        state="decided",
        decision="winner",
        sentence="Größe",
        is_final=True,
        variants=(variant,),
        ends_at=NOON,
        plan_digest="sha256:0",
    )
    whole = Experiment(
        id=uuid4(),
        project=project,
        name=name,
        description="Größe",
        plan=a_plan(),
        endpoint_id=uuid4(),
        state="running",
        started_at=NOON,
        started_by="ada",
        ends_at=NOON + timedelta(days=14),
        ended_at=NOON + timedelta(days=3),
        ended_by="bob",
        winner="treatment",
        final=final,
    )
    return structs.replace(whole, **changes)


class ExperimentLaws(CatalogFixtures):
    """An experiment is one row by its name, and its plan never changes."""

    def test_an_experiment_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field, and locked the same."""
        experiment = an_experiment()
        bare = an_experiment(name="bare", endpoint_id=None, ended_at=None, final=None, description="", winner="")
        with catalog.writing() as tx:
            tx.experiments.insert(experiment)
            tx.experiments.insert(bare)
            assert tx.experiments.lock("risk", "test") == experiment
            assert tx.experiments.lock("risk", "other") is None
        with catalog.reading() as tx:
            assert tx.experiments.get("risk", "test") == experiment
            assert tx.experiments.get("risk", "bare") == bare
            assert tx.experiments.get("default", "test") is None

    def test_a_name_and_an_endpoint_are_taken_once(self, catalog: Catalog) -> None:
        """The endpoint as long as the experiment runs."""
        experiment = an_experiment()
        with catalog.writing() as tx:
            tx.experiments.insert(experiment)
            with pytest.raises(Taken):
                tx.experiments.insert(an_experiment())
        with catalog.writing() as tx, pytest.raises(Taken):
            tx.experiments.insert(an_experiment(name="second", endpoint_id=experiment.endpoint_id))
        with catalog.writing() as tx:
            assert tx.experiments.put(structs.replace(experiment, state="stopped"))
            second = an_experiment(
                name="second", endpoint_id=experiment.endpoint_id, started_at=NOON + timedelta(days=5)
            )
            tx.experiments.insert(second)
            assert experiment.endpoint_id is not None
            found = tx.experiments.on_endpoint(experiment.endpoint_id, limit=9)
            assert [each.name for each in found] == ["second", "test"]
            assert tx.experiments.on_endpoint(experiment.endpoint_id, limit=1) == [second]
            assert tx.experiments.on_endpoint(uuid4(), limit=9) == []

    def test_what_may_change_is_replaced(self, catalog: Catalog) -> None:
        """Not whose it is, its name, its plan, or who began it."""
        experiment = an_experiment()
        changed = structs.replace(
            experiment,
            state="decided",
            description="",
            ends_at=NOON + timedelta(days=20),
            ended_at=None,
            ended_by="",
            winner="",
            final=None,
        )
        with catalog.writing() as tx:
            tx.experiments.insert(experiment)
            stolen = structs.replace(
                changed,
                project="x",
                name="y",
                plan=a_plan(alpha=0.5),
                endpoint_id=None,
                started_by="eve",
                started_at=NOON + timedelta(days=1),
            )
            assert tx.experiments.put(stolen)
            assert tx.experiments.get("risk", "test") == changed
            assert not tx.experiments.put(an_experiment(name="none"))

    def test_experiments_are_listed_by_project_and_name(self, catalog: Catalog) -> None:
        """Page by page, without archived ones unless asked for; of one project, or of those that are seen."""
        names = [(p, n) for p in ("a", "b", "c") for n in ("x", "y")]
        with catalog.writing() as tx:
            for project, name in reversed(names):
                state = "archived" if (project, name) == ("b", "y") else "running"
                tx.experiments.insert(an_experiment(project, name, state=state))
        with catalog.reading() as tx:

            def listed(**options: Any) -> list[tuple[str, str]]:
                return [(e.project, e.name) for e in tx.experiments.list(**{"limit": 9, "archived": True, **options})]

            assert listed() == names
            assert listed(archived=False) == [*names[:3], *names[4:]]
            assert listed(after=("a", "y"), limit=3) == names[2:5]
            assert listed(project="b") == names[2:4]
            assert listed(project="b", archived=False) == names[2:3]
            assert listed(among=["c", "a"], after=("a", "x"), limit=2) == [names[1], names[4]]
            assert listed(among=[]) == []

    def test_a_transaction_that_reads_changes_no_experiment(self, catalog: Catalog) -> None:
        """Refused, as any other change."""
        experiment = an_experiment()
        with catalog.reading() as tx:
            for change in (
                lambda: tx.experiments.insert(experiment),
                lambda: tx.experiments.put(experiment),
                lambda: tx.experiments.lock("risk", "test"),
                lambda: tx.experiment_units.expose(experiment.id, [UnitExposure(unit(1), 0, 1)]),
                lambda: tx.experiment_units.record(experiment.id, [outcome(1)]),
                lambda: tx.experiment_units.forget(experiment.id),
            ):
                with pytest.raises(InvalidRequest):
                    change()


def unit(number: int) -> bytes:
    """A unit's hash."""
    return number.to_bytes(16, "big")


def outcome(
    number: int, at_us: int = 1_000, y: float = 1.0, *, x: float = 1.0, key: int = 0, metric: int = 0
) -> UnitOutcome:
    """What was recorded of a unit."""
    return UnitOutcome(unit(number), metric, unit(key), at_us, y, x)


class ExperimentUnitLaws(CatalogFixtures):
    """Sums of units are a function of what was told, not of the order or how often it was."""

    def test_units_are_counted_by_variant_and_batch(self, catalog: Catalog) -> None:
        """Of this experiment, from their first exposure; those that come after the end are none."""
        mine, other = uuid4(), uuid4()
        with catalog.writing() as tx:
            tx.experiment_units.expose(
                mine,
                [
                    UnitExposure(unit(1), 0, 1_000),
                    UnitExposure(unit(2), 0, 1_249),
                    UnitExposure(unit(3), 1, 1_250),
                    UnitExposure(unit(4), 1, 1_999),
                    UnitExposure(unit(5), 1, 2_000),
                    UnitExposure(unit(3), 1, 1_600),
                    UnitExposure(unit(4), 1, 1_700),
                ],
            )
            tx.experiment_units.expose(other, [UnitExposure(unit(1), 1, 1_000)])
        with catalog.reading() as tx:
            assert tx.experiment_units.exposed(mine, TIME) == [
                ExposedUnits(0, 0, 2),
                ExposedUnits(1, 1, 1),
                ExposedUnits(1, 2, 1),
            ]
            assert tx.experiment_units.exposed(uuid4(), TIME) == []

    def test_a_unit_of_two_variants_is_of_none(self, catalog: Catalog) -> None:
        """For good, whichever came first."""
        for order in ((0, 1), (1, 0), (0, 1, 0), (SEEN_IN_TWO, 0), (0, SEEN_IN_TWO)):
            mine = uuid4()
            with catalog.writing() as tx:
                for variant in order:
                    tx.experiment_units.expose(mine, [UnitExposure(unit(1), variant, 1_300)])
                assert tx.experiment_units.exposed(mine, TIME) == [ExposedUnits(SEEN_IN_TWO, 0, 1)]

    def test_only_the_window_of_a_unit_counts(self, catalog: Catalog) -> None:
        """From its first exposure to before the end of its window; the rest is counted apart."""
        mine = uuid4()
        with catalog.writing() as tx:
            tx.experiment_units.expose(
                mine, [UnitExposure(unit(1), 1, 1_300), UnitExposure(unit(3), SEEN_IN_TWO, 1_300)]
            )
            told = [outcome(1, at, 2.0, x=3.0, key=at) for at in (1_299, 1_300, 1_399, 1_400, 1_401)]
            tx.experiment_units.record(mine, [*told, outcome(2, 1_300), outcome(3, 1_300), outcome(1, 1_300, metric=1)])
            found = tx.experiment_units.recorded(mine, 0, TIME, any_of=False)
            assert found == [
                RecordedUnits(NOWHERE, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 1, 0, 0),
                RecordedUnits(SEEN_IN_TWO, 0, 1, 1.0, 1.0, 1.0, 1.0, 1.0, 1, 0, 0),
                RecordedUnits(1, 1, 1, 4.0, 6.0, 16.0, 36.0, 24.0, 5, 1, 2),
            ]
            (*_, any_of) = tx.experiment_units.recorded(mine, 0, TIME, any_of=True)
            assert any_of[:5] == (1, 1, 1, 2.0, 6.0)
            assert tx.experiment_units.recorded(mine, 2, TIME, any_of=True) == []

    def test_what_comes_twice_counts_once(self, catalog: Catalog) -> None:
        """And of two values with one id the earlier one does, whichever came first."""
        told = [outcome(1, 1_010, 5.0), outcome(1, 1_005, 7.0), outcome(1, 1_005, 6.0), outcome(1, 1_005, 6.0, x=0.5)]
        for seed in range(6):
            mine = uuid4()
            with catalog.writing() as tx:
                tx.experiment_units.expose(mine, [UnitExposure(unit(1), 0, 1_000)])
                for each in random.Random(seed).sample(told, len(told)):
                    tx.experiment_units.record(mine, [each, each])
                (found,) = tx.experiment_units.recorded(mine, 0, TIME, any_of=False)
                assert (found.y, found.x, found.records) == (6.0, 0.5, 1)

    def test_any_order_gives_the_same_sums(self, catalog: Catalog) -> None:
        """Exposures and outcomes mixed, in parts, some of them again."""
        rng = random.Random(5)
        exposures = [
            UnitExposure(unit(rng.randrange(60)), rng.random() < 0.5, rng.randrange(900, 2_100)) for _ in range(120)
        ]
        outcomes = [
            outcome(rng.randrange(70), rng.randrange(900, 2_300), rng.randrange(9), key=rng.randrange(5))
            for _ in range(400)
        ]
        answers: list[Any] = []
        for seed in range(3):
            mine, order = uuid4(), random.Random(seed)
            told: list[Any] = order.sample([*exposures, *outcomes, *outcomes[:50]], 570)
            with catalog.writing() as tx:
                while told:
                    part, told = told[:97], told[97:]
                    tx.experiment_units.expose(mine, [each for each in part if isinstance(each, UnitExposure)])
                    tx.experiment_units.record(mine, [each for each in part if isinstance(each, UnitOutcome)])
                sums = [tx.experiment_units.recorded(mine, 0, TIME, any_of=any_of) for any_of in (False, True)]
                answers.append((tx.experiment_units.exposed(mine, TIME), *sums))
        assert answers[0] == answers[1] == answers[2]
        assert len(answers[0][1]) > 8

    def test_what_is_known_of_units_is_forgotten(self, catalog: Catalog) -> None:
        """Of one experiment."""
        mine, other = uuid4(), UUID(int=7)
        with catalog.writing() as tx:
            for each in (mine, other):
                tx.experiment_units.expose(each, [UnitExposure(unit(1), 0, 1_000), UnitExposure(unit(2), 1, 1_000)])
                tx.experiment_units.record(each, [outcome(1)])
            assert tx.experiment_units.forget(mine) == 2
            assert tx.experiment_units.exposed(mine, TIME) == []
            assert tx.experiment_units.recorded(mine, 0, TIME, any_of=False) == []
            assert len(tx.experiment_units.exposed(other, TIME)) == 2
            assert tx.experiment_units.forget(mine) == 0

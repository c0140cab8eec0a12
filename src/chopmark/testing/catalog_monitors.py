"""The part of the catalog's contract that is about monitors and alerts."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog, Taken
from chopmark.abc.monitors import WatchedMonitor
from chopmark.base.ids import uuid7
from chopmark.domain.alert_log import Alert, AlertChange, acknowledged, resolved
from chopmark.domain.alert_rules import AlertState, Sample
from chopmark.domain.burn_rates import BurnRateState, MinuteCounts
from chopmark.domain.monitor_steps import MonitorState, standing_of
from chopmark.domain.monitors import Action, BurnRateWatch, Monitor, Standing, ThresholdWatch
from chopmark.errors import InvalidRequest
from chopmark.stats.anomalies import MetricBaseline
from chopmark.testing.catalog_fixtures import CatalogFixtures, Stop, write_and_stop

__all__ = ["AlertLaws", "MonitorLaws", "a_monitor", "a_state", "an_alert"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FAR = NOON + timedelta(days=1)


def a_monitor(name: str = "fraud-errors", project: str = "risk", **changes: Any) -> Monitor:
    """A monitor that has everything."""
    whole = Monitor(
        id=uuid4(),
        project=project,
        name=name,
        on=f"{project}/fraud-api",
        variant="candidate",
        metric="error_rate",
        minutes=5,
        rule=ThresholdWatch(threshold=0.05, resolve_threshold=0.01, for_s=300, requests_min=7, no_data="alerting"),
        severity="critical",
        action=Action(kind="job", job="expiry", arguments={"key_days": 3}, cooldown_s=5),
        description="Größe",
        silenced_until=NOON + MINUTE,
        created_at=NOON,
        created_by="ada",
        updated_at=NOON + MINUTE,
        updated_by="bob",
    )
    return structs.replace(whole, **changes)


def a_state(**changes: Any) -> MonitorState:
    """What is remembered of a monitor, with everything that may be."""
    whole = MonitorState(
        until=NOON,
        alert=AlertState(phase="firing", at=NOON, sampled_at=NOON, pending_since=NOON - MINUTE, firing_since=NOON),
        burn=BurnRateState(MinuteCounts(29_000_000, (1, 2), (10, 20)), {"page_fast": AlertState(phase="pending")}),
        baseline=MetricBaseline(
            n=60, samples_per_day=288.0, alarms_per_day=0.1, centers=(1.5,), spreads=(0.1,), low=None, high=4.0
        ),
        baseline_at=NOON,
        sample=Sample(NOON, 0.125, 40),
        why="Größe",
    )
    return structs.replace(whole, **changes)


def an_alert(**changes: Any) -> Alert:
    """An alert that has everything, and fires."""
    whole = Alert(
        id=uuid7(NOON),
        project="risk",
        monitor="fraud-errors",
        monitor_id=UUID(int=5),
        label="page_fast",
        on="risk/fraud-api",
        endpoint_id=UUID(int=8),
        severity="critical",
        action="rollback",
        message="Größe",
        value=0.5,
        since=NOON - MINUTE,
        fired_at=NOON,
        opened_at=NOON,
        generation=3,
        is_told=False,
        changes=(AlertChange(at=NOON, what="fired", by="", text="Größe"),),
    )
    return structs.replace(whole, **changes)


class MonitorLaws(CatalogFixtures):
    """Monitors by name, what is remembered of them, and when each is due."""

    @pytest.mark.parametrize("rule", [a_monitor().rule, BurnRateWatch(objective=0.999)])
    def test_a_monitor_comes_back_as_it_was(self, catalog: Catalog, rule: Any) -> None:
        """With every field, and its standing made from the state."""
        monitor, state = a_monitor(rule=rule), a_state()
        with catalog.writing() as tx:
            assert tx.monitors.get("risk", "fraud-errors") is None
            tx.monitors.insert(monitor, state, NOON)
        expected = structs.replace(monitor, standing=standing_of(state))
        with catalog.reading() as tx:
            assert tx.monitors.get("risk", "fraud-errors") == WatchedMonitor(expected, state, 1)
            assert tx.monitors.by_id(monitor.id) == WatchedMonitor(expected, state, 1)
            assert tx.monitors.list(limit=9) == [expected]
            assert expected.standing.phase == "firing"

    def test_a_monitors_name_is_taken_once(self, catalog: Catalog) -> None:
        """In its project; what was refused changes nothing."""
        first = a_monitor()
        with catalog.writing() as tx:
            tx.monitors.insert(first, a_state(), NOON)
            for twin in (a_monitor(), a_monitor("other", id=first.id)):
                with pytest.raises(Taken):
                    tx.monitors.insert(twin, a_state(), NOON)
            tx.monitors.insert(a_monitor(project="other"), a_state(), NOON)
        with catalog.reading() as tx:
            assert [m.ref for m in tx.monitors.list(limit=9)] == ["other/fraud-errors", "risk/fraud-errors"]

    def test_who_saw_an_older_revision_writes_nothing(self, catalog: Catalog) -> None:
        """Neither over what another wrote, nor what was removed; id, names and maker stay."""
        monitor = a_monitor()
        with catalog.writing() as tx:
            tx.monitors.insert(monitor, a_state(), NOON)
            seen = tx.monitors.by_id(monitor.id)
            assert seen is not None
            changed = structs.replace(monitor, enabled=False, severity="info", standing=Standing(), created_by="x")
            state = a_state(why="", until=NOON + MINUTE)
            assert tx.monitors.put(seen, changed, state, FAR)
            assert not tx.monitors.put(seen, monitor, a_state(), NOON)
        with catalog.writing() as tx:
            now = tx.monitors.by_id(monitor.id)
            assert now is not None
            assert (now.revision, now.state, now.monitor.severity) == (2, state, "info")
            assert (now.monitor.created_by, now.monitor.enabled) == ("ada", False)
            assert tx.monitors.remove(monitor.id)
            assert not tx.monitors.remove(monitor.id)
            assert not tx.monitors.put(now, monitor, state, NOON)

    def test_of_two_who_write_at_once_one_does(self, catalog: Catalog) -> None:
        """By the revision that both saw."""
        monitor = a_monitor()
        with catalog.writing() as tx:
            tx.monitors.insert(monitor, a_state(), NOON)
        with catalog.reading() as tx:
            seen = tx.monitors.by_id(monitor.id)
        assert seen is not None
        written: list[bool] = []

        def write() -> None:
            with catalog.writing() as tx:
                written.append(tx.monitors.put(seen, monitor, a_state(), NOON))

        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(written) == [False, True]

    def test_those_that_are_due(self, catalog: Catalog) -> None:
        """Who waits longest first; disabled ones never; those that wait for a time beyond the clock, too."""
        due = {"late": NOON + MINUTE, "first": NOON - MINUTE, "second": NOON, "off": NOON, "beyond": FAR}
        made = {name: a_monitor(name, enabled=name != "off") for name in due}
        with catalog.writing() as tx:
            for name, monitor in made.items():
                tx.monitors.insert(monitor, a_state(), due[name])
        names = {monitor.id: name for name, monitor in made.items()}
        with catalog.reading() as tx:
            found = tx.monitors.due(NOON, NOON + timedelta(hours=1), limit=9)
            assert [names[key] for key in found] == ["first", "second", "beyond"]
            assert tx.monitors.due(NOON, FAR, limit=1) == [made["first"].id]

    def test_monitors_are_listed_by_project_and_name(self, catalog: Catalog) -> None:
        """Page by page, of a project or of those in sight."""
        with catalog.writing() as tx:
            for project, name in (("b", "y"), ("a", "z"), ("b", "x"), ("c", "w")):
                tx.monitors.insert(a_monitor(name, project), a_state(), NOON)
        with catalog.reading() as tx:

            def refs(**options: Any) -> list[str]:
                return [m.ref for m in tx.monitors.list(**options)]

            assert refs(limit=9) == ["a/z", "b/x", "b/y", "c/w"]
            assert refs(after=("a", "z"), limit=2) == ["b/x", "b/y"]
            assert refs(project="b", limit=9) == ["b/x", "b/y"]
            assert refs(among=["a", "c"], limit=9) == ["a/z", "c/w"]
            assert refs(among=[], limit=9) == []

    def test_a_block_that_raises_changes_no_monitor(self, catalog: Catalog) -> None:
        """And a block that reads refuses to."""
        with pytest.raises(Stop):
            write_and_stop(catalog, lambda tx: tx.monitors.insert(a_monitor(), a_state(), NOON))
        with catalog.reading() as tx:
            assert tx.monitors.list(limit=9) == []
            with pytest.raises(InvalidRequest):
                tx.monitors.insert(a_monitor(), a_state(), NOON)
            with pytest.raises(InvalidRequest):
                tx.monitors.remove(uuid4())


class AlertLaws(CatalogFixtures):
    """Alerts by their id: of a monitor and label one is not resolved."""

    def test_an_alert_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field, and with what became of it."""
        alert = an_alert()
        with catalog.writing() as tx:
            assert tx.alerts.get(alert.id) is None
            tx.alerts.put(alert)
            assert tx.alerts.get(alert.id) == alert
            changed = acknowledged(alert, "ada", "I look", NOON + MINUTE)
            tx.alerts.put(changed)
        with catalog.reading() as tx:
            assert tx.alerts.get(alert.id) == changed
            assert tx.alerts.list(limit=9) == [changed]

    def test_a_second_one_fires_only_once_the_first_is_resolved(self, catalog: Catalog) -> None:
        """By monitor or rollout and label; the refusal leaves the transaction usable."""
        first, second = an_alert(), an_alert(id=uuid7(NOON + MINUTE))
        with catalog.writing() as tx:
            tx.alerts.put(first)
            with pytest.raises(Taken):
                tx.alerts.put(second)
            tx.alerts.put(an_alert(id=uuid7(NOON), label="page_slow"))
            tx.alerts.put(an_alert(id=uuid7(NOON), monitor_id=UUID(int=6)))
            of_rollout = an_alert(id=uuid7(NOON), monitor="", monitor_id=None, rollout_id=UUID(int=7))
            tx.alerts.put(of_rollout)
            with pytest.raises(Taken):
                tx.alerts.put(structs.replace(of_rollout, id=uuid7(NOON)))
            assert tx.alerts.list(source_id=UUID(int=7), limit=9) == [of_rollout]
            tx.alerts.put(resolved(first, "over", NOON + MINUTE))
            tx.alerts.put(second)
        with catalog.reading() as tx:
            assert len(tx.alerts.list(limit=9)) == 5

    def test_alerts_are_listed_newest_first(self, catalog: Catalog) -> None:
        """Page by page; resolved ones, or others; of a monitor, a project, or those in sight."""
        made = [
            an_alert(id=uuid7(NOON + n * MINUTE), monitor_id=UUID(int=n % 3 + 1), label=str(n), project="abc"[n % 3])
            for n in range(6)
        ]
        with catalog.writing() as tx:
            for n in (3, 0, 5, 1, 4, 2):
                tx.alerts.put(made[n] if n % 2 else resolved(made[n], "over", NOON))
        with catalog.reading() as tx:

            def labels(**options: Any) -> str:
                return "".join(a.label for a in tx.alerts.list(**options))

            assert labels(limit=9) == "543210"
            assert labels(limit=2, after=made[4].id) == "32"
            assert (labels(resolved=True, limit=9), labels(resolved=False, limit=9)) == ("420", "531")
            assert labels(source_id=UUID(int=1), limit=9) == "30"
            assert labels(project="b", limit=9) == "41"
            assert (labels(among=["a", "c"], limit=9), labels(among=[], limit=9)) == ("5320", "")

    def test_what_fires_on_an_endpoint(self, catalog: Catalog) -> None:
        """Newest first; nothing that is resolved, and nothing of others."""
        one, other = UUID(int=8), UUID(int=9)
        made = [an_alert(id=uuid7(NOON + n * MINUTE), label=str(n), endpoint_id=one) for n in range(3)]
        with catalog.writing() as tx:
            for alert in (*made, an_alert(label="x", endpoint_id=other), an_alert(label="y", endpoint_id=None)):
                tx.alerts.put(alert)
            tx.alerts.put(resolved(made[1], "over", NOON))
            assert [a.label for a in tx.alerts.firing(one, limit=9)] == ["2", "0"]
            assert [a.label for a in tx.alerts.firing(one, limit=1)] == ["2"]

    def test_old_ones_are_forgotten(self, catalog: Catalog) -> None:
        """By when they were resolved; what fires is never old."""
        with catalog.writing() as tx:
            for n in range(4):
                alert = an_alert(id=uuid7(NOON), label=str(n))
                tx.alerts.put(resolved(alert, "over", NOON + n * MINUTE) if n else alert)
            assert tx.alerts.remove(NOON + 3 * MINUTE, limit=1) == 1
            assert tx.alerts.remove(NOON + 3 * MINUTE, limit=9) == 1
            assert sorted(a.label for a in tx.alerts.list(limit=9)) == ["0", "3"]
        with catalog.reading() as tx, pytest.raises(InvalidRequest):
            tx.alerts.put(an_alert())

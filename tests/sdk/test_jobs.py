"""``registry.jobs`` on every catalog, and over HTTP."""

import pytest

import chopmark as cm
from chopmark.errors import Conflict, InvalidRequest, NotFound


def test_schedules_are_set_listed_and_changed(registry: cm.Registry) -> None:
    jobs = registry.jobs
    for name in ("b", "a", "c"):
        jobs.set_schedule(name, "expiry", "@daily", zone="Europe/Berlin", misfire="all", reason="r")
    page = jobs.schedules(limit=2)
    assert [each.name for each in page] == ["a", "b"]
    assert [each.name for each in jobs.schedules(cursor=page.cursor)] == ["c"]
    changed = jobs.set_schedule("a", "backup", "0 1 * * *", arguments={"place": "/b"}, enabled=False)
    assert changed.next_at is None
    assert jobs.schedules()[0] == jobs.schedule("a") == changed
    assert jobs.resume("a").next_at is not None
    jobs.remove_schedule("a")
    for verb in (jobs.schedule, jobs.pause, jobs.resume, jobs.remove_schedule):
        with pytest.raises(NotFound, match="no schedule"):
            verb("a")
    events = [event.event for event in registry.audit.list(target="schedule:a")]
    assert events == ["schedule.set", "schedule.set", "schedule.resumed", "schedule.removed"]


def test_jobs_are_run_listed_and_ended_by_hand(registry: cm.Registry) -> None:
    jobs = registry.jobs
    jobs.set_schedule("nightly", "backup", "@daily", arguments={"place": "/b"})
    queued = [jobs.run("expiry", {"key_days": 3}), jobs.run(schedule="nightly"), jobs.run("integrity")]
    assert (queued[1].kind, queued[1].arguments, queued[1].fire_at) == ("backup", {"place": "/b"}, None)
    page = jobs.list(limit=2)
    assert list(page) == [queued[2], queued[1]]
    assert list(jobs.list(limit=2, cursor=page.cursor)) == [queued[0]]
    assert list(jobs.list(schedule="nightly")) == [queued[1]]
    assert jobs.get(str(queued[0].id)) == queued[0]
    ended = jobs.cancel(queued[0], reason="r")
    assert list(jobs.list(state="cancelled")) == [ended]
    with pytest.raises(Conflict):
        jobs.cancel(queued[0])
    with pytest.raises(Conflict):
        jobs.retry(queued[1])
    again = jobs.retry(ended)
    assert (again.state, again.ended_at) == ("queued", None)
    assert again.fence > ended.fence > queued[0].fence


def test_what_cannot_be_meant_changes_nothing(registry: cm.Registry) -> None:
    before = registry.audit.verify().events
    for wrong in (
        registry.jobs.run,
        lambda: registry.jobs.run("expiry", schedule="s"),
        lambda: registry.jobs.run("nothing"),
        lambda: registry.jobs.run("expiry", {"days": 1}),
        lambda: registry.jobs.get("x"),
        lambda: registry.jobs.list(cursor="x"),
        lambda: registry.jobs.set_schedule("s", "expiry", "0 0 30 2 *"),
        lambda: registry.jobs.set_schedule("a/b", "expiry", "@daily"),
        lambda: registry.jobs.set_schedule("s", "expiry", "@daily", misfire="never"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidRequest):
            wrong()
    assert registry.audit.verify().events == before

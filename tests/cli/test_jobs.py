"""``chopmark job`` and ``chopmark schedule``."""

from tests.cli.running import Program


def test_a_schedule_is_set_paused_and_removed(program: Program) -> None:
    program.register()
    shown = program.ok(
        "schedule", "set", "nightly", "backup", "30 2 * * *", "--set", "place=/mnt/b", "--set", "verify=true"
    )
    assert shown.out.splitlines()[0] == "nightly · backup"
    assert "place=/mnt/b, verify=true" in shown.out
    (item,) = program.ok("schedule", "list", "--json").json["items"]
    assert item["arguments"] == {"place": "/mnt/b", "verify": True}
    assert (item["enabled"], item["misfire"]) == (True, "once")
    assert "paused" in program.ok("schedule", "pause", "nightly", "--reason", "moving").out
    assert "paused" in program.ok("schedule", "list").out
    assert "paused" not in program.ok("schedule", "resume", "nightly").out
    assert program.ok("schedule", "remove", "nightly").out == "nightly: removed.\n"
    assert "no schedules" in program.ok("schedule", "list").err
    assert program("schedule", "remove", "nightly").code == 3


def test_a_job_is_run_listed_cancelled_and_tried_again(program: Program) -> None:
    program.register()
    job = program.ok("job", "run", "integrity", "--set", "share=0.5", "-q").out.strip()
    assert program.ok("job", "get", job, "--json").json["arguments"] == {"share": 0.5}
    assert [line.split()[:3] for line in program.ok("job", "list").out.splitlines()[1:]] == [
        [job, "integrity", "queued"]
    ]
    assert "cancelled" in program.ok("job", "cancel", job).out
    assert program("job", "cancel", job).code == 4
    assert program.ok("job", "list", "--state", "queued", "-q").out == ""
    assert "queued" in program.ok("job", "retry", job, "--reason", "after all").out
    events = [event["event"] for event in program.ok("audit", "list", "--target", f"job:{job}", "--json").json["items"]]
    assert events == ["job.queued", "job.cancelled", "job.retried"]


def test_what_cannot_be_meant(program: Program) -> None:
    program.register()
    for arguments, code in (
        (("job", "run"), 2),
        (("job", "run", "nothing"), 2),
        (("job", "run", "backup"), 2),
        (("job", "run", "backup", "--schedule", "x"), 2),
        (("job", "run", "--schedule", "x"), 3),
        (("job", "get", "x"), 2),
        (("job", "get", "019b1c7e-7d1c-7000-8000-1f0c8a5be9d2"), 3),
        (("schedule", "set", "s", "expiry", "61 * * * *"), 2),
        (("schedule", "set", "s", "expiry", "@daily", "--zone", "Mars"), 2),
    ):
        assert program(*arguments).code == code, arguments
    assert program.ok("job", "list", "--json").json["items"] == []


def test_a_rehearsal_queues_nothing(program: Program) -> None:
    program.register()
    program.ok("job", "run", "expiry", "--dry-run")
    program.ok("schedule", "set", "s", "expiry", "@daily", "--dry-run")
    assert program.ok("job", "list", "--json").json["items"] == []
    assert program.ok("schedule", "list", "--json").json["items"] == []

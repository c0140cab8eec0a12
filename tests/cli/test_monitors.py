"""``chopmark monitor`` and ``chopmark alert``."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import structs

import chopmark as cm
from chopmark.domain.alert_log import Alert
from tests.cli.running import Program

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOBODY = "019b1c7e-7d1c-7000-8000-1f0c8a5be9d2"


def watched(program: Program) -> str:
    """An endpoint that is watched; the monitor's name."""
    program.register()
    program.ok("endpoint", "create", "fraud-api", "fraud:1")
    words = ("--above", "0.05", "--for", "5m", "--severity", "critical", "--action", "rollback", "--cooldown", "1h")
    return program.ok("monitor", "create", "fraud-api", *words, "-q").out.strip()


def an_alert(program: Program, name: str) -> str:
    """That the monitor fires, straight into the catalog; its id."""
    with closing(cm.open(program.place)) as registry:
        monitor, endpoint = registry.monitors.get(name), registry.endpoints.get("fraud-api")
        said: dict[str, Any] = {"since": NOON, "fired_at": NOON, "opened_at": NOON, "generation": endpoint.generation}
        alert = Alert(
            id=monitor.id,
            project="default",
            monitor=monitor.name,
            monitor_id=monitor.id,
            on="fraud-api",
            endpoint_id=endpoint.id,
            severity="critical",
            action="rollback",
            message="the error rate is 0.2, above 0.05.",
            value=0.2,
            **said,
        )
        transport: Any = registry._transport
        with transport.catalog.writing() as tx:
            tx.alerts.put(alert)
    return str(alert.id)


def test_a_monitor_is_made_looked_at_and_deleted(program: Program) -> None:
    name = watched(program)
    assert name == "fraud-api.error_rate"
    shown = program.ok("monitor", "show", name)
    assert "error_rate > 0.05 for 5 min" in shown.out
    found = program.ok("monitor", "show", name, "--json").json
    assert (found["action"], found["severity"]) == ({"kind": "rollback", "cooldown_s": 3600.0}, "critical")
    listed = program.ok("monitor", "list")
    assert "error_rate > 0.05 for 5 min" in listed.out
    tried = program.ok("monitor", "test", name, "--minutes", "2")
    assert [line.split()[2:] for line in tried.out.splitlines()[1:]] == [["no", "data", "0"]] * 2
    assert "It would be without data now" in tried.err
    assert len(program.ok("monitor", "test", name, "--minutes", "2", "--json").json["samples"]) == 2
    assert "due" in program.ok("monitor", "evaluate", name).out
    assert "disabled" in program.ok("monitor", "disable", name, "--reason", "a load test").out
    assert "disabled" not in program.ok("monitor", "enable", name).out
    assert "would" not in program.ok("monitor", "delete", name, "--dry-run", "-q").out
    assert program.ok("monitor", "delete", name).out.startswith(f"{name}: deleted")
    assert program("monitor", "show", name).code == 3
    assert "Nothing is watched" in program.ok("monitor", "list").err


def test_the_list_says_what_is_not_known_and_who_is_silenced(program: Program) -> None:
    name = watched(program)
    assert "not evaluated yet" in program.ok("monitor", "list").out
    program.ok("alert", "silence", name, "2h")
    assert "not evaluated yet, silenced" in program.ok("monitor", "list").out
    assert "not evaluated yet, silenced" in program.ok("monitor", "show", name).out
    program.ok("alert", "silence", name, "0s")
    assert "silenced" not in program.ok("monitor", "list").out
    program.ok("endpoint", "delete", "fraud-api")
    tried = program.ok("monitor", "test", name)
    assert "There is no endpoint fraud-api." in tried.err
    assert "It would be not known now" in tried.err
    assert program.ok("monitor", "test", name, "-q").out.splitlines() == ["no data"] * 60


def test_what_sampled_requests_say_takes_an_hour(program: Program) -> None:
    watched(program)
    for metric, bound in (("estimated_accuracy", "--below"), ("drift.amount", "--above")):
        said = ("monitor", "create", "fraud-api", "--metric", metric, bound, "0.5")
        refused = program(*said, "--minutes", "5")
        assert refused.code == 2
        assert f"A sample of {metric} sums up 60 minutes or more, not 5" in refused.err
        assert program.ok(*said, "--json").json["minutes"] == 60
    shown = program.ok("monitor", "create", "--help").out
    assert "drift.COLUMN" in shown


def test_every_kind_of_rule(program: Program) -> None:
    watched(program)
    made = [
        program.ok("monitor", "create", "fraud-api", "--objective", "0.999", "-q").out.strip(),
        program.ok("monitor", "create", "fraud-api", "--metric", "cost_usd", "--unusual", "0.5", "-q").out.strip(),
        program.ok("monitor", "create", "fraud:1", "--metric", "metrics.score", "--below", "0.5", "-q").out.strip(),
        program.ok(
            *("monitor", "create", "fraud-api", "--above", "1", "--name", "tidy", "--action", "job"),
            *("--job", "expiry", "--argument", "key_days=3", "-q"),
        ).out.strip(),
    ]
    assert made == ["fraud-api.budget", "fraud-api.cost_usd.unusual", "fraud.1.score", "tidy"]
    assert program.ok("monitor", "show", "tidy", "--json").json["action"]["arguments"] == {"key_days": 3}


def test_an_alert_is_looked_after_and_silenced(program: Program) -> None:
    name = watched(program)
    assert "Nothing fires" in program.ok("alert", "list").err
    alert = an_alert(program, name)
    assert "the error rate" in program.ok("alert", "list").out
    assert program.ok("alert", "list", "-q").out.strip() == alert
    assert "acknowledged by ana" in program.ok("alert", "ack", alert, "--reason", "I look").out
    assert "I look" in program.ok("alert", "history", alert).out
    silent = program.ok("alert", "silence", name, "2h", "--reason", "a load test")
    assert silent.out.startswith(f"{name} is silent until ")
    assert program.ok("alert", "silence", name, "0s").out == f"{name} is not silent\n"
    refused = program("alert", "rollback", alert, "--json")
    assert refused.code == 4, "a script must not take a refusal for done"
    assert refused.json["message"] == "Not rolled back: There is no earlier version that could answer."
    assert "chopmark rollback fraud-api" in refused.json["hint"]
    assert "no earlier version" in program.ok("alert", "show", alert).out
    program.ok("monitor", "delete", name)
    assert program.ok("alert", "list", "-q").out == ""
    assert program.ok("alert", "list", "--all", "-q").out.strip() == alert


def test_an_alert_of_a_rollout_is_shown_as_that(program: Program) -> None:
    called = an_alert(program, watched(program))
    with closing(cm.open(program.place)) as registry:
        alert = structs.replace(
            registry.alerts.get(called), monitor="", monitor_id=None, rollout_id=UUID(NOBODY), label="no_copies"
        )
        transport: Any = registry._transport
        with transport.catalog.writing() as tx:
            tx.alerts.put(alert)
    shown = program.ok("alert", "show", called).out
    assert f"rollout   {NOBODY} · no copies" in shown
    assert "monitor" not in shown
    assert "fraud-api" in program.ok("alert", "list").out


def test_what_cannot_be_meant(program: Program) -> None:
    name = watched(program)
    for arguments, code in (
        (("monitor", "create", "fraud-api", "--above", "0.05"), 4),
        (("monitor", "create", "fraud-api"), 2),
        (("monitor", "create", "fraud-api", "--above", "1", "--below", "0"), 2),
        (("monitor", "create", "fraud-api", "--above", "1", "--metric", "x", "--name", "y"), 2),
        (("monitor", "create", "fraud-api", "--above", "1", "--name", "y", "--for", "soon"), 2),
        (("monitor", "create", "fraud-api", "--above", "1", "--name", "y", "--job", "expiry"), 2),
        (("monitor", "create", "nothing", "--above", "1"), 3),
        (("monitor", "show", "nothing"), 3),
        (("monitor", "test", name, "--minutes", "1000"), 2),
        (("alert", "show", "x"), 2),
        (("alert", "show", NOBODY), 3),
        (("alert", "ack", NOBODY), 3),
        (("alert", "silence", name, "soon"), 2),
    ):
        ran = program(*arguments)
        assert ran.code == code, (arguments, ran.err)

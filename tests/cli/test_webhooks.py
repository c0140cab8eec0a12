"""``chopmark webhook``."""

from collections.abc import Iterator

import pytest

from tests.cli.running import Program
from tests.receivers import ALLOW, Receiver, receiving, says


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("CHOPMARK_WEBHOOK_ALLOW", ALLOW)
    with receiving() as found:
        yield found


def test_a_webhook_is_made_tried_and_deleted(program: Program, receiver: Receiver) -> None:
    program.register()
    made = program.ok("webhook", "create", receiver.url, "--event", "version.*", "--json").json
    webhook = made["webhook"]["id"]
    assert made["secret"].startswith("whsec_")
    receiver.behaves["/"] = says(201, b"built")
    tried = program.ok("webhook", "test", webhook)
    assert tried.out.splitlines()[0] == f"test of {webhook}: delivered"
    assert "201" in tried.out
    assert "built" in tried.out
    assert receiver.heard[0].id in tried.out
    receiver.behaves["/"] = says(503, b"closed")
    failed = program("webhook", "test", webhook)
    assert (failed.code, "not delivered" in failed.out, "closed" in failed.out) == (1, True, True)
    assert "paused: moving" in program.ok("webhook", "pause", webhook, "--reason", "moving").out
    assert [line.split()[0] for line in program.ok("webhook", "list").out.splitlines()[1:]] == [webhook]
    shown = program.ok("webhook", "get", webhook).out
    assert made["secret"] not in shown
    assert "no such deliveries" in program.ok("webhook", "deliveries", webhook).err
    assert program("webhook", "replay", f"msg_{webhook.replace('-', '')}_1").code == 3
    assert program.ok("webhook", "delete", webhook).out == f"{webhook}: deleted, with its deliveries.\n"
    assert program("webhook", "get", webhook).code == 3


def test_the_secret_alone_is_on_standard_output(program: Program, receiver: Receiver) -> None:
    program.register()
    made = program.ok("webhook", "create", receiver.url)
    assert made.out.strip().startswith("whsec_")
    assert len(made.out.splitlines()) == 1
    assert "shown this once" in made.err
    (item,) = program.ok("webhook", "list", "--json").json["items"]
    new = program.ok("webhook", "rotate", item["id"], "--grace", "1")
    assert new.out.strip().startswith("whsec_")
    assert new.out != made.out


def test_a_credential_comes_from_a_file(program: Program) -> None:
    program.register()
    file = program.file("key.txt", "k" * 32 + "\n")
    made = program.ok(
        "webhook", "create", "--kind", "pagerduty", "--credential-file", file, "--everything", "--json"
    ).json
    assert made["secret"] == ""
    assert (made["webhook"]["project"], made["webhook"]["kind"]) == ("*", "pagerduty")
    assert "k" * 32 not in str(made)
    webhook = made["webhook"]["id"]
    changed = program.ok("webhook", "update", webhook, "--event", "storage.damaged", "--json").json
    assert changed["events"] == ["storage.damaged"]
    assert program.ok("webhook", "update", webhook, "--all-events", "--json").json["events"] == []


def test_what_cannot_be_meant(program: Program) -> None:
    program.register()
    for arguments, code in (
        (("webhook", "create"), 2),
        (("webhook", "create", "ftp://x.example"), 2),
        (("webhook", "create", "https://x.example", "--everything", "--in", "risk"), 2),
        (("webhook", "create", "https://127.0.0.1/"), 5),
        (("webhook", "create", "http://x.example/"), 5),
        (("webhook", "create", "https://x.example", "--in", "risk"), 3),
        (("webhook", "get", "x"), 2),
        (("webhook", "get", "019b1c7e-7d1c-7000-8000-1f0c8a5be9d2"), 3),
        (("webhook", "delivery", "x"), 2),
    ):
        assert program(*arguments).code == code, arguments


def test_a_rehearsal_makes_and_sends_nothing(program: Program, receiver: Receiver) -> None:
    program.register()
    program.ok("webhook", "create", receiver.url, "--dry-run")
    assert program.ok("webhook", "list", "--json").json["items"] == []
    webhook = program.ok("webhook", "create", receiver.url, "--json").json["webhook"]["id"]
    program.ok("webhook", "test", webhook, "--dry-run")
    assert receiver.heard == []

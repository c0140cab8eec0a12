"""Webhooks as a user has them, however the registry is reached."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.errors import Conflict, Denied, InvalidRequest, NotFound
from chopmark.testing.registry import memory_registry
from tests.receivers import ALLOW, Receiver, receiving, says
from tests.registries import over_http

URL = "https://ci.example/hooks/7?key=secret-query"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_a_webhook_is_made_found_changed_and_deleted(registry: cm.Registry) -> None:
    made = registry.webhooks.create(URL, events=["version.*"], description="builds")
    webhook = made.webhook
    assert (webhook.project, webhook.kind, webhook.state) == ("default", "webhook", "active")
    assert webhook.url == "https://ci.example/hooks/7?…"
    assert made.secret.startswith("whsec_")
    assert registry.webhooks.get(webhook) == registry.webhooks.get(str(webhook.id)) == webhook
    assert list(registry.webhooks.list()) == list(registry.webhooks.list("default")) == [webhook]
    assert list(registry.webhooks.list("*")) == []
    changed = registry.webhooks.update(webhook, events=["alias.set"], url="https://ci.example/8", reason="moved")
    assert (changed.events, changed.url, changed.description) == (("alias.set",), "https://ci.example/8", "builds")
    assert registry.webhooks.update(webhook, description="builds") == changed, "nothing changed"
    assert registry.webhooks.update(webhook, events=[]).events == ()
    paused = registry.webhooks.pause(webhook, reason="too loud")
    assert (paused.state, paused.why) == ("paused", "too loud")
    resumed = registry.webhooks.resume(webhook)
    assert (resumed.state, resumed.why) == ("active", "")
    assert registry.webhooks.delete(webhook).ref == str(webhook.id)
    with pytest.raises(NotFound):
        registry.webhooks.get(webhook)
    assert [e.event for e in registry.audit.list(target=f"webhook:{webhook.id}")] == [
        "webhook.created",
        "webhook.updated",
        "webhook.updated",
        "webhook.updated",
        "webhook.updated",
        "webhook.deleted",
    ]


def test_events_that_never_happen_are_refused(registry: cm.Registry) -> None:
    with pytest.raises(InvalidRequest, match=r"no event 'version\.promotd'") as caught:
        registry.webhooks.create(URL, events=["alias.set", "version.promotd"])
    assert "Did you mean version.promoted" in caught.value.hint
    assert list(registry.webhooks.list()) == []
    webhook = registry.webhooks.create(URL, events=["alias.*"]).webhook
    with pytest.raises(InvalidRequest, match=r"no event 'alais\.\*'"):
        registry.webhooks.update(webhook, events=["alais.*"])
    assert registry.webhooks.get(webhook).events == ("alias.*",)


def test_kinds_take_what_they_need(registry: cm.Registry) -> None:
    pager = registry.webhooks.create(kind="pagerduty", credential="k" * 32, project="*")
    assert (pager.secret, pager.webhook.url) == ("", "https://events.pagerduty.com/v2/enqueue")
    letters = registry.webhooks.create(
        "smtps://mail.example", kind="email", sender="a@example.com", to=["b@example.com"], username="u", credential="p"
    )
    assert letters.webhook.to == ("b@example.com",)
    assert registry.webhooks.update(letters.webhook, to=["c@example.com"]).to == ("c@example.com",)
    assert registry.webhooks.update(pager.webhook, description="nights").description == "nights"
    for bad in (
        {"url": "https://x.example", "kind": "pagerduty", "credential": "short"},
        {"url": "https://x.example", "kind": "carrier-pigeon"},
        {"url": "smtp://mail.example", "kind": "email", "sender": "nobody"},
        {"url": "https://u:p@x.example"},
        {},
    ):
        with pytest.raises(InvalidRequest):
            registry.webhooks.create(**bad)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="not signed"):
        registry.webhooks.rotate(pager.webhook)
    with pytest.raises(Denied, match="connects by itself"):
        registry.webhooks.create("json://127.0.0.1/", kind="apprise")
    with pytest.raises(Denied, match="loopback"):
        registry.webhooks.create("https://127.0.0.1/")
    with pytest.raises(NotFound, match="no project 'risk'"):
        registry.webhooks.create("https://x.example", project="risk")
    with pytest.raises(InvalidRequest, match="no id of a webhook"):
        registry.webhooks.get("x")
    with pytest.raises(NotFound):
        registry.webhooks.delivery(f"msg_{'0' * 32}_1")


def test_secrets_are_told_once_and_nowhere_else(registry: cm.Registry) -> None:
    made = registry.webhooks.create(URL)
    slack = registry.webhooks.create("https://hooks.slack.com/services/secret-path", kind="slack").webhook
    pager = registry.webhooks.create(kind="pagerduty", credential="secret-credential".ljust(32, "x")).webhook
    new = registry.webhooks.rotate(made.webhook)
    registry.webhooks.update(slack, url="https://hooks.slack.com/services/secret-other")
    registry.webhooks.update(pager, credential="secret-credential".ljust(32, "y"))
    told: list[Any] = [
        *registry.audit.list(limit=100),
        *registry.webhooks.list(),
        *(registry.webhooks.get(each) for each in (made.webhook, slack, pager)),
        made.webhook,
    ]
    shown = "".join(f"{each!r} {each!s} {_json(each)}" for each in told) + repr(made) + repr(new)
    for secret in ("secret-", made.secret[6:], new.secret[6:]):
        assert secret not in shown


def _json(value: Any) -> str:
    import msgspec

    return json.dumps(msgspec.to_builtins(value))


def test_a_repeated_call_tells_no_secret() -> None:
    from chopmark.ops.webhooks import CreateWebhook, RotateWebhook

    registry = memory_registry(actor="ada")
    request = CreateWebhook(project="default", url="https://ci.example/x")
    first = registry._transport.call(request, key="k")
    again = registry._transport.call(request, key="k")
    assert first.secret
    assert (again.webhook, again.secret) == (first.webhook, "")
    rotate = RotateWebhook(webhook=first.webhook.id)
    assert registry._transport.call(rotate, key="r").secret
    assert not registry._transport.call(rotate, key="r").secret


def test_a_test_and_its_answer_over_http(receiver: Receiver, tmp_path: Path) -> None:
    receiver.behaves["/"] = says(418, b"short and stout")
    with over_http(tmp_path, FakeClock(step=timedelta(seconds=1)), webhook_allow=ALLOW) as registry:
        made = registry.webhooks.create(f"{receiver.url}/")
        tried = registry.webhooks.test(made.webhook)
        assert (tried.delivered, tried.attempt.status, tried.attempt.body) == (False, 418, "short and stout")
        assert receiver.heard[0].event["type"] == "chopmark.test"


def test_pages_of_webhooks(registry: cm.Registry) -> None:
    made = [registry.webhooks.create(f"https://ci.example/{n}").webhook for n in range(5)]
    seen: list[UUID] = []
    cursor = ""
    while True:
        page = registry.webhooks.list(limit=2, cursor=cursor)
        seen += [each.id for each in page]
        if not (cursor := page.cursor):
            break
    assert seen == sorted(each.id for each in made)

"""What each service is sent, by example against the formats that they publish."""

import email
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from chopmark.domain.audit import AuditEvent
from chopmark.domain.notices import (
    ForLibrary,
    HttpMessage,
    Letter,
    Notice,
    alertmanager_message,
    library_message,
    mail_message,
    notice_of,
    pagerduty_message,
    slack_message,
)
from chopmark.domain.receivers import Hidden, Webhook
from chopmark.domain.telling import message_for, notice_message, trial_event

NOON = datetime(2026, 3, 3, 12, 0, 0, 500, tzinfo=UTC)
KEY = "R0UTINGKEYR0UTINGKEYR0UTINGKEY00"
NOTICE = Notice(
    title="Error rate of <fraud-api> is above 2 %\n& rising",
    text="7 of 100 requests failed; see <!channel>",
    severity="critical",
    link="https://models.example/a?b=c&d=e|f",
    key="urn:chopmark:registry:ab12:alert:9",
    kind="alert.firing",
    source="urn:chopmark:registry:ab12",
    at=NOON,
)
OVER = structs.replace(NOTICE, resolved=True, link="")


def body_of(message: HttpMessage) -> Any:
    assert message.method == "POST"
    assert message.headers["content-type"] == "application/json"
    return json.loads(message.body)


def test_slack() -> None:
    """Incoming webhooks: a text for where blocks are not shown, and blocks; ``& < >`` escaped, so that nobody is called."""
    message = slack_message(NOTICE, "https://hooks.slack.com/services/T/B/x")
    assert message.url == "https://hooks.slack.com/services/T/B/x"
    assert body_of(message) == {
        "text": ":rotating_light: Error rate of &lt;fraud-api&gt; is above 2 % &amp; rising",
        "blocks": [
            {
                "type": "header",
                "text": {
                    "type": "plain_text",
                    "text": "Error rate of <fraud-api> is above 2 % & rising",
                    "emoji": False,
                },
            },
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": "7 of 100 requests failed; see &lt;!channel&gt;"},
            },
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": "<https://models.example/a?b=c&amp;d=e%7Cf|Look at it>"},
            },
            {
                "type": "context",
                "elements": [
                    {
                        "type": "mrkdwn",
                        "text": ":rotating_light: alert.firing · urn:chopmark:registry:ab12 · 2026-03-03 12:00:00 UTC",
                    }
                ],
            },
        ],
    }


def test_slack_has_limits_on_texts() -> None:
    long = structs.replace(NOTICE, title="t" * 9_000, text="x" * 9_000)
    blocks = body_of(slack_message(long, "u"))["blocks"]
    assert len(blocks[0]["text"]["text"]) == 150
    assert len(blocks[1]["text"]["text"]) == 3_000


def test_pagerduty() -> None:
    """Events API v2: a trigger with what it requires, and the resolve of the same key, which needs nothing else."""
    message = pagerduty_message(NOTICE, "https://events.pagerduty.com/v2/enqueue", KEY)
    assert body_of(message) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "urn:chopmark:registry:ab12:alert:9",
        "payload": {
            "summary": "Error rate of <fraud-api> is above 2 % & rising",
            "source": "urn:chopmark:registry:ab12",
            "severity": "critical",
            "timestamp": "2026-03-03T12:00:00.000500Z",
            "class": "alert.firing",
            "custom_details": {"text": "7 of 100 requests failed; see <!channel>"},
        },
        "client": "Chopmark",
        "links": [{"href": "https://models.example/a?b=c&d=e|f", "text": "Look at it"}],
    }
    assert body_of(pagerduty_message(OVER, "u", KEY)) == {
        "routing_key": KEY,
        "event_action": "resolve",
        "dedup_key": "urn:chopmark:registry:ab12:alert:9",
    }
    long = structs.replace(NOTICE, title="t" * 9_000, key="k" * 900)
    found = body_of(pagerduty_message(long, "u", KEY))
    assert (len(found["payload"]["summary"]), len(found["dedup_key"])) == (1_024, 255)


def test_alertmanager() -> None:
    """API v2: a list of alerts; labels say which alert it is, so that its end has the same ones."""
    message = alertmanager_message(NOTICE, "http://am.internal:9093/", {"authorization": "Bearer x"})
    assert message.url == "http://am.internal:9093/api/v2/alerts"
    assert message.headers["authorization"] == "Bearer x"
    (firing,) = body_of(message)
    assert firing == {
        "labels": {
            "alertname": "alert.firing",
            "severity": "critical",
            "source": "urn:chopmark:registry:ab12",
            "key": "urn:chopmark:registry:ab12:alert:9",
        },
        "annotations": {
            "summary": "Error rate of <fraud-api> is above 2 % & rising",
            "description": "7 of 100 requests failed; see <!channel>",
        },
        "startsAt": "2026-03-03T12:00:00.000500Z",
        "generatorURL": "https://models.example/a?b=c&d=e|f",
    }
    (over,) = body_of(alertmanager_message(OVER, "http://am.internal:9093", {}))
    assert over["labels"] == firing["labels"]
    assert over["endsAt"] >= over["startsAt"]


def test_email() -> None:
    letter = mail_message(
        structs.replace(NOTICE, title="Größe <x>\r\nBcc: eve@example.com"),
        "smtps://mail.example",
        sender="models@example.com",
        to=("ada@example.com", "bob@example.com"),
        message_id="msg_1",
        username="u",
        password="p",
    )
    parsed = email.message_from_bytes(letter.text, policy=email.policy.default)
    assert parsed["To"] == "ada@example.com, bob@example.com"
    assert parsed["Subject"] == "Größe <x> Bcc: eve@example.com"
    assert parsed["Bcc"] is None
    assert parsed["Message-ID"] == "<msg_1@example.com>"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert "7 of 100 requests failed" in parsed.get_content()
    assert all(len(line) < 998 for line in letter.text.split(b"\r\n"))
    assert b"\n" not in letter.text.replace(b"\r\n", b"")


def test_the_library() -> None:
    made = library_message(NOTICE, "discord://secret/x")
    assert (made.kind, made.text) == ("failure", NOTICE.text)
    assert library_message(OVER, "u").kind == "success"
    assert "secret" not in repr(made)


def an_event(name: str = "version.promoted", **data: Any) -> AuditEvent:
    facts = {"from_stage": "staging", "to_stage": "production", "reason": "better", **data}
    return AuditEvent(seq=7, id=UUID(int=1), at=NOON, actor="ada", event=name, target="fraud:1", data=facts)


def test_an_event_as_a_notice() -> None:
    notice = notice_of(an_event(), "urn:x")
    assert notice.title == "ada moved fraud:1 from staging to production"
    assert (notice.text, notice.severity, notice.key, notice.resolved) == ("better", "info", "urn:x:7", False)
    assert notice_of(an_event("storage.damaged"), "urn:x").severity == "critical"


@pytest.mark.parametrize(
    ("kind", "made"),
    [("webhook", HttpMessage), ("slack", HttpMessage), ("pagerduty", HttpMessage), ("alertmanager", HttpMessage),
     ("email", Letter), ("apprise", ForLibrary)],
)  # fmt: skip
def test_every_kind_is_told_events_and_tests(kind: Any, made: type) -> None:
    from chopmark.domain.receivers import Secret

    webhook = Webhook(
        id=UUID(int=5), project="*", kind=kind, url="", created_at=NOON, created_by="ada", updated_at=NOON,
        sender="a@example.com", to=("b@example.com",),
    )  # fmt: skip
    hidden = Hidden(url="https://x.example/y", credential=KEY, secrets=(Secret("whsec_" + "A" * 32),))
    for event in (an_event(), trial_event(webhook, UUID(int=9), "ada", NOON)):
        message = message_for(webhook, hidden, event, "ab12", "msg_1", NOON)
        assert isinstance(message, made)
        assert message == message_for(webhook, hidden, event, "ab12", "msg_1", NOON), "pure"
    if kind == "webhook":
        with pytest.raises(ValueError, match="webhook"):
            notice_message(webhook, hidden, NOTICE, "msg_1")

"""What people are told: a notice, and how each service wants to be told it; pure.

A notice is made of an event of the audit, later of an alert. A *target* is a kind of receiver. For each kind one function says
what is sent: method, address, headers and bytes for those that are reached by HTTP; a letter for e-mail; texts for a library. Nothing
is sent here (`chopmark.notify`), and nothing is signed here (`chopmark.domain.webhooks`).

The formats are those that the services publish: Slack's incoming webhooks, PagerDuty's Events API v2, Alertmanager's API v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Literal, get_args

import msgspec

from chopmark.base.jsons import encode
from chopmark.domain.audit import AuditEvent
from chopmark.domain.trail import told

__all__ = [
    "TARGETS",
    "ForLibrary",
    "HttpMessage",
    "Letter",
    "Message",
    "Notice",
    "Severity",
    "TargetKind",
    "alertmanager_message",
    "library_message",
    "mail_message",
    "notice_of",
    "pagerduty_message",
    "slack_message",
]

TargetKind = Literal["webhook", "slack", "pagerduty", "alertmanager", "email", "apprise"]
TARGETS: tuple[TargetKind, ...] = get_args(TargetKind)

Severity = Literal["info", "warning", "error", "critical"]

_JSON = {"content-type": "application/json"}
_SLACK_HEADER_MAX = 150
_SLACK_TEXT_MAX = 3_000
_PAGERDUTY_SUMMARY_MAX = 1_024
_PAGERDUTY_KEY_MAX = 255
_SUBJECT_MAX = 200
_TEXT_MAX = 8_000

_LASTS = timedelta(days=365)
_ALERTS = frozenset(("alert.fired", "alert.resolved", "alert.acknowledged", "alert.rollback_refused"))

_SEVERITIES: dict[str, Severity] = {
    "endpoint.rolled_back": "critical",
    "alert.rollback_refused": "critical",
    "storage.damaged": "critical",
    "registry.rebuilt": "warning",
    "version.deleted": "warning",
    "version.purged": "warning",
    "model.deleted": "warning",
    "model.purged": "warning",
    "version.deprecated": "warning",
    "version.distrusted": "warning",
}
_SLACK_MARKS: dict[Severity, str] = {
    "info": ":information_source:",
    "warning": ":warning:",
    "error": ":x:",
    "critical": ":rotating_light:",
}
_LIBRARY_KINDS: dict[Severity, str] = {"info": "info", "warning": "warning", "error": "failure", "critical": "failure"}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people should know.

    Attributes
    ----------
    title
        One line.
    text
        More of it.
    severity
        How bad it is.
    link
        Where to look; empty for nowhere.
    key
        What it is about: the notice that something is over has the key of the one that it began.
    resolved
        Whether it is over.
    lasts
        Whether somebody will say that it is over.
    acknowledged
        Whether somebody looks after it.
    kind
        The event's name.
    source
        Which registry.
    at
        Since when it is so.
    """

    title: str
    text: str
    severity: Severity = "info"
    link: str = ""
    key: str
    resolved: bool = False
    lasts: bool = False
    acknowledged: bool = False
    kind: str
    source: str
    at: datetime


class HttpMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent by HTTP."""

    method: Literal["POST"] = "POST"
    url: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<{self.method} of {len(self.body):,} bytes>"  # the address may be a secret


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent by e-mail; ``text`` is the letter as it goes over the line."""

    url: str
    username: str
    password: str
    sender: str
    to: tuple[str, ...]
    text: bytes

    def __repr__(self) -> str:
        return f"<letter to {', '.join(self.to)}>"


class ForLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """What the library ``apprise`` is given."""

    url: str
    title: str
    text: str
    kind: str

    def __repr__(self) -> str:
        return f"<apprise {self.title!r}>"


Message = HttpMessage | Letter | ForLibrary


def notice_of(event: AuditEvent, source: str) -> Notice:
    """What an event tells people.

    Parameters
    ----------
    event
        Of the audit.
    source
        Which registry, as its events name it.

    >>> from chopmark.base.clock import FakeClock
    >>> from uuid import UUID
    >>> facts = {"from_stage": "staging", "to_stage": "production", "reason": "better"}
    >>> event = AuditEvent(
    ...     seq=7, id=UUID(int=1), at=FakeClock()(), actor="ada", event="version.promoted", target="fraud:1", data=facts
    ... )
    >>> notice = notice_of(event, "urn:chopmark:registry:ab12")
    >>> notice.title, notice.text, notice.severity
    ('ada moved fraud:1 from staging to production', 'better', 'info')
    """
    if event.event in _ALERTS:
        return _alert_notice(event, source)
    return Notice(
        title=f"{event.actor} {told(event)}",
        text=str(event.data.get("reason") or ""),
        severity=_SEVERITIES.get(event.event, "info"),
        key=f"{source}:{event.seq}",
        kind=event.event,
        source=source,
        at=event.at,
    )


def _alert_notice(event: AuditEvent, source: str) -> Notice:
    """Of an alert: what fires, what ends it and who looks after it share a key, by monitor (or endpoint, of a rollout) and label."""
    data = event.data
    said = str(data.get("message") or "")
    label = f"/{data['label']}" if data.get("label") else ""
    is_over, is_seen_to = event.event == "alert.resolved", event.event == "alert.acknowledged"
    what = {"alert.acknowledged": f"{event.actor} looks after it: ", "alert.rollback_refused": "not rolled back: "}
    steps = [str(data.get("reason") or "")]
    if event.event == "alert.fired":
        whose = f"Rollout {data['rollout']} of" if data.get("rollout") else "Monitor"
        steps += [f"{whose} {event.target}{label}, since {data.get('since', '?')}.", *_next_steps(event)]
    return Notice(
        title=f"{what.get(event.event, '')}{data.get('on', '?')}: {said}",
        text="\n".join(filter(None, steps)),
        severity=_severity_of(data.get("severity")),
        key=f"{source}:{event.target}{label}",
        resolved=is_over,
        lasts=True,
        acknowledged=is_seen_to,
        kind=f"{event.target}{label}",
        source=source,
        at=event.at,
    )


def _next_steps(event: AuditEvent) -> list[str]:
    alert, action = event.data.get("alert"), event.data.get("action")
    does = {
        "rollback": "It is rolled back by itself, if there is a version to go back to and none was rolled back lately.",
        "pause": "A rollout of it pauses.",
        "job": "A job was queued.",
    }.get(str(action), "")
    return [does, f"Look: chopmark alert show {alert}", f"Look after it: chopmark alert ack {alert}"]


def _severity_of(word: object) -> Severity:
    return "critical" if word == "critical" else "info" if word == "info" else "warning"


def slack_message(notice: Notice, url: str) -> HttpMessage:
    """For an incoming webhook of Slack, or of what understands the same."""
    mark = ":white_check_mark:" if notice.resolved else _SLACK_MARKS[notice.severity]
    title = _line(f"{'Resolved: ' if notice.resolved else ''}{notice.title}")
    parts = [_cut(_for_slack(notice.text), _SLACK_TEXT_MAX)] if notice.text else []
    if notice.link:
        parts.append(f"<{_for_slack(notice.link).replace('|', '%7C')}|Look at it>")
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(title, _SLACK_HEADER_MAX), "emoji": False}}
    ]
    blocks += [{"type": "section", "text": {"type": "mrkdwn", "text": part}} for part in parts]
    about = f"{mark} {_for_slack(notice.kind)} · {_for_slack(notice.source)} · {notice.at:%Y-%m-%d %H:%M:%S} UTC"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": about}]})
    body = {"text": f"{mark} {_cut(_for_slack(title), _SLACK_TEXT_MAX)}", "blocks": blocks}
    return HttpMessage(url=url, headers=_JSON, body=encode(body))


def pagerduty_message(notice: Notice, url: str, routing_key: str) -> HttpMessage:
    """For the Events API v2 of PagerDuty: a trigger, or the resolve of the same key."""
    body: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if notice.resolved else "acknowledge" if notice.acknowledged else "trigger",
        "dedup_key": notice.key[:_PAGERDUTY_KEY_MAX],
    }
    if not (notice.resolved or notice.acknowledged):
        body["payload"] = {
            "summary": _cut(_line(notice.title), _PAGERDUTY_SUMMARY_MAX),
            "source": notice.source,
            "severity": notice.severity,
            "timestamp": _stamp(notice.at),
            "class": notice.kind,
            "custom_details": {"text": _cut(notice.text, _TEXT_MAX)},
        }
        body["client"] = "Chopmark"
        if notice.link:
            body["links"] = [{"href": notice.link, "text": "Look at it"}]
    return HttpMessage(url=url, headers=_JSON, body=encode(body))


def alertmanager_message(notice: Notice, url: str, headers: Mapping[str, str]) -> HttpMessage:
    """For the API v2 of Alertmanager; ``url`` is its root, as ``--web.external-url`` has it."""
    alert: dict[str, Any] = {
        "labels": {
            "alertname": notice.kind,
            "severity": notice.severity,
            "source": notice.source,
            "key": notice.key,
        },
        "annotations": {"summary": _cut(_line(notice.title), _TEXT_MAX), "description": _cut(notice.text, _TEXT_MAX)},
        "startsAt": _stamp(notice.at),
    }
    if notice.resolved:
        alert["endsAt"] = _stamp(notice.at)
    elif notice.lasts:  # or it would be over by Alertmanager's own clock, minutes later
        alert["endsAt"] = _stamp(notice.at + _LASTS)
    if notice.link:
        alert["generatorURL"] = notice.link
    return HttpMessage(url=f"{url.rstrip('/')}/api/v2/alerts", headers={**_JSON, **headers}, body=encode([alert]))


def mail_message(
    notice: Notice,
    url: str,
    *,
    sender: str,
    to: tuple[str, ...],
    message_id: str,
    username: str = "",
    password: str = "",
) -> Letter:
    """A letter in plain text; the same notice has the same ``Message-ID``, by which a mailbox knows it again."""
    letter = EmailMessage()
    letter["From"] = sender
    letter["To"] = ", ".join(to)
    letter["Subject"] = _cut(_line(f"{'Resolved: ' if notice.resolved else ''}{notice.title}"), _SUBJECT_MAX)
    letter["Date"] = format_datetime(notice.at)
    letter["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2].strip('>')}>"
    letter["Auto-Submitted"] = "auto-generated"
    about = (
        f"{notice.kind} ({notice.severity})",
        f"{notice.source}, {notice.at:%Y-%m-%d %H:%M:%S} UTC",
        notice.link,
    )
    paragraphs = (notice.title, _cut(notice.text, _TEXT_MAX), "\n".join(filter(None, about)))
    letter.set_content("\n\n".join(filter(None, paragraphs)) + "\n", cte="quoted-printable")
    text = letter.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return Letter(url=url, username=username, password=password, sender=sender, to=to, text=text)


def library_message(notice: Notice, url: str) -> ForLibrary:
    """For the library ``apprise``."""
    title = _cut(_line(f"{'Resolved: ' if notice.resolved else ''}{notice.title}"), _SUBJECT_MAX)
    text = notice.text or notice.title
    kind = "success" if notice.resolved else _LIBRARY_KINDS[notice.severity]
    return ForLibrary(url=url, title=title, text=_cut(text, _TEXT_MAX), kind=kind)


def _for_slack(text: str) -> str:
    """Text in which nothing is a link or calls somebody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

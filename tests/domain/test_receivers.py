"""Webhooks: which can be meant, what is shown of them, what they are told."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.addresses import check_addresses, parse_allowed, parse_place
from chopmark.domain.audit import AuditEvent
from chopmark.domain.receivers import (
    Hidden,
    Secret,
    Webhook,
    check_webhook,
    live_secrets,
    rotated,
    wants,
)
from chopmark.errors import Denied, InvalidRequest

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def made(url: str = "https://ci.example/x", credential: str = "", **rest: Any) -> tuple[Webhook, Hidden]:
    fixed = {
        "id": UUID(int=1),
        "project": "risk",
        "url": url,
        "created_at": NOON,
        "created_by": "a",
        "updated_at": NOON,
    }
    return check_webhook(Webhook(**{**fixed, **rest}), Hidden(url=url, credential=credential))


def test_what_is_shown_is_no_secret() -> None:
    assert made("https://ci.example:8443/hooks/1?key=abc")[0].url == "https://ci.example:8443/hooks/1?…"
    assert made("https://hooks.slack.com/services/T/B/abc", kind="slack")[0].url == "https://hooks.slack.com/…"
    letter: dict[str, Any] = {"kind": "email", "to": ("a@example.com",), "sender": "b@example.com"}
    assert made("smtp://mail.example", **letter)[0].url == "smtp://mail.example"
    assert made("discord://abc/def", kind="apprise")[0].url == "discord://…"
    pager, hidden = made("", "k" * 32, kind="pagerduty")
    assert pager.url == hidden.url == "https://events.pagerduty.com/v2/enqueue"
    assert (
        "abc" not in f"{hidden!r} {Secret('abc')!r} {Hidden(url='abc', credential='abc', secrets=(Secret('abc'),))!r}"
    )


@pytest.mark.parametrize(
    ("url", "rest"),
    [
        ("", {}),
        ("ftp://secret.example/", {}),
        ("https://u:secret@ci.example/", {}),
        ("https://secret@ci.example/", {}),
        ("https:///secret", {}),
        ("https://ci.example/#secret", {}),
        ("https://ci.example/ secret", {}),
        ("https://ci.example\\@secret.example/", {}),
        ("https://ci.example:99999/secret", {}),
        ("https://ci.example/secret\r\nx: y", {}),
        ("https://gröẞe.example/secret", {}),
        ("https://ci.example/secret", {"events": ("x" * 300,)}),
        ("https://ci.example/secret", {"model": "other/fraud"}),
        ("https://ci.example/secret", {"project": "no such/name"}),
        ("https://ci.example/secret", {"to": ("a@example.com",)}),
        ("smtp://mail.example/secret", {"kind": "email", "sender": "a@example.com"}),
        ("smtp://mail.example/secret", {"kind": "email", "sender": "a@example.com\nbcc: x", "to": ("b@example.com",)}),
        ("https://mail.example/secret", {"kind": "email", "sender": "a@example.com", "to": ("b@example.com",)}),
        ("https://p.example/secret", {"kind": "pagerduty", "credential": "secret"}),
        ("https://ci.example/secret", {"credential": "secret"}),
        ("https://am.example/secret", {"kind": "alertmanager", "credential": "secret\n"}),
        ("secret", {"kind": "apprise"}),
    ],
)
def test_what_cannot_be_meant_is_refused_without_repeating_it(url: str, rest: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made(url, **rest)
    assert "secret" not in f"{refused.value} {refused.value.hint}"


def test_a_model_is_one_of_its_project() -> None:
    assert made(model="fraud")[0].model == "risk/fraud"
    assert made(model="fraud", project="*")[0].model == "default/fraud"
    assert made(model="other/fraud", project="*")[0].model == "other/fraud"


def event(name: str, target: str, seq: int = 9, **data: Any) -> AuditEvent:
    return AuditEvent(seq=seq, id=UUID(int=1), at=NOON, actor="ada", event=name, target=target, data=data)


@pytest.mark.parametrize(
    ("rest", "name", "target", "told"),
    [
        ({}, "version.promoted", "risk/fraud:1", True),
        ({}, "version.promoted", "fraud:1", False),
        ({}, "version.promoted", "other/fraud:1", False),
        ({}, "token.created", "0011", False),
        ({}, "member.set", "risk", True),
        ({}, "member.set", "*", False),
        ({"project": "*"}, "token.created", "0011", True),
        ({"project": "*"}, "version.promoted", "other/fraud:1", True),
        ({"events": ("version.*",)}, "version.promoted", "risk/fraud:1", True),
        ({"events": ("version.*",)}, "model.created", "risk/fraud", False),
        ({"events": ("model.created", "alias.*")}, "alias.set", "risk/fraud@champion", True),
        ({"model": "fraud"}, "alias.set", "risk/fraud@champion", True),
        ({"model": "fraud"}, "alias.set", "risk/fraud-2@champion", False),
        ({"after_seq": 9}, "version.promoted", "risk/fraud:1", False),
        ({"after_seq": 8}, "version.promoted", "risk/fraud:1", True),
        ({"state": "paused"}, "version.promoted", "risk/fraud:1", True),
        ({"state": "disabled"}, "version.promoted", "risk/fraud:1", False),
    ],
)
def test_what_is_told(rest: dict[str, Any], name: str, target: str, told: bool) -> None:
    webhook, _ = made(**rest)
    assert wants(webhook, event(name, target)) == told


def test_old_secrets_sign_until_their_time_is_over() -> None:
    first = (Secret("a"),)
    second = rotated(first, "b", NOON, HOUR)
    assert second == (Secret("b"), Secret("a", NOON + HOUR))
    third = rotated(second, "c", NOON + HOUR / 2, 5 * HOUR)
    assert third == (Secret("c"), Secret("b", NOON + 5.5 * HOUR), Secret("a", NOON + HOUR)), (
        "no longer than it was told"
    )
    assert [s.value for s in live_secrets(third, NOON + HOUR)] == ["c", "b"]
    assert rotated(third, "d", NOON + HOUR, timedelta(0)) == (Secret("d"),)
    many: tuple[Secret, ...] = first
    for n in range(20):
        many = rotated(many, str(n), NOON, HOUR)
    assert [s.value for s in many] == ["19", "18", "17", "16"]


# Addresses


def refused(host: str, *addresses: str, allow: str = "", scheme: str = "https") -> str:
    try:
        check_addresses(parse_place(f"{scheme}://{host}/"), addresses, parse_allowed(allow))
    except Denied as error:
        return error.message
    return ""


def test_public_addresses_are_reached() -> None:
    assert not refused("x.example", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


@given(st.ip_addresses())
def test_nothing_that_is_not_global_is_reached(address: Any) -> None:
    if not address.is_global or address.is_multicast:
        assert refused("x.example", str(address))


@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_judged(address: Any) -> None:
    plain = refused("x.example", str(address))
    for form in (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::1",
    ):
        if plain:
            assert refused("x.example", form), form


def test_what_is_allowed() -> None:
    assert not refused("x.example", "10.1.2.3", allow="10.1.0.0/16")
    assert not refused("x.example", "::ffff:10.1.2.3", allow="10.1.0.0/16")
    assert refused("x.example", "10.2.2.3", allow="10.1.0.0/16")
    assert not refused("x.example", "10.1.2.3", allow="other, X.Example.")
    assert not refused("x.example", "10.1.2.3", allow="x.example", scheme="http")
    assert not refused("10.1.2.3", "10.1.2.3", allow="10.0.0.0/8", scheme="http")
    assert "plain HTTP" in refused("x.example", "8.8.8.8", scheme="http")
    assert not refused("x.example", "10.1.2.3", allow="10.0.0.0/8", scheme="http")
    assert not refused("x.example", allow="10.0.0.0/8", scheme="http"), "as far as one can tell before it is looked up"
    assert "plain HTTP" in refused("x.example", "10.1.2.3", "8.8.8.8", allow="10.0.0.0/8", scheme="http")
    assert not refused("x.example", "fd00::1", allow="fd00::/8")


def test_where_clouds_tell_secrets_is_reached_by_no_name() -> None:
    for address in ("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "::ffff:169.254.169.254"):
        assert refused("x.example", address)
        assert refused("x.example", address, allow="x.example")
    assert not refused("x.example", "169.254.169.254", allow="169.254.169.254")


@pytest.mark.parametrize("text", ["10.1.0.0/99", "a b", "http://x", "-"])
def test_a_setting_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_allowed(text)

"""Who calls a server: tokens that are good, wrong, expired, revoked; how often; and what is never told."""

import json
import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

import chopmark as cm
from chopmark.app.access import Holder
from chopmark.base.clock import FakeClock
from chopmark.base.digest import digest_of
from chopmark.base.settings import load_settings
from chopmark.domain.access import PERMISSIONS, Actor
from chopmark.domain.tokens import written
from chopmark.errors import RateLimited, Unauthenticated
from chopmark.ops.access import CreateToken, ListTokens, RemoveMember, RevokeToken, SetMember
from chopmark.ops.requests import CreateModel, CreateProject
from chopmark.sdk.registry import Registry
from chopmark.server.callers import TokenCallers, callers_of
from chopmark.server.exchange import Exchange
from chopmark.server.limits import Lockout, Rate
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_transport
from chopmark.wiring import LocalTransport

API = "/api/v1"
ROOT = Actor("root")


class Guarded:
    """A server that asks for tokens, and the registry behind it."""

    def __init__(self, url: str, behind: LocalTransport) -> None:
        self.url = url
        self.behind = behind

    def token(self, owner: str, *scopes: str, **rest: Any) -> str:
        """A token of somebody."""
        made = self.behind.act(CreateToken(name="t", owner=owner, scopes=scopes or tuple(PERMISSIONS), **rest), ROOT)
        secret: str = made.secret
        return secret

    def member(self, name: str, role: str, project: str) -> str:
        """A token of somebody who is made a member."""
        self.behind.act(SetMember(project=project, member=name, role=role), ROOT)
        return self.token(name)

    def ask(self, method: str, path: str, token: str = "", body: bytes | None = None) -> urllib3.BaseHTTPResponse:
        """One request."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return urllib3.request(
            method, self.url + API + path, body=body, headers=headers, redirect=False, retries=False, timeout=60
        )


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    settings = load_settings({"actor": "root", "serve_failures_max": 100}, environ={}).settings
    behind = memory_transport(settings)
    for project in ("risk", "other"):
        behind.act(CreateProject(name=project), ROOT)
        behind.act(CreateModel(model=f"{project}/fraud"), ROOT)
    with served(application(behind, settings)) as url:
        yield Guarded(url, behind)
    behind.close()


def test_a_token_says_who_asks(guarded: Guarded) -> None:
    ada = guarded.member("ada", "maintainer", "risk")
    who = guarded.ask("GET", "/whoami", ada).json()
    assert (who["name"], list(who["grants"])) == ("ada", ["risk"])
    assert guarded.ask("GET", "/models/risk%2Ffraud", ada).status == 200
    assert guarded.ask("GET", "/models/other%2Ffraud", ada).status == 404
    assert guarded.ask("PATCH", "/models/risk%2Ffraud", ada, b'{"owner": "ada"}').status == 200
    assert guarded.ask("POST", "/models/risk%2Ffraud/purge", ada, b'{"reason": "r"}').status == 403
    reader = guarded.token("ada", "read")
    refused = guarded.ask("PATCH", "/models/risk%2Ffraud", reader, b'{"owner": "eve"}')
    assert (refused.status, refused.json()["code"]) == (403, "denied")


def test_whoever_says_nothing_or_something_wrong_gets_one_answer(guarded: Guarded) -> None:
    good = guarded.member("ada", "viewer", "risk")
    expired = guarded.token("ada", "read", expires_at=guarded.behind._dispatch.clock() + timedelta(seconds=0.05))
    revoked = guarded.token("ada", "read")
    guarded.behind.act(RevokeToken(token=revoked[3:19]), ROOT)
    while guarded.ask("GET", "/whoami", expired).status == 200:
        pass
    wrong = [
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        written("0" * 16, bytes(32)),
        expired,
        revoked,
        "x",
        "a.b.c",
    ]
    answers = [guarded.ask("GET", "/whoami", token) for token in wrong]
    assert {a.status for a in answers} == {401}
    assert {a.headers["www-authenticate"] for a in answers} == {'Bearer realm="chopmark"'}
    assert {(a.json()["code"], a.json()["detail"]) for a in answers} == {
        ("unauthenticated", "The token is not known, or has expired, or was revoked.")
    }
    for path in (
        "/whoami",
        "/events",
        "/resolve?ref=fraud",
        f"/blobs/{digest_of(b'')}",
        f"/blobs/{digest_of(b'')}/stat",
    ):
        silent = guarded.ask("GET", path)
        assert (silent.status, silent.json()["code"]) == (401, "unauthenticated"), path
    assert guarded.ask("PUT", f"/blobs/{digest_of(b'x')}", "", b"x").status == 401
    assert guarded.behind.store.stat(digest_of(b"x")) is None
    assert guarded.ask("GET", "/whoami", good).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models"),
        ("PUT", f"/blobs/{digest_of(b'x')}"),
        ("POST", "/blobs/missing"),
        ("POST", f"/blobs/{digest_of(b'x')}/assemble"),
    ],
)
def test_nobodys_body_is_not_waited_for(guarded: Guarded, method: str, path: str) -> None:
    address = urlsplit(guarded.url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 80), timeout=60) as connection:
        head = f"{method} {API}{path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_change_is_seen_by_the_next_request(guarded: Guarded) -> None:
    ada = guarded.member("ada", "viewer", "risk")
    assert guarded.ask("GET", "/models/risk%2Ffraud", ada).status == 200
    guarded.behind.act(RemoveMember(project="risk", member="ada"), ROOT)
    assert guarded.ask("GET", "/models/risk%2Ffraud", ada).status == 403
    guarded.behind.act(SetMember(project="risk", member="ada", role="viewer"), ROOT)
    assert guarded.ask("GET", "/models/risk%2Ffraud", ada).status == 200
    guarded.behind.act(RevokeToken(token=ada[3:19]), ROOT)
    assert guarded.ask("GET", "/models/risk%2Ffraud", ada).status == 401


def test_a_secret_is_told_once_and_kept_nowhere(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    admin = guarded.member("boss", "admin", "*")
    caplog.set_level(logging.DEBUG)
    headers = {"authorization": f"Bearer {admin}", "idempotency-key": "k"}
    body = json.dumps({"name": "ci", "scopes": ["read"]}).encode()
    url = guarded.url + API + "/tokens"
    made = urllib3.request("POST", url, body=body, headers=headers).json()
    again = urllib3.request("POST", url, body=body, headers=headers).json()
    assert made["secret"].startswith("cm_")
    assert again == made | {"secret": ""}
    assert guarded.ask("GET", "/whoami", made["secret"]).json()["name"] == "boss"
    assert guarded.ask("PATCH", "/models/none", made["secret"], b"{}").status == 403
    kept = repr(vars(guarded.behind._dispatch.catalog._state))
    guarded.behind.catch_up()
    records = "".join(guarded.behind.records.get(name).decode() for name in guarded.behind.records.names())
    assert made["token"]["id"] in records
    told = [guarded.ask("GET", path, admin).data.decode() for path in ("/tokens?all=true", "/audit?limit=500")]
    assert made["token"]["id"] in told[0]
    assert made["token"]["id"] in told[1]
    for secret in (made["secret"], admin):
        _, _, hidden = secret.split("_")
        for text in (kept, records, *told, caplog.text, repr([r.__dict__ for r in caplog.records])):
            assert hidden not in text


def test_bytes_of_others_are_as_if_they_were_not_there(guarded: Guarded) -> None:
    ada, eve = guarded.member("ada", "maintainer", "risk"), guarded.member("eve", "maintainer", "other")
    content = b"weights" * 100
    digest = digest_of(content)
    none = guarded.ask("GET", f"/blobs/{digest}/stat", eve).json()["detail"]
    assert guarded.ask("PUT", f"/blobs/{digest}", ada, content).status == 200
    manifest = {"kind": "artifact", "format": "raw"}
    file = {"path": "x.bin", "role": "weights", "size_bytes": len(content), "digest": digest}

    def register(model: str, token: str) -> urllib3.BaseHTTPResponse:
        body = json.dumps({"model": model, "manifest": manifest | {"files": [file]}}).encode()
        return guarded.ask("POST", "/versions", token, body)

    assert guarded.ask("GET", f"/blobs/{digest}", ada).data == content  # put, and of no version yet
    assert guarded.ask("GET", f"/blobs/{digest}", eve).status == 404
    assert register("risk/model", ada).status == 201
    for path in (f"/blobs/{digest}", f"/blobs/{digest}/stat"):
        hidden = guarded.ask("GET", path, eve)
        assert (hidden.status, hidden.json()["detail"]) == (404, none)
        assert guarded.ask("GET", path, ada).status == 200
    assert guarded.ask("GET", "/versions/risk%2Fmodel:1/files/x.bin", ada).data == content
    assert guarded.ask("GET", "/versions/risk%2Fmodel:1/files/x.bin", eve).status == 404
    claimed = register("other/model", eve)
    assert (claimed.status, claimed.json()["code"]) == (422, "integrity_failure")
    assert "is missing" in claimed.json()["detail"]
    reader = guarded.token("eve", "read")
    assert guarded.ask("PUT", f"/blobs/{digest}", reader, content).status == 403
    assert guarded.ask("PUT", f"/blobs/{digest}", eve, content).status == 200  # who has the bytes may use them
    assert register("other/model", eve).status == 201
    assert guarded.ask("GET", f"/blobs/{digest}", reader).data == content


def test_the_library_over_http_works_with_a_members_token(guarded: Guarded, tmp_path: Any) -> None:
    ada = guarded.member("ada", "maintainer", "risk")
    guarded.member("eve", "viewer", "other")
    with cm.open(guarded.url, token=ada, cache_dir=str(tmp_path), project="risk") as registry:
        version = registry.register("iris", {"threshold": 0.5}, metrics={"f1": 0.5})
        assert registry.load("iris") == {"threshold": 0.5}
        registry.promote(version, "staging", reason="r")
        made = registry.access.create_token("notebook", project="risk")
        assert [t.id for t in registry.access.tokens()] == sorted([made.token.id, ada[3:19]])
        with pytest.raises(cm.errors.Denied, match=r"storage\.totals on the whole registry"):
            registry.storage.totals()
    with cm.open(guarded.url, token=made.secret, cache_dir=str(tmp_path), project="risk") as reading:
        assert reading.get("iris").stage == "staging"
        with pytest.raises(cm.errors.Denied, match="'promote'"):
            reading.promote("iris:1", "production", reason="r")
        with pytest.raises(cm.errors.Denied, match="'token'"):
            reading.access.create_token("more")


def test_events_are_heard_of_what_one_sees(guarded: Guarded) -> None:
    ada = guarded.member("ada", "viewer", "risk")
    hearing = urllib3.request(
        "GET",
        f"{guarded.url}{API}/events?after=1",
        headers={"authorization": f"Bearer {ada}"},
        preload_content=False,
        timeout=60,
    )
    guarded.behind.act(CreateModel(model="other/late"), ROOT)
    guarded.behind.act(CreateModel(model="risk/late"), ROOT)
    heard = b""
    while b"risk/late" not in heard:
        heard += hearing.read1() or b""
    hearing.close()
    assert b'"risk/fraud"' in heard
    assert b"other/" not in heard
    assert b"token." not in heard


class Behind:
    """Counts what is asked of the registry, which knows one token."""

    def __init__(self, transport: LocalTransport) -> None:
        self.transport = transport
        self.asked = 0

    @property
    def identities(self) -> Any:
        return self

    def holder(self, token_id: str) -> Holder | None:
        self.asked += 1
        return self.transport.identities.holder(token_id)

    def note_use(self, token_id: str) -> None:
        self.transport.identities.note_use(token_id)

    def on(self, event: str, listener: Any) -> Any:
        return self.transport.on(event, listener)


class Ticks:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


class Alone:
    """Callers without a server, and their clocks."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.ticks = Ticks()
        resolved = load_settings({"actor": "root", **settings}, environ={}).settings
        self.transport = memory_transport(resolved, clock=self.clock)
        self.behind = Behind(self.transport)
        self.callers = TokenCallers(self.behind, resolved, clock=self.clock, now=self.ticks)
        self.transport.act(SetMember(project="*", member="ada", role="viewer"), ROOT)
        self.token: str = self.transport.act(CreateToken(name="t", owner="ada"), ROOT).secret

    def ask(self, token: str, address: str = "10.0.0.1") -> Actor:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        scope = {"method": "GET", "path": "/", "query_string": b"", "headers": headers, "client": (address, 1)}
        return self.callers.actor(Exchange(scope, None, None))  # type: ignore[arg-type]


def test_a_token_is_looked_up_once_in_some_seconds() -> None:
    alone = Alone()
    assert {alone.ask(alone.token).name for _ in range(50)} == {"ada"}
    assert alone.behind.asked == 1
    alone.ticks.at += 5.1
    alone.ask(alone.token)
    assert alone.behind.asked == 2


def test_a_kept_token_expires_at_its_time() -> None:
    alone = Alone()
    expiring = alone.transport.act(
        CreateToken(name="t", owner="ada", expires_at=alone.clock() + timedelta(seconds=1)), ROOT
    ).secret
    alone.ask(expiring)
    alone.clock.advance(timedelta(seconds=2))
    with pytest.raises(Unauthenticated):
        alone.ask(expiring)


def test_use_is_noted_once_a_minute_by_another_thread() -> None:
    alone = Alone()

    def used_at() -> Any:
        alone.transport.identities.flush()
        return alone.transport.act(ListTokens(all=True), ROOT).items[0].used_at

    assert used_at() is None
    first = alone.clock()
    alone.ask(alone.token)
    assert used_at() == first
    alone.clock.advance(timedelta(seconds=59))
    alone.ask(alone.token)
    assert used_at() == first
    alone.clock.advance(timedelta(seconds=2))
    alone.ask(alone.token)
    assert used_at() == first + timedelta(seconds=61)
    assert not [
        e for e in Registry(alone.transport, load_settings(environ={}).settings).audit.list() if "used" in e.event
    ]


def test_wrong_tokens_slow_an_address_down_and_nobody_else() -> None:
    alone = Alone(serve_failures_max=3)
    wrong = written(alone.token[3:19], bytes(32))
    other = written("0" * 16, bytes(32))
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            alone.ask(other)
    waits = []
    for _ in range(12):
        with pytest.raises(RateLimited) as caught:
            alone.ask(wrong)
        waits.append(caught.value.details["retry_after_s"])
        alone.ticks.at += waits[-1]
        with pytest.raises(Unauthenticated):
            alone.ask(wrong)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    for text in (wrong, other, "changeme"):
        with pytest.raises(RateLimited):
            alone.ask(text)
    assert alone.ask(alone.token).name == "ada"  # a good one waits for nobody's wrong ones
    assert alone.ask(alone.token, "10.0.0.2").name == "ada"
    alone.ticks.at += 901
    with pytest.raises(Unauthenticated):
        alone.ask(wrong)
    with pytest.raises(Unauthenticated):
        alone.ask(wrong)


def test_a_token_and_an_address_may_ask_so_often() -> None:
    alone = Alone(serve_token_rate_per_s=2, serve_address_rate_per_s=5)
    for _ in range(4):
        alone.ask(alone.token)
    with pytest.raises(RateLimited, match="token asks") as caught:
        alone.ask(alone.token)
    assert caught.value.details == {"retry_after_s": 1}
    with pytest.raises(RateLimited, match="token asks"):
        alone.ask(alone.token, "10.0.0.9")
    for _ in range(5):
        with pytest.raises(RateLimited, match="token asks"):
            alone.ask(alone.token)
    with pytest.raises(RateLimited, match="address asks"):
        alone.ask(alone.token)
    alone.ticks.at += 1
    assert alone.ask(alone.token).name == "ada"


def test_what_is_asked_too_often_is_told_over_http() -> None:
    settings = load_settings({"actor": "root", "serve_token_rate_per_s": 0.1}, environ={}).settings
    behind = memory_transport(settings)
    with served(application(behind, settings)) as url:
        guarded = Guarded(url, behind)
        ada = guarded.member("ada", "viewer", "*")
        assert guarded.ask("GET", "/whoami", ada).status == 200
        slow = guarded.ask("GET", "/whoami", ada)
        assert (slow.status, slow.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(slow.headers["retry-after"]) <= 10
    behind.close()


def test_rates_and_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from chopmark.server import limits

    monkeypatch.setattr(limits, "_KEYS_MAX", 10)
    ticks = Ticks()
    rate, lockout = Rate(1, 1, ticks), Lockout(0, ticks)
    for n in range(100):
        assert rate.take(f"{n}") == 0
        lockout.failed(f"{n}")
    assert len(rate._left) == len(lockout._failures) == 10
    assert rate.take("99") == pytest.approx(1.0)
    assert Rate(0, 0, ticks).take("x") == 0
    for _ in range(2_000):
        lockout.failed("x")
    assert lockout.wait_s("x") == 300


def test_without_tokens_everybody_is_the_servers_user() -> None:
    settings = load_settings({"actor": "root", "serve_auth": "none"}, environ={}).settings
    behind = memory_transport(settings)
    exchange = Exchange({"method": "GET", "path": "/", "query_string": b"", "headers": []}, None, None)  # type: ignore[arg-type]
    assert callers_of(behind, settings).actor(exchange) == Actor("root")
    with pytest.raises(Unauthenticated, match="who sends it"):
        callers_of(behind, load_settings({"actor": "root"}, environ={}).settings).actor(exchange)

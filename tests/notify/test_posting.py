"""Sending to receivers that misbehave: what comes of it, how long it takes, and what it costs."""

import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chopmark.base.settings import load_settings
from chopmark.domain.deliveries import ANSWER_BYTES_MAX, Answer, is_success
from chopmark.domain.notices import HttpMessage
from chopmark.notify.post import CheckedPost
from tests.receivers import ALLOW, Receiver, drips, floods, hangs, receiving, resets, says


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def post(resolver: Any = None, context: Any = None, **settings: Any) -> CheckedPost:
    chosen = {"webhook_timeout_s": 1.0, "webhook_connect_timeout_s": 0.5, **settings}
    return CheckedPost(load_settings(chosen, environ={}).settings, None, resolver=resolver, context=context)


def leads_to(*addresses: str) -> Callable[[str, int], list[str]]:
    """A resolver that finds these."""
    return lambda *_: list(addresses)


def sent(receiver: Receiver, path: str = "/", **settings: Any) -> Answer:
    message = HttpMessage(url=receiver.url + path, headers={"content-type": "text/x", "webhook-id": "m"}, body=b"hello")
    return post(webhook_allow=ALLOW, **settings).send(message)


def test_what_is_sent_is_what_was_made(receiver: Receiver) -> None:
    receiver.behaves["/a?b=c"] = says(202, b"taken", retry_after="7")
    answer = sent(receiver, "/a?b=c")
    assert (answer.status, answer.body, answer.error, answer.retry_after) == (202, "taken", "", "7")
    assert is_success(answer)
    assert answer.duration_ms > 0
    (heard,) = receiver.heard
    assert heard.body == b"hello"
    assert heard.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": "chopmark",
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": "5",
        "content-type": "text/x",
        "webhook-id": "m",
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.behaves["/"] = says(status, location=f"{receiver.url}/elsewhere")
    answer = sent(receiver)
    assert answer.status == status
    assert not is_success(answer)
    assert [each.path for each in receiver.heard] == ["/"]


@pytest.mark.parametrize("status", [200, 201, 204, 299, 300, 400, 404, 410, 429, 500, 503])
def test_only_two_hundreds_are_success(receiver: Receiver, status: int) -> None:
    receiver.behaves["/"] = says(status)
    assert is_success(sent(receiver)) == (200 <= status < 300)


def test_of_an_answer_a_kilobyte_is_kept(receiver: Receiver) -> None:
    receiver.behaves["/"] = says(200, "ä".encode() * 5_000)
    answer = sent(receiver)
    assert answer.body == "ä" * (ANSWER_BYTES_MAX // 2)


def test_who_hangs_is_given_up_in_time(receiver: Receiver) -> None:
    receiver.behaves["/"] = hangs()
    began_s = time.monotonic()
    answer = sent(receiver)
    assert 0.9 < time.monotonic() - began_s < 3
    assert answer.status == 0
    assert "longer than 1 s" in answer.error


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nx-y: "], ids=["status", "header"])
def test_who_drips_is_given_up_in_time(receiver: Receiver, head: bytes) -> None:
    """Each byte comes within any limit for one read; only a limit for all of them ends this."""
    receiver.behaves["/"] = drips(head)
    began_s = time.monotonic()
    answer = sent(receiver)
    assert time.monotonic() - began_s < 3
    assert not is_success(answer)
    assert "longer than 1 s" in answer.error


def test_a_body_that_drips_is_an_answer(receiver: Receiver) -> None:
    """The status says that the receiver has it; sending it again would be the second time."""
    receiver.behaves["/"] = drips(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    began_s = time.monotonic()
    answer = sent(receiver, webhook_timeout_s=10.0)
    assert is_success(answer)
    assert answer.body.startswith("xxx")
    assert time.monotonic() - began_s < 5


def test_a_flood_is_left_alone(receiver: Receiver) -> None:
    receiver.behaves["/"] = floods(1_000_000_000)
    tracemalloc.start()
    began_s = time.monotonic()
    answer = sent(receiver)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - began_s < 2
    assert (answer.status, len(answer.body)) == (200, ANSWER_BYTES_MAX)
    assert peak_bytes < 4_000_000
    deadline_s = time.monotonic() + 60
    while receiver.open and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert receiver.open == 0, "the connection is open still"


def test_a_header_that_never_ends_is_no_answer(receiver: Receiver) -> None:
    receiver.behaves["/"] = lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000)
    answer = sent(receiver)
    assert answer.status == 0
    assert answer.error.startswith("There was no answer")


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 twohundred OK\r\n\r\n", b"\x00" * 100])
def test_what_is_no_http_is_no_answer(receiver: Receiver, raw: bytes) -> None:
    receiver.behaves["/"] = lambda c, _: c.sendall(raw)
    answer = sent(receiver)
    assert answer.status == 0
    assert answer.error


def test_a_reset_is_no_answer(receiver: Receiver) -> None:
    receiver.behaves["/"] = resets
    answer = sent(receiver)
    assert answer.status == 0
    assert "Connection reset" in answer.error


def test_nobody_listens() -> None:
    with receiving() as receiver:
        gone = receiver
    answer = sent(gone)
    assert answer.status == 0
    assert "refused" in answer.error


# Addresses


def at(url: str, resolver: Any = None, **settings: Any) -> Answer:
    return post(resolver, **settings).send(HttpMessage(url=url, headers={}, body=b""))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]"],
)
def test_this_machine_is_not_reached(receiver: Receiver, host: str) -> None:
    answer = at(f"https://{host}:{receiver.port}/")
    assert "where nothing is sent to" in answer.error
    assert receiver.heard == []
    assert receiver.open == 0


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "224.0.0.1", "100.64.0.1", "fe80::1", "fd00::1",
     "ff02::1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::ffff:10.0.0.1", "168.63.129.16"],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    answer = at("https://hooks.example/", leads_to(address))
    assert "hooks.example is at" in answer.error
    mixed = at("https://hooks.example/", leads_to("8.8.8.8", address))
    assert "hooks.example is at" in mixed.error


def test_plain_http_is_for_those_that_are_named(receiver: Receiver) -> None:
    assert "plain HTTP" in at("http://hooks.example/", leads_to("8.8.8.8")).error
    assert at(f"{receiver.url}/", webhook_allow="127.0.0.0/8").status == 204
    named = at(f"http://hooks.example:{receiver.port}/", leads_to("127.0.0.1"), webhook_allow="hooks.example")
    assert named.status == 204


def test_a_name_is_looked_up_once_and_what_was_checked_is_reached(receiver: Receiver) -> None:
    """Rebinding: the second look would lead elsewhere."""
    asked: list[str] = []

    def rebound(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.9.9.9"]

    allowed = {"webhook_allow": "hooks.example"}
    assert at(f"http://hooks.example:{receiver.port}/", rebound, **allowed).status == 204
    assert asked == ["hooks.example"]

    def inside_next(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["192.0.2.1"] if len(asked) == 2 else ["127.0.0.1"]

    looked = at(f"https://hooks.example:{receiver.port}/", inside_next)
    assert "a private address" in looked.error  # what the first look found is judged, and there is no second
    assert len(asked) == 2
    assert len(receiver.heard) == 1


def test_a_redirect_inside_is_not_followed(receiver: Receiver) -> None:
    with receiving() as inside:
        receiver.behaves["/"] = says(302, location=f"{inside.url}/secret")
        assert sent(receiver).status == 302
        assert inside.heard == []


def test_a_lookup_that_hangs_is_left_alone() -> None:
    hanging = threading.Event()

    def never(*_: object) -> list[str]:
        hanging.wait(20)
        return []

    began_s = time.monotonic()
    answer = at("https://hooks.example/", never)
    hanging.set()
    assert time.monotonic() - began_s < 2
    assert "not looked up in time" in answer.error


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert sent(receiver).status == 204
        assert proxy.heard == []


# TLS


class Encrypted(Receiver):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def _serve(self, connection: Any) -> None:
        try:
            wrapped = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            return
        super()._serve(wrapped)


def test_a_certificate_is_checked_by_the_name_of_the_url(authority: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Though the connection goes to an address."""
    server, trusting = authority
    receiver = Encrypted(server)
    try:
        message = HttpMessage(url=f"https://hooks.example:{receiver.port}/x", headers={}, body=b"hello")
        allowed = {"webhook_allow": "hooks.example, other.example"}

        here = leads_to("127.0.0.1")
        assert post(here, trusting, **allowed).send(message).status == 204
        assert receiver.heard[0].headers["host"] == f"hooks.example:{receiver.port}"
        assert "not trusted" in post(here, **allowed).send(message).error
        other = HttpMessage(url=f"https://other.example:{receiver.port}/", headers={}, body=b"")
        assert "not trusted" in post(here, trusting, **allowed).send(other).error
        receiver.behaves["/x"] = drips(b"HTTP/1.1 2")
        slow = post(here, trusting, **allowed).send(message)
        assert "longer than 1 s" in slow.error
    finally:
        receiver.close()


def test_no_error_repeats_the_address() -> None:
    """It may be a secret."""
    for url in ("https://hooks.example/T0/secret?key=secret", "https://u:secret@hooks.example/", "nonsense:secret"):
        for found in (["10.0.0.1"], [], ["8.8.8.8\n"]):
            answer = at(url, leads_to(*found), webhook_timeout_s=0.2)
            assert answer.error
            assert "secret" not in f"{answer} {answer!r}"

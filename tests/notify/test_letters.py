"""Letters to a mail server on a socket: encrypted or not at all, within the limits, with what it says kept."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from chopmark.base.settings import load_settings
from chopmark.domain.deliveries import Answer, is_success
from chopmark.domain.notices import Notice, mail_message
from chopmark.notify.post import CheckedPost

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
NOTICE = Notice(
    title="Größe", text="one\n.\ntwo", key="k", kind="a.b", source="urn:x", at=datetime(2026, 3, 3, tzinfo=UTC)
)


class MailServer:
    """Speaks as much SMTP as is needed, and keeps what it was told."""

    def __init__(self, context: ssl.SSLContext | None, *, wrapped: bool = False, **answers: Any) -> None:
        self.context = context
        self.wrapped = wrapped
        self.answers = {"EHLO": "250 hello", "AUTH": "235 welcome", "MAIL": "250 ok", "RCPT": "250 ok", **answers}
        self.lines: list[str] = []
        self.encrypted_from: int | None = None
        self.data = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
            with connection, contextlib.ExitStack() as rest:
                self._speak(connection, rest)
        except OSError:
            return

    def _speak(self, line: socket.socket, rest: contextlib.ExitStack) -> None:
        if self.wrapped and self.context:
            line = rest.enter_context(self.context.wrap_socket(line, server_side=True))
            self.encrypted_from = 0
        file = line.makefile("rb")
        line.sendall(b"220 mail.example\r\n")
        while raw := file.readline():
            text = raw.decode().strip()
            self.lines.append(text)
            verb = text.split(maxsplit=1)[0].upper()
            if verb == "EHLO":
                offers = ["mail.example", "AUTH PLAIN"] + (
                    ["STARTTLS"] if self.context and self.encrypted_from is None else []
                )
                for offer in offers:
                    line.sendall(f"250-{offer}\r\n".encode())
                self._say(line, self.answers["EHLO"])
            elif verb == "STARTTLS" and self.context:
                line.sendall(b"220 go\r\n")
                line = rest.enter_context(self.context.wrap_socket(line, server_side=True))
                file = line.makefile("rb")
                self.encrypted_from = len(self.lines)
            elif verb == "DATA":
                line.sendall(b"354 go\r\n")
                while (raw := file.readline()) != b".\r\n":
                    self.data += raw
                line.sendall(b"250 taken\r\n")
            elif verb == "QUIT":
                line.sendall(b"221 bye\r\n")
                return
            else:
                self._say(line, self.answers.get(verb, "250 ok"))

    def _say(self, line: socket.socket, answer: str) -> None:
        if answer == "drip":
            for _ in range(400):
                line.sendall(b"2")
                time.sleep(0.05)
        line.sendall(answer.encode() + b"\r\n")


def sent(server: MailServer, trusting: ssl.SSLContext | None, scheme: str = "smtp", **rest: Any) -> Answer:
    settings = {"webhook_timeout_s": 2.0, "webhook_connect_timeout_s": 1.0, "webhook_allow": "127.0.0.0/8", **rest}
    post = CheckedPost(
        load_settings(settings, environ={}).settings, None, resolver=lambda *_: ["127.0.0.1"], context=trusting
    )
    letter = mail_message(
        NOTICE,
        f"{scheme}://hooks.example:{server.port}",
        sender="models@example.com",
        to=("ada@example.com", "bob@example.com"),
        message_id="msg_1",
        username="models",
        password="pass-word",
    )
    return post.send(letter)


@pytest.fixture
def servers() -> Iterator[list[MailServer]]:
    made: list[MailServer] = []
    yield made
    for each in made:
        each.close()


def test_a_letter_arrives_encrypted(authority: Contexts, servers: list[MailServer]) -> None:
    server = MailServer(authority[0])
    servers.append(server)
    answer = sent(server, authority[1])
    assert is_success(answer), answer
    assert server.encrypted_from is not None
    verbs = [each.split()[0].upper() for each in server.lines]
    assert verbs == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert "rcpt to:<bob@example.com>" in [line.lower() for line in server.lines]
    assert b"Message-ID: <msg_1@example.com>\r\n" in server.data
    assert b"\r\n..\r\ntwo" in server.data, "a line of one dot does not end the letter"


def test_a_letter_arrives_over_a_wrapped_line(authority: Contexts, servers: list[MailServer]) -> None:
    server = MailServer(authority[0], wrapped=True)
    servers.append(server)
    assert is_success(sent(server, authority[1], "smtps"))
    assert server.data


def test_a_certificate_that_is_not_trusted_is_told_nothing(authority: Contexts, servers: list[MailServer]) -> None:
    server = MailServer(authority[0])
    servers.append(server)
    answer = sent(server, None)
    assert "not trusted" in answer.error
    assert [each.split()[0].upper() for each in server.lines] == ["EHLO", "STARTTLS"]


def test_a_server_that_does_not_encrypt_is_told_nothing_unless_it_is_named(servers: list[MailServer]) -> None:
    for allow, told in (("127.0.0.1/32", False), ("hooks.example", True)):
        server = MailServer(None)
        servers.append(server)
        answer = sent(server, None, webhook_allow=allow)
        assert is_success(answer) == bool(server.data) == told, answer
        assert ("does not encrypt" in answer.error) != told
        assert any(line.startswith("AUTH") for line in server.lines) == told


@pytest.mark.parametrize(
    ("answers", "status", "error"),
    [
        ({"AUTH": "535 who are you"}, 535, "refused"),
        ({"MAIL": "550 not you"}, 550, "refused"),
        ({"RCPT": "550 nobody"}, 0, "refused"),
    ],
)
def test_what_the_server_refuses_is_told(
    authority: Contexts, servers: list[MailServer], answers: dict[str, Any], status: int, error: str
) -> None:
    server = MailServer(authority[0], **answers)
    servers.append(server)
    answer = sent(server, authority[1])
    assert not is_success(answer)
    assert answer.status == status
    assert error in answer.error
    assert "pass-word" not in str(answer)
    assert not server.data


def test_a_server_that_drips_is_given_up_in_time(authority: Contexts, servers: list[MailServer]) -> None:
    server = MailServer(authority[0], EHLO="drip")
    servers.append(server)
    began_s = time.monotonic()
    answer = sent(server, authority[1])
    assert 1 < time.monotonic() - began_s < 6
    assert not is_success(answer)


def test_a_mail_server_inside_is_not_reached(servers: list[MailServer]) -> None:
    server = MailServer(None)
    servers.append(server)
    assert "loopback" in sent(server, None, webhook_allow="").error
    assert server.lines == []

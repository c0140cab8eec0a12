"""One request over HTTP to a receiver that somebody else chose: its answer is not trusted with time, memory or another address."""

from __future__ import annotations

import http.client
import socket
import ssl
import time

from chopmark.domain.addresses import Allowed, Place, parse_place
from chopmark.domain.deliveries import ANSWER_BYTES_MAX, Answer
from chopmark.domain.notices import HttpMessage
from chopmark.notify.connections import Deadline, Resolver, connected

__all__ = ["posted"]

_BODY_WITHIN_S = 2.0  # of the answer's body, of which only the beginning is for the log


def posted(
    message: HttpMessage,
    allowed: Allowed,
    *,
    timeout_s: float,
    connect_timeout_s: float,
    context: ssl.SSLContext,
    resolver: Resolver,
) -> Answer:
    """Send a request, follow no redirect, and read how the answer begins.

    Raises
    ------
    Denied
        When the address is forbidden.
    OSError
        When there is no connection, or no answer in time.
    http.client.HTTPException, ValueError
        When what comes back is no HTTP.
    """
    began_s = time.monotonic()
    place = parse_place(message.url)
    plain = connected(place, allowed, timeout_s=min(connect_timeout_s, timeout_s), resolver=resolver)
    left_s = began_s + timeout_s - time.monotonic()
    with plain, Deadline(plain, left_s) as deadline:
        plain.settimeout(max(0.001, left_s))
        try:
            return _exchanged(message, place, plain, context, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if deadline.is_over:
                raise TimeoutError(f"it took longer than {timeout_s:g} s") from error
            raise


def _exchanged(
    message: HttpMessage, place: Place, plain: socket.socket, context: ssl.SSLContext, deadline: Deadline
) -> Answer:
    line = context.wrap_socket(plain, server_hostname=place.host) if place.scheme == "https" else plain
    connection = http.client.HTTPConnection(place.host, place.port)
    connection.sock = line
    try:
        connection.putrequest(message.method, place.target, skip_host=True, skip_accept_encoding=True)
        fixed = {
            "Host": place.authority,
            "User-Agent": "chopmark",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Content-Length": str(len(message.body)),
        }
        for name, value in {**fixed, **message.headers}.items():
            connection.putheader(name, value)
        connection.endheaders(message.body)
        with connection.getresponse() as answer:
            if deadline.is_over:  # headers that are cut look like headers that have ended
                raise TimeoutError
            retry_after = answer.getheader("retry-after") or ""
            return Answer(status=answer.status, body=_beginning(answer), retry_after=retry_after[:100])
    finally:
        connection.close()


def _beginning(answer: http.client.HTTPResponse) -> str:
    """How a body begins. The status says what counts, so a body that is late or broken is no failure."""
    until_s, found = time.monotonic() + _BODY_WITHIN_S, b""
    try:
        while len(found) < ANSWER_BYTES_MAX and time.monotonic() < until_s:
            part = answer.read1(ANSWER_BYTES_MAX - len(found))
            if not part:
                break
            found += part
    except (OSError, http.client.HTTPException, ValueError):
        pass
    return found.decode("utf-8", "replace")

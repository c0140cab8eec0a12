"""Letters to a mail server that somebody else chose: encrypted, to an address that was checked, within a limit of time."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time

from chopmark.domain.addresses import Allowed, Place, parse_place
from chopmark.domain.deliveries import Answer
from chopmark.domain.notices import Letter
from chopmark.errors import Denied
from chopmark.notify.connections import Deadline, Resolver, connected

__all__ = ["mailed"]

_DONE = 250


class _Server(smtplib.SMTP):
    """A mail server over a connection that is there already."""

    def __init__(self, place: Place, line: socket.socket, timeout_s: float) -> None:
        self._line = line
        # The name of this machine is told as it is, since finding out more would ask a name server, and wait for it.
        super().__init__(place.host, place.port, local_hostname=socket.gethostname() or "localhost", timeout=timeout_s)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - what smtplib calls
        return self._line


def mailed(
    letter: Letter,
    allowed: Allowed,
    *,
    timeout_s: float,
    connect_timeout_s: float,
    context: ssl.SSLContext,
    resolver: Resolver,
) -> Answer:
    """Hand a letter to its mail server.

    Raises
    ------
    Denied
        When the address is forbidden, or the server does not encrypt and nobody allowed that.
    OSError
        When there is no connection, or it takes too long; `smtplib.SMTPException` when the server refuses.
    """
    began_s = time.monotonic()
    place = parse_place(letter.url, ("smtp", "smtps"))
    plain = connected(place, allowed, timeout_s=min(connect_timeout_s, timeout_s), resolver=resolver)
    left_s = began_s + timeout_s - time.monotonic()
    with plain, Deadline(plain, left_s) as deadline:
        plain.settimeout(max(0.001, left_s))
        try:
            return _handed(letter, place, plain, context, allowed, left_s)
        except (OSError, ValueError) as error:
            if deadline.is_over:
                raise TimeoutError(f"it took longer than {timeout_s:g} s") from error
            raise


def _handed(
    letter: Letter, place: Place, plain: socket.socket, context: ssl.SSLContext, allowed: Allowed, timeout_s: float
) -> Answer:
    is_wrapped = place.scheme == "smtps"
    line = context.wrap_socket(plain, server_hostname=place.host) if is_wrapped else plain
    with _Server(place, line, timeout_s) as server:
        server.ehlo_or_helo_if_needed()
        if not is_wrapped:
            _encrypt(server, place, context, allowed)
        if letter.username:
            server.login(letter.username, letter.password)
        refused = server.sendmail(letter.sender, letter.to, letter.text)
    told = ", ".join(f"{address}: {code}" for address, (code, _) in refused.items())
    return Answer(status=_DONE, body=f"refused for {told}" if told else "")


def _encrypt(server: smtplib.SMTP, place: Place, context: ssl.SSLContext, allowed: Allowed) -> None:
    if server.has_extn("starttls"):
        server.starttls(context=context)
        server.ehlo()
    elif not allowed.names(place.host):
        msg = f"The mail server {place.host} does not encrypt: everybody on the way could read letters and passwords."
        raise Denied(msg, hint="Use another, or name it in the setting webhook_allow.")

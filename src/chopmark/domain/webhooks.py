"""Signed webhooks after Standard Webhooks 1.0: what is sent can be shown to come from us, and to be recent.

The signature is the base64 of HMAC-SHA256 over ``id.timestamp.body`` with the decoded secret, after ``v1,``. While a secret is
being replaced a message carries a signature by each, and a receiver takes any of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

from chopmark.errors import Denied, InvalidRequest

__all__ = ["SECRET_PREFIX", "TOLERANCE_SECONDS", "sign", "signed_headers", "verify"]

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with, not one
TOLERANCE_SECONDS = 300
"""How far the time of a message may lie from the receiver's, before or after."""

_SECRET_BYTES_LEAST = 16
_SECRETS_MAX = 8
_SIGNATURES_MAX = 32
_ID_LENGTH_MAX = 256
_TIMESTAMP_DIGITS_MAX = 12


def sign(secret: str, message_id: str, sent_at: datetime | int, body: bytes | str) -> str:
    """Signature of a message, as ``v1,`` and base64.

    Parameters
    ----------
    secret
        Base64 of at least 16 bytes, with or without ``whsec_`` before it.
    message_id
        The same at each attempt to deliver the message. A dot could not be told from those that separate the signed parts.
    sent_at
        Time of the attempt: aware, or seconds since 1970.
    body
        Exactly the bytes that are sent.

    Raises
    ------
    InvalidRequest
        When the secret, the id or the time cannot be one. The message never holds the secret.

    Examples
    --------
    >>> sign("whsec_4VfbIZBqq0xUno8ghmN4w90UAfUq5qSg", "msg_1", 1780000000, b"{}")
    'v1,6CVeO2Mm4Qg/CbOVpkcS8qaWA10uMQPEzcMa8tl2yVI='
    """
    return _signature(_key(secret), _checked_id(message_id), _seconds(sent_at), body)


def signed_headers(
    secrets: Sequence[str], message_id: str, sent_at: datetime | int, body: bytes | str
) -> dict[str, str]:
    """Headers of a message: its id, its time in seconds, and a signature by each secret, the newest first.

    Raises
    ------
    InvalidRequest
        As `sign`, and when there is no secret, or more than eight.
    """
    keys = _keys(secrets)
    seconds = _seconds(sent_at)
    signatures = [_signature(key, _checked_id(message_id), seconds, body) for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes | str,
    now: datetime | int,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> str:
    """Return the id of a message that one of the secrets signed, and that is recent.

    Every pair of signature and secret is compared, each in constant time, so that neither which one fits nor how much of one does
    can be told from how long it takes. Whoever acts on a message keeps its id for as long as the tolerance, since within that
    time the same message may be sent again.

    Parameters
    ----------
    secrets
        The receiver's, up to eight; more than one while they are being replaced.
    headers
        Of the message, in any case of letters. Signatures of other versions than ``v1`` are passed over.
    body
        Exactly the bytes that came.
    now
        The receiver's time: aware, or seconds since 1970.
    tolerance_seconds
        How far the message's time may lie from it, before or after.

    Raises
    ------
    Denied
        When a header is missing or no header of that kind, the time lies outside the tolerance, or no signature fits.
    InvalidRequest
        When a secret cannot be one.
    """
    keys = _keys(secrets)
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp, listed = (_header(given, f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _TIMESTAMP_DIGITS_MAX):
        raise Denied("The webhook's time is no number of seconds.", hint="Send seconds since 1970.")
    signatures = [s.encode() for s in listed.split()[:_SIGNATURES_MAX] if s.startswith("v1,")]
    wanted = [_signature(key, message_id, int(stamp), body).encode() for key in keys]
    fits = [hmac.compare_digest(one, other) for one in wanted for other in signatures]
    off_seconds = _seconds(now) - int(stamp)
    if abs(off_seconds) > tolerance_seconds:
        when = "old" if off_seconds > 0 else "ahead of this clock"
        raise Denied(
            f"The webhook is {abs(off_seconds):,} s {when}; {tolerance_seconds:g} s are allowed.",
            hint="Set the clocks by the network, and send a message anew instead of replaying it.",
        )
    if not any(fits):
        raise Denied("No signature of the webhook fits.", hint="Compare the secrets, and sign the bytes that are sent.")
    return message_id


def _signature(key: bytes, message_id: str, seconds: int, body: bytes | str) -> str:
    content = f"{message_id}.{seconds}.".encode() + (body.encode() if isinstance(body, str) else body)
    return f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"


def _keys(secrets: Sequence[str]) -> list[bytes]:
    if isinstance(secrets, str) or not 1 <= len(secrets) <= _SECRETS_MAX:
        raise InvalidRequest(
            "Webhooks are signed by one to eight secrets.", hint="Give a list; drop those that nobody uses any more."
        )
    return [_key(secret) for secret in secrets]


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < _SECRET_BYTES_LEAST:
        raise InvalidRequest(
            f"That is no secret for webhooks: one is {SECRET_PREFIX} and the base64 of at least {_SECRET_BYTES_LEAST} bytes.",
            hint="Make one of 24 to 64 random bytes.",
        )
    return key


def _checked_id(message_id: str) -> str:
    if not 1 <= len(message_id) <= _ID_LENGTH_MAX or "." in message_id or not message_id.isprintable():
        raise InvalidRequest(
            f"{message_id[:80]!r} cannot be the id of a webhook.",
            hint=f"Use 1 to {_ID_LENGTH_MAX} printable characters and no dot.",
        )
    return message_id


def _seconds(time: datetime | int) -> int:
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise InvalidRequest("The time of a webhook has no zone.", hint="Give an aware time, in UTC.")
        time = int(time.timestamp())
    if time < 0:
        raise InvalidRequest("The time of a webhook lies before 1970.", hint="Give the time of the attempt.")
    return time


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise Denied(f"The webhook has no header {name}.", hint="Send what `signed_headers` gives.")
    return value

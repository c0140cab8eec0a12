"""Webhooks: signatures that others compute, and everything that must not pass."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.webhooks import sign, signed_headers, verify
from chopmark.errors import Denied, InvalidRequest

SECRET = "whsec_4VfbIZBqq0xUno8ghmN4w90UAfUq5qSg"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
AT = 1_780_000_000
BODY = b'{"type":"alert.resolved","data":{"model":"demo"}}'

keys = st.binary(min_size=16, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())
ids = st.text("abcXYZ012_-:/ é", min_size=1, max_size=40)


def test_a_signature_that_another_library_made() -> None:
    expected = "v1,XIBUWBurFT/TfGkBH9+WxPpXFI+swTV6zlsARxtJsvo="
    assert sign(SECRET, "msg_public_0", AT, BODY) == expected
    assert (
        sign(SECRET.removeprefix("whsec_"), "msg_public_0", datetime.fromtimestamp(AT, UTC), BODY.decode()) == expected
    )


@given(keys, ids, st.integers(0, 4_000_000_000), st.binary(max_size=200))
def test_it_is_the_hmac_of_id_time_and_body(secret: str, message_id: str, at: int, body: bytes) -> None:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    assert sign(secret, message_id, at, body) == "v1," + base64.b64encode(mac).decode()
    assert verify([secret], signed_headers([secret], message_id, at, body), body, at) == message_id


@given(st.binary(max_size=60), st.integers(0), st.integers(1, 255))
def test_a_changed_body_is_denied(body: bytes, place: int, change: int) -> None:
    headers = signed_headers([SECRET], "m", AT, body)
    changed = bytearray(body or b"x")
    changed[place % len(changed)] ^= change if body else 0
    with pytest.raises(Denied, match="No signature"):
        verify([SECRET], headers, bytes(changed), AT)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("webhook-id", "msg_2", "No signature"),
        ("webhook-timestamp", str(AT + 1), "No signature"),
        ("webhook-timestamp", f" {AT}", "no number"),
        ("webhook-timestamp", f"-{AT}", "no number"),
        ("webhook-timestamp", f"{AT}.5", "no number"),
        ("webhook-timestamp", "１７８", "no number"),
        ("webhook-timestamp", "9" * 5_000, "no number"),
        ("webhook-signature", "v1,", "No signature"),
        ("webhook-signature", "v1,AAAA", "No signature"),
        ("webhook-signature", "v1,é", "No signature"),
        ("webhook-signature", "nonsense", "No signature"),
        ("webhook-id", "", "no header webhook-id"),
        ("webhook-timestamp", "", "no header webhook-timestamp"),
        ("webhook-signature", "", "no header webhook-signature"),
    ],
)
def test_a_changed_header_is_denied(name: str, value: str, words: str) -> None:
    headers = signed_headers([SECRET], "msg_1", AT, BODY)
    with pytest.raises(Denied, match=words):
        verify([SECRET], headers | {name: value}, BODY, AT)


def test_a_signature_of_another_version_does_not_count() -> None:
    headers = signed_headers([SECRET], "msg_1", AT, BODY)
    with pytest.raises(Denied):
        verify([SECRET], headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v1a,")}, BODY, AT)
    both = f"v1a,AAAA {headers['webhook-signature']}"
    assert verify([SECRET], headers | {"webhook-signature": both}, BODY, AT) == "msg_1"


@pytest.mark.parametrize(("seconds", "passes"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_the_window_of_time(seconds: int, passes: bool) -> None:
    headers = signed_headers([SECRET], "msg_1", AT, BODY)
    now = datetime.fromtimestamp(AT, UTC) + timedelta(seconds=seconds)
    if passes:
        assert verify([SECRET], headers, BODY, now) == "msg_1"
    else:
        with pytest.raises(Denied, match="300 s are allowed"):
            verify([SECRET], headers, BODY, now)
    assert verify([SECRET], headers, BODY, now, tolerance_seconds=1_000) == "msg_1"


@pytest.mark.parametrize(
    ("senders", "receivers", "passes"),
    [
        ([SECRET], [SECRET, OTHER], True),
        ([SECRET, OTHER], [OTHER], True),
        ([OTHER, SECRET], [OTHER], True),
        ([SECRET], [OTHER], False),
    ],
)
def test_while_a_secret_is_replaced_either_will_do(senders: list[str], receivers: list[str], passes: bool) -> None:
    headers = {name.title(): value for name, value in signed_headers(senders, "msg_1", AT, BODY).items()}
    assert len(headers["Webhook-Signature"].split()) == len(senders)
    if passes:
        assert verify(receivers, headers, BODY, AT) == "msg_1"
    else:
        with pytest.raises(Denied):
            verify(receivers, headers, BODY, AT)


def test_every_signature_is_compared_with_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left out once one fits, and all by the function that takes the same time for any."""
    compared = []
    honest = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return honest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    verify([SECRET, OTHER], signed_headers([SECRET, OTHER], "msg_1", AT, BODY), BODY, AT)
    assert len(compared) == 4


def test_a_header_of_endless_signatures_is_cut() -> None:
    headers = signed_headers([SECRET], "msg_1", AT, BODY)
    flood = " ".join(["v1,AAAA"] * 10_000)
    with pytest.raises(Denied):
        verify([SECRET], headers | {"webhook-signature": f"{flood} {headers['webhook-signature']}"}, BODY, AT)


@pytest.mark.parametrize("secret", ["whsec_short", "whsec_" + "é" * 24, "whsec_!!!!", "whsec_AAAAAAAA", "tooshort"])
def test_a_poor_secret_is_refused_and_not_told(secret: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        sign(secret, "m", AT, BODY)
    assert secret.removeprefix("whsec_") not in str(raised.value)


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_an_empty_secret_is_refused(secret: str) -> None:
    with pytest.raises(InvalidRequest, match="no secret"):
        verify([SECRET, secret], signed_headers([SECRET], "m", AT, BODY), BODY, AT)


@pytest.mark.parametrize("secrets", [[], [SECRET] * 9, SECRET])
def test_there_must_be_some_secrets_but_not_many(secrets: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="one to eight"):
        signed_headers(secrets, "m", AT, BODY)
    with pytest.raises(InvalidRequest, match="one to eight"):
        verify(secrets, {}, BODY, AT)


@pytest.mark.parametrize("message_id", ["", "a.b", "a\nb", "x" * 257])
def test_an_id_that_moves_borders_is_refused(message_id: str) -> None:
    with pytest.raises(InvalidRequest, match="id of a webhook"):
        sign(SECRET, message_id, AT, BODY)


def test_a_time_without_a_zone_or_before_1970_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no zone"):
        sign(SECRET, "m", datetime(2026, 1, 1), BODY)  # noqa: DTZ001
    with pytest.raises(InvalidRequest, match="1970"):
        sign(SECRET, "m", -1, BODY)

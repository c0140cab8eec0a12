"""Callers: known by the hashes that came with the routing, and by nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chopmark.base.clock import FakeClock
from chopmark.domain.endpoints import EndpointCaller
from chopmark.domain.tokens import secret_hash, written
from chopmark.errors import Denied, NotFound, Unauthenticated
from chopmark.gateway.callers import Callers

ID, SECRET = "00112233445566ff", bytes(range(32))
TOKEN = f"Bearer {written(ID, SECRET)}".encode()


def _callers(clock: FakeClock | None = None, **more: object) -> Callers:
    said = {"token": ID, "secret_hash": secret_hash(SECRET), "name": "shop", "invoke": ("default",)} | more
    return Callers([EndpointCaller(**said)], clock or FakeClock())  # type: ignore[arg-type]


def test_a_token_is_known_by_its_hash_the_first_time_and_after() -> None:
    callers = _callers()
    assert callers.caller(TOKEN) is callers.caller(TOKEN)
    assert callers.caller(TOKEN).unit == ID.encode()
    assert callers.caller(TOKEN.replace(b"Bearer", b"bearer")).unit == ID.encode()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer ",
        b"Basic " + TOKEN[7:],
        TOKEN[:-1],
        TOKEN + b"0",
        f"Bearer {written(ID, bytes(32))}".encode(),
        f"Bearer {written('ff' * 8, SECRET)}".encode(),
        b"Bearer \xff\xfe",
    ],
)
def test_anything_else_is_refused(header: bytes) -> None:
    with pytest.raises(Unauthenticated):
        _callers().caller(header)


def test_a_token_that_expires_is_refused_from_then_on_though_it_was_seen() -> None:
    clock = FakeClock()
    callers = _callers(clock, expires_at=clock.now + timedelta(minutes=1))
    assert callers.caller(TOKEN)
    clock.advance(timedelta(minutes=1))
    with pytest.raises(Unauthenticated, match="expired"):
        callers.caller(TOKEN)


def test_it_may_call_where_it_may_and_choose_where_it_may() -> None:
    caller = _callers().caller(TOKEN)
    caller.check_invoke("default", "fraud-api")
    with pytest.raises(NotFound):
        caller.check_invoke("risk", "risk/fraud-api")
    with pytest.raises(Denied):
        caller.check_deploy("default")
    everywhere = _callers(invoke=("*",), deploy=("*",)).caller(TOKEN)
    everywhere.check_invoke("risk", "risk/fraud-api")
    everywhere.check_deploy("risk")

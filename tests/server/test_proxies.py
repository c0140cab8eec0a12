"""Who is asked from: nobody forges an address, and a proxy that is named is believed."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from chopmark.base.settings import load_settings
from chopmark.errors import InvalidRequest
from chopmark.server.serving import _proxies, application, served
from chopmark.server.telemetry import _Lines
from chopmark.testing.registry import memory_transport

TOKEN = "cm_0123456789abcdef_" + "5ec4e7" * 10 + "abcd"


@contextmanager
def guarded(**settings: Any) -> Iterator[str]:
    resolved = load_settings({"actor": "root", **settings}, environ={}).settings
    behind = memory_transport(resolved)
    with served(application(behind, resolved), settings=resolved) as url:
        yield url
    behind.close()


def ask(url: str, path: str = "/api/v1/whoami", **headers: str) -> urllib3.BaseHTTPResponse:
    """With a token that is not known."""
    named = {"authorization": f"Bearer {TOKEN}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request("GET", url + path, headers=named, retries=False, redirect=False, timeout=60)


def test_a_client_cannot_forge_its_address_to_be_let_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # which uvicorn reads by itself
    with guarded(serve_failures_max=3) as url:
        statuses = [
            ask(url, x_forwarded_for=f"10.0.0.{n}", forwarded=f"for=10.0.0.{n}", x_real_ip=f"10.0.0.{n}").status
            for n in range(8)
        ]
    assert statuses[:4] == [401] * 4
    assert 429 in statuses[4:]


def test_nor_to_be_asked_more_often() -> None:
    with guarded(serve_address_rate_per_s=1.0) as url:
        assert [ask(url, x_forwarded_for=f"10.0.0.{n}").status for n in range(4)].count(429) >= 1


def test_a_proxy_that_is_named_says_for_whom_it_asks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "chopmark.server")
    with guarded(serve_proxies="127.0.0.1", serve_failures_max=3) as url:
        assert {ask(url, x_forwarded_for=f"10.0.0.{n}").status for n in range(8)} == {401}
        # A client behind it adds to the header in vain: what the proxy itself saw stands last.
        forged = [ask(url, x_forwarded_for=f"192.0.2.{n}, 10.9.9.9").status for n in range(8)]
    assert 429 in forged
    said = [record.__dict__["facts"]["client"] for record in caplog.records if "facts" in record.__dict__]
    assert "10.0.0.5" in said
    assert set(said[-8:]) == {"10.9.9.9"}


def test_what_is_no_address_is_refused() -> None:
    assert _proxies("") == []
    assert _proxies(" 10.0.0.5, 10.1.0.0/16 ,::1") == ["10.0.0.5", "10.1.0.0/16", "::1"]
    for wrong in ("*", "proxy.internal", "10.0.0.5/8", "10.0.0.5:80"):
        with pytest.raises(InvalidRequest, match="serve_proxies"):
            _proxies(wrong)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_in_an_address_does_not_reach_the_log(form: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = TOKEN.rpartition("_")[2]
    with guarded() as url:
        for path in (
            f"/api/v1/whoami?token={TOKEN}",
            f"/api/v1/models/{TOKEN}",
            f"/api/v1/{TOKEN}/x",
            f"/{TOKEN}",
            f"/api/v1/models/{TOKEN.replace('_', '%5F')}",
            f"/api/v1/tokens/{TOKEN}",
        ):
            for method in ("GET", "DELETE", "PATCH"):
                answer = urllib3.request(method, url + path, retries=False, redirect=False, timeout=60)
                assert answer.status in {401, 404, 405}
    ours = [record for record in caplog.records if record.name.startswith(("chopmark", "uvicorn"))]
    said = "\n".join(_Lines(form).format(record) for record in ours)
    assert said.count("/api/v1/models/cm_***") >= 6
    assert secret not in said
    assert secret not in json.dumps([repr(record.__dict__) for record in ours])

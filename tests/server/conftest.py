"""A server on a real socket, and plain HTTP to it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
import urllib3

from chopmark.base.clock import FakeClock
from chopmark.base.settings import load_settings
from chopmark.ops.requests import CreateModel
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_transport


class Plain(NamedTuple):
    """A server without our client before it."""

    url: str
    behind: Any

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """One request; underscores in names of headers stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request(
            method, self.url + path, body=body, headers=named, redirect=False, retries=False, timeout=60
        )


def served_registry(**settings: Any) -> Iterator[Plain]:
    """One server, for one turn of a loop."""
    resolved = load_settings({"actor": "ada", "serve_auth": "none", **settings}, environ={})
    behind = memory_transport(resolved.settings, clock=FakeClock(step=timedelta(seconds=1)))
    behind.call(CreateModel(model="fraud", description="odd payments"))
    with served(application(behind, resolved.settings)) as url:
        yield Plain(url, behind)
    behind.close()


@pytest.fixture
def plain() -> Iterator[Plain]:
    """A registry in memory with one model, served."""
    yield from served_registry()


@pytest.fixture
def limited() -> Iterator[Plain]:
    """The same with small limits."""
    yield from served_registry(serve_body_bytes_max=2_000, serve_timeout_s=0.3, serve_threads=1, serve_waiting_max=2)


__all__ = ["Plain", "served_registry"]

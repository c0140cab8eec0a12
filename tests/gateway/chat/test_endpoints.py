"""Language models behind endpoints of a served registry: its settings, limits and reports, and clients that leave."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from tests.gateway.chat.stand_in import Asked, StandIn, chunk, completion, stand_in_beside, status, well
from tests.gateway.conftest import Served, serving, until

PATH = "/v1/chat/completions"
ASKED = {"model": "helper", "messages": [{"role": "user", "content": "Hello?"}]}
KEY = "sk-very-secret-0123456789"


@contextmanager
def helper(
    provider: StandIn,
    directory: Path,
    *,
    config: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """An endpoint of a language model, loaded."""
    with serving(directory / "registry", directory, llm_providers=f"stand={provider.url}", **settings) as served:
        served.registry.register("spare", config={"provider": "stand", "model": "spare"})
        served.registry.register("prompt", config={"provider": "stand", "model": "small", **(config or {})})
        served.registry.endpoints.create("helper", "prompt:1", config=limits or {})
        until(
            lambda: (
                [v.served.state for v in served.registry.endpoints.live("helper").endpoints[0].variants] == ["serving"]
            )
        )
        yield served


def test_an_endpoint_s_queue_is_heeded(tmp_path: Path) -> None:
    goes_on = threading.Event()

    async def waits(asked: Asked) -> None:
        await asyncio.get_running_loop().run_in_executor(None, goes_on.wait, 20)
        await asked.answer(completion())

    with (
        stand_in_beside(waits) as provider,
        helper(provider, tmp_path, limits={"queue_max": 1}, llm_at_once=1) as served,
        ThreadPoolExecutor(3) as clients,
    ):
        answers = [clients.submit(served.ask, PATH, ASKED) for _ in range(3)]
        until(lambda: any(answer.done() for answer in answers))
        goes_on.set()
        found = sorted(answer.result().status for answer in answers)
        refused = next(a.result() for a in answers if a.result().status == 503)
    assert found == [200, 200, 503]
    assert refused.json()["error"]["code"] == "queue_full"
    assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize("begins", [True, False], ids=["in the middle", "before the answer"])
def test_a_client_that_leaves_takes_its_provider_s_answer_with_it(begins: bool, tmp_path: Path) -> None:
    async def endless(asked: Asked) -> None:
        if begins:
            await asked.begin()
            await asked.event(chunk("x"))
        await asked.until_closed(10)

    body = json.dumps({**ASKED, "stream": True}).encode()
    with stand_in_beside(endless) as provider, helper(provider, tmp_path) as served:
        place = urlsplit(served.url)
        with socket.create_connection((place.hostname, place.port)) as client:
            client.sendall(
                b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (PATH.encode(), len(body), body)
            )
            until(lambda: provider.asked)
            if begins:
                assert client.recv(100).startswith(b"HTTP/1.1 200")
            assert provider.asked[0].closed_after_s is None
        until(lambda: provider.asked[0].closed_after_s is not None, 3.0)


def test_a_provider_that_nobody_told_of_is_why_a_version_is_not_loaded(tmp_path: Path) -> None:
    with serving(tmp_path / "registry", tmp_path) as served:
        served.registry.register("prompt", config={"provider": "acme", "model": "small"})
        served.registry.endpoints.create("helper", "prompt:1")
        live = served.registry.endpoints.live
        until(lambda: [v.served.state for v in live("helper").endpoints[0].variants] == ["failed"])
        assert "llm_providers = 'acme=https://" in live("helper").endpoints[0].variants[0].served.why
        assert served.ask(PATH, ASKED).status == 503


def test_a_fallback_is_another_version_of_the_registry(tmp_path: Path) -> None:
    async def behaves(asked: Asked) -> None:
        await (well if asked.body["model"] == "spare" else status(500))(asked)

    with (
        stand_in_beside(behaves) as provider,
        helper(provider, tmp_path, config={"fallback": "spare:1"}) as served,
    ):
        assert served.ask(PATH, ASKED).status == 200
        assert [asked.body["model"] for asked in provider.asked] == ["small", "spare"]
        labels = {"endpoint": "helper", "variant": "stable"}
        until(lambda: served.counter("input_tokens_total", **labels) == 1_000)


def test_a_key_of_the_environment_is_sent_and_shown_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("STAND_API_KEY", KEY)
    with (
        stand_in_beside(well, status(401), status(500), well) as provider,
        helper(provider, tmp_path, llm_keys="stand=STAND_API_KEY") as served,
    ):
        answers = [served.ask(PATH, ASKED) for _ in range(4)]
        shown = [served.registry.endpoints.live("helper"), served.ask("/metrics", method="GET").data, caplog.text]
        shown += [(a.data, dict(a.headers)) for a in answers]
    assert [a.status for a in answers] == [200, 502, 502, 200]
    assert {asked.headers["authorization"] for asked in provider.asked} == {f"Bearer {KEY}"}
    assert KEY not in str(shown)


def test_a_long_stream_arrives_whole(tmp_path: Path) -> None:
    words = [f"{'w' * 1_000}{i} " for i in range(500)]

    async def streams(asked: Asked) -> None:
        await asked.stream(words)

    with stand_in_beside(streams) as provider, helper(provider, tmp_path) as served:
        answer = urllib3.request(
            "POST", served.url + PATH, body=json.dumps({**ASKED, "stream": True}), preload_content=False, retries=False
        )
        text = b"".join(answer.stream(4_096)).decode()
    events = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == "".join(words)
    assert text.endswith("data: [DONE]\n\n")

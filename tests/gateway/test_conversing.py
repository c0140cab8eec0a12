"""Language models behind a served registry's gateway: dealt, answered, counted and named like any other version."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.chat.stand_in import MODEL, StandIn, stand_in, well
from tests.gateway.conftest import Served, serving, until

CONFIG: dict[str, Any] = {
    "provider": "stand",
    "model": "small",
    "cost_per_1k_input_tokens": 1.0,
    "cost_per_1k_output_tokens": 2.0,
}
ASKED = {"model": "helper", "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture
def provider() -> Iterator[StandIn]:
    """A provider on a loop of its own."""
    found: list[StandIn] = []
    begun, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with stand_in(well) as provider:
            found.append(provider)
            begun.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert begun.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()


@pytest.fixture
def helper(provider: StandIn, tmp_path: Path) -> Iterator[Served]:
    """An endpoint of a language model, and one of another."""
    with serving(tmp_path / "registry", tmp_path, llm_providers=f"stand={provider.url}") as found:
        for model in ("small", "large"):
            found.registry.register("prompt", config=CONFIG | {"model": model})
        found.registry.endpoints.create("helper", "prompt:1")
        until(lambda: found.ask("/v1/chat/completions", ASKED).status == 200)
        yield found


def test_a_language_model_is_asked_as_openai_has_it(helper: Served, provider: StandIn) -> None:
    told = helper.ask("/v1/chat/completions", ASKED)
    assert told.json()["choices"][0]["message"]["content"] == "Hello"
    assert (told.headers["x-chopmark-model"], told.headers["x-chopmark-version"]) == ("prompt", "1")
    assert told.headers["x-chopmark-served-model"] == MODEL
    assert provider.asked[-1].body["model"] == "small"
    streamed = helper.ask("/v1/chat/completions", ASKED | {"stream": True}).data.decode()
    events = [line.removeprefix("data: ") for line in streamed.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert "".join(json.loads(e)["choices"][0]["delta"].get("content", "") for e in events[:-1]) == "Hello wörld"
    assert [m["id"] for m in helper.ask("/v1/models", method="GET").json()["data"]] == ["helper"]
    assert helper.ask("/v1/models/helper", method="GET").json()["id"] == "helper"


def test_traffic_is_split_between_two_configurations(helper: Served, provider: StandIn) -> None:
    helper.registry.endpoints.split("helper", {"prompt:1": 50, "prompt:2": 50}, reason="look")
    until(lambda: helper.ask("/v1/chat/completions", ASKED).headers["x-chopmark-generation"] == "2")
    before = len(provider.asked)
    met = [
        helper.ask("/v1/chat/completions", ASKED, x_chopmark_key=f"u{i}").headers["x-chopmark-version"]
        for i in range(30)
    ]
    assert {"1": "small", "2": "large"}[met[-1]] == provider.asked[-1].body["model"]
    assert 5 < met.count("2") < 25
    assert len(provider.asked) == before + 30


def test_what_cannot_be_answered_is_said_as_openai_does(helper: Served) -> None:
    for path, asked, status in (
        ("/v1/chat/completions", ASKED | {"model": "nobody"}, 404),
        ("/v1/chat/completions", {"model": "helper"}, 400),
        ("/v1/chat/completions", b"{", 400),
        ("/v1/nothing", ASKED, 404),
    ):
        told = helper.ask(path, asked)
        assert (told.status, set(told.json()["error"])) == (status, {"message", "type", "param", "code"})
    assert helper.ask("/predict/helper", {"rows": [[1]]}).status == 400
    assert helper.ask("/v2/models/helper", method="GET").status == 400


def test_tokens_and_cost_are_counted(helper: Served) -> None:
    labels = {"endpoint": "helper", "variant": "stable"}
    before = helper.counter("requests_total", outcome="answered", **labels)
    helper.ask("/v1/chat/completions", ASKED)
    until(lambda: helper.counter("requests_total", outcome="answered", **labels) > before)
    answered = helper.counter("requests_total", outcome="answered", **labels)
    assert helper.counter("input_tokens_total", **labels) == 1_000 * answered
    assert helper.counter("output_tokens_total", **labels) == 500 * answered
    assert helper.counter("cost_usd_total", **labels) == pytest.approx(2.0 * answered)

"""Chat completions through a gateway, over sockets: what clients get, and what providers are sent."""

import asyncio
import json

import pytest

from chopmark.domain.llm import LlmConfig
from tests.gateway.chat.stand_in import MODEL, Asked, chunk, completion, stand_in, well
from tests.gateway.chat.world import ENDPOINT, HEAD, KEY, on_a_loop, world

CONFIG = LlmConfig(
    provider="openai",
    model="gpt-x",
    temperature=0.2,
    max_tokens=300,
    system_prompt="Be brief.",
    params={"seed": 7, "user": "chopmark"},
    cost_per_1k_input_tokens=0.01,
    cost_per_1k_output_tokens=0.03,
)


@on_a_loop
async def test_answers_in_one_piece_and_says_who_served() -> None:
    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask()
    assert got.status == 200
    assert got.json["choices"][0]["message"]["content"] == "Hello"
    assert got.json["model"] == MODEL
    assert got.headers["x-chopmark-served-model"] == MODEL
    assert got.headers["x-chopmark-model"] == HEAD[0][1].decode()
    (outcome,) = gateway.outcomes
    assert outcome.status_class == "answered"
    assert (outcome.input_tokens, outcome.output_tokens) == (1_000, 500)
    assert outcome.cost_usd == pytest.approx(0.025)
    assert not outcome.is_estimated
    assert not outcome.fell_back
    assert outcome.served_model == MODEL
    assert outcome.response_bytes == len(got.body)
    (asked,) = provider.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"


@on_a_loop
async def test_streams_and_keeps_usage_to_itself() -> None:
    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
        outcome = await gateway.outcome()
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["x-chopmark-served-model"] == MODEL
    assert got.text == "Hello wörld"
    assert got.events[-1] == "[DONE]"
    assert all("usage" not in event and event["choices"] for event in got.events[:-1])
    assert (outcome.input_tokens, outcome.output_tokens, outcome.is_estimated) == (7, 3, False)
    assert outcome.status_class == "answered"
    (asked,) = provider.asked
    assert asked.body["stream_options"] == {"include_usage": True}
    assert ENDPOINT not in str(asked.body)


@on_a_loop
async def test_usage_is_left_to_a_client_that_asks_for_it() -> None:
    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True, stream_options={"include_usage": True})
    assert got.events[-2]["usage"] == {"prompt_tokens": 7, "completion_tokens": 3}


@on_a_loop
async def test_what_a_provider_is_sent() -> None:
    messages = [{"role": "system", "content": "Speak French."}, {"role": "user", "content": "Hi", "name": "ada"}]
    tools = [{"type": "function", "function": {"name": "now", "parameters": {}}}]
    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        await gateway.ask(messages=messages, temperature=1.0, tools=tools)
    (asked,) = provider.asked
    assert asked.body == {
        "model": "gpt-x",
        "messages": [{"role": "system", "content": "Be brief."}, *messages],
        "temperature": 1.0,
        "max_tokens": 300,
        "seed": 7,
        "user": "chopmark",
        "tools": tools,
    }


@on_a_loop
async def test_without_a_key_none_is_sent() -> None:
    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}, key="") as gateway:
        await gateway.ask()
    assert "authorization" not in provider.asked[0].headers


@on_a_loop
async def test_without_usage_tokens_are_guessed_and_marked_as_such() -> None:
    async def silent(asked: Asked) -> None:
        if asked.body.get("stream"):
            await asked.stream(["x" * 40, "y" * 40], usage=False)
        else:
            await asked.answer(completion("z" * 80, usage=None))

    async with stand_in(silent) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        for stream in (False, True):
            await gateway.ask(stream=stream, messages=[{"role": "user", "content": "w" * 391}])
            await gateway.outcome()
    for outcome in gateway.outcomes:
        assert outcome.is_estimated
        assert (outcome.input_tokens, outcome.output_tokens) == (100, 20)  # with the prompt's nine bytes
        assert outcome.cost_usd == pytest.approx((100 * 0.01 + 20 * 0.03) / 1_000)


@on_a_loop
async def test_without_prices_a_cost_is_not_known() -> None:
    config = LlmConfig(provider="openai", model="gpt-x")
    async with stand_in(well) as provider, world(config, {"openai": provider.url}) as gateway:
        await gateway.ask()
    assert gateway.outcomes[0].cost_usd is None
    assert gateway.outcomes[0].input_tokens == 1_000


@on_a_loop
async def test_an_answer_that_names_no_model_is_said_to_be_of_the_one_that_was_asked() -> None:
    async def nameless(asked: Asked) -> None:
        if not asked.body.get("stream"):
            await asked.answer({k: v for k, v in completion().items() if k != "model"})
            return
        await asked.begin()
        await asked.event({k: v for k, v in chunk("Hi", finish="stop").items() if k != "model"})
        await asked.event("[DONE]")
        await asked.end()

    async with stand_in(nameless) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        whole, stream = await gateway.ask(), await gateway.ask(stream=True)
    assert whole.json["model"] == stream.events[0]["model"] == "gpt-x"
    assert whole.headers["x-chopmark-served-model"] == stream.headers["x-chopmark-served-model"] == "gpt-x"


@on_a_loop
async def test_pieces_come_as_they_are_made() -> None:
    goes_on = asyncio.Event()

    async def slow(asked: Asked) -> None:
        await asked.begin()
        await asked.event(chunk("first"))
        await goes_on.wait()
        await asked.event(chunk("second", finish="stop"))
        await asked.event("[DONE]")
        await asked.end()

    async with (
        stand_in(slow) as provider,
        world(CONFIG, {"openai": provider.url}) as gateway,
        gateway.asked(stream=True) as answer,
    ):
        async with asyncio.timeout(60):
            first = await answer.content.readuntil(b"\n\n")
            assert b"first" in first  # while the provider still waits
            goes_on.set()
            assert b"second" in await answer.content.readuntil(b"\n\n")


@on_a_loop
async def test_letters_and_events_may_be_split_anywhere() -> None:
    text = "añ€🎈 ende"

    async def torn(asked: Asked) -> None:
        await asked.begin()
        events = f"data: {json.dumps(chunk(text), ensure_ascii=False)}\r\n\r\n: still here\n\n"
        for byte in (events + f"data: {json.dumps(chunk('', finish='stop'))}\n\ndata: [DONE]\n\n").encode():
            await asked.part(bytes([byte]))
            await asyncio.sleep(0)
        await asked.end()

    async with stand_in(torn) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
    first, *_ = got.body.split(b"\r\n\r\n")
    assert json.loads(first.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == text
    assert b": still here\n\n" in got.body
    assert got.body.endswith(b"data: [DONE]\n\n")


@on_a_loop
async def test_a_stream_that_just_ends_after_its_last_word_is_ended_for_the_client() -> None:
    async def unmarked(asked: Asked) -> None:
        await asked.begin()
        await asked.event(chunk("all", finish="stop"))
        await asked.end()

    async with stand_in(unmarked) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
        outcome = await gateway.outcome()
    assert got.events[-1] == "[DONE]"
    assert outcome.status_class == "answered"


@on_a_loop
async def test_fifty_streams_at_once() -> None:
    words = [f"w{i} " for i in range(100)]

    together = asyncio.Barrier(50)

    async def many(asked: Asked) -> None:
        async with asyncio.timeout(60):
            await together.wait()
        await asked.stream([f"{asked.body['messages'][-1]['content']}:{w}" for w in words])

    async with stand_in(many) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        asks = [gateway.ask(stream=True, messages=[{"role": "user", "content": str(n)}]) for n in range(50)]
        got = await asyncio.gather(*asks)
    for n, each in enumerate(got):
        assert each.text == "".join(f"{n}:{w}" for w in words)
    assert [o.status_class for o in gateway.outcomes] == ["answered"] * 50
    assert {o.output_tokens for o in gateway.outcomes} == {100}
    assert gateway.chat.waiting == gateway.chat.in_flight == 0


@on_a_loop
async def test_a_stream_that_has_begun_may_go_on_for_longer_than_it_took_to_begin() -> None:
    async def slow(asked: Asked) -> None:
        await asked.begin()
        for text in "abcdefgh":
            await asked.event(chunk(text))
            await asyncio.sleep(0.2)
        await asked.event(chunk("", finish="stop"))
        await asked.event("[DONE]")
        await asked.end()

    async with (
        stand_in(slow) as provider,
        world(CONFIG, {"openai": provider.url}, first_piece_s=1.0, between_pieces_s=1.0) as gateway,
    ):
        got = await gateway.ask(stream=True)
    assert got.text == "abcdefgh"
    assert got.events[-1] == "[DONE]"


@on_a_loop
async def test_connections_are_used_again() -> None:
    async def well(asked: Asked) -> None:
        if not asked.body.get("stream"):
            await asked.answer(completion())
            return
        await asked.begin()
        await asked.event(chunk("all", finish="stop"))
        await asked.event("[DONE]")
        await asyncio.sleep(0.05)  # the end of the body comes after that of the answer
        await asked.end()

    async with stand_in(well) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        for number, stream in enumerate((True, False, True), start=1):
            await gateway.ask(stream=stream)
            await gateway.outcome(number)
    assert provider.connections == 1


@on_a_loop
async def test_a_slow_client_slows_its_provider_and_fills_no_memory() -> None:
    sent_bytes = 0

    async def eager(asked: Asked) -> None:
        nonlocal sent_bytes
        await asked.begin()
        for _ in range(800):
            await asked.event(chunk("x" * 65_536))
            sent_bytes += 65_536
        await asked.event(chunk("", finish="stop"))
        await asked.event("[DONE]")
        await asked.end()

    async with (
        stand_in(eager) as provider,
        world(CONFIG, {"openai": provider.url}) as gateway,
        gateway.asked(stream=True) as answer,
    ):
        await answer.content.readany()
        before = -1
        while sent_bytes != before:
            before = sent_bytes
            await asyncio.sleep(0.3)
        assert sent_bytes < 40_000_000  # of 52 MB; what the sockets of three connections hold
        size_bytes = 0
        async for piece in answer.content.iter_any():
            size_bytes += len(piece)
    assert sent_bytes == 800 * 65_536
    assert (await gateway.outcome()).status_class == "answered"


@on_a_loop
async def test_a_provider_that_keeps_the_line_open_after_its_answer_has_answered() -> None:
    async def lingers(asked: Asked) -> None:
        await asked.begin()
        await asked.event(chunk("all", finish="stop"))
        await asked.event("[DONE]")
        await asked.until_closed()

    async with stand_in(lingers) as provider, world(CONFIG, {"openai": provider.url}) as gateway:
        got = await gateway.ask(stream=True)
        outcome = await gateway.outcome()
        assert gateway.chat.waiting == 0
    assert got.text == "all"
    assert outcome.status_class == "answered"
    assert provider.asked[0].closed_after_s is not None
